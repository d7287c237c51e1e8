/* Small line charts: accuracy by turn, loss by step. */
"use strict";

/**
 * `lines`: [{name, role, points: [{value, low, high}, …]}], one point a turn. Bands are 95 % intervals.
 * All charts of a page share `range`, so that runs side by side can be compared by eye.
 */
rise.turnsChart = function (lines, range, label) {
  const { svg } = rise;
  const W = 420, H = 236, left = 38, right = 92, top = 12, bottom = 30;
  const K = Math.max(...lines.map((line) => line.points.length), 2);
  const x = (k) => left + (k / (K - 1)) * (W - left - right);
  const y = (v) => H - bottom - ((v - range[0]) / (range[1] - range[0] || 1)) * (H - top - bottom);
  const chart = svg("svg.chart", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": label });
  for (const tick of ticks(range)) {
    chart.append(svg("line.grid", { x1: left, x2: W - right, y1: y(tick), y2: y(tick) }));
    chart.append(svg("text.tick", { x: left - 6, y: y(tick) + 4, "text-anchor": "end" }, Math.round(100 * tick)));
  }
  for (let k = 0; k < K; k++) chart.append(svg("text.tick", { x: x(k), y: H - 12, "text-anchor": "middle" }, k ? k + 1 : "turn 1"));
  const ends = [];
  for (const line of lines) {
    const known = line.points.map((p, k) => [k, p]).filter(([, p]) => p && p.value !== null);
    if (!known.length) continue;
    const path = (list) => list.map(([k, v], n) => `${n ? "L" : "M"}${x(k).toFixed(1)},${y(v).toFixed(1)}`).join("");
    const banded = known.filter(([, p]) => p.low !== null);
    const band = [...banded.map(([k, p]) => [k, p.high]), ...banded.reverse().map(([k, p]) => [k, p.low])];
    const style = { "--role": `var(--${line.role})` };
    chart.append(svg("path.band", { d: `${path(band)}Z`, ...style }));
    chart.append(svg("path.curve", { d: path(known.map(([k, p]) => [k, p.value])), ...style }));
    for (const [k, p] of known) {
      chart.append(svg("circle.dot", { cx: x(k), cy: y(p.value), r: 3, ...style },
        svg("title", {}, `${line.name}, turn ${k + 1}: ${rise.percent(p.value)} % (${rise.percent(p.low)}–${rise.percent(p.high)})`)));
    }
    ends.push({ line, y: y(known[known.length - 1][1].value), x: x(known[known.length - 1][0]) });
  }
  ends.sort((a, b) => a.y - b.y); /* names at line ends, pushed apart where they would overlap */
  ends.forEach((end, n) => { if (n) end.y = Math.max(end.y, ends[n - 1].y + 15); });
  for (let n = ends.length - 1, floor = H - bottom; n >= 0; n--, floor -= 15) ends[n].y = Math.min(ends[n].y, Math.max(floor, top));
  for (const end of ends) {
    chart.append(svg("text.name", { x: end.x + 9, y: end.y + 4, "--role": `var(--${end.line.role})` }, end.line.name));
  }
  return chart;
};

/** Round values that cover a range of shares. */
rise.nice = function (values) {
  const low = Math.min(...values), high = Math.max(...values);
  const step = high - low > 0.5 ? 0.2 : high - low > 0.2 ? 0.1 : 0.05;
  return [Math.max(0, Math.floor(low / step) * step), Math.min(1, Math.ceil(high / step + 1e-9) * step)];
};

function ticks([low, high]) {
  const step = high - low > 0.5 ? 0.2 : high - low > 0.2 ? 0.1 : 0.05;
  const out = [];
  for (let v = low; v < high + 1e-9; v += step) out.push(v);
  return out;
}

/** Loss by step as a bare line. */
rise.lossChart = function (points, steps) {
  const { svg } = rise;
  const W = 260, H = 56;
  const known = points.filter(([, loss]) => loss !== null);
  const values = known.map(([, loss]) => loss);
  const high = Math.max(...values), low = Math.min(...values);
  const path = known.map(([step, loss], n) => {
    const px = 2 + (step / (steps || known[known.length - 1][0] || 1)) * (W - 4);
    return `${n ? "L" : "M"}${px.toFixed(1)},${(H - 4 - ((loss - low) / (high - low || 1)) * (H - 8)).toFixed(1)}`;
  }).join("");
  return svg("svg.loss", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": `loss by step, now ${rise.number(values[values.length - 1])}` },
    svg("line.grid", { x1: 0, x2: W, y1: H - 2, y2: H - 2 }), svg("path.curve", { d: path, "--role": "var(--turns)" }));
};
