/* A list of any length: only the rows in sight are elements. */
"use strict";

const SPARE = 8; /* rows drawn beyond either edge */

/** A listbox whose row n is drawn by `draw(n)`; `choose(n)` is called when one is picked. */
rise.List = class {
  constructor({ label, draw, choose, height }) {
    this.draw = draw;
    this.height = height;
    this.n = 0;
    this.chosen = -1;
    this.rows = new Map();
    this.space = rise.h("div.space", { role: "presentation" });
    this.element = rise.h("div.list", {
      role: "listbox", tabindex: "0", "aria-label": label,
      onclick: (event) => {
        const row = event.target.closest("[role=option]");
        if (row) choose(Number(row.dataset.n));
      },
    }, this.space);
    this.element.addEventListener("scroll", () => this.paint(), { passive: true });
    new ResizeObserver(() => this.paint()).observe(this.element);
  }

  /** There are now `n` rows, and what they show may have changed. */
  reset(n, chosen, { keep = false } = {}) {
    this.n = n;
    this.chosen = chosen;
    this.space.style.setProperty("height", `${n * this.height}px`);
    for (const row of this.rows.values()) row.remove();
    this.rows.clear();
    if (!keep) this.element.scrollTop = 0;
    this.paint();
  }

  paint() {
    const top = this.element.scrollTop, room = this.element.clientHeight;
    const first = Math.max(0, Math.floor(top / this.height) - SPARE);
    const last = Math.min(this.n - 1, Math.ceil((top + room) / this.height) + SPARE);
    for (const [n, row] of this.rows) {
      if (n < first || n > last) { row.remove(); this.rows.delete(n); }
    }
    const fresh = document.createDocumentFragment();
    for (let n = first; n <= last; n++) {
      if (this.rows.has(n)) continue;
      const row = this.draw(n);
      row.id = `row-${n}`;
      row.dataset.n = n;
      row.setAttribute("role", "option");
      row.setAttribute("aria-setsize", this.n);
      row.setAttribute("aria-posinset", n + 1);
      row.setAttribute("aria-selected", n === this.chosen);
      row.style.setProperty("transform", `translateY(${n * this.height}px)`);
      this.rows.set(n, row);
      fresh.append(row);
    }
    this.space.append(fresh);
  }

  choose(n) {
    const mark = (k, on) => this.rows.get(k) && this.rows.get(k).setAttribute("aria-selected", on);
    mark(this.chosen, false);
    this.chosen = n;
    mark(n, true);
    if (n < 0) return this.element.removeAttribute("aria-activedescendant");
    const top = n * this.height, room = this.element.clientHeight;
    if (top < this.element.scrollTop) this.element.scrollTop = top - this.height;
    else if (top + this.height > this.element.scrollTop + room) this.element.scrollTop = top + 2 * this.height - room;
    this.paint();
    this.element.setAttribute("aria-activedescendant", `row-${n}`);
  }
};
