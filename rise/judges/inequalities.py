"""Inequalities in one letter as the intervals that they say. Pure text work: nothing a model wrote is ever evaluated."""

from __future__ import annotations

import re
from fractions import Fraction

from rise.judges.forms import Bracketed, Form, Leaf, Named, Relation, Union
from rise.judges.leaves import leaf
from rise.judges.numbers import is_name, read_spelled
from rise.judges.spelling import look, trimmed

_ALL_OF = (
    Leaf("-\\infty", "-\\infty", tree=("neg", ("constant", "infty"))),
    Leaf("\\infty", "\\infty", tree=("constant", "infty")),
)
EVERYTHING = Bracketed("()", _ALL_OF)


def inequality(signs: list[str], texts: list[str]) -> Form | None:
    flipped = {">": "<", "\\ge": "\\le", "<": ">", "\\le": "\\ge"}
    if len(signs) == 1:
        (sign,), (left, right) = signs, texts
        if sign not in flipped and sign != "\\ne":
            return None
        for inside, bound, said in ((left, right, sign), (right, left, flipped.get(sign, sign))):
            if found := _within(inside, bound, said):
                return found
        a, b = leaf_of(left), leaf_of(right)
        if is_name(left) and not is_name(right):
            return Named(look(left), ray(sign, b))
        if is_name(right) and not is_name(left):
            return Named(look(right), ray(flipped.get(sign, sign), a))
        return Relation(flipped[sign], b, a) if sign in (">", "\\ge") else Relation(sign, a, b)
    if len(signs) == 2 and is_name(texts[1]):
        low, high = leaf_of(texts[0]), leaf_of(texts[2])
        if all(sign in ("<", "\\le") for sign in signs):
            return Named(
                look(texts[1]), Bracketed(("(" if signs[0] == "<" else "[") + (")" if signs[1] == "<" else "]"), (low, high))
            )
        if all(sign in (">", "\\ge") for sign in signs):
            return Named(
                look(texts[1]), Bracketed(("(" if signs[1] == ">" else "[") + (")" if signs[0] == ">" else "]"), (high, low))
            )
    return None


_ROOT = re.compile(r"\s*\d*\s*\\sqrt\s*(?:\{\d+\}|\d)\s*")
_DISTANCE = re.compile(r"\|\s*(?P<name>[A-Za-z])\s*(?:(?P<sign>[-+])\s*(?P<shift>(?:[^|A-Za-z]|\\frac(?![A-Za-z]))+))?\|")


def _within(inside: str, bound: str, sign: str) -> Form | None:
    r"""|x - 3| < 2 or |x| > \sqrt2 as the interval it says; None for bounds not above 0, or where one has to solve it first."""
    if sign == "\\ne":
        return None
    found, limit = _DISTANCE.fullmatch(inside.strip()), leaf_of(bound).number
    if found and not limit and not found["shift"] and _ROOT.fullmatch(bound):
        return _between(found["name"], leaf_of(f"-{bound.strip()}"), leaf_of(bound), sign)
    shift = leaf_of(found["shift"]).number if found and found["shift"] else (Fraction(0), False)
    if not found or not limit or not shift or limit[0] <= 0:
        return None
    centre = -shift[0] if found["sign"] == "+" else shift[0]
    low, high = (leaf_of(str(at)) for at in (centre - limit[0], centre + limit[0]))
    return _between(found["name"], low, high, sign)


def _between(name: str, low: Leaf, high: Leaf, sign: str) -> Form:
    if sign in ("<", "\\le"):
        return Named(name, Bracketed("()" if sign == "<" else "[]", (low, high)))
    return Named(name, Union((ray("<" if sign == ">" else "\\le", low), ray(sign, high))))


def ray(sign: str, at: Leaf) -> Form:
    low, high = _ALL_OF
    if sign == "\\ne":
        return Union((Bracketed("()", (low, at)), Bracketed("()", (at, high))))
    if sign in ("<", "\\le"):
        return Bracketed("()" if sign == "<" else "(]", (low, at))
    return Bracketed("()" if sign == ">" else "[)", (at, high))


def leaf_of(text: str) -> Leaf:
    text = trimmed(text)
    return leaf(text, read_spelled(text))


def is_no_gap(interval: Bracketed) -> bool:
    low, high = interval.items
    return (
        isinstance(low, Leaf) and isinstance(high, Leaf) and bool(low.number and high.number and low.number[0] < high.number[0])
    )


def both(parts: list[Form]) -> Bracketed | None:
    """The interval between a lower and an upper bound."""
    rays = [part for part in parts if isinstance(part, Bracketed) and len(part.items) == 2]
    low, high = _ALL_OF
    lower = [ray for ray in rays if ray.items[1] == high and ray.items[0] != low]
    upper = [ray for ray in rays if ray.items[0] == low and ray.items[1] != high]
    if len(parts) != 2 or len(lower) != 1 or len(upper) != 1:
        return None
    return Bracketed(lower[0].brackets[0] + upper[0].brackets[1], (lower[0].items[0], upper[0].items[1]))
