"""The improver: at which states, with whose replies, which one is chosen."""

import asyncio
from dataclasses import replace

import pytest
from toys import problem, turn

from rise.errors import DataError
from rise.method.relabel import chosen_states, relabel
from rise.play.ledger import Ledger
from rise.play.player import Player
from rise.play.prompt import Prompt
from rise.policies.scripted import ScriptedPolicy
from rise.policy import Reply, Sampling
from rise.trajectory import Trajectory

P = problem("p", "2+2", "4", solution="the sum is 4")
W, R = turn("5", 0, feedback="no"), turn("4", 1, feedback="no")


def trajectory(*turns):
    return Trajectory("p", "2+2", "4", turns)


class Lottery(ScriptedPolicy):
    """Sample n of a state is entry n of the list; remembers what it was shown."""

    def __init__(self, texts):
        super().__init__(lambda messages, seed: "")
        self.texts, self.shown = texts, []

    async def reply(self, request):
        self.shown.append([m.content for m in request.messages])
        return [Reply(self.texts[i], None, "stop", 1, 1) for i in range(len(request.seeds))]


def improve(policy, judge, tmp_path, turns, **settings):
    player = Player(policy, Prompt(feedback_text="no"), judge, Sampling(), Ledger(tmp_path / "ledger.jsonl"), "round-1/relabel")
    return asyncio.run(relabel(player, [P], [trajectory(*turns)], **settings))


def test_best_of_n_takes_the_first_with_the_highest_reward(judge, tmp_path):
    policy = Lottery(["so 7", "so 4", "is 4", "so 5"])
    [found] = improve(policy, judge, tmp_path, [W, W], improver="self", n_samples=4)
    assert (found.turn, found.chosen, found.reply.reply, found.reply.source) == (2, 1, "so 4", "self")
    assert [c.reward for c in found.candidates] == [0.0, 1.0, 1.0, 0.0]  # all are kept: they move the centre
    assert policy.shown == [["2+2", "5", "no", "5", "no"]]  # the student's own state, never the gold answer


def test_none_right_takes_the_first(judge, tmp_path):
    [found] = improve(Lottery(["so 7", "so 8"]), judge, tmp_path, [W], improver="self", n_samples=2)
    assert (found.chosen, found.reply.reply) == (0, "so 7")


def test_every_state_or_the_last(judge, tmp_path):
    found = improve(Lottery(["4"] * 2), judge, tmp_path, [W, W, W], improver="self", n_samples=2, states="every")
    assert [item.turn for item in found] == [1, 2, 3]


@pytest.mark.parametrize(
    ("verdicts", "states", "right", "expected"),
    [
        ([W, R], "last", "skip", []),
        ([W, R], "last", "keep", [2]),
        ([W, R, W], "every", "skip", [1, 3]),
        ([W, R, W], "every", "keep", [1, 2, 3]),
        ([W, R], "every", "restate", [1, 2]),
    ],
)
def test_states_after_a_right_attempt(verdicts, states, right, expected):
    assert chosen_states(trajectory(*verdicts), states=states, relabel_right=right) == expected


def test_skip_asks_nobody(judge, tmp_path):
    policy = Lottery([])
    assert improve(policy, judge, tmp_path, [R], improver="self", n_samples=2) == []
    assert policy.shown == []


def test_restate_gives_the_right_attempt_back_with_its_own_tokens(judge, tmp_path):
    attempt = replace(R, reply_ids=(8, 2), prompt_ids=(3, 4))
    policy = Lottery(["so 4", "so 4"])
    [first, second] = improve(
        policy, judge, tmp_path, [W, attempt], improver="self", n_samples=2, states="every", relabel_right="restate"
    )
    assert first.reply.source == "self"
    assert (second.reply.reply, second.reply.source, second.reply.reply_ids) == ("4", "restate", (8, 2))
    assert second.reply.prompt_ids is None  # its state is another one now
    assert len(policy.shown) == 1


def test_gold_gives_the_worked_solution_judged_like_any_reply_and_asks_nobody(judge, tmp_path):
    policy = Lottery([])
    [found] = improve(policy, judge, tmp_path, [W], improver="gold")
    assert (found.reply.reply, found.reply.source, found.reply.reward) == ("the sum is 4", "gold", 1.0)
    assert policy.shown == []


def test_gold_without_a_worked_solution_says_what_else_there_is(judge, tmp_path):
    bare = replace(P, solution=None)
    player = Player(Lottery([]), Prompt(), judge, Sampling(), Ledger(tmp_path / "l"), "x")
    with pytest.raises(DataError, match='Use "self" or "teacher"'):
        asyncio.run(relabel(player, [bare], [trajectory(W)], improver="gold"))


def test_the_improver_has_its_own_random_streams(judge, tmp_path):
    seeds = []

    class Watching(ScriptedPolicy):
        async def reply(self, request):
            seeds.append(request.seeds)
            return await super().reply(request)

    policy = Watching(lambda messages, seed: "4")
    for purpose in ("round-1/rollout", "round-1/relabel", "round-2/relabel"):
        player = Player(policy, Prompt(), judge, Sampling(), Ledger(tmp_path / f"{purpose}.jsonl"), purpose)
        asyncio.run(player.turns(P, [W], n=3))
    assert len({seed for group in seeds for seed in group}) == 9


class Speaking(ScriptedPolicy):
    """A teacher in this process: its replies come with the ids of its own tokenizer."""

    takes_ids = True

    async def reply(self, request):
        return [Reply("so 4", (7, 8, 2), "stop", 3, 3) for _ in request.seeds]


@pytest.mark.parametrize(("alphabet", "kept"), [("0123456789+ os", True), ("os +9876543210?", False)])
def test_a_teachers_ids_are_kept_only_where_they_mean_the_same_to_the_student(judge, tmp_path, renderer, alphabet, kept):
    from rise.play.render import Renderer
    from rise.training.nano import make_tokenizer

    student, teacher = Renderer(make_tokenizer("0123456789+ os")), Renderer(make_tokenizer(alphabet))
    player = Player(
        Speaking(lambda messages, seed: ""),
        Prompt(feedback_text="+"),
        judge,
        Sampling(),
        Ledger(tmp_path / "l"),
        "x",
        renderer=teacher,
    )
    [found] = asyncio.run(relabel(player, [P], [trajectory(W)], improver="teacher", student=student))
    assert (found.reply.reply_ids, found.reply.prompt_ids is not None) == ((7, 8, 2) if kept else None, kept)
    assert found.reply.reply == "so 4"


def test_another_chat_template_is_another_renderer():
    from rise.play.render import Renderer
    from rise.training.nano import make_tokenizer

    one, other = make_tokenizer("012"), make_tokenizer("012")
    assert Renderer(one).fingerprint == Renderer(other).fingerprint
    other.chat_template = other.chat_template.replace("<|u|>", "<|s|>")
    assert Renderer(one).fingerprint != Renderer(other).fingerprint


def test_the_majority_of_n_is_taken_without_the_reward(judge, tmp_path):
    policy = Lottery(["so 7", "so 4", "is 7"])
    [found] = improve(policy, judge, tmp_path, [W], improver="self", n_samples=3, select="majority")
    assert (found.chosen, found.reply.reply) == (0, "so 7")  # two say 7; the right one has one vote
    assert found.reply.reward == 0.0


def test_each_trajectory_of_a_problem_is_improved_by_replies_of_its_own(judge, tmp_path):
    """Both reached the same state, so only the numbers of the samples keep their replies apart."""
    seeds = []

    class Watching(ScriptedPolicy):
        async def reply(self, request):
            seeds.append(request.seeds)
            return await super().reply(request)

    policy = Watching(lambda messages, seed: "4")
    player = Player(policy, Prompt(feedback_text="no"), judge, Sampling(), Ledger(tmp_path / "l"), "round-1/relabel")
    two = [trajectory(W), replace(trajectory(W), sample=1)]
    found = asyncio.run(relabel(player, [P], two, improver="self", n_samples=3))
    assert [(item.problem_id, item.turn, item.sample) for item in found] == [("p", 1, 0), ("p", 1, 1)]
    assert len({seed for group in seeds for seed in group}) == 6


def test_pairs_set_a_right_first_reply_behind_each_wrong_one(judge, tmp_path):
    right = replace(R, reply="so 4", prompt_ids=(1,), reply_ids=(2,))
    drawn = [replace(trajectory(t), sample=i) for i, t in enumerate((W, right, replace(W, reply="6"), replace(R, reply="is 4")))]
    policy = Lottery([])
    player = Player(policy, Prompt(), judge, Sampling(), Ledger(tmp_path / "l"), "x")
    found = asyncio.run(relabel(player, [P], drawn, improver="pair"))
    assert [(item.sample, item.turn, item.reply.reply) for item in found] == [(0, 1, "so 4"), (2, 1, "is 4")]  # dealt out in turn
    assert (found[0].reply.source, found[0].reply.prompt_ids, found[0].reply.reply_ids) == ("pair", None, (2,))
    assert policy.shown == []
    assert asyncio.run(relabel(player, [P], drawn[::2], improver="pair")) == []  # nothing right to learn from
    assert asyncio.run(relabel(player, [P], drawn, improver="none")) == []
