"""What search tasks share: a question has a few candidates, and trying one is work that ends by saying whether it hit.

Finding the candidate that hits is hard to do at sight; trying one is a few small steps; checking is reading the last word. An
attempt says `yes` or `no` at its end because the rounds learn to tell hits apart by that: with the last number alone, the first
round of the same size taught nothing (docs/log.md).
"""

from __future__ import annotations

import random
from abc import abstractmethod
from collections.abc import Iterator, Sequence

from rise.judges.search import SearchJudge
from rise.task import Problem
from rise.tasks.generated import GeneratedTask
from rise.tasks.skills import Lesson


class SearchTask(GeneratedTask):
    """An attempt is written `candidate:work`; all honest attempts with one candidate are the same text."""

    checked = True
    """Whether an attempt shows that it hit; without that no base learns to say so."""
    check_words = 1
    """So many words at the end of an attempt are its check; what stands before them is the work."""
    say, hit, left = "say {n}", "hit {n}", "left"
    """How the skills of that name are asked for; `{n}` is the number of a line."""
    hit_words = ("y", "n")
    """The answers to `hit`."""
    between = " "
    """Stands between the candidates that are left."""

    @abstractmethod
    def candidates(self, question: str) -> Sequence[str]:
        """All that can be tried, in the order in which they are listed."""

    @abstractmethod
    def worked(self, question: str, candidate: str) -> str | None:
        """The honest attempt with that candidate; None where it is none of the question's."""

    @abstractmethod
    def hits(self, question: str, candidate: str) -> bool: ...

    def candidate_of(self, reply: str) -> str | None:
        """What a reply tries; None where it does not say."""
        candidate, colon, _ = reply.strip().partition(":")
        return candidate if colon and 0 < len(candidate) <= 40 else None

    def check_of(self, reply: str) -> bool | None:
        """What an attempt says at its end: whether it hits. None where it says neither `yes` nor `no` there."""
        said = reply.split()[-1:]
        return {"yes": True, "no": False}.get(said[0]) if said else None

    @abstractmethod
    def ask(self, kind: str, rng: random.Random) -> str:
        """A question of that kind, with at least one candidate that hits."""

    def make(self, kind: str, rng: random.Random) -> Problem:
        question = self.ask(kind, rng)
        right = [c for c in self.candidates(question) if self.hits(question, c)]
        gold, solution = " ".join(right), self.worked(question, right[0])
        return Problem(question, gold, solution=solution, fields={"kind": kind})

    def judge(self) -> SearchJudge:
        return SearchJudge(self)

    def skills(self, problems: Sequence[Problem], rng: random.Random, *, n_turns: int = 5) -> Iterator[Lesson]:
        """The skills of a base (`rise.tasks.skills`), one conversation for each problem.

        attempts   one after another: the last candidate again, another than all before, or any, whether or not one hit
        say 2      the second line again
        hit 2      whether the second line hits: y or n
        left       the candidates that no line has tried
        step       one small step of the work by itself, where the task has such (`small_steps`)

        As nothing in the attempts depends on what hits, each turn is right as often as the first.
        """
        for problem in problems:
            asked = problem.question
            every = self.candidates(asked)
            steps = self.small_steps(asked, rng, n_turns)
            weights = [0.6, 0.1, 0.15 * self.checked, 0.15, 0.3 * bool(steps)]
            kind = rng.choices(["attempts", "say", "hit", "left", "step"], weights)[0]
            right, wrong = [c for c in every if self.hits(asked, c)], [c for c in every if not self.hits(asked, c)]
            if kind == "attempts":
                tried: list[str] = []
                for _ in range(n_turns):
                    way = rng.choices(["again", "other", "any"], [0.2, 0.3, 0.5])[0] if tried else "any"
                    untried = [c for c in every if c not in tried] or every
                    tried.append(tried[-1] if way == "again" else rng.choice(untried if way == "other" else every))
                lines = [self._line(asked, candidate) for candidate in tried]
                for k in range(n_turns):
                    yield Lesson(problem, tuple(lines[:k]), lines[k])
                continue
            if kind == "step":
                yield from (Lesson(problem, (), reply, ask) for ask, reply in steps)
                continue
            if kind == "left":
                tried = rng.sample(every, rng.randint(1, min(n_turns, len(every)) - 1))
                left = self.between.join(candidate for candidate in every if candidate not in tried)
                yield Lesson(problem, tuple(self._line(asked, candidate) for candidate in tried), left, self.left)
                continue
            n = rng.randint(1, n_turns - 1)
            # A hit about as often as a miss, where lines are told apart.
            tried = [rng.choice(right if rng.random() < 0.4 else wrong) for _ in range(n)]
            which = n if rng.random() < 0.5 else rng.randint(1, n)
            lines = [self._line(asked, candidate) for candidate in tried]
            if kind == "say":
                yield Lesson(problem, tuple(lines), lines[which - 1], self.say.format(n=which))
            else:
                said = self.hit_words[0 if tried[which - 1] in right else 1]
                yield Lesson(problem, tuple(lines), said, self.hit.format(n=which))

    def small_steps(self, question: str, rng: random.Random, n: int) -> list[tuple[str, str]]:
        """`n` single steps of the work on a question, each (what is asked, what comes out)."""
        return []

    def _line(self, question: str, candidate: str) -> str:
        line = self.worked(question, candidate)
        assert line is not None, (question, candidate)
        return line

    @property
    def alphabet(self) -> str:
        """Every character of questions, attempts and skills."""
        return "".join(sorted({*"0123456789: ", *"sayhityesnoleft", *self.own_alphabet}))

    own_alphabet: str = ""
    """Characters that only this task writes."""


def compared(left: int, right: int, rng: random.Random) -> tuple[str, str]:
    """The check of an attempt by itself: `59 53?` is answered `no`, `59 59?`, which is asked half of the time, `yes`."""
    right = left if rng.random() < 0.5 else right
    return f"{left} {right}?", "yes" if left == right else "no"
