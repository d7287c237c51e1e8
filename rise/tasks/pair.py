"""Which two of some numbers make a sum? The smallest case of subset sum."""

from __future__ import annotations

import random
import re
from itertools import combinations

from rise.tasks.generated import whole
from rise.tasks.search import SearchTask, compared

_QUESTION = re.compile(r"([a-h]\d{1,3}(?: [a-h]\d{1,3}){1,7})=(\d{1,4})", re.ASCII)
_LETTERS = "abcdefgh"


class Pair(SearchTask):
    """`a34 b81 c27 d65=92` asks for two of the numbers that add up to 92. A reply names two by their letters, adds them and
    checks the sum: `ac:34+27=61 92? no` misses, `cd:27+65=92 92? yes` hits.

    The letters make a candidate a thing to choose from a list, as in the other search tasks. Without them a nano model did
    not learn to say a hit again (docs/log.md).
    """

    name = "pair"
    check_words = 2
    own_alphabet = f"+=?{_LETTERS}"

    def __init__(self, *, numbers: int = 4, seed: int = 0) -> None:
        """So many two-digit `numbers`, all different."""
        super().__init__({"pair": 1.0}, {"pair"}, seed)
        self.numbers = whole("numbers", numbers, 3, 8)

    def ask(self, kind: str, rng: random.Random) -> str:
        while True:
            terms = rng.sample(range(10, 100), self.numbers)
            sums = [a + b for a, b in combinations(terms, 2)]
            if len(set(sums)) == len(sums):
                return f"{' '.join(map(''.join, zip(_LETTERS, map(str, terms), strict=False)))}={rng.choice(sums)}"

    def key(self, question: str) -> str:
        """Whatever the order of what is added."""
        terms, target = _read(question)
        return f"{' '.join(map(str, sorted(terms.values())))}={target}"

    def candidates(self, question: str) -> list[str]:
        return [a + b for a, b in combinations(_read(question)[0], 2)]

    def worked(self, question: str, candidate: str) -> str | None:
        """The sum of the two.

        >>> Pair().worked("a34 b81 c27 d65=92", "ac")
        'ac:34+27=61 92? no'
        """
        if candidate not in self.candidates(question):
            return None
        (left, right), target = _terms(question, candidate), _read(question)[1]
        return f"{candidate}:{left}+{right}={left + right} {target}? {'yes' if left + right == target else 'no'}"

    def small_steps(self, question: str, rng: random.Random, n: int) -> list[tuple[str, str]]:
        """One sum, or the comparison of a sum with another of the question's, the same half of the time."""
        every, found = self.candidates(question), []
        for _ in range(n):
            (a, b), other = _terms(question, rng.choice(every)), _terms(question, rng.choice(every))
            found.append((f"{a}+{b}=", str(a + b)) if rng.random() < 0.5 else compared(a + b, sum(other), rng))
        return found

    def hits(self, question: str, candidate: str) -> bool:
        return candidate in self.candidates(question) and sum(_terms(question, candidate)) == _read(question)[1]


def _terms(question: str, candidate: str) -> tuple[int, int]:
    """The two numbers that a candidate of the question names."""
    terms = _read(question)[0]
    return terms[candidate[0]], terms[candidate[1]]


def _read(question: str) -> tuple[dict[str, int], int]:
    """(letter → number, target) of a question; no numbers where it is none."""
    found = _QUESTION.fullmatch(question)
    if not found:
        return {}, 0
    return {term[0]: int(term[1:]) for term in found[1].split()}, int(found[2])
