"""The real engines: vLLM from its environment, and `transformers serve`. Opt-in (`make test-engines`), minutes.

$RISE_VLLM_PYTHON names a Python that has vLLM, by default .venv-vllm/bin/python; $RISE_VLLM_ARGS adds words for `vllm serve`,
such as --enforce-eager, which starts sooner. Last passed: see docs/performance.md.
"""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import httpx
import pytest
from test_vllm_policy import running, wait_until_gone
from toys import problem

from rise.method.rollout import rollout
from rise.play.ledger import Ledger
from rise.play.player import Player, play_out
from rise.play.prompt import Prompt
from rise.policies import stop_engines
from rise.policies.http import HttpPolicy
from rise.policies.local import LocalPolicy
from rise.policies.reaper import descendants
from rise.policies.vllm import TOLERANCE, VllmPolicy
from rise.policy import Request, Sampling
from rise.recipe.machines import EngineConfig
from rise.trajectory import Message

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "models/smollm2"
PYTHON = Path(os.environ.get("RISE_VLLM_PYTHON", ROOT / ".venv-vllm/bin/python"))
ARGS = ["--max-model-len", "1024", *os.environ.get("RISE_VLLM_ARGS", "").split()]
SETTINGS = EngineConfig(python=str(PYTHON), args=ARGS, start_timeout_s=1500.0)

pytestmark = pytest.mark.skipif(not os.environ.get("RISE_ENGINES"), reason="takes minutes: make test-engines")
needs_vllm = pytest.mark.skipif(not PYTHON.exists(), reason="no .venv-vllm: make venv-vllm")


@pytest.fixture(scope="module")
def vllm():
    policy = VllmPolicy.load(MODEL, SETTINGS)
    yield policy
    pids = descendants(os.getpid())
    assert len(pids) >= 3  # keeper, server, engine core
    stop_engines()
    assert running(pids) == []


def ask(policy, *texts, seed=1, **sampling):
    async def go():
        requests = [
            Request(messages, Sampling(**{"max_new_tokens": 24, **sampling}), (seed,), policy.renderer.prompt_ids(messages))
            for messages in [(Message("user", text),) for text in texts]
        ]
        try:
            return requests, [replies[0] for replies in await asyncio.gather(*map(policy.reply, requests))]
        finally:
            await policy.close()

    return asyncio.run(go())


@needs_vllm
def test_vllm_serves_these_weights(vllm):
    assert vllm.served.difference is not None and vllm.served.difference < TOLERANCE["float32"]
    assert vllm.served.engine.served() == {vllm.served.name: 1024} and vllm.max_length == 1024


@needs_vllm
def test_vllm_samples_what_it_says(vllm):
    texts = ["What is 2 + 2?", "Say hello.", "Count to five."]
    _, once = ask(vllm, *texts, temperature=0.7)
    _, again = ask(vllm, *texts, temperature=0.7)
    _, other = ask(vllm, *texts, temperature=0.7, seed=2)
    assert [r.ids for r in once] == [r.ids for r in again] != [r.ids for r in other]
    for reply in once:
        assert reply.text == vllm.renderer.text(reply.ids) and reply.n_reply_tokens == len(reply.ids) <= 24
        assert (reply.finish == "stop") == (reply.ids[-1] in vllm.renderer.eos_ids)
    assert any(reply.finish == "stop" for _, [reply] in [ask(vllm, "Say only: yes", max_new_tokens=100, temperature=0.0)])


@needs_vllm
def test_vllm_and_transformers_agree_on_greedy_replies_and_on_log_probabilities(vllm):
    local = LocalPolicy.load(MODEL)
    requests, replies = ask(vllm, "What is 12 * 7?", "Name three colours.", temperature=0.0)
    own = local.generate(requests)
    assert [r.ids for r in replies] == [r[0].ids for r in own]
    prompts, ids = [request.prompt_ids for request in requests], [reply.ids for reply in replies]

    async def score(policy):
        try:
            return await policy.score(prompts, ids)
        finally:
            await policy.close()

    for theirs, ours in zip(asyncio.run(score(vllm)), asyncio.run(score(local)), strict=True):
        assert theirs == pytest.approx(ours, abs=0.01)


@needs_vllm
def test_vllm_killed_in_mid_run(vllm, judge, tmp_path):
    """`kill -9` of the server's own process: started again once, every turn filed once."""
    first = vllm.served.engine
    with Ledger(tmp_path / "ledger.jsonl") as ledger:
        policy = VllmPolicy.load(MODEL, SETTINGS)

        def kill(n_done, usage):
            if n_done == 4 and policy.served.engine is first:
                os.kill(first.pid, signal.SIGKILL)

        player = Player(
            policy, Prompt(feedback="neutral"), judge, Sampling(0.7, 1.0, 24), ledger, "x", renderer=policy.renderer, on_done=kill
        )
        problems = [problem(f"p{i}", f"{i} + 1?") for i in range(40)]
        done = play_out(player, rollout(player, problems, n_turns=3, stop_when_right=False))
    assert [len(t.turns) for t in done] == [3] * 40
    lines = [json.loads(line) for line in (tmp_path / "ledger.jsonl").read_text().splitlines()]
    filed = Counter((line["problem"], line["attempts"]) for line in lines)
    assert filed == {(f"p{i}", k): 1 for i in range(40) for k in range(3)}
    assert player.usage.facts["engine"]["restarts"] == 1
    assert policy.served.engine.pid != first.pid and wait_until_gone([first.pid]) == []


def test_transformers_serve_answers_as_an_endpoint(judge, tmp_path):
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    command = [str(Path(sys.executable).with_name("transformers")), "serve", "--host", "127.0.0.1", "--port", str(port)]
    with (tmp_path / "log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True) as server:
        try:
            for _ in range(1200):
                try:
                    httpx.get(f"http://127.0.0.1:{port}/health", timeout=5.0)
                    break
                except httpx.TransportError:
                    assert server.poll() is None, (tmp_path / "log").read_text()[-2000:]
                    time.sleep(0.5)
            policy = HttpPolicy.from_spec(f"http://127.0.0.1:{port}/v1#{MODEL}")
            with Ledger(tmp_path / "ledger.jsonl") as ledger:
                player = Player(policy, Prompt(feedback="neutral"), judge, Sampling(0.7, 1.0, 16), ledger, "x")
                problems = [problem(f"p{i}", f"What is {i} + 1?") for i in range(3)]
                done = play_out(player, rollout(player, problems, n_turns=2, stop_when_right=False))
            assert [len(t.turns) for t in done] == [2] * 3 and all(turn.reply for t in done for turn in t.turns)
        finally:
            os.killpg(server.pid, signal.SIGKILL)
