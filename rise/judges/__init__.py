"""Judges by name: `make_judge("number", tolerance=0.01)`. The kinds are listed here and nowhere else."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from typing import Any, cast

from rise.errors import ConfigError, did_you_mean
from rise.judge import Judge
from rise.judges.named import load_judge

KINDS = {
    "math": "rise.judges.math:MathJudge",
    "exact": "rise.judges.plain:Exact",
    "choice": "rise.judges.plain:Choice",
    "regex": "rise.judges.plain:Regex",
    "number": "rise.judges.plain:Number",
    "json": "rise.judges.plain:Json",
    "model": "rise.judges.by_model:ModelJudge",
    "python-functions": "rise.judges.python_functions:FunctionJudge",
    "reasoning-gym": "rise.judges.reasoning_gym:GymJudge",
}
"""Name → where it is defined. Imported on use."""


def make_judge(name: str | Mapping[str, Any], **settings: Any) -> Judge:
    """The judge of that name, or one of yours at `module:name` or `file.py:name`, made with `settings`.

    A mapping holds both, as a recipe writes them.
    Raises `ConfigError` for an unknown name or setting, with the nearest valid one.

    >>> make_judge("math", mode="lenient").answer("The answer is 4 apples.")
    '4 apples'
    >>> make_judge({"name": "number", "tolerance": 0.5}).same("1.5", "2")
    True
    """
    if isinstance(name, Mapping):
        if not isinstance(name.get("name"), str):
            raise ConfigError(f'judge = {dict(name)}: it needs a name: judge = {{ name = "number", tolerance = 0.01 }}.')
        return make_judge(name["name"], **{key: value for key, value in name.items() if key != "name"}, **settings)
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
    missing = [p.name for p in valid.values() if p.default is p.empty and p.kind is not p.VAR_KEYWORD and p.name not in settings]
    if missing:
        raise ConfigError(f'judge {name} needs {missing[0]}: judge = {{ name = "{name}", {missing[0]} = … }}.')
    return cast(Judge, kind(**settings))
