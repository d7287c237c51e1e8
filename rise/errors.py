"""Every error the package raises for something a person can put right.

RiseError
├── ConfigError        a recipe, a setting or a command-line value
├── DataError          a file of problems, records or replies
│   └── EmptySplitError  a split in which there is no problem
├── ModelError         a model directory, its tokenizer or its chat template
├── PolicyError        a policy that cannot reply: wrong spec, dead server, full context
│   ├── Busy           an engine that asks to be spared for long
│   ├── FullContext    a state that leaves the model no room for a reply
│   └── Unanswerable   a request that an endpoint refuses for what is in it
├── ResumeError        a run directory that another recipe or data set made
├── EmptyStageError    a stage that has nothing to hand on
└── NotHereError       what is merely not on this machine yet: data, an engine; `--dry-run` lists it

A wrong answer by the model is data, never an error. The command line prints these without a traceback.
"""

from __future__ import annotations

import difflib
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import unquote, urlparse

NAME = "rise-lm"
"""The package's name for pip; the import and the command are `rise`."""


class RiseError(Exception):
    """Base of everything a user can put right. The text names the value, the trouble and the way out."""


class ConfigError(RiseError):
    """A recipe, a setting or a command-line value is impossible."""


class DataError(RiseError):
    """A file of problems, records or replies cannot be read as what it should be."""


class EmptySplitError(DataError):
    """A split that a task has holds no problem."""


class ModelError(RiseError):
    """A model directory, its tokenizer or its chat template will not do."""


class PolicyError(RiseError):
    """A policy cannot reply."""


class Busy(PolicyError):
    """An engine asks to be spared for longer than whoever asks it waits."""

    def __init__(self, message: str, rest_s: float) -> None:
        super().__init__(message)
        self.rest_s = rest_s


class FullContext(PolicyError):
    """A state and the reply to it are longer than the model's context."""


class Unanswerable(PolicyError):
    """An endpoint refuses a request for what is in it, and would refuse it again."""


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


def installing(extra: str) -> str:
    """The command that adds an extra of ours to this installation, the tail of an error about a package that is missing.

    It goes by how rise came here: from a clone, from the file of a wheel, or from a registry, whose copy it then names.
    """
    tool = "pip install"
    for receipt, way in (("uv-receipt.toml", "uv tool install --force"), ("pipx_metadata.json", "pipx install --force")):
        if (Path(sys.prefix) / receipt).exists():
            tool = way
    clone, came_from = clone_of(Path(__file__)), _came_from()
    if clone is not None:
        editable = "-e " if tool == "pip install" else ""
        here = "." if clone == Path.cwd() else clone
        return f"{tool} {editable}'{here}[{extra}]'"
    return f"{tool} '{NAME}[{extra}]{f' @ {came_from}' if came_from else ''}'"


def clone_of(file: Path) -> Path | None:
    """The clone whose package holds a file, as `rise/NAME.py`; None in an installed wheel."""
    root = file.resolve().parents[1]
    return root if (root / "pyproject.toml").exists() and (root / "recipes").is_dir() else None


def _came_from() -> str | None:
    """The URL of the wheel that was installed, as pip and uv write it down; None where it came from a registry."""
    from importlib import metadata  # it costs a tenth of what `rise --help` may take

    try:
        text = metadata.distribution(NAME).read_text("direct_url.json")
    except metadata.PackageNotFoundError:
        return None
    url = json.loads(text)["url"] if text else ""
    return str(url) if url.startswith("file:") and Path(unquote(urlparse(url).path)).is_file() else None
