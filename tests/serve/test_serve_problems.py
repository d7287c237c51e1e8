"""Test problems to try: questions at once, gold only for replies, and none where the task is not here."""

from __future__ import annotations

import json
import shutil

import pytest
from serving import TABLE, serving
from toys import toy_recipe

from rise.cli.serve import assemble
from rise.play.prompt import Prompt
from rise.runs.card import card, note_turns
from rise.task import Problem

PROBLEMS = (
    Problem("347*68", gold="23596", id="first"),
    Problem("tie", gold="2"),
    Problem("7", gold="the sum is 7, so \\boxed{7}", id="c"),
)


@pytest.fixture(scope="module")
def server():
    with serving(problems=PROBLEMS) as running:
        yield running


def test_questions_come_without_their_answers(server):
    found = server.client.get("/v1/rise/problems").json()["problems"]
    assert [p["question"] for p in found] == ["347*68", "tie", "7"] and all(set(p) == {"id", "question"} for p in found)
    pages = [server.client.get(path).text for path in ("/v1/rise/problems", "/v1/models", "/", "/playground/playground.js")]
    assert not any("23596" in page for page in pages)


def test_gold_and_verdicts_are_told_for_replies(server):
    told = server.client.post("/v1/rise/problems/first", json={"replies": TABLE["347*68"]}).json()
    assert told == {"gold": "23596", "verdicts": ["wrong", "right", "right", "right", "unparsable"]}
    assert server.client.post("/v1/rise/problems/c", json={"replies": ["?"]}).json()["gold"] == "7"


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"replies": []}', b'{"replies": [1]}', b'{"replies": "23596"}', b"\xff"])
def test_without_replies_gold_is_not_told(server, body):
    refused = server.client.post("/v1/rise/problems/first", content=body, headers={"content-type": "application/json"})
    assert refused.status_code == 400 and "23596" not in refused.text.replace(body.decode("latin1"), "")


def test_too_many_replies_and_unknown_problems_are_refused(server):
    assert server.client.post("/v1/rise/problems/first", json={"replies": ["x"] * 65}).status_code == 400
    assert server.client.post("/v1/rise/problems/nobody", json={"replies": ["x"]}).status_code == 404


def test_a_key_keeps_the_problems_too():
    with serving(problems=PROBLEMS, key="s3cret") as server:
        assert server.client.get("/v1/rise/problems").status_code == 401
        assert server.client.post("/v1/rise/problems/first", json={"replies": ["x"]}).status_code == 401


@pytest.fixture
def checkpoint(nano_dir, tmp_path):
    path = tmp_path / "run/round-1/checkpoint"
    shutil.copytree(nano_dir, path)
    (path / "rise.json").write_text(json.dumps(card(toy_recipe(), Prompt(feedback="neutral"), "round-1")))
    return path


def served(spec, turns=None, **task):
    return assemble(str(spec), None, turns, "majority", task.get("task"), [], 8, "float32")[1]


def test_a_checkpoint_offers_the_first_three_of_its_test_split(checkpoint):
    recipe = toy_recipe()
    from rise.tasks import make_task

    expected = make_task(recipe.task.name, **recipe.task.settings).problems("test", 3)
    assert served(checkpoint).problems == tuple(expected) and len(expected) == 3


def test_another_task_or_one_whose_files_are_elsewhere_offers_none(checkpoint):
    assert served(checkpoint, task="gsm8k").problems == ()
    known = json.loads((checkpoint / "rise.json").read_text())
    known |= {"task": "jsonl", "task_settings": {"path": "nowhere.jsonl"}}
    (checkpoint / "rise.json").write_text(json.dumps(known))
    assert served(checkpoint).problems == ()


def test_turns_are_what_the_measurement_found_unless_they_are_given(checkpoint):
    assert served(checkpoint).turns == 3  # the recipe's
    note_turns(checkpoint, 2)
    assert served(checkpoint).turns == 2 and served(checkpoint, turns=7).turns == 7
