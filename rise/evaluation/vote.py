"""The vote: equal answers form a group. One grouping for metrics, for choosing a reply, for `rise serve` and for the viewer.

It stands in `evaluation` since everything that votes comes after it on the import ladder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from rise.trajectory import Turn, Verdict

Same = Callable[[str, str], bool]
"""Whether two answers are equal, without seeing gold: `Judge.same`. Taken to be symmetric."""


@dataclass(slots=True)
class Group:
    """Turns whose answers are equal."""

    answer: str
    """As the earliest of them wrote it."""
    turns: list[int]
    """Numbers from 1, ascending."""


@dataclass(slots=True)
class Ballot:
    """Answers counted as they come in. A turn without an answer, or with an unreadable one, never votes.

    >>> ballot = group(["5", "6", None, "5.0"], same=lambda a, b: float(a) == float(b))
    >>> ballot.groups
    [Group(answer='5', turns=[1, 4]), Group(answer='6', turns=[2])]
    >>> ballot.leaders
    [Group(answer='5', turns=[1, 4])]
    """

    same: Same
    groups: list[Group] = field(default_factory=list)
    """In the order in which their answers were first given."""
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
    def leaders(self) -> list[Group]:
        """The largest groups: one, or several that are tied; none where no turn has an answer."""
        most = max((len(group.turns) for group in self.groups), default=0)
        return [group for group in self.groups if len(group.turns) == most]

    @property
    def agreed(self) -> bool:
        """Whether the last two turns gave the same answer."""
        return len(self.last) > 1 and self.last[-1] is not None and self.last[-1] is self.last[-2]


def group(answers: Iterable[str | None], same: Same) -> Ballot:
    """All answers counted; None stands for a reply without one."""
    ballot = Ballot(same)
    for answer in answers:
        ballot.cast(answer)
    return ballot


def spokesman(found: Group, turns: Sequence[Turn]) -> int:
    """Number of the turn whose verdict a group has: its earliest that was judged in time; where none was, its earliest.

    >>> from rise.trajectory import Verdict
    >>> turns = [Turn("", Verdict.TIMED_OUT, answer="x"), Turn("", Verdict.RIGHT, answer="x")]
    >>> spokesman(Group("x", [1, 2]), turns), spokesman(Group("x", [1]), turns)
    (2, 1)
    """
    return next((n for n in found.turns if turns[n - 1].verdict is not Verdict.TIMED_OUT), found.turns[0])


def vote(turns: Sequence[Turn], same: Same) -> list[float]:
    """Score of the majority vote over the first 1, 2, … of `turns`, each between 0 and 1.

    A group has the verdict of its `spokesman`. The largest group wins, a tie scores the fraction of tied groups that are right,
    no votes score 0.

    >>> from rise.trajectory import Verdict
    >>> right, wrong = Turn("", Verdict.RIGHT, answer="4"), Turn("", Verdict.WRONG, answer="5")
    >>> vote([right, wrong, wrong, Turn("", Verdict.UNPARSABLE)], same=lambda a, b: a == b)
    [1.0, 0.5, 0.0, 0.0]
    """
    ballot = Ballot(same)
    scores: list[float] = []
    for turn in turns:
        ballot.cast(turn.voted)
        tied = [turns[spokesman(leader, turns) - 1].right for leader in ballot.leaders]
        scores.append(sum(tied) / len(tied) if tied else 0.0)
    return scores


def weighted_vote(turns: Sequence[Turn], weights: Sequence[float], same: Same) -> float:
    """Score of the vote over all `turns` where each counts with its weight; a tie scores the share of tied groups that are right.

    Two votes of 1 for a wrong answer lose to one of 3 for the right one:

    >>> from rise.trajectory import Verdict
    >>> right, wrong = Turn("", Verdict.RIGHT, answer="4"), Turn("", Verdict.WRONG, answer="5")
    >>> weighted_vote([wrong, right, wrong], [1.0, 3.0, 1.0], same=lambda a, b: a == b)
    1.0
    """
    groups = group((turn.voted for turn in turns), same).groups
    sums = [sum(weights[number - 1] for number in found.turns) for found in groups]
    most = max(sums, default=0.0)
    tied = [turns[spokesman(found, turns) - 1].right for found, weight in zip(groups, sums, strict=True) if weight == most]
    return sum(tied) / len(tied) if tied else 0.0


def remember(same: Same) -> Same:
    """`same`, asked once per pair and never about equal text: a symbolic comparison takes milliseconds."""
    known: dict[tuple[str, str], bool] = {}

    def agree(left: str, right: str) -> bool:
        left, right = left.strip(), right.strip()
        if left == right:
            return True
        pair = (left, right) if left < right else (right, left)
        if pair not in known:
            known[pair] = same(*pair)
        return known[pair]

    return agree
