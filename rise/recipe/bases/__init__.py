"""Nano bases that come with the package, so that a run begins with RISE: `model.path = "base:divisor"`.

Each was trained once by the recipe of its name in `recipes/bases/`, and is a plain transformers model in float16 with its
tokenizer, a card (README.md) and the content hash of its weights.
"""

from __future__ import annotations

from pathlib import Path

from rise.errors import ConfigError, did_you_mean

HOME = Path(__file__).parent
PREFIX = "base:"
LIMIT = 4 * 2**20
"""Most bytes of weights that a base may have."""


def names() -> list[str]:
    """The bases that come with the package.

    >>> "divisor" in names()
    True
    """
    return sorted(path.parent.name for path in HOME.glob("*/config.json"))


def base_path(name: str) -> Path:
    """The directory of a base. Raises `ConfigError` where there is none of that name."""
    if name not in names():
        raise ConfigError(f"no base {name!r} comes with rise. {did_you_mean(name, names())}")
    return HOME / name


def resolved(path: str) -> str:
    """A model's place: that of the base for `base:NAME`, anything else as it is.

    >>> resolved("my-model"), resolved("base:divisor").endswith("divisor")
    ('my-model', True)
    """
    return str(base_path(path.removeprefix(PREFIX))) if path.startswith(PREFIX) else path
