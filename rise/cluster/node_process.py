"""What each of our processes on the cluster does first: change to the run's directory, open its log, set its threads."""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from rise.training.threads import set_threads


@dataclass(frozen=True, slots=True)
class Place:
    """How a process on the cluster is set up."""

    directory: str
    """Where the run was started: paths in the recipe are relative to it."""
    logs: str | None
    """Folder for a log of each process; None where nodes do not see the run directory."""
    threads: int | None
    deterministic: bool

    def settle(self, name: str) -> None:
        """Set this process up; `name` is that of its log."""
        with contextlib.suppress(OSError):
            os.chdir(self.directory)
        if self.logs:
            _log_to(Path(self.logs) / f"{name}.log")
        set_threads(self.threads, deterministic=self.deterministic)


def _log_to(file: Path) -> None:
    """Append everything that this process and its libraries print to `file`."""
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
