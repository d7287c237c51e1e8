"""verifiers itself (v1): its tasksets here, and ours there."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from rise.errors import ConfigError
from rise.runs.validate import task_problems, validate
from rise.tasks import make_task

HERE = Path(__file__).parent
PINNED = "0.4.0"


@pytest.fixture
def theirs(verifiers_python, monkeypatch):
    monkeypatch.chdir(HERE / "theirs")
    return lambda name, **settings: make_task(f"verifiers:{name}", python=verifiers_python, **{"shares": (0, 0, 1), **settings})


def test_prompts_are_questions_and_weighted_rewards_the_score(theirs):
    task = theirs("sums-taskset")
    assert task.about["versions"]["verifiers"] == PINNED and task.instructions == "Add."
    problems = task.problems("test")
    assert len(problems) == 40 and (problems[0].question, problems[0].gold) == ("1+2?", "3")
    found = [task.judge().judge(problems[0], said) for said in ("It is 3", "a long way round, but it is 3", "4")]
    assert [(f.verdict.value, f.score) for f in found] == [("right", None), ("wrong", 0.75), ("wrong", 0.25)]
    assert [f.answer for f in found] == ["It is 3", "a long way round, but it is 3", "4"]  # votes by text: it tells no answer
    one = theirs("sums-taskset", reward="right", args={"last": 5})
    [first, *_] = one.problems("test")
    assert len(one.problems("test")) == 5
    assert one.judge().judge(first, "a long way round, but it is 3").verdict.value == "right"
    assert validate(task, task_problems(task, None)[0]).fit


def test_a_reward_that_would_be_left_out_without_a_word_is_refused(theirs):
    with pytest.raises(ConfigError, match="its reward passes is worked out in a runtime of theirs"):
        theirs("runtime-taskset")
    with pytest.raises(ConfigError, match="taskset 'nothing' not found"):
        theirs("nothing")
    with pytest.raises(ConfigError, match='reward = "rihgt"; it gives right, short'):
        task = theirs("sums-taskset", reward="rihgt")
        task.judge().judge(task.problems("test")[0], "3")


OURS = """
from rise.tasks.elsewhere.verifiers import taskset

Pairs = taskset("pair", split="train", n=5)
__all__ = ["Pairs"]
"""


def test_our_task_is_loaded_by_their_own_loader_and_comes_back_as_itself(verifiers_python, tmp_path, monkeypatch):
    (tmp_path / "my_pairs.py").write_text(OURS)
    program = (
        "import sys, json; sys.path.insert(0, '.'); import verifiers.v1 as vf\n"
        "ts = vf.load_taskset(vf.taskset_config_type('my-pairs')(id='my-pairs'))\n"
        "print(json.dumps([[t.key, t.data.prompt_text, t.data.idx] for t in ts]))"
    )
    env = os.environ | {"PYTHONPATH": str(HERE.parents[1])}
    done = subprocess.run([verifiers_python, "-c", program], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    ours = make_task("pair").problems("train", 5)
    assert json.loads(done.stdout) == [[p.id, p.question, index] for index, p in enumerate(ours)]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(HERE.parents[1]))
    back = make_task("verifiers:my-pairs", python=verifiers_python, shares=(1, 0, 0))
    again = {p.question: p for p in back.problems("train")}
    for p in ours:
        assert back.judge().judge(again[p.question], p.solution).verdict.value == "right"
        assert back.judge().judge(again[p.question], "?").verdict.value != "right"
