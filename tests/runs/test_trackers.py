"""What trackers hear of a run: its parts, its stages and its report, once each, however often it is continued.

TensorBoard is the real package here; wandb, trackio and mlflow are in tests/trackers (make test-trackers).
"""

import json
import sys
import types
from pathlib import Path

import pytest
from synthetic_run import BOOST, ROUND_1, write_run
from toys import small

from rise.errors import ConfigError
from rise.method.iterate import run as run_recipe
from rise.recipe.machines import TRACKERS
from rise.recipe.toml import load_recipe
from rise.report import write_public_report, write_report
from rise.runs.context import Silent
from rise.runs.destinations import DESTINATIONS
from rise.runs.preflight import preflight
from rise.runs.trackers import stage_numbers, tracking


def events(run):
    """Tag → [(step, value)] as TensorBoard itself reads them; texts by tag."""
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(run / "tensorboard" / "rise"), size_guidance={"scalars": 0, "tensors": 0})
    found.Reload()
    scalars = {tag: [(e.step, e.value) for e in found.Scalars(tag)] for tag in found.Tags()["scalars"]}
    return scalars, {tag: found.Tensors(tag)[0].tensor_proto.string_val[0].decode() for tag in found.Tags()["tensors"]}


def config_of(run, *to):
    return load_recipe(run.config, overrides=[f"track.to={json.dumps(to)}"])


def track(run, *to, fail=False):
    """A run whose files are there is told of, from its beginning to its end."""
    with tracking(config_of(run, *to), run.path, Silent(), write_public_report) as told:
        told.start(None)
        if fail:
            raise KeyboardInterrupt


def test_a_stage_is_told_with_its_numbers_and_their_intervals(tmp_path):
    run = write_run(tmp_path / "run", {"boost": BOOST, "round-1": ROUND_1})
    told = stage_numbers(run.stage("round-1"))
    # As counted in synthetic_run: 4 of 8 right at turn 1, 5 of 8 at turn 5; 2 of the 40 replies hold no answer, none is cut.
    assert told["accuracy/turn_1"] == 0.5 and told["accuracy/turn_5"] == told["metric/t5"] == 5 / 8
    assert told["difference/t5-t1"] == 1 / 8 and told["difference/t5-t1/low"] < 0 < told["difference/t5-t1/high"]
    assert told["replies/unparsable"] == 2 / 40 and told["replies/cut"] == 0 and told["examples"] == 3 and told["round"] == 1


@pytest.mark.slow
def test_parts_stages_and_report_arrive_once_and_a_continued_run_adds_what_is_new(tmp_path):
    run = write_run(tmp_path / "run", {"boost": BOOST})
    run.write_log(stage="boost", part="relabel", seconds=2.0, n_replies=4, n_prompt_tokens=9, n_reply_tokens=8, price=0.25)
    with pytest.raises(KeyboardInterrupt):
        track(run, "tensorboard", fail=True)
    scalars, texts = events(run.path)
    assert scalars["accuracy/turn_1"] == [(2, 0.125)] and scalars["part/relabel/price"] == [(2, 0.25)] and texts == {}
    write_run(tmp_path / "more", {"boost": BOOST, "round-1": ROUND_1})
    (tmp_path / "more" / "round-1").rename(run.path / "round-1")
    run.write_log(stage="round-1", part="rollout", seconds=7.0)
    track(run, "tensorboard")
    scalars, texts = events(run.path)
    assert scalars["accuracy/turn_1"] == [(2, 0.125), (3, 0.5)]
    assert scalars["part/rollout/seconds"] == [(2, 12.0), (3, 7.0)] and len(scalars["part/train/seconds"]) == 1
    assert "Recursive Introspection" in texts["report"]


@pytest.mark.slow
def test_a_real_run_is_told_while_it_goes_on(tmp_path, one_thread):
    config = small(track={"to": ["tensorboard"], "name": "mine"})
    run = run_recipe(config, tmp_path / "run", report=write_public_report)
    scalars, texts = events(run.path)
    assert [step for step, _ in scalars["accuracy/turn_1"]] == [0, 3]
    assert {"part/rollout/n_replies", "part/relabel/n_reply_tokens", "part/train/seconds"} <= scalars.keys() and texts
    events_before = len(scalars["part/evaluate/seconds"])
    run_recipe(config, tmp_path / "run", report=write_public_report)
    assert len(events(run.path)[0]["part/evaluate/seconds"]) == events_before


class Library(types.ModuleType):
    """A stand-in for wandb that takes what our class calls, and breaks when told to."""

    def __init__(self):
        super().__init__("wandb")
        self.logged, self.files, self.breaks, self.ended = [], {}, False, None

    def init(self, **settings):
        self.settings, self.id = settings, "run-1"
        return self

    def define_metric(self, *_, **__): ...

    def log(self, values):
        if self.breaks:
            raise ConnectionError("no route to host")
        self.logged.append(values)

    def Artifact(self, name, type):
        return types.SimpleNamespace(add_file=lambda file: self.files.update({Path(file).name: Path(file).read_text()}))

    def log_artifact(self, artifact): ...

    def finish(self, exit_code):
        self.ended = exit_code


@pytest.fixture
def library(monkeypatch):
    found = Library()
    monkeypatch.setitem(sys.modules, "wandb", found)
    return found


def test_a_tracker_that_breaks_is_left_behind_and_the_run_goes_on(tmp_path, library):
    run = write_run(tmp_path / "run", {"boost": BOOST, "round-1": ROUND_1})
    library.breaks = True
    with pytest.warns(UserWarning, match=r"wandb is left behind \(ConnectionError: no route to host\)"):
        track(run, "wandb", "tensorboard")
    assert events(run.path)[0]["accuracy/turn_1"] == [(2, 0.125), (3, 0.5)]


def test_what_a_tracker_is_told_of_the_recipe_holds_no_path_and_no_address(tmp_path, library):
    (tmp_path / "home-of-ada").mkdir()
    run = write_run(tmp_path / "home-of-ada" / "run", {"round-1": ROUND_1})
    text = run.config.read_text() + '\n[relabel]\nimprover = "teacher"\nteacher = "http://gpu-7.example/v1#m"\n'
    run.config.write_text(text + f'\n[task]\nname = "jsonl"\nsettings = {{ path = "{run.path}/p.jsonl" }}\n')
    facts = json.loads(run.provenance.read_text())
    words = [
        "rise",
        "run",
        "own",
        "--set",
        f"task.settings.path={run.path}/p.jsonl",
        "--set",
        "relabel.teacher=http://gpu-7.example",
    ]
    run.provenance.write_text(json.dumps(facts | {"command": words}))
    track(run, "wandb")
    assert library.files.keys() == {"report.html", "report.md"}
    for told in (json.dumps(library.settings["config"]), *library.files.values()):
        assert "an endpoint#m" in told and "p.jsonl" in told
        assert "home-of-ada" not in told and "gpu-7" not in told
    assert "home-of-ada" in write_report(run.path)[0].read_text()  # the run's own page keeps them
    assert library.settings["name"] == "run" and library.settings["project"] == "rise"


def test_a_tracker_whose_package_is_missing_or_unknown_is_refused_before_work(monkeypatch):
    monkeypatch.setattr("rise.runs.checks.installed", lambda name: name != "mlflow")
    with pytest.raises(ConfigError, match="pip install mlflow"):
        preflight(small(track={"to": ["mlflow"]}))
    with pytest.raises(ConfigError, match='Did you mean "wandb"'):
        small(track={"to": ["wanbd"]})


def test_every_tracker_that_a_recipe_may_name_has_its_class():
    assert DESTINATIONS.keys() == TRACKERS.keys()
