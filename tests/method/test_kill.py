"""kill -9 at any moment, start again, and the stage files are byte for byte those of a run that nobody disturbed.

Toy nano runs in forks of a warm process (tests/kill_server.py). They are killed at chosen writes (before, in the middle,
after), at random writes, at random times, and several times in a row.
"""

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

CLOCKS = ("metrics.jsonl", "provenance.json")
"""Files that hold the time."""

SMALLER = {"task": {"n_train": 8, "n_validation": 4, "n_test": 4}, "boost": {"train": {"epochs": 8}}}
"""The toy recipe made shorter still: nothing here depends on right answers."""


class Server:
    def __init__(self):
        here = Path(__file__).parents[1]
        own = (here / "support", here.parent)  # the package of this very checkout
        places = os.pathsep.join([*map(str, own), *filter(None, [os.environ.get("PYTHONPATH")])])
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": places}
        self.process = subprocess.Popen(
            [sys.executable, Path(__file__).parents[1] / "support" / "kill_server.py"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        assert self.process.stdout.readline() == "ready\n"

    def run(self, out, **request):
        """Exit code and seconds of one run in `out`, killed as the request says; -9 for killed."""
        self.process.stdin.write(json.dumps({"out": str(out), "overrides": SMALLER, **request}) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def finish(self, out, **request):
        done = self.run(out, **request)
        assert done["code"] == 0, Path(f"{out}.log").read_text()[-3000:]
        return done


@pytest.fixture(scope="module")
def server():
    server = Server()
    yield server
    server.process.stdin.close()
    server.process.wait(timeout=300)


def stage_files(path):
    found = {str(p.relative_to(path)): p.read_bytes() for p in sorted(path.rglob("*")) if p.is_file()}
    return {name: content for name, content in found.items() if name not in (*CLOCKS, "ledger.jsonl")}


def ledger_lines(path):
    lines = (path / "ledger.jsonl").read_text().splitlines()
    keys = [json.loads(line)["key"] for line in lines]
    assert len(keys) == len(set(keys)), "a finished turn was filed twice"
    return sorted(lines)


class Whole:
    """The run that nobody disturbed: its files, its writes in order, and how long it took."""

    def __init__(self, server, out, **request):
        self.seconds = server.finish(out, **request)["seconds"]
        self.files, self.ledger = stage_files(out), ledger_lines(out)
        self.writes = [tuple(w) for w in json.loads(out.with_suffix(".writes.json").read_text())]

    def number(self, kind, name="", n=0):
        """Of the n-th write of that kind."""
        return [i for i, (k, w) in enumerate(self.writes) if k == kind and name in w][n]

    def equals(self, out):
        files = stage_files(out)
        different = [name for name in sorted({*files, *self.files}) if files.get(name) != self.files.get(name)]
        assert different == []
        assert ledger_lines(out) == self.ledger


@pytest.fixture(scope="module")
def whole(server, tmp_path_factory):
    return Whole(server, tmp_path_factory.mktemp("whole") / "run")


@pytest.mark.slow
def test_two_undisturbed_runs_are_equal(server, whole, tmp_path):
    server.finish(tmp_path / "run")
    whole.equals(tmp_path / "run")
    assert {"base/metrics.json", "round-2/trajectories.jsonl", "round-2/checkpoint/model.safetensors"} <= whole.files.keys()


CHOSEN = {
    "the run's own config": ("replace", "config.toml", 0, "before"),
    "the untrained base, its weights half written": ("weights", "", 0, "half"),
    "the end of a stage": ("replace", "base/metrics.json", 0, "after"),
    "the ledger's last line torn": ("ledger", "", 20, "half"),
    "the end of a round": ("replace", "round-1/metrics.json", 0, "after"),
    "a stage file half written": ("fsync", "round-1/relabelled.jsonl", 0, "half"),
    "a stage file written but not in place": ("replace", "round-1/examples.jsonl", 0, "before"),
    "trajectories in place, nothing relabelled": ("replace", "round-2/trajectories.jsonl", 0, "after"),
    "unfinished training, its optimiser half written": ("optimizer", "checkpoint-", 0, "half"),
    "unfinished training, its weights half written": ("weights", "checkpoint-", -1, "half"),
    "a checkpoint's weights half written": ("weights", "checkpoint.partial", -1, "half"),
    "a checkpoint written but not in place": ("replace", "round-1/checkpoint", 0, "before"),
    "a checkpoint in place, unfinished training not cleared": ("replace", "round-2/checkpoint", 0, "after"),
}


QUICK = ("a stage file half written", "unfinished training, its optimiser half written")
"""Those that `make test` tries, too; a run takes seconds."""


@pytest.mark.parametrize("moment", [pytest.param(m, marks=() if m in QUICK else pytest.mark.slow) for m in CHOSEN])
def test_killed_at(moment, server, whole, tmp_path):
    kind, name, n, when = CHOSEN[moment]
    assert server.run(tmp_path / "run", at=whole.number(kind, name, n), when=when)["code"] == -signal.SIGKILL
    server.finish(tmp_path / "run")
    whole.equals(tmp_path / "run")


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.slow
def test_killed_at_random_writes_again_and_again(seed, server, whole, tmp_path):
    rng = random.Random(seed)
    done = 0
    for _ in range(3):
        at = rng.randrange(done, len(whole.writes) - done)
        killed = server.run(tmp_path / "run", at=at, when=rng.choice(["before", "half", "after"]))
        assert killed["code"] in (0, -signal.SIGKILL)  # 0: less than that was left to do
        done = min(at // 3, len(whole.writes) // 3)
    server.finish(tmp_path / "run")
    whole.equals(tmp_path / "run")


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.slow
def test_killed_at_random_times(seed, server, whole, tmp_path):
    """Whatever moment it is, and also if there was none: the run may have ended before."""
    rng = random.Random(seed)
    for _ in range(2):
        killed = server.run(tmp_path / "run", after_s=rng.uniform(0.02, 0.9) * whole.seconds)
        assert killed["code"] in (0, -signal.SIGKILL)
    server.finish(tmp_path / "run")
    whole.equals(tmp_path / "run")


@pytest.mark.parametrize(("kind", "name", "n"), [("ledger", "", 20), ("optimizer", "checkpoint-", 0), ("ledger", "", -20)])
@pytest.mark.slow
def test_ctrl_c_ends_at_once_and_continues_like_a_kill(kind, name, n, server, whole, tmp_path):
    at = whole.number(kind, name, n)
    stopped = server.run(tmp_path / "run", at=at, when="after", signal=int(signal.SIGINT))
    assert stopped["code"] == 130, Path(f"{tmp_path / 'run'}.log").read_text()[-3000:]
    writes = [tuple(write) for write in json.loads((tmp_path / "run.writes.json").read_text())]
    ended = [name for kind, name in writes[at + 1 :] if kind == "replace"]
    assert ended == [], "a part of the run was still brought to its end"
    server.finish(tmp_path / "run")
    whole.equals(tmp_path / "run")


@pytest.mark.slow
def test_without_deterministic_every_finished_turn_is_still_sampled_once(server, whole, tmp_path):
    """The weaker promise: equality is statistical then, but nothing is asked for twice and nothing is missing."""
    out, overrides = tmp_path / "run", {**SMALLER, "deterministic": False}
    for at in (40, 60, 80):
        assert server.run(out, overrides=overrides, at=at, when="half")["code"] == -signal.SIGKILL
    server.finish(out, overrides=overrides)
    replies = [line for line in ledger_lines(out) if '"turn":' in line]
    assert len(replies) == len([line for line in whole.ledger if '"turn":' in line])
    assert stage_files(out).keys() == whole.files.keys()
