"""Weights by comparison, on paper: returns, credit of earlier turns, groups, the repeat and what is held."""

from dataclasses import replace

import pytest
from toys import problem, turn

from rise.dataset.advantage import CREDITS, advantage_examples, all_drawn
from rise.errors import ConfigError
from rise.play.prompt import Prompt
from rise.recipe.learning import AdvantageConfig
from rise.recipe.toml import build_config
from rise.trajectory import Relabelled, Trajectory

P = problem("p")
PROMPT = Prompt()


def trajectory(letters, sample=0, name="p"):
    """4 is right; any other digit is a wrong answer, the same one where it is the same digit."""
    turns = tuple(turn(letter, letter == "4") for letter in letters)
    return Trajectory(name, P.question, P.gold, turns, sample=sample)


def found(trajectories, relabelled=(), **settings):
    config = AdvantageConfig(**{"scale": "none", "gamma": 0.0, **settings}).comparison
    return advantage_examples(trajectories, relabelled, lambda t, k: PROMPT.messages(P, t.turns[:k]), config)


def weights(examples):
    return {(e.turn, e.reply): round(e.weight, 6) for e in examples}


# --- one turn: the single-turn baseline -------------------------------------------------------------------------------


def test_one_turn_is_grpo():
    """Right, wrong, wrong, wrong: mean ¼, variance 3/16, deviation 0.433013. (1 − ¼)/0.433013 = 1.732051."""
    four = [trajectory(letter, i) for i, letter in enumerate("4567")]
    examples, dropped, counts = found(four, scale="std")
    assert weights(examples) == {(0, "4"): 1.732051, (0, "5"): -0.57735, (0, "6"): -0.57735, (0, "7"): -0.57735}
    assert not +dropped and counts["replies pulled up"] == 1 and counts["replies pushed down"] == 3
    assert [e.weight for e in found(four)[0]] == [0.75, -0.25, -0.25, -0.25]
    assert {len(e.prompt) for e in examples} == {1}


def test_where_all_are_alike_nothing_trains_and_that_is_counted():
    examples, dropped, _ = found(
        [trajectory(letter, i) for i, letter in enumerate("44")] + [trajectory("5", 2, "q")], scale="std"
    )
    assert examples == []
    assert dropped == {"as good as the others it is compared with": 2, "nothing to compare it with": 1}


def test_a_reply_drawn_twice_counts_twice():
    """Its share of the draws is its probability: 5 twice, 4 once."""
    examples, *_ = found([trajectory(letter, i) for i, letter in enumerate("554")])
    assert sorted((e.reply, round(e.weight, 4)) for e in examples) == [("4", 0.6667), ("5", -0.3333), ("5", -0.3333)]


# --- several turns ----------------------------------------------------------------------------------------------------


def test_a_first_turn_is_credited_with_what_its_later_turns_earn():
    """γ = ½. Trajectory a: wrong, wrong, right. b: wrong, wrong, wrong. c: right, and it ends there.

    max: V of a's turns, from the last: 1, ½, ¼; of b's: 0, 0, 0; of c's: 1. Turn 1: ¼, 0, 1, mean 5/12. Turn 2: ½, 0, mean ¼.
    """
    three = [trajectory("564", 0), trajectory("789", 1), trajectory("4", 2)]
    examples, *_ = found(three, gamma=0.5)
    assert weights(examples) == {
        (0, "5"): round(1 / 4 - 5 / 12, 6),
        (0, "7"): round(-5 / 12, 6),
        (0, "4"): round(7 / 12, 6),
        (1, "6"): 0.25,
        (1, "8"): -0.25,
        (2, "4"): 0.5,
        (2, "9"): -0.5,
    }


def test_without_discount_each_turn_has_its_own_reward():
    examples, *_ = found([trajectory("564", 0), trajectory("789", 1)])
    assert weights(examples) == {(2, "4"): 0.5, (2, "9"): -0.5}


def test_mean_credit_is_the_discounted_return():
    """Not stopped when right, γ = ½: rewards 1, 0, 1 earn 1 + 0 + ¼ at turn 1 and ½ at turn 2; rewards 0, 0, 0 earn 0."""
    examples, *_ = found([trajectory("454", 0), trajectory("789", 1)], gamma=0.5, credit="mean")
    own = weights(examples)
    assert (own[0, "4"], own[1, "5"], own[2, "4"]) == (1.25 / 2, 0.25, 0.5)


def improved(letters, k=1, sample=0):
    return Relabelled("p", k, tuple(turn(letter, letter == "4", source="self") for letter in letters), 0, sample)


def tree():
    """Two first replies, both wrong, and two revisions of each: MURPHY's tree. Of the first one's revisions one is right."""
    return [trajectory("5", 0), trajectory("6", 1)], [improved("47", sample=0), improved("89", sample=1)]


@pytest.mark.parametrize(("credit", "value"), [("max", 1.0), ("mean", 0.5)])
def test_a_parent_has_the_best_or_the_mean_of_its_children(credit, value):
    """γ = 1. The first reply is worth 1 or ½, the second 0; its revisions are compared among themselves: ±½, and 0, 0."""
    assert set(CREDITS) == {"max", "mean"}
    examples, dropped, _ = found(*tree(), group="state", gamma=1.0, credit=credit)
    assert weights(examples) == {(0, "5"): value / 2, (0, "6"): -value / 2, (1, "4"): 0.5, (1, "7"): -0.5}
    assert dropped["as good as the others it is compared with"] == 2
    assert {e.source for e in examples if e.turn} == {"self"}


def test_by_turn_the_revisions_of_all_first_replies_are_compared():
    """Four second turns, one of them right: mean ¼."""
    examples, *_ = found(*tree(), gamma=0.0)
    assert {key: value for key, value in weights(examples).items() if key[0]} == {
        (1, "4"): 0.75,
        (1, "7"): -0.25,
        (1, "8"): -0.25,
        (1, "9"): -0.25,
    }


def test_a_reply_that_went_on_has_no_better_chance_than_those_that_did_not():
    """Only one of three wrong first replies was followed up, and well. With its later turns it would be the best of them."""
    three = [trajectory("54", 0), trajectory("6", 1), trajectory("7", 2)]
    examples, _, counts = found(three, gamma=1.0)
    assert not [e for e in examples if e.turn == 0] and counts["groups whose later turns do not count"] == 1
    three[1:] = [trajectory("4", 1), trajectory("78", 2)]  # right ones end there, and wrong ones go on: all alike
    examples, _, counts = found(three, gamma=1.0)
    assert counts["groups whose later turns do not count"] == 0
    assert weights(examples)[0, "5"] == round(1 - 2 / 3, 6)


def test_a_right_reply_that_went_on_earns_no_more_than_one_that_did_not():
    """Second turns at one state, all right: the trajectory's own went on and was right again, the improver's was not asked to."""
    shown = [trajectory("544", 0)], [improved("4")]
    for credit, n in (("mean", 1), ("max", 0)):  # of the best there is nothing to add to a right one
        examples, dropped, counts = found(*shown, group="state", gamma=1.0, credit=credit)
        assert not [e for e in examples if e.turn == 1] and dropped["as good as the others it is compared with"] == 2
        assert counts["groups whose later turns do not count"] == n
    both = [trajectory("544", 0), trajectory("545", 1)]  # both went on: 1 + 1 and 1 + 0
    examples, *_ = found(both, group="turn", gamma=1.0, credit="mean")
    assert [e.weight for e in examples if e.turn == 1] == [0.5, -0.5]


def test_states_that_are_the_same_are_one_group_whoever_reached_them():
    """Two trajectories whose first reply is the same: their second turns stand at one state."""
    two = [trajectory("54", 0), trajectory("56", 1)]
    examples, *_ = found(two, group="state")
    assert weights(examples) == {(1, "4"): 0.5, (1, "6"): -0.5}
    apart = [trajectory("54", 0), trajectory("76", 1)]
    _, dropped, _ = found(apart, group="state")
    assert dropped["nothing to compare it with"] == 2  # the two second turns


# --- repeats, progress, what is held ----------------------------------------------------------------------------------


def test_a_wrong_answer_given_again_is_penalised_and_a_right_one_is_not():
    """Second turns: 5 again (a repeat: −0.2), 6 (new), 4 again after 4. Returns −0.2, 0, 1: mean 0.8/3."""
    three = [trajectory("55", 0), trajectory("56", 1), trajectory("44", 2)]
    examples, *_ = found(three, repeat_penalty=0.2)
    second = [e for e in examples if e.turn == 1]
    assert [round(e.weight, 6) for e in second] == [round(r - 0.8 / 3, 6) for r in (-0.2, 0.0, 1.0)]
    # It is not passed on: first turns 5, 5, 4 have their own rewards, whatever γ takes from later ones.
    first = [e for e in found(three, repeat_penalty=0.2, gamma=0.5, credit="mean")[0] if e.turn == 0]
    assert [round(e.weight, 6) for e in first] == [-0.5, -0.5, 1.0]  # returns 0, 0 and 1 + ½, mean ½


def test_progress_is_scores_bonus_of_the_second_turn():
    """α = 10. Wrong → right: 1 + 10; right → wrong: 0 − 10; right → right: 1; wrong → wrong: 0. Mean ½."""
    four = [trajectory("54", 0), trajectory("45", 1), trajectory("44", 2), trajectory("67", 3)]
    examples, *_ = found(four, progress=10.0)
    assert [e.weight for e in examples if e.turn == 1] == [10.5, -10.5, 0.5, -0.5]
    # A first turn does not gain by being wrong: rewards 0, 1, 1, 0.
    assert [e.weight for e in examples if e.turn == 0] == [-0.5, 0.5, 0.5, -0.5]


def test_stage_one_holds_first_turns_and_stage_two_trains_both():
    two = [trajectory("54", 0), trajectory("45", 1)]
    config = AdvantageConfig(scale="none", gamma=0.0, hold_rounds=1, hold_kl=0.1, kl=0.01).comparison

    def made(k):
        found, *_ = advantage_examples(two, [], lambda t, n: PROMPT.messages(P, t.turns[:n]), config, round_number=k)
        return [(e.turn, e.reply, e.weight, e.kl) for e in sorted(found, key=lambda e: (e.turn, e.reply))]

    assert made(1) == [(0, "4", 0.0, 0.1), (0, "5", 0.0, 0.1), (1, "4", 0.5, 0.0), (1, "5", -0.5, 0.0)]
    assert made(2) == [(0, "4", 0.5, 0.01), (0, "5", -0.5, 0.01), (1, "4", 0.5, 0.01), (1, "5", -0.5, 0.01)]


def test_the_bonus_for_progress_is_of_stage_two_alone():
    """Second turns right, wrong. Stage I: rewards 1, 0, less ½. Stage II, α = 10, after wrong and right: 11 and −10, less ½."""
    two = [trajectory("54", 0), trajectory("45", 1)]
    config = AdvantageConfig(scale="none", gamma=0.0, hold_rounds=1, hold_kl=0.1, progress=10.0).comparison
    for k, expected in ((1, [0.5, -0.5]), (2, [10.5, -10.5])):
        made, *_ = advantage_examples(two, [], lambda t, n: PROMPT.messages(P, t.turns[:n]), config, round_number=k)
        assert [e.weight for e in made if e.turn == 1] == expected


def test_a_cut_reply_is_in_the_mean_and_trains_only_where_cut_ones_do():
    cut = replace(turn("5", 0), finish="length")
    two = [trajectory("4", 0), Trajectory("p", P.question, P.gold, (cut,), sample=1)]
    examples, dropped, _ = found(two)
    assert weights(examples) == {(0, "4"): 0.5} and dropped["cut at the token limit"] == 1
    refused = Trajectory("p", P.question, P.gold, (replace(turn("5", 0), finish="refused"), turn("6", 0)), sample=1)
    assert [d.turn.reply for d in all_drawn([refused], [])] == []


# --- settings ---------------------------------------------------------------------------------------------------------

POLICY = {"model": {"path": "x"}, "advantage": {}, "relabel": {"improver": "none"}, "rollout": {"n_trajectories": 4}}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"rollout": {"n_trajectories": 4, "policy": "local:x"}}, r'rollout\.policy = "local:x"'),
        ({"relabel": {"improver": "gold"}}, r'relabel\.improver = "gold".*Use relabel\.improver = "none" or "self"'),
        ({"relabel": {"improver": "self", "relabel_right": "restate"}}, 'relabel_right = "restate"'),
        ({"rollout": {"n_trajectories": 1}}, r"rollout\.n_trajectories = 1"),
        ({"keep": {"rule": "success"}}, r"keep\.rule is not read"),
        ({"dataset": {"drop_repeated_answers": True}}, r"dataset\.drop_repeated_answers is not read"),
        ({"weigh": {"centre": True}}, r"weigh\.centre is not read"),
        ({"advantage": {"group": "problem"}}, "turn"),
        ({"train": {"loss": {"name": "policy-gradient"}}, "sampling": {"temperature": 0.5}}, r"sampling\.temperature = 0\.5"),
        ({"train": {"loss": {"name": "policy-gradient"}}, "dataset": {"data": "aggregate"}}, "aggregate"),
        ({"train": {"loss": {"name": "policy-gradient"}}, "dataset": {"internalise": "also"}}, "internalise"),
        ({"train": {"loss": {"name": "policy-gradient"}}, "advantage": None}, r"Add \[advantage\]"),
        ({"boost": {"enabled": True, "train": {"loss": {"name": "policy-gradient"}}}}, "worked solutions"),
    ],
)
def test_what_does_not_go_together_is_refused(change, says):
    assert build_config(POLICY).advantage.group == "turn"
    with pytest.raises(ConfigError, match=says):
        build_config({**POLICY, **change})
