"""One line of a stage file as one row of a list, and the text a search looks at."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from rise.evaluation.held_out import REPLIES
from rise.evaluation.metrics import FIELDS
from rise.evaluation.outcomes import outcome
from rise.judges.answers import extract
from rise.trajectory import Turn, Verdict

Kind = Literal["held-out", "trajectories", "relabelled", "examples"]
KINDS: dict[Kind, str] = {
    "held-out": "held-out",
    "trajectories": "trajectories",
    "relabelled": "improved replies",
    "examples": "examples",
}
"""Stage files a reader opens, in the order they are offered, and how the page calls them; each is `KIND.jsonl`."""

TITLE_CHARS = 160
"""A row shows one line of the question; the record has all of it."""

LETTERS = {"right": "r", "wrong": "w", "unparsable": "u", "timed_out": "t", None: "n"}
"""Verdicts as one letter each, so that a run of turns is a word: `wwr`. n: not judged."""


class Row(NamedTuple):
    """What a list shows. On the wire a plain list, with the names of these fields beside: a hundred thousand of them pass."""

    problem_id: str
    title: str
    """How the question begins, on one line."""
    gold: str | None
    """The gold answer alone, where the task stores a whole solution."""
    pattern: str
    """One letter of `LETTERS` a turn (relabelled: a candidate; examples: the reply)."""
    outcome: str | None
    """What became of the run; of an improved reply or an example, its verdict."""
    labels: Sequence[str]
    """`kind product`, `level 3`: the fields by which metrics are given apart."""
    turn: int | None = None
    """Attempts in the state; None where the row is a whole run."""
    weight: float | None = None
    source: str | None = None
    cut: bool = False
    """Whether a reply of it was cut at the token limit."""


def read_row(kind: Kind, data: Mapping[str, Any], known: Row | None = None) -> tuple[Row, str]:
    """(row, text to search). `known` is the row of the same problem's trajectory, which has the question.

    Raises `KeyError`, `TypeError`, `ValueError` or `AttributeError` where the line is none of this kind.
    """
    return {"held-out": _held_out, "trajectories": _trajectory, "relabelled": _relabelled, "examples": _example}[kind](
        data, known
    )


def _held_out(data: Mapping[str, Any], known: Row | None) -> tuple[Row, str]:
    return _run(data, data["run"], [reply for name in REPLIES[1:] for reply in data.get(name, ())])


def _trajectory(data: Mapping[str, Any], known: Row | None) -> tuple[Row, str]:
    return _run(data, data["turns"], [])


def _run(data: Mapping[str, Any], turns: Sequence[Mapping[str, Any]], more: Sequence[Mapping[str, Any]]) -> tuple[Row, str]:
    letters = pattern(turns)
    row = Row(
        problem_id=str(data["problem_id"]),
        title=line(data["question"]),
        gold=line(extract(data["gold"]) or data["gold"]),
        pattern=letters,
        outcome=_outcome(letters),
        labels=labels(data.get("fields")),
        cut=was_cut(turns),
    )
    return row, _text(row, [data["question"], data["gold"], *(t["reply"] for t in turns), *(t["reply"] for t in more)])


def _relabelled(data: Mapping[str, Any], known: Row | None) -> tuple[Row, str]:
    candidates = data["candidates"]
    chosen = candidates[int(data["chosen"])]
    row = Row(
        problem_id=str(data["problem_id"]),
        title=known.title if known else "",
        gold=known.gold if known else None,
        pattern=pattern(candidates),
        outcome=chosen.get("verdict"),
        labels=known.labels if known else (),
        turn=int(data["turn"]),
        source=chosen.get("source", "student"),
        cut=was_cut(candidates),
    )
    return row, _text(row, [row.title, *(c["reply"] for c in candidates)])


def _example(data: Mapping[str, Any], known: Row | None) -> tuple[Row, str]:
    question = next((m["content"] for m in data["prompt"] if m["role"] == "user"), "")
    verdict = data.get("verdict")
    row = Row(
        problem_id=str(data["problem_id"]),
        title=line(question),
        gold=None,
        pattern=LETTERS[verdict],
        outcome=verdict,
        labels=known.labels if known else (),
        turn=int(data["turn"]),
        weight=weight if math.isfinite(weight := float(data["weight"])) else None,
        source=str(data["source"]),
        cut=was_cut([data]),
    )
    return row, _text(row, [*(m["content"] for m in data["prompt"]), data["reply"]])


def pattern(turns: Sequence[Mapping[str, Any]]) -> str:
    """
    >>> pattern([{"verdict": "wrong"}, {"verdict": "right"}, {}])
    'wrn'
    """
    return "".join(LETTERS[turn.get("verdict")] for turn in turns)


def was_cut(turns: Sequence[Mapping[str, Any]]) -> bool:
    """
    >>> was_cut([{"finish": "stop"}, {"finish": "length"}]), was_cut([{}])
    (True, False)
    """
    return any(turn.get("finish") == "length" for turn in turns)


def line(text: str) -> str:
    """The beginning of a text, on one line."""
    return " ".join(text[: 2 * TITLE_CHARS].split())[:TITLE_CHARS]


def labels(fields: Mapping[str, Any] | None) -> Sequence[str]:
    return tuple(f"{name} {fields[name]}" for name in FIELDS if name in fields) if fields else ()


_VERDICTS: dict[str, Verdict | None] = {letter: None if name is None else Verdict(name) for name, letter in LETTERS.items()}
_outcomes: dict[str, str | None] = {}


def _outcome(letters: str) -> str | None:
    """`rise.evaluation.outcomes.outcome` of a pattern, worked out once a pattern: few differ among many runs."""
    if letters not in _outcomes:
        _outcomes[letters] = outcome([Turn("", _VERDICTS[letter]) for letter in letters])
    return _outcomes[letters]


def _text(row: Row, texts: Sequence[str]) -> str:
    return "\n".join([row.problem_id, *texts])
