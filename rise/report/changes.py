"""A reply for a reader who has just read the one before it: what changed is marked, what did not is folded."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

Piece = tuple[str, bool]
"""Text, and whether it is new against the reply before."""

CONTEXT = 2
"""Lines kept in sight on either side of a change."""
LEAST_FOLDED = 4
"""Fewer lines than this are not worth a fold."""
FIRST_LINES = 8
"""Of a reply with none before it: as many lines stay in sight at its beginning and `CONTEXT` at its end."""
LINE_CHARS = 160
"""A longer line is folded as if it were several."""
MOST_WORDS = 2000
"""Of two longer replies, what differs in the middle counts as new."""
REWRITTEN = 0.6
"""With a larger share of new characters a reply is another one, and marks would say nothing."""

_WORDS = re.compile(r"\w+|\n|[^\S\n]+|.")
_LINES = re.compile(rf"[^\n]{{1,{LINE_CHARS}}}(?:\n|(?<=\s)|$)|[^\n]{{1,{LINE_CHARS}}}\n?|\n")


@dataclass(frozen=True, slots=True)
class Block:
    """Lines that stand in sight, or lines that are folded away."""

    pieces: tuple[Piece, ...]
    folded: bool
    n_lines: int


def blocks(reply: str, before: str | None) -> tuple[Block, ...]:
    """The reply in blocks; every character of it stands in one of them, in order."""
    pieces = marked(reply, before)
    rewritten = sum(len(text) for text, new in pieces if new) > REWRITTEN * len(reply)
    lines = _lines(marked(reply, None) if rewritten else pieces)
    if before is None or rewritten:
        shown = [k < FIRST_LINES or k >= len(lines) - CONTEXT for k in range(len(lines))]
    else:
        changed = [k for k, line in enumerate(lines) if any(new for _, new in line)]
        near = {k + by for k in changed for by in range(-CONTEXT, CONTEXT + 1)}
        shown = [k in near for k in range(len(lines))]
    out: list[Block] = []
    start = 0
    for k in range(1, len(lines) + 1):
        if k == len(lines) or shown[k] != shown[start]:
            folded = not shown[start] and k - start >= LEAST_FOLDED
            out.append(Block(tuple(_joined(lines[start:k])), folded, k - start))
            start = k
    return tuple(out)


def marked(reply: str, before: str | None) -> list[Piece]:
    """The reply in pieces, those that are not in the reply before marked; word by word, numbers whole.

    >>> marked("2792+6980=9772", "2792+6980=8772")
    [('2792+6980=', False), ('9772', True)]
    >>> marked("7", None)
    [('7', False)]
    """
    if before is None or reply == before:
        return [(reply, False)] if reply else []
    new, old = _WORDS.findall(reply), _WORDS.findall(before)
    head = next((i for i, (a, b) in enumerate(zip(new, old, strict=False)) if a != b), min(len(new), len(old)))
    most = min(len(new), len(old)) - head
    tail = next((i for i in range(most) if new[-1 - i] != old[-1 - i]), most)
    middle, gone = new[head : len(new) - tail], old[head : len(old) - tail]
    pieces: list[Piece] = [("".join(new[:head]), False)]
    if max(len(middle), len(gone)) > MOST_WORDS:
        pieces.append(("".join(middle), True))
    else:
        for way, _, _, start, end in SequenceMatcher(None, gone, middle, autojunk=False).get_opcodes():
            pieces.append(("".join(middle[start:end]), way != "equal"))
    pieces.append(("".join(new[len(new) - tail :]), False))
    return _joined([pieces])


def _joined(lines: Sequence[Sequence[Piece]]) -> list[Piece]:
    """Neighbours of one kind as one piece, empty ones left out."""
    out: list[Piece] = []
    for text, new in (piece for line in lines for piece in line):
        if out and out[-1][1] == new:
            out[-1] = (out[-1][0] + text, new)
        elif text:
            out.append((text, new))
    return out


def _lines(pieces: Sequence[Piece]) -> list[list[Piece]]:
    """The same pieces cut at line ends, which stay with their line."""
    text = "".join(part for part, _ in pieces)
    ends = [match.end() for match in _LINES.finditer(text)]
    lines: list[list[Piece]] = []
    at = 0
    rest = list(reversed(pieces))
    for end in ends:
        line: list[Piece] = []
        while at < end and rest:
            part, new = rest.pop()
            taken = part[: end - at]
            line.append((taken, new))
            at += len(taken)
            if len(taken) < len(part):
                rest.append((part[len(taken) :], new))
        lines.append(line)
    return lines
