"""Votes in the viewer are counted by the run's own judge, where that can be had without running strangers' code."""

from __future__ import annotations

import json

import pytest
from view_run import write_viewed

from rise.jsonl import dumps
from rise.view.library import Library


@pytest.fixture
def run(tmp_path):
    return write_viewed(tmp_path / "run")


def voted(run, answers, recipe):
    """Groups of the vote over a run with these answers, as the viewer of a run of that recipe shows them."""
    run.config.write_text(recipe + "model = { nano = { hidden = 8 } }\n")
    path = run.stage("round-1").held_out
    data = json.loads(path.read_text().splitlines()[0])
    data["run"] = [data["run"][0] | {"answer": answer} for answer in answers]
    path.write_text(dumps(data) + "\n")
    return [group["answer"] for group in Library([run.path]).record("0/round-1/held-out", 0)["vote"]["groups"]]


def test_the_vote_is_grouped_by_the_judge_of_the_runs_task(run):
    """Programs are equal up to their layout, puzzles' answers up to case; mathematics would call both different."""
    functions = 'name = "f"\ntask = { name = "python-functions", settings = { allow_unsandboxed = true } }\n'
    programs = ["def f(x):\n    return x + 1", "def f(x):\n    # one more\n    return x+1", "def f(x):\n    return x"]
    assert voted(run, programs, functions) == [programs[0], programs[2]]
    assert voted(run, ["1/2", "0.5"], functions) == ["1/2", "0.5"]
    pytest.importorskip("reasoning_gym")
    puzzles = 'name = "g"\ntask = { name = "reasoning-gym:knights_knaves" }\n'
    assert voted(run, ["Ann is a Knight", "ann is  a knight", "ann is a knave"], puzzles) == ["Ann is a Knight", "ann is a knave"]


def test_where_the_task_cannot_be_made_answers_are_grouped_by_their_text(run):
    assert voted(run, ["42", "42.0"], 'name = "x"\ntask = { name = "no-such-task" }\n') == ["42", "42.0"]


@pytest.mark.parametrize("setting", ["judge", "judge_path"])
def test_code_that_a_recipe_names_as_its_judge_is_never_imported(run, tmp_path, monkeypatch, setting):
    (tmp_path / "own_view_judge.py").write_text(f"open({str(tmp_path / 'was-run')!r}, 'w')\nclass Judge: ...\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    recipe = f'name = "x"\ntask = {{ name = "jsonl", settings = {{ {setting} = "own_view_judge:Judge" }} }}\n'
    assert voted(run, ["42", "42.0"], recipe) == ["42", "42.0"]
    assert not (tmp_path / "was-run").exists()
