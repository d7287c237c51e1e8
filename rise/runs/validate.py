"""What can be known of a task's problems before money is spent: golds that their own judge refuses, doubles, leaks, length."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from rise.errors import EmptySplitError, NotHereError, RiseError
from rise.judge import Judge, Judgement
from rise.play.context_length import N_LONGEST, state_length
from rise.play.prompt import Prompt
from rise.play.render import Renderer
from rise.recipe.config import RunConfig
from rise.recipe.problems import boost_problems, held_out_problems, rate_problems, training_problems
from rise.task import ANY, SPLITS, Problem, Split, Task
from rise.trajectory import Verdict

SHOWN = 3
"""Examples kept of each trouble."""
OF_ENDLESS = 200
"""Problems of each split of a task that has no end, unless said otherwise."""
FORMS = ("{}", "\\boxed{{{}}}", "<answer>{}</answer>", "#### {}", "Answer: {}")
"""How a bare gold is written as a reply: in the first of these that the judge calls right."""

By = Mapping[Split, Sequence[Problem]]


@dataclass(slots=True)
class Check:
    """One thing that was looked for, and where it was found."""

    name: str
    says: str
    fails: bool
    """Whether finding it means that the task is not fit to be used as it is."""
    counts: dict[str, int] = field(default_factory=dict)
    examples: list[dict[str, str]] = field(default_factory=list)
    """Of each: split, problem (its id), question, trouble."""

    def add(self, split: str, problem: Problem, trouble: str) -> None:
        self.counts[split] = self.counts.get(split, 0) + 1
        if len(self.examples) < SHOWN:
            self.examples.append({"split": split, "problem": problem.id, "question": problem.question, "trouble": trouble})

    @property
    def n(self) -> int:
        return sum(self.counts.values())


@dataclass(frozen=True, slots=True)
class Validation:
    """All that was looked at and found."""

    task: str
    problems: dict[str, int]
    """Split → how many were looked at."""
    checks: tuple[Check, ...]
    length: dict[str, Any] | None
    """Tokens of the longest first state, of a reply, and of the model's context; None where no model was named."""
    notes: tuple[str, ...] = ()

    @property
    def fit(self) -> bool:
        return not any(check.fails and check.n for check in self.checks)

    def to_json(self) -> dict[str, Any]:
        """Plain data, for `--json`."""
        checks = {c.name: {"fails": c.fails, "counts": c.counts, "examples": c.examples} for c in self.checks}
        return {
            "task": self.task,
            "fit": self.fit,
            "problems": self.problems,
            "checks": checks,
            "length": self.length,
            "notes": [*self.notes],
        }


@dataclass(frozen=True, slots=True)
class Length:
    """What the length of a first state is held against."""

    prompt: Prompt
    renderer: Renderer
    limit: int
    """Tokens that the model was built for."""
    max_new_tokens: int


def task_problems(task: Task, n: int | None) -> tuple[By, list[str]]:
    """(the first `n` problems of each split, or all; what was missing, in words). Raises where no split has any."""
    found: dict[Split, Sequence[Problem]] = {}
    notes: list[str] = []
    lacking: list[RiseError] = []
    for split in getattr(task, "splits", SPLITS) or SPLITS[:1]:  # one without any says why it has none
        try:
            with _heard(notes):
                some = task.problems(split, (n or OF_ENDLESS) if task.endless else None)
            found[split] = some if n is None else some[:n]
        except (EmptySplitError, NotHereError) as error:
            lacking.append(error)
            notes.append(str(error))
    if not found and lacking:
        raise lacking[0]
    return found, notes


def recipe_problems(config: RunConfig, task: Task) -> tuple[By, list[str]]:
    """(what a run of the recipe would take of each split, what the task says of them)."""
    notes: list[str] = []
    rounds = range(1, (config.iterate.rounds if config.rollout.problems == "fresh" else 1) + 1)
    found: dict[Split, Sequence[Problem]] = {}
    with _heard(notes):
        train = [*(boost_problems(config, task) if config.boost.enabled else ())]
        train += [problem for k in rounds for problem in training_problems(config, task, k)]
        found["train"] = list({problem.id: problem for problem in train}.values())
        if rates := rate_problems(config, task):
            found["validation"] = rates
        found[config.evaluate.split] = held_out_problems(config, task)
    return found, notes


@contextmanager
def _heard(notes: list[str]) -> Iterator[None]:
    """Warnings that a task gives while it reads, such as duplicates that it leaves out, go into `notes`."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    notes += [str(warning.message) for warning in caught]


def validate(task: Task, problems: By, length: Length | None = None, notes: Iterable[str] = ()) -> Validation:
    """Look at all of them. Nothing is raised for what a problem is; a judge that breaks is counted like a gold it cannot read."""
    checks = [*_golds(task.judge(), problems), *_doubles(task, problems), _leaks(task, problems)]
    measured = None
    if length is not None:
        check, measured = _lengths(problems, length)
        checks.append(check)
    return Validation(task.name, {split: len(some) for split, some in problems.items()}, tuple(checks), measured, tuple(notes))


# ---- golds ---------------------------------------------------------------------------------------------------------------


def _golds(judge: Judge, problems: By) -> list[Check]:
    checks = {
        "unreadable": Check("unreadable", "golds the judge cannot read", fails=True),
        "solution": Check("solution", "worked solutions it does not call right", fails=True),
        "gold": Check("gold", "golds it does not call right", fails=True),
        "untried": Check("untried", "golds that could not be tried", fails=False),
    }
    with ThreadPoolExecutor(4) as threads:  # judges that ask a worker wait for it
        for split, some in problems.items():
            for problem, found in zip(some, threads.map(partial(_tried, judge), some), strict=True):
                if found is not None:
                    checks[found[0]].add(split, problem, found[1])
    return list(checks.values())


def _tried(judge: Judge, problem: Problem) -> tuple[str, str] | None:
    """(which check it fails, why); None where its judge calls the worked solution, or the gold itself, right."""
    try:
        judge.check(problem)
        if problem.solution is not None:
            found = judge.judge(problem, problem.solution)
            if found.verdict is Verdict.RIGHT:
                return None
            if found.message:  # of a test that fails or does not end, which says more than the code
                return "solution", f"{found.verdict}: {found.message}"
            answer = "nothing" if found.answer is None else f"{found.answer[-60:]!r}"
            return "solution", f"{found.verdict}: it reads {answer}; gold is {problem.gold[-60:]!r}"
        if problem.gold == ANY:
            return "untried", "no answer is told"
        right, read = _right(judge, problem, problem.gold)
    except RiseError as error:
        return "unreadable", str(error)
    if right:
        return None
    if read is None:
        return "untried", f"no form of {problem.gold[-60:]!r} is read as an answer; a `solution` would be"
    return "gold", f"{read.verdict}: gold {problem.gold[-60:]!r} is read as {(read.answer or '')[-60:]!r}"


def _right(judge: Judge, problem: Problem, answer: str) -> tuple[bool, Judgement | None]:
    """(whether the judge calls a bare answer right in any form, what it says of the first form that it can read)."""
    read = None
    for form in FORMS:
        found = judge.judge(problem, form.format(answer))
        if found.verdict is Verdict.RIGHT:
            return True, found
        if read is None and found.verdict is not Verdict.UNPARSABLE:
            read = found
    return False, read


# ---- doubles and leaks ---------------------------------------------------------------------------------------------------


def _doubles(task: Task, problems: By) -> list[Check]:
    judge = task.judge()
    double = Check("double", "asked before in the split, same gold", fails=False)
    contradiction = Check("contradiction", "asked before in the split, another gold", fails=True)
    for split, some in problems.items():
        first: dict[str, Problem] = {}
        for problem in some:
            known = first.setdefault(task.key(problem.question), problem)
            if known is problem:
                continue
            if _agree(judge, known, problem):
                double.add(split, problem, f"as problem {known.id}")
            else:
                contradiction.add(split, problem, f"gold {problem.gold[-40:]!r}; of problem {known.id} {known.gold[-40:]!r}")
    return [double, contradiction]


def _agree(judge: Judge, left: Problem, right: Problem) -> bool:
    """Whether two golds of one question are the same answer, though one be written at length."""
    try:
        return left.gold.split() == right.gold.split() or _right(judge, left, right.gold)[0]
    except RiseError:
        return False


def _leaks(task: Task, problems: By) -> Check:
    """Problems of a later split that an earlier one has: train before validation before test."""
    leak = Check("leak", "questions an earlier split has too", fails=True)
    where: dict[str, tuple[str, Problem]] = {}
    for split in SPLITS:
        for problem in problems.get(split, ()):
            before, same = where.setdefault(task.skeleton(problem.question), (split, problem))
            if before != split:
                leak.add(split, problem, f"{before} has it as problem {same.id}")
    return leak


# ---- length --------------------------------------------------------------------------------------------------------------


def _lengths(problems: By, length: Length) -> tuple[Check, dict[str, Any]]:
    """The check of first states too long for a reply behind them, and the longest. Only the longest questions are rendered."""
    long = Check("long", "questions too long for the context", fails=True)
    longest = 0
    for split, some in problems.items():
        n_short = 0
        for problem in sorted(some, key=lambda problem: -len(problem.question)):
            n = state_length(length.prompt, length.renderer, problem, 0, length.max_new_tokens)
            longest = max(longest, n)
            if n + length.max_new_tokens > length.limit:
                long.add(split, problem, f"{n} tokens, and {length.max_new_tokens} of a reply; the context has {length.limit}")
                n_short = 0
            elif (n_short := n_short + 1) == N_LONGEST:
                break
    return long, {"longest": longest, "reply": length.max_new_tokens, "context": length.limit}
