"""The recipes that come with rise, by name: `nano`, `baselines/star`. They lie in `recipes/` of a clone, and in a wheel beside
this file."""

from __future__ import annotations

import re
from pathlib import Path

from rise.errors import ConfigError, clone_of, did_you_mean

ONLY_EXTENDED = "common.toml"
"""What a recipe of this name holds is only extended: it is none to run."""
STARTER = "starter"
"""The folder that `rise init` copies."""

_EXTENDS = re.compile(r'^extends = "([^"]+)"', re.MULTILINE)
_NAMED = re.compile(r"\{here\}/([\w./-]+)")


def home() -> Path:
    """The folder of recipes: of the clone, or of the installed wheel, into which setup.py puts them."""
    clone = clone_of(Path(__file__).parent)
    return clone / "recipes" if clone else Path(__file__).parent / "recipes"


def names() -> list[str]:
    """Those that can be run, the ones in folders of their own last.

    >>> {"nano", "own", "baselines/star"} <= set(names())
    True
    """
    every = [path.relative_to(home()) for path in home().rglob("*.toml")]
    found = [path for path in every if path.name != ONLY_EXTENDED and path.parts[0] != STARTER]
    return [path.with_suffix("").as_posix() for path in sorted(found, key=lambda path: (len(path.parts), path))]


def shipped(name: str) -> Path:
    """A recipe of ours, with or without its `.toml`, or any other file beside them. Raises `ConfigError` where there is none."""
    for path in (home() / f"{name}.toml", home() / name):
        if ".." not in path.relative_to(home()).parts and path.is_file():
            return path
    raise ConfigError(f'no recipe "{name}" comes with rise. {did_you_mean(name, names())}')


def find_recipe(recipe: str | Path) -> Path:
    """The file of a recipe given by its path, or by its name, which may be that of one in `recipes/` here.

    `recipes/NAME.toml` is found among ours too, where there is none here. Raises `ConfigError` for what is nowhere.
    """
    path = Path(recipe)
    if path.is_file() or (path.is_dir() and path.as_posix() not in names()):
        return path  # a folder cannot be read as one, which is said where it is read
    name = path.as_posix().removeprefix("recipes/").removesuffix(".toml")
    if (own := Path("recipes") / f"{name}.toml").is_file():
        return own
    if path.suffix == ".toml" and path.parts[0] != "recipes":
        raise ConfigError(f"{path}: no such recipe. `rise recipes` lists those that come with rise; they go by name.")
    if name in names():
        return shipped(name)
    raise ConfigError(f"{path}: no such recipe. {did_you_mean(name, names())} Or give the path of a TOML file.")


def needed(name: str) -> list[Path]:
    """A recipe of ours with every file that it extends or names, which a copy needs beside it."""
    files, found = [shipped(name)], []
    while files:
        path = files.pop()
        text = path.read_text(encoding="utf-8") if path.suffix == ".toml" else ""
        others = [*_EXTENDS.findall(text), *_NAMED.findall(text)]
        files += [(path.parent / other).resolve() for other in others]
        found += [path] if path not in found else []
    return found


def about(path: Path) -> str:
    """The first line of a recipe, which says what it is."""
    first = path.read_text(encoding="utf-8").partition("\n")[0]
    return first.removeprefix("#").strip()


def vllm_environment() -> str:
    """The command that makes the environment vLLM is started from."""
    return "make venv-vllm" if clone_of(Path(__file__).parent) else f"python {home() / 'vllm_env.py'} .venv-vllm"


def adapter_environment(name: str) -> str:
    """The command that makes the environment in which tasks of another project run."""
    if clone_of(Path(__file__).parent):
        return f"make venv-adapters, or python recipes/adapter_env.py {name}"
    return f"python {home() / 'adapter_env.py'} {name}"
