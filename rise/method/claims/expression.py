"""What an experiment compares, as one line: `rise:t5 - t1 - rise@base:t5 + t1`, a sum of readings with signs.

A term is ARM@STAGE/PROBE:READING. Without @STAGE it is the arm's last stage, without /PROBE the stage's own evaluation; a bare
reading is of the arm, stage and probe that stand before it. A number by itself is added as it is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from rise.errors import ConfigError
from rise.evaluation import readings
from rise.evaluation.readings import Unit, is_reading
from rise.runs.stages import is_stage

OWN = ("kept", "seen", "loss", "confident", "best-vote")
"""Readings that are no read-out of held-out replies: of a detector, of a training's log, of votes by log-probability or at
another temperature (`rise.method.claims.probes`)."""

_PLACE = re.compile(r"(?P<arm>[a-z][\w-]*)(?:@(?P<stage>[\w-]+))?(?:/(?P<probe>[\w-]+))?:(?P<reading>\S+)")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")


@dataclass(frozen=True, slots=True)
class Place:
    """Where something was measured."""

    arm: str
    stage: str = ""
    """Empty: the arm's last stage."""
    probe: str = ""
    """Empty: the evaluation that every stage has."""


@dataclass(frozen=True, slots=True)
class Term:
    """One reading and its sign."""

    factor: float
    place: Place
    reading: str


@dataclass(frozen=True, slots=True)
class Expression:
    """A sum of readings, and of a constant."""

    text: str
    terms: tuple[Term, ...]
    constant: float = 0.0

    @property
    def places(self) -> list[Place]:
        return list(dict.fromkeys(term.place for term in self.terms))


def unit_of(reading: str) -> Unit:
    """What a reading is counted in.

    >>> unit_of("t5"), unit_of("all-tokens5"), unit_of("loss")
    ('share', 'tokens', 'nats')
    """
    return "nats" if reading == "loss" else readings.unit_of(reading)


def parse(text: str) -> Expression:
    """The expression in a text. Raises `ConfigError` for what is none, with the piece that cannot be read.

    >>> found = parse("rise:t5 - t1 - rise@base/ten:t10 - 0.5")
    >>> [(t.factor, t.place.stage, t.place.probe, t.reading) for t in found.terms], found.constant
    ([(1.0, '', '', 't5'), (-1.0, '', '', 't1'), (-1.0, 'base', 'ten', 't10')], -0.5)
    """
    pieces = re.split(r"\s+([+-])\s+", text.strip())
    signs = [1.0, *(1.0 if sign == "+" else -1.0 for sign in pieces[1::2])]
    terms: list[Term] = []
    constant = 0.0
    place: Place | None = None
    for sign, piece in zip(signs, pieces[::2], strict=True):
        if _NUMBER.fullmatch(piece):
            constant += sign * float(piece)
            continue
        match = _PLACE.fullmatch(piece)
        if match:
            place = Place(match["arm"], match["stage"] or "", match["probe"] or "")
        if place is None:
            raise ConfigError(f'"{text}": "{piece}" names no arm. Write ARM:READING, for example rise:t5 - t1.')
        reading = match["reading"] if match else piece
        if not is_reading(reading) and reading not in OWN:
            raise ConfigError(
                f'"{text}": "{reading}" is no reading. There are t5, m1@t5, m5@t1, p1@t5, p5@t1, wrong_to_right, hard5, gold5, … '
                "(rise.evaluation.readings), joined by + and - with spaces around them."
            )
        if place.stage and not is_stage(place.stage):
            raise ConfigError(f'"{text}": "{place.stage}" is no stage: base, boost-one-turn, boost, round-1, round-2, …')
        terms.append(Term(sign, place, reading))
    if not terms:
        raise ConfigError(f'"{text}": nothing is compared. Write for example rise:t5 - t1.')
    return Expression(text, tuple(terms), constant)
