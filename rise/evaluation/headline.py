"""The headline metrics: for each its name, its words, what it is of one problem, and how it prints. The only list of them.

metrics.json, the report, the terminal, the viewer and `rise compare` read it: a metric more is one entry more and its function.
They are lists, so that a module of yours may append to them.
Names carry K turns and S samples, as in the paper (RISE, arXiv 2407.18219, table 1). Defined in docs/metrics.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Generic, Literal, TypeVar

from rise.errors import DataError
from rise.evaluation.held_out import HeldOut
from rise.evaluation.uncertainty import NOTHING, Estimate, mean, paired_difference, ratio
from rise.evaluation.vote import Same, vote
from rise.trajectory import Turn, Verdict


@dataclass(frozen=True, slots=True)
class Played:
    """What one policy did on one problem, as the metrics read it."""

    run: tuple[Turn, ...]
    """Turns 1 … K; up to the first right one where an oracle stops runs, up to the first called right where the model does."""
    parallel: tuple[Turn, ...]
    """The S parallel first replies."""
    other: tuple[Turn, ...]
    """Turns 2 … K shown another problem's attempt; empty if this control was not run."""
    internalised: tuple[Turn, ...]
    """S first replies of the control that trained the same replies at the first turn; empty if it was not run."""
    beyond: tuple[Turn, ...]
    """The turns after the model's own stop; empty if it did not stop, or this control was not run."""
    vote_K: Sequence[float]
    """Score of the vote over turns 1 … k."""
    vote_S: Sequence[float]
    """Score of the vote over the first 1 … S parallel replies."""
    same: Same
    n_turns: int
    """K, which a run that was stopped does not show."""


def played(record: HeldOut, same: Same, *, turns: int, truthful: bool = False) -> Played:
    """A record as the metrics read it: under truthful feedback, up to its first right reply."""
    run = as_read(record, truthful).run
    other = () if truthful else record.other
    votes = vote(run, same), vote(record.parallel, same)
    return Played(run, record.parallel, other, record.internalised, record.beyond, *votes, same, turns)


def as_read(record: HeldOut, truthful: bool) -> HeldOut:
    """The record, under truthful feedback without what stands behind its first right reply: another judge may have found one
    where the run went on (`rise rejudge`)."""
    if not truthful:
        return record
    run = until_right(record.run)
    return replace(record, run=run, gold_score=record.gold_score[: len(run)])


def until_right(run: tuple[Turn, ...]) -> tuple[Turn, ...]:
    """The turns up to the first right one, where an oracle ends a run; all of them where none is right."""
    return next((run[:k] for k, turn in enumerate(run, 1) if turn.right), run)


Prints = Literal["percent", "points"]


@dataclass(frozen=True, slots=True)
class Metric:
    """A share: of problems, or of replies where `among` says of how many."""

    key: str
    """Its name in metrics.json; {K} and {S} stand for the numbers of turns and samples."""
    words: str
    """A few words, for the head of a column."""
    meaning: str
    """A sentence, for the glossary."""
    score: Callable[[Played], float]
    """What a problem scores, 0 … 1; of a share of replies, how many of the problem's replies count."""
    among: Callable[[Played], float] | None = None
    """How many of the problem's replies might have counted. None: the metric is a share of problems."""
    label: str = ""
    """How its name prints; the key where empty."""
    curve: str | None = None
    """The list in metrics.json whose last entry it is."""
    tracked: bool = True
    """Whether it is also given for each kind of problem and against the stage before."""
    brief: bool = True
    """Whether it stands in the viewer's table too, where there is little room."""
    oracle_free: bool = False
    """Whether it is the same number where an oracle ends runs: it does not look behind the first turn."""

    prints: Prints = "percent"

    def estimate(self, of: Sequence[Played]) -> Estimate:
        """The share over these problems with its 95 % interval."""
        scores = [self.score(problem) for problem in of]
        return mean(scores) if self.among is None else ratio(scores, [self.among(problem) for problem in of])

    def find(self, metrics: Mapping[str, Any] | None, K: int, S: int) -> Any:
        """Its plain data in a metrics.json; None where there is none."""
        found = (metrics or {}).get(self.key.format(K=K, S=S))
        curve = (metrics or {}).get(self.curve) if self.curve else None
        return curve[-1] if found is None and curve else found  # files of older versions hold it in the curve alone


@dataclass(frozen=True, slots=True)
class Difference:
    """A share minus another on the same problems: what a claim rests on."""

    key: str
    """Its name under `paired` in metrics.json."""
    words: str
    short: str
    """For a terminal of 80 columns."""
    question: str
    """What it answers, for the top of the report."""
    left: Callable[[Played], float | None]
    right: Callable[[Played], float | None]
    """None where the problem was not asked; such a problem takes no part."""
    with_oracle: bool = False
    """Whether it means anything where an oracle stops runs; null there otherwise."""
    never_below: bool = False
    """Whether it cannot fall below zero there, so that it is no finding."""
    brief: bool = False
    """Whether it stands in the viewer's table too."""
    optional: bool = False
    """Whether a report says nothing of it where no stage was asked it: a control that a recipe has to want."""

    prints: Prints = "points"

    def estimate(self, of: Sequence[Played], truthful: bool = False) -> Estimate:
        """The mean difference with its 95 % interval."""
        if truthful and not self.with_oracle:
            return NOTHING
        pairs = [(self.left(problem), self.right(problem)) for problem in of]
        known = [(left, right) for left, right in pairs if left is not None and right is not None]
        return paired_difference([left for left, _ in known], [right for _, right in known])

    def find(self, metrics: Mapping[str, Any] | None, K: int, S: int) -> Any:
        """Its plain data in a metrics.json; None where there is none."""
        return ((metrics or {}).get("paired") or {}).get(self.key.format(K=K, S=S))


def first(p: Played) -> float:
    """Whether the reply of turn 1 is right."""
    return float(p.run[0].right)


def last(p: Played) -> float:
    """Whether the last reply is right; of a run that an oracle stopped, it stands for the turns not taken."""
    return float(p.run[-1].right)


def any_turn(p: Played) -> float:
    return float(any(turn.right for turn in p.run))


def any_sample(p: Played) -> float:
    return float(any(turn.right for turn in p.parallel))


def _steps(p: Played, before: bool, after: bool | None = None) -> float:
    """How many replies are right (or not) and followed by one that is right (or not, or either)."""
    return float(sum(a.right is before and after in (None, b.right) for a, b in pairwise(p.run)))


def _repeated(p: Played) -> float:
    """Replies from turn 2 on with the answer of the turn before. No answer twice is no repeat."""
    answers = [turn.voted for turn in p.run]
    return float(sum(a is not None and b is not None and p.same(a, b) for a, b in pairwise(answers)))


HEADLINE: list[Metric] = [
    Metric("m1@t1", "first reply", "Share of problems whose first reply is right.", first, oracle_free=True),
    Metric(
        "m{S}@t1",
        "vote over {S} parallel samples",
        "Share right of the majority over {S} independent first replies; the run's turn 1 is the first of them.",
        lambda p: p.vote_S[-1],
        tracked=False,
        oracle_free=True,
    ),
    Metric(
        "m1@t{K}",
        "vote over {K} turns",
        "Share right of the majority over the replies of one run of {K} turns: over those that were written, where an oracle or "
        "the model itself ended it earlier.",
        lambda p: p.vote_K[-1],
    ),
    Metric(
        "p1@t{K}",
        "any turn right",
        "Share of problems right at any of the {K} turns of one run: an oracle picks the moment to stop.",
        any_turn,
        tracked=False,
    ),
    Metric(
        "p{S}@t1",
        "any sample right",
        "Share of problems right in any of the {S} independent first replies: an oracle picks the reply.",
        any_sample,
        tracked=False,
        brief=False,
        oracle_free=True,
    ),
    Metric(
        "t{K}",
        "last reply",
        "Share of problems whose reply at turn {K} is right. No vote, no oracle.",
        last,
        curve="accuracy_by_turn",
        brief=False,
    ),
]
"""Shares of problems: the columns of the paper's table 1, and the last reply without a vote."""

REPLIES: list[Metric] = [
    Metric(
        "wrong_to_right",
        "of wrong replies, the share whose next is right",
        "Share of wrong replies whose next reply is right.",
        lambda p: _steps(p, False, True),
        among=lambda p: _steps(p, False),
        label="wrong→right",
    ),
    Metric(
        "right_to_wrong",
        "of right replies, the share whose next is wrong",
        "Share of right replies whose next reply is wrong.",
        lambda p: _steps(p, True, False),
        among=lambda p: _steps(p, True),
        label="right→wrong",
    ),
    Metric(
        "repeated",
        "of replies from turn 2 on, the share with the answer before",
        "Share of replies from turn 2 on with the answer of the turn before.",
        _repeated,
        among=lambda p: len(p.run) - 1,
    ),
    Metric(
        "unparsable",
        "replies without an answer",
        "Share of replies in which no final answer was found.",
        lambda p: float(sum(turn.verdict is Verdict.UNPARSABLE for turn in p.run)),
        among=lambda p: len(p.run),
        label="no answer",
        brief=False,
    ),
]
"""Shares of replies."""

PAIRED: list[Difference] = [
    Difference(
        "t{K}-t1",
        "last reply − first (t{K} − t1)",
        "t{K}−t1",
        "Is the last reply better than the first? (t{K} − t1, no vote)",
        last,
        first,
        with_oracle=True,
        never_below=True,
        brief=True,
    ),
    Difference(
        "t{K}-nothing",
        "t{K} − nothing shown",
        "t{K}−nothing",
        "… better than a fresh sample, with nothing shown?",
        last,
        lambda p: float(p.parallel[p.n_turns - 1].right) if len(p.parallel) >= p.n_turns else None,
    ),
    Difference(
        "t{K}-other",
        "t{K} − another's attempt shown",
        "t{K}−other",
        "… better than when another problem's attempt is shown?",
        last,
        lambda p: float(p.other[-1].right) if p.other else None,
    ),
    Difference(
        "t{K}-internalised",
        "t{K} − internalised",
        "t{K}−internalised",
        "… better than the first reply of the same data trained at turn 1?",
        last,
        lambda p: float(p.internalised[0].right) if p.internalised else None,
        optional=True,
    ),
    Difference(
        "t{K}-m{S}-internalised",
        "t{K} − vote of {S}, internalised",
        "t{K}−m{S} intern.",
        "… better than a vote over {S} of its replies?",
        last,
        lambda p: vote(p.internalised, p.same)[-1] if p.internalised else None,
        optional=True,
    ),
    Difference(
        "t{K}-beyond",
        "t{K} − played on, where it stopped",
        "t{K}−played on",
        "Where the model stopped: is its reply better than the one it would have had at turn {K}?",
        last,
        lambda p: float(p.beyond[-1].right) if p.beyond else None,
        optional=True,
    ),
    Difference(
        "m1@t{K}-m{S}@t1",
        "m1@t{K} − m{S}@t1",
        "m1@t{K}−m{S}@t1",
        "Does a vote over {K} turns beat a vote over {S} parallel samples? (m1@t{K} − m{S}@t1)",
        lambda p: p.vote_K[-1],
        lambda p: p.vote_S[-1],
        brief=True,
    ),
    Difference(
        "p1@t{K}-p{S}@t1",
        "p1@t{K} − p{S}@t1",
        "p1@t{K}−p{S}@t1",
        "With an oracle to stop: do {K} turns find more than {S} samples? (p1@t{K} − p{S}@t1)",
        any_turn,
        any_sample,
        with_oracle=True,
    ),
]
"""Differences of shares of problems, problem by problem."""


Entry = TypeVar("Entry", Metric, Difference, Metric | Difference)


@dataclass(frozen=True, slots=True)
class Name(Generic[Entry]):
    """A metric or a difference with its numbers of turns and samples filled in."""

    key: str
    """In metrics.json."""
    label: str
    words: str
    of: Entry
    K: int
    S: int

    def find(self, metrics: Mapping[str, Any] | None) -> Any:
        """Its plain data in a metrics.json; None where there is none."""
        return self.of.find(metrics, self.K, self.S)


def named(entries: Sequence[Entry], K: int, S: int) -> list[Name[Entry]]:
    """The entries with K turns and S samples filled in; of two that then have one name (m1@t1 where S = 1), the first.

    >>> [name.key for name in named(HEADLINE, K=3, S=2)]
    ['m1@t1', 'm2@t1', 'm1@t3', 'p1@t3', 'p2@t1', 't3']
    """
    found: dict[str, Name[Entry]] = {}
    for entry in entries:
        key = entry.key.format(K=K, S=S)
        label = (entry.label if isinstance(entry, Metric) else entry.short) or entry.key
        found.setdefault(key, Name(key, label.format(K=K, S=S), entry.words.format(K=K, S=S), entry, K, S))
    return list(found.values())


def tracked() -> tuple[Metric, ...]:
    """Those also given for each kind of problem and against the stage before."""
    return tuple(metric for metric in HEADLINE if metric.tracked)


def brief() -> list[Metric | Difference]:
    """What a table with little room shows, in order."""
    every: list[Metric | Difference] = [*HEADLINE, *PAIRED, *REPLIES]
    return [entry for entry in every if entry.brief]


def sizes(metrics: Mapping[str, Any]) -> tuple[int, int]:
    """(K turns, S samples) of a metrics.json. Raises `DataError` where it holds no measurement."""
    try:
        return len(metrics["accuracy_by_turn"]), len(metrics["parallel_vote"])
    except (KeyError, TypeError) as error:
        raise DataError("these metrics hold no accuracy_by_turn and parallel_vote, so they are of no evaluation.") from error
