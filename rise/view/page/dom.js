/* Elements, text and numbers. Text becomes text nodes only: nothing a model wrote is ever parsed as markup. */
"use strict";
const rise = {};
window.rise = rise;

/** An element: h("td.num", {title: "…", onclick: f}, "text", other). Children that are null, false or undefined are left out. */
rise.h = function (what, props, ...children) {
  return rise.fill(document.createElement(what.split(".")[0]), what.split(".").slice(1), props, children);
};

rise.svg = function (what, props, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", what.split(".")[0]);
  return rise.fill(made, what.split(".").slice(1), props, children);
};

rise.fill = function (element, classes, props, children) {
  if (classes.length) element.setAttribute("class", classes.join(" "));
  for (const [name, value] of Object.entries(props || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.setAttribute("class", [...classes, value].join(" ").trim());
    else if (name.startsWith("--")) element.style.setProperty(name, value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : String(child));
  }
  return element;
};

/* Control characters and marks that reorder text as visible signs, as rise.evaluation.outcomes.printable has them. */
const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;
rise.printable = function (text) {
  return String(text).replace(HIDDEN, (c) => {
    const code = c.charCodeAt(0);
    return code < 32 ? String.fromCharCode(0x2400 + code) : code === 127 ? "␡" : "�";
  });
};

rise.DASH = "–";
/* 100 × a share with one digit, half up on the share's own digits, as rise/report/numbers.py has it: 0.4625 is 46.3, 0.4635 is 46.4. */
rise.hundredfold = (share) => (Math.round(Math.abs(share) < 1e-6 ? 1000 * share : Number(`${share}e3`)) / 10).toFixed(1);
rise.percent = (share) => (share === null || share === undefined ? rise.DASH : rise.hundredfold(share));
rise.points = function (difference) {
  if (difference === null || difference === undefined) return rise.DASH;
  const text = rise.hundredfold(Math.abs(difference));
  return Number(text) === 0 ? text : (difference > 0 ? "+" : "−") + text;
};
rise.count = (n) => (n === null || n === undefined ? rise.DASH : Number(n).toLocaleString("en-US"));
rise.number = (x) => (x === null || x === undefined ? rise.DASH : String(Number(Number(x).toPrecision(3))));
rise.plural = (n, one, many) => `${rise.count(n)} ${n === 1 ? one : many || one + "s"}`;

rise.seconds = function (s) {
  if (s < 90) return `${Math.round(s)} s`;
  return s < 5400 ? `${Math.round(s / 60)} min` : s < 172800 ? `${Math.round(s / 3600)} h` : `${Math.round(s / 86400)} days`;
};

rise.VERDICTS = { r: "right", w: "wrong", u: "unparsable", t: "timed out", n: "not judged" };
rise.letter = (turn) => (turn.verdict ? turn.verdict[0] : "n");
rise.OUTCOMES = { kept: "always right", fixed: "fixed", wavered: "wavered", broken: "broken", never: "never right" };

/** A run of turns as squares: filled is right, hollow wrong, a bar unparsable. Told apart without colour, and read out as words. */
rise.marks = function (pattern, current) {
  const said = [...pattern].map((letter, k) => `${k + 1} ${rise.VERDICTS[letter]}`).join(", ");
  return rise.h("span.marks", { role: "img", "aria-label": said, title: said },
    [...pattern].map((letter, k) => rise.h("i", { class: letter + (k === current ? " now" : "") })));
};

rise.say = function (text) {
  document.getElementById("said").textContent = text;
};
