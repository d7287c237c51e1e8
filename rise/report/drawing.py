"""How a picture is drawn: style, axes, lines with bands, and matplotlib's SVG made fit for a page that holds several."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import matplotlib
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import MaxNLocator

from rise.evaluation.uncertainty import Estimate
from rise.report.colours import placeholder, plain_colours, to_light, to_variables
from rise.report.numbers import count, number

# 4.6 inches are 331 points: at the width of a phone a 9 point label is still 9 pixels high.
WIDTH, HEIGHT = 4.6, 3.0

DOTTED = (0, (1, 1.6))
"""How a prediction is drawn."""
DASHED = (0, (3, 2))
"""How a control is drawn, and what needs an oracle."""

FORMATS = ("pdf", "svg", "png")
"""Of figures as files."""


def _style() -> Any:
    """matplotlib's settings, in the colours of the moment."""
    return {
        "svg.fonttype": "none",
        "text.parse_math": False,
        "font.family": "sans-serif",
        "font.size": 9,
        "axes.titlesize": 9,
        "axes.titlelocation": "left",
        "axes.labelsize": 9,
        "axes.labelcolor": placeholder("quiet"),
        "axes.edgecolor": placeholder("line"),
        "axes.titlecolor": placeholder("ink"),
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.spines.left": False,
        "axes.grid": True,
        "axes.grid.axis": "y",
        "axes.axisbelow": True,
        "axes.unicode_minus": True,
        "grid.color": placeholder("line"),
        "grid.linewidth": 0.6,
        "text.color": placeholder("ink"),
        "xtick.color": placeholder("line"),
        "ytick.color": placeholder("line"),
        "xtick.labelcolor": placeholder("quiet"),
        "ytick.labelcolor": placeholder("quiet"),
        "xtick.labelsize": 8.5,
        "ytick.labelsize": 8.5,
        "xtick.major.size": 3,
        "ytick.major.size": 0,
        "lines.linewidth": 1.8,
        "lines.markersize": 4,
        "legend.frameon": False,
        "legend.fontsize": 8.5,
        "legend.handlelength": 1.4,
        "figure.constrained_layout.use": True,
    }


@dataclass(frozen=True, slots=True)
class Figure:
    """One picture and what it says in words."""

    key: str
    title: str
    caption: str
    drawn: str
    """SVG with placeholders for colours."""
    draw: Callable[[Canvas], None] = field(repr=False, compare=False)
    """Draws it again, for a file that is no SVG."""
    size: tuple[float, float] = (WIDTH, HEIGHT)
    """Inches."""

    @property
    def inline(self) -> str:
        """For a page: colours are CSS variables, the font is the page's."""
        svg = re.sub(r"(font: [^;\"]*?[\d.]+px) [^;\"]+", r"\1 var(--figure-font)", self.drawn)
        return to_variables(svg)

    @property
    def standalone(self) -> str:
        """For a file: light colours on white."""
        svg = re.sub(r"(font: [^;\"]*?[\d.]+px) [^;\"]+", r"\1 system-ui, 'Segoe UI', Helvetica, Arial, sans-serif", self.drawn)
        box = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)
        assert box is not None, "matplotlib always writes a viewBox"
        paper = f'<rect width="{box[1]}" height="{box[2]}" fill="#ffffff"/>'
        return '<?xml version="1.0" encoding="utf-8"?>\n' + to_light(re.sub(r"(<svg[^>]*>)", rf"\1{paper}", svg, count=1)) + "\n"

    def as_file(self, kind: str) -> bytes:
        """The picture as `FORMATS` has it, in light colours on white. The same picture gives the same bytes."""
        if kind == "svg":
            return self.standalone.encode()
        with plain_colours(), matplotlib.rc_context({**_style(), "pdf.fonttype": 42}):
            canvas = Canvas(figsize=self.size, facecolor=placeholder("paper"))
            self.draw(canvas)
            out = io.BytesIO()
            no_clock = {"CreationDate": None, "Creator": None, "Producer": None} if kind == "pdf" else {"Software": None}
            canvas.savefig(out, format=kind, dpi=200, facecolor=placeholder("paper"), metadata=no_clock)
        return out.getvalue()


def band(
    axes: Any,
    pairs: Sequence[tuple[float, Estimate]],
    colour: str,
    *,
    linestyle: Any = "-",
    band: bool = True,
    marker: str = "o",
) -> None:
    """A line through the values, in percent, and its intervals as a band."""
    known = [(x, e) for x, e in pairs if e.value is not None]
    xs = [x for x, _ in known]
    axes.plot(xs, [100 * (e.value or 0.0) for _, e in known], color=colour, linestyle=linestyle, marker=marker)
    if band and all(e.low is not None and e.high is not None for _, e in known):
        low, high = ([100 * (getattr(e, end) or 0.0) for _, e in known] for end in ("low", "high"))
        axes.fill_between(xs, low, high, color=colour, alpha=0.13, linewidth=0)


def known(series: Sequence[Estimate]) -> list[tuple[float, Estimate]]:
    """(turn, number) of the turns that have one."""
    return [(float(k), e) for k, e in enumerate(series, 1) if e.value is not None]


def line_end(pairs: Sequence[tuple[float, Estimate]], label: str, role: str) -> tuple[float, float, str, str]:
    """What `end_labels` writes at the end of a line."""
    return pairs[-1][0], 100 * (pairs[-1][1].value or 0.0), label, placeholder(role)


def fit(axes: Any, lines: Sequence[Sequence[Estimate]], banded: Sequence[Estimate]) -> None:
    """A vertical axis that the lines fill, and one band; wider bands of fainter lines may leave it."""
    values = [e.value for series in lines for e in series] + [end for e in banded for end in (e.low, e.high)]
    percents = [100 * value for value in values if value is not None]
    if percents:
        low, high = min(percents), max(percents)
        room = max(0.5, 0.06 * (high - low))
        axes.set_ylim(max(-room / 2, low - room), min(100 + room / 2, high + room))


def turn_axis(axes: Any, n_turns: int) -> None:
    axes.set_xticks(range(1, n_turns + 1))
    axes.set_xlim(0.85, n_turns + 0.1)
    axes.set_xlabel("turn")
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6, min_n_ticks=4))


def end_labels(axes: Any, ends: Sequence[tuple[float, float, str, str]]) -> None:
    """Names at the right end of lines, in their colour, pushed apart where they would overlap."""
    low, high = axes.get_ylim()
    gap = 0.075 * (high - low)
    places: list[float] = []
    for _, y, _, _ in (ordered := sorted(ends, key=lambda end: end[1])):
        places.append(max(y, places[-1] + gap) if places else y)
    shift = max(0.0, sum(place - end[1] for place, end in zip(places, ordered, strict=True)) / max(1, len(places)))
    for place, (x, _, label, colour) in zip(places, ordered, strict=True):
        # Outside the axes; constrained layout makes room for it.
        style: Any = {"va": "center", "color": colour, "fontsize": 8.5, "annotation_clip": False}
        axes.annotate(label, (x, place - shift), (7, 0), textcoords="offset points", **style)
    axes.set_ylim(low, high)


def horizontal(axes: Any, labels: Sequence[str]) -> None:
    axes.set_yticks(range(len(labels)), labels)
    axes.tick_params(axis="y", labelcolor=placeholder("ink"))
    axes.grid(True, axis="x")
    axes.grid(False, axis="y")
    axes.set_ylim(-0.6, len(labels) - 0.4)


def histogram(axes: Any, pairs: Sequence[Sequence[float]], colour: str) -> None:
    """Bars at the values themselves where they are few, else twenty bins."""
    if len(pairs) <= 8:
        heights = [n for _, n in pairs]
        axes.bar(range(len(pairs)), heights, width=0.6, color=colour)
        axes.set_xticks(range(len(pairs)), [number(value) for value, _ in pairs])
        axes.set_xlim(-0.7, max(len(pairs) - 0.3, 1.7))
        for i, n in enumerate(heights):
            axes.annotate(count(n), (i, n), (0, 2), textcoords="offset points", ha="center", fontsize=8)
        axes.margins(y=0.15)
        axes.set_yticks([])
        axes.grid(False)
    else:
        axes.hist([value for value, _ in pairs], bins=20, weights=[n for _, n in pairs], color=colour)


def running_mean(values: Sequence[float], n: int) -> list[float]:
    """
    >>> running_mean([1.0, 3.0, 5.0], n=2)
    [1.0, 2.0, 4.0]
    """
    out, total = [], 0.0
    for i, value in enumerate(values):
        total += value - (values[i - n] if i >= n else 0.0)
        out.append(total / min(i + 1, n))
    return out


def patch(colour: str) -> Any:
    from matplotlib.patches import Patch

    return Patch(facecolor=colour, linewidth=0)


def stroke(colour: str, style: Any) -> Any:
    from matplotlib.lines import Line2D

    return Line2D([], [], color=colour, linestyle=style)


def make_figure(
    key: str, title: str, caption: str, draw: Callable[[Canvas], None], *, width: float = WIDTH, height: float = HEIGHT
) -> Figure:
    """Draw on a fresh canvas and take it down as SVG: without a clock or random ids; its ids begin with `key`."""
    with matplotlib.rc_context({**_style(), "svg.hashsalt": key}):
        canvas = Canvas(figsize=(width, height))
        draw(canvas)
        out = io.StringIO()
        quiet = {"Date": None, "Creator": None, "Format": None, "Type": None}
        canvas.savefig(out, format="svg", transparent=True, metadata=quiet)
    svg = out.getvalue()
    svg = svg[svg.index("<svg") :].strip()
    # Two figures on one page must not share ids, or the second borrows the first one's clip paths.
    svg = re.sub(r'\bid="', f'id="{key}-', svg)
    svg = re.sub(r'(href="#|url\(#)', rf"\g<1>{key}-", svg)
    # The page decides the width; the view box keeps the shape.
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    return Figure(key, title, caption, svg, draw, (width, height))
