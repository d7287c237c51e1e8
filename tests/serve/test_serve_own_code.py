"""Functions of the user's while serving: what cannot be served is refused at the start, what goes wrong ends a request."""

import json
import sys
import threading
import time

import pytest
from serving import assembled, serving

from rise.errors import ConfigError
from rise.judge import Judgement
from rise.judges.named import as_judge
from rise.judges.python_functions import FunctionJudge
from rise.play.prompt import Prompt
from rise.policies.scripted import ScriptedPolicy
from rise.serve.own_code import try_out
from rise.task import Problem
from rise.trajectory import Verdict

MODULE = """
import sys, time
def by_gold(problem, trajectory, verdict): return f"It is {int(problem.gold)}"
def by_verdict(problem, trajectory, verdict): return {"right": "good", "wrong": "bad"}[verdict]
def by_tests(problem, trajectory, verdict):
    from rise.judges.python_tests import read_tests
    return read_tests(problem.gold)[0]
def leaves(problem, trajectory, verdict): sys.exit(0)
def nothing(problem, trajectory, verdict): return None
def only_code(problem, trajectory, verdict): return "x" if not (trajectory.turns[-1].answer or "").startswith("def") else 1 / 0
def fine(problem, trajectory, verdict): return "Look again."
class Judge:
    def judge(self, problem, reply):
        int(problem.gold)
    def same(self, left, right): return left == right
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "own_served.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    yield "own_served"
    sys.modules.pop("own_served", None)


@pytest.fixture
def script(tmp_path):
    (tmp_path / "replies.json").write_text(json.dumps({"1+1": [r"\boxed{3}", r"\boxed{2}"]}))
    return f"scripted:{tmp_path / 'replies.json'}"


@pytest.mark.parametrize("name", ["by_gold", "by_verdict", "by_tests", "leaves", "nothing", "only_code"])
def test_feedback_that_needs_the_right_answer_is_refused_at_the_start(module, script, name):
    with pytest.raises(ConfigError, match=r"cannot be served.*--set state\.feedback=neutral"):
        assembled(script, overrides=[f"state.feedback={module}:{name}"])


def test_feedback_that_does_without_is_served(module, script):
    assert assembled(script, overrides=[f"state.feedback={module}:fine"])


def test_a_card_that_names_such_a_feedback_is_refused_too(module, nano_dir, tmp_path, monkeypatch):
    import shutil

    monkeypatch.setenv("RISE_TRUST_REMOTE_CODE", "1")

    shutil.copytree(nano_dir, tmp_path / "checkpoint")
    card = {"task": "arithmetic", "feedback": f"{module}:by_gold"}
    (tmp_path / "checkpoint/rise.json").write_text(json.dumps(card))
    with pytest.raises(ConfigError, match="cannot be served"):
        assembled(tmp_path / "checkpoint")


def test_a_judge_that_needs_the_right_answer_is_refused_at_the_start(module, script):
    with pytest.raises(ConfigError, match="judge cannot be served"):
        assembled(script, task="jsonl", overrides=[f"judge={module}:Judge"])


def test_a_run_of_functions_is_served_turn_after_turn():
    """R02: the feedback of recipes/functions.toml, where there are no tests to run."""
    code = "```python\ndef f(n):\n    return n\n```"
    prompt = Prompt(feedback="rise.judges.python_functions:first_failure")
    try_out(prompt, FunctionJudge())
    with serving(ScriptedPolicy.from_table({"f": [code] * 3}), prompt=prompt, judge=FunctionJudge(), turns=3) as server:
        data = server.ask("f", rise={"return_turns": True}).json()
    assert [turn["answer"] for turn in data["rise"]["turns"]] == ["def f(n):\n    return n"] * 3
    assert data["rise"]["turns"][0]["feedback"].startswith("Check your function")


# --- while it serves ----------------------------------------------------------------------------------------------------


class Ending:
    """A judge that ends Python for the reply "end" and sleeps for "sleep"."""

    def __init__(self, sleep=None):
        self.sleep = sleep

    def judge(self, problem, reply):
        return Judgement(Verdict.WRONG, self.answer(reply))

    def answer(self, reply):
        if reply == "end":
            sys.exit(3)
        if reply == "sleep":
            self.sleep()
        return reply

    def same(self, left, right):
        if left == "end in same":
            raise SystemExit
        return left == right


SCRIPT = {"end": ["end", "x"], "same": ["end in same", "x"], "fine": ["1", "2"], "sleep": ["sleep"]}


def refused(response):
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (500, "own_code"), error
    return error["message"]


def test_what_ends_python_ends_a_request_and_no_server():
    def choose(messages, turns):
        sys.exit(0)

    problems = (Problem("q", gold="1", id="p"),)
    policy = ScriptedPolicy.from_table(SCRIPT)
    with serving(policy, judge=as_judge(Ending()), turns=2, choose=choose, problems=problems) as server:
        assert "SystemExit" in refused(server.ask("end"))
        assert "SystemExit" in refused(server.ask("same"))
        assert "--vote" in refused(server.ask("fine", rise={"vote": "judge"}))
        assert server.client.post("/v1/rise/problems/p", json={"replies": ["end"]}).status_code == 500
        assert server.ask("fine").status_code == 200
        assert server.app.state.gate.active == 0


def test_what_sleeps_stops_nobody_else_and_no_end_of_the_server(monkeypatch):
    """A feedback, a vote and a judge that never come back; /health answers meanwhile, and the server ends."""
    asleep = threading.Event()
    monkeypatch.setattr("rise.serve.own_code.LIMIT_S", 0.5)

    def sleep(*_):
        asleep.set()
        time.sleep(10**6)

    prompt = Prompt(feedback="served_sleep:say")
    module = type(sys)("served_sleep")
    module.say = lambda problem, trajectory, verdict: sleep()
    monkeypatch.setitem(sys.modules, "served_sleep", module)
    for given in ({"choose": sleep, "rule": "judge"}, {"prompt": prompt}, {"judge": as_judge(Ending(sleep))}):
        with serving(ScriptedPolicy.from_table(SCRIPT), turns=2, **given) as server:
            server.app.state.chat.reviser.aside.limit_s = 0.5
            answers = []
            asking = threading.Thread(target=lambda s=server, a=answers: a.append(s.ask("sleep")))
            asking.start()
            assert asleep.wait(300)
            for _ in range(5):
                assert server.client.get("/health").status_code == 200
            asking.join(300)
            asleep.clear()
            assert "took longer than 0.5 s" in refused(answers[0])


# --- code that a stranger's card names ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("card", "way_out"),
    [
        ({"task": "jsonl", "task_settings": {"judge": "os:popen"}}, "--set task.settings.judge=os:popen"),
        ({"task": "jsonl", "task_settings": {"judge_path": "mine:Judge"}}, "--set task.settings.judge_path=mine:Judge"),
        ({"task": "arithmetic", "feedback": "theirs/evil.py:say"}, "--set state.feedback=theirs/evil.py:say"),
    ],
)
@pytest.mark.parametrize("command", ["evaluate", "serve", "play"])
def test_code_that_a_checkpoints_card_names_is_not_imported_unasked(command, card, way_out, nano_dir, tmp_path, monkeypatch):
    import shutil

    from typer.testing import CliRunner

    from rise.cli.main import app

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("rise.recipe.own_code.load_named", lambda *words: pytest.fail(f"imported {words}"))
    shutil.copytree(nano_dir, tmp_path / "theirs/checkpoint")
    (tmp_path / "theirs/checkpoint/rise.json").write_text(json.dumps(card))
    done = CliRunner().invoke(app, [command, "theirs/checkpoint"])
    assert isinstance(done.exception, ConfigError), done.output
    assert "names Python code" in str(done.exception) and way_out in str(done.exception)


def test_code_that_is_named_once_more_is_the_users_own_word(module, nano_dir, tmp_path, monkeypatch):
    import shutil

    from rise.runs.card import config_for

    shutil.copytree(nano_dir, tmp_path / "checkpoint")
    card = {"task": "arithmetic", "feedback": f"{module}:fine"}
    (tmp_path / "checkpoint/rise.json").write_text(json.dumps(card))
    said = config_for(str(tmp_path / "checkpoint"), overrides=[f"state.feedback={module}:fine"])
    assert said.state.feedback == f"{module}:fine"
    monkeypatch.setenv("RISE_TRUST_REMOTE_CODE", "1")
    assert config_for(str(tmp_path / "checkpoint")).state.feedback == f"{module}:fine"
    monkeypatch.delenv("RISE_TRUST_REMOTE_CODE")
    ours = card | {"feedback": "rise.judges.python_functions:first_failure"}
    (tmp_path / "checkpoint/rise.json").write_text(json.dumps(ours))
    assert config_for(str(tmp_path / "checkpoint")).state.feedback == ours["feedback"]
