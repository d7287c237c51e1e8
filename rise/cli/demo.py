"""`rise demo`: a finished run that comes with the package, as report, viewer and playground. Nothing trains."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer


def demo(
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the pages, or only print where they are.")] = True,
    directory: Annotated[
        Path | None, typer.Option("--dir", help="Copy the run to this new folder and leave it there; by default a temporary one.")
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the viewer; 0 for any free one.")] = 0,
    serve_port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the playground; 0 for any free one.")] = 0,
) -> None:
    """Look at a finished run that comes with rise: its report, every reply in the viewer, its model in a playground."""
    import tempfile
    from contextlib import ExitStack

    from rise.report import write_report
    from rise.report.claims import headline
    from rise.report.collect import collect
    from rise.view.library import Library
    from rise.view.server import running

    def show(name: str, url: str) -> None:
        print(f"{name:<11}{url}", flush=True)
        _open(url, browser)

    with ExitStack() as stack:
        where = directory or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rise-demo-")))
        run = unpack(where)
        html, _ = write_report(run)
        print(f"{headline(collect(run, n_each=0))}\n\n{'Run':<11}{run}{'' if directory else '   (until Ctrl-C)'}", flush=True)
        show("Report", html.resolve().as_uri())
        show("Viewer", stack.enter_context(running(Library([run]), port)))
        _play(run, serve_port, ready=lambda url: _open(url, browser))


def _open(url: str, browser: bool) -> None:
    if browser:
        import webbrowser

        webbrowser.open(url)


def _play(run: Path, port: int, ready: Callable[[str], None]) -> None:
    """The playground until Ctrl-C. Raises `ConfigError` where the extra [serve] or [train] is not installed."""
    from rise.cli.serve import assemble
    from rise.evaluation.held_out import read_held_out
    from rise.runs.directory import RunDir
    from rise.serve.app import make_app
    from rise.serve.requests import Limits
    from rise.serve.run import run as serve

    first = next(read_held_out(RunDir(run).stages()[-1].held_out))
    print(f"Ask it, for example: {first.question}   (gold {first.gold})", flush=True)
    reviser, served = assemble(str(run), None, None, "majority", None, [], 32, "float32")
    limits = Limits(n_active=reviser.policy.max_in_flight)
    serve(make_app(reviser, served, limits), served, host="127.0.0.1", port=port, ready=ready)


def unpack(into: Path, shipped: Path | None = None) -> Path:
    """Copy the shipped run below a folder and return where it lies.

    `shipped` holds one run, as a directory or as what `benchmarks/pack_demo.py` writes of it. Raises `DataError` where it holds
    none, `ConfigError` where the run's place is taken.
    """
    import shutil
    import zipfile

    from rise.errors import ConfigError, DataError

    shipped = shipped or Path(__file__).parent.parent / "demo"
    packed = sorted(shipped.glob("*.zip"))
    plain = sorted(path.parent for path in shipped.glob("*/config.toml"))
    if not (packed or plain):
        raise DataError(f"{shipped} holds no run, so this installation has no demonstration. Install rise again.")
    source = (packed or plain)[0]
    run = into / source.stem
    if run.exists():
        raise ConfigError(f"--dir {into}: {run} is there already. Give another folder, or look at it: rise view {run}.")
    if packed:
        with zipfile.ZipFile(source) as archive:
            archive.extractall(run)
    else:
        shutil.copytree(source, run)
    return run
