/* Runs the viewer's scripts on elements that only hold text: draws the overview and the list of every file of the JSON on standard
   input ({overview, rows: {key: answer}}) and prints their texts by key, as JSON. */
"use strict";
const fs = require("fs"), path = require("path"), vm = require("vm");

class Element {
  constructor(name) { Object.assign(this, { name, children: [], style: { setProperty() {} }, dataset: {}, classList: { toggle() {} }, scrollTop: 0, clientHeight: 400 }); }
  append(...more) { for (const child of more) this.children.push(...(child.name === "fragment" ? child.children : [child])); }
  replaceChildren(...more) { this.children = []; this.append(...more); }
  contains() { return false; }
  remove() { this.gone = true; }
  setAttribute() {}
  removeAttribute() {}
  addEventListener() {}
  get text() {
    const own = this.textContent === undefined ? [] : [this.textContent];
    return [...own, ...this.children.filter((child) => !child.gone).map((child) => (child instanceof Element ? child.text : String(child)))].join(" ");
  }
}

const make = (name) => new Element(name);
const document = { createElement: make, createElementNS: (_, name) => make(name), createDocumentFragment: () => make("fragment"), getElementById: () => make(""), querySelector: () => null, activeElement: null };
const context = vm.createContext({ document, Node: Element, location: { protocol: "http:" }, ResizeObserver: class { observe() {} }, console, setTimeout, clearTimeout });
context.window = context;
for (const script of ["dom.js", "diff.js", "source.js", "chart.js", "overview.js", "list.js", "record.js", "browse.js"]) {
  vm.runInContext(fs.readFileSync(path.join(process.argv[2], script), "utf8"), context, { filename: script });
}
context.given = JSON.parse(fs.readFileSync(0, "utf8"));
vm.runInContext(`
  rise.server.ask = async (path, values) => given.rows[values.key];
  const stages = given.overview.runs[0].stages;
  const app = { overview: given.overview, fileOf: () => null, fail: (error) => { throw error; }, stage: (key) => stages.find((stage) => stage.name === key.split("/")[1]) };
  (async () => {
    const drawn = { overview: rise.overviewPage(given.overview).text };
    const browser = new rise.Browser(app);
    for (const key of Object.keys(given.rows)) {
      await browser.go({ key });
      drawn[key] = [browser.chips.text, browser.label.text, browser.list.space.text].join(" | ");
    }
    console.log(JSON.stringify(drawn));
  })();
`, context);
