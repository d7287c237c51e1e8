"""Whether the check that replies hold can be trusted, stage by stage."""

from __future__ import annotations

from rise.report.collect import ReportData, estimate_at
from rise.report.numbers import count
from rise.report.table import Cell, Table, share_cells

SHARES = {"precision": "yes is right", "false_yes": "yes under wrong", "false_no": "no under right", "silent": "says neither"}


def own_check_table(data: ReportData) -> Table:
    """One row a stage whose replies say whether they are right."""
    rows = [
        (
            Cell(stage.title),
            *share_cells(estimate_at(found, name) for name in SHARES),
            Cell(count(estimate_at(found, "silent").n or None)),
        )
        for stage in data.rows
        if (found := (stage.metrics or {}).get("own_check"))
    ]
    caption = (
        "Replies to this task say of their own answer whether it is right, and later turns keep what calls itself right. Yes is "
        "right: of the replies that say yes, the share that is right. Yes under wrong: of the wrong replies, the share that says "
        "yes; no later turn mends those. No under right: of the right replies, the share that says no. n counts replies of all "
        "turns."
    )
    return Table(
        "own-check", "Can the check that replies hold be trusted?", ("stage", *SHARES.values(), "n"), tuple(rows), caption
    )
