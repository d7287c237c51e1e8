"""THE METHOD: evaluate the base, boost it, then round after round: rollout → relabel → examples → train → evaluate.

RISE, arXiv 2407.18219, §4 and Algorithm 1. Each part reads the files of the part before it and is skipped when its own
last file is in place, so a run that was stopped continues when it is started again.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rise.errors import ConfigError
from rise.evaluation.overlap import overlap
from rise.jsonl import read_json
from rise.method.base import base_model
from rise.method.boost import boost
from rise.method.evaluate import evaluate_stage
from rise.method.examples import examples_stage
from rise.method.internalise import has_internalised, train_internalised
from rise.method.relabel import relabel_stage
from rise.method.rollout import rollout_stage
from rise.method.train import train_stage
from rise.recipe.config import RunConfig
from rise.runs.context import Progress, RunContext, Silent, open_context
from rise.runs.directory import RunDir, provenance
from rise.runs.preflight import Ready, preflight
from rise.runs.stages import round_name
from rise.runs.takeover import matched, take_collection, take_start, takes_collection
from rise.runs.trackers import PublicReport, tracking
from rise.runs.versions import changed_versions, last_versions


def run(
    config: RunConfig,
    directory: Path,
    *,
    progress: Progress | None = None,
    command: list[str] | None = None,
    report: PublicReport | None = None,
) -> RunDir:
    """Run a recipe to its end, or continue it. Returns the run directory.

    `report` writes the run's page as others may read it, for the trackers that the recipe names; without them it is not called.
    Raises `RiseError` for whatever the user can put right; a bad reply never raises.
    """
    ready = preflight(config, out=directory)
    with (
        tracking(config, directory, progress or Silent(), report) as told,
        _opened(ready, directory, told, command) as context,
    ):
        context.progress.start(ready)
        _note_overlap(context)
        base = base_model(context)
        evaluate_stage(context, "base", base, n=config.evaluate.n_base)
        boosted = boost(context, base) if config.boost.enabled else base
        student = boosted
        for k in range(1, config.iterate.rounds + 1):
            start = {"base": base, "boost": boosted, "previous": student}[config.iterate.start]
            student = one_round(context, k, student, start, began=base if config.iterate.start == "base" else boosted)
    return context.dir


def _note_overlap(context: RunContext) -> None:
    """Into the run's log, once and again when it gets more rounds: how many measured problems are trained on too."""
    ready, rounds = context.ready, context.config.iterate.rounds
    if not any("overlap" in event and event.get("rounds", rounds) >= rounds for event in context.dir.read_log()):
        training = [*(ready.rounds if rounds else ()), ready.boost]
        context.dir.write_log(overlap=overlap(ready.task, training, ready.held_out), rounds=rounds)


def one_round(context: RunContext, k: int, student: Path, start: Path, *, began: Path) -> Path:
    """Round k: the `student` takes its turns and is improved, training begins at `start`. Returns the new checkpoint.

    `began` is the model that the first round's training began at: of the last round's control too, where one is wanted.
    """
    stage = context.dir.stage(round_name(k))
    if not stage.examples.exists():
        problems = context.ready.problems(k)
        if takes_collection(context.config, k):
            take_collection(context.config, stage)
        trajectories = rollout_stage(context, stage, problems, student, k)
        relabelled = relabel_stage(context, stage, problems, trajectories, student)
        examples_stage(context, stage, k, problems, trajectories, relabelled, student=student, start=start)
    train_stage(context, stage, start, matched(context.config, k))
    wanted = context.config.evaluate.internalised and k == context.config.iterate.rounds and not has_internalised(stage)
    internalised = train_internalised(context, stage, began) if wanted else None
    evaluate_stage(context, stage.name, stage.checkpoint, internalised=internalised)
    return stage.checkpoint


@contextmanager
def _opened(ready: Ready, directory: Path, progress: Progress | None, command: list[str] | None) -> Iterator[RunContext]:
    """The context of a run directory that is made, or found to be of this very recipe. Leaves a stranger's folder as it was."""
    config, run_dir = ready.config, RunDir(directory)
    over = next((path for path in (directory, *directory.parents) if path.exists()), directory)
    if over.exists() and not over.is_dir():
        raise ConfigError(f"{directory}: {over} is a file, and a run needs a directory. Give another --out.")
    new, made = not run_dir.ledger.exists(), run_dir.config.exists()
    try:
        with open_context(ready, run_dir.ledger, directory=directory, progress=progress, run_dir=run_dir) as context:
            try:
                if run_dir.open(config, command=command, contents=dict(ready.contents)):
                    now = provenance(config, command)
                    _say_versions(run_dir, now)
                    run_dir.write_log(continued={name: now[name] for name in ("rise", "commit", "clean", "versions", "command")})
                if config.boost.reuse:
                    take_start(config, run_dir, RunDir(Path(config.boost.reuse)))
                yield context
            except BaseException:
                if not made and run_dir.config.exists():
                    run_dir.forget()  # a start that came to nothing leaves nothing behind
                raise
    finally:
        if new and not run_dir.config.exists():
            run_dir.ledger.unlink(missing_ok=True)
            run_dir.judge_ledger.unlink(missing_ok=True)


def _say_versions(run_dir: RunDir, now: Mapping[str, Any]) -> None:
    """One line on standard error where the run goes on with other versions than it had."""
    made = read_json(run_dir.provenance) if run_dir.provenance.exists() else {}
    if found := changed_versions(last_versions(made, run_dir.read_log()), now):
        print(f"rise: {run_dir.path} goes on with other versions: {', '.join(found)}. Its report will say so.", file=sys.stderr)
