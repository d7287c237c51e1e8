"""The detector on a model written by hand: it keeps what ends in `yes` and tries something else otherwise."""

import pytest
from toys import LastNumber, problem

from rise.errors import DataError
from rise.evaluation.detector import auc, detect, spoilt
from rise.play.memory_ledger import MemoryLedger
from rise.play.player import Player, play_out
from rise.play.prompt import Prompt
from rise.policies.function import FunctionPolicy
from rise.policy import Sampling

PROBLEMS = [problem("a", "2+2", "4", solution="2+2= 4"), problem("b", "3+4", "7", solution="3+4= 7")]


def player(reply):
    prompt = Prompt(feedback="neutral", feedback_text="{question}")
    return Player(FunctionPolicy(reply), prompt, LastNumber(), Sampling(), MemoryLedger(), purpose="detector")


def shown(messages):
    return messages[-2]["content"]


def test_a_model_that_looks_keeps_the_right_and_sees_the_changed():
    def looks(messages):
        left, right = shown(messages).split("=")
        a, b = left.split("+")
        return shown(messages) if int(a) + int(b) == int(right) else "no"

    found = play_out(player(looks), detect(player(looks), PROBLEMS))
    assert [(s.kept, s.seen) for s in found] == [(True, True), (True, True)]


def test_a_model_that_copies_keeps_and_sees_nothing():
    found = play_out(player(shown), detect(player(shown), PROBLEMS))
    assert [(s.kept, s.seen) for s in found] == [(True, False), (True, False)]


def test_what_a_model_that_does_not_look_keeps_is_its_accuracy():
    def own(messages):  # right on the first problem, wrong on the second, whatever it is shown
        return "2+2= 4" if "2+2" in messages[0]["content"] else "3+4= 5"

    found = play_out(player(own), detect(player(own), PROBLEMS))
    assert [(s.kept, s.seen) for s in found] == [(True, True), (False, True)]  # kept + seen − 1 = ½ = its accuracy


def test_what_is_changed_is_one_digit_and_no_longer_right():
    turn = spoilt(player(shown), PROBLEMS[0])
    assert sum(a != b for a, b in zip(turn.reply, "2+2= 4", strict=True)) == 1
    assert not turn.right and turn.reply.endswith(turn.answer) and turn.answer != "4"  # LastNumber looks at the sum alone


def test_problems_without_a_digit_to_change_are_none_to_ask():
    with pytest.raises(DataError, match="no problem here has one to change"):
        play_out(player(shown), detect(player(shown), [problem("a", solution="none")]))


def test_area_under_the_curve_of_scores():
    assert auc([3, 2], [1, 0]) == 1.0 and auc([0], [1]) == 0.0 and auc([1, 1], [1]) == 0.5
