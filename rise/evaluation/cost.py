"""What turns and samples cost in tokens. Nothing else adds them up, so that critiques and verdicts count wherever turns do."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from rise.trajectory import Turn


def drawn(turns: Sequence[Turn]) -> Iterator[tuple[Turn, ...]]:
    """For each turn every reply drawn for it: the critique of the attempt before, the attempt, the model's verdict on it.

    So a critique of the last turn here belongs to one that comes after, and is not paid for yet.
    """
    before = None
    for turn in turns:
        yield tuple(reply for reply in (before, turn, turn.own_verdict) if reply is not None)
        before = turn.critique


def alone(turns: Sequence[Turn]) -> list[Turn]:
    """The replies as samples, which nothing follows: turn 1 of a run is one of them, what was said about it is not."""
    return [replace(turn, critique=None, own_verdict=None) for turn in turns]


def tokens(turns: Sequence[Turn]) -> tuple[list[float], list[float]]:
    """Tokens read (without a prefix cache) and written for each turn; NaN where an endpoint does not say.

    >>> refined = Turn("", n_prompt_tokens=10, n_reply_tokens=3, critique=Turn("", n_prompt_tokens=20, n_reply_tokens=8))
    >>> tokens([refined, Turn("", n_prompt_tokens=30, n_reply_tokens=3)])
    ([10.0, 50.0], [3.0, 11.0])
    """
    every = list(drawn(turns))
    read = [sum((_known(reply.n_prompt_tokens) for reply in replies), 0.0) for replies in every]
    return read, [sum((_known(reply.n_reply_tokens) for reply in replies), 0.0) for replies in every]


def total(turns: Sequence[Turn], *, read: bool) -> float:
    """Tokens written for all these turns, and those read too where `read` says so; NaN where an endpoint does not say of one."""
    prompt, reply = tokens(turns)
    return sum(reply) + (sum(prompt) if read else 0.0)


def _known(count: int | None) -> float:
    return math.nan if count is None else float(count)
