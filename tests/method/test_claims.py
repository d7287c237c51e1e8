"""The runner on experiments of a test's size: arms as runs, what is shared, verdicts and pages, and a kill -9 in between."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from toys import files, small
from typer.testing import CliRunner

from rise.cli.main import app
from rise.errors import ConfigError
from rise.evaluation.seeds import OverSeeds
from rise.evaluation.uncertainty import Estimate
from rise.method.claims.experiment import Probe, load_experiments, load_laboratory
from rise.method.claims.plan import check_probes, make_plan
from rise.method.claims.probes import probe_config
from rise.method.claims.results import Compared, Result, _judged, tried
from rise.method.forecast import trained_runs
from rise.recipe.toml import load_recipe, to_toml
from rise.runs.directory import RunDir

EXPERIMENT = """
claim = 1
title = "Turns help"
says = "Turns help."
source = "a test"
seeds = 2

[arms.rise]

[arms.flat]
says = "equal weights"
from = "rise"
set = { rollout.reuse = true, iterate.match_tokens = true, weigh.rule = "equal" }

[probes.two]
set.evaluate = { turns = 2, samples = 2 }

[probes.shown]
kind = "detector"

[[compare]]
of = "rise:t3 - t1"
says = "turn 3 − turn 1"
matters = 0.05
primary = true

[[compare]]
of = "rise:t3 - flat:t3"
says = "weighted − flat"
matters = 0.05

[[compare]]
of = "rise/two:t2 - rise@base/two:t2"
says = "turn 2, round − base"
matters = 0.05

[[compare]]
of = "rise/shown:kept + seen - 1"
says = "detector"
matters = 0.05
"""


@pytest.fixture
def folder(tmp_path):
    """Experiments on a tiny model that is made from nothing and trained for a step."""
    own = tmp_path / "experiments"
    own.mkdir()
    (tmp_path / "recipe.toml").write_text(to_toml(small()))
    lab = f'recipe = "{tmp_path / "recipe.toml"}"\n[tasks.sums]\ngap = true\nsays = "sums"\n'
    (own / "laboratory.toml").write_text(lab)
    (own / "one.toml").write_text(EXPERIMENT)
    return own


def words(folder, out, *more):
    """One job at a time, unless `more` says otherwise: each further process imports torch anew."""
    return ["claims", "--experiments", str(folder), "--out", str(out), "--jobs", "1", *more]


@pytest.mark.slow
def test_a_killed_run_of_experiments_goes_on_where_it_was_and_ends_in_verdicts(folder, tmp_path):
    out = tmp_path / "out"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "rise.cli.main", *words(folder, out, "--jobs", "2")]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    while "[1/" not in (line := process.stdout.readline()):
        assert line, "it ended before its first run did"
    process.kill()
    process.wait()
    end = time.monotonic() + 60
    while alive(out):
        assert time.monotonic() < end, "workers end with the runner"
        time.sleep(0.05)
    now = CliRunner().invoke(app, words(folder, out, "--as-is"), catch_exceptions=False)
    assert "Page:" in now.output and len(list(out.glob("runs/*/*/round-1/metrics.json"))) < 4  # nothing more was run
    first = {path: data for path, data in files(out / "runs").items() if path.endswith("metrics.json")}
    assert first

    done = CliRunner().invoke(app, words(folder, out, "--page", str(tmp_path / "claims.md")), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert {path: files(out / "runs")[path] for path in first} == first  # nothing that was finished is done again

    [claim] = json.loads((out / "claims.json").read_text())["claims"]
    assert claim["verdict"] == "undecided" and claim["seeds"] == [0, 1]  # two problems decide nothing
    assert [len(item["by_seed"]) for item in claim["compared"]] == [2, 2, 2, 2]
    page = (out / "claims.html").read_text()
    assert "Turns help: undecided" in page and "turn 3 − turn 1" in page and "<svg" in page
    assert (tmp_path / "claims.md").read_text() == (out / "claims.md").read_text()

    again = CliRunner().invoke(app, words(folder, out), catch_exceptions=False)
    assert "4 runs and 6 probes, 0 to do" in again.output

    (folder / "two.toml").write_text(EXPERIMENT.replace("claim = 1", "claim = 2"))
    alone = CliRunner().invoke(app, words(folder, out, "--only", "2"), catch_exceptions=False)
    assert "Of 1 claim 0 hold" in alone.output  # printed is what was asked for
    assert [claim["claim"] for claim in json.loads((out / "claims.json").read_text())["claims"]] == [1, 2]  # the page has all
    (folder / "two.toml").unlink()

    [plan] = [make_plan(load_experiments(folder), load_laboratory(folder), seeds={1: [0, 1]})]
    rise, flat = (plan.arms[1].bound(name, "sums").name for name in ("rise", "flat"))
    both = [RunDir(out / "runs" / name / "seed-1") for name in (rise, flat)]
    for name in ("trajectories", "relabelled"):
        left, right = (getattr(run.stage("round-1"), name).read_bytes() for run in both)
        assert left == right  # taken over, not drawn again
    assert both[0].stage("base").held_out.read_bytes() == both[1].stage("base").held_out.read_bytes()
    assert [(run.task, len(trained_runs(out))) for run in trained_runs(out)] == [("sums", 2)] * 2
    [result] = tried(plan, load_experiments(folder), load_laboratory(folder), out)
    assert result.seconds > 0 and result.verdict == "undecided"


def alive(out: Path) -> list[str]:
    """Processes whose command or open files name the directory, other than this one."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            names = [(path / "cmdline").read_bytes().decode(), *(os.readlink(file) for file in (path / "fd").iterdir())]
        except OSError:
            continue
        if any(str(out) in name for name in names) and int(path.name) != os.getpid():
            found.append(names[0])
    return found


@pytest.mark.slow
def test_what_fails_is_said_and_stops_nothing_else(folder, tmp_path):
    """The tiny model is never right, so that an arm which trains on right replies alone has nothing to train on."""
    text = EXPERIMENT.replace('weigh.rule = "equal"', 'keep.rule = "success"').replace("seeds = 2", "seeds = 1")
    (folder / "one.toml").write_text(text)
    done = CliRunner().invoke(app, words(folder, tmp_path / "out"), catch_exceptions=False)
    [claim] = json.loads((tmp_path / "out" / "claims.json").read_text())["claims"]
    assert claim["verdict"] == "undecided" and claim["compared"][0]["by_seed"]
    assert "is not finished" in claim["compared"][1]["trouble"] and not claim["compared"][1]["by_seed"]
    assert "failed: no example is left to train on" in done.output
    assert "no example is left to train on" in (tmp_path / "out" / "claims.html").read_text()


def test_a_dry_run_counts_and_runs_nothing(folder, tmp_path):
    done = CliRunner().invoke(app, words(folder, tmp_path / "out", "--dry-run"), catch_exceptions=False)
    assert "4 runs and 6 probes, 10 to do" in done.output and not (tmp_path / "out").exists()


@pytest.mark.parametrize("scale", [pytest.param(None, marks=pytest.mark.slow), "quick", "toy"])
def test_every_probe_that_ships_can_be(scale):
    experiments = load_experiments()
    check_probes(make_plan(experiments, load_laboratory().at(scale), scale=scale, seeds={e.claim: [0] for e in experiments}))


def test_a_probe_that_cannot_be_is_refused_before_anything_runs():
    [hard] = load_experiments(only=[7])
    hard.probes["wide"] = Probe(set={"evaluate": {"turns": 10}})  # nine attempts with a window over all
    with pytest.raises(ConfigError, match=r"probe of kind evaluate: the context is too small"):
        check_probes(make_plan([hard], load_laboratory(), seeds={7: [0]}))


def test_what_a_probe_sets_of_a_state_is_over_the_recipes():
    config = load_recipe("nano")
    measured = probe_config(config, Probe(set={"evaluate": {"state": {"window": 1}}}))
    assert measured.evaluate.state == config.state.model_copy(update={"window": 1})


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--only", "x"], "--only x: write numbers"),
        (["--quick", "--scale", "toy"], "Leave one out"),
        (["--only", "7"], "no such claim"),
    ],
)
def test_options_that_cannot_be(folder, tmp_path, more, said):
    with pytest.raises(ConfigError) as error:
        CliRunner().invoke(app, words(folder, tmp_path / "out", *more), catch_exceptions=False)
    assert said in str(error.value)


def test_each_deciding_comparison_stands_on_its_own_evidence_and_the_weakest_decides():
    [experiment] = load_experiments(only=[1])
    strong, weak = [c for c in experiment.compare if c.primary]
    gain, unsure = Estimate(0.48, 0.45, 0.51, 500), Estimate(0.06, -0.01, 0.13, 500)
    compared = (
        Compared(strong, "divisor", OverSeeds({}, gain, gain), 0.001),
        Compared(weak, "divisor", OverSeeds({}, unsure, unsure), 0.04),
    )
    judged = _judged(Result(experiment, (0, 1, 2), compared, (), None), {"1": 0.04, "2": 0.5})
    # Two claims: the strong comparison alone would be the smaller of .001 and .5, twice .001; the weak one twice .04.
    assert [item.adjusted for item in judged.compared] == [pytest.approx(0.002), pytest.approx(0.08)]
    assert [item.verdict for item in judged.compared] == ["holds", "undecided"] and judged.verdict == "undecided"
