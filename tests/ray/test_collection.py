"""Replies from replicas: streamed to them, asked again after a loss, and each in the ledger exactly once."""

import asyncio
import json
import os
import signal

import pytest
import toys
from ray_helpers import kill, running, until

from rise.cluster.cluster import Cluster
from rise.judge import Judge
from rise.method.rollout import rollout
from rise.play.ledger import Ledger
from rise.play.player import Player
from rise.runs.context import RunContext, Silent
from rise.runs.preflight import preflight
from rise.tasks import make_task

N_PROBLEMS, N_TURNS = 16, 2


def recipe(**cluster):
    return toys.small(
        deterministic=False,
        threads=1,
        batch_size=3,
        sampling={"max_new_tokens": 96},
        cluster={"replicas": 2, "min_replicas": 2, **cluster},
    )


class Collecting:
    """A rollout of two turns on sixteen problems, with somebody who does something in the middle of it."""

    def __init__(self, directory, model, **cluster):
        self.config = recipe(**cluster)
        self.cluster = Cluster(self.config, directory)
        self.ledger = Ledger(directory / "ledger.jsonl")
        self.model = model
        self.task = make_task(self.config.task.name, **self.config.task.settings)
        self.problems = self.task.problems("train", N_PROBLEMS)

    def play(self, meanwhile, gate=None):
        judge = self.cluster.judge(self.task.judge())
        policy = self.cluster.policy(f"local:{self.model}", chat_format=None)
        if gate:
            judge = Gated(judge, gate)
        context = RunContext(preflight(self.config, "collect"), judge, self.ledger, Silent())
        player = context.player(policy, "rollout")
        assert isinstance(player, Player)

        async def both():
            playing = asyncio.create_task(rollout(player, self.problems, n_turns=N_TURNS, stop_when_right=False))
            try:
                await meanwhile(self)
                done = await asyncio.wait_for(playing, 600)
                self.facts = policy.facts()
                return done
            finally:
                playing.cancel()
                await policy.close()

        return asyncio.run(both())

    @property
    def slots(self):
        return self.cluster._replicas.slots

    def close(self):
        self.cluster.close()
        self.ledger.close()


class Gated(Judge):
    """A judge that keeps every verdict but the first four to itself until the gate is open."""

    elsewhere = True

    def __init__(self, own, is_open):
        self.own, self.is_open, self.n = own, is_open, 0

    async def aside(self, problem, reply):
        self.n += 1
        if self.n > 4:
            await until(self.is_open, "an open gate")
        return self.own.judge(problem, reply)

    def judge(self, problem, reply):
        return self.own.judge(problem, reply)

    def same(self, left, right):
        return self.own.same(left, right)


@pytest.fixture
def collecting(tmp_path, slow_dir):
    made = []

    def make(**cluster):
        made.append(Collecting(tmp_path, slow_dir, **cluster))
        return made[-1]

    yield make
    for one in made:
        one.close()


def whole(collecting, trajectories):
    """Every problem has its turns, and the ledger every one of them once."""
    assert [t.problem_id for t in trajectories] == [p.id for p in collecting.problems]
    assert {len(t.turns) for t in trajectories} == {N_TURNS}
    keys = [json.loads(line)["key"] for line in collecting.ledger.path.read_text().splitlines()]
    assert len(keys) == len(set(keys)) == N_PROBLEMS * N_TURNS


async def in_the_middle(collecting):
    """Some replies are filed, and every replica is at work."""
    await until(lambda: len(collecting.ledger) >= 4, "the first replies")
    await until(lambda: all(slot.n_under_way for slot in collecting.slots if slot.up), "work for every replica")


def test_a_replica_killed_in_mid_turn_is_started_again_and_no_turn_is_lost_or_doubled(two_nodes, collecting):
    one = collecting()

    async def murder(collecting):
        await in_the_middle(collecting)
        kill(collecting.slots[0].hello.pid)
        await until(lambda: collecting.slots[0].n_starts == 2, "a new start")

    whole(one, one.play(murder))
    assert one.facts["replicas"][0]["restarts"] == 1
    assert sum(one.facts["sent_again"].values()) >= 1
    assert sum(line["n_replies"] for line in one.facts["replicas"]) == N_PROBLEMS * N_TURNS


def test_a_node_lost_in_collection_is_made_good_by_the_others_and_by_a_new_one(two_nodes, collecting):
    one = collecting()

    async def unplug(collecting):
        await in_the_middle(collecting)
        lost = collecting.slots[0]
        os.kill(lost.hello.pid, signal.SIGSTOP)  # what it has under way stays so
        node = next(n for n in two_nodes.worker_nodes if n.node_id == lost.hello.node)
        two_nodes.remove_node(node, allow_graceful=False)
        kill(lost.hello.pid)
        await until(lambda: not lost.up, "notice of the loss")
        n = len(collecting.ledger)
        await until(lambda: len(collecting.ledger) >= min(n + 2, N_PROBLEMS * N_TURNS), "replies of the other")
        two_nodes.add_node(num_cpus=1)
        await until(lambda: lost.n_starts == 2, "a replica on the new node")

    whole(one, one.play(unplug))
    assert one.facts["replicas"][0]["restarts"] == 1


def test_a_replica_joins_while_a_stage_runs(nodes, collecting):
    first = nodes.add_node(num_cpus=1)
    nodes.wait_for_nodes()
    one = collecting(min_replicas=1)

    async def plug_in(collecting):
        await until(lambda: len(collecting.ledger) >= 4, "the first replies")
        assert [slot.up for slot in collecting.slots].count(True) == 1
        nodes.add_node(num_cpus=1)
        await until(lambda: joined(), "a second replica")

    def joined():
        return all(slot.up for slot in one.slots)

    try:
        whole(one, one.play(plug_in, gate=joined))
        assert {line["node"] for line in one.facts["replicas"]} != {first.node_id[:8]}
        assert all(line["n_replies"] > 0 for line in one.facts["replicas"])
    finally:
        one.close()
        for node in [*nodes.worker_nodes]:
            nodes.remove_node(node, allow_graceful=True)


def test_a_problem_stays_with_its_replica(two_nodes, collecting):
    one = collecting()

    async def nothing(collecting): ...

    whole(one, one.play(nothing))
    assert one.facts.get("n_spilled", 0) <= N_PROBLEMS // 2
    assert all(line["n_replies"] for line in one.facts["replicas"])


def test_a_judge_killed_is_replaced_and_every_reply_is_judged(two_nodes, collecting):
    one = collecting(replicas=1, min_replicas=1, judges=1)

    async def murder(collecting):
        await until(lambda: len(collecting.ledger) >= 2, "the first replies")
        kill(await collecting.cluster._judge.workers[0].pid.remote())

    done = one.play(murder)
    whole(one, done)
    assert all(turn.verdict is not None for trajectory in done for turn in trajectory.turns)


def test_what_a_replica_prints_is_in_the_run_directory_and_nothing_stays_when_it_is_given_back(two_nodes, collecting, tmp_path):
    one = collecting()

    async def nothing(collecting): ...

    one.play(nothing)
    pids = [slot.hello.pid for slot in one.slots]
    assert "ready, local-" in (tmp_path / "logs" / "replica-0.log").read_text()
    one.cluster.release()
    asyncio.run(until(lambda: not any(map(running, pids)), "an end of the replicas"))
