/* One file: filters, the list of its records, the one that is open, and other stages beside it. */
"use strict";

const SLICE = 20000; /* rows asked for at a time, after a first few that fill the screen */
const ROW_PX = 40;
const MOST_BESIDE = 3;

/* What may be wrong with a record whatever its verdict is; each name stands on its chip and in the address. */
const TROUBLES = { "no answer": (row) => row.pattern.includes("u"), cut: (row) => Boolean(row.cut) };
const TROUBLE_WORDS = { "no answer": "the judge found no answer in one of its replies", cut: "one of its replies was cut at the token limit" };

rise.Browser = class {
  constructor(app) {
    this.app = app;
    this.rows = [];
    this.shown = [];
    this.key = null;
    this.element = this.build();
  }

  build() {
    const { h } = rise;
    this.list = new rise.List({ label: "Records", height: ROW_PX, draw: (n) => this.drawRow(n), choose: (n) => this.open(n) });
    this.places = h("div.places", {});
    this.chips = h("div.chips", { role: "group", "aria-label": "What became of it" });
    this.text = h("input", { type: "search", placeholder: "search questions and replies   /", "aria-label": "Search questions and replies", autocomplete: "off", spellcheck: "false", maxlength: 200 });
    this.turn = h("select", { "aria-label": "Turn" });
    this.at = h("select", { "aria-label": "Verdict at that turn" });
    this.label = h("select", { "aria-label": "Task: kind, level, subject" });
    this.count = h("p.count", { role: "status" });
    let wait;
    this.text.addEventListener("input", () => { clearTimeout(wait); wait = setTimeout(() => this.set({ q: this.text.value }), 160); });
    this.turn.addEventListener("change", () => this.set({ turn: this.turn.value, at: this.turn.value ? this.at.value || "r" : "" }));
    this.at.addEventListener("change", () => this.set({ at: this.at.value, turn: this.turn.value || "1" }));
    this.label.addEventListener("change", () => this.set({ label: this.label.value }));
    this.record = h("div.record", { tabindex: "-1", role: "region", "aria-label": "Record" });
    return h("div.browse", {},
      h("div.side", { role: "region", "aria-label": "Records of this file" }, this.places,
        h("div.filters", {}, this.chips, this.text, h("div.selects", {}, this.turn, this.at, this.label)), this.count, this.list.element),
      this.record);
  }

  get live() { return this.key.includes("/live-"); }
  get kind() { return this.live ? "live" : this.key.split("/")[2]; }
  get isRun() { return this.kind === "held-out" || this.kind === "trajectories" || this.kind === "live"; }
  get stage() { return this.app.stage(this.key); }

  /** Show a file as the address says: {key, row, show, trouble, q, turn, at, label, with}. */
  async go(state) {
    const other = state.key !== this.key;
    const before = this.state || {};
    this.state = state;
    if (other) {
      this.key = state.key;
      this.rows = [];
      this.shown = [];
      this.opened = undefined;
      this.matches = null;
      this.list.reset(0, -1);
      this.record.replaceChildren();
      this.count.textContent = "reading …";
      this.drawPlaces();
    }
    if (document.activeElement !== this.text) this.text.value = state.q || "";
    if (other) await this.load();
    const filters = ["show", "trouble", "q", "turn", "at", "label"];
    if (other || filters.some((name) => (state[name] || "") !== (before[name] || ""))) await this.filter();
    await this.showRecord();
  }

  set(change) { this.app.go({ ...this.state, row: undefined, ...change }); }

  /** First a screenful, then the rest in slices: the list can be used at once. */
  async load() {
    const key = this.key;
    this.rows = [];
    this.counts = new Map();
    this.troubles = new Map();
    this.labels = new Set();
    this.longest = 0;
    this.take(await rise.source.rows(key, 0, 500), key);
    this.readOn();
  }

  /** Ask for what comes behind the rows known so far, one question at a time. */
  readOn() {
    if (this.reading) return this.reading;
    const key = this.key;
    this.reading = (async () => {
      let n = 1;
      while (key === this.key && n && !this.complete) {
        n = this.take(await rise.source.rows(key, this.rows.length, SLICE), key);
        if (n) await this.filter({ keep: true });
      }
    })().catch((error) => { if (key === this.key) this.app.fail(error); }).finally(() => {
      this.reading = null;
      if (this.key && key !== this.key && !this.complete) this.readOn(); /* another file was opened meanwhile */
    });
    return this.reading;
  }

  take(answer, key) {
    if (key !== this.key) return 0;
    for (const row of answer.rows) {
      this.counts.set(row.outcome, (this.counts.get(row.outcome) || 0) + 1);
      for (const [name, has] of Object.entries(TROUBLES)) if (has(row)) this.troubles.set(name, (this.troubles.get(name) || 0) + 1);
      for (const label of row.labels) this.labels.add(label);
      this.longest = Math.max(this.longest, this.isRun ? row.pattern.length : (row.turn || 0));
      this.rows.push(row);
    }
    this.complete = answer.complete;
    this.about = answer;
    this.drawFilters();
    return answer.rows.length;
  }

  /** The file grew, or another one took its place. */
  async refresh() {
    if (!this.key || this.reading) return;
    const key = this.key;
    const next = await rise.source.rows(key, this.live ? 0 : this.rows.length, SLICE);
    if (key !== this.key || this.reading) return;
    if (this.live) {
      this.rows = [];
      this.counts = new Map();
      this.troubles = new Map();
      this.opened = null;
    } else if (next.version !== this.about.version) {
      await this.load();
      return this.filter({ keep: true });
    } else if (!next.rows.length) return;
    this.take(next, key);
    this.readOn();
    await this.filter({ keep: true });
    await this.showRecord();
  }

  async filter({ keep = false } = {}) {
    const { show, trouble, q, turn, at, label } = this.state;
    const key = this.key;
    if ((q || "") !== (this.searched || "") || (q && keep) || this.searchedKey !== key) {
      const n = (this.asked = (this.asked || 0) + 1);
      const found = q && !this.live ? new Set(await rise.source.search(key, q)) : null;
      if (n !== this.asked || key !== this.key) return;
      this.matches = found;
      this.searched = q || "";
      this.searchedKey = key;
    }
    const k = Number(turn) - 1, word = q && this.live ? q.toLowerCase() : null;
    const shown = [];
    for (let n = 0; n < this.rows.length; n++) {
      const row = this.rows[n];
      if (show && String(row.outcome) !== show) continue;
      if (TROUBLES[trouble] && !TROUBLES[trouble](row)) continue;
      if (this.matches && !this.matches.has(n)) continue;
      if (word && !`${row.problem_id} ${row.title}`.toLowerCase().includes(word)) continue;
      if (label && !row.labels.includes(label)) continue;
      if (turn && !(this.isRun ? atTurn(row.pattern, k, at || "r") : String(row.turn) === turn)) continue;
      shown.push(n);
    }
    this.shown = shown;
    this.place = null;
    this.list.reset(shown.length, this.position(), { keep });
    if (!keep && this.list.chosen >= 0) this.list.choose(this.list.chosen);
    const left = this.app.fileOf(this.key);
    this.count.textContent = [
      shown.length === this.rows.length ? rise.plural(shown.length, "record") : `${rise.count(shown.length)} of ${rise.count(this.rows.length)}`,
      this.complete ? "" : ` · reading, ${Math.round(100 * this.about.share)} %`,
      this.about.n_bad ? ` · ${rise.plural(this.about.n_bad, "line")} could not be read, first ${this.about.first_bad}` : "",
      left && left.n_left_out ? ` · ${rise.count(left.n_left_out)} more were left out of this copy` : "",
    ].join("");
    this.drawFilters();
  }

  /** Where the open record stands among those shown; −1 where it does not. */
  position() {
    if (this.state.row === undefined) return -1;
    if (!this.place || this.place[0] !== this.state.row) {
      const row = Number(this.state.row);
      let low = 0, high = this.shown.length;
      while (low < high) { const mid = (low + high) >> 1; if (this.shown[mid] < row) low = mid + 1; else high = mid; }
      this.place = [this.state.row, this.shown[low] === row ? low : -1];
    }
    return this.place[1];
  }

  open(n) {
    if (n >= 0 && n < this.shown.length) this.app.go({ ...this.state, row: String(this.shown[n]) });
  }

  /** The next record (+1) or the one before (−1) of those shown. */
  step(by) {
    const at = this.position();
    this.open(at < 0 ? (by > 0 ? 0 : this.shown.length - 1) : at + by);
  }

  drawRow(n) {
    const { h } = rise;
    const { problem_id: id, title, gold, pattern, turn, weight, source } = this.rows[this.shown[n]];
    const main = h("span.title", {}, rise.printable(title || id), gold !== null && this.isRun && h("span.hush", {}, ` = ${rise.printable(gold)}`));
    if (this.kind !== "examples") return h("div.row", {}, main, turn !== null && h("small", {}, `after ${turn}`), rise.marks(pattern));
    return h("div.row", {}, main, h("small", {}, `${source}, after ${turn}`), pattern !== "n" && rise.marks(pattern),
      h("span.weight", { "--strength": `${Math.round(100 * rise.strength(weight, this.stage.dataset))}%` }, rise.number(weight)));
  }

  drawPlaces() {
    const { h } = rise;
    const runs = this.app.overview.runs;
    const [r, , kind] = this.key.split("/");
    const choice = h("select", { "aria-label": "Run and stage", onchange: (event) => this.set({ key: event.target.value, q: this.state.q }) },
      runs.map((run, n) => h("optgroup", { label: run.directory }, run.stages.filter((s) => s.files.length).map((stage) => {
        const file = stage.files.find((f) => f.kind === kind) || stage.files[0];
        return h("option", { value: file.key, selected: this.key.startsWith(`${n}/${stage.name}/`) }, runs.length > 1 ? `${run.directory} · ${stage.title}` : stage.title);
      }))));
    const files = this.stage ? this.stage.files : [];
    this.places.replaceChildren(choice, h("div.kinds", { role: "group", "aria-label": "File" }, files.map((file) =>
      h("a", { href: `#/${file.key}`, "aria-current": file.key === this.key ? "page" : null },
        file.kind === "live" ? `${file.title} …` : file.title))));
  }

  drawFilters() {
    const { h } = rise;
    const { show, trouble, turn, at, label } = this.state;
    const names = { ...(this.isRun ? rise.OUTCOMES : { right: "right", wrong: "wrong", unparsable: "unparsable", timed_out: "timed out" }), null: "not judged" };
    const order = this.isRun ? ["fixed", "broken", "never", "kept", "wavered"] : ["right", "wrong", "unparsable", "timed_out"];
    const chip = (value, name, n, title) => h("button.chip", { type: "button", "aria-pressed": String((show || "") === value), title, onclick: () => this.set({ show: value }) },
      name, h("small", {}, rise.count(n)));
    const known = order.filter((name) => this.counts.get(name) || (this.isRun && !this.live));
    const unknown = known.length && this.counts.get(null) ? ["null"] : [];
    const focused = this.chips.contains(document.activeElement) ? [...this.chips.children].indexOf(document.activeElement) : -1;
    this.chips.replaceChildren(chip("", "all", this.rows.length),
      ...[...known, ...unknown].map((name) => chip(name, names[name], this.counts.get(name === "null" ? null : name) || 0, this.app.overview.outcomes[name])),
      ...Object.keys(TROUBLES).filter((name) => this.troubles.get(name) || name === trouble).map((name) => h("button.chip.trouble", {
        type: "button", "aria-pressed": String(name === trouble), title: TROUBLE_WORDS[name], onclick: () => this.set({ trouble: name === trouble ? "" : name }),
      }, name, h("small", {}, rise.count(this.troubles.get(name) || 0)))));
    if (focused >= 0 && this.chips.children[focused]) this.chips.children[focused].focus();
    const option = (value, name, now) => h("option", { value, selected: (now || "") === value }, name);
    const turns = [...Array(this.longest + (this.isRun ? 0 : 1)).keys()].map((k) => String(this.isRun ? k + 1 : k));
    const drawn = `${this.longest}|${[...this.labels].length}|${turn}|${at}|${label}|${this.kind}`;
    if (drawn === this.drawn) return;
    this.drawn = drawn;
    this.turn.replaceChildren(option("", "any turn", turn), ...turns.map((k) => option(k, this.isRun ? `turn ${k}` : `after ${k}`, turn)));
    this.at.hidden = !this.isRun || !turn;
    this.at.replaceChildren(...[["r", "is right"], ["w", "is wrong"], ["u", "is unparsable"], ["t", "timed out"], ["+", "turned right"], ["-", "turned wrong"]].map(([v, name]) => option(v, name, at)));
    this.label.hidden = !this.labels.size;
    this.label.replaceChildren(option("", "any kind", label), ...[...this.labels].sort(naturally).map((name) => option(name, rise.printable(name), label)));
  }

  async showRecord() {
    const { state } = this;
    this.element.classList.toggle("opened", state.row !== undefined);
    const wanted = state.row === undefined ? null : `${this.key} ${state.row} ${state.with || ""} ${this.app.diff}`;
    if (wanted === this.opened) return;
    this.opened = wanted;
    this.list.choose(this.position());
    if (!wanted) return void this.record.replaceChildren(rise.h("p.hush.empty", {}, "Choose a record. j and k go through the list, ? says the other keys."));
    const own = await rise.source.record(this.key, Number(state.row));
    const beside = await Promise.all((state.with || "").split(",").filter(Boolean).map(async (place) => {
      const cut = place.lastIndexOf(":");
      return { key: place.slice(0, cut), record: await rise.source.record(place.slice(0, cut), Number(place.slice(cut + 1))) };
    }));
    if (wanted !== this.opened) return;
    this.drawRecord(own, beside);
    if (own.kind === "held-out" || own.kind === "trajectories") this.drawWhere(own);
  }

  drawRecord(own, beside) {
    const { h } = rise;
    const body = (record, key) => rise.recordBody(record, { diff: this.app.diff, dataset: (this.app.stage(key) || {}).dataset });
    this.elsewhere = h("div.elsewhere", {});
    const isRun = own.kind === "held-out" || own.kind === "trajectories";
    const at = this.position();
    const columns = [{ key: this.key, record: own }, ...beside].map(({ key, record }) => h("div.column", {},
      beside.length > 0 && h("h3.stage", {}, this.app.placeTitle(key), rise.marks(record.turns.map(rise.letter).join(""))), body(record, key)));
    const bar = h("div.bar", {},
      h("button.back", { type: "button", onclick: () => this.app.go({ ...this.state, row: undefined }) }, "← list"),
      h("button", { type: "button", title: "k", "aria-label": "Record before", onclick: () => this.step(-1), disabled: at <= 0 }, "↑"),
      h("button", { type: "button", title: "j", "aria-label": "Next record", onclick: () => this.step(1), disabled: at < 0 || at + 1 >= this.shown.length }, "↓"),
      h("span.hush.place", {}, at < 0 ? "not in the list" : `${rise.count(at + 1)} of ${rise.count(this.shown.length)}`,
        own.line ? h("span.line", {}, ` · line ${own.line}`) : ""),
      own.kind !== "examples" && h("button.toggle", { type: "button", "aria-pressed": String(this.app.diff), title: "d", onclick: () => this.app.toggleDiff() }, "differences"));
    this.record.replaceChildren(bar, rise.problemHead(own), isRun ? this.elsewhere : "", h("div.columns", { class: beside.length ? "several" : null }, columns));
    this.record.scrollTop = 0;
    this.turnAt = -1;
  }

  /* What other stages and runs made of the same problem; pressing one puts it beside. */
  async drawWhere(own) {
    const { h } = rise;
    const wanted = this.opened;
    const found = (await rise.source.where(own.problem.id).catch(() => [])).filter((place) => place.key !== this.key);
    if (wanted !== this.opened || !found.length) return;
    this.found = found;
    const beside = new Set((this.state.with || "").split(",").filter(Boolean));
    this.elsewhere.replaceChildren(h("span.hush", {}, "beside it"), ...found.map((place) => {
      const name = `${place.key}:${place.row}`, on = beside.has(name);
      return h("button.chip", { type: "button", "aria-pressed": String(on), onclick: () => this.beside(name, !on) }, this.app.placeTitle(place.key), rise.marks(place.pattern));
    }));
  }

  beside(name, on) {
    const now = (this.state.with || "").split(",").filter(Boolean).filter((other) => other !== name);
    this.app.go({ ...this.state, with: (on ? [...now, name].slice(-MOST_BESIDE) : now).join(",") });
  }

  /** Put the stage before beside the open record, or take all others away. */
  compare() {
    if (this.state.with) return this.app.go({ ...this.state, with: "" });
    const keys = (this.found || []).filter((place) => place.key.split("/")[0] === this.key.split("/")[0]);
    const order = this.app.overview.runs[Number(this.key.split("/")[0])].stages.map((stage) => stage.name);
    const own = order.indexOf(this.key.split("/")[1]);
    const before = keys.filter((place) => order.indexOf(place.key.split("/")[1]) < own).pop() || keys[0] || (this.found || [])[0];
    if (before) this.beside(`${before.key}:${before.row}`, true);
  }

  /** To the next turn of the open record (+1) or the one before. */
  stepTurn(by) {
    const turns = [...this.record.querySelectorAll(".column:first-child section.turn[data-k]")];
    if (!turns.length) return;
    this.turnAt = Math.min(Math.max(this.turnAt + by, 0), turns.length - 1);
    turns[this.turnAt].focus({ preventScroll: true });
    turns[this.turnAt].scrollIntoView({ block: "nearest", behavior: "smooth" });
  }
};

function atTurn(pattern, k, wanted) {
  if (wanted === "+") return pattern[k] === "r" && k > 0 && pattern[k - 1] !== "r";
  if (wanted === "-") return k > 0 && pattern[k - 1] === "r" && pattern[k] !== "r" && pattern[k] !== undefined;
  return pattern[k] === wanted;
}

const naturally = (a, b) => a.localeCompare(b, "en", { numeric: true });
