"""`task.filter`: training problems by how often a model was right on each, counted by hand."""

import json
import warnings

import pytest
from synthetic_run import write_run
from toys import small, turn, write

from rise.errors import ConfigError, DataError
from rise.evaluation.held_out import HeldOut, write_held_out
from rise.jsonl import write_jsonl
from rise.runs.pass_rates import filtered, pass_rates
from rise.runs.preflight import preflight
from rise.tasks import make_task
from rise.tasks.plain import PlainTask
from rise.trajectory import Trajectory, to_json

pytestmark = pytest.mark.filterwarnings("ignore:task .*pass rate")


def records(*patterns):
    """One held-out record a pattern of r and w: the run's first reply, then parallel ones."""
    for i, pattern in enumerate(patterns):
        first, *more = [turn("4", float(letter == "r")) for letter in pattern]
        yield HeldOut(f"p{i}", "2+2", "4", (first, turn("5", 0.0)), tuple(more))


def test_rates_of_an_evaluation_are_shares_of_first_replies(tmp_path):
    (tmp_path / "rates").mkdir()
    write_held_out(tmp_path / "rates" / "held-out.jsonl", records("rrrr", "rrww", "wwww", "wrww"))
    assert pass_rates(tmp_path / "rates") == {"p0": 1.0, "p1": 0.5, "p2": 0.0, "p3": 0.25}


def test_rates_of_a_run_are_those_of_the_last_round_that_collected(tmp_path):
    run = write_run(tmp_path / "run")
    for name, rewards in (("round-1", (1, 1)), ("round-2", (1, 0))):
        run.stage(name).path.mkdir(exist_ok=True)
        rows = [Trajectory("a", "2+2", "4", (turn("4", reward), turn("5", 0)), sample=i) for i, reward in enumerate(rewards)]
        write_jsonl(run.stage(name).trajectories, map(to_json, rows))
    assert pass_rates(run.path) == {"a": 0.5} and pass_rates(run.stage("round-1").path) == {"a": 1.0}


def test_held_out_records_of_a_run_are_no_rates_of_training_problems(tmp_path):
    run = write_run(tmp_path / "run")
    with pytest.raises(DataError, match="--split train --out"):
        pass_rates(run.path)
    with pytest.raises(DataError, match="no replies to training problems"):
        pass_rates(run.stage("round-1").path)


@pytest.mark.parametrize("line", [{"id": "a"}, {"id": 3, "pass_rate": 0.5}, {"id": "a", "pass_rate": 1.5}, {"pass_rate": 0.1}])
def test_a_line_of_a_file_of_rates_that_is_none_is_named(line, tmp_path):
    with pytest.raises(DataError, match="line 2: each line needs"):
        pass_rates(write(tmp_path / "r.jsonl", [{"id": "b", "pass_rate": 1}, line]))


def filter_of(path, low, high):
    return small(task={"filter": {"pass_rate": [low, high], "rates": str(path)}}).task.filter


def test_both_ends_count_order_stays_and_what_is_not_known_is_counted(tmp_path):
    problems = [{"question": f"{i}?", "gold": str(i)} for i in range(6)]
    task = PlainTask({"train": problems, "test": problems[:1]}, judge="exact")
    ids = [problem.id for problem in task.problems("train")]
    rates = write(tmp_path / "r.jsonl", [{"id": ids[i], "pass_rate": r} for i, r in ((4, 0.9), (1, 0.1), (2, 0.95), (0, 0.0))])
    kept = filtered(task, filter_of(rates, 0.1, 0.9))
    with pytest.warns(UserWarning, match="2 of 4 training problems have a pass rate from 0.1 to 0.9; 2 without a rate"):
        assert [problem.question for problem in kept.problems("train")] == ["1?", "4?"]
    assert [problem.question for problem in kept.problems("train", 1, start=1)] == ["4?"] and len(kept.problems("test")) == 1
    with pytest.raises(DataError, match=r"2 training problems have a pass rate .* Widen task.filter.pass_rate"):
        kept.problems("train", 3)


def test_a_generated_task_is_filtered_among_the_problems_that_have_a_rate(tmp_path):
    settings = {"kinds": {"sum": 1}, "sum_terms": 2, "sum_digits": 1}
    every = make_task("arithmetic", **settings).problems("train", 40)
    rates = write(tmp_path / "r.jsonl", [{"id": p.id, "pass_rate": float(i % 2)} for i, p in enumerate(every[10:20])])
    ready = preflight(small(task={"filter": {"pass_rate": [1, 1], "rates": str(rates)}}), "collect")
    assert [p.id for p in ready.problems(1)] == [p.id for p in every[11:15:2]]  # two are asked for


def test_a_recipe_that_cannot_be_filtered_says_why(tmp_path):
    with pytest.raises(ConfigError, match=r"\[0.9, 0.1\]: write two shares"):
        filter_of(tmp_path, 0.9, 0.1)
    with pytest.raises(ConfigError, match="no such file or directory"):
        filtered(make_task("arithmetic"), filter_of(tmp_path / "nowhere", 0, 1))
    strange = write(tmp_path / "r.jsonl", [{"id": "unknown", "pass_rate": 0.5}])
    task = PlainTask([{"question": "1?", "gold": "1"}] * 1, judge="exact")
    with warnings.catch_warnings(), pytest.raises(DataError, match="none of its training problems has a pass rate"):
        filtered(task, filter_of(strange, 0, 1)).problems("train")
    assert json.loads(strange.read_text())["id"] == "unknown"
