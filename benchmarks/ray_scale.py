"""Two replicas on a Ray cluster of two nodes with one processor each, against one replica and against no Ray. Prints JSON.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/ray_scale.py [--problems 192] [--repeats 3]

Needs two idle cores and `pip install -e '.[train,ray]'`. A rollout of two turns by an untrained Llama large enough that the
plain path spends nine tenths of its time in the model (`share_in_model`); the same problems, seeds and batch size in all
three ways, one thread each. Replicas are ready and have answered once before the clock starts: what is compared is the
collection, not the start of processes. Ways take turns, `repeats` times each; ratios are of median tokens a second.

two_over_one     goal 1.7, at least 1.5
one_over_plain   goal 0.9 or more: what one replica behind Ray does of what the same model does in this process
driver_ms        processor milliseconds of the driver a reply: judging, ledger, Ray's calls. Its inverse bounds replies a second
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rise.method.rollout import rollout
from rise.play.ledger import Ledger
from rise.policies.local import LocalPolicy
from rise.policy import Policy
from rise.recipe.config import RunConfig
from rise.recipe.machines import NanoConfig
from rise.recipe.toml import build_config
from rise.runs.context import RunContext, Silent
from rise.runs.preflight import preflight
from rise.tasks import make_task

ALPHABET = "0123456789+*=\n#? "


def recipe(args: argparse.Namespace, replicas: int) -> RunConfig:
    return build_config(
        {
            "threads": 1,
            "batch_size": args.batch,
            "sampling": {"max_new_tokens": args.tokens},
            "task": {"name": "arithmetic", "settings": {"kinds": {"product": 1}, "product_digits": [3, 2]}},
            "model": {"nano": {"hidden": args.hidden}},
            "state": {"feedback": "neutral", "feedback_text": "?", "window": 1},
            "cluster": {"replicas": replicas, "min_replicas": replicas},
        }
    )


def play(config: RunConfig, policy: Policy, n_problems: int, directory: str, purpose: str) -> dict[str, float]:
    """One rollout of two turns."""
    task = make_task(config.task.name, **config.task.settings)
    with Ledger(Path(directory) / f"{purpose}.jsonl") as ledger:
        player = RunContext(preflight(config, "collect"), task.judge(), ledger, Silent()).player(policy, purpose)

        async def closing() -> None:
            try:
                await rollout(player, task.problems("train", n_problems), n_turns=2, stop_when_right=False)
            finally:
                if not isinstance(policy, LocalPolicy):  # whose close lets go of the model
                    await policy.close()

        began, processor = time.perf_counter(), time.process_time()
        asyncio.run(closing())
        seconds, used = time.perf_counter() - began, time.process_time() - processor
    usage = player.usage
    return {
        "seconds": seconds,
        "tokens_per_s": usage.n_reply_tokens / seconds,
        "n_replies": usage.n_replies,
        "driver_ms": 1000 * used / usage.n_replies,
    }


@contextmanager
def timed_model(policy: LocalPolicy) -> Iterator[list[float]]:
    """Seconds spent in the model's batches."""
    assert policy.running is not None
    spent = [0.0]
    advance = policy.running.advance

    def watched(n: int) -> Any:
        began = time.perf_counter()
        try:
            return advance(n)
        finally:
            spent[0] += time.perf_counter() - began

    policy.running.advance = watched  # type: ignore[method-assign]
    try:
        yield spent
    finally:
        policy.running.advance = advance  # type: ignore[method-assign]


def plain(args: argparse.Namespace, model: str, directory: str) -> Callable[[str], dict[str, float]]:
    import torch

    torch.set_num_threads(1)
    config = recipe(args, 1)
    policy = LocalPolicy.load(model, batch_size=args.batch, fixed_batches=False)

    def once(purpose: str) -> dict[str, float]:
        n = args.batch if purpose == "warm" else args.problems
        with timed_model(policy) as spent:
            found = play(config, policy, n, directory, f"plain-{purpose}")
        return found | {"share_in_model": spent[0] / found["seconds"]}

    return once


def clustered(args: argparse.Namespace, model: str, directory: str, n: int) -> Callable[[str], dict[str, float]]:
    from rise.cluster.cluster import Cluster

    config = recipe(args, n)
    cluster = Cluster(config, Path(directory) / f"cluster-{n}")

    def once(purpose: str) -> dict[str, float]:
        policy = cluster.policy(f"local:{model}", chat_format=None)
        play(config, policy, args.batch * n, directory, f"{n}-ready-{purpose}")
        policy = cluster.policy(f"local:{model}", chat_format=None)
        found = play(config, policy, args.problems, directory, f"{n}-{purpose}")
        cluster.release()
        return found

    return once


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--problems", type=int, default=192)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--hidden", type=int, default=384)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    import ray
    from ray.cluster_utils import Cluster as Nodes

    from rise.training.nano import make_nano

    with tempfile.TemporaryDirectory() as directory:
        model = str(Path(directory) / "model")
        shape = NanoConfig(hidden=args.hidden, layers=8, heads=4, kv_heads=4, intermediate=3 * args.hidden, max_length=512)
        make_nano(shape, ALPHABET, 0, Path(model))
        nodes = Nodes(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        ray.init(address=nodes.address, namespace="rise", log_to_driver=False, logging_level=logging.ERROR)
        for _ in range(2):
            nodes.add_node(num_cpus=1)
        nodes.wait_for_nodes()
        try:
            ways = {
                "plain": plain(args, model, directory),
                "one": clustered(args, model, directory, 1),
                "two": clustered(args, model, directory, 2),
            }
            ways["plain"]("warm")
            runs: dict[str, list[dict[str, float]]] = {name: [] for name in ways}
            for repeat in range(args.repeats):
                for name, way in ways.items():
                    runs[name].append(way(str(repeat)))
        finally:
            ray.shutdown()
            nodes.shutdown()
    middle = {
        name: {key: round(statistics.median(run[key] for run in found), 4) for key in found[0]} for name, found in runs.items()
    }
    speed = {name: found["tokens_per_s"] for name, found in middle.items()}
    out = {
        "two_over_one": round(speed["two"] / speed["one"], 3),
        "one_over_plain": round(speed["one"] / speed["plain"], 3),
        "share_in_model": middle["plain"]["share_in_model"],
        "driver_ms": middle["two"]["driver_ms"],
        **middle,
        "settings": vars(args),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
    }
    print(json.dumps(out, indent=1))


if __name__ == "__main__":
    main()
