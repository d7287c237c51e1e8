"""What a set of experiments comes to: trainings and probes, each once, in an order in which each finds what it needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rise.errors import RiseError
from rise.method.claims.arms import Arms, Training, checkable
from rise.method.claims.experiment import Comparison, Experiment, Laboratory, Probe
from rise.method.claims.expression import Place, parse
from rise.method.claims.probes import ProbeDir, probe_config, probe_name
from rise.recipe.toml import build_config
from rise.runs.checks import context_of, student_renderer
from rise.runs.preflight import check_contexts, preflight


@dataclass(frozen=True)
class Measuring:
    """A probe of one training's stage."""

    training: Training
    stage: str
    probe: Probe

    def path(self, out: Path) -> ProbeDir:
        arm, name = self.training.arm.name, probe_name(self.stage, self.probe)
        return ProbeDir(out / "probes" / f"{arm}-{name}" / f"seed-{self.training.seed}")

    @property
    def key(self) -> tuple[str, int, str]:
        return (self.training.arm.name, self.training.seed, probe_name(self.stage, self.probe))


Job = Training | Measuring


@dataclass
class Plan:
    """The work, and who asked for what."""

    seeds: dict[int, list[int]] = field(default_factory=dict)
    """Claim → its seeds."""
    trainings: dict[tuple[str, int], Training] = field(default_factory=dict)
    probes: dict[tuple[str, int, str], Measuring] = field(default_factory=dict)
    arms: dict[int, Arms] = field(default_factory=dict)
    """Claim → its arms."""
    circle: tuple[int, ...] = ()
    """The seeds among which "the next seed" is taken."""

    @property
    def jobs(self) -> list[Job]:
        """Trainings, then probes."""
        return [*self.trainings.values(), *self.probes.values()]

    def add(self, training: Training) -> None:
        """The run, and before it what it needs."""
        for other in training.needs(self.circle):
            self.add(other)
        self.trainings.setdefault((training.arm.name, training.seed), training)

    def needed_by(self, claim: int, compared: Sequence[tuple[Comparison, str]], seeds: Sequence[int]) -> None:
        """Every run and probe that these comparisons, each on a task, are about."""
        arms = self.arms[claim]
        for comparison, task in compared:
            for place in comparison.expression.places:
                bound = arms.bound(place.arm, task)
                for seed in seeds:
                    self.add(Training(bound, seed))
                    if place.probe:
                        found = Measuring(Training(bound, seed), place.stage or bound.last_stage, arms.probe(place.probe))
                        self.probes.setdefault(found.key, found)


def asked(experiment: Experiment, arms: Arms, laboratory: Laboratory) -> list[tuple[Comparison, str]]:
    """Every comparison of an experiment with every task it is asked on, without what this scale leaves out."""
    return [
        (comparison, task)
        for comparison in experiment.compare
        for task in laboratory.chosen(comparison.tasks)
        if all(arms.wanted(place) for place in comparison.expression.places)
    ]


def curves(experiment: Experiment, arms: Arms) -> list[tuple[str, Place]]:
    """The places whose accuracy by turn the figure shows, with their texts."""
    places = [(text, parse(f"{text}:t1").places[0]) for text in experiment.curves]
    return [(text, place) for text, place in places if arms.wanted(place)]


def make_plan(
    experiments: Sequence[Experiment], laboratory: Laboratory, *, scale: str | None = None, seeds: Mapping[int, Sequence[int]]
) -> Plan:
    """All that the experiments need. `seeds` are those of each claim. Raises `ConfigError` for a recipe that cannot be."""
    circle = tuple(sorted({seed for own in seeds.values() for seed in own}))
    plan = Plan(circle=circle)
    for experiment in experiments:
        plan.arms[experiment.claim] = Arms(experiment, laboratory, scale)
        plan.seeds[experiment.claim] = list(seeds[experiment.claim])
    for experiment in experiments:
        claim = experiment.claim
        plan.needed_by(claim, asked(experiment, plan.arms[claim], laboratory), plan.seeds[claim])
        shown_on = laboratory.chosen("every" if laboratory.beside else "first")
        for _, place in curves(experiment, plan.arms[claim]):
            for task in shown_on:
                for seed in plan.seeds[claim]:
                    plan.add(Training(plan.arms[claim].bound(place.arm, task), seed))
    return plan


def check_probes(plan: Plan) -> None:
    """Refuse a probe that cannot be before anything is run: every one whose model is on this machine already, once.

    Raises the `RiseError` of the measurement, with the probe's arm.
    """
    seen = set()
    for found in plan.probes.values():
        arm, name = found.training.arm, probe_name("", found.probe)
        if (arm.name, name) in seen or not arm.settings["model"].get("path"):
            continue
        seen.add((arm.name, name))
        config = probe_config(build_config(checkable(arm.settings), arm.name), found.probe)
        try:
            ready = preflight(config, "measure", policy=config.model.place)
            check_contexts(ready, student_renderer(config, ready.task, ready.prompt, ready.evaluated), context_of(config))
        except RiseError as error:
            raise type(error)(f"{arm.name}, {found.stage}, probe of kind {found.probe.kind}: {error}") from None
