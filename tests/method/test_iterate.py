"""The whole method on a model of 20,000 parameters: what each stage leaves, what continuing skips, what is refused."""

import json
import shutil
from pathlib import Path

import pytest
from toys import files, small, toy_recipe

from rise.dataset.example import read_examples
from rise.errors import ConfigError, ResumeError, RiseError
from rise.method.evaluate import evaluate_stage
from rise.method.iterate import run
from rise.play.ledger import Ledger
from rise.runs.context import Silent, open_context
from rise.runs.directory import RunDir
from rise.runs.preflight import preflight
from rise.training.threads import fix_threads
from rise.trajectory import read_relabelled, read_trajectories

pytestmark = pytest.mark.usefixtures("one_thread")

STAGES = ["base", "boost-one-turn", "boost", "round-1", "round-2"]


class Listening(Silent):
    def __init__(self):
        self.begun, self.done = [], []

    def begin(self, stage, part, total):
        if (stage, part) not in self.begun:
            self.begun.append((stage, part))

    def stage_done(self, stage):
        self.done.append(stage.name)


@pytest.fixture
def copy(toy_run, tmp_path):
    return RunDir(shutil.copytree(toy_run.path, tmp_path / "run"))


# --- what a run leaves ------------------------------------------------------------------------------------------------


def test_every_stage_leaves_what_the_design_says(toy_run):
    assert [stage.name for stage in toy_run.stages()] == STAGES
    for stage in toy_run.stages():
        assert stage.held_out.exists() and stage.metrics.exists() and (stage.checkpoint / "model.safetensors").exists()
        assert stage.trajectories.exists() == stage.relabelled.exists() == stage.name.startswith("round")
        assert stage.examples.exists() == stage.dataset.exists() == (stage.name != "base")
    left = [name for name in files(toy_run.path) if "partial" in name or "/training/" in name]
    assert left == []


def test_stage_files_are_sorted_and_hold_no_clock(toy_run):
    stage = toy_run.stage("round-1")
    ids = [t.problem_id for t in read_trajectories(stage.trajectories)]
    assert ids == sorted(ids) and len(ids) == 12
    states = [(r.problem_id, r.turn) for r in read_relabelled(stage.relabelled)]
    assert states == sorted(states)
    for path in toy_run.path.rglob("*.json*"):
        if path.name not in ("metrics.jsonl", "provenance.json"):
            assert '"time"' not in path.read_text() and "seconds" not in path.read_text()


def test_round_two_takes_two_student_turns_and_improves_each_state(toy_run):
    assert {len(t.turns) for t in read_trajectories(toy_run.stage("round-2").trajectories)} == {2}
    assert {r.turn for r in read_relabelled(toy_run.stage("round-2").relabelled)} == {1, 2}
    assert {len(r.candidates) for r in read_relabelled(toy_run.stage("round-2").relabelled)} == {3}


def test_weights_of_a_round_have_mean_one(toy_run):
    weights = [e.weight for e in read_examples(toy_run.stage("round-1").examples)]
    assert sum(weights) / len(weights) == pytest.approx(1.0)


def test_metrics_compare_with_the_stage_before_and_hold_every_key(toy_run):
    metrics = toy_run.stage("round-2").read_metrics()
    assert metrics["previous"] == "round-1" and metrics["paired"]["previous"]["m1@t1"]["n"] == 6
    for key in ("m1@t1", "m2@t1", "m1@t3", "p1@t3", "p2@t1", "wrong_to_right", "right_to_wrong", "repeated", "unparsable"):
        assert {"value", "low", "high", "n"} <= metrics[key].keys()
    assert len(metrics["accuracy_by_turn"]) == 3
    assert "previous" not in toy_run.stage("base").read_metrics()
    assert metrics["controls"]["other"] is not None  # controls = "last"
    assert toy_run.stage("round-1").read_metrics()["controls"]["other"] is None


def test_a_checkpoint_says_how_it_is_to_be_used(toy_run):
    from rise.training.weights import weights_hash

    for stage in toy_run.stages():
        card = json.loads((stage.checkpoint / "rise.json").read_text())
        assert (card["task"], card["feedback"], card["feedback_text"], card["window"]) == ("arithmetic", "neutral", "?", 1)
        assert (card["turns"], card["sampling"]["max_new_tokens"]) == (3, 12)
        assert card["weights"] == weights_hash(stage.checkpoint)
    assert json.loads((toy_run.stage("round-2").checkpoint / "rise.json").read_text())["round"] == 2


def test_the_log_tells_time_and_tokens_of_each_part(toy_run):
    events = [e for e in toy_run.read_log() if "part" in e]
    assert [(e["stage"], e["part"]) for e in events if e["stage"] == "round-2"] == [
        ("round-2", part) for part in ("rollout", "relabel", "train", "evaluate")
    ]
    rollout = next(e for e in events if e["stage"] == "round-2" and e["part"] == "rollout")
    assert rollout["n_replies"] == 24 and rollout["n_reused"] == 0 and rollout["n_reply_tokens"] > 24


@pytest.mark.slow
def test_the_same_recipe_makes_the_same_files_anywhere(toy_run, tmp_path):
    again = run(toy_recipe(), tmp_path / "again")
    clocks = ("metrics.jsonl", "provenance.json")
    mine, theirs = files(toy_run.path), files(again.path)
    assert {n: b for n, b in mine.items() if n not in clocks} == {n: b for n, b in theirs.items() if n not in clocks}


def test_a_stage_measured_again_is_compared_with_the_one_before_it_not_the_last_on_disk(toy_run, tmp_path, one_thread):
    copied = RunDir(Path(shutil.copytree(toy_run.path, tmp_path / "run")))
    stage = copied.stage("boost")
    before = stage.metrics.read_text()
    stage.metrics.unlink()
    with open_context(preflight(toy_recipe()), copied.ledger, directory=copied.path, run_dir=copied) as context:
        evaluate_stage(context, "boost", stage.checkpoint)
    assert json.loads(before)["previous"] == "boost-one-turn"
    assert stage.metrics.read_text() == before


def test_threads_without_deterministic_set_only_threads(one_thread):
    import torch

    for deterministic in (False, True):
        torch.use_deterministic_algorithms(False)
        fix_threads(toy_recipe(deterministic=deterministic))
        assert torch.are_deterministic_algorithms_enabled() is deterministic
    torch.use_deterministic_algorithms(False)


def test_multi_turn_boosts_weigh_one(toy_run):
    assert {e.weight for e in read_examples(toy_run.stage("boost").examples)} == {1.0}


# --- reusing a boost -----------------------------------------------------------------------------------------------------


def test_a_boost_is_copied_without_unfinished_training_and_only_when_it_is_finished(copy, tmp_path):
    (copy.stage("boost").path / "training").mkdir()
    recipe = toy_recipe(boost={"reuse": str(copy.path)}, iterate={"rounds": 0})
    listening = Listening()
    run_dir = run(recipe, tmp_path / "new", progress=listening)
    assert listening.begun == [] and (run_dir.stage("boost").checkpoint / "rise.json").exists()
    assert not (run_dir.stage("boost").path / "training").exists()
    copy.stage("boost").metrics.unlink()
    with pytest.raises(ConfigError, match="has not finished its boost"):
        run(recipe, tmp_path / "newer")
    copy.config.unlink()
    with pytest.raises(ConfigError, match=r"no run directory: it holds no config\.toml"):
        run(recipe, tmp_path / "newest")


# --- continuing -------------------------------------------------------------------------------------------------------


def test_a_finished_run_does_nothing_again(copy):
    before, listening = files(copy.path), Listening()
    run(toy_recipe(), copy.path, progress=listening)
    assert listening.begun == []
    assert {n for n, content in files(copy.path).items() if before[n] != content} == {"metrics.jsonl"}
    continued = copy.read_log()[-1]["continued"]
    assert continued["versions"]["torch"] and "commit" in continued


def test_continuing_skips_what_is_finished_and_redoes_what_is_not(copy):
    before = files(copy.path)
    for name in ("relabelled.jsonl", "examples.jsonl", "held-out.jsonl", "metrics.json"):
        (copy.stage("round-2").path / name).unlink()
    shutil.rmtree(copy.stage("round-2").checkpoint)
    listening = Listening()
    run(toy_recipe(), copy.path, progress=listening)
    assert listening.begun == [("round-2", part) for part in ("relabel", "train", "evaluate")]
    after = files(copy.path)
    assert {n for n in before if after.get(n) != before[n]} == {"metrics.jsonl"}
    relabel = [e for e in copy.read_log() if e.get("part") == "relabel"][-1]
    assert relabel["n_replies"] == 0 and relabel["n_reused"] == 72  # 12 problems, 2 states, 3 samples: all in the ledger


def test_a_changed_recipe_is_refused_and_every_change_named(copy):
    with pytest.raises(ResumeError) as caught:
        run(toy_recipe(weigh={"temperature": 0.2}, iterate={"rounds": 1}), copy.path)
    assert "weigh.temperature: 0.4 → 0.2" in str(caught.value) and "iterate.rounds: 2 → 1" in str(caught.value)
    assert "give another --out" in str(caught.value)


def test_a_directory_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("…")
    with pytest.raises(ResumeError, match=r"not empty and holds no config\.toml"):
        run(small(), tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_kill_before_the_config_was_written_leaves_a_directory_that_can_be_run(tmp_path, untrained):
    (tmp_path / "provenance.json").write_text("{}")
    (tmp_path / "config.toml.partial").write_text("name = ")
    run(small(iterate={"rounds": 0}), tmp_path)
    assert RunDir(tmp_path).stage("base").metrics.exists()


def test_an_event_torn_by_a_kill_does_not_swallow_the_next(copy):
    n = len(copy.read_log())
    with copy.log.open("a") as file:
        file.write('{"time":1.0,"sta')
    copy.stage("round-2").metrics.unlink()
    copy.stage("round-2").held_out.unlink()
    run(toy_recipe(), copy.path)
    assert len(copy.read_log()) == n + 2  # that it was continued, and the evaluation


def test_a_second_process_is_kept_out_before_it_writes_anything(tmp_path):
    with Ledger(tmp_path / "run" / "ledger.jsonl"), pytest.raises(RiseError, match="another process is at work"):
        run(small(), tmp_path / "run")
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["ledger.jsonl"]


def test_a_whole_run_under_torchrun_is_refused_at_once(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="only `rise train` runs under torchrun"):
        run(small(), tmp_path / "run")
    assert not (tmp_path / "run").exists()
