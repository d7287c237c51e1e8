"""Which reply is handed out: a vote over the answers of the turns, gold unknown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from rise.errors import ConfigError
from rise.recipe.own_code import load_named
from rise.trajectory import Message, Turn

Same = Callable[[str, str], bool]
Choose = Callable[[Sequence[Message], Sequence[Turn]], int | None]
"""Code of your own, named `module:function`: (conversation, turns) → index of the winning turn from 0, or None for no winner."""

RULES = {
    "majority": "the answer that most turns gave; of answers with equally many, the one given last",
    "last": "the last answer given",
    "agree": "turns end when two in a row give the same answer, which wins; otherwise the majority",
}


@dataclass(slots=True)
class Group:
    """Turns whose answers are the same."""

    answer: str
    """As the earliest of them wrote it."""
    turns: list[int]
    """Numbers from 1, ascending."""


@dataclass(slots=True)
class Ballot:
    """Answers counted as turns come in. Groups as `rise.evaluation.metrics.vote` does; no answer never votes.

    >>> ballot = Ballot(same=lambda a, b: float(a) == float(b))
    >>> for answer in ("5", "6", None, "5.0"):
    ...     ballot.cast(answer)
    >>> ballot.winner("majority"), ballot.winner("last").turns[0], ballot.agreed
    (Group(answer='5', turns=[1, 4]), 1, False)
    """

    same: Same
    groups: list[Group] = field(default_factory=list)
    last: list[Group | None] = field(default_factory=list)
    """The group of each turn so far; None for a turn without an answer."""

    def cast(self, answer: str | None) -> None:
        """Count the answer of the next turn."""
        found = None if answer is None else self._group(answer)
        if found is not None:
            found.turns.append(len(self.last) + 1)
        self.last.append(found)

    def _group(self, answer: str) -> Group:
        for group in self.groups:
            if self.same(group.answer, answer):
                return group
        self.groups.append(Group(answer, []))
        return self.groups[-1]

    @property
    def agreed(self) -> bool:
        """Whether the last two turns gave the same answer."""
        return len(self.last) > 1 and self.last[-1] is not None and self.last[-1] is self.last[-2]

    def winner(self, rule: str) -> Group | None:
        """The group that wins by one of `RULES`; None where no turn holds an answer."""
        if not self.groups:
            return None
        if rule == "last":
            return next(group for group in reversed(self.last) if group is not None)
        if rule == "agree" and self.agreed:
            return self.last[-1]
        # A tie goes to the answer given last: it was given knowing the others.
        return max(self.groups, key=lambda group: (len(group.turns), group.turns[-1]))


def load_choose(path: str) -> Choose:
    """The function at `module:function`. Raises `ConfigError` where there is none."""
    found = load_named(path, "--vote")
    if not callable(found):
        raise ConfigError(f"--vote {path} is no function: it is called with (messages, turns) and returns the winner's index.")
    return found
