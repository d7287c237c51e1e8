"""Judges by name: `make_judge("math", mode="lenient")`. The kinds are listed here and nowhere else."""

from __future__ import annotations

import importlib
import inspect
from typing import Any, cast

from rise.errors import ConfigError, did_you_mean
from rise.judge import Judge
from rise.judges.named import load_judge

KINDS = {
    "math": "rise.judges.math:MathJudge",
    "python-functions": "rise.judges.python_functions:FunctionJudge",
    "reasoning-gym": "rise.judges.reasoning_gym:GymJudge",
}
"""Name → where it is defined. Imported on use."""


def make_judge(name: str, **settings: Any) -> Judge:
    """The judge of that name, or one of yours at `module:name`, made with `settings`.

    Raises `ConfigError` for an unknown name or setting, with the nearest valid one.

    >>> make_judge("math", mode="lenient").answer("The answer is 4 apples.")
    '4 apples'
    """
    if name not in KINDS:
        if ":" in name:
            return load_judge(name, "judge", **settings)
        raise ConfigError(f'judge = "{name}" is no judge. Use {", ".join(KINDS)} or module:name. {did_you_mean(name, KINDS)}')
    module, _, attribute = KINDS[name].partition(":")
    kind = getattr(importlib.import_module(module), attribute)
    valid = inspect.signature(kind).parameters
    for setting in settings:
        if setting not in valid:
            raise ConfigError(f"judge {name} has no setting {setting!r}. {did_you_mean(setting, valid)}")
    return cast(Judge, kind(**settings))
