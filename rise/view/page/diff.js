/* What changed between two replies, word by word: the longest common subsequence of words, spaces and signs. */
"use strict";

/* Words and numbers whole, everything else a sign at a time; line ends apart, so that lines line up. */
const WORDS = /[\p{L}\p{N}\p{M}_]+|\n|[^\S\n]+|[^]/gu;
const MOST_CELLS = 4e6; /* 2,000 words against 2,000: 16 MB and some 30 ms. Beyond it the middle counts as rewritten. */

/** [["same" | "gone" | "new", text], …] that turns `before` into `after`. */
rise.diff = function (before, after) {
  const a = before.match(WORDS) || [], b = after.match(WORDS) || [];
  let head = 0, tail = 0;
  while (head < a.length && head < b.length && a[head] === b[head]) head++;
  while (tail < a.length - head && tail < b.length - head && a[a.length - 1 - tail] === b[b.length - 1 - tail]) tail++;
  const parts = [];
  const add = (kind, text) => {
    const last = parts[parts.length - 1];
    if (last && last[0] === kind) last[1] += text;
    else if (text) parts.push([kind, text]);
  };
  a.slice(0, head).forEach((word) => add("same", word));
  middle(a.slice(head, a.length - tail), b.slice(head, b.length - tail), add);
  a.slice(a.length - tail).forEach((word) => add("same", word));
  return tidy(parts);
};

function middle(a, b, add) {
  if ((a.length + 1) * (b.length + 1) > MOST_CELLS) {
    add("gone", a.join(""));
    add("new", b.join(""));
    return;
  }
  const width = b.length + 1;
  const common = new Uint16Array((a.length + 1) * width); /* cells ≤ 4e6, so the shorter side is below 2¹⁶ */
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      common[i * width + j] = a[i] === b[j]
        ? common[(i + 1) * width + j + 1] + 1
        : Math.max(common[(i + 1) * width + j], common[i * width + j + 1]);
    }
  }
  let i = 0, j = 0;
  while (i < a.length && j < b.length) {
    if (a[i] === b[j]) { add("same", a[i]); i++; j++; }
    else if (common[(i + 1) * width + j] >= common[i * width + j + 1]) add("gone", a[i++]);
    else add("new", b[j++]);
  }
  while (i < a.length) add("gone", a[i++]);
  while (j < b.length) add("new", b[j++]);
}

/* A lone space kept between two changed words only chops the change up: it joins them. Within a change, gone comes first. */
function tidy(parts) {
  const out = [];
  let gone = "", fresh = "";
  const flush = () => {
    if (gone) out.push(["gone", gone]);
    if (fresh) out.push(["new", fresh]);
    gone = fresh = "";
  };
  parts.forEach(([kind, text], n) => {
    const between = n + 1 < parts.length && gone && fresh;
    if (kind === "gone") gone += text;
    else if (kind === "new") fresh += text;
    else if (between && /^[^\S\n]+$/.test(text)) { gone += text; fresh += text; }
    else { flush(); out.push(["same", text]); }
  });
  flush();
  return out;
}
