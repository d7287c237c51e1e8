"""The list of stages and parts: one entry is enough for order, words and colours wherever they are shown."""

import json

import pytest
from synthetic_run import BOOST, ROUND_1, write_run

from rise.report.collect import collect
from rise.report.colours import ROLES
from rise.runs import stages
from rise.runs.directory import RunDir
from rise.view.library import Library


def test_stages_are_listed_in_the_order_in_which_they_run(tmp_path):
    for name in ("round-10", "boost", "round-9", "base", "boost-one-turn", "round-x", "round-01", "other"):
        (tmp_path / name).mkdir()
    assert stages.on_disk(tmp_path) == ["base", "boost-one-turn", "boost", "round-9", "round-10"]
    assert stages.on_disk(tmp_path / "nothing") == []
    with pytest.raises(ValueError, match=r"'other' is no stage of a run: stages are base, boost-one-turn, boost and round-1"):
        stages.order("other")


@pytest.mark.parametrize(
    ("boost", "expected"),
    [
        ({}, ["base", "round-1", "round-2"]),
        ({"enabled": True}, ["base", "boost-one-turn", "boost", "round-1", "round-2"]),
        ({"enabled": True, "also_one_turn": False}, ["base", "boost", "round-1", "round-2"]),
        ({"enabled": True, "also_one_turn": False, "multi_turn_share": 0}, ["base", "boost-one-turn", "round-1", "round-2"]),
    ],
)
def test_a_recipe_says_which_stages_it_measures(boost, expected):
    assert stages.expected({"boost": boost, "iterate": {"rounds": 2}}) == expected


def test_every_colour_is_a_role_of_the_reports():
    assert {entry.colour for entry in (*stages.BEFORE_ROUNDS, *stages.PARTS)} <= set(ROLES)


def test_a_part_that_is_not_listed_still_has_words():
    found = stages.parts_in(["boost-data", "evaluate", "rollout"])
    assert [part.title for part in found] == [
        "rollout",
        "evaluate",
        "boost data",
    ]


def test_a_stage_added_to_the_list_is_found_by_run_report_and_viewer(tmp_path, monkeypatch):
    own = stages.Named("warm-up", "warm-up", "warm-up", colour="parallel")
    before = (*stages.BEFORE_ROUNDS[:1], own, *stages.BEFORE_ROUNDS[1:])
    monkeypatch.setattr(stages, "BEFORE_ROUNDS", before)
    run = write_run(tmp_path / "run", {"boost": BOOST, "warm-up": BOOST, "round-1": ROUND_1})
    assert [stage.name for stage in RunDir(run.path).stages()] == ["warm-up", "boost", "round-1"]
    assert [stage.name for stage in collect(run.path).measured] == ["warm-up", "boost", "round-1"]
    [shown] = [s for s in Library([run.path]).overview()["runs"][0]["stages"] if s["name"] == "warm-up"]
    assert (shown["title"], shown["colour"]) == ("warm-up", "parallel")
    assert json.loads(Library([run.path]).rows("0/warm-up/held-out", 0, 100))["n"] == len(BOOST)
