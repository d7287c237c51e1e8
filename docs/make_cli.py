"""Write docs/cli.md from the command line's own --help: `make docs`. A test compares the two."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer.main import get_command
from typer.testing import CliRunner

from rise.cli.main import app

HEAD = """# Command line

Written by `make docs` from the program's own help; edit `rise/cli/`, not this page.

Exit codes: 0 done; 1 something you can put right, in one message; 2 a command written wrongly; 130 interrupted, and the same
command continues. Settings named with `--set` are those of a recipe, by dotted name: `--set relabel.n_samples=16`. What they mean
is in [settings.md](settings.md).
"""


def cli_page() -> str:
    """The page, the same on every terminal."""
    group = get_command(app)
    parts = [HEAD]
    for name in ("", *_names(group)):
        shown = CliRunner().invoke(app, [*name.split(), "--help"], prog_name="rise", env={"COLUMNS": "100", "NO_COLOR": "1"})
        text = "\n".join(line.rstrip() for line in shown.output.strip().splitlines())
        parts.append(f"## rise {name}".rstrip() + f"\n\n```text\n{text}\n```\n")
    return "\n".join(parts)


def _names(group: Any, before: str = "") -> Iterator[str]:
    """Commands, those of a group behind its name."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _names(command, f"{name} ")
        else:
            yield before + name


if __name__ == "__main__":
    Path(__file__).with_name("cli.md").write_text(cli_page(), encoding="utf-8")
