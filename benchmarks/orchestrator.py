"""The orchestrator and its ledger alone: turns of 200 tokens from a script. Prints JSON; one core.

    OMP_NUM_THREADS=1 taskset -c 0 .venv/bin/python benchmarks/orchestrator.py [--turns 1000000]

turns_per_s: judged turns into the ledger, by the wall clock and by the processor time of this process (what it would be on a
core of its own). rss_growth_MB: resident memory at the end less that at turn 10,000; trajectories are handed over as they
end, not kept. scan_s: opening the finished ledger again, as a continued run does.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from rise.judges.math import MathJudge
from rise.method.rollout import rollout
from rise.play.ledger import Ledger
from rise.play.player import Player
from rise.play.prompt import Prompt
from rise.policy import Policy, Reply, Request, Sampling
from rise.task import Problem
from rise.trajectory import Trajectory

N_TOKENS, N_TURNS, N_REPLIES = 200, 5, 64
SETTLED = 10_000
"""Turns after which memory is first looked at."""


class Scripted(Policy):
    """64 replies of 200 words and 200 token ids, drawn by the seed; a quarter of them right."""

    name, takes_ids, max_in_flight = "scripted-benchmark", False, 64

    def __init__(self) -> None:
        rng = random.Random(0)
        ids = [tuple(rng.randrange(49_152) for _ in range(N_TOKENS)) for _ in range(N_REPLIES)]
        texts = [" ".join(f"w{token % 97}" for token in some[:-2]) + f"\n#### {i % 4}" for i, some in enumerate(ids)]
        self.replies = [Reply(text, some, "stop", 250, N_TOKENS) for text, some in zip(texts, ids, strict=True)]

    async def reply(self, request: Request) -> list[Reply]:
        return [self.replies[seed % N_REPLIES] for seed in request.seeds]


class Problems(Sequence[Problem]):
    """As many as wanted, made when asked for."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: int) -> Problem:  # type: ignore[override]
        return Problem(f"Question {index}: how many apples does everybody together have in the end?", "1", id=f"p{index}")


def rss_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=1_000_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "ledger.jsonl"
        ledger = Ledger(path)
        settled: list[float] = []

        def each(index: int, trajectory: Trajectory) -> None:
            if not settled and player.usage.n_replies >= SETTLED:
                settled.append(rss_mb())

        player = Player(Scripted(), Prompt(window=1), MathJudge(), Sampling(), ledger, "benchmark")
        wall, cpu = time.perf_counter(), time.process_time()
        problems = Problems(given.turns // N_TURNS)
        asyncio.run(rollout(player, problems, n_turns=N_TURNS, stop_when_right=False, on_record=each))
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        grown = rss_mb() - settled[0]
        ledger.close()
        n, size = len(ledger), path.stat().st_size
        del ledger
        scan_wall, scan_cpu = time.perf_counter(), time.process_time()
        with Ledger(path) as again:
            assert len(again) == n == given.turns
        scan_wall, scan_cpu = time.perf_counter() - scan_wall, time.process_time() - scan_cpu
    report = {
        "turns": n,
        "ledger_MB": round(size / 1e6),
        "turns_per_s": round(n / wall),
        "turns_per_processor_s": round(n / cpu),
        "rss_growth_MB": round(grown, 1),
        "scan_s": round(scan_wall, 1),
        "scan_processor_s": round(scan_cpu, 1),
        "load_before": round(os.getloadavg()[0], 1),
    }
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
