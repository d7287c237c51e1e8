"""Whether the files of a run are its own: one that came from a stranger may hold links to files of the reader's."""

from __future__ import annotations

from pathlib import Path

from rise.errors import DataError


def check_own_files(run: Path) -> None:
    """Raises `DataError` where a file that pages are made of is a link out of the run directory, or is no file at all."""
    root = run.resolve()
    for path in [*run.glob("*.toml"), *run.glob("*.json*"), *run.glob("*/*.json*")]:
        if not path.resolve().is_relative_to(root):
            raise DataError(
                f"{path} is a link that leads out of the run directory, so it is not read. Put the file itself there if it "
                "belongs to the run."
            )
        if path.exists() and not path.is_file() and not path.is_dir():
            raise DataError(f"{path} is no file but a pipe or a device, so it is not read. Remove it.")
