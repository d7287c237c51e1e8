"""Tasks by name. `make_task("arithmetic", kinds={"product": 1})` is what a recipe's `[task]` table becomes."""

from __future__ import annotations

import importlib
import inspect
from functools import partial
from typing import Any, cast

from rise.errors import ConfigError, did_you_mean
from rise.task import Task

KINDS = {
    "arithmetic": "rise.tasks.arithmetic:Arithmetic",
    "word-problems": "rise.tasks.word_problems:WordProblems",
    "gsm8k": "rise.tasks.gsm8k:GSM8K",
    "math": "rise.tasks.competition_math:CompetitionMath",
    "svamp": "rise.tasks.svamp:SVAMP",
    "mbpp": "rise.tasks.mbpp:MBPP",
    "humaneval": "rise.tasks.humaneval:HumanEval",
    "python-functions": "rise.tasks.python_functions:PythonFunctions",
    "divisor": "rise.tasks.divisor:Divisor",
    "signs": "rise.tasks.signs:Signs",
    "signs-in-words": "rise.tasks.signs_in_words:SignsInWords",
    "pair": "rise.tasks.pair:Pair",
    "recall": "rise.tasks.recall:Recall",
    "jsonl": "rise.tasks.jsonl:JsonLines",
}
"""Name in recipes → where it is defined. Imported on use, so that naming a task costs nothing."""

FAMILIES = {
    "reasoning-gym": "rise.tasks.reasoning_gym:ReasoningGym",
    "inspect": "rise.tasks.inspect_task:InspectTask",
    "openenv": "rise.tasks.openenv:OpenEnvTask",
    "verifiers": "rise.tasks.verifiers:VerifiersTask",
    "reasoning-core": "rise.tasks.reasoning_core:ReasoningCore",
}
"""The same for `family:member`; the member is the first argument."""


def is_task(name: str) -> bool:
    """Whether `make_task` knows the name; of a family's member only the family is looked at."""
    return name in KINDS or (":" in name and name.partition(":")[0] in FAMILIES)


def class_of(name: str) -> type[Task] | None:
    """The class of a task that is no family's member, looked at and not made; None for an unknown name."""
    if name not in KINDS:
        return None
    module, attribute = KINDS[name].split(":")
    return cast(type[Task], getattr(importlib.import_module(module), attribute))


def takes(name: str, setting: str) -> bool:
    """Whether a task has a setting of that name; a family's member has not.

    >>> takes("gsm8k", "judge"), takes("arithmetic", "judge")
    (True, False)
    """
    found = class_of(name)
    return found is not None and setting in inspect.signature(found).parameters


def make_task(name: str, **settings: Any) -> Task:
    """The task of that name. An unknown name or setting raises `ConfigError` with the nearest valid one.

    >>> make_task("arithmetic", kinds={"product": 1}, product_digits=(2, 1)).problems("test", 1)[0].question
    '68*5'
    """
    family, colon, member = name.partition(":")
    if colon and family in FAMILIES:
        module, attribute = FAMILIES[family].split(":")
        kind = partial(getattr(importlib.import_module(module), attribute), member)
    elif name in KINDS:
        module, attribute = KINDS[name].split(":")
        kind = getattr(importlib.import_module(module), attribute)
    else:
        known = [*KINDS, *(f"{family}:<name>" for family in FAMILIES)]
        raise ConfigError(f"unknown task {name!r}. {did_you_mean(name, known)}")
    valid = inspect.signature(kind).parameters
    for setting in settings:
        if setting not in valid:
            raise ConfigError(f"task {name} has no setting {setting!r}. {did_you_mean(setting, valid)}")
    missing = [p.name for p in valid.values() if p.default is p.empty and p.name not in settings]
    if missing:
        raise ConfigError(f"task {name} needs the setting {missing[0]!r}.")
    return cast(Task, kind(**settings))


def described() -> list[tuple[str, str]]:
    """(name, the first line of its file) of every task, in the order in which they are listed."""
    names = KINDS | {f"{family}:NAME": place for family, place in FAMILIES.items()}
    modules = {name: importlib.import_module(place.partition(":")[0]) for name, place in names.items()}
    return [(name, inspect.getdoc(module).splitlines()[0]) for name, module in modules.items()]  # type: ignore[union-attr]
