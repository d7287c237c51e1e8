"""Which process of somebody's launcher (torchrun, accelerate launch) this one is, by its environment."""

from __future__ import annotations

import os


def under_launcher() -> bool:
    """Whether this process is one rank of several that a launcher started."""
    return "RANK" in os.environ


def first_rank() -> bool:
    """Whether this process is the one that prints and writes: the first rank, or the only process."""
    return os.environ.get("RANK", "0") == "0"
