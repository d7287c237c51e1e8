/* Runs and rounds side by side: what they came to, turn by turn, and what is under way. */
"use strict";

rise.overviewPage = function (overview) {
  const { h } = rise;
  const runs = overview.runs;
  const values = runs.flatMap((run) => run.stages.flatMap((stage) => ((stage.metrics || {}).accuracy_by_turn || [])
    .flatMap((p) => [p.value, p.low, p.high]).filter((v) => v !== null && v !== undefined)));
  const range = values.length ? rise.nice(values) : [0, 1];
  return h("div.overview", {},
    h("div.runs", {}, runs.map((run) => runCard(run, range, runs.length))),
    h("section", { "aria-labelledby": "numbers" },
      h("h2", { id: "numbers" }, "Stage by stage"), numbersTable(runs),
      h("p.hush.note", {}, "Percent of held-out problems, with the ends of 95 % intervals; differences in points, green or red where the interval leaves out zero. ",
        runs[0].columns.map((column) => `${column.label}: ${column.words}`).join(". "), ". Any right needs an oracle.")),
    h("section", { "aria-labelledby": "files" }, h("h2", { id: "files" }, "Records"), filesTable(runs)));
};

function runCard(run, range, n) {
  const { h } = rise;
  const measured = run.stages.filter((stage) => stage.metrics);
  const lines = measured.map((stage) => ({
    name: stage.short, role: stage.colour, points: stage.metrics.accuracy_by_turn || [],
  })).filter((line) => line.points.length > 1);
  return h("article.run", {},
    h("div.lead", {},
      h("p.kicker", {}, rise.printable(run.directory), run.name !== run.directory && h("span.hush", {}, ` · recipe ${rise.printable(run.name)}`)),
      h(n > 1 ? "h2.headline.small" : "h2.headline", {}, run.headline)),
    h("figure", {}, lines.length > 0 && [
      rise.turnsChart(lines, range, `Accuracy by turn of ${run.directory}: ${lines.map((l) => l.name).join(", ")}`),
      h("figcaption", {}, "Right replies at each turn, percent: no vote, no oracle.")]),
    h("div.rest", {},
      run.live && livePanel(run),
      run.claims.length > 0 && h("dl.claims", {}, run.claims.map((claim) => h("div", { class: claim.answer.replace(/\W+/g, "-") },
        h("dt", {}, claim.question), h("dd", {}, h("b", {}, claim.answer), h("span", {}, claim.detail === rise.DASH ? "" : claim.detail))))),
      madeWith(run)));
}

function madeWith(run) {
  const { h } = rise;
  const p = run.provenance;
  const facts = [p.commit && `commit ${p.commit.slice(0, 10)}${p.clean === false ? ", changed" : ""}`, p.seed !== undefined && `seed ${p.seed}`, p.started].filter(Boolean);
  return h("details.made", {}, h("summary", {}, "How it was made", h("span.hush", {}, facts.length ? `  ${facts.join(" · ")}` : "")),
    p.command && h("p", {}, h("code", {}, rise.printable(p.command.join(" ")))), h("pre", { tabindex: "0" }, rise.printable(run.config)));
}

function livePanel(run) {
  const { h } = rise;
  const live = run.live;
  const title = (name) => (run.stages.find((stage) => stage.name === name) || { title: name }).title;
  const idle = live.age_s > 180;
  const training = live.training;
  return h("div.live", { role: "group", "aria-label": "Under way" },
    h("p", {}, h("b", { class: idle ? "pulse idle" : "pulse" }, idle ? "not finished" : "under way"),
      h("span.hush", {}, ` last written ${rise.seconds(live.age_s)} ago; not measured yet: ${live.unmeasured.map(title).join(", ")}`)),
    live.parts.map((part) => h("p", {},
      h("a", { href: `#/${part.key}` }, part.title),
      ` ${rise.plural(part.n_replies, "reply", "replies")} to ${rise.plural(part.n_problems, "problem")}`,
      h("span.hush", {}, part.right.length ? `, right so far ${part.right.map(([k, right, n]) => `${rise.percent(right / n)} %${k ? ` after ${k}` : " at turn 1"}`).join(", ")}` : ""))),
    training && h("div.training", {},
      h("span", {}, `training ${title(training.stage)}: step ${rise.count(training.step)} of ${rise.count(training.steps)}`),
      training.loss.length > 1 && rise.lossChart(training.loss, training.steps)));
}

function numbersTable(runs) {
  const { h } = rise;
  const measured = runs.find((run) => run.stages.some((stage) => stage.metrics)) || runs[0];
  const columns = measured.columns;
  const cell = (estimate, difference) => {
    if (!estimate || estimate.value === null) return h("td", {}, h("span.hush", {}, rise.DASH));
    const tone = difference && estimate.low !== null ? (estimate.low > 0 ? "above" : estimate.high < 0 ? "below" : "unsure") : null;
    const show = difference ? rise.points : rise.percent;
    return h("td", { class: tone, title: `n = ${rise.count(estimate.n)}` }, h("span.value", {}, show(estimate.value)),
      h("small", {}, estimate.low === null ? "" : difference ? `${show(estimate.low)} to ${show(estimate.high)}` : `${show(estimate.low)}–${show(estimate.high)}`));
  };
  return h("div.scroll", { tabindex: "0", role: "region", "aria-label": "Numbers stage by stage" }, h("table.numbers", {},
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, runs.length > 1 ? "run, stage" : "stage"), h("th", { scope: "col" }, "n"),
      columns.map((column) => h("th", { scope: "col", title: column.words }, column.label)))),
    runs.map((run) => h("tbody", {},
      runs.length > 1 && h("tr.group", {}, h("th", { scope: "rowgroup", colspan: columns.length + 2 }, rise.printable(run.directory))),
      run.stages.filter((stage) => stage.metrics || stage.awaited).map((stage) => {
        const m = stage.metrics;
        const key = stage.files.find((file) => file.kind === "held-out");
        return h("tr", {}, h("th", { scope: "row" }, key ? h("a", { href: `#/${key.key}` }, stage.title) : stage.title),
          h("td", {}, m && m["m1@t1"] ? rise.count(m["m1@t1"].n) : h("span.hush", {}, "not yet")),
          stage.numbers.map((estimate, n) => cell(estimate, run.columns[n].prints === "points")));
      })))));
}

function filesTable(runs) {
  const { h } = rise;
  const size = (n) => (n ? (n < 1e6 ? `${Math.ceil(n / 1e3)} kB` : `${(n / 1e6).toFixed(1)} MB`) : "");
  return h("div.files", {}, runs.map((run) => h("div", {},
    runs.length > 1 && h("h3", {}, rise.printable(run.directory)),
    h("dl", {}, run.stages.filter((stage) => stage.files.length).map((stage) => h("div", {},
      h("dt", {}, stage.title),
      h("dd", {}, stage.files.map((file) => h("a.file", { href: `#/${file.key}` },
        file.kind === "live" ? `${file.title} under way` : file.title,
        h("small", {}, file.n !== undefined ? rise.count(file.n) : size(file.n_bytes)))))))))));
}
