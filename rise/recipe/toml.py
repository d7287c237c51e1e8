"""Recipes on disk: read from TOML, overridden by dotted names, written back in full. Errors name the setting and the way out."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from rise.errors import ConfigError, DataError, did_you_mean
from rise.jsonl import read_text, whole_text
from rise.recipe.config import RunConfig
from rise.recipe.shipped import find_recipe

Record = TypeVar("Record", bound=BaseModel)


def load_recipe(recipe: str | Path, *, scale: str | None = None, overrides: Iterable[str] = ()) -> RunConfig:
    """A recipe by path or name, with the overrides of its `[scale.NAME]` tables and of `a.b=c` texts.

    `scale` is one name, or several joined with commas that apply from left to right: `math,self,lora`.
    Raises `ConfigError` for what is unknown (with the nearest valid name), of the wrong type or impossible.
    """
    path = find_recipe(recipe)
    wanted = [] if scale is None else [name.strip() for name in scale.split(",")]
    data, scales = _read(path, wanted)
    for name in wanted:
        if name not in scales:
            raise ConfigError(f'{path} has no scale "{name}". {did_you_mean(name, sorted(scales))}')
    given, plain = list(overrides), data
    for override in given:
        data = Override.read(override).over(data)
    try:
        return build_config(data, str(path))
    except ConfigError as error:
        raise ConfigError(f"{_to_blame(given, plain, error) or path}: {str(error).removeprefix(f'{path}: ')}") from None


def _to_blame(overrides: Sequence[str], plain: Mapping[str, Any], error: ConfigError) -> str:
    """The overrides that an error is about, where the recipe is right without them; else nothing."""
    try:
        build_config(plain)
    except ConfigError:
        return ""
    named = [text for text in overrides if text.partition("=")[0].strip() in str(error)] or overrides
    return " ".join(f"--set {text}" for text in named)


def _read(path: Path, wanted: Sequence[str], seen: tuple[Path, ...] = ()) -> tuple[dict[str, Any], set[str]]:
    """(a recipe at scales, the scales it knows). What it `extends`, at those scales, is under everything it says itself."""
    if path.resolve() in seen:
        raise ConfigError(f"{path} extends itself: {' → '.join(p.name for p in (*seen, path))}.")
    try:
        data = at_home(tomllib.loads(read_text(path).replace("\r\n", "\n")), path.parent)
    except DataError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            raise ConfigError(f"{path}: no such recipe, and another extends it.") from error
        raise ConfigError(str(error)) from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not TOML: {error}.") from error
    parent, scales = data.pop("extends", None), data.pop("scale", {})
    known = set(scales)
    if parent is not None:
        if not isinstance(parent, str):
            raise ConfigError(f'{path}: extends = {parent!r}. Write the path of one recipe: extends = "../nano.toml".')
        under, more = _read(path.parent / parent, wanted, (*seen, path.resolve()))
        data, known = merged(under, data), known | more
    for name in wanted:
        data = merged(data, scales.get(name, {}))
    return data, known


def at_home(value: Any, folder: Path) -> Any:
    """A recipe's data, with the folder that its file lies in wherever a text says `{here}`.

    >>> at_home({"path": "{here}/problems.jsonl"}, Path("mine"))
    {'path': 'mine/problems.jsonl'}
    """
    if isinstance(value, dict):
        return {key: at_home(inner, folder) for key, inner in value.items()}
    if isinstance(value, list):
        return [at_home(inner, folder) for inner in value]
    return value.replace("{here}", folder.as_posix()) if isinstance(value, str) else value


def build_config(data: Mapping[str, Any], source: str = "settings") -> RunConfig:
    """`RunConfig` from plain data, pydantic's errors said in one readable text."""
    return validated(RunConfig, data, source)


def validated(model: type[Record], data: Mapping[str, Any], source: str) -> Record:
    """One settings record from plain data, with the same errors as a recipe's."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise ConfigError(f"{source}: {_explain(error.errors(), model)}") from None


def to_toml(config: RunConfig) -> str:
    """The resolved recipe; `rise run` on the text repeats the run."""
    return plain_toml(config.model_dump(mode="json", exclude_none=True))


def plain_toml(data: Mapping[str, Any]) -> str:
    """Plain data without None as TOML."""
    lines: list[str] = []
    _write_table(data, (), lines)
    return "\n".join(lines).strip() + "\n"


def differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Dotted names whose values differ, as `name: old → new`."""
    found = []
    for key in sorted(set(old) | set(new)):
        name = f"{prefix}{key}"
        a, b = old.get(key), new.get(key)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            found += differences(a, b, name + ".")
        elif a != b:
            found.append(f"{name}: {json.dumps(a)} → {json.dumps(b)}")
    return found


def merged(base: Mapping[str, Any], top: Mapping[str, Any]) -> dict[str, Any]:
    """`top` laid over `base`, table by table; other values of `top` replace those of `base`."""
    out = dict(base)
    for key, value in top.items():
        old = out.get(key)
        out[key] = merged(old, value) if isinstance(value, Mapping) and isinstance(old, Mapping) else value
    return out


@dataclass(frozen=True, slots=True)
class Override:
    """One setting from the command line."""

    path: tuple[str, ...]
    """The parts of its dotted name."""
    value: Any

    @classmethod
    def read(cls, text: str) -> Override:
        """From `a.b=c`; the value is read as TOML, a bare word as a string. Raises `ConfigError` where there is no `name=`."""
        name, equals, value = whole_text(text).partition("=")  # a command line may hold bytes that are no UTF-8
        if not equals or not name.strip():
            raise ConfigError(f"--set {text}: write it as name=value, for example --set relabel.n_samples=16.")
        try:
            parsed = tomllib.loads(f"v = {value.strip()}")["v"]
        except tomllib.TOMLDecodeError:
            parsed = value.strip()  # a bare word is a string: no quotes inside quotes
        return cls(tuple(name.strip().split(".")), parsed)

    def over(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """`data` with the value at that place. It replaces a table that is there: kinds={sum=1} means sums only.

        >>> Override.read("task.kinds={sum=1}").over({"task": {"n": 3, "kinds": {"product": 1}}})
        {'task': {'n': 3, 'kinds': {'sum': 1}}}
        """
        first, *rest = self.path
        if not rest:
            return {**data, first: self.value}
        old = data.get(first)
        inner = Override(tuple(rest), self.value)
        return {**data, first: inner.over(old if isinstance(old, Mapping) else {})}


def parse_override(text: str) -> dict[str, Any]:
    """`a.b=c` as nested plain data.

    >>> parse_override("relabel.n_samples=16"), parse_override("name=my-run")
    ({'relabel': {'n_samples': 16}}, {'name': 'my-run'})
    """
    return Override.read(text).over({})


def _explain(errors: Iterable[Any], root: type[BaseModel]) -> str:
    """pydantic's errors, one line a setting; those of alternatives (a number, or "all") are joined with `or`."""
    messages: dict[str, list[str]] = {}
    for item in errors:
        where, model = _place(item["loc"], root)
        name = ".".join(where)
        if item["type"] == "extra_forbidden":
            wrong = str(item["loc"][-1])
            messages[f"unknown setting {'.'.join([*where, wrong])}. {did_you_mean(wrong, model.model_fields)}"] = []
            continue
        shown = "" if item["type"] == "value_error" or isinstance(item["input"], dict) else f" = {item['input']!r}"
        messages.setdefault(f"{name}{shown}: " if name else "", []).append(item["msg"].removeprefix("Value error, "))
    return "\n".join(head + _sentence(", or ".join(texts)) for head, texts in messages.items())


def _sentence(text: str) -> str:
    return text + "." if text and text[-1] not in ".?" else text


def _place(loc: Iterable[Any], root: type[BaseModel]) -> tuple[list[str], Any]:
    """Field names of an error's place, and the record they lead into; pydantic's names for alternatives left out.

    Of a record in a list or a table, its number or name is part of the place: `compare.2.matters`.
    """
    where: list[str] = []
    model: Any = root
    inside = False
    for part in map(str, loc):
        if inside:
            where, inside = [*where, part], False
            continue
        if model is None or part not in model.model_fields:
            break
        where.append(part)
        annotation = model.model_fields[part].annotation
        options = [annotation, *getattr(annotation, "__args__", ())]
        model = next((o for o in options if isinstance(o, type) and issubclass(o, BaseModel)), None)
        inside = model is not None and getattr(annotation, "__origin__", None) in (list, dict)
    return where, model


def _write_table(data: Mapping[str, Any], path: tuple[str, ...], lines: list[str]) -> None:
    plain = {k: v for k, v in data.items() if not isinstance(v, Mapping)}
    tables = {k: v for k, v in data.items() if isinstance(v, Mapping)}
    if path and (plain or not tables):
        lines.append(f"\n[{'.'.join(map(_key, path))}]")
    lines += [f"{_key(key)} = {_value(value)}" for key, value in plain.items()]
    for key, table in tables.items():
        _write_table(table, (*path, key), lines)


def _key(key: str) -> str:
    bare = key.isascii() and key.replace("_", "").replace("-", "").isalnum()
    return key if bare else _value(key)


def _value(value: Any) -> str:
    if value is None:
        raise ConfigError('a setting is None, but TOML has no null. Leave it out for the default, or say what you mean: "" or 0.')
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items()) + " }"
    # TOML's basic strings, numbers and booleans are JSON's, but for one character.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
