"""The recipes of all tests; waiting and killing."""

import asyncio
import os
import signal
import time
from pathlib import Path

PATIENCE_S = 900
"""For whatever must happen in the end, on a machine that does other things too."""


async def until(happened, what, patience_s=PATIENCE_S):
    """Wait for it without holding up anybody."""
    deadline = time.monotonic() + patience_s
    while not happened():
        assert time.monotonic() < deadline, f"{what} did not happen in {patience_s} s"
        await asyncio.sleep(0.05)


def wait_until(happened, what, patience_s=PATIENCE_S):
    asyncio.run(until(happened, what, patience_s))


def kill(pid):
    os.kill(pid, signal.SIGKILL)


def running(pid):
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
