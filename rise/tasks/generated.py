"""What generated tasks share: an endless seeded stream of problems, cut into splits that cannot meet."""

from __future__ import annotations

import random
import re
import threading
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rise.errors import ConfigError, DataError, did_you_mean
from rise.judge import Judge
from rise.judges import make_judge
from rise.task import Problem, Split, Task, check_asked, fewer

_PATIENCE = 30_000
"""Draws without a new question before the space is called exhausted: below 0.1 % of the space is then left, if any."""


def split_of(question: str) -> Split:
    """The split a question belongs to: by its own hash, so whatever the seed and settings, no question is in two.

    About 75 % train, 9 % validation, 16 % test.

    >>> split_of("347*68") == split_of("347*68")
    True
    """
    # crc32 is linear: questions of one form fall into patterns. The multiplication mixes them before the top byte is taken.
    bucket = (zlib.crc32(question.encode()) * 0x9E3779B1 & 0xFFFFFFFF) >> 24
    return "train" if bucket < 192 else "validation" if bucket < 216 else "test"


class GeneratedTask(Task):
    """Problems drawn from a seed. Each split is one fixed sequence without repeats, made as far as it is asked for."""

    endless = True

    def __init__(self, kinds: Mapping[str, float], known: Iterable[str], seed: int) -> None:
        self.kinds = _checked_kinds(self.name, kinds, set(known))
        self.seed = whole("seed", seed, low=0)
        self._made: dict[str, list[Problem]] = {}
        self._seen: dict[str, set[str]] = {}
        self._random: dict[str, random.Random] = {}
        self._lock = threading.Lock()

    def draw(self, kind: str, rng: random.Random) -> tuple[str, str, str]:
        """(question, gold, solution) of one problem. A task that knows more of it has its own `make` instead."""
        raise NotImplementedError

    def make(self, kind: str, rng: random.Random) -> Problem:
        """One problem of that kind, drawn from `rng`."""
        question, gold, solution = self.draw(kind, rng)
        return Problem(question, gold, solution=solution, fields={"kind": kind})

    def problems(self, split: Split, n: int | None = None, *, start: int = 0) -> Sequence[Problem]:
        check_asked(self.name, split, n, start)
        if n is None:
            raise DataError(f"task {self.name} is generated and has no end: say how many problems (n) you want of {split}.")
        with self._lock:
            self._extend(split, start + n)
            return self._made[split][start : start + n]

    def key(self, question: str) -> str:
        """What two questions share that are one problem in another order or with other names: only one of them is taken."""
        return question

    def judge(self) -> Judge:
        return make_judge("math", symbolic=False)

    def _extend(self, split: Split, n: int) -> None:
        made = self._made.setdefault(split, [])
        seen = self._seen.setdefault(split, set())
        # A string seeds through SHA-512, so the stream does not depend on PYTHONHASHSEED.
        rng = self._random.setdefault(split, random.Random(f"{self.name}/{split}/{self.seed}"))
        names, shares = list(self.kinds), list(self.kinds.values())
        while len(made) < n:
            # The kind is settled before the draw, so that a small kind is not crowded out when its questions run short.
            kind = rng.choices(names, shares)[0] if len(names) > 1 else names[0]
            for _ in range(_PATIENCE):
                problem = self.make(kind, rng)
                key = self.key(problem.question)
                if key not in seen and split_of(self.skeleton(problem.question)) == split:
                    break
            else:
                raise DataError(
                    f"task {self.name}: no new question of kind {kind!r} is left for {split} after {len(made)} problems, "
                    f"of {n} asked for. Enlarge it (more digits, terms or steps), lower its share, "
                    f"or ask for fewer: {fewer(split)}."
                )
            seen.add(key)
            made.append(problem)


def _checked_kinds(name: str, kinds: Mapping[str, float], known: set[str]) -> dict[str, float]:
    if isinstance(kinds, str):
        kinds = {kinds: 1.0}
    elif not isinstance(kinds, Mapping):
        kinds = dict.fromkeys(kinds, 1.0)
    for kind, share in kinds.items():
        if kind not in known:
            raise ConfigError(f"task {name}: unknown kind {kind!r}. {did_you_mean(kind, known)}")
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share < float("inf"):
            raise ConfigError(f"task {name}: kinds.{kind} = {share!r}; a share is a number from 0 on.")
    positive = {kind: float(share) for kind, share in sorted(kinds.items()) if share > 0}
    if not positive:
        raise ConfigError(f"task {name}: no kind has a share above 0. Give one, e.g. kinds = {{ {min(known)} = 1 }}.")
    return positive


def whole(name: str, value: Any, low: int = 1, high: int | None = None) -> int:
    """A setting that must be a whole number within bounds."""
    if isinstance(value, bool) or not isinstance(value, int) or value < low or (high is not None and value > high):
        raise ConfigError(f"{name} = {value!r}; expected a whole number {f'from {low} to {high}' if high else f'from {low} on'}.")
    return value


def span(name: str, value: Any, low: int = 1, high: int | None = None) -> tuple[int, int]:
    """A setting that is a whole number or a range [least, most], both included.

    >>> span("terms", 3), span("terms", [2, 4])
    ((3, 3), (2, 4))
    """
    if isinstance(value, list | tuple):
        if len(value) != 2:
            raise ConfigError(f"{name} = {value!r}; expected a number or [least, most].")
        least, most = (whole(name, item, low, high) for item in value)
    else:
        least = most = whole(name, value, low, high)
    if least > most:
        raise ConfigError(f"{name} = {value!r}; the least comes first.")
    return least, most


def with_digits(digits: tuple[int, int], rng: random.Random) -> int:
    """A number whose count of digits is uniform in the range; one-digit numbers start at 2, since 1 makes steps trivial."""
    n = rng.randint(*digits)
    return rng.randint(2, 9) if n == 1 else rng.randrange(10 ** (n - 1), 10**n)


def words(text: str) -> list[str]:
    """Words written in a row, which reads better than a list of forty quoted strings."""
    return text.split()


def any_of(*lists: Sequence[str]) -> re.Pattern[str]:
    """Matches each of these words where it stands by itself."""
    return re.compile(rf"\b({'|'.join(sorted((word for some in lists for word in some), key=len, reverse=True))})\b")
