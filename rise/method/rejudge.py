"""Another judge over the replies of a run that are on disk: nothing is generated, and the run stays as it was."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from rise.errors import ConfigError, DataError
from rise.evaluation.compare import Scores, score
from rise.evaluation.held_out import REPLIES, HeldOut, read_held_out, write_held_out
from rise.jsonl import read_json, write_jsonl, write_whole
from rise.method.evaluate import compare_stages, numbers, predicted
from rise.play.ledger import Ledger
from rise.play.player import Player, play_out
from rise.recipe.config import RunConfig
from rise.recipe.toml import load_recipe, to_toml
from rise.runs.contents import JUDGE, of_judge
from rise.runs.context import RunContext
from rise.runs.directory import RunDir, StageDir
from rise.runs.stages import on_disk
from rise.task import Problem
from rise.tasks import takes
from rise.trajectory import Relabelled, Trajectory, Turn, Verdict, read_relabelled, read_trajectories, to_json

UNREAD = (Verdict.UNPARSABLE, Verdict.TIMED_OUT)


@dataclass
class Changed:
    """How verdicts on one kind of replies of a stage changed."""

    replies: int = 0
    to_right: int = 0
    from_right: int = 0
    to_unread: int = 0
    """From a verdict on an answer to none: no answer found, or out of time."""
    from_unread: int = 0
    answers: int = 0
    """Read otherwise, which is what votes count."""

    def add(self, before: Turn, after: Turn) -> None:
        self.replies += 1
        self.to_right += after.right and not before.right
        self.from_right += before.right and not after.right
        self.to_unread += after.verdict in UNREAD and before.verdict not in UNREAD
        self.from_unread += before.verdict in UNREAD and after.verdict not in UNREAD
        self.answers += before.voted != after.voted


@dataclass
class Rejudged:
    """One stage before and after: counts of what changed, its metrics, and what each problem scores."""

    stage: str
    held_out: Changed
    training: Changed
    """Replies to training problems: the student's turns and the improver's."""
    before: dict[str, Any]
    after: dict[str, Any]
    scores: tuple[Scores, Scores]

    def to_json(self) -> dict[str, Any]:
        counts = {
            name: {field.name: getattr(changed, field.name) for field in fields(changed)}
            for name, changed in (("held_out", self.held_out), ("training", self.training))
        }
        return {"stage": self.stage, **counts}


def rejudge(context: RunContext, run: RunDir, judge: Any) -> list[Rejudged]:
    """Every measured stage of `run`, judged by the context's judge into `context.dir`; a stage that is there is not judged again.

    `judge` is what the judge is called in rejudged.json. The new directory is a run to report, compare, show and view: its
    recipe names the judge where the task takes one, its metrics are computed anew from the new verdicts, votes included.
    """
    out = context.dir
    _begin(context, run, judge)
    done = [_stage(context, run.stage(stage.name), out.stage(stage.name)) for stage in run.stages()]
    write_whole(out.path / "rejudged.json", json.dumps([found.to_json() for found in done], indent=1) + "\n")
    return done


def _begin(context: RunContext, run: RunDir, judge: Any) -> None:
    out = context.dir
    facts = read_json(run.provenance) if run.provenance.exists() else {}
    facts["rejudged"] = asked = {"of": run.path.resolve().name, "judge": judge}
    if hashes := of_judge(judge):
        asked["contents"] = hashes
    facts = _judged_by(facts, hashes)
    if out.config.exists():
        there = read_json(out.provenance).get("rejudged")
        if not there or any(there[name] != asked[name] for name in ("of", "judge")):
            what = f"{there['of']} by the judge {_named(there['judge'])}" if there else "a run of its own"
            raise ConfigError(
                f"{out.path} holds {what}; asked for is {asked['of']} by the judge {_named(judge)}. Give another --out."
            )
        if there.get("contents") != asked.get("contents"):  # of that name, and not what it was
            for stage in out.stages():
                stage.metrics.unlink()
    out.path.mkdir(parents=True, exist_ok=True)
    write_whole(out.provenance, json.dumps(facts, indent=2) + "\n")
    if run.log.exists():
        shutil.copyfile(run.log, out.log)  # what was spent, which is what it was
    write_whole(out.config, to_toml(context.config))


def _judged_by(facts: dict[str, Any], hashes: Mapping[str, str]) -> dict[str, Any]:
    """Provenance whose hashes are those of another judge."""
    kept = {name: held for name, held in (facts.get("contents") or {}).items() if not name.startswith(JUDGE)}
    return facts | {"contents": kept | dict(hashes)}


def _named(judge: Any) -> str:
    return judge if isinstance(judge, str) else json.dumps(judge)


def _stage(context: RunContext, old: StageDir, new: StageDir) -> Rejudged:
    """One stage: records, then metrics, then what proves it done."""
    new.path.mkdir(exist_ok=True)
    if not new.metrics.exists():
        player = context.player(None, f"{old.name}/rejudge", measured=True)
        player.policy.max_in_flight = IN_FLIGHT
        _write(context, player, old, new)
        for file in (old.dataset, old.examples):
            if file.exists():
                shutil.copyfile(file, new.path / file.name)  # what was trained on stays what it was
        records = list(read_held_out(new.held_out))
        metrics = {**numbers(context, records), "stage": new.name}
        if new.rates.exists() and not metrics["truthful"] and not metrics["own_stop"]:
            metrics["chain"] = predicted(read_held_out(new.rates), context.config.evaluate.turns)
        compare_stages(context, new, records, metrics)
        write_whole(new.metrics, json.dumps(metrics, indent=1) + "\n")
        context.progress.stage_done(new)
    return _what_changed(context, old, new)


IN_FLIGHT = 32
"""Problems judged at a time: enough for a judge that waits for a model, few enough for one that computes."""


def _write(context: RunContext, player: Player, old: StageDir, new: StageDir) -> None:
    """The same records with the verdicts of the new judge."""
    held_out = list(read_held_out(old.held_out))
    rates = list(read_held_out(old.rates)) if old.rates.exists() else []
    trajectories = list(read_trajectories(old.trajectories)) if old.trajectories.exists() else []
    relabelled = list(read_relabelled(old.relabelled)) if old.relabelled.exists() else []
    known = {t.problem_id: Problem(t.question, t.gold, fields=t.fields, id=t.problem_id) for t in trajectories}

    async def judged(problem: Problem, turns: Sequence[Turn]) -> tuple[Turn, ...]:
        return tuple([await player.judged_aside(problem, turn) for turn in turns])

    async def record(item: _Item) -> Any:
        problem, of = item.problem, item.record
        if isinstance(of, HeldOut):
            fresh: dict[str, Any] = {name: await judged(problem, getattr(of, name)) for name in REPLIES}
            return replace(of, **fresh)
        if isinstance(of, Trajectory):
            return replace(of, turns=await judged(problem, of.turns))
        return replace(of, candidates=await judged(problem, of.candidates))

    async def every() -> list[Any]:
        of_records = [_Item(Problem(r.question, r.gold, fields=r.fields, id=r.problem_id), r) for r in (*held_out, *rates)]
        of_turns = [_Item(known[t.problem_id], t) for t in trajectories]
        of_better = [_Item(_asked(known, item, old), item) for item in relabelled]
        return list(await player.play([*of_records, *of_turns, *of_better], record))

    n = len(held_out) + len(rates) + len(trajectories) + len(relabelled)
    with context.timed(old.name, "rejudge", n):
        done = play_out(player, every())
    first, second = len(held_out), len(held_out) + len(rates)
    write_held_out(new.held_out, done[:first])
    if rates:
        write_held_out(new.rates, done[first:second])
    third = second + len(trajectories)
    if trajectories:
        write_jsonl(new.trajectories, map(to_json, done[second:third]))
    if relabelled:
        write_jsonl(new.relabelled, map(to_json, done[third:]))


def _asked(known: Mapping[str, Problem], item: Relabelled, stage: StageDir) -> Problem:
    """The problem of an improved reply, whose question its trajectory holds. Raises `DataError` where that is not there."""
    if item.problem_id not in known:
        raise DataError(
            f"{stage.relabelled}: problem {item.problem_id} has no trajectory in {stage.trajectories.name}, so "
            "nobody knows what was asked. Judge the run whose files are whole."
        )
    return known[item.problem_id]


@dataclass(frozen=True)
class _Item:
    """A record and its problem, by a name of its own: several records may be of one problem."""

    problem: Problem
    record: HeldOut | Trajectory | Relabelled

    @property
    def id(self) -> str:
        return f"{self.problem.id}/{id(self.record)}"


def _what_changed(context: RunContext, old: StageDir, new: StageDir) -> Rejudged:
    before, after = list(read_held_out(old.held_out)), list(read_held_out(new.held_out))
    held_out, training = Changed(), Changed()
    for was, now in zip(before, after, strict=True):
        _count(held_out, [getattr(was, name) for name in REPLIES], [getattr(now, name) for name in REPLIES])
    if old.trajectories.exists():
        for a, b in zip(read_trajectories(old.trajectories), read_trajectories(new.trajectories), strict=True):
            _count(training, [a.turns], [b.turns])
    if old.relabelled.exists():
        for c, d in zip(read_relabelled(old.relabelled), read_relabelled(new.relabelled), strict=True):
            _count(training, [c.candidates], [d.candidates])
    metrics = old.read_metrics(), new.read_metrics()
    same, turns = context.judge.same, context.config.evaluate.turns
    truthful = context.ready.evaluated.stops_when_right
    scores = score(before, same, turns=turns, truthful=truthful), score(after, same, turns=turns, truthful=truthful)
    return Rejudged(new.name, held_out, training, *metrics, scores)


def _count(changed: Changed, before: Iterable[Sequence[Turn]], after: Iterable[Sequence[Turn]]) -> None:
    for was, now in zip(before, after, strict=True):
        for a, b in zip(was, now, strict=True):
            changed.add(a, b)


def refuse_write(run: RunDir, config: RunConfig) -> None:
    """Raise `ConfigError` where the run could not go on by the judge that --write would give it."""
    if not takes(config.task.name, "judge"):
        raise ConfigError(
            f"--write: the task {config.task.name} takes no judge, so the recipe of {run.path} could not name this one and the "
            "run would go on with its own. Leave out --write: the new verdicts and numbers stand in a directory of their own."
        )
    for name in on_disk(run.path):
        stage = run.stage(name)
        if not stage.metrics.exists() and (stage.trajectories.exists() or stage.held_out.exists()):
            raise ConfigError(
                f"--write: {stage.path} has begun with the run's own judge and is not measured yet. End it first "
                f"(rise run {run.path}), or leave out --write."
            )


def write_back(run: RunDir, out: RunDir) -> None:
    """Put the new verdicts and numbers into the run itself; recipe, hashes and log name the judge, so that it goes on."""
    config, facts = load_recipe(out.config), read_json(out.provenance)["rejudged"]
    with Ledger(run.ledger):
        refuse_write(run, config)
        judged = {stage.name for stage in out.stages()}
        if fresh := [stage.name for stage in run.stages() if stage.name not in judged]:
            raise ConfigError(f"--write: {run.path} has gone on meanwhile ({', '.join(fresh)}). Give the same command again.")
        for stage in out.stages():
            for file in (stage.held_out, stage.rates, stage.trajectories, stage.relabelled, stage.metrics):
                if file.exists():
                    write_whole(run.stage(stage.name).path / file.name, file.read_bytes())
        write_whole(run.config, out.config.read_bytes())
        if run.provenance.exists():
            made = read_json(run.provenance)
            write_whole(run.provenance, json.dumps(_judged_by(made, facts.get("contents", {})), indent=2) + "\n")
        run.write_log(rejudged=facts, config=config.model_dump(mode="json"))
