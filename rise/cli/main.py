"""The command `rise`: the list of commands, and the one place where errors become exit codes."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable
from typing import Any

import typer

from rise.cli.cluster import app as cluster
from rise.cli.compare import compare
from rise.cli.demo import demo
from rise.cli.evaluate import evaluate
from rise.cli.export import export
from rise.cli.judge import judge
from rise.cli.report import report
from rise.cli.run import run
from rise.cli.serve import serve
from rise.cli.show import show
from rise.cli.stages import relabel, rollout, train
from rise.cli.temperature import temperature
from rise.cli.view import view

app = typer.Typer(
    name="rise",
    help="Recursive Introspection (RISE, arXiv 2407.18219): teach a language model to correct its own answer turn after turn.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
COMMANDS: list[Callable[..., Any]] = [
    run,
    rollout,
    relabel,
    train,
    evaluate,
    temperature,
    compare,
    report,
    show,
    view,
    export,
    judge,
    serve,
    demo,
]
for command in COMMANDS:
    app.command()(command)
app.add_typer(cluster, name="cluster")


_THE_MACHINES = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST),
    *(errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP),
)
"""Troubles of the disk and its rights, which a person puts right; other `OSError`s are ours and show where."""


def main() -> None:
    """Entry point. Exit codes: 0 done, 1 something the user can put right, 130 interrupted."""
    from rise.cli.streams import mend_streams, plain_warnings
    from rise.errors import RiseError

    mend_streams()
    plain_warnings()
    try:
        app()
    except SystemExit as error:
        if error.code == 130:  # typer takes Ctrl-C and says nothing
            _say("interrupted. Everything finished is on disk; the same command continues.")
        raise
    except RiseError as error:
        _say(str(error))
        sys.exit(1)
    except OSError as error:
        if error.errno not in _THE_MACHINES:
            raise
        where = f"{error.filename}: " if error.filename else ""
        _say(f"{where}{error.strerror}. What was finished before is intact; put it right and run the same command to continue.")
        sys.exit(1)


def _say(text: str) -> None:
    print(f"rise: {text}", file=sys.stderr)


if __name__ == "__main__":
    main()
