"""Which reply is handed out: groups, rules and ties, with answers that can be counted by eye."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from toys import turn

from rise.errors import ConfigError
from rise.evaluation.vote import group, vote
from rise.serve.vote import load_choose, winner
from rise.trajectory import Turn, Verdict


def ballot(*answers, same=lambda a, b: a == b):
    return group(answers, same)


@pytest.mark.parametrize(
    ("answers", "rule", "answer", "turns"),
    [
        (["5", "6", "5"], "majority", "5", [1, 3]),
        (["5", "6"], "majority", "6", [2]),  # a tie: the later one was given knowing the other
        (["5", "6", "6", "5"], "majority", "5", [1, 4]),
        (["5", "6", None], "last", "6", [2]),
        (["5", "6", "5"], "last", "5", [1, 3]),
        (["5", "5", "6", "6"], "agree", "6", [3, 4]),
        (["5", "6", "5"], "agree", "5", [1, 3]),  # no two in a row: the majority
        ([None, "7", None], "majority", "7", [2]),
    ],
)
def test_the_winner_by_each_rule(answers, rule, answer, turns):
    found = winner(ballot(*answers), rule)
    assert (found.answer, found.turns) == (answer, turns)


@pytest.mark.parametrize("rule", ["majority", "last", "agree"])
def test_no_answer_never_wins(rule):
    assert winner(ballot(None, None), rule) is None
    assert winner(ballot(), rule) is None


def test_two_in_a_row_agree_only_on_an_answer():
    assert ballot("5", "5").agreed
    assert not ballot("5", "6", "5").agreed
    assert not ballot(None, None).agreed
    assert not ballot("5").agreed


def test_answers_written_differently_are_one_group_under_the_first_wording():
    counted = ballot("1,200", "7", "1200.0", same=lambda a, b: float(a.replace(",", "")) == float(b))
    found = winner(counted, "majority")
    assert (found.answer, found.turns) == ("1,200", [1, 3])


@given(st.lists(st.sampled_from(["a", "b", "c", None]), min_size=1, max_size=9))
def test_where_no_tie_decides_it_is_the_vote_that_evaluation_scores(answers):
    """Call "a" right. Without a tie the metric scores 1 or 0, and it is 1 exactly where our winner is "a"."""
    turns = [Turn("", Verdict.RIGHT if answer == "a" else Verdict.WRONG, answer=answer) for answer in answers]
    score = vote(turns, lambda a, b: a == b)[-1]
    counted = ballot(*answers)
    sizes = sorted((len(group.turns) for group in counted.groups), reverse=True)
    found = winner(counted, "majority")
    if not sizes or len(sizes) == 1 or sizes[0] > sizes[1]:
        assert score == float(found is not None and found.answer == "a")
    else:
        assert len(found.turns) == sizes[0]


def test_a_function_of_your_own_is_found_or_named(tmp_path, monkeypatch):
    (tmp_path / "my_vote.py").write_text("def longest(messages, turns):\n    return 0\n\nnothing = 3\n")
    monkeypatch.chdir(tmp_path)
    assert load_choose("my_vote:longest")([], [turn("x", 1)]) == 0
    with pytest.raises(ConfigError, match="no function"):
        load_choose("my_vote:nothing")
    with pytest.raises(ConfigError, match=r"--vote = .*cannot be imported"):
        load_choose("no_such_module:f")
