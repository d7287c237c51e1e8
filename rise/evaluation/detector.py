"""The model as a detector of its own errors: a right attempt shown, and the same with one digit changed.

A model that reads its attempt keeps the first and does not repeat the second. *kept* is the share of right attempts after which
the reply is right; *seen* the share of changed attempts whose next reply is not the same text again. 1 − kept is the false-alarm
rate and seen the hit rate of a point in the ROC plane; kept + seen − 1 (Youden's J) is 0 for a model that repeats whatever it is
shown. One that does not look and answers anew keeps what it gets right anyway and repeats nothing, so its J is its accuracy: only
what J is above that, *kept + seen − 1 − t1*, is read off the attempt.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rise.errors import DataError
from rise.play.player import Player
from rise.task import Problem
from rise.trajectory import Turn

TRIES = 50


def one_digit_changed(text: str, rng: random.Random) -> str | None:
    """The text with one of its digits replaced by another; None where it has none.

    >>> one_digit_changed("7", random.Random(0)) in tuple("012345689"), one_digit_changed("no", random.Random(0))
    (True, None)
    """
    places = [match.start() for match in re.finditer(r"[0-9]", text)]
    if not places:
        return None
    at = rng.choice(places)
    digit = rng.choice([d for d in "0123456789" if d != text[at]])
    return text[:at] + digit + text[at + 1 :]


def spoilt(player: Player, problem: Problem, k: int = 0) -> Turn | None:
    """The worked solution with one digit changed so that the judge no longer calls it right; None where no change does that.

    Another one for each `k`, mostly.
    """
    rng = random.Random(f"{player.seed}/spoilt/{problem.id}/{k}")
    for _ in range(TRIES):
        text = one_digit_changed(problem.solution or "", rng)
        if text is None:
            return None
        turn = player.judged(problem, Turn(text, source="injected"))
        if not turn.right:
            return turn
    return None


@dataclass(frozen=True, slots=True)
class Shown:
    """What a model made of two attempts that it was shown as its own."""

    problem_id: str
    right: Turn
    """The reply after the worked solution."""
    changed: str
    """The worked solution with one digit changed."""
    after: Turn
    """The reply after that."""

    @property
    def kept(self) -> bool:
        return self.right.right

    @property
    def seen(self) -> bool:
        return self.after.reply.strip() != self.changed.strip()


async def detect(player: Player, problems: Sequence[Problem]) -> list[Shown]:
    """Both attempts shown to the player's policy, one reply to each. Problems whose solution no digit spoils are left out.

    Raises `DataError` where that leaves none.
    """
    pairs = [(problem, spoilt(player, problem)) for problem in problems if problem.solution]
    able = {problem.id: turn for problem, turn in pairs if turn is not None}
    asked = [problem for problem in problems if problem.id in able]
    if not asked:
        raise DataError("a detector is shown worked solutions with a digit changed, and no problem here has one to change.")
    player.check_context(asked, 1)

    async def one(problem: Problem) -> Shown:
        replies = []
        for part, attempt in (("right", Turn(problem.solution or "", source="gold")), ("changed", able[problem.id])):
            shown = await player.answered(problem, [], player.judged(problem, attempt))
            [reply] = await replace(player, purpose=f"{player.purpose}/{part}").turns(problem, [shown])
            replies.append(reply)
        return Shown(problem.id, replies[0], able[problem.id].reply, replies[1])

    return await player.play(asked, one)


def auc(right: Sequence[float], wrong: Sequence[float]) -> float | None:
    """The probability that a right one scores above a wrong one, ties half: the area under the ROC curve (Mann & Whitney 1947).

    Of the four pairs of (3, 1) with (2, 1), two are in order and one is tied:

    >>> auc([3, 1], [2, 1]), auc([], [1])
    (0.625, None)
    """
    if not right or not wrong:
        return None
    ahead = sum((r > w) + 0.5 * (r == w) for r in right for w in wrong)
    return ahead / (len(right) * len(wrong))
