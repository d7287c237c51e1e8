"""Every reply ever drawn in a run, one JSON line each, written the moment it is judged.

Append-only and in order of arrival. A line is safe from kill -9 once written and from power loss within a second; a torn
last line counts as missing, and its reply is drawn again. Stage files are built from it; nothing else remembers what was sampled.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rise.errors import DataError, RiseError
from rise.jsonl import FULL, dumps

FSYNC_EVERY_S = 1.0
_LENGTH_BITS = 32
_LENGTH = (1 << _LENGTH_BITS) - 1


class Ledger:
    """Lines by content key. In memory are a hash of each key and where its line is: some 140 MB for a million replies."""

    on_disk = True
    """Whether another process may read it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            taken = "at work in this directory (or an open Ledger in this process). Wait for it, stop it, or give another --out."
            lock(self._file, path, taken, "an --out")
            self._places: dict[int, int] = {}
            """`_short` of a key → offset and length of its line, packed into one number: a tuple would double the memory."""
            self._end = self._scan()
        except BaseException:
            os.close(self._file)
            raise
        self._synced = time.monotonic()
        self._dirty = False
        """Whether a line may be lost with the power."""
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        """The loop whose timer that is."""

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()

    def __contains__(self, key: str) -> bool:
        return _short(key) in self._places

    def __len__(self) -> int:
        return len(self._places)

    def get(self, key: str) -> dict[str, Any]:
        place = self._places[_short(key)]
        length, offset = place & _LENGTH, place >> _LENGTH_BITS
        try:
            found = json.loads(os.pread(self._file, length, offset))
            if not isinstance(found, dict) or found["key"] != key:
                raise ValueError("it is another line")
            return found
        except (ValueError, LookupError, RecursionError) as error:
            raise DataError(
                f"{self.path}, line {self._number(offset)}: not a ledger line ({error}). Was the file edited, or the disk "
                "damaged? Restore it, or delete this line: its reply will be asked for again."
            ) from error

    def _number(self, offset: int) -> int:
        """Of the line that begins there."""
        with self.path.open("rb") as file:
            return 1 + file.read(offset).count(b"\n")

    def append(self, lines: Iterable[tuple[str, dict[str, Any]]], *, n_in_flight: int = 0) -> int:
        """Write those whose key is new; returns how many. Raises `RiseError` on a full disk, with the file intact.

        `n_in_flight`: replies asked for and not written yet, these among them; what a full disk loses.
        """
        fresh: dict[int, bytes] = {}
        for key, data in lines:
            short = _short(key)
            if short not in self._places and short not in fresh:
                fresh[short] = dumps({"key": key, **data}).encode() + b"\n"
        if not fresh:
            return 0
        block = b"".join(fresh.values())
        try:
            written = 0
            while written < len(block):
                written += os.write(self._file, block[written:])
            if time.monotonic() - self._synced > FSYNC_EVERY_S:
                self.sync()
            else:
                self._sync_soon()
        except OSError as error:
            os.ftruncate(self._file, self._end)
            if error.errno in FULL:
                lost = max(len(fresh), n_in_flight)
                raise RiseError(
                    f"{self.path}: the disk is full. {lost} {'reply' if lost == 1 else 'replies'} in flight could not be "
                    "written and will be asked for again; everything before is intact. Free some space and run the same "
                    "command to continue."
                ) from error
            raise
        for short, line in fresh.items():
            self._places[short] = self._end << _LENGTH_BITS | len(line)
            self._end += len(line)
        return len(fresh)

    def sync(self) -> None:
        """Flush to the disk whatever is not there yet."""
        self._stop_timer()
        os.fsync(self._file)
        self._synced = time.monotonic()
        self._dirty = False

    def flush(self) -> None:
        """`sync` where there is something to, in passing: a disk in trouble is heard of at the next line."""
        self._stop_timer()
        if self._dirty and self._file >= 0:
            with contextlib.suppress(OSError):
                self.sync()

    def _sync_soon(self) -> None:
        """In an event loop, see to it that what was written is on the disk within the second, even if no more is."""
        self._dirty = True
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return  # the next line or `close` does it
        if self._timer is None or self._loop is not loop:
            self._timer, self._loop = loop.call_later(FSYNC_EVERY_S, self.flush), loop

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def close(self) -> None:
        if self._file >= 0:
            try:
                self.sync()
            finally:
                os.close(self._file)
                self._file = -1

    def _scan(self) -> int:
        """Learn where each line is; cut off a torn last one. Returns the offset of the end."""
        offset = 0
        with self.path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    os.ftruncate(self._file, offset)
                    break
                try:
                    key = _key_of(line)
                except (ValueError, LookupError, TypeError, RecursionError) as error:
                    raise DataError(
                        f"{self.path}, line {number}: not a ledger line ({error}). Was the file edited? Restore it, or cut it "
                        "off before this line: those replies will be asked for again."
                    ) from error
                self._places[_short(key)] = offset << _LENGTH_BITS | len(line)
                offset += len(line)
        return offset


def lock(file: int, path: Path, taken: str, option: str) -> None:
    """Nobody else's until the file is closed. Raises `RiseError` where another process, which is `taken`, has it.

    Raises `OSError` where the disk knows no locks: `option` is what another place is given by.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise RiseError(f"{path}: another process is {taken}") from error
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
            raise
        why = f"so two processes could write here at once: give {option} on a local disk, or mount this one with locks"
        raise OSError(error.errno, f"{error.strerror}, {why}", str(path)) from error


def _short(key: str) -> int:
    """96 bits of a key: among a billion replies, two share them once in 10¹¹ runs."""
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=12).digest())


def _key_of(line: bytes) -> str:
    # Lines begin {"key":"…": reading only that keeps the scan of a million lines to seconds.
    if line.startswith(b'{"key":"') and line.endswith(b"}\n"):
        return line[8 : line.index(b'"', 8)].decode()
    key = json.loads(line)["key"]
    if not isinstance(key, str):
        raise ValueError("its key is no text")
    return key
