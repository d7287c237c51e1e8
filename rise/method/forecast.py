"""Ask a model as it is what a forecast needs, and find what finished claims say of forecasts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rise.errors import DataError
from rise.evaluation.analyses import first_reply_weights
from rise.evaluation.arrays import as_arrays
from rise.evaluation.compare import was_told
from rise.evaluation.detector import auc, detect
from rise.evaluation.evaluate import evaluate
from rise.evaluation.forecast import Quantities, Trained
from rise.evaluation.headline import as_read
from rise.evaluation.held_out import HeldOut, read_held_out
from rise.evaluation.uncertainty import NOTHING, Estimate, mean, ratio
from rise.evaluation.vote import Same
from rise.jsonl import read_json
from rise.play.player import Player
from rise.recipe.toml import load_recipe
from rise.runs.directory import RunDir
from rise.task import Problem
from rise.tasks import make_task

RISE_ARM = re.compile(r"rise on (?P<task>\S+)")
"""In claims.json: the arm that is RISE as the recipe has it."""


async def ask(player: Player, problems: Sequence[Problem], n_samples: int) -> Quantities:
    """N first replies and a second turn on each problem, N replies after each wrong first one, the detector where it can be.

    No verdict is asked for (`state.verify`): a run that the model ends at turn 1 would have no second turn to read.
    """
    player = replace(player, prompt=replace(player.prompt, verify=None))
    records = await evaluate(player, problems, n_turns=2, n_samples=n_samples, control=False)
    by_id = {problem.id: problem for problem in problems}
    wrong = [record for record in records if not record.run[0].right]
    improver = replace(player, purpose=f"{player.purpose}/supply")

    async def supplied(problem: Problem) -> bool:
        shown = next(record.run[:1] for record in wrong if record.problem_id == problem.id)
        return any(turn.right for turn in await improver.turns(problem, shown, n=n_samples))

    found = await improver.play([by_id[record.problem_id] for record in wrong], supplied)
    q = of_records(records, player.judge.same, n_samples, truthful=player.prompt.stops_when_right)
    q = replace(q, supply=mean([float(right) for right in found]) if found else NOTHING)
    if any(problem.solution for problem in problems):
        try:
            shown = await detect(replace(player, purpose=f"{player.purpose}/detector"), problems)
            q = replace(q, kept=mean([float(s.kept) for s in shown]), seen=mean([float(s.seen) for s in shown]))
        except DataError:
            pass  # no solution has a digit to change: then this sign is not there
    if player.policy.scores and player.renderer is not None:
        q = replace(q, auc=await _auc(player, problems, records))
    return q


async def _auc(player: Player, problems: Sequence[Problem], records: Sequence[HeldOut]) -> Estimate:
    weights = await first_reply_weights(player, problems, records)
    pairs = [(weight, turn.right) for r in records for weight, turn in zip(weights[r.problem_id], r.parallel, strict=True)]
    value = auc([w for w, right in pairs if right], [w for w, right in pairs if not right])
    return Estimate(value, None, None, len(pairs)) if value is not None else NOTHING


def of_records(records: Sequence[HeldOut], same: Same, n_samples: int, *, truthful: bool = False) -> Quantities:
    """What held-out records by themselves say; a base's of a finished run hold as much, of which two turns are read.

    `truthful`: the feedback told, so that runs may end at turn 1.
    """
    of = as_arrays([replace(record, run=record.run[:2], other=()) for record in records], same, truthful, turns=2)
    first, second = of.right_PK[:, 0], of.right_PK[:, -1]
    turns = [turn for record in records for turn in record.parallel]
    return Quantities(
        len(records),
        n_samples,
        accuracy=ratio(of.right_PS.sum(1), [float(of.n_samples)] * len(records)),
        headroom=mean(of.pass_PS[:, -1]),
        supply=NOTHING,
        ecr=ratio((1 - first) * second, 1 - first),
        eir=ratio(first * (1 - second), first),
        prompt_tokens=_mean([turn.n_prompt_tokens for turn in turns]),
        reply_tokens=_mean([turn.n_reply_tokens for turn in turns]),
    )


def _mean(values: Sequence[int | None]) -> float:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else 0.0


def trained_runs(claims: Path) -> list[Trained]:
    """Base and gain of each finished run of RISE itself in a directory of `rise claims`, or by its JSON; empty without one."""
    file = claims if claims.suffix == ".json" else claims / "claims.json"
    if not file.exists():
        return []
    places: dict[str, str] = {}
    for claim in read_json(file)["claims"]:
        for name, place in claim["arms"].items():
            if match := RISE_ARM.fullmatch(name):
                places[place] = match["task"]
    runs = (
        (RunDir(path), task) for place, task in sorted(places.items()) for path in sorted((file.parent / place).glob("seed-*"))
    )
    return [found for run, task in runs if (found := _trained(run, task)) is not None]


def _trained(run: RunDir, task: str) -> Trained | None:
    """One run, if its base and its last round are measured."""
    if not run.config.exists():
        return None
    config = load_recipe(run.config)
    base, last = run.stage("base"), run.stage(f"round-{config.iterate.rounds}")
    if not base.metrics.exists() or not last.metrics.exists() or config.evaluate.turns < 2:
        return None
    same = make_task(config.task.name, **config.task.settings).judge().same
    records = list(read_held_out(base.held_out))
    told = was_told(base.read_metrics(), records)
    quantities = of_records(records, same, config.evaluate.samples, truthful=told)
    told = bool(last.read_metrics().get("truthful"))
    runs = [as_read(record, told).run for record in read_held_out(last.held_out)]
    right = [(run[0].right, run[-1].right) for run in runs]
    gain = sum(after - before for before, after in right) / len(right)
    return Trained(task, quantities.values(config.evaluate.turns), gain)
