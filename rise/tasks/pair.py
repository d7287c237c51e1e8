"""Which two of some numbers make a sum? The smallest case of subset sum."""

from __future__ import annotations

import random
import re
from itertools import combinations

from rise.tasks.generated import whole
from rise.tasks.search import SearchTask, compared

_QUESTION = re.compile(r"(\d{1,3}(?: \d{1,3}){1,8})=(\d{1,4})", re.ASCII)


class Pair(SearchTask):
    """`34 81 27 65=92` asks for two of the numbers that add up to 92. A reply adds two and checks the sum: `34+27=61 92? no`
    misses, `27+65=92 92? yes` hits."""

    name = "pair"
    check_words = 2
    own_alphabet = "+=?"
    mark = "="

    def __init__(self, *, numbers: int = 4, seed: int = 0) -> None:
        """So many two-digit `numbers`, all different."""
        super().__init__({"pair": 1.0}, {"pair"}, seed)
        self.numbers = whole("numbers", numbers, 3, 8)

    def ask(self, kind: str, rng: random.Random) -> str:
        while True:
            terms = rng.sample(range(10, 100), self.numbers)
            sums = [a + b for a, b in combinations(terms, 2)]
            if len(set(sums)) == len(sums):
                return f"{' '.join(map(str, terms))}={rng.choice(sums)}"

    def key(self, question: str) -> str:
        """Whatever the order of what is added."""
        terms, target = _read(question)
        return f"{' '.join(map(str, sorted(terms)))}={target}"

    def candidates(self, question: str) -> list[str]:
        return [f"{a}+{b}" for a, b in combinations(_read(question)[0], 2)]

    def worked(self, question: str, candidate: str) -> str | None:
        """The sum of the two.

        >>> Pair().worked("34 81 27 65=92", "34+27")
        '34+27=61 92? no'
        """
        if candidate not in self.candidates(question):
            return None
        target = _read(question)[1]
        return f"{candidate}={_sum(candidate)} {target}? {'yes' if _sum(candidate) == target else 'no'}"

    def small_steps(self, question: str, rng: random.Random, n: int) -> list[tuple[str, str]]:
        """One sum, or the comparison of a sum with another of the question's, the same half of the time."""
        every, found = self.candidates(question), []
        for _ in range(n):
            candidate, other = rng.choice(every), rng.choice(every)
            result = _sum(candidate)
            found.append((f"{candidate}=", str(result)) if rng.random() < 0.5 else compared(result, _sum(other), rng))
        return found

    def hits(self, question: str, candidate: str) -> bool:
        return candidate in self.candidates(question) and _sum(candidate) == _read(question)[1]


def _sum(candidate: str) -> int:
    return sum(map(int, candidate.split("+")))


def _read(question: str) -> tuple[list[int], int]:
    """(numbers, target) of a question; no numbers where it is none."""
    found = _QUESTION.fullmatch(question)
    return ([int(term) for term in found[1].split()], int(found[2])) if found else ([], 0)
