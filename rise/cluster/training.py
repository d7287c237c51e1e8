"""Training on the cluster: Ray Train's `TorchTrainer` starts `rise.train.train` on every worker, and again after a loss.

Unfinished training lies where `train.save_steps` puts it, in the run directory; whoever is started again continues from
there. Where nodes do not see the run directory, it is handed over through `cluster.storage` by Ray Train.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rise.cluster.storage import Model
from rise.config import ClusterConfig, ModelConfig, TrainConfig
from rise.dataset import Example
from rise.errors import RiseError

LOOK_EVERY_S = 0.2


@dataclass(frozen=True, slots=True)
class Asked:
    """What every worker is to do."""

    examples: Sequence[Example]
    start: Model
    out: Path
    config: TrainConfig
    model: ModelConfig | None
    seed: int
    card: dict[str, Any] | None
    work: Path
    threads: int | None
    deterministic: bool
    directory: str
    url: str | None
    """Folder of the storage for what is handed over; None where nodes see the run directory."""


def fit(asked: Asked, settings: ClusterConfig, name: str, on_log: Callable[[dict[str, Any]], None] | None) -> dict[str, Any]:
    """Train, tell every log line, return the counts of `rise.train.train`. Raises what it raised."""
    import ray
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer
    from ray.util.queue import Empty, Queue

    queue = Queue(actor_options={"num_cpus": 0})
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
            name=name, storage_path=asked.url or str(asked.work / "ray"),
            failure_config=FailureConfig(max_failures=settings.restarts),
        ),
    )  # fmt: skip
    failed: list[BaseException] = []

    def run() -> None:
        try:
            trainer.fit()
        except BaseException as error:
            failed.append(error)

    # In a thread, or Ray Train would take Ctrl-C for itself and keep it: leaving the cluster ends everything at once.
    thread = threading.Thread(target=run, name="ray-train", daemon=True)
    thread.start()
    facts: dict[str, Any] = {}
    try:
        while True:
            ended = not thread.is_alive()  # before the queue is looked at, or the last words would be missed
            try:
                event = queue.get(timeout=LOOK_EVERY_S)
            except Empty:
                if ended:
                    break
                continue
            if "error" in event:
                raise event["error"]
            if "log" in event and on_log:
                on_log(event["log"])
            facts = event.get("facts", facts)
    finally:
        queue.shutdown(force=True)
    if failed or not facts:
        raise RiseError(f"training on the cluster failed: {_told(failed[0]) if failed else 'no worker ended it'}")
    shutil.rmtree(asked.work / "ray", ignore_errors=True)
    return facts


def _told(error: BaseException) -> str:
    """The last lines, which name the worker's own error."""
    return "\n".join([line for line in str(error).splitlines() if line.strip()][-12:])


def _worker(given: dict[str, Any]) -> None:
    """One rank."""
    import ray
    import torch

    from rise.train import train

    asked: Asked = ray.get(given["asked"])
    os.chdir(asked.directory)  # Ray Train has gone to a folder of its own
    first = ray.train.get_context().get_world_rank() == 0
    if asked.threads:
        torch.set_num_threads(asked.threads)
    if asked.deterministic:
        torch.use_deterministic_algorithms(True, warn_only=True)

    def tell(event: dict[str, Any]) -> None:
        if first:
            given["queue"].put(event)

    try:
        facts = train(
            asked.examples, asked.start.fetch(), asked.out, asked.config, model=asked.model, seed=asked.seed, card=asked.card,
            work=asked.work, on_log=lambda log: tell({"log": log}),
        )  # fmt: skip
    except RiseError as error:
        # Trying again would not help: whoever started us ends the training on hearing of it.
        given["queue"].put({"error": type(error)(str(error))})
        raise
    tell({"facts": facts | {"processes": ray.train.get_context().get_world_size()}})
