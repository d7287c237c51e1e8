"""One measurement as plain lines of 80 columns: `rise evaluate` prints it, and so does `rise.evaluate(…).table()` in Python."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

from rise.evaluation.headline import HEADLINE, PAIRED, REPLIES, named, sizes
from rise.report.collect import estimate_at
from rise.report.numbers import DASH, count, percent, percent_interval, points, points_interval

COLUMNS = 80
Row = tuple[str, str, str, str]
"""Name, value, interval, words."""


def measured_table(metrics: Mapping[str, Any], title: str = "") -> str:
    """Headline metrics, shares of replies and paired differences with 95 % intervals, one a line; then the last reply by turn.

    `title` stands before the counts. A control that was not run is a dash, or left out where a recipe has to ask for it.
    """
    K, S = sizes(metrics)
    rows: list[Row] = []
    for share in named([*HEADLINE, *REPLIES], K, S):
        found = estimate_at(share.find(metrics) or {})
        rows.append((share.label, percent(found.value), percent_interval(found), share.words))
    for pair in named(PAIRED, K, S):
        found = estimate_at(pair.find(metrics) or {})
        if found.value is not None or not pair.of.optional:
            rows.append((pair.label, points(found.value), points_interval(found), pair.words))
    n = count(metrics["m1@t1"]["n"])
    by_turn = "  ".join(percent(estimate["value"]) for estimate in metrics["accuracy_by_turn"])
    head = f"{title + ': ' if title else ''}{n} problems, {K} turns, {S} samples; percent, 95 % intervals"
    return "\n".join([head, *_lines(rows), *_folded("right by turn, %: ", by_turn)])


def _lines(rows: list[Row]) -> list[str]:
    names, values, intervals = (max(len(row[i]) for row in rows) for i in range(3))
    lines = []
    for name, value, interval, words in rows:
        numbers = f"{name:<{names}}  {value:>{values}}  {'' if interval == DASH else interval:<{intervals}}  "
        lines += _folded(numbers, words)
    return lines


def _folded(head: str, words: str) -> list[str]:
    folded = textwrap.wrap(words, COLUMNS, initial_indent=head, subsequent_indent=" " * len(head))
    return folded or [head.rstrip()]
