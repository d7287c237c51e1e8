r"""What an answer may be: a number, a formula, a numeral, a list, a pair, an interval, a matrix, an equation, a choice, words.

`reading.py` reads a text as one of them, `equality.py` compares two.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from rise.judges.formulas import Tree

MAX_CHARS = 1000
MAX_NESTING = 24
MAX_DIGITS = 200
"""Of one number. A text beyond one of these three is read no further: it equals what is written alike, and no worker sees it."""
MAX_ITEMS = 200
OPENING, CLOSING = "([{", ")]}"


@dataclass(frozen=True, slots=True)
class Leaf:
    """One number, formula or text."""

    look: str
    text: str = ""
    """As spelled, without its unit; empty where it is beyond our bounds."""
    number: tuple[Fraction, bool] | None = None
    """(value, whether per cent) of a rational number."""
    tree: Tree | None = None
    places: int = 0
    """Decimal places of a plain decimal."""
    words: bool = False
    """Whether it is text, and no formula that a worker could make something of."""


@dataclass(frozen=True, slots=True)
class Numeral:
    """Digits with their base, such as 52_8: not worked out, since another base is another answer."""

    digits: str
    base: int


@dataclass(frozen=True, slots=True)
class Items:
    """A list, or a set in braces: in any order, each as often."""

    items: tuple[Form, ...]


@dataclass(frozen=True, slots=True)
class Bracketed:
    """A pair, a vector or an interval: in this order, in these brackets."""

    brackets: str
    items: tuple[Form, ...]


@dataclass(frozen=True, slots=True)
class Union:
    """Intervals and single points."""

    parts: tuple[Form, ...]


@dataclass(frozen=True, slots=True)
class Cut:
    r"""What of `whole` lies in `other` too (\cap), or does not (\setminus)."""

    sign: str
    whole: Form
    other: Form


@dataclass(frozen=True, slots=True)
class Matrix:
    rows: tuple[tuple[Form, ...], ...]


@dataclass(frozen=True, slots=True)
class Relation:
    """`left` sign `right`, not an interval of one letter; sign is = < \\le or \\ne."""

    sign: str
    left: Leaf
    right: Leaf


@dataclass(frozen=True, slots=True)
class Named:
    """x = 5, x > 2, x \\in (2, 3): what it says of the one letter or name."""

    name: str
    what: Form


@dataclass(frozen=True, slots=True)
class WorkedOut:
    """2 + 3 = 5: the last part, where all before it equal it."""

    steps: tuple[Form, ...]
    what: Form


@dataclass(frozen=True, slots=True)
class Choice:
    """(B) 5: the letter of a choice and what it says."""

    letter: str
    what: Form


Form = Leaf | Numeral | Items | Bracketed | Union | Cut | Matrix | Relation | Named | WorkedOut | Choice

_TOWER = re.compile(r"\d[)}\s]*(?:\^|\*\*)[\s{(]*\d+[\s{(]*(?:\^|\*\*)[\s{(]*\d+[\s{(]*(?:\^|\*\*)")
_HUGE_POWER = re.compile(r"(?:\^|\*\*)[\s{(]*-?\d{6,}|\d{6,}[\s})]*!|!\s*!")


def too_big(text: str) -> bool:
    """Whether a text is beyond what any honest answer needs.

    >>> too_big("9^{9^{9^{9}}}"), too_big("2^{2^{10}}"), too_big("x^{2010}"), too_big("{" * 30), too_big("7" * 300)
    (True, False, False, True, True)
    """
    if len(text) > MAX_CHARS or re.search(rf"\d{{{MAX_DIGITS + 1}}}", text) or _TOWER.search(text) or _HUGE_POWER.search(text):
        return True
    depth = deepest = 0
    for character in text:
        if character in OPENING:
            depth += 1
            deepest = max(deepest, depth)
        elif character in CLOSING:
            depth -= 1
    return deepest > MAX_NESTING
