"""The command `rise`: the list of commands, and the one place where errors become exit codes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import typer

from rise.cli.evaluate import evaluate
from rise.cli.judge import judge
from rise.cli.report import report
from rise.cli.run import run
from rise.cli.show import show
from rise.cli.stages import relabel, rollout, train

app = typer.Typer(
    name="rise",
    help="Recursive Introspection (RISE, arXiv 2407.18219): teach a language model to correct its own answer turn after turn.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
COMMANDS: list[Callable[..., Any]] = [run, rollout, relabel, train, evaluate, report, show, judge]
for command in COMMANDS:
    app.command()(command)


def main() -> None:
    """Entry point. Exit codes: 0 done, 1 something the user can put right, 130 interrupted."""
    from rise.errors import RiseError

    try:
        app()
    except RiseError as error:
        _say(str(error))
        sys.exit(1)
    except BaseExceptionGroup as group:
        known = group.subgroup(RiseError)
        if known is None:
            raise
        _say(str(_first(known)))
        sys.exit(1)
    except KeyboardInterrupt:
        _say("interrupted. Everything finished is on disk; the same command continues.")
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(0)


def _first(group: BaseException) -> BaseException:
    return _first(group.exceptions[0]) if isinstance(group, BaseExceptionGroup) else group


def _say(text: str) -> None:
    print(f"rise: {text}", file=sys.stderr)


if __name__ == "__main__":
    main()
