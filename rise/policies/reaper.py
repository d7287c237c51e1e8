"""Stands between us and an engine, and ends it with all its children when we end, however we end.

    python reaper.py LOG COMMAND …

Runs COMMAND in its own session, its output in LOG. It is stopped when standard input closes, which the kernel does
for a parent killed with -9; first asked (SIGTERM), then killed, and everything it started too. Prints `started PID`, at the
end `ended CODE`. Standard library only.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

GRACE_S = 10.0
"""Between asking and killing."""
LOOK_EVERY_S = 0.1

ASKED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_SET_PDEATHSIG, _SET_CHILD_SUBREAPER = 1, 36


def main() -> None:
    log, *command = sys.argv[1:]
    for number in ASKED:
        signal.signal(number, signal.SIG_IGN)  # only our parent decides, by closing standard input
    _prctl(_SET_CHILD_SUBREAPER, 1)  # orphans of the engine become ours, so that we can find them
    with Path(log).open("ab", buffering=0) as output:
        engine = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=dies_with_parent,
        )
    print(f"started {engine.pid}", flush=True)
    while engine.poll() is None and not select.select([sys.stdin], [], [], LOOK_EVERY_S)[0]:
        pass
    code = engine.poll()
    if code is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(engine.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            engine.wait(GRACE_S)
        code = engine.poll()
    while left := descendants(os.getpid()):
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(0.02)
    with contextlib.suppress(OSError):
        print(f"ended {engine.returncode if code is None else code}", flush=True)


def dies_with_parent() -> None:
    """Before a command takes over: the kernel ends it with the thread that started it, however that ends (Linux)."""
    _prctl(_SET_PDEATHSIG, signal.SIGKILL)
    for number in ASKED:
        signal.signal(number, signal.SIG_DFL)  # what we ignore would stay ignored over there


def descendants(root: int) -> list[int]:
    """Process ids below `root` that are still running, from /proc; empty where there is none (macOS)."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
            parents[int(stat.parent.name)] = int(parent)
            if state == "Z" and int(parent) != root:
                parents.pop(int(stat.parent.name))  # dead, and its own parent's to bury
    found: list[int] = []
    below = [root]
    while below:
        below = [pid for pid, parent in parents.items() if parent in below]
        found += below
    return found


def _prctl(option: int, value: int) -> None:
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


if __name__ == "__main__":
    main()
