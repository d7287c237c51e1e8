"""A control: facts that were never learnt. An attempt is a guess, and nothing in it says whether it hit."""

from __future__ import annotations

import hashlib
import random
import re

from rise.tasks.generated import whole
from rise.tasks.search import SearchTask

_QUESTION = re.compile(r"\d{4}:(\d(?: \d){1,8})\?", re.ASCII)


class Recall(SearchTask):
    """`4821:2 4 7?` asks which of three digits belongs to the key 4821. Nobody can work that out, nor check it.

    Five turns can try all three, yet nothing tells which to keep: more turns are worth nothing here, and a report that
    says otherwise is wrong.
    """

    name = "recall"
    own_alphabet = "?"
    checked = False

    def __init__(self, *, values: int = 3, seed: int = 0) -> None:
        """So many `values`, different digits, to choose from."""
        super().__init__({"recall": 1.0}, {"recall"}, seed)
        self.values = whole("values", values, 2, 9)

    def key(self, question: str) -> str:
        """Whatever the order of the values."""
        head, _, _ = question.partition(":")
        return f"{head}:{' '.join(sorted(self.candidates(question)))}"

    def ask(self, kind: str, rng: random.Random) -> str:
        return f"{rng.randint(1000, 9999)}:{' '.join(map(str, rng.sample(range(10), self.values)))}?"

    def candidates(self, question: str) -> list[str]:
        found = _QUESTION.fullmatch(question)
        return found[1].split() if found else []

    def worked(self, question: str, candidate: str) -> str | None:
        return candidate if candidate in self.candidates(question) else None

    def candidate_of(self, reply: str) -> str | None:
        return reply.strip() if 0 < len(reply.strip()) <= 40 else None

    def hits(self, question: str, candidate: str) -> bool:
        """By a hash of the key and the values, in whatever order: a fact of no kind."""
        every = sorted(self.candidates(question))
        if candidate not in every:
            return False
        return every[int(hashlib.sha256(self.key(question).encode()).hexdigest(), 16) % len(every)] == candidate
