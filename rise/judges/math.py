r"""The judge of mathematical answers: text, then numbers, then (seldom) math-verify in a process that can be killed.

Most verdicts are a string scan and a comparison of fractions. Only where one side is no plain number does a *worker* start:
a fresh Python (never a fork) with no environment, no network where the kernel allows, bounded memory, and a deadline the
parent enforces with SIGKILL, since computer algebra hangs inside C code where no signal handler runs. sympy is never
imported here, and a bare number never needs it.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import re
import select
import subprocess
import sys
import threading
import time
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

from rise.answers import Mode, extract, read_number, same_number
from rise.errors import ConfigError, DataError, RiseError
from rise.judge import Judgement
from rise.task import Problem
from rise.trajectory import Verdict

MAX_CHARS = 1000
MAX_NESTING = 24
MAX_DIGITS = 200
"""Of one number. Longer ones, and the two bounds above, are refused before a worker sees them: such an answer is wrong."""
MEMORY_BYTES = 1 << 30
START_LIMIT_S = 120.0
"""For a worker to import sympy: about 1 s, more on a busy machine. Not held against the answer, so it may be generous."""
SHORTEST_LIMIT_S = 1.0

_TOWER = re.compile(r"\d[)}\s]*(?:\^|\*\*)[\s{(]*\d+[\s{(]*(?:\^|\*\*)[\s{(]*\d+[\s{(]*(?:\^|\*\*)")
_HUGE_POWER = re.compile(r"(?:\^|\*\*)[\s{(]*-?\d{6,}|\d{6,}[\s})]*!|!\s*!")
_HOLDS_NUMBER = re.compile(r"\d|[½⅓⅔¼¾∞π]|\\(?:pi|infty)(?![A-Za-z])")
_FORMULA = re.compile(r"[+*/^()\[\]{}=<>!|√π×·÷∪∩∞]|\\|\d\s*-\s*\d|[\d)]\s*[A-Za-z]\b")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class MathJudge:
    """Right where the final answer equals gold; unparsable where none is marked, or where gold is a number and it holds none.

    >>> judge = MathJudge()
    >>> judge.judge(Problem("id", "Half of 2,400?", gold="so #### 1,200"), "It is 1200.0, hence \\\\boxed{$1,200}.").verdict
    <Verdict.RIGHT: 'right'>
    """

    def __init__(self, mode: Mode = "strict", *, symbolic: bool = True, time_limit_s: float = 4.5) -> None:
        """`symbolic = False` never starts a worker: an answer that is no plain number then equals only the same text.

        `time_limit_s` bounds one comparison; with starting and killing the worker it stays below five seconds.
        """
        if mode not in ("strict", "lenient"):
            raise ConfigError(f'judge mode = {mode!r}, but only "strict" and "lenient" exist.')
        if not time_limit_s > 0:
            raise ConfigError(f"time_limit_s = {time_limit_s}; it must be above 0.")
        self.mode: Mode = mode
        self.symbolic = symbolic
        self.time_limit_s = time_limit_s

    def judge(self, problem: Problem, reply: str) -> Judgement:
        gold, gold_number = _read_gold(problem.gold)
        answer = extract(reply, self.mode)
        if answer is None:
            return Judgement(Verdict.UNPARSABLE, None)
        if gold_number is not None:
            value = read_number(answer)
            if value is not None:
                return Judgement(Verdict.RIGHT if same_number(gold_number, value) else Verdict.WRONG, answer)
            if len(answer) <= MAX_CHARS and not _HOLDS_NUMBER.search(answer):
                return Judgement(Verdict.UNPARSABLE, answer)
        return Judgement(self._compare(gold, answer), answer)

    def answer(self, reply: str) -> str | None:
        """The final answer as the reply marks it; None where it marks none."""
        return extract(reply, self.mode)

    def same(self, left: str, right: str) -> bool:
        """Whether two answers are equal. A comparison that times out says no."""
        if left == right:
            return True
        a, b = read_number(left), read_number(right)
        if a is not None and b is not None:
            return same_number(a, b)
        # math-verify unwraps its first argument differently from its second; a vote must not depend on who came first.
        verdict = self._compare(left, right)
        return verdict is Verdict.RIGHT or (verdict is Verdict.WRONG and self._compare(right, left) is Verdict.RIGHT)

    def _compare(self, gold: str, answer: str) -> Verdict:
        if len(answer) > MAX_CHARS:
            return Verdict.RIGHT if answer == gold else Verdict.WRONG
        left, right = _normal(gold), _normal(answer)
        if left == right:
            return Verdict.RIGHT
        if _bracketed_otherwise(left, right):
            return Verdict.WRONG
        if not self.symbolic or not (_FORMULA.search(gold) or _FORMULA.search(answer)) or too_big(gold) or too_big(answer):
            return Verdict.WRONG  # words, or a plain number against a word
        return _verified(_for_latex(gold), _for_latex(answer), self.time_limit_s)


@lru_cache(maxsize=65536)
def _read_gold(gold: str) -> tuple[str, tuple[Fraction, bool] | None]:
    r"""The answer in a gold text: of a solution with `\boxed{…}` or `####`, what these mark; otherwise the text itself."""
    answer = extract(gold) if "\\boxed" in gold or "\\fbox" in gold or "####" in gold else gold.strip()
    if not answer:
        raise DataError(f"gold answer {gold[-80:]!r} marks no final answer. Give the bare answer, or close its \\boxed{{}}.")
    return answer, read_number(answer)


def too_big(text: str) -> bool:
    """Whether a text is beyond what any honest answer needs and a worker should not be troubled with it.

    >>> too_big("9^{9^{9^{9}}}"), too_big("2^{2^{10}}"), too_big("x^{2010}"), too_big("{" * 30), too_big("7" * 300)
    (True, False, False, True, True)
    """
    if len(text) > MAX_CHARS or re.search(rf"\d{{{MAX_DIGITS + 1}}}", text) or _TOWER.search(text) or _HUGE_POWER.search(text):
        return True
    depth = deepest = 0
    for character in text:
        if character in "{([":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "})]":
            depth -= 1
    return deepest > MAX_NESTING


_SAME_LOOK = [
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"\\(?:left|right|displaystyle|quad|bigl?|bigr)(?![A-Za-z])|\\[!,;: ]|[\s$~]+", ""),
        (r"\\[dtc]frac(?![A-Za-z])", r"\\frac"),
        (r"\\(?:text(?:bf|it|rm)?|math(?:rm|bf|it)|mbox)\{([^{}]*)\}", r"\1"),
        (r"\^\{?\\(?:circ|degree)\}?", ""),
        (r"\\%", "%"),
        (r"\{,\}", ","),
        (r"([_^])\{(\w)\}", r"\1\2"),
        (r"−", "-"),
        (r"^\(([A-Ja-j])\)$", r"\1"),  # choice (B) and choice B
    )
]


def _normal(text: str) -> str:
    """Text with the differences taken out that change the look and never the meaning; case matters only inside formulas."""
    text = text.strip().strip(".*").strip()
    for pattern, replacement in _SAME_LOOK:
        text = pattern.sub(replacement, text)
    return text.casefold() if text.isalpha() and len(text) > 1 else text


_LIST = re.compile(r"(\(|\[|\\\{)[^()\[\]]*,[^()\[\]]*(\)|\]|\\\})")
_ARGUMENT = r"(?:\{([^{}]*)\}|(\\(?!sqrt)[A-Za-z]+|\w))"
_SHORT_FRACTION = re.compile(rf"\\[dtc]?frac(?![A-Za-z])\s*{_ARGUMENT}\s*{_ARGUMENT}")


def _bracketed_otherwise(left: str, right: str) -> bool:
    """Whether one is a plain list like (1, 2) and the other one like {1, 2} or (1, 2]. math-verify takes pairs for sets."""
    a, b = _LIST.fullmatch(left), _LIST.fullmatch(right)
    return a is not None and b is not None and a.groups() != b.groups()


def _for_latex(text: str) -> str:
    text = _CONTROL.sub(" ", text).strip().rstrip(".,;").rstrip()  # math-verify reads "2x." as no answer
    text = _SHORT_FRACTION.sub(lambda m: f"\\frac{{{m[1] or m[2]}}}{{{m[3] or m[4]}}}", text)  # \frac \pi4, which they misread
    for left, right in (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]")):
        if text.startswith(left) and text.endswith(right) and len(text) > len(left) + len(right):
            text = text[len(left) : len(text) - len(right)]
    return text


# ---- workers -------------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=16384)
def _verified(gold: str, answer: str, limit_s: float) -> Verdict:
    return _pool.compare(gold, answer, limit_s)


class _Worker:
    """One process that answers one request at a time."""

    def __init__(self) -> None:
        paths = [os.path.abspath(path) if path else os.getcwd() for path in sys.path]
        script = Path(__file__).with_name("worker.py")
        # -I: no environment variable and no directory of the user's decides what is imported. No preexec_fn: unsafe with threads.
        self.process = subprocess.Popen(
            [sys.executable, "-I", str(script), json.dumps(paths), str(MEMORY_BYTES)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={},
            bufsize=0,
            start_new_session=True,  # Ctrl-C is the parent's affair
        )
        self.ready = False
        self._buffer = b""

    def line(self, deadline: float) -> str | None:
        """The next line; None at the deadline, "" if the process has ended."""
        assert self.process.stdout is not None
        fd = self.process.stdout.fileno()
        poll = select.poll()  # select() fails on descriptors from 1024 on
        poll.register(fd, select.POLLIN)
        while b"\n" not in self._buffer:
            left_s = deadline - time.monotonic()
            if left_s <= 0 or not poll.poll(left_s * 1000):
                return None
            chunk = os.read(fd, 4096)
            if not chunk:
                return ""
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.decode()

    def start(self) -> None:
        if self.ready:
            return
        if self.line(time.monotonic() + START_LIMIT_S) != "ready":
            self.kill()
            raise RiseError(
                f"the judge's worker ({sys.executable}) did not start. See why with: "
                f'{sys.executable} -I -c "import math_verify"; or reinstall with pip install math-verify.'
            )
        self.ready = True

    def ask(self, gold: str, answer: str, limit_s: float) -> str | None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps([gold, answer, limit_s]).encode() + b"\n")
        except BrokenPipeError:
            return ""
        return self.line(time.monotonic() + limit_s)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.forget()

    def forget(self) -> None:
        """Close our ends of the pipes, so that the worker sees the end of its input when its owner goes."""
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


class _Pool:
    """At most a handful of workers, started when needed, shared by all judges and threads of this process."""

    def __init__(self, size: int) -> None:
        self._slots = threading.BoundedSemaphore(size)
        self._lock = threading.Lock()
        self._idle: list[_Worker] = []
        self._all: set[_Worker] = set()

    def compare(self, gold: str, answer: str, limit_s: float) -> Verdict:
        with self._slots:  # waiting for a worker is not counted against the answer
            began = time.monotonic()
            worker = self._take()
            kept = False
            try:
                worker.start()
                left_s = max(limit_s - (time.monotonic() - began), min(limit_s, SHORTEST_LIMIT_S))
                said = worker.ask(gold, answer, left_s)
                kept = said in ("right", "wrong")
            finally:
                if kept:
                    with self._lock:
                        self._idle.append(worker)
                else:
                    self._replace(worker)
        if said == "right":
            return Verdict.RIGHT
        return Verdict.WRONG if said == "wrong" else Verdict.TIMED_OUT  # out of time or out of memory

    def _take(self) -> _Worker:
        with self._lock:
            while self._idle:
                worker = self._idle.pop()
                if worker.process.poll() is None:
                    return worker
                worker.forget()
                self._all.discard(worker)
            worker = _Worker()
            self._all.add(worker)
            return worker

    def _replace(self, worker: _Worker) -> None:
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


def _pool_size() -> int:
    return max(1, min(4, os.cpu_count() or 1))


_pool = _Pool(_pool_size())


def close_workers() -> None:
    """End all worker processes now; they start again when needed. Also done at exit."""
    _pool.close()


def _after_fork() -> None:
    global _pool
    _pool.abandon()
    _pool = _Pool(_pool_size())


atexit.register(close_workers)
os.register_at_fork(after_in_child=_after_fork)
