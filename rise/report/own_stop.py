"""Whether the model knows when it is right, where it was asked (`state.verify`): its verdicts, its stops and what they save."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rise.report.collect import ReportData, Stage, estimate_at
from rise.report.numbers import count, number, percent
from rise.report.table import Cell, Table, share_cells, tokens_cell

SHARES = ("precision", "recall", "stopped", "wrong_stops", "unreadable")


def own_stop_table(data: ReportData) -> Table:
    """One row a stage whose model was asked for verdicts."""
    rows = []
    for stage in data.rows:
        found = (stage.metrics or {}).get("own_stop")
        if not found:
            continue
        on = found.get("played_on") or {}
        rows.append(
            (
                Cell(stage.title),
                *share_cells(estimate_at(found, name) for name in SHARES),
                Cell(number(found["turns"])),
                tokens_cell(found["tokens"]),
                tokens_cell(on.get("tokens") or {}),
                *share_cells([estimate_at(on, "accuracy")]),
                Cell(count(stage.estimate("m1@t1").n or None)),
            )
        )
    K = data.n_turns
    shares = ("precision", "recall", "stopped", "wrong stops", "neither word")
    columns = ("stage", *shares, "turns", "tokens", "tokens, played on", f"turn {K}, played on", "n")
    caption = (
        "The model is asked of each attempt whether it is right, and a run ends when it says so. Precision: of the attempts it "
        "called right, the share that is. Recall: of the right attempts it was asked about, the share it called right. Stopped, "
        "wrong stops: shares of all problems. Neither word: of its verdicts, the share that is neither right nor wrong; the run "
        "goes on then. Turns and tokens are means a problem, generated tokens first, verdicts included. Played on: the same "
        f"problems without a stop, {K} turns and no verdict asked, where evaluate.play_on took them."
    )
    return Table("own-stop", "Does the model know when it is right?", columns, tuple(rows), caption)


def turns_taken(stage: Stage | None) -> str:
    """`2.4 turns on average`, where the model itself ends runs; else empty."""
    turns = None if stage is None else stage.own_turns
    return "" if turns is None else f"{number(turns)} turn{'' if turns == 1 else 's'} on average"


def own_stop_words(metrics: Mapping[str, Any] | None) -> str:
    """One sentence on when a model stops by itself; empty where it was not asked."""
    found = (metrics or {}).get("own_stop")
    if not found:
        return ""
    stopped, wrong, precision, recall = (
        percent(estimate_at(found, name).value) for name in ("stopped", "wrong_stops", "precision", "recall")
    )
    says = (
        f"It stops by its own verdict on {stopped}\u00a0% of problems, wrongly on {wrong}\u00a0% (precision {precision}, recall "
        f"{recall}), and takes {number(found['turns'])} turns on average"
    )
    saved = ((found.get("played_on") or {}).get("saved") or {}).get("generated_tokens")
    if saved is None:
        return f"{says}."
    cost = f"saves {percent(saved)}" if saved >= 0 else f"costs {percent(-saved)}"
    return f"{says}; this {cost}\u00a0% of the tokens that all turns would generate."
