"""`rise run --seeds`: real processes, a toy of two seeds. Each is what it would be by itself, however often it is stopped."""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pausing
import pytest
from toys import files, small

import rise
from rise.cli.seeds import _report
from rise.errors import RiseError
from rise.method.iterate import run as run_recipe
from rise.recipe.toml import load_recipe, to_toml
from rise.runs.group import GroupDir

pytestmark = pytest.mark.slow

CLOCKS = ("metrics.jsonl", "provenance.json", "report.html", "report.md")
"""Files that hold the time."""


def stage_files(path):
    return {name: data for name, data in files(path).items() if Path(name).name not in CLOCKS}


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    path = tmp_path_factory.mktemp("recipe") / "toy.toml"
    path.write_text(to_toml(small(evaluate={"turns": 2}, state={"feedback": pausing.NAMED})))
    return path


def start(*words, **variables):
    # A group of its own, as a terminal gives one: Ctrl-C there reaches nobody of the tests.
    return subprocess.Popen(
        [sys.executable, "-m", "rise.cli.main", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", **variables},
        start_new_session=True,
    )


def finish(*words):
    process = start(*words)
    out, err = process.communicate(timeout=900)
    assert "Traceback" not in out + err, out + err
    return process.returncode, out, err


@pytest.fixture(scope="module")
def whole(recipe, tmp_path_factory):
    """Two seeds that nobody disturbed, and what was printed."""
    out = tmp_path_factory.mktemp("whole") / "toy"
    code, printed, err = finish("run", recipe, "--seeds", "0,1", "--out", out, "--jobs", 2)
    assert code == 0, printed + err
    return GroupDir(out), printed


def test_every_line_says_whose_it_is_and_the_end_is_of_all(whole):
    group, printed = whole
    for seed in (0, 1):
        assert f"seed {seed} │ round-1: rollout" in printed and f"seed {seed} │ Report: {group.seed(seed).path}" in printed
    assert printed.startswith(f"{group.path}: seeds 0, 1, 2 at a time\n")
    assert "differences over seeds" in printed and printed.rstrip().endswith(f"Report: {group.path / 'report.html'}")
    assert 'href="seed-1/report.html"' in (group.path / "report.html").read_text()


def test_a_seed_is_byte_for_byte_what_it_would_be_by_itself(whole, recipe, tmp_path, one_thread):
    group, _ = whole
    alone = run_recipe(load_recipe(recipe, overrides=["seed=1"]), tmp_path / "alone")
    assert stage_files(alone.path) == stage_files(group.seed(1).path)
    assert files(group.seed(0).path)["ledger.jsonl"] != files(alone.path)["ledger.jsonl"]


def waited(done, seconds=600):
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end
        time.sleep(0.02)


def is_at_work(path):
    """Whether a process holds the ledger."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_killed_then_interrupted_the_same_command_continues_all(whole, recipe, tmp_path):
    group = GroupDir(tmp_path / "toy")
    words = ("run", recipe, "--seeds", "0,1", "--out", group.path, "--jobs", 2)
    (tmp_path / "hold").touch()
    for n, how in enumerate((signal.SIGKILL, signal.SIGINT), 1):
        process = start(*words, RISE_TEST_PAUSE=str(tmp_path))
        waited(lambda n=n: len(pausing.waiting(tmp_path)) == 2 * n)  # both seeds, behind their first replies
        process.send_signal(how)
        _, err = process.communicate(timeout=600)
        assert process.returncode == {signal.SIGKILL: -signal.SIGKILL, signal.SIGINT: 130}[how], err
        ledgers = list(group.path.glob("seed-*/ledger.jsonl"))
        assert len(ledgers) == 2
        waited(lambda found=ledgers: not any(map(is_at_work, found)))  # no seed outlives the command
    assert err == "rise: interrupted. Everything finished is on disk; the same command continues.\n"
    code, printed, err = finish(*words)
    assert code == 0, printed + err
    for seed in (0, 1):
        assert stage_files(group.seed(seed).path) == stage_files(whole[0].seed(seed).path)


def test_a_seed_that_fails_stops_no_other_and_is_named_with_its_command(whole, tmp_path):
    group = GroupDir(Path(shutil.copytree(whole[0].path, tmp_path / "toy")))
    shutil.rmtree(group.seed(0).path)
    group.seed(0).path.mkdir()
    (group.seed(0).path / "notes.txt").write_text("a stranger's")
    code, printed, err = finish("run", group.path, "--jobs", 1)
    assert code == 1
    first, second = err.splitlines()
    assert first.startswith("rise: seed 0 failed (exit code 1): ") and "holds no config.toml" in first
    assert second.startswith(f"rise: continue it with: rise run {group.recipe} --set seed=0 --out {group.seed(0).path}")
    assert f"seed 1 │ Report: {group.seed(1).path}" in printed and "One seed is measured" in " ".join(printed.split())


def test_a_dry_run_says_which_seeds_and_starts_nothing(recipe, tmp_path):
    code, printed, err = finish("run", recipe, "--seeds", "3,4", "--out", tmp_path / "toy", "--dry-run", "--jobs", 2)
    assert code == 0 and "seed = 3" in printed
    assert "# for each of the seeds 3, 4, 2 at a time" in err and not (tmp_path / "toy").exists()


def test_the_table_of_seeds_is_left_out_where_nobody_wants_it(whole, capsys):
    group = whole[0]
    for table in (True, False):
        _report(group, table=table)
        said = capsys.readouterr().out
        assert ("differences over seeds" in said) == table and said.rstrip().endswith(f"Report: {group.path / 'report.html'}")


def test_one_runs_directory_holds_no_seeds(whole):
    code, _, err = finish("run", whole[0].seed(0).path, "--seeds", "0,1")
    assert code == 1 and "is the run of one seed" in err


def test_from_python_the_seeds_come_as_one(tmp_path, untrained, one_thread):
    found = rise.run(small(evaluate={"turns": 2}), seeds=[0, 1], out=tmp_path / "toy")
    assert found.path == tmp_path / "toy" and found.stages == ["base", "round-1"]
    assert set(found.metrics().seed) == {0, 1}


def test_from_python_a_seed_that_fails_stops_no_other(tmp_path, untrained, one_thread):
    stranger = tmp_path / "toy/seed-0/notes.txt"
    group = GroupDir(tmp_path / "toy")
    group.open(small(), [0])
    stranger.parent.mkdir(parents=True)
    stranger.touch()
    with pytest.raises(RiseError, match=r"seed 0 of .*toy: .*holds no config\.toml"):
        rise.run(small(), seeds=[0, 1], out=tmp_path / "toy")
    assert (group.seed(1).stage("round-1").metrics).exists()
