"""Clients as their authors publish them, each in a place of its own under .clients/, which the next run uses again."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HOME = Path(__file__).resolve().parents[2] / ".clients"


def python_client(name: str, *packages: str) -> Path:
    """The bin directory of an environment that holds `packages`, made on first use."""
    place = HOME / name
    stamp = place / f"installed-{abs(hash_of(packages))}"
    if not stamp.exists():
        shutil.rmtree(place, ignore_errors=True)
        run([sys.executable, "-m", "venv", str(place)])
        run([str(place / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages], limit_s=900)
        stamp.touch()
    return place / "bin"


def node_client(name: str, *packages: str) -> Path:
    """A directory whose node_modules hold `packages`."""
    if shutil.which("npm") is None:
        pytest.skip("no npm: apt-get install npm")
    place = HOME / name
    stamp = place / f"installed-{abs(hash_of(packages))}"
    if not stamp.exists():
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        (place / "package.json").write_text('{"private": true, "type": "module"}')
        run(["npm", "install", "--silent", "--no-fund", "--no-audit", *packages], cwd=place, limit_s=900)
        stamp.touch()
    return place


def hash_of(packages: tuple[str, ...]) -> int:
    import zlib

    return zlib.crc32(" ".join(packages).encode())


def run(command: list[str], *, cwd: Path | None = None, limit_s: float = 240, **environment: str) -> str:
    """What the command prints; a failure shows all of it."""
    # Proxies for the registry must not stand between a client and loopback, nor our own modules in its way.
    clean = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    done = subprocess.run(command, cwd=cwd, env=clean | environment, capture_output=True, text=True, timeout=limit_s)
    assert done.returncode == 0, f"{command[0]} ended with {done.returncode}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout
