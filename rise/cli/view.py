"""`rise view`: runs in the browser, live while they go on, or as a copy that opens from disk."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def view(
    runs: Annotated[
        list[Path], typer.Argument(help="Run directories, finished or under way, to look at side by side; or a folder of runs.")
    ],
    export: Annotated[
        Path | None,
        typer.Option(help="Write a copy that opens from disk, without a server: a directory, or one file if it ends in .html."),
    ] = None,
    limit: Annotated[int, typer.Option(min=0, help="Of a copy: the most records of each file, its first; 0 for all.")] = 5000,
    host: Annotated[
        str,
        typer.Option(help="Address to listen on. Any other than this machine's own shows the runs to everyone who can reach it."),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 for any free one.")] = 7474,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="A further name by which the server may be called, such as that of a proxy; may be repeated."),
    ] = None,
    tokenizer: Annotated[str | None, typer.Option(help="Tokenizer for examples; by default the run's own checkpoint.")] = None,
) -> None:
    """Look at runs turn by turn in a browser: numbers, trajectories, votes, trained tokens."""
    from rise.runs.group import runs_in
    from rise.view.library import Library

    library = Library([run for path in runs for run in runs_in(path)], tokenizer)
    if export is None:
        from rise.view.server import serve

        serve(library, host, port, allow_host or [])
        return
    from rise.report.numbers import amount, count
    from rise.view.export import export as write

    done = write(library, export, limit or None)
    left_out = f"; {count(done.n_left_out)} left out (--limit {limit})" if done.n_left_out else ""
    print(f"{done.path}: {count(done.n_records)} records, {amount(done.n_bytes)}B{left_out}")
