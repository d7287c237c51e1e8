"""Work side by side in processes: what dies, or is gone, is said under its own name and takes nothing else with it."""

import claims_jobs
import pytest
from test_claims import folder, words  # noqa: F401  # a fixture
from typer.testing import CliRunner

from rise.cli.main import app
from rise.errors import RiseError
from rise.method.claims import run as runner
from rise.method.claims.experiment import load_experiments, load_laboratory
from rise.method.claims.plan import Plan, make_plan
from rise.method.claims.run import label, run_plan


@pytest.fixture
def plan(folder):  # noqa: F811
    return make_plan(load_experiments(folder), load_laboratory(folder), seeds={1: [0, 1]})


@pytest.mark.slow
def test_a_process_that_the_system_kills_takes_no_other_job_with_it(plan, tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "train", claims_jobs.train)
    told = []
    outcome = run_plan(plan, tmp_path / "out", jobs=2, tell=lambda *words: told.append(words))
    by_seed = {seed: {job.key[0] for job in plan.probes.values() if job.training.seed == seed} for seed in (0, 1)}
    assert by_seed[0] and by_seed[0] == by_seed[1]
    for (_, seed), training in plan.trainings.items():
        said = outcome.failed.get(label(training), "done")
        assert said == "done" if seed == 0 else "was killed" in said or "which failed" in said
    assert len(list((tmp_path / "out").glob("runs/*/seed-0/round-1/metrics.json"))) == 2


@pytest.mark.slow
def test_a_checkpoint_that_is_gone_is_not_measured_as_another_model(plan, tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "train", claims_jobs.train)
    outcome = run_plan(plan, tmp_path / "out", jobs=1, tell=lambda *words: None)
    of_round = [label(job) for job in plan.probes.values() if job.stage == "round-1" and job.training.seed == 0]
    assert of_round and all("round-1/checkpoint is gone" in outcome.failed[name] for name in of_round)


def test_what_failed_is_an_exit_code_and_stands_on_standard_error_after_the_page(folder, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr(runner, "run_plan", lambda *_, **__: runner.Outcome({"rise-1 seed 0": "no room on the disk"}))
    done = CliRunner().invoke(app, words(folder, tmp_path / "out"))
    assert done.exit_code == 1 and "Page: " in done.stdout and (tmp_path / "out" / "claims.html").exists()
    assert "rise: rise-1 seed 0 failed: no room on the disk" in done.stderr and "the same command goes on" in done.stderr


def test_what_nobody_makes_is_not_waited_for(plan, tmp_path):
    lone = Plan(trainings={key: t for key, t in plan.trainings.items() if t.arm.start}, circle=plan.circle)
    with pytest.raises(RiseError, match="wait for what nothing here makes"):
        run_plan(lone, tmp_path / "out", jobs=1, tell=lambda *words: None)
