"""The search of Countdown in English, for a pretrained model: the same problems and attempts as `signs`, written out."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from rise.tasks.search import SearchTask
from rise.tasks.signs import Signs

_QUESTION = re.compile(
    r"Put \+ or - between (\d{1,4}(?:, \d{1,4}){1,5}) and (\d{1,4}) so that the result is (\d{1,5})\.", re.ASCII
)


class SignsInWords(SearchTask):
    """`Put + or - between 47, 8 and 5 so that the result is 44.`

    A reply writes the signs, works them out, and checks what comes out against what was asked for:
    `47 + 8 - 5: 47 + 8 = 55, 55 - 5 = 50. Is it 44? no`.
    """

    name = "signs-in-words"
    check_words = 4
    say, hit, left = "Write attempt {n} again.", "Does attempt {n} give the result? yes or no", "Which have not been tried?"
    hit_words = ("yes", "no")
    between = ", "
    own_alphabet = "".join(sorted({*"+-=?,.", *"Put or between and so that result Is it", *say, *hit, *left}))

    def __init__(self, *, numbers: int = 3, largest: int = 9, start: Sequence[int] = (30, 89), seed: int = 0) -> None:
        """As `signs`, with a number less: four candidates."""
        self.terse = Signs(numbers=numbers, largest=largest, start=start, seed=seed)
        super().__init__({"signs": 1.0}, {"signs"}, seed)

    def ask(self, kind: str, rng: random.Random) -> str:
        terms, _, target = self.terse.ask(kind, rng).partition("=")
        *others, last = terms.split()
        return f"Put + or - between {', '.join(others)} and {last} so that the result is {target}."

    def key(self, question: str) -> str:
        return self.terse.key(_terse(question))

    def candidates(self, question: str) -> list[str]:
        terms = _terms(question)
        return [_written(terms, signs) for signs in self.terse.candidates(_terse(question))]

    def worked(self, question: str, candidate: str) -> str | None:
        """The running result, step by step.

        >>> SignsInWords().worked("Put + or - between 47, 8 and 5 so that the result is 44.", "47 - 8 + 5")
        '47 - 8 + 5: 47 - 8 = 39, 39 + 5 = 44. Is it 44? yes'
        """
        work = self.terse.worked(_terse(question), _signs(question, candidate))
        if work is None:
            return None
        *steps, target, said = work.partition(":")[2].split()
        return f"{candidate}: {', '.join(map(_spaced, steps))}. Is it {target} {said}"

    def small_steps(self, question: str, rng: random.Random, n: int) -> list[tuple[str, str]]:
        """As in `signs`: `47 - 8 =` is answered `39`, `Is 39 44?` is answered `no`."""
        found = self.terse.small_steps(_terse(question), rng, n)
        return [(f"Is {' '.join(a.split())}" if " " in a else _spaced(a).strip(), said) for a, said in found]

    def hits(self, question: str, candidate: str) -> bool:
        return self.terse.hits(_terse(question), _signs(question, candidate))


def _terms(question: str) -> list[str]:
    """The numbers of a question in words; none where it is none."""
    found = _QUESTION.fullmatch(question)
    return [*found[1].split(", "), found[2]] if found else []


def _terse(question: str) -> str:
    """The question as `signs` asks it; empty where it is none in words."""
    found = _QUESTION.fullmatch(question)
    return f"{' '.join(_terms(question))}={found[3]}" if found else ""


def _written(terms: Sequence[str], signs: str) -> str:
    """`47 + 8 - 5`."""
    return terms[0] + "".join(f" {sign} {term}" for sign, term in zip(signs, terms[1:], strict=True))


def _signs(question: str, candidate: str) -> str:
    """`+-` of `47 + 8 - 5`; empty where that is not how a candidate of the question is written."""
    terms = _terms(question)
    signs = "".join(re.findall(r"[+-]", candidate))
    return signs if terms and len(signs) == len(terms) - 1 and _written(terms, signs) == candidate else ""


def _spaced(step: str) -> str:
    """`47-8=39` with spaces around its signs."""
    return re.sub(r"([+=-])", r" \1 ", step)
