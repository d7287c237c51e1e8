/* One record, opened: the conversation turn by turn, what changed, the vote; or an example with its trained tokens. */
"use strict";

/** `options`: {diff: whether changes are marked, title: of this column, dataset: of the stage}. */
rise.recordBody = function (record, options) {
  const kinds = { "held-out": conversation, trajectories: conversation, relabelled: improved, examples: example, live: arriving };
  return kinds[record.kind](record, options);
};

rise.problemHead = function (record, marks) {
  const { h } = rise;
  const { id, question, gold, fields } = record.problem;
  return h("header.problem", {},
    h("p.facts", {}, h("code", {}, rise.printable(id)),
      Object.entries(fields).map(([name, value]) => h("span.tag", {}, `${rise.printable(name)} ${rise.printable(value)}`)), marks),
    question !== null && h("div.question", {}, rise.printable(question)),
    gold !== null && h("p.gold", {}, h("span.hush", {}, "gold "), h("code", {}, rise.printable(gold))));
};

function conversation(record, options) {
  const { h } = rise;
  return h("div.conversation", {},
    record.turns.map((turn, k) => rise.turn(turn, { title: `Turn ${k + 1}`, k, before: k ? record.turns[k - 1] : null, ...options })),
    votePanel("Vote over the turns", record.vote, "turn"),
    record.samples && record.samples.length > 0 && h("details", {},
      h("summary", {}, `Parallel samples `, rise.marks([record.turns[0], ...record.samples].map(rise.letter).join(""))),
      h("p.hush", {}, "Further replies to the bare problem; with turn 1 they are the samples a vote over turns is compared with."),
      record.samples.map((turn, k) => rise.turn(turn, { title: `Sample ${k + 2}`, before: null, ...options })),
      votePanel("Vote over the samples", record.parallel_vote, "sample")),
    record.other && record.other.length > 0 && h("details", {},
      h("summary", {}, "Shown another problem's attempt ", rise.marks(record.other.map(rise.letter).join(""))),
      h("p.hush", {}, "A control: turns 2 on again, with the attempt shown replaced by one at another problem."),
      record.other.map((turn, k) => rise.turn(turn, { title: `Turn ${k + 2}`, before: null, ...options }))),
    record.internalised && record.internalised.length > 0 && h("details", {},
      h("summary", {}, "The same replies trained at turn 1 ", rise.marks(record.internalised.map(rise.letter).join(""))),
      h("p.hush", {}, "A control: first replies of a model that learnt the improved replies with no attempt shown."),
      record.internalised.map((turn, k) => rise.turn(turn, { title: `Sample ${k + 1}`, before: null, ...options }))),
    record.beyond && record.beyond.length > 0 && h("details", {},
      h("summary", {}, "Had it gone on ", rise.marks(record.beyond.map(rise.letter).join(""))),
      h("p.hush", {}, "A control: the turns after the model's own stop."),
      record.beyond.map((turn, k) => rise.turn(turn, { title: `Turn ${record.turns.length + k + 1}`, before: null, ...options }))));
}

function improved(record, options) {
  const { h } = rise;
  const last = record.turns[record.turns.length - 1] || null;
  const chosen = record.candidates[record.chosen];
  const others = record.candidates.map((turn, k) => [turn, k]).filter(([, k]) => k !== record.chosen);
  return h("div.conversation", {},
    record.turns.length === 0 && h("p.hush", {}, `After ${rise.plural(record.attempts, "attempt")}; the trajectory is not beside this file.`),
    record.turns.map((turn, k) => rise.turn(turn, { title: `Turn ${k + 1}`, k, before: k ? record.turns[k - 1] : null, ...options })),
    rise.turn(chosen, { title: `Improved: ${record.chosen + 1} of ${record.candidates.length}`, k: record.turns.length, before: last, chosen: true, ...options }),
    record.choice && h("div.critique", {}, h("span.hush", {}, "what the model asked to choose wrote"), h("pre", {}, rise.printable(record.choice))),
    others.length > 0 && h("details", {}, h("summary", {}, "The others ", rise.marks(others.map(([turn]) => rise.letter(turn)).join(""))),
      others.map(([turn, k]) => rise.turn(turn, { title: `Candidate ${k + 1}`, before: last, ...options }))));
}

function arriving(record, options) {
  const { h } = rise;
  return h("div.conversation", {},
    h("p.hush", {}, "Replies as they are in the ledger. Which of several belongs to the run is known when the part is done."),
    record.groups.map((group) => [
      h("h3", {}, group.attempts ? `After ${rise.plural(group.attempts, "attempt")}` : "To the bare problem"),
      group.turns.map((turn, k) => rise.turn(turn, { title: group.turns.length > 1 ? `Reply ${k + 1}` : "Reply", before: null, ...options })),
    ]));
}

/** One reply with its verdict; against `before`, what changed. */
rise.turn = function (turn, { title, k, before, diff, chosen }) {
  const { h } = rise;
  const verdict = (turn.verdict || "not judged").replace("_", " ");
  const same = before && before.reply === turn.reply;
  const facts = [
    turn.answer === undefined || turn.answer === null ? "no answer" : null,
    turn.reward !== undefined && turn.reward !== null && turn.reward !== Number(turn.verdict === "right") ? `reward ${rise.number(turn.reward)}` : null,
    turn.n_reply_tokens !== undefined && turn.n_reply_tokens !== null ? rise.plural(turn.n_reply_tokens, "token") : null,
    turn.source && turn.source !== "student" ? `by ${turn.source}` : null,
    turn.finish === "length" ? "cut at the token limit" : turn.finish === "refused" ? "refused" : null,
    same ? "word for word as before" : null,
  ].filter(Boolean);
  return h("section.turn", { class: rise.letter(turn) + (chosen ? " chosen" : ""), "data-k": k, tabindex: k === undefined ? null : "-1", "aria-label": title },
    h("p.says", {}, h("b", {}, title), h("span.verdict", {}, verdict),
      turn.answer !== undefined && turn.answer !== null && h("code.answer", {}, rise.printable(turn.answer)),
      h("span.hush", {}, facts.join(" · "))),
    replyText(turn, diff && before && !same ? before.reply : null),
    turn.own_verdict && h("p.hush", {}, turn.own_verdict === "unparsable" ? "the model says neither right nor wrong" : `the model calls it ${turn.own_verdict}`),
    turn.critique && h("div.critique", {}, h("span.hush", {}, "its own critique"), h("pre", {}, rise.printable(turn.critique))),
    turn.feedback !== undefined && turn.feedback !== null && h("p.feedback", {}, rise.printable(turn.feedback)));
};

/* The reply; where `before` is given, with what is new marked and what is gone struck; its answer picked out. */
function replyText(turn, before) {
  const { h } = rise;
  const reply = turn.reply, answer = turn.answer || "";
  const start = answer ? reply.lastIndexOf(answer) : -1;
  const end = start < 0 ? -1 : start + answer.length;
  const parts = before === null ? [["same", reply]] : rise.diff(before, reply);
  const out = [];
  let at = 0;
  const put = (kind, text, isAnswer) => {
    if (!text) return;
    const shown = rise.printable(text);
    const inner = isAnswer ? h("span.picked", {}, shown) : shown;
    out.push(kind === "new" ? h("ins", {}, inner) : inner);
  };
  for (const [kind, text] of parts) {
    if (kind === "gone") { out.push(h("del", {}, rise.printable(text.replace(/\n/g, "⏎\n")))); continue; }
    const cut = [start, end].map((edge) => Math.min(Math.max(edge - at, 0), text.length));
    put(kind, text.slice(0, start < 0 ? text.length : cut[0]), false);
    if (start >= 0) { put(kind, text.slice(cut[0], cut[1]), true); put(kind, text.slice(cut[1]), false); }
    at += text.length;
  }
  return h("pre.reply", {}, out.length ? out : h("span.hush", {}, "(an empty reply)"));
}

function votePanel(title, vote, unit) {
  const { h } = rise;
  if (!vote) return null;
  const score = vote.scores[vote.scores.length - 1];
  const said = score === 1 ? "right" : score > 0 ? `a tie, scored ${rise.number(score)}` : vote.groups.length ? "wrong" : "no answer";
  return h("section.vote", { "aria-label": title },
    h("h3", {}, title, h("span.verdict", { class: score === 1 ? "r" : score > 0 ? "t" : "w" }, said)),
    h("ul", {}, vote.groups.map((group) => h("li", { class: (group.right ? "r" : "w") + (group.wins ? " wins" : "") },
      h("code.answer", {}, rise.printable(group.answer)),
      h("span.ballots", { role: "img", "aria-label": rise.plural(group.turns.length, "vote") }, group.turns.map((k) => h("i", {}, k))),
      h("span.hush", {}, group.right ? "right" : "wrong", group.wins ? (vote.groups.filter((g) => g.wins).length > 1 ? ", tied" : ", wins") : "")))),
    vote.scores.length > 1 && h("p.hush", {}, `After each ${unit} the vote scores `,
      vote.scores.map((s, k) => [k ? " " : "", h("span.step", { class: s === 1 ? "r" : s > 0 ? "t" : "w" }, rise.number(s))]), "."));
}

/** Where a weight lies between the smallest and the largest of its data set, in logarithms, 0 … 1. */
rise.strength = function (weight, dataset) {
  const weights = (((dataset || {}).weights || {}).values || []).map(([w]) => w).filter((w) => w > 0);
  if (!weights.length || weight <= 0) return weight > 0 ? 1 : 0;
  const low = Math.log(Math.min(...weights)), high = Math.log(Math.max(...weights));
  return high - low < 1e-9 ? 1 : Math.min(1, Math.max(0, (Math.log(weight) - low) / (high - low)));
};

function example(record, options) {
  const { h } = rise;
  const strength = rise.strength(record.weight, options.dataset);
  const weigh = { "--strength": `${Math.round(100 * strength)}%`, title: `weight ${rise.number(record.weight)}` };
  const special = (piece) => /^<[|/]?.{1,24}>$|^⟨\d+⟩$/.test(piece) || /^\[[A-Z]{2,8}\]$/.test(piece);
  const piece = (text, trained, k) => h(trained ? "span.trained" : "span.read",
    { class: (k % 2 ? "odd" : "even") + (special(text) ? " special" : ""), ...(trained ? weigh : {}) }, rise.printable(trained || special(text) ? text.replace(/\n/g, "⏎\n") : text));
  const weights = (((options.dataset || {}).weights || {}).values || []);
  const verdict = record.verdict ? ` (${record.verdict.replace("_", " ")})` : "";
  return h("div.example", {},
    h("dl.facts", {}, [
      ["reply by", record.source + verdict], ["state", rise.plural(record.attempts, "attempt")], ["reward", rise.number(record.reward)],
      ["weight", rise.number(record.weight)], ["tokens", record.n_trained ? `${rise.count(record.n_trained)} trained, ${rise.count(record.n_read)} only read` : rise.DASH],
      record.rejected !== null && record.rejected !== undefined ? ["preferred to", rise.printable(record.rejected)] : null,
      record.finish === "length" ? ["end", "cut at the token limit, so none is trained"] : null,
    ].filter(Boolean).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))),
    weights.length > 0 && h("div.legend", { role: "group", "aria-label": "Weights of this data set" },
      h("span.hush", {}, "weights of this data set"),
      weights.slice(0, 12).map(([w, n]) => h("span.swatch", { "--strength": `${Math.round(100 * rise.strength(w, options.dataset))}%`, class: Math.abs(w - record.weight) < 1e-3 * w ? "own" : "" },
        `${rise.number(w)}`, h("small", {}, ` × ${rise.count(n)}`)))),
    record.pieces
      ? h("pre.tokens", {}, record.pieces[0].map((text, k) => piece(text, false, k)), record.pieces[1].map((text, k) => piece(text, true, k)))
      : h("div.conversation", {}, h("p.hush", {}, record.trouble),
        record.prompt.map((message) => h("section.turn", { "aria-label": message.role }, h("p.says", {}, h("b", {}, message.role)), h("pre.reply", {}, rise.printable(message.content)))),
        h("section.turn", { "aria-label": "trained reply" }, h("p.says", {}, h("b", {}, "assistant"), h("span.hush", {}, "trained")),
          h("pre.tokens", {}, h("span.trained.even", weigh, rise.printable(record.reply))))));
}
