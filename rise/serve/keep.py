"""`rise serve --log DIR`: what clients asked and what was replied, turn by turn, as trajectories that `rise relabel` takes.

Somebody else's words are in it, so it is written only where it was asked for, into a file that its owner alone may read.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from pathlib import Path

from rise.errors import ConfigError
from rise.jsonl import dumps
from rise.play.ledger import lock
from rise.serve.revise import Ask, Outcome
from rise.task import problem_id
from rise.trajectory import SERVED, Trajectory, read_trajectories, to_json

FILE = "trajectories.jsonl"

log = logging.getLogger("rise.serve")


class Keeper:
    """Appends a line a choice, alone. A question is a problem without a right answer; asked again, it is its next sample."""

    def __init__(self, folder: Path, model: str, instructions: str | None) -> None:
        """`instructions` are what the model is always shown: a client's other system text is no state of a recipe."""
        self.path, self.model, self.instructions = folder / FILE, model, instructions
        self.n_kept = self.n_left_out = 0
        self._samples: Counter[str] = Counter()
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError as error:
            raise _no_place(folder, error) from error
        try:
            lock(self._file, self.path, "keeping its conversations here. Give each server a --log of its own.", "a --log")
            self._end = self._whole()
            self._samples.update(t.problem_id for t in read_trajectories(self.path))
        except BaseException as error:
            os.close(self._file)
            if isinstance(error, OSError):
                raise _no_place(folder, error) from error
            raise

    def _whole(self) -> int:
        """Where the last whole line ends; what is behind it, torn by a kill or a full disk, is cut off."""
        with self.path.open("rb") as file:
            end, last = 0, b""
            for last in file:
                end += len(last) if last.endswith(b"\n") else 0
        if last and not last.endswith(b"\n"):
            log.warning("--log %s: its last line was torn and is cut off (%d bytes)", self.path, len(last))
            os.ftruncate(self._file, end)
        return end

    def keep(self, ask: Ask, outcome: Outcome) -> None:
        """One choice that was played to its end. What no recipe could show again, a longer conversation, is left out."""
        *before, last = ask.messages
        if any(m.role != "system" or m.content != self.instructions for m in before) or last.role != "user":
            self.n_left_out += 1
            return
        name = problem_id(last.content, "")
        record = Trajectory(name, last.content, "", outcome.turns, {SERVED: self.model}, self._samples[name])
        line = dumps(to_json(record)).encode() + b"\n"
        try:
            written = 0
            while written < len(line):
                written += os.write(self._file, line[written:])
        except OSError as error:  # a client is answered all the same
            os.ftruncate(self._file, self._end)
            log.error("--log %s: %s; this conversation is not kept", self.path, error.strerror)
            return
        self._end += len(line)
        self._samples[name] += 1
        self.n_kept += 1

    def close(self) -> None:
        os.close(self._file)
        if self.n_left_out:
            log.info("--log: %d kept, %d of several messages left out", self.n_kept, self.n_left_out)


def _no_place(folder: Path, error: OSError) -> ConfigError:
    return ConfigError(f"--log {folder}: {error.strerror}. Give a directory that can be written.")
