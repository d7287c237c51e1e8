"""What `.ci/run` says of the suites it runs, with a `make` and an `apt-get` that only pretend."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def ci(tmp_path):
    """Run `.ci/run` where `make SUITE` prints what is given and ends with that code, and no package can be installed."""
    if not (ROOT / ".ci/run").exists():
        pytest.skip("not a clone")
    cases = tmp_path / "cases"
    programs = tmp_path / "bin"
    cases.mkdir()
    programs.mkdir()
    for name, text in (("make", f'cat "{cases}/$1"; exit "$(cat "{cases}/$1.code")"'), ("apt-get", "echo no network; exit 100")):
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)

    def run(**suites):
        for name, (said, code) in suites.items():
            (cases / name.replace("_", "-")).write_text(said)
            (cases / f"{name.replace('_', '-')}.code").write_text(str(code))
        path = f"{programs}:{os.environ['PATH']}"
        done = subprocess.run([ROOT / ".ci/run"], env={**os.environ, "PATH": path}, capture_output=True, text=True)
        return done.returncode, done.stdout.splitlines()

    return run


def test_closing_lines_of_all_suites_are_added_up_in_the_last_line(ci):
    code, said = ci(
        test=("....\n1,204 lines\n4 passed, 2 warnings in 10.50s\n", 0),
        test_slow=("2 passed, 9 deselected in 20.00s\n", 0),
        test_clients=("3 passed, 1 skipped in 70.00s (0:01:10)\n", 0),
        test_ray=("32 passed, 1 rerun in 900.00s (0:15:00)\n", 0),
    )
    assert (code, said[-1]) == (0, "41 passed, 1 skipped in 1000.50s")
    assert said[-5:-1] == [
        "test: 4 passed, 2 warnings in 10.50s",
        "test-slow: 2 passed, 9 deselected in 20.00s",
        "test-clients: 3 passed, 1 skipped in 70.00s (0:01:10)",
        "test-ray: 32 passed, 1 rerun in 900.00s (0:15:00)",
    ]


@pytest.mark.parametrize("bad", ["test", "test_slow", "test_clients", "test_ray"])
def test_any_suite_failing_fails_it_and_all_are_run(ci, bad):
    passed, failed = ("4 passed in 1.00s\n", 0), ("1 failed, 2 passed in 2.00s\n", 2)
    code, said = ci(**{"test": passed, "test_slow": passed, "test_clients": passed, "test_ray": passed, bad: failed})
    assert (code, said[-1]) == (1, "1 failed, 14 passed in 5.00s")


def test_what_fails_before_pytest_counts_as_an_error(ci):
    passed = ("3 passed in 1.00s\n", 0)
    code, said = ci(test=("rise/dataset/keep.py:1:1: F401 unused\n", 2), test_slow=passed, test_clients=passed, test_ray=passed)
    assert (code, said[-1]) == (1, "9 passed, 1 error in 3.00s")
