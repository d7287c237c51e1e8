"""`rise claims`: every claim of RISE as an experiment with a verdict."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rise.method.claims.experiment import Experiment, Laboratory
    from rise.method.claims.plan import Plan


def claims(
    only: Annotated[str | None, typer.Option(help="Run these claims alone: 1,5. The page has all, as they stand.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="One seed, small sizes: minutes. As --scale quick.")] = False,
    scale: Annotated[str | None, typer.Option(help="A [scale.NAME] of experiments/laboratory.toml: quick, toy, smol.")] = None,
    seeds: Annotated[str | None, typer.Option(help="Seeds of every claim: 0,1,2. By default each experiment's own.")] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Runs side by side; by default as many as the cores allow.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Directory of runs and pages; by default runs/claims, runs/claims-SCALE.")
    ] = None,
    experiments: Annotated[
        Path | None, typer.Option(help="Other experiments: beyond (what came after RISE), or a folder of your own.")
    ] = None,
    page: Annotated[Path | None, typer.Option(help="Also write the Markdown page to this file, docs/claims.md say.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be run, and run nothing.")] = False,
    as_is: Annotated[bool, typer.Option("--as-is", help="Run nothing: verdicts on what is finished.")] = False,
) -> None:
    """Try the claims of RISE: run their experiments, print a verdict for each, write claims.html.

    Arms that several experiments share are run once. The same command continues what was stopped.
    """
    from rise.errors import ConfigError
    from rise.method.claims.experiment import folder_of, load_experiments, load_laboratory
    from rise.method.claims.plan import make_plan
    from rise.runs.group import parse_seeds

    if quick and scale not in (None, "quick"):
        raise ConfigError(f"--quick is --scale quick, and --scale {scale} was asked for too. Leave one out.")
    scale = "quick" if quick else scale
    folder = folder_of(experiments)
    lab = load_laboratory(folder).at(scale)
    every, chosen = load_experiments(folder), load_experiments(folder, _numbers(only))
    own = parse_seeds(seeds) if seeds else None
    most = lab.scale[scale].seeds if scale else None
    wanted = {e.claim: own or list(range(min(e.seeds, most or e.seeds))) for e in every}
    words = ["rise", "claims", *(["--quick"] if scale == "quick" else ["--scale", scale] if scale else [])]
    for option, value in (("--seeds", seeds), ("--experiments", experiments)):
        words += [option, str(value)] if value else []
    out = out or Path("runs") / (f"claims-{scale}" if scale else "claims")
    plan, whole = (make_plan(some, lab, scale=scale, seeds=wanted) for some in (chosen, every))
    _try(plan, whole, every, lab, out, scale, jobs, words, page, dry_run=dry_run, as_is=as_is)


def _try(
    plan: Plan,
    whole: Plan,
    every: list[Experiment],
    lab: Laboratory,
    out: Path,
    scale: str | None,
    jobs: int | None,
    words: list[str],
    page: Path | None,
    *,
    dry_run: bool,
    as_is: bool,
) -> None:
    """Run what is planned, write a page of every experiment as it stands, print those planned. Exit code 1 if some failed."""
    from rich.console import Console

    from rise.method.claims.beside import sides
    from rise.method.claims.plan import check_probes
    from rise.method.claims.results import Reader, tried
    from rise.method.claims.run import Outcome, is_done, run_plan
    from rise.report.claims_page import Ran, headline, main_table, write_claims
    from rise.report.console import rich_table
    from rise.runs.directory import cpu_count
    from rise.training.threads import has_accelerator

    n_left = sum(not is_done(job, out) for job in plan.jobs)
    threads = max((t.arm.settings.get("threads") or 1 for t in plan.trainings.values()), default=1)
    n_jobs = jobs or (1 if has_accelerator() else max(1, cpu_count() // threads))
    print(f"{out}: {len(plan.trainings)} runs and {len(plan.probes)} probes, {n_left} to do, {n_jobs} at a time", flush=True)
    if not as_is:
        check_probes(plan)
    if dry_run:
        return
    began_fresh = n_left == len(whole.jobs) and not as_is
    outcome = Outcome() if as_is else run_plan(plan, out, jobs=n_jobs, tell=_tell)
    results = tried(whole, every, lab, out)
    planned = [result for result in results if result.experiment.claim in plan.seeds]
    failed = [f"{name} failed: {trouble}" for name, trouble in outcome.failed.items()]
    ran = Ran(words, _machine(), outcome.seconds if began_fresh else None, scale, failed)
    html = write_claims(results, sides(Reader(whole, out), every, lab), lab, ran, out, page)
    console = Console()
    console.print(rich_table(main_table(planned, ran)))
    print(headline(planned))
    print(f"Page: {html}", flush=True)
    for line in failed:
        print(f"rise: {line}", file=sys.stderr)
    if failed:
        print("rise: the same command goes on with what failed.", file=sys.stderr)
        sys.exit(1)


def _numbers(only: str | None) -> list[int] | None:
    from rise.errors import ConfigError

    if only is None:
        return None
    parts = [part.strip() for part in only.split(",") if part.strip()]
    if not parts or not all(part.isdecimal() for part in parts):
        raise ConfigError(f"--only {only}: write numbers of claims, 1,5 for example.")
    return [int(part) for part in parts]


def _tell(name: str, done: int, of: int, took: float, left: float | None, trouble: str | None) -> None:
    from rise.report.numbers import duration

    rest = "" if left is None or done == of else f"; about {duration(left)} left"
    print(f"[{done}/{of}] {name}: {f'failed: {trouble}' if trouble else duration(took)}{rest}", flush=True)


def _machine() -> str:
    """Cores and kind of the machine."""
    import platform

    from rise.runs.directory import cpu_count

    n = cpu_count()
    return f"{n} core{'' if n == 1 else 's'}, {platform.system()} {platform.machine()}"
