"""Every error the package raises for something a person can put right.

RiseError
├── ConfigError        a recipe, a setting or a command-line value
├── DataError          a file of problems, records or replies
├── ModelError         a model directory, its tokenizer or its chat template
├── PolicyError        a policy that cannot reply: wrong spec, dead server, full context
│   └── Busy           an engine that asks to be spared for long
├── ResumeError        a run directory that another recipe or data set made
├── EmptyStageError    a stage that has nothing to hand on
└── NotHereError       what is merely not on this machine yet: data, an engine; `--dry-run` lists it

A wrong answer by the model is data, never an error. The command line prints these without a traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class RiseError(Exception):
    """Base of everything a user can put right. The text names the value, the trouble and the way out."""


class ConfigError(RiseError):
    """A recipe, a setting or a command-line value is impossible."""


class DataError(RiseError):
    """A file of problems, records or replies cannot be read as what it should be."""


class ModelError(RiseError):
    """A model directory, its tokenizer or its chat template will not do."""


class PolicyError(RiseError):
    """A policy cannot reply."""


class Busy(PolicyError):
    """An engine asks to be spared for longer than whoever asks it waits."""

    def __init__(self, message: str, rest_s: float) -> None:
        super().__init__(message)
        self.rest_s = rest_s


class ResumeError(RiseError):
    """A run directory was made by another recipe, data set or model."""


class EmptyStageError(RiseError):
    """A stage has nothing to hand to the next one."""


class NotHereError(RiseError):
    """Nothing is wrong: data, weights or an engine are not on this machine yet, and the text says how to get them."""


class MissingDataError(DataError, NotHereError):
    """A benchmark's files are not on this machine."""


def did_you_mean(wrong: str, valid: Iterable[str]) -> str:
    """The tail of an error about an unknown name: the nearest valid ones, else all of them.

    >>> did_you_mean("windw", ["window", "turns"])
    'Did you mean "window"?'
    >>> did_you_mean("zzz", ["window", "turns"])
    'Valid: turns, window.'
    """
    names = sorted(valid)
    near = difflib.get_close_matches(wrong, names, n=1)
    return f'Did you mean "{near[0]}"?' if near else f"Valid: {', '.join(names)}."
