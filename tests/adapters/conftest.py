"""Opt-in: `make test-adapters`. The real packages, each in the environment that `make venv-adapters` makes."""

import os
from pathlib import Path

import pytest

collect_ignore = ["theirs"]  # modules for the others' environments: not even their docstrings can be read here
collect_ignore_glob = [] if os.environ.get("RISE_TEST_ADAPTERS") else ["test_*.py"]
ROOT = Path(__file__).resolve().parents[2]


def python_in(name):
    """The Python of an environment, `RISE_VENV_NAME` or `.venv-NAME`; the test is skipped where there is none."""
    python = Path(os.environ.get(f"RISE_VENV_{name.upper().replace('-', '_')}") or ROOT / f".venv-{name}") / "bin/python"
    if not python.exists():
        pytest.skip(f"no {python}: make venv-adapters")
    return str(python)


@pytest.fixture
def inspect_python():
    return python_in("inspect")


@pytest.fixture(scope="session")
def openenv_python():
    return python_in("openenv")


@pytest.fixture
def verifiers_python():
    return python_in("verifiers")


@pytest.fixture
def core_python():
    return python_in("reasoning-core")
