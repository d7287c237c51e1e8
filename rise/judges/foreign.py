"""Tasks of other projects: their code runs in a process and an environment of its own, asked here for problems and scores."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from rise.errors import ConfigError, DataError, NotHereError
from rise.judge import Judge, Judgement
from rise.judges.plain import marked
from rise.judges.reasoning_gym import same_words
from rise.judges.worker_pool import Pool
from rise.recipe.shipped import adapter_environment
from rise.task import Problem
from rise.trajectory import Verdict

LOAD_LIMIT_S = 600.0
"""For a task to be loaded: it may fetch its data set first."""
SCORE_LIMIT_S = 30.0
AT_ONCE = 32
"""Problems asked for in one request: what a worker says in one answer is bounded."""

# Not INSPECT_EVAL_MODEL and its like: a task that asks another model must find none.
_KEPT = ("HOME", "PATH", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH", "SSL_CERT_FILE")
_PREFIXES = ("HF_", "XDG_", "http", "https", "no_proxy")


@dataclass(frozen=True)
class Package:
    """A project whose tasks we take: its name here, and the worker that speaks with it."""

    name: str
    """Also the family of tasks: `inspect:…`."""
    package: str
    worker: str
    """A script beside this file, run by the Python of that environment; it imports nothing of ours."""

    @property
    def python(self) -> str:
        """Where its environment's Python is unless the recipe says otherwise."""
        return f".venv-{self.name}/bin/python"


INSPECT = Package("inspect", "inspect_ai", "inspect_worker.py")
OPENENV = Package("openenv", "openenv", "openenv_worker.py")
VERIFIERS = Package("verifiers", "verifiers", "verifiers_worker.py")
REASONING_CORE = Package("reasoning-core", "reasoning-core", "reasoning_gym_worker.py")


class Foreign:
    """One task of another project, with its arguments, behind a worker."""

    def __init__(self, of: Package, what: str, python: str | None = None, **about: Any) -> None:
        """`python`: of the environment that holds the package. Raises `NotHereError` where there is none."""
        self.name = f"{of.name}:{what}"
        self.python = python_of(of, what, python)
        self._about = {"what": what, **about}
        self._pool = _pool(of, self.python, os.getcwd())

    def ask(self, do: str, limit_s: float, **request: Any) -> dict[str, Any] | None:
        """The worker's answer; None where it took too long. Raises `ConfigError` for what the package, or the worker, refuses."""
        said = self._pool.ask({"do": do, **self._about, **request}, limit_s)
        if said is None:
            return None
        found = json.loads(said)
        if "refused" in found:
            raise ConfigError(f"task {self.name}: {found['refused']}")
        if "changed" in found:
            raise DataError(f"task {self.name}: {found['changed']}")
        return dict(found)

    def describe(self) -> dict[str, Any]:
        """What the worker says of the task once it is loaded. Raises `ConfigError` where that does not end."""
        said = self.ask("describe", LOAD_LIMIT_S)
        if said is None:
            raise ConfigError(f"task {self.name}: loading it took over {LOAD_LIMIT_S:.0f} s, or its process ended.")
        return said

    def problems(self, n: int) -> Iterator[dict[str, Any]]:
        """Rows 0 … n-1, each with `index`, `question`, `gold` (None where none is told) and `fields`."""
        for start in range(0, n, AT_ONCE):
            said = self.ask("make", LOAD_LIMIT_S, start=start, n=min(AT_ONCE, n - start))
            if said is None:
                raise ConfigError(f"task {self.name}: problems {start} … took over {LOAD_LIMIT_S:.0f} s, or its process ended.")
            yield from said["problems"]


def python_of(of: Package, what: str, python: str | None) -> str:
    """The Python of a project's environment. Raises `NotHereError`, with the command that makes one, where there is none."""
    place = python or of.python
    if not Path(place).exists():
        raise NotHereError(
            f"task {of.name}:{what} needs {of.package} in an environment of its own, and there is no {place}. Make it: "
            f"{adapter_environment(of.name)}. Or name a Python that has it: task.settings.python."
        )
    return place


class ForeignJudge(Judge):
    """The scorer that the task brings: right from a score of `right_from`; partial credit is kept beside the verdict.

    Votes count the answer that the scorer reads; where it tells none, what the reply marks as its answer, else its last line.
    """

    def __init__(self, foreign: Foreign, right_from: float = 1.0) -> None:
        if not 0 < right_from <= 1:
            raise ConfigError(f"task {foreign.name}: right_from = {right_from}; it is a score above 0 and at most 1.")
        self.foreign = foreign
        self.right_from = right_from

    def judge(self, problem: Problem, reply: str) -> Judgement:
        index = problem.fields.get("index")
        if not isinstance(index, int):
            raise DataError(f"problem {problem.id} has no field index, by which {self.foreign.name} knows its problems.")
        question = str(problem.fields.get("asked", problem.question))
        said = self.foreign.ask("score", SCORE_LIMIT_S, index=index, question=question, reply=reply)
        if said is None:
            return Judgement(Verdict.TIMED_OUT, None)
        return self.judgement(said, reply)

    def judgement(self, said: dict[str, Any], reply: str) -> Judgement:
        """What a worker's score comes to. Raises `ConfigError` for one outside 0 … 1."""
        score = float(said["score"])
        if not 0 <= score <= 1:
            raise ConfigError(
                f"task {self.foreign.name}: its scorer gave {score}; here a score is from 0 to 1. Name one that is so in "
                "task.settings: scorer or part of a task of inspect_ai's, reward of a taskset of verifiers'."
            )
        told = said.get("answer")
        answer = told or marked(reply)
        partial = None if score in (0.0, 1.0) else score
        if score >= self.right_from:
            return Judgement(Verdict.RIGHT, answer, score=partial)
        verdict = Verdict.UNPARSABLE if said.get("unanswered") or answer is None else Verdict.WRONG
        return Judgement(verdict, None if verdict is Verdict.UNPARSABLE else answer, score=partial)

    def answer(self, reply: str, question: str = "") -> str | None:
        return marked(reply)

    def same(self, left: str, right: str) -> bool:
        return same_words(left, right)


@lru_cache(maxsize=8)
def _pool(of: Package, python: str, directory: str) -> Pool:
    """Workers that were started in one directory, where files of yours lie."""
    return Pool(
        lambda: command(python, of.worker),
        name=f"the worker of {of.name} tasks ({python})",
        size=2,
        env={
            name: value for name, value in os.environ.items() if name in _KEPT or name.startswith(_PREFIXES)
        }  # no model of theirs
        | {"PYTHONHASHSEED": "0"},
        hint=f"Make its environment again: {adapter_environment(of.name)}.",
    )


def command(python: str, script: str) -> Sequence[str]:
    """How a worker starts: -P, so that no module beside the script shadows one of the package's."""
    return [python, "-sP", str(Path(__file__).parent / script)]
