"""A reply whose answer the judge could not read votes nowhere: 5 wins [?, ?, ?, 5, 5]."""

import pytest
from toys import toy_recipe
from verdicts import RIGHT, TIMED_OUT, UNPARSABLE, WRONG

from rise.evaluation.headline import REPLIES, Played
from rise.evaluation.vote import vote, weighted_vote
from rise.judges.math import MathJudge
from rise.judges.python_functions import FunctionJudge
from rise.judges.reasoning_gym import GymJudge
from rise.method.choose import majority
from rise.recipe.config import TaskConfig
from rise.recipe.toml import to_toml
from rise.report.recipe import same_answers
from rise.runs.directory import RunDir
from rise.task import Problem
from rise.trajectory import Turn, to_json
from rise.view.record import opened

JUDGE = MathJudge()


def judged(*answers, gold="5"):
    found = [(answer, JUDGE.judge(Problem("2+3", gold), f"#### {answer}")) for answer in answers]
    return [Turn(answer, judgement.verdict, answer=judgement.answer) for answer, judgement in found]


def test_what_is_unparsable_does_not_vote():
    turns = judged("none", "none", "none", "5", "5")
    assert [turn.verdict for turn in turns[:3]] == [UNPARSABLE] * 3
    assert vote(turns, JUDGE.same) == [0.0, 0.0, 0.0, 1.0, 1.0]
    assert majority(turns, JUDGE.same) == 3


@pytest.mark.parametrize(
    ("verdicts", "scores", "chosen"),
    [
        ([TIMED_OUT, RIGHT, RIGHT], [0.0, 1.0, 1.0], 1),
        ([TIMED_OUT, TIMED_OUT], [0.0, 0.0], 0),
        ([RIGHT, TIMED_OUT], [1.0, 1.0], 0),
        ([TIMED_OUT, WRONG, RIGHT], [0.0, 0.0, 0.0], 1),
    ],
)
def test_a_verdict_that_came_too_late_does_not_decide_the_vote_where_another_on_that_answer_came(verdicts, scores, chosen):
    turns = [Turn("x", verdict, answer="x") for verdict in verdicts]
    assert vote(turns, JUDGE.same) == scores
    assert weighted_vote(turns, [1.0] * len(turns), JUDGE.same) == scores[-1]
    assert majority(turns, JUDGE.same) == chosen
    data = {"problem_id": "p", "question": "2+3", "gold": "5", "turns": [to_json(turn) for turn in turns]}
    [shown] = opened("trajectories", data, JUDGE.same, None, None)["vote"]["groups"]
    assert shown["right"] is (scores[-1] == 1.0) and shown["turns"] == list(range(1, len(turns) + 1))


def test_a_question_mark_is_no_answer_even_where_gold_is_not_known():
    assert JUDGE.answer("#### ?") is None and JUDGE.answer("#### none") == "none"


def test_unreadable_answers_are_not_counted_as_repeated():
    repeated = next(metric for metric in REPLIES if metric.key == "repeated")
    played = Played(tuple(judged("none", "none", "5", "5.0")), (), (), (), (), [], [], JUDGE.same, 4)
    assert repeated.score(played) == 1.0  # 5 and 5.0


def test_the_viewer_groups_as_the_vote_does():
    turns = [to_json(turn) for turn in judged("none", "none", "none", "5", "5")]
    data = {"problem_id": "p", "question": "2+3", "gold": "5", "turns": turns}
    shown = opened("trajectories", data, JUDGE.same, None, None)["vote"]
    assert [(group["answer"], group["turns"], group["wins"]) for group in shown["groups"]] == [("5", [4, 5], True)]


def test_a_page_votes_with_the_judge_of_its_run(tmp_path, monkeypatch):
    monkeypatch.setattr(FunctionJudge, "same", lambda self, left, right: left[:3] == right[:3])
    run = RunDir(tmp_path)
    run.config.write_text(to_toml(toy_recipe().model_copy(update={"task": TaskConfig(name="python-functions")})))
    assert same_answers(run)("def f(): return 1", "def g(): return 2")


def test_what_was_only_thought_is_no_code_and_no_tagged_answer():
    code = "```python\ndef f(n):\n    return n\n```"
    judge = FunctionJudge()
    assert judge.answer(f"<think>{code}") is None and judge.answer(f"<think>{code}</think> no idea") is None
    assert judge.answer(f"<think>hm</think>{code}") == "def f(n):\n    return n"
    assert judge.answer("def f(x):\n    return x[think]") == "def f(x):\n    return x[think]"
    tagged = GymJudge.answer
    reader = object.__new__(GymJudge)
    reader.answer_in = "tags"
    assert tagged(reader, "<think><answer>7</answer></think>") is None
    assert tagged(reader, "<think><answer>7</answer></think><answer>8</answer>") == "8"
