/* The address, the keys, light and dark, and following a run while it goes on. */
"use strict";

const FOLLOW_MS = 2000;

class App {
  constructor() {
    this.diff = store("diff") !== "off";
    document.documentElement.dataset.theme = store("theme") || "";
    addEventListener("hashchange", () => this.route());
    addEventListener("keydown", (event) => this.key(event));
  }

  async start() {
    try {
      this.overview = await rise.source.overview();
    } catch (error) {
      return this.fail(error);
    }
    this.browser = new rise.Browser(this);
    document.title = `${this.overview.runs.map((run) => run.directory).join(", ")} – rise view`;
    if (!location.hash) await this.openFirst().catch(() => {}); /* a file that cannot be read is told of where it is opened */
    await this.route();
    if (rise.source.live) setInterval(() => this.follow(), FOLLOW_MS);
  }

  /** An address that names nothing, of one run: the first problem of its last round that was wrong at turn 1 and put right. */
  async openFirst() {
    if (this.overview.runs.length !== 1) return; /* several are there to be compared */
    const files = this.overview.runs[0].stages.filter((stage) => /^round-/.test(stage.name)).map((stage) => stage.files.find((file) => file.kind === "held-out"));
    const file = files.filter(Boolean).pop();
    for (let start = 0, answer; file && !(answer && answer.complete); start += answer.rows.length) {
      answer = await rise.source.rows(file.key, start, start ? 20000 : 500);
      const at = answer.rows.findIndex((row) => row.outcome === "fixed");
      if (at >= 0) return history.replaceState(null, "", `#/${file.key}?show=fixed&row=${start + at}`);
      if (!answer.rows.length) return;
    }
  }

  /* --- the address: #/0/round-2/held-out?show=fixed&row=3 --- */

  parse() {
    const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
    const state = Object.fromEntries(new URLSearchParams(query || ""));
    return path ? { ...state, key: decodeURIComponent(path) } : {};
  }

  go({ key, ...rest }) {
    const kept = Object.entries(rest).filter(([, value]) => value !== undefined && value !== "" && value !== null);
    const query = new URLSearchParams(kept).toString().replaceAll("%2F", "/").replaceAll("%3A", ":").replaceAll("%2C", ",");
    const hash = key ? `#/${key}${query ? `?${query}` : ""}` : "#/";
    const stepping = this.parse().key === key && (this.parse().row === undefined) === (rest.row === undefined);
    if (stepping) history.replaceState(null, "", hash); /* going through a list is not history; opening a record is */
    else history.pushState(null, "", hash);
    return this.route();
  }

  async route() {
    const state = this.parse();
    const main = document.getElementById("main");
    this.top(state);
    try {
      if (state.key && this.stage(state.key)) {
        if (main.firstElementChild !== this.browser.element) main.replaceChildren(this.browser.element);
        document.body.className = "browsing";
        await this.browser.go(state);
      } else {
        document.body.className = "";
        if (state.key) throw new Error(`There is no ${state.key} here.`);
        main.replaceChildren(rise.h("h1.sr", {}, "Runs side by side"), rise.overviewPage(this.overview));
      }
    } catch (error) {
      this.fail(error);
    }
  }

  top(state) {
    const { h } = rise;
    const place = state.key && this.stage(state.key);
    document.getElementById("top").replaceChildren(...[
      h("a.brand", { href: "#/", "aria-label": "rise: all runs" }, h("span.marks", { "aria-hidden": "true" }, h("i.w"), h("i.w"), h("i.r")), "rise"),
      place ? h("h1", {}, this.placeTitle(state.key)) : h("span.h1", {}, this.overview.runs.map((run) => run.directory).join("  ·  ")),
      this.overview.runs.some((run) => run.live && run.live.age_s < 180) && h("span.pulse", {}, "live"),
      h("span.grow", {}),
      place && h("a.button", { href: "#/" }, "All runs"),
      h("button", { type: "button", "aria-label": "Light or dark", title: "t", onclick: () => this.theme() }, "◐"),
      h("button", { type: "button", "aria-label": "Keys", title: "?", onclick: () => this.help() }, "?"),
    ].filter(Boolean));
  }

  run(key) { return this.overview.runs[Number(key.split("/")[0])]; }
  stage(key) {
    const run = this.run(key);
    return run && run.stages.find((stage) => stage.name === key.split("/")[1]);
  }
  fileOf(key) { return (this.stage(key) || { files: [] }).files.find((file) => file.key === key); }
  placeTitle(key) {
    const title = (this.stage(key) || {}).title || key;
    return this.overview.runs.length > 1 ? `${this.run(key).directory} · ${title}` : title;
  }

  fail(error) {
    document.getElementById("main").replaceChildren(rise.h("p.trouble", { role: "alert" }, rise.printable(error.message)), rise.h("p", {}, rise.h("a", { href: "#/" }, "All runs")));
    if (this.browser) this.browser.key = null;
  }

  /* --- while a run goes on --- */

  async follow() {
    if (document.hidden || this.following) return;
    this.following = true;
    try {
      const stamp = await rise.source.stamp();
      if (stamp === this.overview.stamp) return;
      this.overview = await rise.source.overview();
      const state = this.parse();
      this.top(state);
      if (!state.key) await this.route();
      else if (!this.stage(state.key) || (state.key.includes("/live-") && !this.fileOf(state.key))) {
        const [r, stage] = state.key.split("/"); /* what was arriving is now a file of the stage */
        const files = (this.stage(`${r}/${stage}`) || { files: [] }).files;
        this.go(files.length ? { key: files[0].key } : {});
      } else await this.browser.refresh();
    } catch {
      rise.say("The server does not answer.");
    } finally {
      this.following = false;
    }
  }

  /* --- keys --- */

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = /^(INPUT|TEXTAREA)$/.test(event.target.tagName);
    if (event.key === "Escape") {
      if (typing) event.target.blur();
      else if (this.parse().row !== undefined) this.go({ ...this.parse(), row: undefined });
      return;
    }
    if (typing && event.key === "Enter") { event.target.blur(); this.browser.step(1); return; }
    if (typing || event.target.tagName === "SELECT" || document.querySelector("dialog[open]")) return;
    const browser = this.parse().key ? this.browser : null;
    const chip = (n) => { const found = browser.chips.children[n]; if (found) found.click(); };
    const inBrowser = {
      j: () => browser.step(1), ArrowDown: () => browser.step(1), k: () => browser.step(-1), ArrowUp: () => browser.step(-1),
      l: () => browser.stepTurn(1), ArrowRight: () => browser.stepTurn(1), h: () => browser.stepTurn(-1), ArrowLeft: () => browser.stepTurn(-1),
      "/": () => { browser.text.focus(); browser.text.select(); },
      d: () => this.toggleDiff(), c: () => browser.compare(), o: () => this.go({}),
      ...Object.fromEntries([...Array(6).keys()].map((n) => [String(n), () => chip(n)])),
    };
    const arrows = /^Arrow/.test(event.key) && event.target.closest && event.target.closest(".record .scroll");
    const act = { "?": () => this.help(), t: () => this.theme(), ...(browser ? inBrowser : {}) }[event.key];
    if (!act || arrows) return;
    event.preventDefault();
    act();
  }

  help() {
    const { h } = rise;
    const keys = [
      ["j k", "next record, record before (also ↓ ↑)"], ["l h", "next turn, turn before (also → ←)"], ["/", "search questions and replies; Enter opens the first"],
      ["0 … 5", "all, fixed, broken, never right, always right, wavered"], ["d", "mark differences between turns, or not"], ["c", "the stage before beside it, or not"],
      ["o", "all runs"], ["t", "light or dark"], ["Esc", "back to the list"], ["?", "this"],
    ];
    const dialog = h("dialog", { "aria-label": "Keys", onclose: () => dialog.remove(), onclick: (event) => event.target === dialog && dialog.close() },
      h("h2", {}, "Keys"), h("dl.keys", {}, keys.map(([key, says]) => h("div", {}, h("dt", {}, key.split(" ").map((k) => (k === "…" ? " … " : h("kbd", {}, k)))), h("dd", {}, says)))),
      h("div.legend", {}, h("p", {}, rise.marks("r"), " right  ", rise.marks("w"), " wrong  ", rise.marks("u"), " unparsable  ", rise.marks("t"), " timed out  ", rise.marks("n"), " not judged"),
        h("dl", {}, Object.entries(this.overview.outcomes).map(([name, says]) => h("div", {}, h("dt", {}, rise.OUTCOMES[name]), h("dd", {}, says))))),
      h("button", { type: "button", onclick: () => dialog.close() }, "Close"));
    document.body.append(dialog);
    dialog.showModal();
  }

  theme() {
    const root = document.documentElement;
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    store("theme", root.dataset.theme);
  }

  toggleDiff() {
    this.diff = !this.diff;
    store("diff", this.diff ? "on" : "off");
    this.browser.showRecord().catch((error) => this.fail(error));
  }
}

/* Storage may be refused, on disk above all; then nothing is remembered. */
function store(name, value) {
  try {
    if (value !== undefined) localStorage.setItem(`rise-view-${name}`, value);
    return localStorage.getItem(`rise-view-${name}`);
  } catch {
    return null;
  }
}

rise.app = new App();
rise.app.start();
