"""Judges by name, judgements with a score and a message, and what becomes of them in a turn."""

import asyncio
from dataclasses import replace

import pytest
from toys import LastNumber, problem, turn

from rise.errors import ConfigError
from rise.judge import Judgement
from rise.judges import KINDS, make_judge
from rise.judges.math import MathJudge
from rise.judges.named import OwnJudge, as_judge
from rise.judges.python_functions import FunctionJudge
from rise.play.ledger import Ledger
from rise.play.player import Player
from rise.play.prompt import Prompt
from rise.policies.scripted import ScriptedPolicy
from rise.policy import Sampling
from rise.recipe.config import RewardConfig
from rise.task import Problem
from rise.tasks import make_task
from rise.trajectory import Verdict, to_json, turn_from_json

P = problem("p", "2+2", "4")


class Half:
    """A judge of somebody's that inherits nothing: half of the credit for any number, and a word why."""

    def judge(self, problem, reply):
        right = reply == problem.gold
        verdict = Verdict.RIGHT if right else Verdict.WRONG
        return Judgement(verdict, reply, score=1.0 if right else 0.5, message=None if right else "not 4", brief=None)

    def same(self, left, right):
        return left == right


def test_judges_by_name():
    lenient = make_judge("math", mode="lenient")
    assert isinstance(lenient, MathJudge) and lenient.mode == "lenient"
    assert isinstance(make_judge("python-functions", time_limit_s=1.0), FunctionJudge)
    assert isinstance(make_judge(f"{__name__}:Half"), OwnJudge)


def test_a_wrong_name_or_setting_is_answered_with_the_nearest():
    with pytest.raises(ConfigError, match=r'judge = "maths" is no judge. Use .*module:name. Did you mean "math"'):
        make_judge("maths")
    with pytest.raises(ConfigError, match=r"judge math has no setting 'mod'. Did you mean \"mode\""):
        make_judge("math", mod="lenient")
    with pytest.raises(ConfigError, match="takes no settings: mode"):
        make_judge(f"{__name__}:READY", mode="strict")


READY = Half()


def test_a_judge_added_to_the_list_is_found_by_tasks(monkeypatch, tmp_path):
    monkeypatch.setitem(KINDS, "half", f"{__name__}:Half")
    file = tmp_path / "p.jsonl"
    file.write_text('{"question": "2+2", "gold": "4"}\n')
    assert isinstance(make_task("jsonl", test_path=file, judge="half").judge(), Half)


def test_a_file_task_takes_a_judge_by_name_or_of_yours(tmp_path):
    file = tmp_path / "p.jsonl"
    file.write_text('{"question": "Write f.", "gold": "assert f(1) == 2"}\n')
    task = make_task("jsonl", test_path=file, judge="python-functions")
    [asked] = task.problems("test")
    assert task.judge().judge(asked, "def f(n):\n    return n + 1").verdict is Verdict.RIGHT
    assert isinstance(make_task("gsm8k", judge=f"{__name__}:Half").judge(), OwnJudge)
    with pytest.raises(ConfigError, match="either judge or judge_path"):
        make_task("jsonl", test_path=file, judge="math", judge_path=f"{__name__}:Half")


# ---- score and message ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("score", "message", "words"),
    [
        (1.5, None, "a number from 0 to 1"),
        (float("nan"), None, "a number from 0 to 1"),
        (True, None, "a number from 0"),
        (None, 3, "must be text"),
    ],
)
def test_a_score_or_message_that_is_none_is_named(score, message, words):
    class Odd(Half):
        def judge(self, problem, reply):
            return Judgement(Verdict.WRONG, None, score, message)

    with pytest.raises(ConfigError, match=words):
        OwnJudge(Odd()).judge(P, "5")


def player(tmp_path, judge, **settings):
    policy = ScriptedPolicy.from_table({"2+2": ["5"]})
    return Player(policy, Prompt(), judge, Sampling(), Ledger(tmp_path / "ledger.jsonl"), "rollout", **settings)


def test_a_score_is_the_reward_and_goes_to_the_files_and_back(tmp_path):
    # Half-way from -1 to 2.
    at_work = player(tmp_path, as_judge(Half()), rewards=RewardConfig(wrong=-1.0, right=2.0))
    [drawn] = asyncio.run(at_work.turns(P, []))
    assert (drawn.reward, drawn.score, drawn.message, drawn.brief) == (0.5, 0.5, "not 4", None)
    assert turn_from_json(to_json(drawn)) == drawn
    [read_back] = asyncio.run(at_work.turns(P, []))
    assert at_work.usage.n_reused == 1 and read_back == drawn


def test_a_judge_without_scores_leaves_the_bytes_of_a_turn_as_they_were():
    plain = to_json(turn("5", 0))
    assert not {"score", "message", "brief"} & set(plain)
    assert turn_from_json(plain) == turn("5", 0)
    assert to_json(replace(turn("5", 0), score=0.0))["score"] == 0.0  # 0 is not None


def test_a_function_is_a_judge_and_may_give_a_score():
    judge = as_judge(lambda problem, reply: reply == problem.gold)
    assert [judge.judge(P, reply).verdict for reply in ("4", "5")] == [Verdict.RIGHT, Verdict.WRONG]
    scored = as_judge(lambda problem, reply: 0.25).judge(P, "5")
    assert (scored.verdict, scored.score) == (Verdict.WRONG, 0.25)
    with pytest.raises(ConfigError, match="expected True, False or a score"):
        as_judge(lambda problem, reply: "yes").judge(P, "5")
    with pytest.raises(ConfigError, match="is no judge"):
        as_judge(3)


# ---- defaults ------------------------------------------------------------------------------------------------------------


def test_what_a_judge_need_not_have_has_a_default():
    judge = LastNumber()
    assert judge.answer("so 7", "2+2") == "7" and not judge.elsewhere
    assert asyncio.run(judge.aside(P, "so 4")).verdict is Verdict.RIGHT


def test_an_answer_method_of_your_own_is_used():
    class Reads(Half):
        def answer(self, reply):
            return reply.upper()

    assert OwnJudge(Reads()).answer("x", "2+2") == "X"


def test_a_problem_needs_no_id():
    assert Problem("2+2?", gold="4") == Problem(question="2+2?", gold="4")
    assert Problem("2+2?", "4").id == Problem("2+2?", "4", solution="4").id != Problem("2+2?", "5").id
    assert Problem("2+2?", "4", id="mine").id == "mine"
    with pytest.raises(TypeError):
        Problem("mine", "2+2?", "4")
