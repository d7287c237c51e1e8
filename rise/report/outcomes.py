"""What became of a problem over a run's turns. Light on purpose: `rise show` sorts by it too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from rise.trajectory import Turn

Outcome = Literal["kept", "fixed", "wavered", "broken", "never"]

OUTCOMES: dict[Outcome, str] = {
    "kept": "right at turn 1, and at every turn after it",
    "fixed": "wrong at turn 1, then right, and right to the end",
    "wavered": "right, then wrong, then right again; right at the end",
    "broken": "right at some turn, wrong at the end",
    "never": "right at no turn",
}


def outcome(turns: Sequence[Turn]) -> Outcome | None:
    """Which of `OUTCOMES` these turns are; None where one is unjudged or there is none.

    >>> from rise.trajectory import Verdict
    >>> right, wrong = Turn("", Verdict.RIGHT), Turn("", Verdict.WRONG)
    >>> outcome([wrong, right, right]), outcome([wrong, right, wrong]), outcome([right, wrong, right])
    ('fixed', 'broken', 'wavered')
    """
    if not turns or any(turn.verdict is None for turn in turns):
        return None
    right = [turn.right for turn in turns]
    if not any(right):
        return "never"
    if not right[-1]:
        return "broken"
    first = right.index(True)
    if not all(right[first:]):
        return "wavered"
    return "kept" if first == 0 else "fixed"


def printable(text: str) -> str:
    """Control characters as visible signs, so that what a model wrote cannot drive a terminal or break a page.

    >>> printable("a\\x1b[31mb\\n\\tc\\x00")
    'a␛[31mb\\n\\tc␀'
    """
    return "".join(_VISIBLE.get(ord(char), char) for char in text) if any(ord(char) in _VISIBLE for char in text) else text


_VISIBLE = {
    **{code: chr(0x2400 + code) for code in range(32) if chr(code) not in "\n\t"},
    127: "␡",
    **dict.fromkeys(range(128, 160), "�"),
    # Marks that reorder text: a right answer could be made to read as a wrong one.
    **dict.fromkeys((8206, 8207, *range(8234, 8239), *range(8294, 8298)), "�"),
}
