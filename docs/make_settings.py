"""Write docs/settings.md from the settings records and their readers: `make docs`. A test compares the two."""

from __future__ import annotations

import ast
import inspect
import json
import re
import textwrap
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import PydanticUndefined
from readers import Readers, all_records, records_in

import rise
from rise.recipe import rules
from rise.recipe.config import RunConfig

HEAD = """# Settings

Written by `make docs` from the records in `rise/recipe/`; edit those, not this page.

Every setting of a recipe. In a file a section is a table, `[train]`. On the command line a setting is a dotted name:
`--set train.epochs=1`. An unknown name, a wrong type and an impossible value are refused before any work starts.

The dash in a column means none: the setting is off, or must be given. *Read by* names the modules of `rise` that use the value.
"""

TABLE = "| setting | type | default | unit | meaning | read by |\n| --- | --- | --- | --- | --- | --- |\n"

PACKAGE = Path(rise.__file__).parent
SETTINGS = {f"rise.recipe.{name}" for name in ("config", "machines", "rules", "settings", "toml")}
"""They define and check settings; they do nothing with them."""

BY_HAND = {("StateConfig", "preset"): ["rise.recipe.wordings"]}
"""Read from plain data, before there is a record."""

SAME = {"boost.train": "train", "boost.train_multi_turn": "train", "evaluate.state": "state"}
"""Sections with the fields of another."""


@cache
def _readers() -> Readers:
    return Readers(PACKAGE, RunConfig, SETTINGS)


def settings_page() -> str:
    """The whole page."""
    parts = [HEAD]
    for name, model, optional in sections():
        title = f"`[{name}]`" if name else "The top of a recipe"
        parts.append(f"## {title}\n\n{_about(name, model, optional)}\n")
        parts.append(TABLE + "\n".join(_rows(model, _readers())) + "\n")
    parts.append(_rules())
    return "\n".join(parts)


def sections() -> Iterator[tuple[str, type[BaseModel], bool]]:
    """(dotted name, record, whether it may be left out altogether), in the order of a recipe."""
    waiting: list[tuple[str, type[BaseModel], bool]] = [("", RunConfig, False)]
    while waiting:
        name, model, optional = waiting.pop(0)
        yield name, model, optional
        inner = []
        for field, info in model.model_fields.items():
            dotted = f"{name}.{field}".lstrip(".")
            for record in records_in(info.annotation):
                if dotted not in SAME:
                    inner.append((dotted, record, type(None) in get_args(info.annotation)))
        waiting = inner + waiting


def _about(name: str, model: type[BaseModel], optional: bool) -> str:
    about = " ".join(inspect.cleandoc(model.__doc__ or "").split())
    same = [f"`[{other}]`" for other, this in SAME.items() if this == name]
    if same:
        about += f" {', '.join(same)} {'has' if len(same) == 1 else 'have'} the same fields."
    if optional:
        about += " Off unless the section is there."
    return f"{about}\n\nSource: [{_file(model)}](../{_file(model)}), `{model.__name__}`."


def _file(model: type[BaseModel]) -> str:
    return model.__module__.replace(".", "/") + ".py"


def _rows(model: type[BaseModel], readers: Readers) -> Iterator[str]:
    texts = sentences(model)
    for field, info in model.model_fields.items():
        if records_in(info.annotation) and type(info.default).__name__ != "bool":
            continue  # a section, with a table of its own
        meaning, unit = texts[field]
        by = BY_HAND.get((model.__name__, field)) or readers[model.__name__, field]
        modules = ", ".join(f"`{module.removeprefix('rise.')}`" for module in by)
        cells = [f"`{field}`", _type(info), _default(info), unit, meaning, modules]
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def sentences(model: type[BaseModel]) -> dict[str, tuple[str, str]]:
    """Field → (what stands below it in the source, the unit that it ends in)."""
    body = ast.parse(textwrap.dedent(inspect.getsource(model))).body[0].body  # type: ignore[attr-defined]
    out = {}
    for field, text in pairwise(body):
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
            whole = " ".join(str(text.value.value).split())
            found = re.fullmatch(r"(.*?)(?: Unit: (.*)\.)?", whole)
            assert found is not None and isinstance(field.target, ast.Name)
            out[field.target.id] = (found[1], found[2] or "")
    return out


def _type(info: Any) -> str:
    text = " or ".join(dict.fromkeys(_names(info.annotation)))
    limits = {name: getattr(bound, name) for bound in info.metadata for name in ("ge", "gt", "le", "lt") if hasattr(bound, name)}
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    return text + "".join(f", {signs[name]} {value:g}" for name, value in limits.items())


def _names(annotation: Any) -> Iterator[str]:
    """What a recipe may say there, one alternative at a time."""
    origin = get_origin(annotation)
    if annotation is type(None):
        return
    if origin is Literal:
        yield from (f"`{json.dumps(value)}`" for value in get_args(annotation))
    elif origin is Union or type(annotation).__name__ == "UnionType":
        for option in get_args(annotation):
            yield from _names(option)
    elif origin is list:
        yield "list of " + " or ".join(_names(get_args(annotation)[0]))
    elif hasattr(annotation, "__metadata__"):
        bounds = [bound for outer in annotation.__metadata__ for bound in getattr(outer, "metadata", [])]
        yield next(_names(annotation.__origin__)) + "".join(f" ≥ {bound.ge:g}" for bound in bounds if hasattr(bound, "ge"))
    else:
        plain = {int: "whole number", float: "number", str: "text", bool: "true or false"}
        yield plain.get(annotation, "table")


def _default(info: Any) -> str:
    if info.default is None or info.default is PydanticUndefined:
        return "–"
    if isinstance(info.default, float) and 0 < abs(info.default) < 0.001:
        return f"`{info.default:.0e}`".replace("e-0", "e-")
    return f"`{json.dumps(info.default, ensure_ascii=False)}`"


def _rules() -> str:
    """What does not go together: the first line of each rule."""
    source = "[rise/recipe/rules.py](../rise/recipe/rules.py)"
    parts = [f"## What does not go together\n\nEach is refused with the way out. Source: {source}.\n"]
    for title, group in (("Whole recipe", rules.RUN), ("`[relabel]`", rules.RELABEL), ("`[cluster]`", rules.CLUSTER)):
        lines = [f"- `{rule.__name__}`: {(rule.__doc__ or '').splitlines()[0]}" for rule in group]
        parts.append(f"{title}:\n\n" + "\n".join(lines) + "\n")
    return "\n".join(parts)


def unread() -> list[str]:
    """Settings that no module reads."""
    fields = [(name, field) for name, model in all_records(RunConfig).items() for field in model.model_fields]
    return [".".join(field) for field in fields if not _readers()[field] and field not in BY_HAND]


if __name__ == "__main__":
    Path(__file__).with_name("settings.md").write_text(settings_page(), encoding="utf-8")
