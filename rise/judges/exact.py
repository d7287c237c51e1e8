r"""The exact value of a formula that is a rational number, as a `Fraction`, in bounded time and memory."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache

from rise.judges.formulas import Tree

MAX_BITS = 1 << 18
"""Of numerator and denominator together. 20000! and 2^{200000} are worked out; above it a number equals what is written alike."""
MAX_WORK_BITS = 1 << 20
"""Of all that is worked out on the way to one value."""


class Irrational(ValueError):
    """The tree is no rational number, or none that its form shows to be one."""


class TooBig(ValueError):
    """The number has more digits than we work out."""


@lru_cache(maxsize=16384)
def value(of: Tree) -> Fraction:
    r"""The exact value. Raises `Irrational`, or `TooBig` before much is worked out.

    >>> from rise.judges.formulas import tree
    >>> value(tree("2^{-60}")) == value(tree("\\frac{1}{2^{60}}")), value(tree("\\sqrt[3]{8}+3!")), value(tree("1\\frac{3}{4}"))
    (True, Fraction(8, 1), Fraction(7, 4))
    """
    return _Exact().value(of)


class _Exact:
    def __init__(self) -> None:
        self.bits = 0

    def value(self, of: Tree) -> Fraction:
        if of[0] == "number":
            return Fraction(of[1])
        work = _OPERATIONS.get(of[0])
        if work is None:
            raise Irrational(of[0])
        try:
            found = work(*(self.value(part) for part in of[1:]))
        except ZeroDivisionError:
            raise Irrational("nothing") from None
        size = found.numerator.bit_length() + found.denominator.bit_length()
        self.bits += size
        if size > MAX_BITS or self.bits > MAX_WORK_BITS:
            raise TooBig
        return found


def _power(base: Fraction, exponent: Fraction) -> Fraction:
    if exponent.denominator > 1:
        if exponent.denominator > 64:
            raise Irrational("root")
        base, exponent = _root(base, Fraction(exponent.denominator)), Fraction(exponent.numerator)
    if base == 0 and exponent <= 0:
        raise Irrational("nothing")
    size = max(base.numerator.bit_length(), base.denominator.bit_length())
    if abs(base) != 1 and size * abs(exponent) > MAX_BITS:
        raise TooBig
    return base ** int(exponent % 2 if abs(base) == 1 else exponent)


def _root(of: Fraction, n: Fraction) -> Fraction:
    if n.denominator > 1 or not 1 <= n <= 64 or (of < 0 and n % 2 == 0):
        raise Irrational("root")
    above, below = (_whole_root(abs(part), int(n)) for part in of.as_integer_ratio())
    return Fraction(-above if of < 0 else above, below)


def _whole_root(of: int, n: int) -> int:
    if of.bit_length() > 4096:
        raise Irrational("root")
    low, high = 0, 1 << (of.bit_length() // n + 1)
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if middle**n < of else (low, middle)
    if low**n != of:
        raise Irrational("root")
    return low


def _factorial(of: Fraction) -> Fraction:
    if of.denominator > 1 or of < 0:
        raise Irrational("factorial")
    if of > 20_000:
        raise TooBig
    return Fraction(math.factorial(int(of)))


def _binomial(above: Fraction, below: Fraction) -> Fraction:
    if above.denominator > 1 or below.denominator > 1 or min(above, below) < 0:
        raise Irrational("binomial")
    if above > 20_000:
        raise TooBig
    return Fraction(math.comb(int(above), int(below)))


def _of_whole(work: Callable[..., int]) -> Callable[..., Fraction]:
    def found(*items: Fraction) -> Fraction:
        if any(item.denominator > 1 for item in items):
            raise Irrational("of whole numbers only")
        return Fraction(work(*(int(item) for item in items)))

    return found


_OPERATIONS: dict[str, Callable[..., Fraction]] = {
    "+": lambda *terms: sum(terms, Fraction(0)),
    "*": lambda *factors: math.prod(factors, start=Fraction(1)),
    "/": lambda a, b: a / b,
    "neg": lambda a: -a,
    "^": _power,
    "!": _factorial,
    "%": lambda a: a / 100,
    "degree": lambda a: a,
    "abs": lambda a: abs(a),
    "sqrt": lambda a: _root(a, Fraction(2)),
    "root": _root,
    "binom": _binomial,
    "floor": lambda a: Fraction(math.floor(a)),
    "ceil": lambda a: Fraction(math.ceil(a)),
    "gcd": _of_whole(math.gcd),
    "lcm": _of_whole(math.lcm),
    "max": lambda *items: max(items),
    "min": lambda *items: min(items),
}
