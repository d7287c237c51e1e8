"""Plus or minus in front of each number, so that the sum comes out: the search of Countdown with one operation."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from itertools import product

from rise.tasks.generated import whole
from rise.tasks.search import SearchTask, compared

_QUESTION = re.compile(r"(\d{1,4}(?: \d{1,4}){1,6})=(\d{1,5})", re.ASCII)


class Signs(SearchTask):
    """`47 8 5 9=53` asks for the signs: `+-+` gives 47+8-5+9 = 59 and misses, `-++` gives 53 and hits.

    A reply names the signs, adds up, and checks what comes out against the sum: `+-+:47+8=55 55-5=50 50+9=59 53? no`.
    """

    name = "signs"
    check_words = 2
    own_alphabet = "+-=?"

    def __init__(self, *, numbers: int = 4, largest: int = 9, start: Sequence[int] = (30, 89), seed: int = 0) -> None:
        """`numbers` counts the first, which is from `start` and keeps its sign; the others go from 1 to `largest`."""
        super().__init__({"signs": 1.0}, {"signs"}, seed)
        self.numbers = whole("numbers", numbers, 3, 6)
        self.largest = whole("largest", largest, 4, 99)
        # So large that no running sum falls below zero.
        self.start = (max(whole("start", start[0], 1, 9999), (numbers - 1) * largest), whole("start", start[1], 1, 9999))

    def ask(self, kind: str, rng: random.Random) -> str:
        while True:
            terms = [rng.randint(*self.start), *(rng.randint(1, self.largest) for _ in range(self.numbers - 1))]
            sums = [_steps(terms, signs)[1] for signs in self._patterns(len(terms))]
            if len(set(sums)) == len(sums):  # one way to each sum, so that every pattern is right equally often
                return f"{' '.join(map(str, terms))}={rng.choice(sums)}"

    def key(self, question: str) -> str:
        """Whatever the order of what is added."""
        terms, target = _read(question)
        return f"{terms[0]} {' '.join(map(str, sorted(terms[1:])))}={target}"

    def candidates(self, question: str) -> list[str]:
        terms, _ = _read(question)
        return self._patterns(len(terms)) if terms else []

    def worked(self, question: str, candidate: str) -> str | None:
        """The running sum, step by step.

        >>> Signs().worked("47 8 5 9=53", "+-+")
        '+-+:47+8=55 55-5=50 50+9=59 53? no'
        """
        terms, target = _read(question)
        if candidate not in self.candidates(question):
            return None
        steps, result = _steps(terms, candidate)
        return f"{candidate}:{' '.join(steps)} {target}? {'yes' if result == target else 'no'}"

    def small_steps(self, question: str, rng: random.Random, n: int) -> list[tuple[str, str]]:
        """One plus or minus, or the comparison of a sum with another of the question's, the same half of the time."""
        terms, _ = _read(question)
        every = [_steps(terms, signs) for signs in self._patterns(len(terms))]
        found = []
        for _ in range(n):
            steps, result = rng.choice(every)
            step, _, out = rng.choice(steps).partition("=")
            found.append((f"{step}=", out) if rng.random() < 0.5 else compared(result, rng.choice(every)[1], rng))
        return found

    def hits(self, question: str, candidate: str) -> bool:
        terms, target = _read(question)
        return candidate in self.candidates(question) and _steps(terms, candidate)[1] == target

    @staticmethod
    def _patterns(n: int) -> list[str]:
        return ["".join(signs) for signs in product("+-", repeat=n - 1)]


def _steps(terms: Sequence[int], signs: str) -> tuple[list[str], int]:
    """(running sum line by line, what comes out)."""
    steps, total = [], terms[0]
    for sign, term in zip(signs, terms[1:], strict=True):
        result = total + term if sign == "+" else total - term
        steps.append(f"{total}{sign}{term}={result}")
        total = result
    return steps, total


def _read(question: str) -> tuple[list[int], int]:
    """(numbers, target) of a question; no numbers where it is none."""
    found = _QUESTION.fullmatch(question)
    return ([int(term) for term in found[1].split()], int(found[2])) if found else ([], 0)
