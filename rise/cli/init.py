"""`rise init`: a folder of one's own to begin with: recipe, judge, ten problems, README."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def init(directory: Annotated[Path, typer.Argument(help="A folder to make; one that is there must be empty.")]) -> None:
    """Make a folder with a recipe of your own, a judge in a file, ten example problems and a README; it runs as it is."""
    from rise.errors import ConfigError
    from rise.recipe.shipped import STARTER, home

    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise ConfigError(f"{directory} is there already and not empty; give another folder.")
    directory.mkdir(parents=True, exist_ok=True)
    name = directory.resolve().name
    for source in sorted(path for path in (home() / STARTER).iterdir() if path.is_file()):
        text = source.read_text(encoding="utf-8").replace('name = "starter"', f'name = "{name}"')
        (directory / source.name).write_text(text, encoding="utf-8")
        print(directory / source.name)
    print(f"\nDoes it run? A minute, with a toy model:  rise run {directory / 'recipe.toml'} --scale toy")
