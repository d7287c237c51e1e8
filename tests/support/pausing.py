"""Feedback that stops a run of `rise` at a known place: named in a recipe as `state.feedback`, it waits to be interrupted.

While the folder `$RISE_TEST_PAUSE` holds a file `hold`, the first feedback of a process writes `waiting-PID` there and returns
when `hold` is gone or Ctrl-C has been heard. So a test that sends a signal knows where the run is, however busy the machine.
"""

import asyncio
import os
import time
from pathlib import Path

NAMED = f"{Path(__file__).resolve()}:say"
"""For `state.feedback`."""


def say(problem, trajectory, verdict):
    where = Path(os.environ["RISE_TEST_PAUSE"]) if "RISE_TEST_PAUSE" in os.environ else None
    if where and (where / "hold").exists():
        (where / f"waiting-{os.getpid()}").touch()
        while (where / "hold").exists() and not interrupted():
            time.sleep(0.01)
    return "?"


def interrupted():
    """Whether Ctrl-C has been heard: asyncio then cancels the main task, which this function is holding up."""
    return any(task.cancelling() for task in asyncio.all_tasks())


def waiting(where):
    """Process ids of the runs that are held up there."""
    return [int(file.name.partition("-")[2]) for file in Path(where).glob("waiting-*")]
