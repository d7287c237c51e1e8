"""The judge of Python functions: right where a function passes every test. A model's code never runs in our process.

It runs in `sandbox.py`, a worker without environment, network and files, wrapped in bubblewrap where that is installed.
What is expected stays here: the sandbox sends back values, and they are compared on this side.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import threading
from collections import OrderedDict
from functools import lru_cache
from pathlib import Path

from rise.errors import ConfigError
from rise.judge import Judge, Judgement
from rise.judges.answers import after_thinking
from rise.judges.python_tests import Finding, read_outcome, read_tests
from rise.judges.worker_pool import Pool, python
from rise.task import Problem
from rise.trajectory import Trajectory, Verdict

MEMORY_BYTES = 512 << 20
PATIENCE = 15
"""Times its limit that code may take by the clock while it waits for a processor. Of a processor it has its limit."""
NORMAL_LIMIT_S = 2.0
"""For reading code without its comments and layout."""
MAX_CODE_CHARS = 20_000
"""Longer code is wrong without being run."""
_KEPT = 8192

_FENCE = "```"
_ENV = {"PYTHONHASHSEED": "0"}
"""So that a set of strings is walked in the same order in every worker, and a verdict does not depend on which one gave it."""


class FunctionJudge(Judge):
    """Gold is tests, one `assert f(2) == 5` a line. The answer is the last code block with a `def`, or a `def` without block.

    >>> FunctionJudge().answer("So:\\n```python\\ndef f(n):\\n    return n\\n```\\nDone.")
    'def f(n):\\n    return n'
    """

    def __init__(self, *, time_limit_s: float = 2.0, allow_unsandboxed: bool = False) -> None:
        """`time_limit_s` is for all tests of a reply together. `allow_unsandboxed` runs code with nothing but limits on memory
        and time around it where there is neither seccomp nor bubblewrap; without it that is refused."""
        if not 0 < time_limit_s <= 60:
            raise ConfigError(f"time_limit_s = {time_limit_s}; it must be above 0 and at most 60.")
        self.time_limit_s = time_limit_s
        self.allow_unsandboxed = allow_unsandboxed

    def check(self, problem: Problem) -> None:
        read_tests(problem.gold)

    def judge(self, problem: Problem, reply: str) -> Judgement:
        code = self.answer(reply)
        if code is None:
            return Judgement(Verdict.UNPARSABLE, None)
        found = self.examine(problem.gold, code)
        return Judgement(found.verdict, code, message=found.message or None, brief=found.short or None)

    def answer(self, reply: str, question: str = "") -> str | None:
        """The code in a reply; None where there is none, or its last block was never closed."""
        said = after_thinking(reply)
        if said is None:
            return None
        reply = said
        parts = reply.split(_FENCE)
        if len(parts) == 1:
            start = _CODE.search(reply) if _DEF.search(reply) else None
            return reply[start.start() :].rstrip() if start else None
        if len(parts) % 2 == 0:
            return None  # cut at the limit; an earlier block was not the last word
        blocks = [block for part in parts[1::2] if (block := _without_language(part))]
        defining = [block for block in blocks if _DEF.search(block)] or blocks  # f = lambda n: … has no def
        return defining[-1] if defining else None

    def same(self, left: str, right: str) -> bool:
        """Whether two pieces of code are the same program, comments and layout apart."""
        if left == right:
            return True
        program = self._normal(left)
        return program is not None and program == self._normal(right)

    def examine(self, gold: str, code: str) -> Finding:
        """Verdict and message for code against the tests in `gold`; remembered, since the same code is often written again."""
        with _lock:
            if (gold, code) in _found:
                return _found[gold, code]
        finding = self._run(gold, code)
        with _lock:
            _found[gold, code] = finding
            while len(_found) > _KEPT:
                _found.popitem(last=False)
        return finding

    def _run(self, gold: str, code: str) -> Finding:
        name, tests = read_tests(gold)
        if len(code) > MAX_CODE_CHARS:
            return Finding(Verdict.WRONG, f"Your code is longer than {MAX_CODE_CHARS} characters.", "too long")
        calls = [test.arguments for test in tests]
        request = {"code": code, "name": name, "calls": calls, "limit_s": self.time_limit_s, "patience": PATIENCE}
        said = _pool(self.allow_unsandboxed).ask(request, PATIENCE * self.time_limit_s + 2.5)
        if said is None:
            return Finding(Verdict.TIMED_OUT, "Your code could not be run to its end.", "late")
        try:
            outcome = json.loads(said)
        except (ValueError, RecursionError):
            outcome = {"lines": [], "end": "long"}
        return read_outcome(outcome, name, tests)

    def _normal(self, code: str) -> str | None:
        return _normal(code, self.allow_unsandboxed) if len(code) <= MAX_CODE_CHARS else None


_DEF = re.compile(r"^\s{0,8}def\s{1,8}\w", re.MULTILINE)
_CODE = re.compile(r"^(?:def\s|import\s+\w|from\s+[\w.]+\s+import\s|@\w|class\s+\w)", re.MULTILINE)
_lock = threading.Lock()
_found: OrderedDict[tuple[str, str], Finding] = OrderedDict()


def _without_language(block: str) -> str:
    """Content of a fenced block, the word after its fence left out."""
    first, newline, rest = block.partition("\n")
    return (rest if newline and (not first.strip() or first.strip().isalnum()) else block).strip("\n").rstrip()


# ---- feedback ------------------------------------------------------------------------------------------------------------


NO_CODE = "There is no code in that reply. Write the function, in one ```python block."
PASSED = "All tests pass. Give the same function again."
UNTESTED = "Check your function above step by step. If it is right, give it again; if it is not, correct it."
"""Said where there are no tests to run, as in `rise serve`."""


def first_failure(problem: Problem, trajectory: Trajectory, verdict: Verdict | None) -> str:
    """`state.feedback = "rise.judges.python_functions:first_failure"`: the first failing test, in words."""
    turn = trajectory.turns[-1]
    if turn.answer is None:
        return NO_CODE
    if verdict is None:
        return UNTESTED
    return PASSED if turn.message is None else f"{turn.message} Correct the function."


def first_failure_short(problem: Problem, trajectory: Trajectory, verdict: Verdict | None) -> str:
    """The same in a few characters, `f(3)=7 not 5` or `ok`, for a model that reads letter by letter."""
    turn = trajectory.turns[-1]
    if turn.answer is None:
        return "no code"
    return "check" if verdict is None else turn.brief or "ok"


# ---- workers -------------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def bubblewrap() -> str | None:
    """The path of a bubblewrap that works here; None where there is none, or the kernel lets it make no namespace."""
    path = shutil.which("bwrap")
    if path is None:
        return None
    try:
        done = subprocess.run([path, *_WRAP, "--ro-bind", "/", "/", "true"], capture_output=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return path if done.returncode == 0 else None


_WRAP = ["--unshare-all", "--clearenv"]
# Not --die-with-parent: to the kernel the parent is the thread that started it, and threads of a pool end. A worker ends with its
# input, as all do. Not --new-session: each worker has its own session already, and is killed with all that is in it.


def command(allow_unsandboxed: bool) -> list[str]:
    """How the sandbox starts: under bubblewrap where it works, and needing seccomp where it does not."""
    path = bubblewrap()
    needed = "nothing" if path or allow_unsandboxed else "seccomp"
    run = python("sandbox.py", str(MEMORY_BYTES), needed, paths=False, flags="-sP")
    if path is None:
        return run
    # Only Python itself and the system's libraries: no home, no data, no run directory.
    roots = {"/usr", "/lib", "/lib64", "/bin", sys.prefix, sys.base_prefix, str(Path(run[0]).resolve().parent), run[2]}
    binds = [word for root in sorted(roots) if Path(root).exists() for word in ("--ro-bind", root, root)]
    env = [word for name, value in _ENV.items() for word in ("--setenv", name, value)]
    return [path, *_WRAP, *env, *binds, "--dev", "/dev", "--proc", "/proc", "--", *run]


@lru_cache(maxsize=2)
def _pool(allow_unsandboxed: bool) -> Pool:
    return Pool(
        lambda: command(allow_unsandboxed),
        name="the sandbox for a model's code",
        env=_ENV,
        hint="Install bubblewrap (apt install bubblewrap), or accept the risk with allow_unsandboxed = true.",
    )


@lru_cache(maxsize=4096)
def _normal(code: str, allow_unsandboxed: bool) -> str | None:
    request = {"normal": code, "limit_s": NORMAL_LIMIT_S, "patience": PATIENCE}
    said = _pool(allow_unsandboxed).ask(request, PATIENCE * NORMAL_LIMIT_S + 2.5)
    found = json.loads(said) if said else None
    return found if isinstance(found, str) else None
