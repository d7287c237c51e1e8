"""inspect_ai itself: its tasks here, and ours there."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from rise.errors import ConfigError
from rise.runs.validate import task_problems, validate
from rise.tasks import make_task
from rise.trajectory import Verdict

HERE = Path(__file__).parent
EVALS = HERE / "theirs/evals.py"
PINNED = "0.3.285"


@pytest.fixture
def theirs(inspect_python):
    return lambda name, **settings: make_task(f"inspect:{EVALS}@{name}", python=inspect_python, **settings)


def test_the_solver_makes_the_question_and_the_scorer_the_verdict_with_its_answer(theirs):
    task = theirs("sums")
    assert task.about["versions"]["inspect_ai"] == PINNED
    problems = task.problems("test")
    assert len(problems) == 40 and task.instructions == "End with 'ANSWER: N'."
    first = problems[0]
    assert (first.question, first.gold, first.fields["sample"]) == ("Work it out.\n1+2?", "3", "s1")
    found = [task.judge().judge(first, said) for said in ("so\nANSWER: 3", "ANSWER: 4", "")]
    assert [(f.verdict.value, f.answer) for f in found] == [("right", "3"), ("wrong", "4"), ("unparsable", None)]
    assert len(theirs("sums", args={"last": 5}).problems("test")) == 5
    assert validate(task, task_problems(task, None)[0]).fit  # every target is right by its own scorer


def test_a_choice_a_scorer_of_several_and_a_part_of_a_score(theirs):
    sky = theirs("sky")
    [problem] = sky.problems("test")
    assert "A) red\nB) blue" in problem.question
    assert [sky.judge().judge(problem, f"ANSWER: {x}").verdict.value for x in "BA"] == ["right", "wrong"]
    parts = theirs("parts", part="close", right_from=0.5)
    problem = parts.problems("test", 1)[0]
    assert [(f.verdict, f.score) for said in ("7", "x") for f in [parts.judge().judge(problem, said)]] == [
        (Verdict.RIGHT, 0.5),
        (Verdict.WRONG, None),
    ]
    assert theirs("parts", part="exact").judge().judge(problem, "3").verdict is Verdict.RIGHT
    assert theirs("two_scorers", scorer="match").judge().judge(problem, "It is 3").verdict is Verdict.RIGHT


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("parts", r"its scorer gives close, exact\. Name one"),
        ("two_scorers", r"several scorers: match, answer\. Name one"),
        ("graded", "it asks another model"),
        ("critic", "it asks another model"),
        ("twice", "asks for more than one reply"),
        ("tools", "gives the model tools"),
        ("sandboxed", "works in a sandbox"),
        ("nothing", "'nothing' not found"),
    ],
)
def test_what_does_not_end_in_one_reply_is_refused_before_the_first(theirs, name, why, monkeypatch):
    monkeypatch.setenv("INSPECT_EVAL_MODEL", "openai/some-model")  # no model of theirs is ever asked
    with pytest.raises(ConfigError, match=why):
        theirs(name)


OURS = """
from inspect_ai import task
from rise.tasks.elsewhere.inspect_ai import as_task

@task
def pairs():
    return as_task("pair", n=4)

@task
def sums():
    return as_task("jsonl", path="own.jsonl", shares=[0, 0, 1])
"""


def test_our_task_is_evaluated_by_their_own_command(inspect_python, tmp_path):
    (tmp_path / "ours.py").write_text(OURS)
    (tmp_path / "own.jsonl").write_text('{"question": "1+1?", "gold": "2"}\n{"question": "3+3?", "gold": "6"}\n')
    program = (
        "import sys, json; from inspect_ai import eval; from inspect_ai.model import get_model, ModelOutput, ModelUsage\n"
        "said = [ModelOutput.from_content('mockllm/model', text) for text in (r'So \\boxed{2}.', r'So \\boxed{2}.')]\n"
        "for one in said: one.usage = ModelUsage(total_tokens=2)  # else it counts tokens by a file that it fetches\n"
        "log = eval('ours.py@sums', model=get_model('mockllm/model', custom_outputs=said), display='none', max_samples=1)[0]\n"
        "system = log.samples[0].messages[0].text\n"
        "scores = {s.input: [one.value, one.answer] for s in log.samples for one in s.scores.values()}\n"
        "print(json.dumps([log.status, system, scores, log.results.scores[0].metrics['accuracy'].value]))"
    )
    env = os.environ | {"PYTHONPATH": str(HERE.parents[1])}
    done = subprocess.run([inspect_python, "-c", program], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    status, system, scores, accuracy = json.loads(done.stdout.splitlines()[-1])
    assert status == "success" and "\\boxed{}" in system
    assert scores == {"1+1?": ["C", "2"], "3+3?": ["I", "2"]} and accuracy == 0.5
