"""What of a recipe others may read: no address, path or name of a machine, whatever the recipe says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rise.recipe.config import RunConfig
from rise.recipe.endpoints import SCHEMES

OF_A_MACHINE = ("http", "engine", "cluster", "track")
"""Tables that say where work is done and nothing of what it is."""

_SPEC = re.compile(r"([a-z]+):(?=[/~.\\])")
_PROSE = re.compile(r"\s")


def public_recipe(config: RunConfig) -> dict[str, Any]:
    """A recipe's settings as plain data, made fit to be shown: paths are their last names, endpoints the model they serve."""
    return public_tables(config.model_dump(mode="json", exclude_none=True))


def public_tables(data: Mapping[str, Any]) -> dict[str, Any]:
    """The same of a recipe's tables as a file holds them, right or not."""
    return {key: public(_without_launcher(value)) for key, value in data.items() if key not in OF_A_MACHINE}


def _without_launcher(value: Any) -> Any:
    """A table without the command that starts a training on several processes, which may name machines."""
    if not isinstance(value, Mapping):
        return value
    return {key: _without_launcher(inner) for key, inner in value.items() if key != "launcher"}


def public(value: Any) -> Any:
    """Plain data in which every text that is a path or an address is shortened to what is no secret (`shortened`)."""
    if isinstance(value, dict):
        return {key: public(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [public(inner) for inner in value]
    return shortened(value) if isinstance(value, str) else value


def shortened(text: str) -> str:
    """A path by its last name, an address by the model behind it; anything else as it is.

    >>> [shortened(t) for t in ("/home/me/data/problems.jsonl", "local:/scratch/m", "https://10.0.0.7:8000/v1#org/m")]
    ['problems.jsonl', 'local:m', 'an endpoint#org/m']
    >>> [shortened(t) for t in ("runs/own/round-2/checkpoint", "org/model", "judge.py:right", "See a/b. Go on.")]
    ['own-round-2', 'org/model', 'judge.py:right', 'See a/b. Go on.']
    """
    if text.partition(":")[0].lower() in SCHEMES and "://" in text:
        model = text.partition("#")[2]
        return f"an endpoint#{model}" if model else "an endpoint"
    if _PROSE.search(text):
        return text
    kind = _SPEC.match(text)
    lead, path = (kind[0], text[kind.end() :]) if kind else ("", text)
    return lead + _last_name(path) if _is_path(path) else text


def _is_path(text: str) -> bool:
    if text.startswith(("/", "~", "./", "../", ".\\", "..\\")) or re.match(r"[A-Za-z]:[\\/]", text) or text.count("/") > 1:
        return True
    return "/" in text and (Path(text).exists() or Path(text).parent.is_dir())


def _last_name(path: str) -> str:
    """The last name of a path; of a run's checkpoint, the names of run and stage."""
    parts = [part for part in re.split(r"[\\/]+", path) if part not in ("", ".", "..", "~")]
    if parts[-1:] == ["checkpoint"] and len(parts) > 2:
        return "-".join(parts[-3:-1])
    return parts[-1] if parts else "."
