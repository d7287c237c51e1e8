"""The command `rise`: the list of commands, and the one place where errors become exit codes."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from rise.cli.claims import claims
from rise.cli.cluster import app as cluster
from rise.cli.compare import compare
from rise.cli.demo import demo
from rise.cli.evaluate import evaluate
from rise.cli.export import export
from rise.cli.forecast import forecast
from rise.cli.init import init
from rise.cli.judge import judge
from rise.cli.play import play
from rise.cli.push import push
from rise.cli.recipes import app as recipes
from rise.cli.rejudge import rejudge
from rise.cli.report import report
from rise.cli.run import run
from rise.cli.serve import serve
from rise.cli.show import show
from rise.cli.stages import relabel, rollout, train
from rise.cli.tasks import tasks
from rise.cli.temperature import temperature
from rise.cli.validate import validate
from rise.cli.view import view

app = typer.Typer(
    name="rise",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
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
    claims,
    forecast,
    report,
    show,
    view,
    export,
    push,
    judge,
    rejudge,
    serve,
    play,
    demo,
    init,
    tasks,
    validate,
]
for command in COMMANDS:
    app.command()(command)
app.add_typer(recipes, name="recipes")
app.add_typer(cluster, name="cluster")


def _say_version(asked: bool) -> None:
    if asked:
        import rise

        print(f"rise {rise.__version__}")
        raise typer.Exit


@app.callback()
def rise_(
    version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Recursive Introspection (RISE, arXiv 2407.18219): teach a language model to correct its own answer turn after turn."""


_THE_MACHINES = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST),
    *(errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP),
)
"""Troubles of the disk and its rights, which a person puts right; other `OSError`s are ours and show where."""


_OPTIONAL = {
    "train": ("torch", "transformers", "tokenizers", "accelerate", "peft", "gguf", "safetensors"),
    "serve": ("fastapi", "starlette", "uvicorn", "prometheus_client"),
    "ray": ("ray",),
    "share": ("huggingface_hub", "pyarrow"),
}
"""Extra → packages that a command may find missing after checks that name the extra have let it through."""


def main() -> None:
    """Entry point. Exit codes: 0 done, 1 something the user can put right, 130 interrupted."""
    from rise.cli.streams import mend_streams, mend_width, plain_warnings
    from rise.errors import RiseError, installing

    mend_streams()
    mend_width()
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
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        extras = [extra for extra, packages in _OPTIONAL.items() if missing in packages]
        if not extras:
            raise
        _say(f"this needs the package {missing}: {installing(extras[0])}")
        sys.exit(1)
    except OSError as error:
        if error.errno not in _THE_MACHINES and not (error.errno == errno.ENOENT and _was_named(str(error.filename), sys.argv)):
            raise
        where = f"{error.filename}: " if error.filename else ""
        _say(f"{where}{error.strerror}. What was finished before is intact; put it right and run the same command to continue.")
        sys.exit(1)


def _was_named(place: str, words: Sequence[str]) -> bool:
    """Whether a path, or a folder above it, stands on the command line.

    >>> _was_named("/proc/x/run", ["rise", "run", "--out", "/proc/x"]), _was_named("/tmp/a", ["rise", "run", "--out", "b"])
    (True, False)
    """
    above = [Path(place), *Path(place).parents]
    return any(Path(word.rpartition("=")[2]) in above[:-1] for word in words[1:])


def _say(text: str) -> None:
    print(f"rise: {text}", file=sys.stderr)


if __name__ == "__main__":
    main()
