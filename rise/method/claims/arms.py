"""From experiments to runs: each arm on each task as the recipe of an ordinary run, named by a hash of what decides its content.

Arms that say the same, in whichever experiment, have one name and are run once. What an arm takes over from another (base, data,
amount of training) is named by that one's hash, so that a change anywhere gives new names to all that follow from it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from rise.errors import ConfigError
from rise.jsonl import dumps
from rise.method.claims.experiment import Arm, Experiment, Laboratory, Probe
from rise.method.claims.expression import Place
from rise.recipe.config import RunConfig
from rise.recipe.toml import Override, build_config, load_recipe, merged
from rise.runs import stages
from rise.runs.directory import RunDir
from rise.runs.takeover import trained_tokens

_CHECKPOINT = re.compile(r"\{checkpoint:(?P<arm>[a-z][\w-]*)(?P<next>\+1)?(?:@(?P<stage>[\w-]+))?\}")
UNKNOWN_TOKENS = 1
"""Stands for an amount of training that another run decides, until that has been run."""


@dataclass(frozen=True)
class Source:
    """A checkpoint of another arm."""

    arm: Bound
    next_seed: bool
    stage: str


@dataclass(frozen=True)
class Bound:
    """One arm on one task."""

    task: str
    settings: Mapping[str, Any]
    """The resolved recipe as plain data; checkpoints of other arms still stand as `{…}`."""
    content: Mapping[str, Any]
    """The same without what has its default, so that a setting that a later version adds changes no name."""
    start: Bound | None
    equal_tokens: str | None
    sources: Mapping[str, Source]
    """What each `{…}` in the settings means."""

    @cached_property
    def name(self) -> str:
        """Task and hash: the directory of its runs."""
        settings = {key: value for key, value in self.content.items() if key not in ("name", "seed")}
        sources = {text: [source.arm.name, source.next_seed, source.stage] for text, source in self.sources.items()}
        content = dumps([settings, self.start.name if self.start else None, self.equal_tokens, sources])
        return f"{self.task}-{hashlib.sha256(content.encode()).hexdigest()[:8]}"

    @cached_property
    def last_stage(self) -> str:
        return stages.expected(self.settings)[-1]


@dataclass(frozen=True)
class Training:
    """One arm with one seed: an ordinary run."""

    arm: Bound
    seed: int

    def path(self, out: Path) -> Path:
        return out / "runs" / self.arm.name / f"seed-{self.seed}"

    def needs(self, seeds: Sequence[int]) -> list[Training]:
        """Runs that must be finished before it."""
        found = [Training(self.arm.start, self.seed)] if self.arm.start else []
        for source in self.arm.sources.values():
            found.append(Training(source.arm, next_seed(self.seed, seeds) if source.next_seed else self.seed))
        return found

    def config(self, out: Path, seeds: Sequence[int]) -> RunConfig:
        """Its recipe, once what it needs is finished."""

        def checkpoint(match: re.Match[str]) -> str:
            source = self.arm.sources[match[0]]
            seed = next_seed(self.seed, seeds) if source.next_seed else self.seed
            return f"local:{Training(source.arm, seed).path(out) / source.stage / 'checkpoint'}"

        data = merged(_filled(self.arm.settings, checkpoint), {"name": self.arm.name, "seed": self.seed})
        if self.arm.start:
            other = Training(self.arm.start, self.seed).path(out)
            data = merged(data, {"boost": {"reuse": str(other)}} if not self.arm.equal_tokens else {})
            if self.arm.equal_tokens:
                n = sum(trained_tokens(RunDir(other)).values())
                data = Override(tuple(self.arm.equal_tokens.split(".")), n).over(data)
        return build_config(data, self.arm.name)


def next_seed(seed: int, seeds: Sequence[int]) -> int:
    """Another training of the same arm: the next of the seeds, in a circle; where there is one alone, one more is run.

    >>> next_seed(1, [0, 1]), next_seed(0, [0])
    (0, 1)
    """
    return seeds[(seeds.index(seed) + 1) % len(seeds)] if len(seeds) > 1 and seed in seeds else seed + 1


def _filled(value: Any, checkpoint: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _filled(inner, checkpoint) for key, inner in value.items()}
    return _CHECKPOINT.sub(checkpoint, value) if isinstance(value, str) else value


class Arms:
    """The arms of an experiment on the tasks of a laboratory, resolved when they are asked for."""

    def __init__(self, experiment: Experiment, laboratory: Laboratory, scale: str | None = None) -> None:
        self.experiment, self.laboratory = experiment, laboratory
        self.scale = scale
        self.recipe = load_recipe(laboratory.recipe).model_dump(mode="json", exclude_none=True)
        self._known: dict[tuple[str, str], Bound] = {}
        self._open: list[str] = []
        """Arms that are being resolved, each for the sake of the one before it."""

    def wanted(self, place: Place) -> bool:
        """Whether what stands there is measured at this scale."""
        arm, probe = self.experiment.arms[place.arm], self.experiment.probes.get(place.probe)
        left_out = [*arm.not_at, *(self.experiment.arms[arm.start].not_at if arm.start else ()), *(probe.not_at if probe else ())]
        return self.scale not in left_out

    def bound(self, name: str, task: str) -> Bound:
        """One arm on one task."""
        if (name, task) not in self._known:
            if name in self._open:
                way = " → ".join([*self._open, name])
                raise ConfigError(f"claim {self.experiment.claim}: an arm needs what is made from it: {way}.")
            self._open.append(name)
            self._known[name, task] = self._bind(self.experiment.arms[name], name, task)
            self._open.pop()
        return self._known[name, task]

    def _bind(self, arm: Arm, name: str, task: str) -> Bound:
        lab = self.laboratory
        data = merged(merged(self._recipe_of(arm, name), lab.tasks[task].set), lab.set)
        for dotted in arm.without:
            data = _without(data, dotted.split("."))
        data = merged(data, arm.set)
        if self.scale == "quick":
            data = merged(data, arm.quick)
        if arm.equal_tokens:
            data = Override(tuple(arm.equal_tokens.split(".")), UNKNOWN_TOKENS).over(data)
        sources: dict[str, Source] = {}
        for match in _CHECKPOINT.finditer(dumps(arm.set)):
            if match["arm"] not in self.experiment.arms:
                raise ConfigError(f'claim {self.experiment.claim}, arm "{name}": {match[0]} is of no arm of the experiment.')
            other = self.bound(match["arm"], task)
            sources[match[0]] = Source(other, bool(match["next"]), match["stage"] or other.last_stage)
        start = self.bound(arm.start, task) if arm.start else None
        config = build_config(checkable(data), f'claim {self.experiment.claim}, arm "{name}" on {task}')
        settings = merged(config.model_dump(mode="json", exclude_none=True), _texts(data))
        content = merged(config.model_dump(mode="json", exclude_defaults=True), _texts(data))
        return Bound(task, settings, content, start, arm.equal_tokens, sources)

    def _recipe_of(self, arm: Arm, name: str) -> dict[str, Any]:
        """The settings that the arm begins with. Raises `ConfigError` where its own recipe is of another laboratory."""
        if arm.recipe is None:
            return self.recipe
        if self.scale and self.laboratory.scale[self.scale].recipe:
            raise ConfigError(
                f'claim {self.experiment.claim}, arm "{name}": its recipe {arm.recipe} is not of scale {self.scale}, which has a '
                f'recipe of its own. Leave the arm out there: not_at = ["{self.scale}"].'
            )
        return load_recipe(arm.recipe).model_dump(mode="json", exclude_none=True)

    def probe(self, name: str) -> Probe:
        return self.experiment.probes[name]


def _without(data: Mapping[str, Any], path: Sequence[str]) -> dict[str, Any]:
    first, *rest = path
    if rest and isinstance(data.get(first), Mapping):
        return {**data, first: _without(data[first], rest)}
    return {key: value for key, value in data.items() if key != first}


def checkable(data: Mapping[str, Any]) -> dict[str, Any]:
    """The settings as a recipe that can be checked before the checkpoints in it are there."""
    return _filled(data, "local:somewhere")


def _texts(data: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that name another arm's checkpoint, as they were written."""
    found: dict[str, Any] = {}
    for key, value in data.items():
        if isinstance(value, Mapping):
            found |= {key: inner} if (inner := _texts(value)) else {}
        elif isinstance(value, str) and _CHECKPOINT.search(value):
            found[key] = value
    return found
