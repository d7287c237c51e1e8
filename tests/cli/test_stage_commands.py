"""The stage commands are the stages of `rise run`: the same files, the same bill."""

import json
import os
import re
import signal
import threading
import time

import pytest
from odd_endpoint import OddEndpoint, chat
from toys import small
from typer.testing import CliRunner

from rise.cli.main import app
from rise.method.iterate import run
from rise.play.budget import Budget, BudgetError, paid
from rise.policies.scripted import ScriptedPolicy
from rise.recipe.toml import to_toml
from rise.runs.preflight import preflight

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def recipe(tmp_path, nano_dir):
    def write(**overrides):
        overrides["model"] = {"path": str(nano_dir), "nano": None}
        config = small(**{"task": {"n_train": 4, "n_test": 2, "n_validation": 2}, "sampling": {"max_new_tokens": 4}, **overrides})
        path = tmp_path / "recipe.toml"
        path.write_text(to_toml(config))
        return config, path

    return write


def rise(*words):
    done = CliRunner().invoke(app, [str(word) for word in words])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.output


def test_relabel_stops_at_the_budget_and_counts_what_an_earlier_command_paid(recipe, tmp_path, nano_dir, monkeypatch):
    """Replies of three tokens at one unit a token: a budget of 4 is spent by the second of four."""
    monkeypatch.setattr(ScriptedPolicy, "max_in_flight", 1)
    script = tmp_path / "script.json"
    script.write_text("{}")
    teacher = {"improver": "teacher", "teacher": f"scripted:{script}", "n_samples": 1, "states": "last", "price_reply": 1e6}
    config, path = recipe(relabel={**teacher, "budget": 4.0})
    script.write_text(json.dumps({p.question: ["one two three"] for p in preflight(config).problems(1)}))
    rise("rollout", path, "--policy", nano_dir, "--out", tmp_path / "t.jsonl")
    command = (
        "relabel",
        path,
        "--trajectories",
        tmp_path / "t.jsonl",
        "--policy",
        f"scripted:{script}",
        "--out",
        tmp_path / "r.jsonl",
    )
    with pytest.raises(BudgetError, match=r"relabel\.budget = 4 is spent"):
        rise(*command)
    assert not (tmp_path / "r.jsonl").exists()
    n_paid = (tmp_path / "r.ledger.jsonl").read_text().count("\n")
    rise(*command, "--set", "relabel.budget=1000")
    assert len((tmp_path / "r.jsonl").read_text().splitlines()) == 4
    ledger = [json.loads(line) for line in (tmp_path / "r.ledger.jsonl").read_text().splitlines()]
    asked = [line["problem"] for line in ledger if "turn" in line]
    assert len(asked) == len(set(asked)) == 4 and n_paid >= 2  # nothing was asked for twice


def replies_in(ledger):
    lines = [json.loads(line) for line in ledger.read_text().splitlines()] if ledger.exists() else []
    return [line["turn"]["reply"] for line in lines if "turn" in line]


@pytest.fixture
def interrupting(tmp_path):
    """A teacher that numbers its replies. Ctrl-C is pressed when two of the first four are in the ledger."""
    gone = threading.Event()

    def rule(call):
        if call.number == 3:
            while len(replies_in(tmp_path / "r.ledger.jsonl")) < 2:
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGINT)
        if call.number in (2, 3):
            gone.wait(300)
        return chat(f"reply {call.number}")

    server = OddEndpoint(rule)
    yield server, gone
    gone.set()
    server.stop()


def test_a_deterministic_relabel_that_was_interrupted_pays_for_no_reply_twice(recipe, tmp_path, interrupting):
    """All four problems would be one fixed group. At one unit a token, and three tokens a reply, the bill is 12."""
    server, gone = interrupting
    teacher = {"improver": "teacher", "teacher": server.spec, "n_samples": 1, "states": "last", "relabel_right": "keep"}
    config, path = recipe(relabel={**teacher, "price_reply": 1e6, "budget": 20.0}, http={"concurrency": 4})
    script = tmp_path / "student.json"
    script.write_text(json.dumps({p.question: ["5"] for p in preflight(config).problems(1)}))
    rise("rollout", path, "--policy", f"scripted:{script}", "--out", tmp_path / "t.jsonl")
    out, ledger = tmp_path / "r.jsonl", tmp_path / "r.ledger.jsonl"
    command = ("relabel", path, "--trajectories", tmp_path / "t.jsonl", "--policy", server.spec, "--out", out)
    assert config.deterministic
    rise(*command)
    gone.set()
    assert len(server.calls) == 4 and len(replies_in(ledger)) == 2 and not out.exists()
    rise(*command)
    assert len(server.calls) == 4 + 2
    assert paid(ledger, "relabel", Budget(price_reply=1e6)) == 12
    assert sorted(replies_in(ledger)) == ["reply 0", "reply 1", "reply 4", "reply 5"]
    assert sorted(item["candidates"][0]["reply"] for item in map(json.loads, out.open())) == sorted(replies_in(ledger))


def test_stage_commands_write_what_the_run_writes_but_for_their_random_streams(recipe, tmp_path, nano_dir, untrained):
    """Gold needs no stream: the improved replies and the examples are equal to the byte."""
    config, path = recipe(relabel={"improver": "gold"}, keep={"trained_turns": "last"})
    whole = run(config, tmp_path / "run").stage("round-1")
    out = tmp_path / "apart"
    out.mkdir()
    (out / "t.jsonl").write_bytes(whole.trajectories.read_bytes())
    said = rise(
        "relabel",
        path,
        "--trajectories",
        out / "t.jsonl",
        "--policy",
        nano_dir,
        "--out",
        out / "r.jsonl",
        "--examples",
        out / "e.jsonl",
    )
    assert (out / "r.jsonl").read_bytes() == whole.relabelled.read_bytes()
    assert (out / "e.jsonl").read_bytes() == whole.examples.read_bytes()
    assert re.search(r"e\.jsonl: \d+ examples, effective sample size \d+", said)
