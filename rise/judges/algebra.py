"""Whether two formulas are equal: both are worked out at the same points, to so many digits that rounding hides no difference.

Runs in the worker's process only (`math_worker.py`), which may be killed at any moment. A first pass finds how far the numbers on
the way lie apart; a second works with as many digits more. So 1 + e^{-500} is not 1, and 2^{-100} is not 0.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import mpmath

from rise.judges.forms import Leaf, Relation
from rise.judges.formulas import Tree, letters

DIGITS = 50
"""Beyond those by which the numbers on the way differ in size."""
MAX_DIGITS = 10_000
"""Formulas that need more are equal only where they are written alike."""
N_POINTS = 5
DECIMAL_PLACES = 6
"""From so many places on, a decimal equals a number that is no fraction if it is that number rounded to its last place."""

_Point = dict[str, Any]
"""A Fraction for each name, or two of them: the real and the imaginary part."""
Fallback = Callable[[str, str], bool]
_Odd = (ZeroDivisionError, ValueError, OverflowError, TypeError, mpmath.libmp.NoConvergence)


class NumericAlgebra:
    def __init__(self, fallback: Fallback) -> None:
        """`fallback` compares two LaTeX texts of which one is no formula that we read."""
        self.fallback = fallback

    def same(self, left: Leaf, right: Leaf) -> bool:
        if _tree(left) is None or _tree(right) is None:
            return self.fallback(left.text, right.text)
        a, b = _tree(left), _tree(right)
        assert a is not None and b is not None
        for decimal, other in ((left, b), (right, a)):
            if decimal.places >= DECIMAL_PLACES and not letters(other) and decimal.number is not None:
                return _rounds_to(decimal.number[0], decimal.places, other)
        return same_values(a, b)

    def same_relation(self, left: Relation, right: Relation) -> bool:
        if not all(_tree(side) for side in (left.left, left.right, right.left, right.right)):
            return False
        f, g = (("+", _tree(relation.left), ("neg", _tree(relation.right))) for relation in (left, right))
        return letters(f) == letters(g) and _proportional(f, g, positive=left.sign in ("<", "\\le"))


def _tree(leaf: Leaf) -> Tree | None:
    return ("number", leaf.number[0]) if leaf.number is not None else leaf.tree  # a binomial of thousands is worked out once


def same_values(left: Tree, right: Tree) -> bool:
    """Whether two trees have the same value at every point tried at which both have one."""
    names = sorted(letters(left) | letters(right))
    conjugates = any(_holds(("conjugate",), side) for side in (left, right))
    complex_meant = conjugates or any(_holds(("letter", "i"), side) for side in (left, right))
    n_compared = 0
    for point in _points(names, off_the_line=conjugates):
        found = _at(point, left, right)
        if found is None:
            continue
        a, b, tolerance = found
        if not complex_meant and names and (abs(mpmath.im(a)) > tolerance) != (abs(mpmath.im(b)) > tolerance):
            continue  # one of them is defined here, the other is not
        if not _near(a, b, tolerance) or (n_compared == 0 and not _near_still(point, left, right)):
            return False
        n_compared += 1
        if n_compared == N_POINTS or not names:
            return True
    return n_compared > 0


def _near_still(point: _Point, left: Tree, right: Tree) -> bool:
    """Whether two values that are near stay so with four times the digits: sin 10^{-40} is within 10^{-120} of 10^{-40}."""
    found = _at(point, left, right, times=4)
    return found is None or _near(*found)


def _points(names: list[str], *, off_the_line: bool = False) -> list[_Point]:
    """All positive first, since roots and logarithms may have no value elsewhere; `off_the_line`: with an imaginary part."""
    rng = random.Random(0)
    points: list[_Point] = []
    for n in range(4 * N_POINTS):
        signs = (1,) if n % 4 < 2 else (1, -1)
        points.append({name: rng.choice(signs) * Fraction(rng.randrange(300, 3000), 997) for name in names})
        if off_the_line:
            points[-1] = {name: (real, Fraction(rng.randrange(300, 3000), 991)) for name, real in points[-1].items()}
    return points


def _at(point: _Point, *trees: Tree, times: int = 1) -> tuple[Any, ...] | None:
    """The values at a point and how near equal ones must be; None where one has none, or would need too many digits."""
    try:
        rough = _Numeric(point, DIGITS)
        for tree in trees:
            rough.value(tree)
        digits = DIGITS + rough.high - rough.low + 10
        if digits > MAX_DIGITS:
            return None
        digits = min(times * digits, MAX_DIGITS)
        fine = _Numeric(point, digits)
        values = [fine.value(tree) for tree in trees]
    except _Odd:
        return None
    mpmath.mp.dps = digits
    return (*values, mpmath.mpf(10) ** (fine.high - digits + 15))


def _near(a: Any, b: Any, tolerance: Any) -> bool:
    if mpmath.isinf(a) or mpmath.isinf(b):
        return bool(a == b)
    return bool(abs(a - b) <= tolerance)


def _rounds_to(decimal: Fraction, places: int, of: Tree) -> bool:
    """Whether a decimal is the value rounded to its last place, and has six digits that say something."""
    found = _at({}, of)
    if found is None or abs(mpmath.im(found[0])) > found[1] or mpmath.isinf(found[0]):
        return False
    mpmath.mp.dps = max(mpmath.mp.dps, places + DIGITS)
    exact = mpmath.mpf(decimal.numerator) / decimal.denominator
    digits_said = abs(decimal) * 10 ** (places - DECIMAL_PLACES + 1) >= 1
    return digits_said and bool(abs(mpmath.re(found[0]) - exact) * 2 <= mpmath.mpf(10) ** -places)


def _proportional(f: Tree, g: Tree, *, positive: bool) -> bool:
    """Whether g is f times a number other than 0, above 0 where it must be."""
    known = []
    for point in _points(sorted(letters(f))):
        found = _at(point, f, g)
        if found is not None and abs(found[0]) > found[2] and abs(found[1]) > found[2]:
            known.append(found)
        elif found is not None and (abs(found[0]) > found[2]) != (abs(found[1]) > found[2]):
            return False
    if len(known) < 2:
        return False
    ratio = known[0][1] / known[0][0]
    if positive and not (abs(mpmath.im(ratio)) < 1e-30 and mpmath.re(ratio) > 0):
        return False
    return all(abs(b / a - ratio) <= abs(ratio) * mpmath.mpf(10) ** (15 - DIGITS) for a, b, _ in known)


def _holds(beginning: Tree, tree: Tree) -> bool:
    return tree[: len(beginning)] == beginning or any(_holds(beginning, part) for part in tree[1:] if isinstance(part, tuple))


class _Numeric:
    """Works trees out to so many digits, and keeps the powers of ten between which the numbers on the way lie."""

    def __init__(self, point: _Point, digits: int) -> None:
        self.point = point
        self.digits = digits
        self.low = self.high = 0
        mpmath.mp.dps = digits

    def value(self, tree: Tree, *, angle: bool = False) -> Any:
        found = self._value(tree, angle)
        size = abs(found)
        if mpmath.isnan(size):
            raise ValueError("no number")
        if size and not mpmath.isinf(size):
            order = int(mpmath.floor(mpmath.log10(size))) if size else 0
            if order > -self.digits // 2 or tree[0] in (
                "^",
                "/",
                "number",
                "exp",
                "*",
                "!",
            ):  # a rest that cancelled says nothing
                self.low = min(self.low, order)
            self.high = max(self.high, order)
        return found

    def _value(self, tree: Tree, angle: bool) -> Any:
        kind, parts = tree[0], tree[1:]
        if kind == "number":
            return mpmath.mpf(parts[0].numerator) / parts[0].denominator
        if kind == "constant":
            return mpmath.pi if parts[0] == "pi" else mpmath.inf
        if kind == "letter":
            return self._letter(parts[0])
        if kind == "degree":
            inside = self.value(parts[0])
            return inside * mpmath.pi / 180 if angle else inside
        work = _FUNCTIONS[kind]
        angle = (angle and kind in ("+", "*", "/", "neg")) or kind in ("sin", "cos", "tan", "cot", "sec", "csc")
        return work(*(self.value(part, angle=angle) for part in parts))

    def _letter(self, name: str) -> Any:
        if name in ("e", "i"):
            return mpmath.e if name == "e" else mpmath.mpc(0, 1)
        at = self.point[name]
        parts = at if isinstance(at, tuple) else (at,)
        numbers = [mpmath.mpf(part.numerator) / part.denominator for part in parts]
        return mpmath.mpc(*numbers) if len(numbers) > 1 else numbers[0]


def _root(of: Any, n: Any) -> Any:
    whole = mpmath.isint(n)
    if whole and int(n) % 2 and mpmath.im(of) == 0 and mpmath.re(of) < 0:
        return -mpmath.root(-of, int(n))
    return mpmath.root(of, int(n)) if whole else of ** (1 / n)


def _power(base: Any, exponent: Any) -> Any:
    if base == 0 and mpmath.re(exponent) <= 0:
        raise ZeroDivisionError
    return base**exponent


def _real(of: Any) -> Any:
    if mpmath.im(of) != 0:
        raise ValueError("not real")
    return mpmath.re(of)


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "+": lambda *terms: mpmath.fsum(terms),
    "*": lambda *factors: mpmath.fprod(factors),
    "/": lambda a, b: a / b,
    "neg": lambda a: -a,
    "^": _power,
    "!": lambda a: mpmath.factorial(a),
    "%": lambda a: a / 100,
    "abs": abs,
    "sqrt": mpmath.sqrt,
    "root": _root,
    "binom": lambda a, b: mpmath.binomial(a, b),
    "floor": lambda a: mpmath.floor(_real(a)),
    "ceil": lambda a: mpmath.ceil(_real(a)),
    "conjugate": mpmath.conj,
    "ln": mpmath.log,
    "log": lambda a, base: mpmath.log(a) / mpmath.log(base),
    "exp": mpmath.exp,
    "arcsin": mpmath.asin,
    "arccos": mpmath.acos,
    "arctan": mpmath.atan,
    "max": lambda *items: max(_real(item) for item in items),
    "min": lambda *items: min(_real(item) for item in items),
    "gcd": lambda *items: mpmath.mpf(math.gcd(*(_whole(item) for item in items))),
    "lcm": lambda *items: mpmath.mpf(math.lcm(*(_whole(item) for item in items))),
    **{name: getattr(mpmath, name) for name in ("sin", "cos", "tan", "cot", "sec", "csc", "sinh", "cosh", "tanh", "asinh")},
}


def _whole(of: Any) -> int:
    if not mpmath.isint(_real(of)):
        raise ValueError("not whole")
    return int(_real(of))
