"""Training on the cluster: Ray Train's `TorchTrainer` starts `rise.training.train` on every worker, and again after a loss.

Unfinished training lies in the run directory (`train.save_steps`); workers that are started again continue from there, on as
many workers as there are then. Where nodes do not see the run directory, Ray Train carries it to
`cluster.storage` and back.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rise.cluster.needs import fits, needs
from rise.cluster.node_process import Place
from rise.cluster.nodes import alive
from rise.cluster.storage import Model, get_folder, publish
from rise.dataset.example import Example
from rise.errors import RiseError
from rise.recipe.config import TrainConfig
from rise.recipe.machines import ClusterConfig, ModelConfig
from rise.training import checkpoints

LOOK_EVERY_S = 0.2
QUIET_S = 30.0
"""After this long without an event, check whether the cluster has room for the workers at all."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One training, as sent to every worker."""

    name: str
    """Unique to this training, and the same when it is continued."""
    examples: Sequence[Example]
    start: Model
    out: Path
    config: TrainConfig
    model: ModelConfig | None
    seed: int
    card: dict[str, Any] | None
    work: Path
    place: Place
    storage: str | None
    """Where models and unfinished training are handed over; None where nodes see the run directory."""


def fit(asked: Asked, settings: ClusterConfig, on_log: Callable[[dict[str, Any]], None] | None) -> dict[str, Any]:
    """Train on the cluster: same log lines, counts and errors as `rise.training.train`."""
    import ray
    from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    queue = _queue()
    n: int | tuple[int, int] = settings.workers
    if settings.min_workers is not None and settings.min_workers < settings.workers:
        n = (settings.min_workers, settings.workers)
    resources = {"CPU": settings.cpus_per_worker} | ({"GPU": settings.gpus_per_worker} if settings.gpus_per_worker else {})
    trainer = TorchTrainer(
        _worker,
        train_loop_config={"asked": ray.put(asked), "queue": queue},
        torch_config=TorchConfig(backend="nccl" if settings.gpus_per_worker else "gloo"),
        scaling_config=ScalingConfig(num_workers=n, use_gpu=bool(settings.gpus_per_worker), resources_per_worker=resources),
        run_config=RunConfig(
            name=asked.name,
            storage_path=asked.storage or str(asked.work / "ray"),
            failure_config=FailureConfig(max_failures=settings.restarts),
            checkpoint_config=CheckpointConfig(num_to_keep=2),
        ),
    )
    failed: list[BaseException] = []

    def run() -> None:
        try:
            trainer.fit()
        except BaseException as error:
            failed.append(error)

    # In a thread, since Ray Train catches Ctrl-C: leaving the cluster ends everything at once.
    thread = threading.Thread(target=run, name="ray-train", daemon=True)
    thread.start()
    try:
        done = _listen(queue, thread, settings, on_log)
    finally:
        queue.shutdown(force=True)
    if failed or not done:
        raise RiseError(
            f"training on the cluster failed: {_told(failed[0]) if failed else 'no worker ended it'}\nIt is continued from "
            "its last checkpoint (train.save_steps) by the same command."
        )
    if asked.storage:
        get_folder(done.pop("model"), asked.out)
    shutil.rmtree(asked.work, ignore_errors=True)  # Ray Train keeps files there
    return done


def _queue() -> Any:
    """For the workers' events, on the driver's node: on another it would be lost with that node, and the training with it."""
    import ray
    from ray.util.queue import Queue
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return Queue(actor_options={"num_cpus": 0, "scheduling_strategy": here})


def _listen(
    queue: Any, thread: threading.Thread, settings: ClusterConfig, on_log: Callable[[dict[str, Any]], None] | None
) -> dict[str, Any]:
    """Pass on the events of the first rank until the end. Raises an error that a worker sent, or if there is no room for long."""
    from ray.util.queue import Empty

    facts: dict[str, Any] = {}
    heard = looked = time.monotonic()
    small_since: float | None = None
    while True:
        ended = not thread.is_alive()  # before the queue is read, or the last event would be missed
        try:
            event = queue.get(timeout=LOOK_EVERY_S)
        except Empty:
            if ended:
                return facts
            now = time.monotonic()
            if now - heard > QUIET_S and now - looked > QUIET_S:
                looked = now
                [room] = fits(needs(settings)[1], alive())
                if room.enough:
                    small_since = None
                elif small_since is None:
                    small_since = now
                    print(f"rise: training waits for nodes. {room.sentence()}", file=sys.stderr, flush=True)
                elif now - small_since > settings.wait_s:
                    raise RiseError(
                        f"training waited cluster.wait_s = {settings.wait_s:g} s for nodes. {room.sentence()}. Run the same "
                        "command when they are back: it continues from the last checkpoint."
                    ) from None
            continue
        heard = time.monotonic()
        if "error" in event:
            raise event["error"]
        if "log" in event and on_log:
            on_log(event["log"])
        facts = event.get("facts", facts)


def _told(error: BaseException) -> str:
    """The last lines, which name the worker's own error."""
    return "\n".join([line for line in str(error).splitlines() if line.strip()][-12:])


def _worker(given: dict[str, Any]) -> None:
    """Entry point of a training rank on the cluster."""
    import ray

    from rise.training import train

    asked: Asked = ray.get(given["asked"])
    context = ray.train.get_context()
    rank = context.get_world_rank()
    asked.place.settle(f"worker-{rank}")  # Ray Train has changed the working directory
    sys.stdout.write(f"worker {rank} of {context.get_world_size()}: {asked.name}, process {os.getpid()}\n")
    sys.stdout.flush()  # Ray Train replaces `print`, which would print it twice

    def tell(event: dict[str, Any]) -> None:
        if rank == 0:
            given["queue"].put(event)

    work, out = asked.work, asked.out
    if asked.storage:
        work = Path(tempfile.mkdtemp(prefix=f"rise-training-{rank}-"))
        out = work.with_name(work.name + "-checkpoint")
        _take_up(work)
    try:
        facts = train(
            asked.examples,
            asked.start.fetch(),
            out,
            asked.config,
            model=asked.model,
            seed=asked.seed,
            card=asked.card,
            work=work,
            on_log=lambda log: tell({"log": log}),
            on_save=_hand_over if asked.storage else None,
            elastic=True,
        )
        if asked.storage and rank == 0:
            facts["model"] = publish(out, asked.storage).url
    except RiseError as error:
        # Trying again would not help: the driver ends the training when it gets this event.
        given["queue"].put({"error": type(error)(str(error))})
        raise
    finally:
        if asked.storage:
            shutil.rmtree(work, ignore_errors=True)
            shutil.rmtree(out, ignore_errors=True)
    tell({"facts": facts | {"processes": context.get_world_size()}})


def _hand_over(checkpoint: Path) -> None:
    """Every rank reports a checkpoint; the first one sends it, with the settings that continuing it needs."""
    import ray

    kept = None
    if ray.train.get_context().get_world_rank() == 0:
        shutil.copyfile(checkpoint.parent / checkpoints.SETTINGS, checkpoint / checkpoints.SETTINGS)
        kept = ray.train.Checkpoint.from_directory(str(checkpoint))
    ray.train.report({"step": int(checkpoint.name.removeprefix(checkpoints.CHECKPOINT))}, checkpoint=kept)


def _take_up(work: Path) -> None:
    """Put the last reported checkpoint of this training into `work`, if there is one."""
    import ray

    last = ray.train.get_checkpoint()
    if last is None:
        return
    fetched = Path(last.to_directory(str(work / "fetched")))
    step = checkpoints.step_of(fetched)
    shutil.move(fetched / checkpoints.SETTINGS, work / checkpoints.SETTINGS)
    fetched.rename(work / f"{checkpoints.CHECKPOINT}{step}")
