"""Experiments as files: `experiments/*.toml`, a page each, fixed before they are run; and the laboratory they are run in."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from rise.errors import ConfigError, DataError, clone_of, did_you_mean
from rise.evaluation.readings import Unit, is_reading
from rise.evaluation.verdict import Expects
from rise.jsonl import read_text
from rise.method.claims.expression import Expression, parse, unit_of
from rise.recipe.settings import Settings
from rise.recipe.toml import merged, validated

LABORATORY = "laboratory.toml"
"""The file beside the experiments that says on which recipe, tasks and sizes they are run."""

Tasks = Literal["first", "gap", "no gap", "every"]


class Arm(Settings):
    """One way to train, as changes to the laboratory's recipe."""

    says: str = ""
    """What is different about it, in a few words."""
    recipe: str | None = None
    """A recipe by name in place of the laboratory's; the laboratory's settings lie over it as over that one."""
    set: dict[str, Any] = Field({})
    """Settings over the recipe's. `{checkpoint:ARM}`, `{checkpoint:ARM+1}` and `{checkpoint:ARM@STAGE}` in a text stand for the
    checkpoint of that arm with the same seed, with the next one, of a stage before its last."""
    without: list[str] = Field([])
    """Dotted names of settings of the recipe that are taken out."""
    start: str | None = Field(None, alias="from")
    """The arm whose base, boost and amount of training this one takes over (`boost.reuse`)."""
    equal_tokens: str | None = None
    """The setting that is given as many trained tokens as the rounds of the arm in `from` had."""
    quick: dict[str, Any] = Field({})
    """Settings over these in the quick run."""
    not_at: list[str] = Field([])
    """Scales at which it is left out, and whatever is compared with it."""


class Probe(Settings):
    """A further measurement of a stage's checkpoint."""

    kind: Literal["evaluate", "detector", "confidence", "temperature"] = "evaluate"
    """`evaluate`: turns and samples, as `rise evaluate`. `detector`: a right attempt shown, and one with a digit changed.
    `confidence`: a vote weighted by the model's own log-probability. `temperature`: a vote at its own best temperature."""
    set: dict[str, Any] = Field({})
    """Settings over the arm's: evaluate.turns, evaluate.state, sampling, task.settings, …"""
    not_at: list[str] = Field([])
    """Scales at which it is left out."""


class Comparison(Settings):
    """A number, what is expected of it, and from where on it matters."""

    of: str
    """What is compared (`rise.method.claims.expression`)."""
    says: str
    """In a few words, for the table."""
    expects: Expects = "more"
    matters: float = Field(gt=0)
    """The smallest difference that matters, fixed beforehand. Unit: share; tokens or nats where those are compared."""
    primary: bool = False
    """Whether the verdict rests on it; the others are shown beside it."""
    tasks: Tasks = "first"
    """On which of the laboratory's tasks it is asked; on each of them it must hold."""

    @property
    def expression(self) -> Expression:
        return parse(self.of)

    @property
    def unit(self) -> Unit:
        """What it is counted in."""
        return unit_of(self.expression.terms[0].reading)

    @model_validator(mode="after")
    def _consistent(self) -> Comparison:
        try:
            units = {unit_of(term.reading) for term in self.expression.terms}
        except ConfigError:
            return self  # said with the experiment's other texts
        if len(units) > 1:
            raise ValueError(f'"{self.of}": {" and ".join(sorted(units))} cannot be added')
        if units == {"share"} and self.matters >= 1:
            raise ValueError(f"matters = {self.matters:g} is no difference of shares: write 5 points as 0.05")
        return self


class Experiment(Settings):
    """One claim, and how it is tried."""

    claim: int = Field(ge=1)
    """Its number."""
    title: str
    says: str
    """The claim in a sentence."""
    source: str
    """Where the paper makes it, or who doubts it."""
    seeds: int = Field(3, ge=1)
    """Trainings: seeds 0, 1, …"""
    arms: dict[str, Arm] = Field({"rise": Arm()})
    probes: dict[str, Probe] = Field({})
    compare: list[Comparison]
    curves: list[str] = Field(["rise", "rise@base"])
    """Places whose accuracy by turn the figure shows."""
    remarks: str = ""
    """What a reader of the verdict must know."""
    file: str = ""
    """Its own name, filled in when it is read."""

    @model_validator(mode="after")
    def _consistent(self) -> Experiment:
        if not any(comparison.primary for comparison in self.compare):
            raise ValueError("no comparison is primary = true, so nothing would decide")
        for text in [*(comparison.of for comparison in self.compare), *(f"{place}:t1" for place in self.curves)]:
            try:
                places = parse(text).places
            except ConfigError as error:
                raise ValueError(str(error)) from None
            for place in places:
                if place.arm not in self.arms:
                    raise ValueError(f'"{text}": there is no arm "{place.arm}". {did_you_mean(place.arm, self.arms)}')
                if place.probe and place.probe not in self.probes:
                    raise ValueError(f'"{text}": there is no probe "{place.probe}". {did_you_mean(place.probe, self.probes)}')
        for name, arm in self.arms.items():
            if arm.start is not None and arm.start not in self.arms:
                raise ValueError(f'arm "{name}" is from "{arm.start}", which is none. {did_you_mean(arm.start, self.arms)}')
            if arm.equal_tokens and not arm.start:
                raise ValueError(f'arm "{name}" has equal_tokens, but no `from`: as many as whose rounds?')
        return self


class LabTask(Settings):
    """A task that claims are tried on."""

    gap: bool
    """Whether an attempt is easier to check than to find: where it is not, more turns should be worth nothing."""
    says: str
    set: dict[str, Any] = Field({})
    """Settings over the recipe's."""


class Scale(Settings):
    """Sizes, or another model altogether."""

    recipe: str | None = None
    seeds: int | None = Field(None, ge=1)
    """At most so many trainings."""
    set: dict[str, Any] = Field({})
    tasks: dict[str, LabTask] | None = None
    """In place of the laboratory's."""
    only: list[str] | None = None
    """Those of the laboratory's tasks that are tried, by name; by default all."""


class Laboratory(Settings):
    """What all experiments of a folder share."""

    title: str = "The claims"
    """Of the page."""
    says: str = ""
    """What the experiments are, in a sentence beneath it."""
    pages: str = Field("claims", pattern=r"^[a-z][\w-]*$")
    """What the pages are called: claims.html, claims.md, claims.json. Folders whose pages have other names may share one `--out`,
    and with it the runs of equal arms."""
    recipe: str
    """A recipe by name."""
    set: dict[str, Any] = Field({})
    """Settings over it, in every arm."""
    tasks: dict[str, LabTask]
    """By name; the first is the one that most claims are tried on. One more task is one more line."""
    only: list[str] | None = None
    """Those of the tasks that are tried, by name; by default all."""
    beside: list[str] = Field([])
    """Readings of which all arms in `curves` have one table a task and one figure, beside each other."""
    scale: dict[str, Scale] = Field({})
    place: str = ""
    """The folder as a reader knows it, filled in when it is read."""

    @model_validator(mode="after")
    def _consistent(self) -> Laboratory:
        for name in self.beside:
            if not is_reading(name):
                raise ValueError(f'beside: "{name}" is no reading (rise.evaluation.readings)')
        for name in self.only or ():
            if name not in self.tasks:
                raise ValueError(f'only = "{name}": there is no such task. {did_you_mean(name, self.tasks)}')
        return self

    def at(self, scale: str | None) -> Laboratory:
        """The laboratory at a scale. Raises `ConfigError` for an unknown one."""
        if scale is None:
            return self.model_copy(update={"tasks": self._tried(self.tasks)})
        if scale not in self.scale:
            raise ConfigError(f"--scale {scale}: the laboratory has no such scale. {did_you_mean(scale, self.scale)}")
        own = self.scale[scale]
        tasks = own.tasks or self._tried(self.tasks)
        for name in own.only or ():
            if name not in tasks:
                raise ConfigError(f'[scale.{scale}] only = "{name}": there is no such task. {did_you_mean(name, tasks)}')
        tasks = {name: task for name, task in tasks.items() if own.only is None or name in own.only}
        return self.model_copy(update={"recipe": own.recipe or self.recipe, "set": merged(self.set, own.set), "tasks": tasks})

    def _tried(self, tasks: dict[str, LabTask]) -> dict[str, LabTask]:
        return {name: task for name, task in tasks.items() if self.only is None or name in self.only}

    def chosen(self, tasks: Tasks) -> list[str]:
        """Names of the tasks that a comparison is asked on."""
        first = next(iter(self.tasks))
        wanted = {"first": [first], "every": list(self.tasks)}
        gap = {"gap": True, "no gap": False}.get(tasks)
        return wanted.get(tasks) or [name for name, task in self.tasks.items() if task.gap is gap]


def home() -> Path:
    """The folder of experiments: of the clone, or of the installed wheel, into which setup.py puts them."""
    clone = clone_of(Path(__file__).parents[1])
    return clone / "experiments" if clone else Path(__file__).parent / "experiments"


def folder_of(name: str | Path | None) -> Path:
    """The folder of experiments: by path, or by the name of one that comes with rise (`beyond`); by default that of the claims.

    Raises `ConfigError` for what is neither.
    """
    if name is None:
        return home()
    for folder in (Path(name), home() / name):
        if (folder / LABORATORY).is_file():
            return folder
    shipped = sorted(path.parent.name for path in home().glob(f"*/{LABORATORY}"))
    raise ConfigError(f"--experiments {name}: there is no {Path(name) / LABORATORY}. {did_you_mean(str(name), shipped)}")


def load_laboratory(folder: Path | None = None) -> Laboratory:
    """The laboratory of a folder. Raises `ConfigError` with the file, the field and the way out."""
    path = (folder or home()) / LABORATORY
    data = _laboratory(path)
    return validated(Laboratory, data, str(path)).model_copy(update={"place": _place(path.parent)})


def _laboratory(path: Path, seen: tuple[Path, ...] = ()) -> dict[str, Any]:
    """A laboratory as plain data: what it `extends`, by a path from its own folder, is under what it says itself."""
    if path.resolve() in seen:
        raise ConfigError(f"{path} extends itself.")
    data = dict(_toml(path))
    under = data.pop("extends", None)
    if under is None:
        return data
    if not isinstance(under, str):
        raise ConfigError(f'{path}: extends = {under!r}. Write the path of one laboratory: extends = "../{LABORATORY}".')
    return merged(_laboratory(path.parent / under, (*seen, path.resolve())), data)


def _place(folder: Path) -> str:
    """A folder as it is written in a page: `experiments/beyond` of ours, wherever it is installed."""
    own, ours = folder.resolve(), home().resolve()
    return (Path("experiments") / own.relative_to(ours)).as_posix() if own.is_relative_to(ours) else folder.as_posix()


def load_experiment(path: Path) -> Experiment:
    """One experiment. Raises `ConfigError` with the file, the field and the way out."""
    return validated(Experiment, _toml(path), str(path)).model_copy(update={"file": path.name})


def load_experiments(folder: Path | None = None, only: Iterable[int] | None = None) -> list[Experiment]:
    """Those of a folder, by the number of their claim; `only` takes some. Raises `ConfigError` for a number that none has."""
    folder = folder or home()
    paths = sorted(path for path in folder.glob("*.toml") if path.name != LABORATORY)
    found = sorted((load_experiment(path) for path in paths), key=lambda experiment: experiment.claim)
    numbers = [experiment.claim for experiment in found]
    if twice := {n for n in numbers if numbers.count(n) > 1}:
        raise ConfigError(f"{folder}: two experiments are of claim {min(twice)}.")
    if only is None:
        return found
    wanted = list(only)
    if missing := [n for n in wanted if n not in numbers]:
        raise ConfigError(f"--only {missing[0]}: there is no such claim. There are {', '.join(map(str, numbers))}.")
    return [experiment for experiment in found if experiment.claim in wanted]


def _toml(path: Path) -> Mapping[str, Any]:
    try:
        return tomllib.loads(read_text(path))
    except DataError as error:
        raise ConfigError(f"{path}: no such experiment. {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not TOML: {error}.") from error
