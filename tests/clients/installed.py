"""Clients as their authors publish them, each in a place of its own under .clients/, which the next run uses again.

What cannot be had (no npm, no registry, one that stalls) skips the tests that need it, with the reason: that is no fault of
ours. What is there must work. `constraints.txt` beside this holds every version, so that somebody's release changes nothing.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
HOME = HERE.parents[1] / ".clients"
CONSTRAINTS = HERE / "constraints.txt"
ATTEMPTS = 3
INSTALL_LIMIT_S = 420
"""For all attempts at one client together: a stalled registry must not take the time of the whole suite."""
RUN_LIMIT_S = 600
"""A client's few questions take seconds; on a machine that others keep busy, minutes."""

_UNAVAILABLE: dict[str, str] = {}
"""Why a client could not be installed in this session, so that each is tried once, not once a test."""


def python_client(name: str, *packages: str) -> Path:
    """The bin directory of an environment that holds `packages`, made on first use. Skips the test where it cannot be."""
    place = HOME / name
    pip = [str(place / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-c", str(CONSTRAINTS)]
    install(place, [sys.executable, "-m", "venv", str(place)], [*pip, *packages], version=CONSTRAINTS.read_text())
    return place / "bin"


def node_client(name: str, *packages: str) -> Path:
    """A directory whose node_modules hold `packages`, made on first use. Skips the test where it cannot be."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip("no npm: apt-get install npm")
    place = HOME / name
    # No scripts: a package that downloads something else when it is installed is none that we want.
    npm = ["npm", "install", "--prefix", str(place), "--silent", "--no-fund", "--no-audit", "--ignore-scripts"]
    install(place, [*npm, *packages])
    return place


def install(place: Path, *commands: list[str], version: str = "") -> None:
    """Run the commands that fill `place`, unless the same ones did before. Skips the test where they do not get through."""
    wanted = hashlib.sha256(repr([commands, version]).encode()).hexdigest()[:12]
    stamp = place / f"installed-{wanted}"
    if stamp.exists():
        return
    if place.name not in _UNAVAILABLE:
        trouble = attempt(place, commands)
        if trouble is None:
            stamp.touch()
            return
        _UNAVAILABLE[place.name] = f"{place.name} cannot be installed here: {trouble}"
    pytest.skip(_UNAVAILABLE[place.name])


def attempt(place: Path, commands: tuple[list[str], ...]) -> str | None:
    """Fill `place` anew, trying several times; what went wrong the last time, or None."""
    end = time.monotonic() + INSTALL_LIMIT_S
    trouble = None
    for number in range(ATTEMPTS):
        time.sleep(5 * number)
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        try:
            for command in commands:
                run(command, limit_s=max(1.0, end - time.monotonic()))
            return None
        except (AssertionError, OSError, subprocess.TimeoutExpired) as error:
            trouble = str(error)[-600:]
        if time.monotonic() > end:
            break
    return trouble


def run(command: list[str], *, cwd: Path | None = None, limit_s: float = RUN_LIMIT_S, **environment: str) -> str:
    """What the command prints; a failure shows all of it."""
    # Proxies for the registry must not stand between a client and loopback, nor our own modules in its way.
    clean = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    done = subprocess.run(command, cwd=cwd, env=clean | environment, capture_output=True, text=True, timeout=limit_s)
    assert done.returncode == 0, f"{command[0]} ended with {done.returncode}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout
