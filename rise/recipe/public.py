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

MODELS = ("model.path", "rollout.policy", "relabel.teacher", "relabel.judge")
"""Settings that name a model: a directory, whose hash stands in the run's contents then, or a hub's `owner/name`."""

_SPEC = re.compile(r"(?!hub:|base:)[a-z]+:")
_PROSE = re.compile(r"\s")
_FILE = re.compile(r"\.(py(:\w+)?|jsonl?|parquet|csv|tsv|toml|gguf|safetensors)$", re.IGNORECASE)
_ELSEWHERE = re.compile(r"[/~.\\]|[A-Za-z]:[\\/]|hub:|base:|https?:", re.IGNORECASE)


def public_recipe(config: RunConfig, contents: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A recipe's settings as plain data, made fit to be shown: paths are their last names, endpoints the model they serve.

    `contents` are those of its run; without any a model is a directory where one is called so from here.
    """
    return public_tables(config.model_dump(mode="json", exclude_none=True), contents)


def public_tables(data: Mapping[str, Any], contents: Mapping[str, Any] | None) -> dict[str, Any]:
    """The same of a recipe's tables as a file holds them, right or not."""
    placed = _with_places(data, contents)
    return {key: public(_without_launcher(value)) for key, value in placed.items() if key not in OF_A_MACHINE}


def placed(config: RunConfig, contents: Mapping[str, Any] | None = None) -> RunConfig:
    """The recipe with `./` before each path that could be taken for a hub's `owner/name`, wherever the reader stands."""
    return RunConfig.model_validate(_with_places(config.model_dump(), contents))


def public_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """A task's settings, fit to be shown: `path` and whatever ends in `_path` is one, or `hub:NAME`.

    >>> public_settings({"path": "data/problems", "test_path": "hub:org/name", "mode": "strict"})
    {'path': 'problems', 'test_path': 'hub:org/name', 'mode': 'strict'}
    """
    return dict(public(_placed_settings(settings)))


def _with_places(data: Mapping[str, Any], contents: Mapping[str, Any] | None) -> dict[str, Any]:
    out = {name: dict(table) if isinstance(table, Mapping) else table for name, table in data.items()}

    def mark(name: str) -> None:
        table, field = name.split(".")
        if isinstance(out.get(table), dict) and isinstance(text := out[table].get(field), str):
            out[table][field] = _here(text)

    mark("boost.reuse")
    for name in MODELS:
        table, field = name.split(".")
        text = out[table].get(field) if isinstance(out.get(table), dict) else None
        if name in contents if contents else isinstance(text, str) and _is_directory(text):
            mark(name)
    if isinstance(task := out.get("task"), dict) and isinstance(task.get("settings"), Mapping):
        task["settings"] = _placed_settings(task["settings"])
    return out


def _placed_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _here(value) if isinstance(value, str) and (name == "path" or name.endswith("_path")) else value
        for name, value in settings.items()
    }


def _is_directory(text: str) -> bool:
    kind = _SPEC.match(text)
    try:
        return Path(text[kind.end() :] if kind else text).is_dir()
    except (OSError, ValueError):  # too long for a name, or no name at all
        return False


def _here(text: str) -> str:
    """A relative path with `./` before it, behind the kind of policy where one is named."""
    kind = _SPEC.match(text)
    lead, path = (kind[0], text[kind.end() :]) if kind else ("", text)
    return text if not text or _ELSEWHERE.match(text) or _ELSEWHERE.match(path) else f"{lead}./{path}"


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
    >>> [shortened(t) for t in ("runs/own/round-2/checkpoint", "org/model", "mine/judge.py:right", "See a/b. Go on.")]
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
    return "/" in text and _FILE.search(text) is not None


def _last_name(path: str) -> str:
    """The last name of a path; of a run's checkpoint, the names of run and stage."""
    parts = [part for part in re.split(r"[\\/]+", path) if part not in ("", ".", "..", "~")]
    if parts[-1:] == ["checkpoint"] and len(parts) > 2:
        return "-".join(parts[-3:-1])
    return parts[-1] if parts else "."
