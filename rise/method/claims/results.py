"""From finished runs to verdicts: every comparison's number by seed, its intervals, p-values, Holm's correction, the rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rise.errors import DataError, RiseError
from rise.evaluation.compare import was_told
from rise.evaluation.headline import sizes
from rise.evaluation.held_out import read_held_out
from rise.evaluation.readings import Records, read
from rise.evaluation.seeds import OverSeeds
from rise.evaluation.verdict import Share, Signed, Verdict, decide, found, holm, p_value, together
from rise.evaluation.vote import Same
from rise.jsonl import read_json
from rise.method.claims.arms import Bound, Training
from rise.method.claims.experiment import Comparison, Experiment, Laboratory
from rise.method.claims.expression import OWN, Place, Term
from rise.method.claims.plan import Measuring, Plan, asked, curves
from rise.method.claims.run import is_done, seconds_of
from rise.recipe.toml import load_recipe
from rise.runs.directory import RunDir
from rise.tasks import make_task

UNFINISHED = "is not finished"
"""How the trouble of a comparison ends whose runs have not been done yet."""

LAST_STEPS = 0.25
"""Share of a training's logged steps, the last, whose mean is its `loss`."""


@dataclass(frozen=True)
class Compared:
    """One comparison on one task, as it came out."""

    comparison: Comparison
    task: str
    found: OverSeeds
    p: float | None
    adjusted: float | None = None
    """Holm's, over the claims of the table; the claim's own p-value is the largest of its primary comparisons'."""
    verdict: Verdict = "undecided"
    trouble: str = ""
    """Why there is no number."""


@dataclass(frozen=True)
class Curve:
    """Accuracy of the last reply by turn, at one place, by seed."""

    label: str
    by_seed: Mapping[int, tuple[float, ...]]


@dataclass(frozen=True)
class Result:
    """One claim, tried."""

    experiment: Experiment
    seeds: tuple[int, ...]
    """Those that were measured in every primary comparison."""
    compared: tuple[Compared, ...]
    curves: tuple[Curve, ...]
    verdict: Verdict | None
    """None: not run, or not at this scale."""
    why_not: str = ""
    """Why it was not run, or what is missing."""
    seconds: float = 0.0
    """Machine time of all runs and probes it rests on, shared ones included."""
    arms: Mapping[str, str] = field(default_factory=dict)
    """Arm on task → the directory of its runs."""

    @property
    def primary(self) -> list[Compared]:
        return [item for item in self.compared if item.comparison.primary]

    @property
    def one_seed(self) -> bool:
        return len(self.seeds) == 1


@dataclass
class Reader:
    """Reads what runs and probes have written, once."""

    plan: Plan
    out: Path
    _records: dict[tuple[Any, ...], Records] = field(default_factory=dict)
    _same: dict[tuple[Any, ...], Same] = field(default_factory=dict)

    def term(self, term: Term, claim: int, task: str, seed: int) -> Share | float:
        """A reading, or a number without problems (`loss`). Raises `DataError` where it is not there."""
        bound = self.plan.arms[claim].bound(term.place.arm, task)
        training = Training(bound, seed)
        stage = term.place.stage or bound.last_stage
        if not is_done(training, self.out):
            raise DataError(f"{bound.name}, seed {seed}, {UNFINISHED}")
        if term.reading == "loss":
            return last_loss(RunDir(training.path(self.out)), stage)
        if not term.place.probe:
            return read(self.records(training.path(self.out) / stage, training), term.reading)
        probe = Measuring(training, stage, self.plan.arms[claim].probe(term.place.probe))
        place = probe.path(self.out)
        if not place.done.exists():
            raise DataError(f'probe "{term.place.probe}" of {bound.name}, seed {seed}, is not finished')
        if term.reading in OWN:
            scores = place.read_scores().get(term.reading)
            if scores is None:
                raise DataError(f'probe "{term.place.probe}" of kind {probe.probe.kind} gives no {term.reading}')
            return Share(scores, dict.fromkeys(scores, 1.0))
        return read(self.records(place.path, training), term.reading)

    def records(self, directory: Path, training: Training) -> Records:
        """The held-out records of a stage or a probe."""
        key = (str(directory),)
        if key not in self._records:
            metrics = read_json(directory / "metrics.json")
            records = list(read_held_out(directory / "held-out.jsonl"))
            told = was_told(metrics, records)
            self._records[key] = Records.of(records, self.same(training), turns=sizes(metrics)[0], truthful=told)
        return self._records[key]

    def same(self, training: Training) -> Same:
        task = load_recipe(RunDir(training.path(self.out)).config).task
        key = (task.name, str(sorted(task.settings.items())))
        if key not in self._same:
            self._same[key] = make_task(task.name, **task.settings).judge().same
        return self._same[key]


def last_loss(run: RunDir, stage: str) -> float:
    """Mean unweighted loss, nats a token, of the last quarter of a stage's steps. Raises `DataError` where there is none."""
    losses = [
        float(event.get("loss_plain", event["loss"]))
        for event in run.read_log()
        if event.get("stage") == stage and "loss" in event and event.get("part", "train") == "train"
    ]
    if not losses:
        raise DataError(f"{run.path} has logged no loss of {stage}")
    tail = losses[-max(1, round(LAST_STEPS * len(losses))) :]
    return sum(tail) / len(tail)


def number_of(reader: Reader, comparison: Comparison, claim: int, task: str, seeds: Sequence[int]) -> tuple[OverSeeds, str]:
    """One comparison over its seeds, and the first trouble that left one out."""
    signed: dict[int, Signed] = {}
    constants: dict[int, float] = {}
    trouble = ""
    expression = comparison.expression
    for seed in seeds:
        shares: list[tuple[float, Share]] = []
        constant = expression.constant
        try:
            for term in expression.terms:
                value = reader.term(term, claim, task, seed)
                if isinstance(value, Share):
                    shares.append((term.factor, value))
                else:
                    constant += term.factor * value
        except (RiseError, OSError) as error:
            trouble = trouble or str(error)
            continue
        signed[seed], constants[seed] = shares, constant
    return found(signed, constants), trouble


def tried(plan: Plan, experiments: Sequence[Experiment], laboratory: Laboratory, out: Path) -> list[Result]:
    """Every claim with its verdict, as far as its runs have got."""
    reader = Reader(plan, out)
    drafts = [_draft(reader, experiment, laboratory) for experiment in experiments]
    own = {}
    for result in drafts:
        ps = [item.p for item in result.primary]
        if not result.why_not and all(p is not None for p in ps):
            own[str(result.experiment.claim)] = max(p for p in ps if p is not None)
    return [_judged(result, own) for result in drafts]


def _draft(reader: Reader, experiment: Experiment, laboratory: Laboratory) -> Result:
    """A claim's numbers without its verdict."""
    plan, claim = reader.plan, experiment.claim
    arms, seeds = plan.arms[claim], plan.seeds[claim]
    wanted = asked(experiment, arms, laboratory)
    compared = []
    for comparison, task in wanted:
        number, trouble = number_of(reader, comparison, claim, task, seeds)
        compared.append(
            Compared(comparison, task, number, p_value(number, comparison.expects, comparison.matters), trouble=trouble)
        )
    primary = [item for item in compared if item.comparison.primary]
    n_asked = sum(c.primary for c in experiment.compare)
    why_not = ""
    if len({item.comparison.of for item in primary}) < len({c.of for c in experiment.compare if c.primary}):
        left_out = [c for c in experiment.compare if c.primary and not all(arms.wanted(p) for p in c.expression.places)]
        why_not = f"what decides it is left out at scale {arms.scale}" if left_out else "the laboratory has no task for it yet"
        why_not += "" if primary or n_asked == 1 else f" ({n_asked} comparisons)"
    elif missing := [item.trouble for item in primary if not item.found.by_seed]:
        why_not = missing[0] or "nothing was measured"
    measured = [set(item.found.by_seed) for item in primary]
    common = tuple(sorted(set.intersection(*measured))) if measured else ()
    first = laboratory.chosen("first")[0]
    lines = [_curve(reader, label, place, claim, first, seeds) for label, place in curves(experiment, arms)]
    used, seconds = _used(reader, experiment, wanted, seeds)
    return Result(experiment, common, tuple(compared), tuple(c for c in lines if c.by_seed), None, why_not, seconds, used)


def _judged(result: Result, own: Mapping[str, float]) -> Result:
    """The same with verdicts. `own`: claim → the largest p-value of the comparisons that decide it.

    A deciding comparison gets Holm's p-value of its claim if it decided alone, so that each row stands on its own evidence; the
    weakest has that of the claim.
    """

    def of(item: Compared) -> Compared:
        p, claim = item.p, str(result.experiment.claim)
        if item.comparison.primary and p is not None:
            p = holm({**own, claim: p})[claim]
        verdict = decide(item.found, item.comparison.expects, item.comparison.matters, p)
        return Compared(item.comparison, item.task, item.found, item.p, p, verdict, item.trouble)

    compared = tuple(map(of, result.compared))
    verdict = None if result.why_not else together([item.verdict for item in compared if item.comparison.primary])
    return Result(result.experiment, result.seeds, compared, result.curves, verdict, result.why_not, result.seconds, result.arms)


def _curve(reader: Reader, label: str, place: Place, claim: int, task: str, seeds: Sequence[int]) -> Curve:
    found: dict[int, tuple[float, ...]] = {}
    for seed in seeds:
        values: list[float] = []
        k = 1
        while True:
            try:
                share = reader.term(Term(1.0, place, f"t{k}"), claim, task, seed)
            except (RiseError, OSError):
                break
            if not isinstance(share, Share) or share.value is None:
                break
            values.append(share.value)
            k += 1
        if values:
            found[seed] = tuple(values)
    return Curve(label, found)


def _used(
    reader: Reader, experiment: Experiment, wanted: Sequence[tuple[Comparison, str]], seeds: Sequence[int]
) -> tuple[dict[str, str], float]:
    """The arms of a claim by directory, and the machine time of what it rests on."""
    arms = reader.plan.arms[experiment.claim]
    names: dict[str, str] = {}
    jobs: dict[Any, Training | Measuring] = {}
    for comparison, task in wanted:
        for place in comparison.expression.places:
            bound: Bound = arms.bound(place.arm, task)
            names[f"{place.arm} on {task}"] = f"runs/{bound.name}"
            for seed in seeds:
                training = Training(bound, seed)
                jobs[bound.name, seed] = training
                if place.probe:
                    probe = Measuring(training, place.stage or bound.last_stage, arms.probe(place.probe))
                    jobs[probe.key] = probe
    return names, sum(seconds_of(job, reader.out) for job in jobs.values())


def to_json(result: Result) -> dict[str, Any]:
    """As it stands in claims.json."""
    return {
        "claim": result.experiment.claim,
        "title": result.experiment.title,
        "verdict": result.verdict,
        "why_not": result.why_not or None,
        "seeds": list(result.seeds),
        "seconds": round(result.seconds, 1),
        "arms": dict(result.arms),
        "compared": [_compared_json(item) for item in result.compared],
        "curves": [
            {"place": curve.label, "by_seed": {str(s): list(v) for s, v in curve.by_seed.items()}} for curve in result.curves
        ],
    }


def _compared_json(item: Compared) -> dict[str, Any]:
    comparison = item.comparison
    return {
        "of": comparison.of,
        "says": comparison.says,
        "task": item.task,
        "expects": comparison.expects,
        "matters": comparison.matters,
        "primary": comparison.primary,
        "by_seed": {str(seed): estimate.value for seed, estimate in item.found.by_seed.items()},
        "seeds": item.found.seeds.to_json(),
        "problems": item.found.problems.to_json(),
        "p": item.p,
        "adjusted": item.adjusted,
        "verdict": item.verdict,
        "trouble": item.trouble or None,
    }
