"""vLLM replicas, the engine being tests/support/fake_vllm.py: started on the nodes, gone with a replica, refused when stale."""

import asyncio
import json
import sys

import pytest
import ray
import toys
from machines import ROOT
from ray_helpers import kill, running, wait_until

from rise.cluster.cluster import Cluster
from rise.cluster.replica import N_PROBED
from rise.errors import PolicyError
from rise.policy import Request, Sampling
from rise.trajectory import Message


@pytest.fixture
def fake(tmp_path):
    """A Python with a vLLM on every node. The first engine scores any text with −1 a token, the others with `others`."""
    out = tmp_path / "out"
    out.mkdir()

    def make(others=-1.0):
        told = [json.dumps({"scores": [score] * (N_PROBED - 1)}) for score in (-1.0, others)]
        python = tmp_path / "python"
        python.write_text(
            f"#!/bin/sh\nexport FAKE_VLLM_OUT='{out}'\n"
            f"if mkdir '{out}/first' 2>/dev/null; then export FAKE_VLLM='{told[0]}'; else export FAKE_VLLM='{told[1]}'; fi\n"
            f'exec "{sys.executable}" -S "{ROOT / "tests" / "support" / "fake_vllm.py"}" "$@"\n'
        )
        python.chmod(0o755)
        return toys.small(
            deterministic=False,
            threads=1,
            cluster={"replicas": 2, "min_replicas": 2},
            engine={"kind": "vllm", "python": str(python), "probe": False, "start_timeout_s": 300.0, "args": ["--own-words"]},
        )

    make.pids = lambda: [int(pid) for line in (out / "pids").read_text().splitlines() for pid in line.split()]
    make.words = lambda: json.loads((out / "words.json").read_text())
    return make


def ask(policy, n=8):
    messages = (Message("user", "2+2"),)
    ids = policy.renderer.prompt_ids(messages)

    async def all_of_them():
        try:
            asked = (policy.reply(Request(messages, Sampling(max_new_tokens=3), (i,), ids, f"p{i}")) for i in range(n))
            return [reply for [reply] in await asyncio.gather(*asked)]
        finally:
            await policy.close()

    return asyncio.run(all_of_them())


def test_engines_answer_on_every_node_and_stop_with_their_replicas(two_nodes, fake, slow_dir, tmp_path):
    cluster = Cluster(fake(), tmp_path)
    try:
        policy = cluster.policy(f"vllm:{slow_dir}", chat_format=None)
        assert policy.splits and policy.max_length == 192
        assert all(reply.ids for reply in ask(policy))
        facts = policy.facts()
        assert len({line["node"] for line in facts["replicas"]}) == 2
        assert [line["engine"]["restarts"] for line in facts["replicas"]] == [0, 0]
        assert "--own-words" in fake.words()
        assert len(fake.pids()) == 4 and all(map(running, fake.pids()))
        cluster.release()  # what happens before training
        assert not any(map(running, fake.pids())), "an accelerator was not given back"
    finally:
        cluster.close()


@pytest.mark.parametrize("how", ["kill -9", "ray.kill"])
def test_a_replica_killed_takes_its_engine_along_and_comes_back_with_another(how, two_nodes, fake, slow_dir, tmp_path):
    cluster = Cluster(fake(), tmp_path)
    try:
        policy = cluster.policy(f"vllm:{slow_dir}", chat_format=None)
        before = fake.pids()
        victim = cluster._replicas.slots[0]
        if how == "kill -9":
            kill(victim.hello.pid)
        else:
            ray.kill(victim.actor, no_restart=False)
        wait_until(lambda: len([pid for pid in before if running(pid)]) == 2, "an end of its engine")
        assert all(reply.ids for reply in ask(policy))
        policy = cluster.policy(f"vllm:{slow_dir}", chat_format=None)

        async def returned():
            policy._watch()
            from ray_helpers import until

            await until(lambda: all(slot.up for slot in cluster._replicas.slots), "its return")
            await policy.close()

        asyncio.run(returned())
        assert len(fake.pids()) == 6
    finally:
        cluster.close()


def test_a_replica_that_computes_with_other_weights_is_refused(two_nodes, fake, slow_dir, tmp_path):
    cluster = Cluster(fake(others=-1.5), tmp_path)
    try:
        with pytest.raises(PolicyError, match=r"differ by 0\.500 nats a token\. Stale weights in its memory"):
            cluster.policy(f"vllm:{slow_dir}", chat_format=None)
        wait_until(lambda: not any(map(running, fake.pids())), "an end of the engines")
    finally:
        cluster.close()


def test_a_replica_that_cannot_start_says_why_in_the_policys_own_words(two_nodes, fake, slow_dir, tmp_path):
    config = fake()
    config = config.model_copy(update={"engine": config.engine.model_copy(update={"python": str(tmp_path / "none")})})
    cluster = Cluster(config, tmp_path)
    try:
        with pytest.raises(PolicyError, match="is not there, so no vLLM can be started"):
            cluster.policy(f"vllm:{slow_dir}", chat_format=None)
    finally:
        cluster.close()
