"""Groups of seeds beside each other: each number over seeds, and each group minus the first, seed by seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rise.errors import DataError
from rise.evaluation.compare import Scores, difference, score, was_told
from rise.evaluation.headline import HEADLINE, PAIRED, Difference, Metric, Name, named
from rise.evaluation.held_out import read_held_out
from rise.evaluation.seeds import OverSeeds, StageOverSeeds, over_seeds
from rise.evaluation.uncertainty import paired_difference
from rise.evaluation.vote import Same
from rise.recipe.methods import method_of
from rise.recipe.toml import load_recipe
from rise.report.collect import ReportData
from rise.report.collect_seeds import collect_seeds
from rise.report.colours import placeholder
from rise.report.compare import check_alike, oracle_words
from rise.report.compare_figure import COLOURS
from rise.report.drawing import Figure
from rise.report.numbers import count
from rise.report.seed_figures import turns_over_seeds
from rise.report.seed_tables import BOTH, compact, over_cell, seed_differences_table
from rise.report.table import Cell, Table
from rise.runs import stages
from rise.runs.group import GroupDir


@dataclass(frozen=True, slots=True)
class GroupEntry:
    """One row: the last stage that a group has measured, over its seeds."""

    label: str
    method: str
    """What the recipe of its seeds trains by."""
    over: StageOverSeeds
    data: ReportData
    scores: dict[int, Scores]
    """Of each seed, what every problem scored."""
    told: bool = False
    """Whether an oracle ended the runs of any seed."""


def read_groups(paths: Sequence[Path], same: Same) -> list[GroupEntry]:
    """The rows. Raises `DataError` where nothing is measured yet, or not over the same turns and samples."""
    entries = [_entry(path, same) for path in paths]
    check_alike({entry.label: (entry.over.n_turns, entry.over.n_samples) for entry in entries})
    if len({entry.over.name for entry in entries}) > 1:
        return [replace(entry, label=f"{entry.label}, {stages.title(entry.over.name)}") for entry in entries]
    return entries


def _entry(path: Path, same: Same) -> GroupEntry:
    data = collect_seeds(path)
    if not data.over:
        raise DataError(f"{path}: no stage has been measured yet.")
    over, group = data.over[-1], GroupDir(path)
    scores: dict[int, Scores] = {}
    any_told = False
    for seed in over.seeds:
        stage = group.seed(seed).stage(over.name)
        records = list(read_held_out(stage.held_out))
        told = was_told(stage.read_metrics(), records)
        any_told = any_told or told
        scores[seed] = score(records, same, turns=over.n_turns, truthful=told)
    method = method_of(load_recipe(group.recipe)) if stages.round_number(over.name) else "before the rounds"
    return GroupEntry(path.resolve().name, method, over, data, scores, any_told)


def tables(entries: Sequence[GroupEntry], *, short: bool = False) -> list[Table]:
    """What is printed, in order; the empty ones left out. `short`: for a terminal of 80 columns."""
    every = [groups_table(entries), *(_differences(entry, short) for entry in entries), minus_table(entries)]
    return [compact(table) if short else table for table in every if table.rows]


def _differences(entry: GroupEntry, short: bool) -> Table:
    table = seed_differences_table(entry.data, short=short)
    return replace(table, key=f"{table.key}-{entry.label}", title=f"{entry.label}, {table.title}")


def groups_table(entries: Sequence[GroupEntry]) -> Table:
    """Every group's headline metrics over seeds."""
    names = named(HEADLINE, entries[0].over.n_turns, entries[0].over.n_samples)
    rows = []
    for entry in entries:
        cells = [over_cell(entry.over.numbers.get(name.key)) for name in names]
        n = entry.over.by_turn[0].problems.n
        rows.append(
            (Cell(entry.label, small=entry.method), *cells, Cell(str(len(entry.over.seeds)), small=f"n {count(n or None)}"))
        )
    caption = f"Percent right: the mean over seeds, and beneath it two 95 % intervals and each seed's own value. {BOTH}"
    caption += _oracle(entries)
    return Table("compare", "Percent right", ("runs", *(name.label for name in names), "seeds"), tuple(rows), caption)


def minus(entry: GroupEntry, first: GroupEntry) -> dict[str, OverSeeds]:
    """A group minus another, seed by seed and problem by problem, over the seeds that both have; by metric."""
    seeds = [seed for seed in entry.scores if seed in first.scores]
    if not seeds:
        raise DataError(f"{entry.label} and {first.label} have no seed in common, so nothing can be paired.")
    found = {}
    for name in named(HEADLINE, entry.over.n_turns, entry.over.n_samples):
        by_seed = {seed: difference(entry.scores[seed], first.scores[seed], name.key) for seed in seeds}
        values = [estimate.value for estimate in by_seed.values() if estimate.value is not None]
        sides = [_means(of.scores, seeds, name.key) for of in (entry, first)]
        common = [problem for problem in sides[0] if problem in sides[1]]
        pooled = paired_difference(*([side[problem] for problem in common] for side in sides))
        found[name.key] = OverSeeds(by_seed, over_seeds(values, least=-1.0), pooled)
    return found


def _means(scores: dict[int, Scores], seeds: Sequence[int], key: str) -> dict[str, float]:
    """What every problem that all seeds were asked scores on average."""
    first, *others = (scores[seed] for seed in seeds)
    common = [problem for problem in first if all(problem in other for other in others)]
    return {problem: sum(scores[seed][problem][key] for seed in seeds) / len(seeds) for problem in common}


def minus_table(entries: Sequence[GroupEntry]) -> Table:
    """Each group minus the first."""
    first = entries[0]
    names = named(HEADLINE, first.over.n_turns, first.over.n_samples)
    rows = []
    for entry in entries[1:]:
        differences = minus(entry, first)
        seeds = len(next(iter(differences.values())).by_seed)
        alike = entry.told == first.told
        cells = [over_cell(differences[name.key], difference=True, finding=alike or name.of.oracle_free) for name in names]
        rows.append((Cell(entry.label), *cells, Cell(str(seeds))))
    caption = f"Percentage points, same seeds, same problems. Only where both intervals leave out zero is it a finding. {BOTH}"
    caption += _oracle(entries)
    columns = ("runs", *(name.label for name in names), "seeds")
    return Table("compare-minus", f"Minus {first.label}, seed by seed", columns, tuple(rows), caption)


def _oracle(entries: Sequence[GroupEntry]) -> str:
    return oracle_words({entry.label: entry.told for entry in entries}, entries[0].over.n_turns)


def figure(entries: Sequence[GroupEntry]) -> Figure:
    """By turn, a line a group."""
    lines = [(entry.label, entry.over, placeholder(COLOURS[i % len(COLOURS)])) for i, entry in enumerate(entries)]
    return turns_over_seeds("compare", lines)


def to_json(entries: Sequence[GroupEntry]) -> dict[str, Any]:
    """Everything the tables say, as plain data."""
    first = entries[0]

    def row(entry: GroupEntry) -> dict[str, Any]:
        entries: list[Metric | Difference] = [*HEADLINE, *PAIRED]
        names: list[Name[Metric | Difference]] = named(entries, entry.over.n_turns, entry.over.n_samples)
        own = {name.key: _plain(entry.over.numbers[name.key]) for name in names}
        others = {key: _plain(number) for key, number in minus(entry, first).items()} if entry is not first else None
        return {
            "label": entry.label,
            "method": entry.method,
            "stage": entry.over.name,
            "truthful": entry.told,
            "seeds": list(entry.over.seeds),
            **own,
            "minus_first": others,
        }

    return {"first": first.label, "groups": [row(entry) for entry in entries]}


def _plain(number: OverSeeds) -> dict[str, Any]:
    by_seed = {str(seed): estimate.to_json() for seed, estimate in number.by_seed.items()}
    return {
        "over_seeds": number.seeds.to_json(),
        "over_problems": number.problems.to_json(),
        "n_above": number.n_above,
        "by_seed": by_seed,
    }
