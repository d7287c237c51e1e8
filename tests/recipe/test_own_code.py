"""A judge of somebody's own is found, asked, and believed only where it returns judgements."""

import json

import pytest
from toys import problem

from rise.errors import ConfigError
from rise.judge import Judgement
from rise.judges.math import MathJudge
from rise.judges.named import OwnJudge
from rise.tasks import make_task
from rise.trajectory import Verdict


def own(tmp_path):
    file = tmp_path / "problems.jsonl"
    file.write_text("".join(json.dumps({"question": f"What is {i} + 1?", "gold": str(i + 1)}) + "\n" for i in range(60)))
    return file


def test_a_judge_of_your_own(tmp_path, monkeypatch):
    (tmp_path / "my_own_judge.py").write_text(
        "from rise.judge import Judgement\nfrom rise.trajectory import Verdict\n\n"
        "class Shouting:\n"
        "    def judge(self, problem, reply):\n"
        "        return Judgement(Verdict.RIGHT if reply.isupper() else Verdict.WRONG, reply)\n"
        "    def same(self, left, right):\n"
        "        return left == right\n\n"
        "ready = Shouting()\nnothing = 3\n"
    )
    monkeypatch.chdir(tmp_path)
    file = own(tmp_path)
    for name in ("Shouting", "ready"):
        task = make_task("jsonl", path=file, judge_path=f"my_own_judge:{name}")
        (problem,) = task.problems("test", 1)
        assert task.judge().judge(problem, "YES").verdict is Verdict.RIGHT
    for path, message in (
        ("my_own_judge", "module:name"),
        ("no_such_module:x", "cannot be imported"),
        ("my_own_judge:redy", 'Did you mean "ready"'),
        ("my_own_judge:nothing", "is no judge"),
    ):
        with pytest.raises(ConfigError, match=message):
            make_task("jsonl", path=file, judge_path=path)


class Odd:
    """Returns whatever it was made with; raises it if it is an error."""

    def __init__(self, found):
        self.found = found

    def judge(self, problem, reply):
        if isinstance(self.found, Exception):
            raise self.found
        return self.found

    same = judge


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (None, "returned None for problem p7; expected rise.judge.Judgement"),
        (True, "returned True for problem p7"),
        (Judgement("right", "4"), "its verdict must be a rise.trajectory.Verdict"),
        (Judgement(Verdict.RIGHT, 4), "its answer text"),
        (ValueError("oh"), "raised ValueError (oh) at"),
    ],
)
def test_what_is_no_judgement_is_named_with_class_and_problem(found, words):
    with pytest.raises(ConfigError) as caught:
        OwnJudge(Odd(found)).judge(problem("p7"), "4")
    assert words in str(caught.value) and "test_own_code.Odd.judge" in str(caught.value) and "problem p7" in str(caught.value)


def test_a_module_that_fails_and_a_class_that_wants_arguments(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken_judge.py").write_text("1 / 0\n")
    (tmp_path / "wanting_judge.py").write_text("class Judge:\n    def __init__(self, x): ...\n")
    for path, words in (("broken_judge:Judge", "ZeroDivisionError"), ("wanting_judge:Judge", "calling it fails with TypeError")):
        with pytest.raises(ConfigError, match=words):
            make_task("jsonl", judge_path=path)


def test_an_answer_is_read_without_a_right_one():
    class Last:
        def judge(self, problem, reply):
            assert problem.gold == ""
            return Judgement(Verdict.WRONG, reply.split()[-1] if reply else None)

        def same(self, left, right):
            return left == right

    assert OwnJudge(Last()).answer("it is 2", "1+1?") == "2"
    assert OwnJudge(Last()).answer("", "1+1?") is None
    assert MathJudge().answer(r"so \boxed{2}, I think", "1+1?") == "2"
    assert MathJudge().answer("no idea", "1+1?") is None
