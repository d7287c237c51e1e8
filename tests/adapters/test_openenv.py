"""OpenEnv itself: an environment behind its server played, resumed, refused where its replay differs; and ours behind theirs."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rise.errors import ConfigError, DataError
from rise.method.rollout import rollout
from rise.play.ledger import Ledger
from rise.play.player import Player
from rise.play.prompt import Prompt
from rise.policies.scripted import ScriptedPolicy
from rise.policy import Sampling
from rise.tasks import make_task
from rise.trajectory import Turn, Verdict

HERE = Path(__file__).parent
PINNED = "0.10.0"


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.fixture(scope="module")
def serve(openenv_python):
    """A server of theirs, its URL."""
    running = []

    def start(*words, cwd=HERE / "theirs"):
        port = free_port()
        env = os.environ | {"PYTHONPATH": str(HERE.parents[1])}
        running.append(subprocess.Popen([openenv_python, *(w.format(port=port) for w in words)], cwd=cwd, env=env))
        for _ in range(600):
            assert running[-1].poll() is None, "the server ended"
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return f"http://127.0.0.1:{port}"
            except OSError:
                time.sleep(0.2)
        raise AssertionError("the server did not start")

    yield start
    for process in running:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def plain(serve):
    return serve("guess_env.py", "{port}")


def of(url, python, **settings):
    return make_task(f"openenv:{url}", python=python, worst=-1.0, **settings)


def test_seeds_are_problems_and_a_reply_is_judged_behind_those_before_it(plain, openenv_python):
    task = of(plain, openenv_python)
    assert task._foreign.describe()["versions"]["openenv"] == PINNED
    problem = next(p for p in task.problems("train", 5) if p.fields["reset"]["seed"] == 0)
    assert problem.question == "Game 0: guess my number from 1 to 20."  # random.Random(0).randint(1, 20) is 13
    judge, turns = task.judge(), []
    for said, message, score in [("10", "More.", 0.5), ("15", "Less.", 0.5), ("many", "A number, please.", None)]:
        found = judge.after(problem, turns, said)
        assert (found.verdict, found.message, found.score) == (Verdict.WRONG, message, score)
        turns.append(Turn(said, found.verdict, message=found.message))
    right = judge.after(problem, turns, "13")
    assert (right.verdict, right.message, right.answer) == (Verdict.RIGHT, "Yes.", "13")
    lost = judge.after(problem, turns, "12")
    assert (lost.verdict, lost.message) == (Verdict.WRONG, "More.")  # the fourth guess was the last
    turns.append(Turn("12", lost.verdict, message=lost.message))
    assert judge.after(problem, turns, "13").message == "The episode is over."
    with pytest.raises(DataError, match=r"step 1 with '10' says 'More\.', where it said 'Less\.'"):
        judge.after(problem, [Turn("10", Verdict.WRONG, message="Less.")], "13")


def test_a_list_of_tasks_is_splits_and_indices(serve, openenv_python):
    task = of(serve("guess_env.py", "{port}", "list") + "#guess", openenv_python)
    assert [len(task.problems(split)) for split in task.splits] == [40, 5, 10] and not task.endless
    assert task.problems("validation", 1)[0].fields["reset"] == {"split": "dev", "index": 0}


def test_an_environment_whose_replay_differs_is_refused(serve, openenv_python):
    with pytest.raises(ConfigError, match=r"cannot be set up again.*dice from the seed"):
        of(serve("guess_env.py", "{port}", "dice"), openenv_python).problems("test", 1)
    hidden = of(serve("guess_env.py", "{port}", "list-dice"), openenv_python)  # what it says at reset does not show it
    [problem] = hidden.problems("test", 1)
    judge = hidden.judge()
    first = judge.judge(problem, "10").message
    with pytest.raises(DataError, match="an environment whose replay differs cannot be resumed"):
        for _ in range(60):  # the chance that none of these differs is below one in a million
            judge.after(problem, [Turn("10", Verdict.WRONG, message=first)], "11")


def test_a_killed_run_is_resumed_from_the_replies_alone(plain, openenv_python, tmp_path):
    task = of(plain, openenv_python)
    problem = next(p for p in task.problems("train", 5) if p.fields["reset"]["seed"] == 0)
    policy = ScriptedPolicy.from_table({problem.question: ["10", "15", "13"]})

    def play(n_turns):
        with Ledger(tmp_path / "ledger.jsonl") as ledger:
            player = Player(policy, Prompt(feedback="environment"), task.judge(), Sampling(), ledger, "round-1/rollout")
            [trajectory] = asyncio.run(rollout(player, [problem], n_turns=n_turns, stop_when_right=False))
            return trajectory, player.usage.n_reused

    half, _ = play(2)
    whole, n_reused = play(4)
    assert [turn.feedback for turn in whole.turns] == ["More.", "Less.", "Yes."] and whole.turns[-1].right
    assert whole.turns[:2] == half.turns and (n_reused, policy.n_requests) == (2, 3)
    assert all(set(json.loads(line)) >= {"key", "turn"} for line in (tmp_path / "ledger.jsonl").read_text().splitlines())


OURS = """
import sys, uvicorn
from rise.tasks.elsewhere.openenv import app_of

app = app_of("pair", n={"train": 6, "test": 3}, turns=3, env_name="pair")
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
"""


def test_our_task_is_played_by_their_client_and_comes_back_as_itself(serve, openenv_python, tmp_path):
    (tmp_path / "ours.py").write_text(OURS)
    url = serve("ours.py", "{port}", cwd=tmp_path)
    program = (
        "import sys; from openenv.core.generic_client import GenericEnvClient\n"
        "with GenericEnvClient(base_url=sys.argv[1]).sync() as env:\n"
        "    said = env.reset(split='test', index=1)\n"
        "    print(said.observation['text'])\n"
        "    for reply in sys.argv[2:]:\n"
        "        r = env.step({'text': reply}); print(r.observation['verdict'], r.reward, r.done)"
    )
    ours = make_task("pair").problems("test", 2)[1]
    words = [openenv_python, "-c", program, url, "no idea", ours.solution]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    question, *steps = done.stdout.splitlines()
    assert question == ours.question and steps[-1] == "right 1.0 True" and steps[0].endswith("0.0 False")
    task = make_task(f"openenv:{url}#pair", python=openenv_python)
    again = task.problems("test")[1]
    assert again.question == ours.question and task.judge().judge(again, ours.solution).verdict is Verdict.RIGHT
    assert sys.executable != openenv_python
