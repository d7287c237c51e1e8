"""How much of an engine's speed is left behind `rise serve`: vLLM asked through the server, and directly for the same turns.

    python benchmarks/serve.py --engine models/smollm2 --dtype bfloat16 [--python .venv-vllm/bin/python] [--repeats 2]

One process does what `rise serve vllm:MODEL` does, and writes down every turn's token ids. Through it, `--clients` clients ask
`--problems` word problems of `--turns` turns each. Directly, as many clients send the engine the very requests of the last pass,
turn after turn: the same prompts, seeds and limits. Where the same seeds draw the same replies (`tokens` says so) both sides
have the same to do. (Forcing lengths by min_tokens = max_tokens, as rollout.py does, made direct asking seemingly slower on a
CPU: the engine then masks the ends of a reply at every token.)

Both sides on the same prefix cache: one pass before all others is not counted, the seeds are the same in every pass, and what the
engine says it found there stands beside each (`prefix_hit`). The sides take turns at going first. Both ratios are tokens a second
through the server ÷ directly: by the wall clock, and by the processor time of everybody who takes part.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import httpx
from rollout import Clock

from rise.policies.engine import read_metrics


class Recorder:
    """A policy that also writes down each turn, to be asked for again."""

    def __init__(self, policy: Any, path: Path) -> None:
        self.policy = policy
        self.file = path.open("w", encoding="utf-8", buffering=1)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.policy, name)

    async def reply(self, request: Any) -> list[Any]:
        replies = await self.policy.reply(request)
        question = next(message.content for message in request.messages if message.role == "user")
        turn = {"question": question, "ids": request.prompt_ids, "seed": request.seeds[0]}
        self.file.write(json.dumps(turn) + "\n")
        return replies


def serve(given: argparse.Namespace) -> None:
    """What `rise serve vllm:MODEL` does, with a policy that writes turns down. Says first where the engine is."""
    from rise.play.prompt import make_prompt
    from rise.policies import stop_engines
    from rise.policies.vllm import VllmPolicy
    from rise.policy import Sampling
    from rise.recipe.machines import EngineConfig
    from rise.runs.card import config_for
    from rise.serve.app import make_app
    from rise.serve.requests import Limits, Served
    from rise.serve.revise import Reviser
    from rise.serve.run import run
    from rise.tasks import make_task

    task = make_task("word-problems")
    overrides = ["state.feedback=neutral", "sampling.temperature=0.7"]
    config = config_for(str(given.model), task=task.name, overrides=overrides)
    prompt, sampling = make_prompt(config, task), Sampling(**config.sampling.model_dump())
    settings = EngineConfig(python=given.python, args=given.arg, start_timeout_s=1500.0)
    try:
        policy = VllmPolicy.load(given.model, settings, dtype=given.dtype)
        engine = {"url": policy.served.engine.url, "model": policy.served.name, "stop": sorted(policy.renderer.eos_ids)}
        print(json.dumps(engine), flush=True)
        served = Served("m", given.turns, "majority", sampling)
        reviser = Reviser(Recorder(policy, given.record), prompt, task.judge())
        run(make_app(reviser, served, Limits(n_active=policy.max_in_flight)), served, host="127.0.0.1", port=0)
    finally:
        stop_engines()


class Sides:
    """The two ways of asking, with a server under way."""

    def __init__(self, given: argparse.Namespace, engine: dict[str, Any], address: str, questions: Sequence[str]) -> None:
        self.given, self.engine, self.address, self.questions = given, engine, address, questions
        self.turns: list[list[dict[str, Any]]] = []
        """Of the last pass through the server: the turns of each conversation, in order."""
        self._read = 0

    def served(self) -> dict[str, Any]:
        async def one(client: httpx.AsyncClient, question: str) -> int:
            body = {
                "model": "m",
                "messages": [{"role": "user", "content": question}],
                "seed": 1,
                "max_tokens": self.given.new_tokens,
                "rise": {"turns": self.given.turns},
            }
            answer = (await client.post(f"{self.address}/chat/completions", json=body)).raise_for_status()
            return answer.json()["usage"]["completion_tokens"]

        found = self._side(one, self.questions)
        self.turns, again = self._recorded()
        return found | {"prompts_as_before": again}

    def direct(self) -> dict[str, Any]:
        async def one(client: httpx.AsyncClient, turns: list[dict[str, Any]]) -> int:
            written = 0
            for turn in turns:
                body = {
                    "model": self.engine["model"],
                    "prompt": turn["ids"],
                    "max_tokens": self.given.new_tokens,
                    "temperature": 0.7,
                    "top_p": 1.0,
                    "seed": turn["seed"],
                    "stop_token_ids": self.engine["stop"],
                    "return_token_ids": True,
                }
                answer = (await client.post(f"{self.engine['url']}/completions", json=body)).raise_for_status()
                written += answer.json()["usage"]["completion_tokens"]
            return written

        return self._side(one, self.turns)

    def _side(self, one: Callable[[httpx.AsyncClient, Any], Awaitable[int]], work: Sequence[Any]) -> dict[str, Any]:
        """Let so many clients work through it; what it came to."""

        async def go() -> int:
            waiting, written = iter(work), 0

            async def client() -> None:
                nonlocal written
                async with httpx.AsyncClient(timeout=1800.0, trust_env=False, verify=False) as asker:
                    for item in waiting:
                        n = await one(asker, item)  # apart: `written += await …` would add to what it was before the wait
                        written += n

            await asyncio.gather(*(client() for _ in range(self.given.clients)))
            return written

        before, clock = self._engine(), Clock()
        found = clock.rate(asyncio.run(go()))
        after = self._engine()
        counted = round(after["generated_tokens"] - before["generated_tokens"])
        hit = {name: round(after[f"prefix_tokens_{name}"] - before[f"prefix_tokens_{name}"]) for name in ("hit", "asked")}
        return found | {
            "engine_counted": counted,
            "prefix_hit": round(hit["hit"] / max(1, hit["asked"]), 3),
            "load": round(os.getloadavg()[0], 1),
        }

    def _engine(self) -> dict[str, float]:
        return read_metrics(httpx.get(self.engine["url"].removesuffix("/v1") + "/metrics", timeout=60.0).text)

    def _recorded(self) -> tuple[list[list[dict[str, Any]]], float]:
        """(conversations of the last pass, share of their prompts that the pass before had too)."""
        lines = self.given.record.read_text(encoding="utf-8").splitlines()
        new, self._read = [json.loads(line) for line in lines[self._read :]], len(lines)
        by_question: dict[str, list[dict[str, Any]]] = {}
        for turn in new:  # a conversation's turns come one after another
            by_question.setdefault(turn["question"], []).append(turn)
        had = {tuple(turn["ids"]) for turns in self.turns for turn in turns}
        return list(by_question.values()), round(sum(tuple(turn["ids"]) in had for turn in new) / len(new), 3)


def measure(given: argparse.Namespace) -> dict[str, Any]:
    from rise.tasks import make_task

    problems = make_task("word-problems").problems("train", given.problems)
    began = time.perf_counter()
    words = ["--model", str(given.model), "--python", given.python, "--dtype", given.dtype, "--turns", str(given.turns)]
    words += [f"--arg={word}" for word in given.arg]
    command = [sys.executable, __file__, "--serve", "--record", str(given.record), *words]
    log = given.record.with_name("log")
    with log.open("w") as file, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=file, text=True) as process:
        try:
            assert process.stdout is not None
            engine = json.loads(process.stdout.readline() or "null")
            if engine is None:
                raise SystemExit(f"The server did not start:\n{log.read_text()[-4000:]}")
            address = process.stdout.readline().split(" at ")[1].split(";")[0]
            out: dict[str, Any] = {
                "versions": {name: metadata.version(name) for name in ("rise-lm", "torch", "transformers")},
                "settings": {key: str(value) for key, value in vars(given).items() if key not in ("record", "serve")},
                "cores": len(os.sched_getaffinity(0)),
                "start_s": round(time.perf_counter() - began, 1),
            }
            sides = Sides(given, engine, address, [problem.question for problem in problems])
            out["before"] = sides.served()
            print(json.dumps({"before": out["before"]}), file=sys.stderr, flush=True)
            passes: dict[str, list[dict[str, Any]]] = {"served": [], "direct": []}
            for repeat in range(given.repeats):
                for side in ("served", "direct") if repeat % 2 else ("direct", "served"):
                    passes[side].append(getattr(sides, side)())
                    print(json.dumps({side: passes[side][-1]}), file=sys.stderr, flush=True)
        finally:
            process.terminate()
    out |= passes
    for by, name in (("seconds", "served_over_direct"), ("processor_s", "served_over_direct_by_processor_time")):
        rate = {side: sum(p["tokens"] for p in found) / sum(p[by] for p in found) for side, found in passes.items()}
        out[name] = round(rate["served"] / rate["direct"], 3)
    pairs = zip(passes["served"], passes["direct"], strict=True)
    out["of_each_repeat"] = [round(served["tokens_per_s"] / direct["tokens_per_s"], 3) for served, direct in pairs]
    out["median"] = statistics.median(out["of_each_repeat"])
    return out


def main(words: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--python", default=".venv-vllm/bin/python", help="a Python that has vLLM")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--problems", type=int, default=32)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--clients", type=int, default=8, help="conversations at once")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--arg", action="append", default=[], help="one more word for vllm serve: --arg=--enforce-eager")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--record", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args(words)
    if given.serve:
        serve(given)
        return
    with tempfile.TemporaryDirectory() as scratch:
        given.record = Path(scratch) / "turns.jsonl"
        print(json.dumps(measure(given), indent=1))


if __name__ == "__main__":
    main(sys.argv[1:])
