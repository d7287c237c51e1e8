"""Which reply is returned: a vote over the answers of the turns, without the gold answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rise.errors import ConfigError
from rise.evaluation.vote import Ballot, Group
from rise.recipe.own_code import load_named
from rise.trajectory import Message, Turn

Choose = Callable[[Sequence[Message], Sequence[Turn]], int | None]
"""Your own function, named `module:function`: (conversation, turns) → index of the winning turn from 0, or None for no winner."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One way to choose the answer that is returned."""

    words: str
    short: str
    """For the playground."""
    winner: Callable[[Ballot], Group | None]
    """Its choice among answers of which there is at least one."""
    stops: Callable[[Ballot], bool] = lambda ballot: False
    """Whether no further turn is needed."""


def _majority(ballot: Ballot) -> Group | None:
    # A tie goes to the answer given last: it was given knowing the others.
    return max(ballot.leaders, key=lambda group: group.turns[-1])


def _last(ballot: Ballot) -> Group | None:
    return next(group for group in reversed(ballot.last) if group is not None)


def _agree(ballot: Ballot) -> Group | None:
    return ballot.last[-1] if ballot.agreed else _majority(ballot)


RULES = {
    "majority": Rule("the answer that most turns gave; of answers with equally many, the one given last", "majority", _majority),
    "last": Rule("the last answer given", "last answer", _last),
    "agree": Rule(
        "turns end when two in a row give the same answer, which wins; otherwise the majority",
        "stop when two agree",
        _agree,
        stops=lambda ballot: ballot.agreed,
    ),
}
"""By name. A rule more is an entry more here: requests, the playground and the command line read it."""


def winner(ballot: Ballot, rule: str) -> Group | None:
    """The group that wins by one of `RULES`; None where no turn holds an answer.

    >>> from rise.evaluation.vote import group
    >>> ballot = group(["5", "6", None, "5.0"], same=lambda a, b: float(a) == float(b))
    >>> winner(ballot, "majority"), winner(ballot, "last").turns[0], ballot.agreed
    (Group(answer='5', turns=[1, 4]), 1, False)
    """
    return RULES[rule].winner(ballot) if ballot.groups else None


def stops(ballot: Ballot, rule: str) -> bool:
    """Whether the rule needs no further turn; never where a function of your own chooses."""
    return rule in RULES and RULES[rule].stops(ballot)


def load_choose(path: str) -> Choose:
    """The function at `module:function`. Raises `ConfigError` where there is none."""
    found = load_named(path, "--vote")
    if not callable(found):
        raise ConfigError(f"--vote {path} is no function: it is called with (messages, turns) and returns the winner's index.")
    return found
