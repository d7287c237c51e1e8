"""The directory of several seeds, read once: each seed's run, and every stage over them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import fmean

from rise.errors import DataError
from rise.evaluation.compare import was_told
from rise.evaluation.headline import HEADLINE, PAIRED, REPLIES, Difference, Metric, Played, named, played, sizes
from rise.evaluation.held_out import read_held_out
from rise.evaluation.pooled import pooled
from rise.evaluation.seeds import OverSeeds, StageOverSeeds, at_turn, over_seeds
from rise.evaluation.uncertainty import NOTHING, Estimate
from rise.evaluation.vote import Same
from rise.jsonl import read_text
from rise.report.collect import ReportData, Stage, collect, estimate_at
from rise.report.recipe import same_answers
from rise.runs import stages
from rise.runs.group import GroupDir, is_group


def read(path: Path, *, n_each: int = 2, beside: Iterable[Path] = ()) -> ReportData:
    """A run directory or the directory of several seeds, as a report has it."""
    if not is_group(path):
        return collect(path, n_each=n_each, beside=beside)
    if list(beside):
        raise DataError(f"{path} holds several seeds, and only a run is set beside others. Give rise compare several groups.")
    return collect_seeds(path)


def collect_seeds(path: Path) -> ReportData:
    """The seeds of a recipe, finished or not. Raises `DataError` where a file of theirs is damaged."""
    group = GroupDir(Path(path))
    runs = {seed: collect(group.seed(seed).path, n_each=0) for seed in group.begun()}
    if not runs:
        raise DataError(f"{path}: none of its seeds has begun. The command that made it continues it: rise run {path}")
    first = next(iter(runs.values()))
    same = same_answers(group.seed(next(iter(runs))))
    names = sorted({stage.name for run in runs.values() for stage in run.measured}, key=stages.order)
    over = tuple(_over(name, runs, same) for name in names)
    own = {found.name: _metrics(found, runs) for found in over}
    return ReportData(
        name=first.name,
        directory=Path(path).resolve().name,
        stages=tuple(_stage(stage, own.get(stage.name)) for stage in first.stages),
        config=first.config,
        config_text=read_text(group.recipe),
        provenance={**first.provenance, "command": group.read().get("command"), "seed": ", ".join(map(str, group.seeds()))},
        versions_since=tuple(f"seed {seed}, {line}" for seed, run in runs.items() for line in run.versions_since),
        outcomes={},
        chosen=(),
        runs=runs,
        over=over,
    )


def _stage(stage: Stage, metrics: Mapping[str, object] | None) -> Stage:
    """A stage of the group, its estimates over seeds and problems; only those of `OverSeeds` exist."""
    return Stage(stage.name, metrics, None, (), (), None, stage.awaited)


def _metrics(over: StageOverSeeds, runs: Mapping[int, ReportData]) -> dict[str, object]:
    """As a metrics.json, so that headline and claims read a group as they read a run."""
    measured = [stage for run in runs.values() for stage in run.measured if stage.name == over.name]
    turns = [stage.own_turns for stage in measured if stage.own_turns is not None]
    both = {key: number.both.to_json() for key, number in over.numbers.items()}
    return {
        **both,
        "own_turns": fmean(turns) if turns else None,
        "paired": both,
        "accuracy_by_turn": [number.both.to_json() for number in over.by_turn],
        "parallel_vote": [both.get(f"m{k}@t1") for k in range(1, over.n_samples + 1)],
    }


def _over(name: str, runs: Mapping[int, ReportData], same: Same) -> StageOverSeeds:
    """One stage over the seeds that have measured it."""
    measured = {seed: stage for seed, run in runs.items() for stage in run.measured if stage.name == name}
    shapes = {sizes(stage.metrics or {}) for stage in measured.values()}
    if len(shapes) > 1:
        raise DataError(f"{name} was measured over other numbers of turns or samples in one seed than in another.")
    [(K, S)] = shapes
    played_by, truthful = _played(measured, same)
    numbers: dict[str, OverSeeds] = {}
    entries: list[Metric | Difference] = [*HEADLINE, *REPLIES, *PAIRED]
    for entry in named(entries, K, S):
        values = {seed: stage.number(entry) for seed, stage in measured.items()}
        least = -1.0 if isinstance(entry.of, Difference) else 0.0
        numbers[entry.key] = _number(values, pooled(entry.of, played_by, truthful=truthful) if played_by else NOTHING, least)
    by_turn = tuple(
        _number(
            {seed: estimate_at((stage.metrics or {})["accuracy_by_turn"], k - 1) for seed, stage in measured.items()},
            pooled(at_turn(k), played_by) if played_by else NOTHING,
        )
        for k in range(1, K + 1)
    )
    return StageOverSeeds(name, tuple(measured), K, S, numbers, by_turn)


def _number(by_seed: Mapping[int, Estimate], problems: Estimate, least: float = 0.0) -> OverSeeds:
    known = [estimate.value for estimate in by_seed.values() if estimate.value is not None]
    return OverSeeds(by_seed, over_seeds(known, least=least), problems)


def _played(measured: Mapping[int, Stage], same: Same) -> tuple[list[list[Played]], bool]:
    """What each seed did on the problems that all were asked; nothing where a seed's records are gone."""
    by_seed: list[dict[str, Played]] = []
    told = False
    for stage in measured.values():
        if stage.held_out is None or stage.metrics is None:
            return [], False
        records = list(read_held_out(stage.held_out))
        told = was_told(stage.metrics, records)
        turns, _ = sizes(stage.metrics)
        by_seed.append({r.problem_id: played(r, same, turns=turns, truthful=told) for r in records})
    common = [name for name in by_seed[0] if all(name in others for others in by_seed)]
    return ([[of[name] for name in common] for of in by_seed] if common else []), told
