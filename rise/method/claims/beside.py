"""All arms of a folder of experiments beside each other: each on each task, by the laboratory's own list of readings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from rise.errors import RiseError
from rise.evaluation.seeds import OverSeeds
from rise.evaluation.verdict import Share, Signed, found
from rise.method.claims.arms import Bound, Training
from rise.method.claims.experiment import Experiment, Laboratory
from rise.method.claims.expression import Place, Term
from rise.method.claims.plan import curves
from rise.method.claims.results import Reader
from rise.runs import stages
from rise.runs.directory import RunDir
from rise.runs.takeover import Sampled, sampled, trained_tokens


@dataclass(frozen=True)
class Point:
    """One place after k turns, a mean over its seeds."""

    tokens: float
    """Read and written, a problem."""
    last: float
    """Share of replies at turn k that are right."""
    vote: float
    """Share of votes over the turns up to k that are right."""


@dataclass(frozen=True)
class Row:
    """One arm on one task."""

    label: str
    numbers: Mapping[str, OverSeeds]
    """By reading; those that were measured."""
    trained: float | None
    """Target tokens of all rounds, a mean over seeds; None before the rounds."""
    drawn: Sampled | None
    """What the rounds' data cost to draw, a mean over seeds."""
    points: tuple[Point, ...]
    """After 1, 2, … turns."""


@dataclass(frozen=True)
class Side:
    """One task: all arms that were asked about it."""

    task: str
    gap: bool
    rows: tuple[Row, ...]


def sides(reader: Reader, experiments: Sequence[Experiment], laboratory: Laboratory) -> tuple[Side, ...]:
    """A side a task, as far as the runs have got; none where the laboratory lists no readings."""
    if not laboratory.beside:
        return ()
    return tuple(
        Side(name, task.gap, tuple(_rows(reader, experiments, laboratory.beside, name)))
        for name, task in laboratory.tasks.items()
    )


def _rows(reader: Reader, experiments: Sequence[Experiment], readings: Sequence[str], task: str) -> list[Row]:
    rows: dict[tuple[str, Place], Row] = {}
    for experiment in experiments:
        arms, seeds = reader.plan.arms[experiment.claim], reader.plan.seeds[experiment.claim]
        for label, place in curves(experiment, arms):
            bound = arms.bound(place.arm, task)
            key = (bound.name, Place("", place.stage, place.probe))
            if key not in rows:
                rows[key] = _row(reader, label, bound, place, experiment.claim, seeds, readings)
    return list(rows.values())


def _row(
    reader: Reader, label: str, bound: Bound, place: Place, claim: int, seeds: Sequence[int], readings: Sequence[str]
) -> Row:
    def shares(reading: str) -> dict[int, Share]:
        return _shares(reader, Term(1.0, place, reading), claim, bound.task, seeds)

    numbers = {reading: _over(shares(reading)) for reading in readings}
    points: list[Point] = []
    while True:
        k = len(points) + 1
        values = [_mean(shares(f"{name}{k}")) for name in ("all-tokens", "t", "m1@t")]
        if None in values:
            break
        points.append(Point(*(value for value in values if value is not None)))
    known = {reading: number for reading, number in numbers.items() if number.by_seed}
    trained, drawn = _cost(reader, bound, place, seeds)
    return Row(label, known, trained, drawn, tuple(points))


def _shares(reader: Reader, term: Term, claim: int, task: str, seeds: Sequence[int]) -> dict[int, Share]:
    out = {}
    for seed in seeds:
        try:
            value = reader.term(term, claim, task, seed)
        except (RiseError, OSError):
            continue
        if isinstance(value, Share) and value.value is not None:
            out[seed] = value
    return out


def _over(shares: Mapping[int, Share]) -> OverSeeds:
    signed: dict[int, Signed] = {seed: [(1.0, share)] for seed, share in shares.items()}
    return found(signed)


def _mean(shares: Mapping[int, Share]) -> float | None:
    return fmean(share.value or 0.0 for share in shares.values()) if shares else None


def _cost(reader: Reader, bound: Bound, place: Place, seeds: Sequence[int]) -> tuple[float | None, Sampled | None]:
    """What its training took; (None, None) of a stage before the rounds, and where nothing is finished."""
    last = stages.round_number(place.stage or bound.last_stage)
    runs = [RunDir(Training(bound, seed).path(reader.out)) for seed in seeds]
    runs = [run for run in runs if (run.path / bound.last_stage / "metrics.json").exists()]
    if not last or place.stage or not runs:
        return None, None
    drawn = [sampled(run) for run in runs]
    mean = Sampled(round(fmean(d.replies for d in drawn)), round(fmean(d.tokens for d in drawn)))
    return fmean(sum(trained_tokens(run).values()) for run in runs), mean


def to_json(side: Side) -> dict[str, Any]:
    """As it stands among the pages' numbers."""
    return {
        "task": side.task,
        "gap": side.gap,
        "rows": [
            {
                "arm": row.label,
                "numbers": {name: _number_json(number) for name, number in row.numbers.items()},
                "trained_tokens": row.trained,
                "replies_drawn": row.drawn.replies if row.drawn else None,
                "tokens_drawn": row.drawn.tokens if row.drawn else None,
                "by_turn": [{"all_tokens": p.tokens, "last": p.last, "vote": p.vote} for p in row.points],
            }
            for row in side.rows
        ],
    }


def _number_json(number: OverSeeds) -> dict[str, Any]:
    return {
        "by_seed": {str(seed): estimate.value for seed, estimate in number.by_seed.items()},
        "seeds": number.seeds.to_json(),
        "problems": number.problems.to_json(),
    }
