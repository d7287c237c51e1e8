"""Stands for a training of `rise claims` and ends at once, as its path says. A module by itself: processes import it."""

import os
import signal
from pathlib import Path


def train(recipe, path):
    """Seed 1 is killed by the system; any other leaves the file that says it is done, and no checkpoint."""
    if path.endswith("seed-1"):
        os.kill(os.getpid(), signal.SIGKILL)
    done = Path(path) / "round-1" / "metrics.json"
    done.parent.mkdir(parents=True)
    done.write_text("{}")
