"""The runner: trainings and probes side by side in processes of their own, by the functions of `rise run` and `rise evaluate`.

Everything lies in ordinary run directories that continue where a kill left them, so that the same command goes on. What fails
stops nothing but what needs it.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path

from rise.errors import RiseError
from rise.jsonl import read_json, write_whole
from rise.method.claims.arms import Training
from rise.method.claims.plan import Job, Measuring, Plan
from rise.method.claims.probes import ProbeDir, probe_config, run_probe
from rise.method.iterate import run
from rise.policies.reaper import dies_with_parent
from rise.recipe.config import RunConfig
from rise.recipe.toml import load_recipe, to_toml
from rise.runs import stages
from rise.runs.directory import RunDir

RECIPES = "recipes"
"""The folder of resolved recipes: what each process is started with."""


@dataclass
class Outcome:
    """How the work went."""

    failed: dict[str, str] = field(default_factory=dict)
    """Label of a run or probe → its trouble."""
    seconds: float = 0.0


Tell = Callable[[str, int, int, float, float | None, str | None], None]
"""(label, number done, of how many, seconds it took, seconds left, trouble)"""


def label(job: Job) -> str:
    """Directory name and seed: `divisor-1a2b3c4d, seed 0`."""
    if isinstance(job, Training):
        return f"{job.arm.name}, seed {job.seed}"
    return f"{job.training.arm.name}/{job.key[2]} ({job.probe.kind}), seed {job.training.seed}"


def is_done(job: Job, out: Path) -> bool:
    """Whether its last file is there."""
    if isinstance(job, Training):
        return (job.path(out) / job.arm.last_stage / "metrics.json").exists()
    return job.path(out).done.exists()


def run_plan(plan: Plan, out: Path, *, jobs: int, tell: Tell) -> Outcome:
    """All that is not done yet, at most `jobs` at a time. What needs something that failed is left out, and said."""
    began = time.monotonic()
    waiting = [job for job in plan.jobs if not is_done(job, out)]
    outcome, n_all = Outcome(), len(waiting)
    spent: dict[bool, list[float]] = {True: [], False: []}
    """Seconds of what has ended, by whether it was a training."""
    running: dict[Future[str | None], tuple[Job, float, ProcessPoolExecutor]] = {}
    free = [_lane() for _ in range(min(jobs, n_all))]
    try:
        while waiting or running:
            n_waiting = len(waiting)
            for job in list(waiting) if free else ():
                ready = _ready(job, plan, out, outcome)
                if ready is None:
                    continue
                waiting.remove(job)
                if ready:
                    lane = free.pop()
                    running[_start(lane, job, plan, out)] = (job, time.monotonic(), lane)
                    if not free:
                        break
            if not running:
                _refuse_to_wait_for_ever(waiting, n_waiting)
                continue
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                job, since, lane = running.pop(future)
                took = time.monotonic() - since
                spent[isinstance(job, Training)].append(took)
                trouble = _trouble(future)
                free.append(_lane() if isinstance(future.exception(), BrokenProcessPool) else lane)
                if trouble:
                    outcome.failed[label(job)] = trouble
                n_done = n_all - len(waiting) - len(running)
                left = _left([*waiting, *(job for job, _, _ in running.values())], spent, jobs)
                tell(label(job), n_done, n_all, took, left, trouble)
    except BaseException:
        for process in multiprocessing.active_children():
            process.terminate()
        raise
    finally:
        for lane in [*free, *(lane for _, _, lane in running.values())]:
            lane.shutdown(wait=not running, cancel_futures=True)
    outcome.seconds = time.monotonic() - began
    return outcome


def _lane() -> ProcessPoolExecutor:
    """A process for one job at a time: where the system kills it, for its memory say, no other job goes with it."""
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(1, mp_context=context, initializer=_ends_with, initargs=(os.getpid(),))


def _refuse_to_wait_for_ever(waiting: Sequence[Job], n_before: int) -> None:
    """Raise `RiseError` where nothing runs, nothing was left out, and what is left needs what will not come."""
    if waiting and len(waiting) == n_before:
        raise RiseError(f"{label(waiting[0])} and {len(waiting) - 1} more wait for what nothing here makes.")


def _ready(job: Job, plan: Plan, out: Path, outcome: Outcome) -> bool | None:
    """Whether it can begin; None: not yet; False: never, since what it needs failed."""
    needs: Sequence[Training] = job.needs(plan.circle) if isinstance(job, Training) else [job.training]
    for need in needs:
        if label(need) in outcome.failed:
            outcome.failed[label(job)] = f"it needs {label(need)}, which failed"
            return False
        if not is_done(need, out):
            return None
    return True


def _start(lane: ProcessPoolExecutor, job: Job, plan: Plan, out: Path) -> Future[str | None]:
    training = job if isinstance(job, Training) else job.training
    try:
        config = training.config(out, plan.circle)
        if isinstance(job, Training):
            recipe = out / RECIPES / f"{job.arm.name}-seed-{job.seed}.toml"
            write_whole(recipe, to_toml(config))
            return lane.submit(train, str(recipe), str(job.path(out)))
        config = probe_config(config, job.probe)
        recipe = out / RECIPES / f"{job.training.arm.name}-{job.key[2]}-seed-{job.training.seed}.toml"
        write_whole(recipe, to_toml(config))
        return lane.submit(probe, str(recipe), job.probe.kind, str(_model_of(job, config, out)), str(job.path(out).path))
    except RiseError as error:
        failed: Future[str | None] = Future()
        failed.set_result(str(error))
        return failed


def _model_of(job: Measuring, config: RunConfig, out: Path) -> Path:
    """What a probe measures: the stage's checkpoint; of a base that nothing was trained of, the model that the recipe names.

    Raises `RiseError` where the checkpoint is gone, since another model in its place would be measured under its name.
    """
    checkpoint = job.training.path(out) / job.stage / "checkpoint"
    if job.stage == stages.BEFORE_ROUNDS[0].name and not checkpoint.exists():
        return Path(config.model.place)
    if not checkpoint.exists():
        raise RiseError(f"{checkpoint} is gone, which this probe measures. Remove {job.training.path(out)} to train it again.")
    return checkpoint


def train(recipe: str, path: str) -> str | None:
    """One run to its end, in a process of its own. Returns its trouble."""
    try:
        run(load_recipe(recipe), Path(path), command=["rise", "run", path])
    except RiseError as error:
        return str(error)
    return None


def probe(recipe: str, kind: str, checkpoint: str, path: str) -> str | None:
    """One probe, in a process of its own. Returns its trouble."""
    try:
        run_probe(load_recipe(recipe), kind, Path(checkpoint), ProbeDir(Path(path)))
    except RiseError as error:
        return str(error)
    return None


def _trouble(future: Future[str | None]) -> str | None:
    error = future.exception()
    if isinstance(error, BrokenProcessPool):
        return "its process was killed; if that was for want of memory, take fewer --jobs"
    return f"{type(error).__name__}: {error}" if error else future.result()


def _left(waiting: Sequence[Job], spent: dict[bool, list[float]], jobs: int) -> float | None:
    """Seconds to the end, if what is left takes as long as its kind has taken so far; None where nothing says."""
    known = {kind: sum(times) / len(times) for kind, times in spent.items() if times}
    if not known:
        return None
    each = [known.get(isinstance(job, Training), next(iter(known.values()))) for job in waiting]
    return sum(each) / jobs


def seconds_of(job: Job, out: Path) -> float:
    """What it took in all its sittings, by its own log."""
    if isinstance(job, Training):
        return sum(event.get("seconds", 0.0) for event in RunDir(job.path(out)).read_log() if "part" in event)
    place = job.path(out)
    return float(read_json(place.done).get("seconds", 0.0)) if place.done.exists() else 0.0


def _ends_with(parent: int) -> None:
    """A worker ends when the runner does, however that ends; and leaves Ctrl-C to it."""
    dies_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if os.getppid() != parent:
        os._exit(1)
