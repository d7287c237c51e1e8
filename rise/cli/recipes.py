"""`rise recipes`: those that come with rise, listed, shown, or copied to be changed."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Recipes that come with rise, which go by name anywhere.", rich_markup_mode=None)
Name = Annotated[str, typer.Argument(help="As listed: nano, baselines/star; or another file beside them: smollm2.py.")]


@app.callback(invoke_without_command=True)
def recipes(context: typer.Context) -> None:
    """List the recipes that come with rise, each with its first line. `rise run NAME` runs one, anywhere."""
    if context.invoked_subcommand is not None:
        return
    from rise.recipe.shipped import about, names, shipped

    print_columns([(name, about(shipped(name))) for name in names()])


@app.command()
def show(name: Name) -> None:
    """Print a recipe as it stands."""
    from rise.recipe.shipped import shipped

    print(shipped(name).read_text(encoding="utf-8"), end="")


@app.command()
def copy(name: Name, directory: Annotated[Path, typer.Argument(help="Folder to copy it into.")] = Path()) -> None:
    """Copy a recipe, and what it extends or names, to change it. Nothing that is there is replaced."""
    from rise.errors import ConfigError
    from rise.recipe.shipped import home, needed

    files = {path: directory / path.relative_to(home()) for path in needed(name)}
    for target in files.values():
        if target.exists():
            raise ConfigError(f"{target} is there already; give another folder: rise recipes copy {name} DIR.")
    for source, target in files.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())
        print(target)


def print_columns(rows: Sequence[tuple[str, str]]) -> None:
    """One line each, to grep; on a terminal folded to its width."""
    width = max(len(name) for name, _ in rows) + 2
    room = shutil.get_terminal_size().columns
    for name, words in rows:
        if sys.stdout.isatty() and room > 2 * width:
            print(textwrap.fill(words, room, initial_indent=f"{name:<{width}}", subsequent_indent=" " * width))
        else:
            print(f"{name:<{width}}{words}")
