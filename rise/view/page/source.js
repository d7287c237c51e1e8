/* Where data come from: a server that follows the runs, or scripts beside the page (browsers fetch nothing from disk). */
"use strict";

rise.server = {
  live: true,
  async ask(path, values) {
    const answer = await fetch(`api/${path}?${new URLSearchParams(values || {})}`);
    const data = await answer.json().catch(() => ({ error: `The server answered ${answer.status}.` }));
    if (!answer.ok) throw new Error(typeof data.error === "string" ? data.error : `The server answered ${answer.status}.`);
    return data;
  },
  overview() { return this.ask("overview"); },
  async stamp() { return (await this.ask("stamp")).stamp; },
  async rows(key, start, limit) {
    const answer = await this.ask("rows", { key, start, limit });
    return { ...answer, rows: byName(answer.columns, answer.rows) };
  },
  record(key, row) { return this.ask("record", { key, row }); },
  async search(key, text) { return (await this.ask("search", { key, q: text })).rows; },
  async where(problem) { return (await this.ask("where", { problem })).where; },
};

rise.disk = {
  live: false,
  parts: new Map(),
  files: new Map(),

  /** One piece: from an element of this page, or from a script that calls rise.put. */
  part(name) {
    if (!this.parts.has(name)) {
      this.parts.set(name, new Promise((resolve, reject) => {
        const inside = document.querySelector(`script[data-name="${name}"]`);
        if (inside) return resolve(JSON.parse(inside.textContent));
        const script = document.createElement("script");
        this.waiting = this.waiting || new Map();
        this.waiting.set(name, resolve);
        script.src = `data/${name}.js`;
        script.onload = () => script.remove();
        script.onerror = () => {
          this.parts.delete(name);
          reject(new Error(`data/${name}.js is missing: the copy is not whole. Export it again.`));
        };
        document.head.append(script);
      }));
    }
    return this.parts.get(name);
  },
  async overview() {
    const found = await this.part("overview");
    found.runs.forEach((run) => run.stages.forEach((stage) => stage.files.forEach((file) => this.files.set(file.key, file))));
    return found;
  },
  name: (key) => key.replaceAll("/", "-"),
  file(key) {
    if (!this.files.has(key)) throw new Error(`${key} is not in this copy.`);
    return this.files.get(key);
  },
  async rows(key, start) {
    const file = this.file(key);
    const about = { n: file.n, complete: true, share: 1, version: 0, n_bad: file.n_bad, first_bad: file.first_bad };
    if (start >= file.n) return { rows: [], ...about };
    const rows = await this.part(`${this.name(key)}-rows-${Math.floor(start / file.rows_per_part)}`);
    return { rows: byName(file.columns, rows.slice(start % file.rows_per_part)), ...about, complete: start + rows.length >= file.n };
  },
  async record(key, row) {
    const file = this.file(key);
    const records = await this.part(`${this.name(key)}-records-${Math.floor(row / file.records_per_part)}`);
    return records[row % file.records_per_part];
  },
  async search(key, text) {
    const file = this.file(key), wanted = text.toLowerCase(), found = [];
    for (let start = 0; start < file.n; start += file.records_per_part) {
      const records = await this.part(`${this.name(key)}-records-${start / file.records_per_part}`);
      records.forEach((record, i) => { if (texts(record).join("\n").toLowerCase().includes(wanted)) found.push(start + i); });
    }
    return found;
  },
  async where(problem) {
    const found = [];
    for (const file of this.files.values()) {
      if (file.kind !== "held-out") continue;
      for (let start = 0; start < file.n; start += file.rows_per_part) {
        const rows = await this.part(`${this.name(file.key)}-rows-${start / file.rows_per_part}`);
        const named = byName(file.columns, rows);
        const at = named.findIndex((row) => row.problem_id === problem);
        if (at >= 0) { found.push({ key: file.key, row: start + at, pattern: named[at].pattern }); break; }
      }
    }
    return found;
  },
};

/* Rows travel as lists, with the names of their columns once beside them; the page reads them by name. */
function byName(columns, rows) {
  return rows.map((values) => {
    const row = {};
    for (let i = 0; i < columns.length; i++) row[columns[i]] = values[i];
    return row;
  });
}

/* What the server's index searches, too. */
function texts(record) {
  const replies = ["turns", "samples", "other", "internalised", "beyond", "candidates"].flatMap((name) => (record[name] || []).map((turn) => turn.reply));
  const prompt = (record.prompt || []).map((message) => message.content);
  return [record.problem.id, record.problem.question || "", record.problem.gold || "", ...replies, ...prompt, record.reply || ""];
}

/** Called by the scripts of a copy. */
rise.put = function (name, data) {
  const resolve = rise.disk.waiting && rise.disk.waiting.get(name);
  if (resolve) resolve(data);
};

rise.source = location.protocol === "file:" || document.querySelector("script[data-name]") ? rise.disk : rise.server;
