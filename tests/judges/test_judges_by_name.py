"""Judges by name: what each reads in a reply, and what it takes for right; a plain function of (reply, gold)."""

import pytest
from toys import problem

from rise.errors import ConfigError
from rise.judges import KINDS, make_judge
from rise.judges.named import as_judge
from rise.task import Problem
from rise.tasks import make_task


def verdict(judge, reply, gold):
    made = make_judge(judge) if not callable(getattr(judge, "judge", None)) else judge
    return made.judge(Problem("?", gold), reply).verdict.value


@pytest.mark.parametrize(
    ("judge", "reply", "gold", "expected"),
    [
        ("exact", "It has a\nDark  Red.", "dark red", "right"),
        ("exact", "Answer: red", "blue", "wrong"),
        ("exact", "  \n", "blue", "unparsable"),
        ({"name": "exact", "case": True}, "Red", "red", "wrong"),
        ("choice", "I think \\boxed{B}", "B", "right"),
        ("choice", "Answer: (C) the moon", "(C)", "right"),
        ("choice", "So it is B.", "C) the moon", "wrong"),
        ("choice", "A dog barks", "A", "unparsable"),  # an article is no choice
        ({"name": "choice", "letters": "AB"}, "Answer: C", "C", "unparsable"),
        ("number", "so 1,200.50 in all", "1200.5", "right"),
        ("number", "Answer: 3/4", "0.75", "right"),
        ("number", "3.1", "3", "wrong"),
        ({"name": "number", "tolerance": 0.1}, "3.1", "3", "right"),  # 0.1 as written, not as a float has it
        ({"name": "number", "relative": 0.05}, "105", "100", "right"),
        ({"name": "number", "relative": 0.05}, "105.01", "100", "wrong"),
        ("number", "no idea", "3", "unparsable"),
        ("number", "1/0", "3", "wrong"),
        ({"name": "regex", "pattern": r"is (\w+)"}, "It is red. No: it is Blue!", "blue", "right"),
        ({"name": "regex", "pattern": r"is (\w+)"}, "Blue", "blue", "unparsable"),
        ("json", 'Sure: {"b": [1, 2], "a": null}', '{"a": null, "b": [1, 2]}', "right"),
        ("json", '{"a": 1}\nor rather {"a": 2}', '{"a": 2}', "right"),
        ("json", "```json\n[1]\n```", "[1, 2]", "wrong"),
        ("json", "{'a': 1}", '{"a": 1}', "unparsable"),
    ],
)
def test_a_judge_reads_and_decides(judge, reply, gold, expected):
    assert verdict(judge, reply, gold) == expected


def test_votes_group_equal_answers():
    assert make_judge("json").same('{"a": 1.0}', '{"a": 1}')
    assert make_judge("exact").same("Dark red", "dark  red.")
    assert not make_judge("choice").same("A", "B")
    assert make_judge({"name": "number", "tolerance": 1}).same("3", "4")


@pytest.mark.parametrize("name", ["exact", "choice", "number", "json", "regex"])
@pytest.mark.parametrize(
    "reply", ["[" * 30_000, "{" * 30_000, "1," * 30_000, "9" * 30_000, "(A" * 20_000, "\x00", "answer:" * 5_000]
)
def test_whatever_a_model_writes_is_data(name, reply):
    judge = make_judge({"name": name, **({"pattern": r"(\d+)"} if name == "regex" else {})})
    judge.judge(Problem("?", "[1]" if name == "json" else "1"), reply)


def test_a_wrong_name_or_setting_is_answered_with_the_way_out():
    for judge, words in (
        ("exat", 'Did you mean "exact"'),
        ({"name": "number", "tolerence": 1}, 'Did you mean "tolerance"'),
        ({"name": "regex"}, "needs pattern"),
        ({"name": "regex", "pattern": "("}, "no regular expression"),
        ({"tolerance": 1}, "it needs a name"),
        ({"name": "number", "tolerance": -1}, "below 0"),
    ):
        with pytest.raises(ConfigError, match=words):
            make_judge(judge)


def test_a_task_of_ones_own_takes_a_judge_with_settings(tmp_path):
    file = tmp_path / "p.jsonl"
    file.write_text('{"question": "How far?", "gold": 100}\n')
    task = make_task("jsonl", test_path=file, judge={"name": "number", "relative": 0.01})
    [how_far] = task.problems("test")
    assert task.judge().judge(how_far, "101").verdict.value == "right"


# --- a plain function -------------------------------------------------------------------------------------------------


def test_a_function_of_reply_and_gold_is_a_judge(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text("def right(reply, gold):\n    return gold in reply\n")
    monkeypatch.chdir(tmp_path)
    for name in ("mine.py:right", "mine:right"):
        judge = make_judge(name)
        assert verdict(judge, "It is red.\nAnswer: RED", "red") == "right" and verdict(judge, "blue", "red") == "wrong"
        assert judge.answer("It is red.\nAnswer: RED") == "RED" and judge.same("RED", "red")


def test_a_function_may_give_a_share_and_nothing_else():
    def share(reply, gold):
        return len(reply) / 4

    judged = as_judge(share).judge(problem("red"), "re")
    assert (judged.verdict.value, judged.score) == ("wrong", 0.5)
    with pytest.raises(ConfigError, match="expected True, False or a score"):
        as_judge(share).judge(problem("red"), "redred")


def test_a_function_that_raises_is_named_with_its_line():
    def bad(reply, gold):
        return reply[100] == gold

    with pytest.raises(ConfigError, match=r"the judge bad raised IndexError .*test_judges_by_name.py:\d+"):
        as_judge(bad).judge(problem("red"), "red")


def test_every_judge_by_name_can_be_imported():
    needed = {"regex": {"pattern": "x"}, "model": {"policy": "scripted:x"}}
    for name in KINDS.keys() - {"reasoning-gym"}:  # which its own task makes, for its own generator
        make_judge({"name": name, **needed.get(name, {})})
    with pytest.raises(ConfigError, match="needs gym"):
        make_judge("reasoning-gym")
