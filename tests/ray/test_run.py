"""Whole runs on nodes that `ray start` made: equal to a run on one machine, whoever is killed; what is said of what cannot be."""

import json
import os
import shutil
import signal
import subprocess

import pausing
import pytest
import toys
from machines import ROOT, Machines, Rise, marked
from ray_helpers import wait_until

from rise.method.iterate import run
from rise.recipe.toml import load_recipe, to_toml

CLOCKS = ("metrics.jsonl", "provenance.json", "config.toml", "ledger.jsonl")


def recipe(**more):
    """One round from the untrained base, with a training of some hundred steps to be killed in."""
    train = {"epochs": 150, "batch_size": 8, "save_steps": 5, "arguments": {"logging_steps": 5}}
    task = {"n_train": 6, "n_validation": 4, "n_test": 4}
    return toys.small(**toys.merged({"task": task, "train": train, "batch_size": 4}, more))


def write(directory, config):
    path = directory / "recipe.toml"
    path.write_text(to_toml(config))
    return path


def stage_files(path):
    found = {str(p.relative_to(path)): p.read_bytes() for p in sorted(path.rglob("*")) if p.is_file()}
    return {name: content for name, content in found.items() if name not in CLOCKS and not name.startswith(("logs/", "report"))}


def lines(path):
    """Of the ledger, each once."""
    found = (path / "ledger.jsonl").read_text().splitlines()
    keys = [json.loads(line)["key"] for line in found]
    assert len(keys) == len(set(keys)), "a finished turn was filed twice"
    return sorted(found)


@pytest.fixture(scope="module")
def machines():
    machines = Machines()
    yield machines
    machines.stop()


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The run on this machine that nobody disturbed."""
    import torch

    before = torch.are_deterministic_algorithms_enabled()
    path = tmp_path_factory.mktemp("alone") / "run"
    run(load_recipe(write(path.parent, recipe())), path)  # as it is read from TOML, whose tables come in another order
    torch.use_deterministic_algorithms(before)
    return path


def test_a_run_whose_driver_is_killed_twice_ends_with_the_files_of_an_undisturbed_run_on_one_machine(machines, alone, tmp_path):
    out = tmp_path / "run"
    words = ["run", write(tmp_path, recipe()), "--cluster", machines.address, "--out", out]
    ledger, training = out / "ledger.jsonl", out / "round-1" / "training"

    def start():
        return Rise(*words, cwd=tmp_path, environment=machines.environment())

    assert start().when(lambda: ledger.exists() and ledger.read_bytes().count(b"\n") > 3, "a few replies") == -signal.SIGKILL
    assert start().when(lambda: len(list(training.glob("checkpoint-*"))) == 2, "two checkpoints") == -signal.SIGKILL
    reached = max(int(path.name.split("-")[1]) for path in training.glob("checkpoint-*"))
    n_lines = len((out / "metrics.jsonl").read_text().splitlines())
    last = start()
    assert last.done() == 0, last.said()[-3000:]
    assert stage_files(out) == stage_files(alone)
    assert lines(out) == lines(alone)
    events = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()[n_lines:]]
    assert next(event["step"] for event in events if "step" in event) > reached, "training was begun anew"
    wait_until(lambda: machines.at_work() == [], "an end of everything that the run has started")


def test_every_part_says_who_replied_and_the_report_has_it(machines, alone, tmp_path):
    out = tmp_path / "run"
    words = ["run", write(tmp_path, recipe(train={"epochs": 1})), "--cluster", machines.address, "--out", out]
    done = Rise(
        *words, "--set", "cluster.replicas=2", "--set", "cluster.min_replicas=2", cwd=tmp_path, environment=machines.environment()
    )
    assert done.done() == 0, done.said()[-3000:]
    parts = [event for line in (out / "metrics.jsonl").read_text().splitlines() if "replicas" in (event := json.loads(line))]
    assert {event["part"] for event in parts} == {"evaluate", "rollout", "relabel"}
    for event in parts:
        assert len({line["node"] for line in event["replicas"]}) == 2
        assert sum(line["n_replies"] for line in event["replicas"]) == event["n_replies"]
        assert all(line["difference"] == 0 for line in event["replicas"]), "two replicas of the same weights"
    weights = [event["weights"] for event in parts]
    assert weights[0] != weights[-1] == json.loads((out / "round-1/checkpoint/rise.json").read_text())["weights"]
    assert "replies by replica" in (out / "report.md").read_text()


def test_evaluate_asks_replicas_too(machines, alone, tmp_path):
    words = ("evaluate", alone / "round-1" / "checkpoint", "-n", "4", "--turns", "2", "--samples", "2", "--json")
    on = ("--cluster", machines.address, "--set", "cluster.replicas=2", "--out", tmp_path / "out")
    done = Rise(*words, *on, cwd=tmp_path, environment=machines.environment())
    assert done.done() == 0, done.said()[-3000:]
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["m1@t1"]["n"] == 4
    assert (tmp_path / "out" / "logs" / "replica-0.log").exists()


@pytest.mark.parametrize("moment", ["collection", "training"])
def test_ctrl_c_leaves_nothing_behind(moment, tmp_path):
    """Neither comes to its end before the signal: the collection is held up, the training would take hours."""
    out = tmp_path / "run"
    if moment == "collection":
        (tmp_path / "hold").touch()
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "RISE_TEST_PAUSE": str(tmp_path)}
    path = write(tmp_path, recipe(train={"epochs": 40_000}, state={"feedback": pausing.NAMED}))
    rise = Rise("run", path, "--cluster", "local", "--out", out, cwd=tmp_path, environment=environment)
    when = {
        "collection": lambda: pausing.waiting(tmp_path) and (out / "ledger.jsonl").stat().st_size > 0,
        "training": lambda: any((out / "round-1" / "training").glob("checkpoint-*")),
    }[moment]
    assert rise.when(when, moment, signal.SIGINT) == 130, rise.said()[-3000:]
    assert "the same command continues" in rise.said()
    wait_until(lambda: marked(rise.mark) == [], "an end of all its processes")


def refused(*words, cwd, environment=None, python=None):
    """What is said in one message, before anything is written."""
    rise = Rise(*words, cwd=cwd, environment=environment, python=python)
    assert rise.done() == 1, rise.said()[-3000:]
    said = rise.said()
    assert [line for line in said.splitlines() if "rise: " in line] == [said.strip().splitlines()[-1]], said
    assert "Traceback" not in said and "gcs_client" not in said, said
    return said


def test_an_address_where_nobody_answers(tmp_path):
    said = refused("run", ROOT / "recipes/nano.toml", "--cluster", "127.0.0.1:1", "--out", tmp_path / "run", cwd=tmp_path)
    assert 'cluster.address = "127.0.0.1:1" does not answer' in said and "ray start --head" in said
    assert not (tmp_path / "run" / "config.toml").exists()


def test_a_cluster_that_asks_for_another_token(machines, tmp_path):
    words = ("run", ROOT / "recipes/nano.toml", "--cluster", machines.address, "--out", tmp_path / "run")
    said = refused(*words, cwd=tmp_path, environment=machines.environment() | {"RAY_AUTH_TOKEN": "0" * 64})
    assert "asks for a token" in said and "RAY_AUTH_MODE=token" in said


def test_another_version_of_ray(machines, tmp_path):
    python = "import sys, ray; ray.__version__ = '2.1.0'; from rise.cli.main import main; main()"
    words = ("run", ROOT / "recipes/nano.toml", "--cluster", machines.address, "--out", tmp_path / "run")
    said = refused(*words, cwd=tmp_path, environment=machines.environment(), python=python)
    assert "Ray: 2.1.0" in said and "same Ray and Python on every machine" in said


def test_a_cluster_that_is_too_small(machines, tmp_path):
    words = ("run", ROOT / "recipes/nano.toml", "--cluster", machines.address, "--out", tmp_path / "run")
    more = ("--set", "cluster.workers=3", "--set", "cluster.gpus_per_replica=1")
    said = refused(*words, *more, cwd=tmp_path, environment=machines.environment())
    assert "training workers: 3 × (1 CPU); room for 2" in said and "replicas: as many as fit × (1 CPU, 1 GPU); room for 0" in said


def test_check_says_what_is_there_and_what_will_not_fit_and_starts_nothing(machines, tmp_path):
    words = ("cluster", "check", ROOT / "recipes/nano.toml", "--cluster", machines.address)
    good = Rise(*words, cwd=tmp_path, environment=machines.environment())
    assert good.done() == 0, good.said()
    assert good.said().startswith("2 nodes:") and "Everything fits." in good.said()
    said = refused(*words, "--set", "cluster.workers=3", cwd=tmp_path, environment=machines.environment())
    assert "TOO FEW, at least 3 must fit" in said
    assert list(tmp_path.iterdir()) == []


def mounts():
    command = ["unshare", "--mount", "sh", "-c", "mount -t tmpfs none /mnt"]
    return shutil.which("unshare") is not None and subprocess.run(command, capture_output=True).returncode == 0


@pytest.mark.skipif(not mounts(), reason="a machine that does not share a directory needs a mount of its own")
def test_a_run_directory_that_a_node_does_not_see(tmp_path):
    hidden = tmp_path / "runs"
    hidden.mkdir()
    machines = Machines(2, hidden=hidden)
    try:
        words = ("run", ROOT / "recipes/nano.toml", "--scale", "toy", "--cluster", machines.address, "--out", hidden / "run")

        def both():
            looked = Rise(
                "cluster", "check", *words[1:4], "--cluster", machines.address, cwd=tmp_path, environment=machines.environment()
            )
            looked.done()
            return "2 nodes" in looked.said()

        wait_until(both, "a second node")
        said = refused(*words, cwd=tmp_path, environment=machines.environment())
        assert "does not see" in said and "cluster.storage" in said
        assert list(hidden.iterdir()) == [hidden / "run"] and not any((hidden / "run").iterdir())
    finally:
        machines.stop()
