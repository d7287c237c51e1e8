"""`rise evaluate --play-on`: the turns after the model's own stop, and no such question where nothing makes it stop."""

import json

import pytest
from typer.testing import CliRunner

from rise.cli.main import app


@pytest.fixture
def words(tmp_path):
    """A script says 5 to 2+2; whatever is asked next, it says yes and 4: the verdict on the 5, and the second attempt."""
    (tmp_path / "p.jsonl").write_text(json.dumps({"question": "2+2", "gold": "4"}) + "\n")
    (tmp_path / "s.json").write_text(json.dumps({"2+2": ["\\boxed{5}", "yes \\boxed{4}"]}))
    task = ("--task", "jsonl", "--set", f"test_path={tmp_path / 'p.jsonl'}", "--turns", "2", "--samples", "1", "--play-on")
    return ["evaluate", f"scripted:{tmp_path / 's.json'}", *task, "--json"]


def test_it_is_refused_where_the_model_is_never_asked(words):
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 1
    assert "evaluate.play_on takes the turns after the model's own stop" in str(done.exception)


def test_what_a_stop_cost_is_measured(words):
    done = CliRunner().invoke(
        app, [*words, "--set", "state.verify={ask='Sure?', right='yes', wrong='no'}"], catch_exceptions=False
    )
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)["own_stop"]
    assert found["stopped"]["value"] == 1.0 and found["wrong_stops"]["value"] == 1.0
    assert found["played_on"]["accuracy"]["value"] == 1.0  # had it gone on, it would have said 4
