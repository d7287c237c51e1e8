"""`rise serve` as it is called: what it serves, what it refuses to, and that it ends when asked."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys

import httpx
import pytest
from serving import TABLE, Slow, assembled, serving
from toys import toy_recipe
from typer.testing import CliRunner

from rise.cli.main import app
from rise.cli.serve import suit
from rise.errors import ConfigError, DataError
from rise.play.prompt import Prompt
from rise.policy import Sampling
from rise.runs.card import card, checkpoint_of
from rise.serve.requests import Limits
from rise.trajectory import Message

ASK = [{"role": "user", "content": "347*68"}]


@pytest.fixture(scope="module")
def run(nano_dir, tmp_path_factory):
    """What a run of two rounds leaves for serving: its settings, and untrained checkpoints with their cards."""
    path = tmp_path_factory.mktemp("runs") / "toy"
    for stage in ("base", "round-1", "round-2", "round-10"):
        shutil.copytree(nano_dir, path / stage / "checkpoint")
        text = json.dumps(card(toy_recipe(), Prompt(feedback="neutral", feedback_text="?", window=1), stage))
        (path / stage / "checkpoint/rise.json").write_text(text)
    shutil.rmtree(path / "round-10/checkpoint")  # under way
    (path / "config.toml").write_text("")
    return path


def test_a_run_is_served_as_its_last_checkpoint_with_what_its_card_says(run):
    reviser, served = assembled(run)
    assert checkpoint_of(str(run)) == str(run / "round-2/checkpoint")
    assert checkpoint_of(f"vllm:{run}") == f"vllm:{run / 'round-2/checkpoint'}"
    assert served.name == "toy-round-2"
    assert (served.turns, served.sampling) == (3, Sampling(max_new_tokens=12))
    assert (reviser.prompt.feedback, reviser.prompt.feedback_text, reviser.prompt.window) == ("neutral", "?", 1)
    assert served.about == {"task": "arithmetic", "feedback": "neutral", "window": 1, "round": 2}
    other, named = assembled(run / "round-1/checkpoint", overrides=["state.window=0"], turns=2)
    assert other.prompt.window == 0
    assert (other.prompt.instructions, named.name) == (None, "toy-round-1")


def test_a_run_without_a_checkpoint_says_how_to_get_one(tmp_path):
    (tmp_path / "config.toml").write_text("")
    with pytest.raises(DataError, match="without a checkpoint"):
        checkpoint_of(str(tmp_path))


def test_a_served_checkpoint_does_not_need_the_problems_it_was_trained_on(run, tmp_path):
    checkpoint = tmp_path / "checkpoint"
    shutil.copytree(run / "round-1/checkpoint", checkpoint)
    known = json.loads((checkpoint / "rise.json").read_text())
    known |= {"task": "jsonl", "task_settings": {"path": "gone.jsonl", "mode": "lenient"}}
    (checkpoint / "rise.json").write_text(json.dumps(known))
    reviser, _ = assembled(checkpoint)
    assert reviser.judge.answer("so 5") == "5", "the task's judge, in its mode"


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "replies.json"
    path.write_text(json.dumps({"1+1": [r"\boxed{3}", r"\boxed{2}"]}))
    return f"scripted:{path}"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"overrides": ["state.feedback=truthful"]}, "nobody knows while serving"),
        ({"overrides": ["state.feedback=no_such_module:f"]}, "cannot be imported"),
        ({"vote": "best"}, "majority, last, agree"),
        ({"vote": "no_such_module:f"}, "cannot be imported"),
        ({"dtype": "float8"}, "--dtype float8"),
        ({"task": "gsm9k"}, 'Did you mean "gsm8k"'),
    ],
)
def test_what_cannot_be_served_is_said_before_it_starts(script, given, message):
    with pytest.raises(ConfigError, match=message):
        assembled(script, **given)


def test_in_front_of_another_server(monkeypatch):
    """Which here is ours as well, giving single turns: revised in front, cancelled through, and gone at last."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    engine = Slow(TABLE, 0.05)
    with serving(engine) as behind:
        reviser, served = assembled(f"{behind.url}/v1#m@1", turns=3, overrides=["sampling.max_new_tokens=64"])
        suit(reviser.policy, Limits(n_active=4))
        assert (served.name, served.about) == ("m@1", {"feedback": "always-wrong"})
        with serving(reviser.policy, prompt=reviser.prompt, turns=served.turns) as front:
            data = front.ask().json()
            assert data["choices"][0]["message"]["content"] == TABLE["347*68"][1]
            assert data["usage"] == behind.ask(rise={"turns": 3}).json()["usage"]
            engine.seconds = 10_000
            with pytest.raises(httpx.ReadTimeout):
                front.client.post(
                    "/v1/chat/completions", json={"model": "m", "messages": ASK}, timeout=httpx.Timeout(300, read=0.5)
                )
            behind.wait_until(lambda: engine.n_cancelled == 1)
            engine.seconds = 0
            behind.stop()
            gone = front.ask()
            assert (gone.status_code, gone.json()["error"]["code"]) == (502, "engine_error")
            assert front.client.get("/health").status_code == 200


def test_others_are_let_in_only_with_a_key(script, monkeypatch):
    monkeypatch.delenv("RISE_API_KEY", raising=False)
    done = CliRunner().invoke(app, ["serve", script, "--host", "0.0.0.0"])
    assert isinstance(done.exception, ConfigError) and "RISE_API_KEY" in str(done.exception)


def test_it_serves_until_it_is_interrupted(script):
    environment = {**os.environ, "RISE_API_KEY": "s3cret"}
    command = [sys.executable, "-m", "rise.cli.main", "serve", script, "--port", "0", "--turns", "2", "--name", "mine"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        said = process.stdout.readline()
        url = re.search(r"http://127\.0\.0\.1:\d+/v1", said)[0]
        assert said.startswith("mine (2 turns, vote majority) at http://")
        body = {"model": "mine", "messages": [{"role": "user", "content": "1+1"}]}
        with httpx.Client(verify=False, trust_env=False, headers={"authorization": "Bearer s3cret"}) as client:
            answer = client.post(f"{url}/chat/completions", json=body).json()
        # A tie of 3 and 2: the answer given last.
        assert answer["choices"][0]["message"]["content"] == r"\boxed{2}"
        process.send_signal(signal.SIGINT)
        _, log = process.communicate(timeout=300)
        assert process.returncode in (0, 130)
        assert "POST /v1/chat/completions 200" in log and "1+1" not in log and "s3cret" not in log
        assert "Traceback" not in log
    finally:
        process.kill()


def test_a_local_checkpoint_answers_and_a_conversation_too_long_for_it_is_refused(run):
    reviser, served = assembled(run)
    with serving(reviser.policy, prompt=reviser.prompt, judge=reviser.judge, turns=served.turns) as server:
        data = server.ask("3+4", max_tokens=12, seed=1, rise={"return_turns": True}).json()
        assert len(data["rise"]["turns"]) == 3
        first, second, _ = data["rise"]["turns"]
        assert second["prompt_tokens"] > first["prompt_tokens"], "the attempt is shown"
        again = server.ask("3+4", max_tokens=12, seed=1, rise={"return_turns": True}).json()
        assert [t["reply"] for t in again["rise"]["turns"]] == [t["reply"] for t in data["rise"]["turns"]]
        refused = server.ask("1+" * 200 + "1")
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "context_length_exceeded")
        # 192 tokens in all: a first state of 190 leaves room for an attempt, but none for showing it with feedback.
        bare = len(reviser.renderer.prompt_ids(reviser.prompt.opened([Message("user", "")])))
        filled = server.ask("1" * (190 - bare), max_tokens=60).json()
        assert (filled["rise"]["stopped"], filled["rise"]["n_turns"]) == ("context", 1)
