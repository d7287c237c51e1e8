// The page: a problem in, turns as they arrive, the vote. Text is set as text everywhere, never as markup.

import { complete, judged, models, problems } from "./stream.js";

const $ = (id) => document.getElementById(id);
let model = null;
let underway = null;
let offered = [];

function element(name, className, ...inside) {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.append(...inside);
  return made;
}

function say(text, kind = "") {
  $("status").textContent = text;
  $("status").className = kind;
}

async function connect() {
  $("endpoint").textContent = `${location.origin}/v1`;
  try {
    [model] = await models($("key").value);
  } catch (error) {
    if (error.status === 401) return askForKey();
    return say(`The server cannot be reached: ${error.message}`, "trouble");
  }
  say("");
  const { turns, vote, votes, max_turns: most, task, feedback, window: shown } = model.rise;
  $("model").textContent = model.id;
  $("turns").max = most;
  $("turns").value = turns;
  $("vote").replaceChildren(...Object.entries(votes).map(([name, words]) => new Option(words, name)));
  if (vote === "judge") $("vote").append(new Option("the server's judge", "judge"));
  $("vote").value = vote;
  const facts = [`${turns} turns`];
  if (feedback) facts.push(`${feedback} feedback`, shown === undefined ? "all attempts shown" : `last ${shown} shown`);
  if (task) facts.unshift(`task ${task}`);
  $("about").textContent = facts.join(" · ");
  offered = await problems($("key").value).catch(() => []);
  $("offered").hidden = !offered.length;
  $("offered").replaceChildren($("offered").firstElementChild, ...offered.map(offer));
}

/** A test problem to click: it is asked at once. Its gold answer is not here; the server tells it for replies. */
function offer(problem) {
  const button = element("button", "", problem.question);
  button.type = "button";
  button.title = problem.question;
  button.addEventListener("click", () => {
    if (underway) return;
    $("problem").value = problem.question;
    ask();
  });
  return button;
}

function press(question) {
  [...$("offered").querySelectorAll("button")].forEach((button, k) => button.setAttribute("aria-pressed", String(offered[k].question === question)));
}

function askForKey() {
  $("key-field").hidden = false;
  $("key").focus();
  say($("key").value ? "That key does not fit." : "This server wants a key.", "trouble");
}

function turnItem(turn, previous) {
  const facts = [element("b", "", `Turn ${turn.turn}`)];
  const answer = element("span", "answer");
  if (turn.answer === null) answer.textContent = "no answer";
  else answer.append("answer ", element("code", "", turn.answer));
  facts.push(answer);
  const same = previous && turn.answer !== null && previous.answer === turn.answer;
  if (same) facts.push(element("span", "", "as before"));
  if (turn.completion_tokens !== null) facts.push(element("span", "", `${turn.completion_tokens} tokens`));
  if (turn.finish_reason === "length") facts.push(element("span", "", "cut at the limit"));
  const item = element("li", same ? "turn same" : "turn", element("p", "says", ...facts), element("pre", "", turn.reply));
  if (turn.own_verdict) item.append(element("p", "says", turn.own_verdict === "unparsable" ? "calls it neither right nor wrong" : `calls it ${turn.own_verdict}`));
  if (turn.critique) item.append(element("p", "feedback", turn.critique));
  if (turn.feedback !== null) item.append(element("p", "feedback", turn.feedback));
  return item;
}

/** Votes so far by the words of the answers; the server's own count, which knows equal answers, replaces it at the end. */
function countByWords(turns) {
  const counted = new Map();
  for (const turn of turns) {
    if (turn.answer === null) continue;
    if (!counted.has(turn.answer)) counted.set(turn.answer, []);
    counted.get(turn.answer).push(turn.turn);
  }
  return [...counted].map(([answer, at]) => ({ answer, turns: at })).sort((a, b) => b.turns.length - a.turns.length);
}

function showTally(answers, winner, total) {
  $("tally").replaceChildren(
    ...answers.map(({ answer, turns }) => {
      const filled = element("span");
      filled.style.width = `${(100 * turns.length) / total}%`;
      const count = element("span", "count", `${turns.length} of ${total} · ${turns.length > 1 ? "turns" : "turn"} ${turns.join(", ")}`);
      return element("li", answer === winner ? "winner" : "", element("code", "", answer), element("span", "bar", filled), count);
    }),
  );
}

function showVote(rise, content) {
  const { vote, chosen_turn: chosen, n_turns: n, stopped } = rise;
  const words = [];
  if (vote) words.push(element("code", "", vote.answer), `  from turn ${chosen}`);
  else words.push(`No reply holds an answer; this is turn ${chosen}, the last.`);
  if (vote && n > 1) words.push(`, given in ${vote.votes} of ${n} turns`);
  const why = { agree: "; two turns in a row agreed", verdict: "; the model called it right", budget: "; the token budget ended the turns", context: "; the context is full" }[stopped];
  if (why) words.push(why);
  $("verdict").replaceChildren(...words);
  showTally(vote ? vote.answers : [], vote?.answer, n);
  $("content").textContent = content;
  $("content").hidden = false;
  const item = $("turns-list").children[chosen - 1];
  if (item) {
    item.classList.add("chosen");
    item.querySelector(".says").append(element("span", "badge", "handed out"));
  }
}

/** What a single turn would have handed out, which is the first of these, beside what all of them hand out. */
function showBeside(turns, rise) {
  $("beside").hidden = turns.length < 2;
  const said = (answer) => (answer === null || answer === undefined ? "no answer" : element("code", "", answer));
  const box = (title, k, answer) => element("div", "", element("dt", "", title), element("dd", `turn-${k}`, said(answer)));
  $("beside").replaceChildren(box("one turn", 1, turns[0].answer), box(`${turns.length} turns`, rise.chosen_turn, rise.vote ? rise.vote.answer : null));
}

/** Gold and verdicts, for a problem whose answer the server knows. Without them nothing on the page is green or red. */
async function showGold(question, turns, chosen) {
  const problem = offered.find((one) => one.question === question);
  if (!problem || !turns.length) return;
  const { gold, verdicts } = await judged(problem.id, turns.map((turn) => turn.reply), $("key").value);
  const word = (k) => (verdicts[k] === "right" ? element("span", "right", "right") : element("span", "wrong", verdicts[k] === "wrong" ? "wrong" : verdicts[k].replace("_", " ")));
  $("gold").hidden = false;
  $("gold").replaceChildren("gold ", element("code", "", gold));
  [...$("turns-list").children].forEach((item, k) => {
    item.classList.add(verdicts[k] === "right" ? "right" : "wrong");
    item.querySelector(".says").append(word(k));
  });
  [0, chosen - 1].forEach((k, n) => $("beside").children[n]?.lastElementChild.append(" ", word(k)));
}

async function ask() {
  const problem = $("problem").value;
  if (!problem.trim() || underway) return;
  if (!model) await connect();
  if (!model) return;
  underway = new AbortController();
  $("ask").disabled = true;
  $("stop").hidden = false;
  $("turns-list").replaceChildren();
  $("tally").replaceChildren();
  $("verdict").textContent = "";
  $("beside").hidden = $("gold").hidden = true;
  press(problem);
  $("usage").textContent = "";
  $("content").hidden = true;
  $("result").hidden = true;
  $("log").hidden = true;
  const wanted = Number($("turns").value) || model.rise.turns;
  const body = { model: model.id, messages: [{ role: "user", content: problem }], rise: { turns: wanted, vote: $("vote").value, return_turns: true } };
  if ($("temperature").value !== "") body.temperature = Number($("temperature").value);
  const began = performance.now();
  const turns = [];
  let content = "", outcome = null;
  say(`Turn 1 of ${wanted} …`, "working");
  try {
    for await (const chunk of complete(body, { key: $("key").value, signal: underway.signal })) {
      if (chunk.usage) showUsage(chunk.usage, performance.now() - began);
      const [choice] = chunk.choices;
      if (!choice) continue;
      content += choice.delta.content ?? "";
      const turn = choice.rise?.turn;
      if (turn) {
        $("log").hidden = $("result").hidden = false;
        $("turns-list").append(turnItem(turn, turns.at(-1)));
        turns.push(turn);
        showTally(countByWords(turns), null, turns.length);
        $("verdict").textContent = "Votes so far";
        say(turns.length < wanted ? `Turn ${turns.length + 1} of ${wanted} …` : "Counting …", "working");
      } else if (choice.rise) {
        outcome = choice.rise;
        showVote(outcome, content);
        showBeside(turns, outcome);
      }
    }
    if (outcome) await showGold(problem, turns, outcome.chosen_turn);
    say(`Done in ${((performance.now() - began) / 1000).toFixed(1)} s.`);
  } catch (error) {
    if (error.name === "AbortError") say(`Stopped after ${turns.length} ${turns.length === 1 ? "turn" : "turns"}.`);
    else if (error.status === 401) askForKey();
    else say(error.message, "trouble");
  } finally {
    underway = null;
    $("ask").disabled = false;
    $("stop").hidden = true;
  }
}

function showUsage(usage, ms) {
  const hidden = usage.completion_tokens_details.reasoning_tokens;
  const rate = Math.round(usage.completion_tokens / (ms / 1000));
  $("usage").textContent =
    `${usage.completion_tokens} tokens written, ${hidden} of them in other turns; ${usage.prompt_tokens} read. ${rate} tokens/s.`;
}

$("form").addEventListener("submit", (event) => {
  event.preventDefault();
  ask();
});
$("stop").addEventListener("click", () => underway?.abort());
$("key").addEventListener("change", connect);
document.addEventListener("keydown", (event) => {
  const asks = event.ctrlKey || event.metaKey || (event.target === $("problem") && !event.shiftKey);
  if (event.key === "Enter" && asks && !event.isComposing) {
    event.preventDefault();
    $("form").requestSubmit();
  } else if (event.key === "Escape") underway?.abort();
  else if (event.key === "/" && !event.target.closest("input, textarea, select")) {
    event.preventDefault();
    $("problem").focus();
  }
});
connect();
$("problem").focus();
