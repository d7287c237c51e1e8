"""Playing turns: what is asked, what is kept, what a broken run asks again. With the scripted policy, by hand."""

import asyncio

import pytest
from toys import LastNumber, problem

from rise.errors import PolicyError, RiseError
from rise.judge import Judgement
from rise.method.rollout import rollout
from rise.play.keys import request_key, stream_seed
from rise.play.ledger import Ledger
from rise.play.player import Player
from rise.play.prompt import Prompt
from rise.policies.function import FunctionPolicy
from rise.policies.http import HttpPolicy
from rise.policies.scripted import ScriptedPolicy
from rise.policy import Request, Sampling
from rise.recipe.config import RewardConfig
from rise.trajectory import Verdict, to_json, turn_from_json

P, Q = problem("p", "2+2", "4"), problem("q", "3*3", "9")
TABLE = {"2+2": ["so 5", "so 4", "so 4"], "3*3": ["so 9", "hm ?", "so 6"]}


OPEN = []
"""Ledgers that tests opened."""


def player(policy, judge, path, **settings):
    """A player at work; the one before it in the same test has gone home."""
    while OPEN:
        OPEN.pop().close()
    OPEN.append(Ledger(path))
    return Player(policy, Prompt(feedback_text="no"), judge, Sampling(), OPEN[-1], "round-1/rollout", **settings)


@pytest.fixture
def ledger_path(tmp_path):
    yield tmp_path / "ledger.jsonl"
    while OPEN:
        OPEN.pop().close()


def replies(trajectory):
    return [t.reply for t in trajectory.turns]


def test_it_stops_at_the_first_right_reply_as_published(judge, ledger_path):
    policy = ScriptedPolicy.from_table(TABLE)
    first, second = asyncio.run(rollout(player(policy, judge, ledger_path), [P, Q], n_turns=3, stop_when_right=True))
    assert replies(first) == ["so 5", "so 4"] and replies(second) == ["so 9"]
    assert policy.n_requests == 3


def test_or_goes_on_to_the_end(judge, ledger_path):
    [trajectory] = asyncio.run(
        rollout(player(ScriptedPolicy.from_table(TABLE), judge, ledger_path), [Q], n_turns=3, stop_when_right=False)
    )
    assert replies(trajectory) == ["so 9", "hm ?", "so 6"]
    assert [t.verdict for t in trajectory.turns] == [Verdict.RIGHT, Verdict.UNPARSABLE, Verdict.WRONG]
    assert trajectory.rewards == [1.0, 0.0, 0.0]
    assert [t.answer for t in trajectory.turns] == ["9", None, "6"]
    assert all(t.feedback == "no" for t in trajectory.turns)
    assert [t.n_prompt_tokens for t in trajectory.turns] == [1, 4, 7]  # question; + two words and "no"; and again


def test_truthful_feedback_stops_at_the_right_reply_whatever_the_recipe_says(judge, ledger_path):
    at_work = player(ScriptedPolicy.from_table(TABLE), judge, ledger_path)
    at_work.prompt = Prompt(feedback="truthful")
    first, second = asyncio.run(rollout(at_work, [P, Q], n_turns=3, stop_when_right=False))
    assert replies(first) == ["so 5", "so 4"] and replies(second) == ["so 9"]


def test_rewards_are_the_recipes(judge, ledger_path):
    rewards = RewardConfig(right=2.0, wrong=-0.5, unparsable=-1.0)
    [trajectory] = asyncio.run(
        rollout(
            player(ScriptedPolicy.from_table(TABLE), judge, ledger_path, rewards=rewards), [Q], n_turns=3, stop_when_right=False
        )
    )
    assert trajectory.rewards == [2.0, -1.0, -0.5]


def test_a_finished_turn_is_never_sampled_again(judge, ledger_path):
    asyncio.run(rollout(player(ScriptedPolicy.from_table(TABLE), judge, ledger_path), [P, Q], n_turns=2, stop_when_right=False))
    again = ScriptedPolicy.from_table(TABLE)
    at_work = player(again, judge, ledger_path)
    [first, _] = asyncio.run(rollout(at_work, [P, Q], n_turns=3, stop_when_right=False))
    assert again.n_requests == 2  # only the third turns
    assert (at_work.usage.n_reused, at_work.usage.n_replies) == (4, 2)
    assert replies(first) == ["so 5", "so 4", "so 4"]


def test_what_is_read_back_is_judged_anew(judge, ledger_path):
    """The judge was mended and the rewards changed between the two runs: no verdict of the old judge is handed back."""

    class Strict(LastNumber):
        def judge(self, problem, reply):
            return Judgement(Verdict.UNPARSABLE, None)

    asyncio.run(rollout(player(ScriptedPolicy.from_table(TABLE), judge, ledger_path), [Q], n_turns=1, stop_when_right=False))
    again = ScriptedPolicy.from_table(TABLE)
    at_work = player(again, Strict(), ledger_path, rewards=RewardConfig(unparsable=-1.0))
    [found] = asyncio.run(rollout(at_work, [Q], n_turns=1, stop_when_right=False))
    assert again.n_requests == 0
    assert [(t.verdict, t.answer, t.reward) for t in found.turns] == [(Verdict.UNPARSABLE, None, -1.0)]


def test_another_model_reuses_nothing(judge, ledger_path):
    asyncio.run(
        rollout(player(ScriptedPolicy.from_table(TABLE, "one"), judge, ledger_path), [P], n_turns=1, stop_when_right=True)
    )
    other = ScriptedPolicy.from_table(TABLE, "two")
    asyncio.run(rollout(player(other, judge, ledger_path), [P], n_turns=1, stop_when_right=True))
    assert other.n_requests == 1


@pytest.mark.parametrize(
    "other",
    [
        {"policy_name": "n"},
        {"sampling": Sampling(temperature=0.5)},
        {"sampling": Sampling(max_new_tokens=9)},
        {"prompt_ids": (1, 23)},
        {"prompt_ids": None},
        {"seed": 8},
    ],
)
def test_a_ledger_key_hangs_on_everything_a_reply_hangs_on(other):
    parts = {"policy_name": "m", "sampling": Sampling(), "prompt_ids": (12, 3), "seed": 7}

    def key(policy_name, sampling, prompt_ids, seed):
        return request_key(policy_name, Request((), sampling, (seed,), prompt_ids), seed)

    assert key(**parts) == key(**parts)
    assert key(**parts) != key(**parts | other)


def test_streams_differ_in_every_part():
    seeds = {
        stream_seed(*parts)
        for parts in [
            (0, "r", "p", 1, 0),
            (1, "r", "p", 1, 0),
            (0, "e", "p", 1, 0),
            (0, "r", "q", 1, 0),
            (0, "r", "p", 2, 0),
            (0, "r", "p", 1, 1),
            (0, "r", "p", 11, 0),
        ]
    }
    assert len(seeds) == 7 and all(0 <= seed < 2**63 for seed in seeds)


class Breaking(ScriptedPolicy):
    """Answers so many requests, then breaks."""

    def __init__(self, n):
        super().__init__(ScriptedPolicy.from_table(TABLE).script)
        self.n = n

    async def reply(self, request):
        await asyncio.sleep(0)
        if self.n_requests == self.n:
            raise PolicyError("the server is gone.")
        return await super().reply(request)


def test_an_error_of_the_policy_comes_out_as_itself_and_keeps_what_was_done(judge, ledger_path):
    with pytest.raises(PolicyError, match="the server is gone"):
        asyncio.run(rollout(player(Breaking(3), judge, ledger_path), [P, Q], n_turns=2, stop_when_right=False))
    again = ScriptedPolicy.from_table(TABLE)
    asyncio.run(rollout(player(again, judge, ledger_path), [P, Q], n_turns=2, stop_when_right=False))
    assert again.n_requests == 1


def test_deterministic_redoes_a_broken_group_whole_and_trusts_a_finished_one(judge, ledger_path):
    problems = [problem(f"p{i}", "2+2", "4") for i in range(5)]

    def groups_of_two(policy):
        policy.max_in_flight = 2
        return player(policy, judge, ledger_path, deterministic=True)

    with pytest.raises(PolicyError):  # three groups of 2, 2, 1 problems with 2 turns each: breaks in the second
        asyncio.run(rollout(groups_of_two(Breaking(6)), problems, n_turns=2, stop_when_right=False))
    before = ledger_path.read_text()
    again = ScriptedPolicy.from_table(TABLE)
    asyncio.run(rollout(groups_of_two(again), problems, n_turns=2, stop_when_right=False))
    assert again.n_requests == 6  # the second group's four turns again, and the third's two
    keys = [line.split('"')[3] for line in ledger_path.read_text().splitlines()]
    assert len(keys) == len(set(keys)) == 10 + 3  # each turn once, and a marker per group
    assert ledger_path.read_text().startswith(before)


def test_a_policy_without_batches_of_ours_is_asked_for_no_reply_twice_in_a_deterministic_run(judge, ledger_path):
    problems = [problem(f"p{i}", "2+2", "4") for i in range(5)]

    def alone(policy):
        policy.batched = False
        return player(policy, judge, ledger_path, deterministic=True)

    with pytest.raises(PolicyError):
        asyncio.run(rollout(alone(Breaking(7)), problems, n_turns=2, stop_when_right=False))
    again = ScriptedPolicy.from_table(TABLE)
    n_filed = ledger_path.read_text().count("\n")
    asyncio.run(rollout(alone(again), problems, n_turns=2, stop_when_right=False))
    assert n_filed > 0 and again.n_requests == 10 - n_filed
    assert not HttpPolicy.batched and not FunctionPolicy.batched


def test_a_full_disk_stops_asking_and_counts_replies_in_flight(judge, ledger_path, monkeypatch):
    import errno
    import os

    class Batch(ScriptedPolicy):
        """Answers only when all four problems wait, as a batched model does."""

        async def reply(self, request):
            self.n_requests += 1
            await asyncio.sleep(0.01)
            return await ScriptedPolicy.from_table(TABLE).reply(request)

    problems = [problem(f"p{i}", "2+2", "4") for i in range(4)]
    policy = Batch(lambda messages, seed: "")

    def full(file, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    at_work = player(policy, judge, ledger_path)
    monkeypatch.setattr(os, "write", full)
    with pytest.raises(RiseError, match="4 replies in flight could not be written"):
        asyncio.run(rollout(at_work, problems, n_turns=3, stop_when_right=False))
    assert policy.n_requests == 4  # no second turn was asked for
    assert ledger_path.read_text() == ""


def test_bounded_in_flight(judge, ledger_path):
    class Counting(ScriptedPolicy):
        max_in_flight = 3
        now = most = 0

        async def reply(self, request):
            self.now += 1
            self.most = max(self.most, self.now)
            await asyncio.sleep(0.001)
            self.now -= 1
            return await super().reply(request)

    policy = Counting(lambda messages, seed: "4")
    done = asyncio.run(
        rollout(player(policy, judge, ledger_path), [problem(f"p{i}") for i in range(10)], n_turns=2, stop_when_right=False)
    )
    assert policy.most == 3
    assert [t.problem_id for t in done] == [f"p{i}" for i in range(10)]  # in the order of the problems


def test_progress_is_told_after_each_problem(judge, ledger_path):
    seen = []
    at_work = player(
        ScriptedPolicy.from_table(TABLE), judge, ledger_path, on_done=lambda n, usage: seen.append((n, usage.n_replies))
    )
    asyncio.run(rollout(at_work, [P, Q], n_turns=1, stop_when_right=True))
    assert seen == [(1, 1), (2, 2)]


def test_a_script_that_is_no_script_says_so(tmp_path):
    path = tmp_path / "script.json"
    with pytest.raises(PolicyError, match="maps each question to a list of replies"):
        ScriptedPolicy.load(path)
    path.write_text("{nonsense")
    with pytest.raises(PolicyError, match="maps each question"):
        ScriptedPolicy.load(path)


def test_a_question_without_a_script(judge, ledger_path):
    with pytest.raises(PolicyError, match=r"no reply to '2\+2'"):
        asyncio.run(rollout(player(ScriptedPolicy.from_table({}), judge, ledger_path), [P], n_turns=1, stop_when_right=True))


def test_several_trajectories_of_a_problem_are_independent_and_each_is_in_the_ledger(judge, ledger_path):
    seeds = []

    class Watching(ScriptedPolicy):
        async def reply(self, request):
            seeds.extend(request.seeds)
            return await super().reply(request)

    policy = Watching(lambda messages, seed: "so 5")
    at_work = player(policy, judge, ledger_path)
    found = asyncio.run(rollout(at_work, [P, Q], n_turns=2, stop_when_right=False, n_trajectories=3))
    assert [(t.problem_id, t.sample, len(t.turns)) for t in found] == [(p, s, 2) for p in "pq" for s in range(3)]
    assert len(set(seeds)) == 12  # the same states again and again, yet no stream twice
    again = player(Watching(lambda messages, seed: "so 5"), judge, ledger_path)
    assert asyncio.run(rollout(again, [P, Q], n_turns=2, stop_when_right=False, n_trajectories=3)) == found
    assert (again.usage.n_reused, again.usage.n_replies) == (12, 0)


def test_the_first_trajectory_is_the_one_that_was_alone(judge, tmp_path):
    def drawn(name, n):
        policy = ScriptedPolicy(lambda messages, seed: f"so {seed % 97}")
        at_work = player(policy, judge, tmp_path / name)
        return asyncio.run(rollout(at_work, [P], n_turns=2, stop_when_right=False, n_trajectories=n))

    assert drawn("a", 1) == drawn("b", 4)[:1]


def test_self_refine_asks_for_a_critique_and_shows_it_before_the_next_attempt(judge, ledger_path):
    seen = []

    def script(messages, seed):
        seen.append([m.content for m in messages])
        return "it is odd" if messages[-1].content == "why?" else f"so {len(messages)}"

    at_work = player(ScriptedPolicy(script), judge, ledger_path)
    at_work.prompt = Prompt(feedback="self-refine", feedback_text="again", critique_text="why?", window=1)
    [found] = asyncio.run(rollout(at_work, [P], n_turns=3, stop_when_right=False))
    assert replies(found) == ["so 1", "so 5", "so 5"]
    assert seen[:4] == [
        ["2+2"],
        ["2+2", "so 1", "why?"],
        ["2+2", "so 1", "why?", "it is odd", "again"],
        ["2+2", "so 5", "why?"],  # window = 1: the first attempt is forgotten
    ]
    critique = found.turns[0].critique
    assert (critique.reply, critique.verdict, critique.n_prompt_tokens, critique.n_reply_tokens) == ("it is odd", None, 4, 3)
    assert turn_from_json(to_json(found.turns[0])) == found.turns[0]
    again = player(ScriptedPolicy(script), judge, ledger_path)
    again.prompt = at_work.prompt
    assert asyncio.run(rollout(again, [P], n_turns=3, stop_when_right=False)) == [found]  # critiques come from the ledger too
    assert again.usage.n_replies == 0


def test_a_slow_judge_does_not_hold_up_the_others(ledger_path):
    """While problem p is being judged, q's next turn is asked for: judged in the event loop, it would never be."""
    import threading
    import time

    asked_on, waited = threading.Event(), []

    class Slow(LastNumber):
        def judge(self, problem, reply):
            time.sleep(0.03)  # the first shows that it is slow
            if problem.id == "p":
                waited.append(asked_on.wait(300))
            return Judgement(Verdict.WRONG, None)

    class Watching(ScriptedPolicy):
        async def reply(self, request):
            if request.problem == "q" and len(request.messages) == 3:
                asked_on.set()
            return await super().reply(request)

    policy = Watching(lambda messages, seed: "4")
    problems = [problem("first"), P, Q]
    done = asyncio.run(rollout(player(policy, Slow(), ledger_path), problems, n_turns=2, stop_when_right=False))
    assert waited == [True, True] and [len(t.turns) for t in done] == [2, 2, 2]


def test_a_quick_judge_costs_no_thread(judge, ledger_path, monkeypatch):
    import threading

    threads = set()
    monkeypatch.setattr("rise.play.player.SLOW_JUDGE_S", 10.0)  # whatever else this machine is doing

    class Quick(LastNumber):
        def judge(self, problem, reply):
            threads.add(threading.current_thread())
            return judge.judge(problem, reply)

    asyncio.run(rollout(player(ScriptedPolicy.from_table(TABLE), Quick(), ledger_path), [P, Q], n_turns=2, stop_when_right=False))
    assert threads == {threading.main_thread()}


def test_trajectories_can_be_handed_over_instead_of_kept(judge, ledger_path):
    seen = {}
    at_work = player(ScriptedPolicy.from_table(TABLE), judge, ledger_path)
    kept = asyncio.run(rollout(at_work, [P, Q], n_turns=2, stop_when_right=False, on_record=seen.__setitem__))
    assert kept == [] and [seen[i].problem_id for i in (0, 1)] == ["p", "q"]


def test_samples_of_a_policy_that_splits_are_asked_for_one_by_one_and_filed_as_they_come(judge, ledger_path):
    n_seeds = []

    class Splits(ScriptedPolicy):
        splits = True

        async def reply(self, request):
            n_seeds.append(len(request.seeds))
            await asyncio.sleep(0.01 * (3 - len(n_seeds)))  # the last to be asked is the first to answer
            return [*await super().reply(request)]

    policy = Splits(lambda messages, seed: f"{seed} 4")
    at_work = player(policy, judge, ledger_path)
    turns = asyncio.run(at_work.turns(P, [], n=3))
    seeds = [stream_seed(0, "round-1/rollout", "p", 0, i) for i in range(3)]
    assert n_seeds == [1, 1, 1] and [turn.reply for turn in turns] == [f"{seed} 4" for seed in seeds]
    assert (at_work.usage.n_replies, at_work.n_in_flight, len(OPEN[-1])) == (3, 0, 3)
