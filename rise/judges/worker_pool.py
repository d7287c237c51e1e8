"""Processes that may be killed at any moment, for whatever must not run in ours: computer algebra, scorers, a model's code.

A *worker* is a fresh Python (never a fork of ours), without environment, in its own session, that reads one request a
line and answers each with one line. The parent holds the clock: what is late is killed with SIGKILL, since C code runs no
signal handler and hostile code need not heed one. Works from any thread, in an event loop and after fork.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rise.errors import RiseError

START_LIMIT_S = 120.0
"""For a worker to import its libraries: about 1 s, more on a busy machine. Not held against the answer, so it may be generous."""
SHORTEST_LIMIT_S = 1.0
"""At least this much of a time limit is left for the request itself when its worker had to be started first."""
PATIENCE = 6
"""Times its limit that a request may take by the clock while a busy machine keeps its worker waiting for a processor: that is the
machine's fault, and a right answer must not be called timed out for it. Of a processor itself it has its limit and no more."""
SLICE_S = 0.1
"""How soon after that the worker is looked at again, at least."""
MAX_LINE = 1 << 22
"""Bytes of one answer; a worker that says more is killed."""
GAVE_UP = "gave-up"
"""What a worker says when it ran out of memory or of stack: it is replaced, since its state is unknown."""


class Worker:
    """One process that answers one request at a time. It says "ready" first, and why not otherwise."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str]) -> None:
        # No preexec_fn: unsafe with threads.
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=dict(env),
            bufsize=0,
            start_new_session=True,  # Ctrl-C is the parent's affair
        )
        self.ready = False
        self._buffer = b""

    def line(self, deadline: float) -> str | None:
        """The next line; None at the deadline or where it never ends, "" if the process has ended."""
        assert self.process.stdout is not None
        fd = self.process.stdout.fileno()
        poll = select.poll()  # select() fails on descriptors from 1024 on
        poll.register(fd, select.POLLIN)
        while b"\n" not in self._buffer:
            left_s = deadline - time.monotonic()
            if left_s <= 0 or len(self._buffer) > MAX_LINE or not poll.poll(left_s * 1000):
                return None
            chunk = os.read(fd, 65536)
            if not chunk:
                return ""
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.decode(errors="replace")

    def start(self) -> str | None:
        """None once it is ready, else what it said instead: "" for nothing."""
        if self.ready:
            return None
        said = self.line(time.monotonic() + START_LIMIT_S)
        self.ready = said == "ready"
        return None if self.ready else said or ""

    def ask(self, request: Any, limit_s: float) -> str | None:
        assert self.process.stdin is not None
        deadline = time.monotonic() + limit_s
        try:
            # A raw pipe takes part of a long request at a time; it is read as it comes, so this does not wait for long.
            data = memoryview(json.dumps(request).encode() + b"\n")
            while data:
                data = data[self.process.stdin.write(data) :]
        except BrokenPipeError:
            return ""
        _, had_s = self._processor()
        last = deadline + (PATIENCE - 1) * limit_s
        said = self.line(deadline)
        while said is None and len(self._buffer) <= MAX_LINE and time.monotonic() < last:
            wants, has_s = self._processor()
            left_s = limit_s - (has_s - had_s)
            if not wants or left_s <= 0:
                break
            said = self.line(min(last, time.monotonic() + max(left_s, SLICE_S)))
        return said

    def _processor(self) -> tuple[bool, float]:
        """(whether the process is running or ready to, seconds of a processor it has had); (False, 0) where that is unknown."""
        try:
            with open(f"/proc/{self.process.pid}/stat") as file:
                state, *fields = file.read().rpartition(")")[2].split()
        except (OSError, ValueError):
            return False, 0.0
        return state == "R", (int(fields[10]) + int(fields[11])) / os.sysconf("SC_CLK_TCK")

    def kill(self) -> None:
        # With its whole session: under bubblewrap the worker is a child of what was started here.
        if self.process.returncode is None:  # not waited for yet, so the number is still its own
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.forget()

    def forget(self) -> None:
        """Close our ends of the pipes, so that the worker sees the end of its input when its owner goes."""
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


class Pool:
    """At most a handful of workers of one kind, started when needed, shared by all judges and threads of this process."""

    def __init__(
        self,
        command: Callable[[], Sequence[str]],
        *,
        name: str,
        size: int | None = None,
        env: Mapping[str, str] | None = None,
        hint: str = "",
    ) -> None:
        """`command` is asked for when a worker starts; `hint` is what to try where none does."""
        self._command, self._name, self._env, self._hint = command, name, env or {}, hint
        self.size = size or max(1, min(4, os.cpu_count() or 1))
        self._reset()
        _pools.add(self)

    def _reset(self) -> None:
        self._slots = threading.BoundedSemaphore(self.size)
        self._lock = threading.Lock()
        self._idle: list[Worker] = []
        self._all: set[Worker] = set()

    def ask(self, request: Any, limit_s: float) -> str | None:
        """The worker's line; None where it was late, ran out of memory or died. Raises `RiseError` if no worker starts."""
        with self._slots:  # waiting for a worker is not counted against the answer
            began = time.monotonic()
            worker = self._take()
            said = None
            try:
                trouble = worker.start()
                if trouble is not None:
                    raise RiseError(f"{self._name} did not start{f': {trouble}' if trouble else ''}. {self._hint}".rstrip())
                left_s = max(limit_s - (time.monotonic() - began), min(limit_s, SHORTEST_LIMIT_S))
                said = worker.ask(request, left_s)
                if said in ("", GAVE_UP):
                    said = None
            finally:
                if said is not None:
                    with self._lock:
                        self._idle.append(worker)
                else:
                    self._replace(worker)
        return said

    def _take(self) -> Worker:
        with self._lock:
            while self._idle:
                worker = self._idle.pop()
                if worker.process.poll() is None:
                    return worker
                worker.forget()
                self._all.discard(worker)
            worker = Worker(self._command(), self._env)
            self._all.add(worker)
            return worker

    def _replace(self, worker: Worker) -> None:
        worker.kill()
        with self._lock:
            self._all.discard(worker)

    def close(self) -> None:
        with self._lock:
            workers, self._all, self._idle = list(self._all), set(), []
        for worker in workers:
            worker.kill()

    def abandon(self) -> None:
        """In a forked child: these processes belong to the parent; only our copies of the pipes are ours to close."""
        for worker in self._all:
            worker.forget()
            worker.process.returncode = 0  # else Popen's destructor would wait for a process that is not our child
        self._reset()


_pools: weakref.WeakSet[Pool] = weakref.WeakSet()


def python(script: str, *arguments: str, paths: bool = True, flags: str = "-I") -> list[str]:
    """The command that runs a script of this directory, with our `sys.path` as its first argument where it needs one.

    -I: no environment variable and no directory of the user's decides what is imported.
    """
    here = [json.dumps([os.path.abspath(path) if path else os.getcwd() for path in sys.path])] if paths else []
    return [sys.executable, *flags.split(), str(Path(__file__).with_name(script)), *here, *arguments]


def close_workers() -> None:
    """End all worker processes now; they start again when needed. Also done at exit."""
    for pool in list(_pools):
        pool.close()


def _after_fork() -> None:
    for pool in list(_pools):
        pool.abandon()


atexit.register(close_workers)
os.register_at_fork(after_in_child=_after_fork)
