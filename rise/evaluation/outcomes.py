"""What became of a problem over a run's turns. Light on purpose: `rise show` sorts by it too."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Literal

from rise.evaluation.held_out import HeldOut
from rise.trajectory import Turn, Verdict

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


def wrong_to_right(records: Iterable[HeldOut]) -> tuple[int, int, HeldOut | None]:
    """(how many wrong at turn 1 were right at the end, how many were wrong at turn 1, the first of the former by hash).

    One that stayed right once it was goes before one that wavered.
    """
    wrong = [record for record in records if record.run and not record.run[0].right]
    fixed = [record for record in wrong if record.run[-1].right]
    ranked = sorted(fixed, key=lambda record: (outcome(record.run) != "fixed", rank(record)))
    return len(fixed), len(wrong), ranked[0] if ranked else None


def own_verdict_words(turn: Turn) -> str:
    """What the model says of an attempt, where it was asked; empty where it was not.

    >>> own_verdict_words(Turn("5", own_verdict=Turn("no", Verdict.WRONG)))
    'the model calls it wrong'
    """
    if turn.own_verdict is None:
        return ""
    said = turn.own_verdict.verdict
    return (
        f"the model calls it {said.value}" if said in (Verdict.RIGHT, Verdict.WRONG) else "the model says neither right nor wrong"
    )


def rank(record: HeldOut) -> str:
    """Where a record stands among others: the same at every call, and not picked by hand."""
    return hashlib.sha256(record.problem_id.encode()).hexdigest()


def printable(text: str) -> str:
    """Control characters as visible signs, so that what a model wrote cannot drive a terminal or break a page.

    >>> printable("a\\x1b[31mb\\n\\tc\\x00")
    'a␛[31mb\\n\\tc␀'
    """
    return "".join(_VISIBLE.get(ord(char), char) for char in text) if any(ord(char) in _VISIBLE for char in text) else text


def one_line(text: str, most: int = 200) -> str:
    """Text for one line of a terminal: control characters visible, line breaks as ⏎, the middle left out where it is long.

    >>> one_line("a\\nb\\x1b[0m"), one_line("0123456789", most=4)
    ('a⏎b␛[0m', '01 … 89')
    """
    shown = printable("⏎".join(line.rstrip() for line in text.strip().splitlines()))
    return shown if len(shown) <= most else f"{shown[: most // 2]} … {shown[-(most - most // 2) :]}"


_VISIBLE = {
    **{code: chr(0x2400 + code) for code in range(32) if chr(code) not in "\n\t"},
    127: "␡",
    **dict.fromkeys(range(128, 160), "�"),
    # Marks that reorder text: a right answer could be made to read as a wrong one.
    **dict.fromkeys((8206, 8207, *range(8234, 8239), *range(8294, 8298)), "�"),
}
