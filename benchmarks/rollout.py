"""The same word problems, several turns each, four ways of generating. Prints JSON; both sides of every ratio in one run.

    .venv/bin/python benchmarks/rollout.py models/smollm2 --problems 128 [--only bcd] [--python .venv-vllm/bin/python]

a  one request at a time: `generate` on one prompt (on the first `--few` problems only: the rate is what counts)
b  batched `generate` with a barrier at every turn: all problems in the order they come, in batches of --batch
c  `local:` under our orchestrator, judge and ledger included; also 4 samples of one turn, with the prompt read once
d  `vllm:` under our orchestrator, the start of the server apart; then the same requests again, by our orchestrator and by a bare
   asyncio loop, both on the warm prefix cache: the difference is what we cost

A checkpoint of ours brings its task, state and temperature along in rise.json; any other model gets word problems at 0.7.

tokens_per_s is by the wall clock; tokens_per_processor_s by the processor time of this process and its engine, which holds on a
machine that is shared too (an engine's threads that spin while they wait count).

prefix: tokens of whole blocks that an endless cache would have had, against those that the engine says it had.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import httpx

from rise.method.rollout import rollout
from rise.play.ledger import Ledger
from rise.play.player import Player, play_out
from rise.play.prompt import Prompt, make_prompt
from rise.policies import stop_engines
from rise.policies.local import LocalPolicy
from rise.policies.reaper import descendants
from rise.policies.vllm import VllmPolicy
from rise.policy import Policy, Request, Sampling
from rise.recipe.machines import EngineConfig
from rise.runs.card import config_for, read_card
from rise.task import Problem
from rise.tasks import make_task
from rise.trajectory import Trajectory, Turn

FEEDBACK = "Check each step. If the answer is right, repeat it; if not, correct it."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--problems", type=int, default=128)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--few", type=int, default=8, help="problems for a")
    parser.add_argument("--only", default="abcd")
    parser.add_argument("--task", default="word-problems")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--python", default=".venv-vllm/bin/python")
    parser.add_argument("--block", type=int, default=32, help="tokens in a block of the engine's prefix cache (32 on a CPU)")
    parser.add_argument("--arg", action="append", default=[], help="one more word for vllm serve")
    given = parser.parse_args()
    context = RunContext(given)
    report: dict[str, Any] = {
        "machine": f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f}",
        "versions": {name: metadata.version(name) for name in ("torch", "transformers")},
        "settings": {k: str(v) for k, v in vars(given).items()},
    }
    for name, measure in {"a": context.one_at_a_time, "b": context.barrier, "c": context.local, "d": context.vllm}.items():
        if name in given.only:
            report[name] = measure()
            print(json.dumps({name: report[name]}), flush=True)
    for by in ("tokens_per_s", "tokens_per_processor_s"):
        rates = {name: report[name][by] for name in "abcd" if name in report}
        pairs = [(x, y) for x, y in ("da", "db", "cb", "ca") if x in rates and y in rates]
        report[f"ratios_of_{by}"] = {f"{x}/{y}": round(rates[x] / rates[y], 2) for x, y in pairs}
    report["load_after"] = round(os.getloadavg()[0], 1)
    print(json.dumps(report, indent=1))


class Anything:
    """A judge that is quick and never stops a run: generation is what is measured."""

    def judge(self, problem: Problem, reply: str) -> Any:
        from rise.judge import Judgement
        from rise.trajectory import Verdict

        return Judgement(Verdict.WRONG, None)

    def same(self, left: str, right: str) -> bool:
        return left == right


class RunContext:
    def __init__(self, given: argparse.Namespace) -> None:
        self.given = given
        card = read_card(str(given.model))
        task = make_task(card.get("task", given.task), **card.get("task_settings", {}))
        split = "test" if task.name == "svamp" else "train"
        self.problems = list(task.problems(split, given.problems))  # type: ignore[arg-type]
        if card:
            config = config_for(str(given.model))
            self.prompt = make_prompt(config, task)
            self.sampling = replace(Sampling(**config.sampling.model_dump()), max_new_tokens=given.new_tokens)
        else:
            self.prompt = Prompt(task.instructions, feedback="neutral", feedback_text=FEEDBACK)
            self.sampling = Sampling(0.7, 1.0, given.new_tokens)

    def one_at_a_time(self) -> dict[str, Any]:
        return self._plain(self.problems[: self.given.few], 1)

    def barrier(self) -> dict[str, Any]:
        return self._plain(self.problems, self.given.batch)

    def _plain(self, problems: Sequence[Problem], batch: int) -> dict[str, Any]:
        """transformers' own `generate`, sampling and all."""
        import torch

        policy = LocalPolicy.load(self.given.model, dtype=self.given.dtype)
        model, renderer = policy.model, policy.renderer
        tokenizer = renderer.tokenizer
        tokenizer.padding_side = "left"
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token
        torch.manual_seed(0)
        shown: dict[str, list[Turn]] = {problem.id: [] for problem in problems}
        n_tokens, clock = 0, Clock()
        for _ in range(self.given.turns):
            for start in range(0, len(problems), batch):
                some = problems[start : start + batch]
                prompts = [renderer.prompt_ids(self.prompt.messages(p, shown[p.id])) for p in some]
                padded = tokenizer.pad({"input_ids": [list(ids) for ids in prompts]}, return_tensors="pt").to(model.device)
                with torch.inference_mode():
                    out = model.generate(
                        **padded,
                        do_sample=True,
                        temperature=self.sampling.temperature,
                        top_k=0,
                        top_p=1.0,
                        max_new_tokens=self.sampling.max_new_tokens,
                        eos_token_id=policy.eos_ids,
                        pad_token_id=tokenizer.pad_token_id,
                    )
                for problem, row in zip(some, out[:, padded["input_ids"].shape[1] :].tolist(), strict=True):
                    end = next((i for i, token in enumerate(row) if token in policy.eos_ids), len(row) - 1)
                    n_tokens += end + 1
                    turn = Turn(renderer.text(row[: end + 1]))
                    feedback = self.prompt.feedback_for(problem, [*shown[problem.id], turn])
                    shown[problem.id].append(replace(turn, feedback=feedback))
        return clock.rate(n_tokens) | {"problems": len(problems)}

    def local(self) -> dict[str, Any]:
        def load() -> LocalPolicy:
            return LocalPolicy.load(
                self.given.model, batch_size=self.given.batch, dtype=self.given.dtype, fixed_batches=False, name="local"
            )

        _, found = self.play(load())
        shared = {how: self.best_of(load(), shares) for how, shares in (("prompt_shared", True), ("prompt_read_4_times", False))}
        return found | {"best_of_4": shared}

    def best_of(self, policy: LocalPolicy, shares: bool) -> dict[str, Any]:
        """Tokens a second of 4 samples at the first state of an eighth of the problems."""
        assert policy.running is not None
        policy.running.shares = shares
        some = self.problems[: max(1, len(self.problems) // 8)]
        prompts = [policy.renderer.prompt_ids(self.prompt.messages(problem, [])) for problem in some]

        async def go() -> list[Any]:
            requests = (Request((), self.sampling, tuple(range(4)), ids) for ids in prompts)
            return await asyncio.gather(*map(policy.reply, requests))

        clock = Clock()
        replies = asyncio.run(go())
        return clock.rate(sum(r.n_reply_tokens for some in replies for r in some))

    def vllm(self) -> dict[str, Any]:
        settings = EngineConfig(python=self.given.python, args=self.given.arg)
        began = time.perf_counter()
        policy = VllmPolicy.load(self.given.model, settings, dtype=self.given.dtype)
        start_s = round(time.perf_counter() - began, 1)
        try:
            done, cold = self.play(policy)
            expected = reusable(done, self.given.block)
            prefix = {"reusable": expected, "hit": cold["engine"].get("prefix_tokens_hit")}
            prefix["share"] = round(prefix["hit"] / expected, 3) if expected and prefix["hit"] is not None else None
            ours = [
                self.play(VllmPolicy.load(self.given.model, settings, dtype=self.given.dtype))[1]["seconds"] for _ in range(2)
            ]
            bare = [self.bare(policy, done) for _ in range(2)]
            costs = {"ours_s": ours, "bare_loop_s": bare, "ours_over_bare": round(min(ours) / min(bare), 3)}
            return cold | {"start_s": start_s, "prefix": prefix, "warm": costs}
        finally:
            stop_engines()

    def bare(self, policy: VllmPolicy, done: Sequence[Trajectory]) -> float:
        """Seconds that a loop of a page takes for the same requests: no ledger, no judge, no counting."""
        url, name = policy.served.engine.url + "/completions", policy.served.name
        eos = sorted(policy.renderer.eos_ids)

        async def one(client: httpx.AsyncClient, trajectory: Trajectory) -> None:
            for turn in trajectory.turns:
                body = {
                    "model": name,
                    "prompt": list(turn.prompt_ids or ()),
                    "max_tokens": self.sampling.max_new_tokens,
                    "temperature": self.sampling.temperature,
                    "top_p": 1.0,
                    "seed": 1,
                    "stop_token_ids": eos,
                    "return_token_ids": True,
                }
                # As long as ours was, or luck would decide which of the two has less to do.
                body |= {"min_tokens": turn.n_reply_tokens, "max_tokens": turn.n_reply_tokens}
                (await client.post(url, json=body)).raise_for_status()

        async def go() -> None:
            limits = httpx.Limits(max_connections=256, max_keepalive_connections=256)
            async with httpx.AsyncClient(timeout=1200.0, limits=limits) as client:
                await asyncio.gather(*(one(client, trajectory) for trajectory in done))

        began = time.perf_counter()
        asyncio.run(go())
        return round(time.perf_counter() - began, 2)

    def play(self, policy: Policy) -> tuple[list[Trajectory], dict[str, Any]]:
        """(trajectories, rate and facts) of a rollout under our orchestrator."""
        with tempfile.TemporaryDirectory() as scratch, Ledger(Path(scratch) / "ledger.jsonl") as ledger:
            player = Player(
                policy,
                self.prompt,
                Anything(),
                self.sampling,
                ledger,
                "benchmark",
                renderer=policy.renderer,  # type: ignore
            )
            clock = Clock()
            done = play_out(player, rollout(player, self.problems, n_turns=self.given.turns, stop_when_right=False))
            measured = clock.rate(player.usage.n_reply_tokens)
        return done, measured | {"problems": len(done)} | player.usage.facts


class Clock:
    """Seconds by the wall and by the processors, of this process and whatever it started."""

    def __init__(self) -> None:
        self.wall, self.processor = time.perf_counter(), self._processor()

    def rate(self, n_tokens: int) -> dict[str, Any]:
        wall, processor = time.perf_counter() - self.wall, self._processor() - self.processor
        return {
            "tokens": n_tokens,
            "seconds": round(wall, 2),
            "tokens_per_s": round(n_tokens / wall, 1),
            "processor_s": round(processor, 2),
            "tokens_per_processor_s": round(n_tokens / processor, 1),
        }

    @staticmethod
    def _processor() -> float:
        ticks = 0
        for pid in descendants(os.getpid()):
            with contextlib.suppress(OSError):
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                ticks += int(fields[11]) + int(fields[12])  # user and system
        return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")


def reusable(done: Sequence[Trajectory], block: int, key: Callable[[Sequence[int]], int] = lambda ids: hash(tuple(ids))) -> int:
    """Prompt tokens that an endless prefix cache would have had, in whole blocks: everything before them had been seen.

    The last token of a prompt is always computed.
    """
    seen: set[int] = set()
    n = 0
    for number in range(max(len(trajectory.turns) for trajectory in done)):
        for trajectory in done:
            ids = trajectory.turns[number].prompt_ids or ()
            n += block * sum(key(ids[:end]) in seen for end in range(block, len(ids), block))
            whole = (*ids, *(trajectory.turns[number].reply_ids or ()))
            seen.update(key(whole[:end]) for end in range(block, len(whole) + 1, block))
    return n


if __name__ == "__main__":
    main()
