r"""Reading a number out of an answer, exactly: currency, units, per cent, fractions and LaTeX's ways of writing them.

Pure text work: nothing a model wrote is ever evaluated.
"""

from __future__ import annotations

import re
from fractions import Fraction

from rise.judges.exact import Irrational, TooBig, value
from rise.judges.formulas import tree
from rise.judges.spelling import spelled
from rise.judges.units import NOT_UNITS, ORDINAL, SCALE, UNITS, scale_of

MAX_NUMBER_CHARS = 256
"""Longer texts are not read as numbers. `Fraction` is quadratic in digits, and no answer of a data set comes near it."""
MAX_EXPONENT = 1000
"""`1e1000` is read, `1e1001` is not: 1e999999999 is eleven characters and a gigabyte."""

_DECIMAL = r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d{1,3}(?:[ ]\d{3})+(?!\d)|\d+)(?:\.\d*)?|\.\d+"
_PLAIN = re.compile(r"-?\d{1,18}", re.ASCII)
_USUAL = re.compile(r"(-?)(\d{1,3}(?:,\d{3}){0,5}|\d{1,18})(?:\.(\d{0,18}))?", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_FRAC = re.compile(r"\\frac\s*(?:\{([^{}]*)\}|(\d))\s*(?:\{([^{}]*)\}|(\d))")
_NAME = re.compile(
    r"""\s*(?:
        m?\s*(?:\\(?:angle|triangle|overline|vec)\s*)?\{?(?:[A-Z]{1,4}|\\[A-Za-z]+|[A-Za-z])\}?'*
        (?:_(?:\{[^{}]*\}|\w))?(?:\^\{-1\})?'*(?:\s*\([^()=]{1,20}\))?           # x, a_5, f(2), P(A), AB, \angle ABC, f^{-1}(3)
      | \|[A-Z]{2}\| | \[[A-Z]{3,6}\]                                           # a distance, an area
      | \(\s*[A-Za-z](?:\s*,\s*[A-Za-z]){1,3}\s*\)                                # (x, y)
      | (?:\\text\{[^{}]*\}|[^\W\d_]{3,}(?![^\W\d_])|\s)+                                 # Total
    )\s*""",
    re.VERBOSE,
)
_QUANTITY = re.compile(  # \sin\theta, P(X = 3), \det A, |z|, \|v\|, \text{Area}_{ABC}, dy/dx
    r"""\s*(?:
        \\(?:sin|cos|tan|cot|sec|csc)\s*\(?\s*(?:(?:\\angle\s*)?\{?[A-Z]{1,3}\}?|\\(?:alpha|beta|gamma|theta|phi|omega))\s*\)?
      | (?:Pr?|E|\\Pr)\s*\([^()]{1,60}\) | \\det\s*\(?\s*\{?[A-Z]\}?\s*\)?
      | (\\?\|)\s*(?:[abcuvwz]|\\vec\s*\{?[a-z]\}?)\s*\1
      | \\text\{[^{}]*\}\s*_\s*(?:\{[^{}]*\}|\w)
      | \\frac\s*\{d(?:\^\{?\d\}?)?\s*[A-Za-z]?\}\s*\{d[A-Za-z](?:\^\{?\d\}?)?\}
    )\s*""",
    re.VERBOSE,
)
_CONSTANTS = re.compile(r"\\(?:pi|infty|frac|sqrt|iunit)(?![A-Za-z])|(?:\\|\b)(?:sin|cos|tan|log|ln|exp|sqrt|pi)\b|^\s*[ei]\s*$")
_NUMBER = re.compile(
    rf"""
    (?P<sign>[-+]?)\s*
    (?:USD|EUR|Rs\.?|\\text\{{[A-Z]{{2,3}}\}})?\s*
    (?:
        (?:(?P<whole>\d+)\s*(?:and\s+)?)?\x02(?P<a>[^\x02]*)\x02(?P<b>[^\x02]*)\x02          # \frac, after a whole part or not
      | (?P<whole2>\d+)\s+(?:and\s+)?(?P<c>\d+)\s*/\s*(?P<d>\d+)                               # 1 3/4
      | (?P<e>{_DECIMAL})\s*/\s*(?P<f>{_DECIMAL})                                              # 3/4
      | (?:(?P<m>{_DECIMAL})\s*(?:\\times|\\cdot|\*|x)\s*)?10\s*\^\s*(?:\{{\s*(?P<x>[-+]?\d+)\s*\}}|(?P<y>\d)(?!\d))  # 3 × 10^8
      | (?P<dotted>\d*\.\d*)\\overline\s*\{{(?P<first>\d)\}}(?P<middle>\d*)\\overline\s*\{{(?P<last>\d)\}}
      | (?P<fixed>\d*\.\d*)(?:\\overline\s*\{{?|\()(?P<repeated>\d+)[)}}]?                      # 0.1\overline{{6}}
      | (?P<g>{_DECIMAL})(?:[eE](?P<z>[-+]?\d+))?
    )
    (?:\s*(?P<scale>{SCALE})|\s*\\text\{{(?P<scale2>{SCALE})(?:\s[^{{}}]*)?\}})?
    \s*(?:(?P<percent>%|percent\b|\\text\{{percent\}})|(?:\\degree\s*[CF]?(?![A-Za-z])|{ORDINAL})?\s*(?:{UNITS})?)
    (?:\s+\((?!(?:{NOT_UNITS}|given|when|where|unless|except)\b)[A-Za-z]{{3,}}(?:\s[A-Za-z]+)?\))?  # 5 (apples)
    [\s.,;]*
    """,
    re.VERBOSE | re.ASCII,
)


def number(text: str) -> Fraction | None:
    r"""The value of a text that is one number, perhaps with currency or unit; None for anything else. Exact.

    A percent sign is read as a unit, so "50%" is 50; `same_number` also lets it mean one half.

    >>> number("$1,200.50"), number(r"1\frac{3}{4}"), number("2.5e3 km"), number("3 or 4"), number("2x")
    (Fraction(2401, 2), Fraction(7, 4), Fraction(2500, 1), None, None)
    """
    read = read_number(text)
    return read[0] if read else None


def same_number(left: tuple[Fraction, bool], right: tuple[Fraction, bool]) -> bool:
    """Whether two numbers as `read_number` gives them are equal. 50% equals both 50 and 1/2: data sets store either."""
    if left[0] == right[0]:
        return True
    if left[1] != right[1]:
        return left[0] == right[0] * 100 if left[1] else left[0] * 100 == right[0]
    return False


def usual_number(text: str) -> Fraction | None:
    """A number in one of the usual ways of writing it, such as -12, 1,200 or 0.50; the way of most answers, and quick."""
    if _PLAIN.fullmatch(text):
        return Fraction(int(text))
    if usual := _USUAL.fullmatch(text):
        sign, whole, places = usual.groups(default="")
        return Fraction(int(sign + whole.replace(",", "") + places), 10 ** len(places))
    return None


def read_number(text: str) -> tuple[Fraction, bool] | None:
    """(value, whether a percent sign followed), or None."""
    usual = usual_number(text)
    if usual is not None:
        return usual, False
    if len(text) > MAX_NUMBER_CHARS or _CONTROL.search(text):
        return None
    return read_spelled(spelled(text))


def read_spelled(text: str) -> tuple[Fraction, bool] | None:
    """The same of a spelled text. Behind `=` only where what stands before is a name, or is worked out to the number."""
    if len(text) > MAX_NUMBER_CHARS:
        return None
    before: list[str] = []
    if "=" in text:
        *before, text = text.split("=")
    text = text.strip()
    for _ in range(3):
        if len(text) > 2 and text[0] + text[-1] in ("()", "{}") and not re.search(r"[(){}]|,\d{3}|\d \d{3}", text[1:-1]):
            text = text[1:-1].strip()
    match = _NUMBER.fullmatch(_FRAC.sub(lambda m: f"\x02{m[1] or m[2] or ''}\x02{m[3] or m[4] or ''}\x02", text))
    read = _value(match) if match else None
    if read is None or not all(_is_worked_out(part, read[0]) for part in before[1:]):
        return None
    return read if not before or is_name(before[0]) or _is_worked_out(before[0], read[0]) else None


def is_name(text: str) -> bool:
    r"""Whether a text before `=` only names what follows: one letter, a function's value, a segment, words; not `x+1` or `xy`.

    `\sin\theta`, `|z|` and `\det A` are such names too; `\sin x` and `|x|` are sides of an equation.

    >>> [is_name(text) for text in ("x", "f(2)", "AB", "\\text{Total}", "\\angle ABC", "2x", "x^2", "xy", "\\pi", "5")]
    [True, True, True, True, True, False, False, False, False, False]
    """
    if _QUANTITY.fullmatch(text):
        return True
    return bool(text.strip()) and _NAME.fullmatch(text) is not None and not _CONSTANTS.search(text)


def _is_worked_out(text: str, found: Fraction) -> bool:
    of = tree(text)
    if of is None:
        return False
    try:
        return value(of) == found
    except (Irrational, TooBig):
        return False


def _value(match: re.Match[str]) -> tuple[Fraction, bool] | None:
    part = match.groupdict()
    if part["a"] is not None:
        found = _ratio(part["a"], part["b"], part["whole"])
    elif part["c"] is not None:
        found = _ratio(part["c"], part["d"], part["whole2"])
    elif part["e"] is not None:
        found = _ratio(part["e"], part["f"], None)
    elif part["dotted"] is not None:
        found = _repeating(part["dotted"], part["first"] + part["middle"] + part["last"])
    elif part["repeated"] is not None:
        found = _repeating(part["fixed"], part["repeated"])
    else:
        exponent = int(part["x"] or part["y"] or part["z"] or 0)
        if abs(exponent) > MAX_EXPONENT:
            return None
        mantissa = part["g"] or part["m"]
        found = (_decimal(mantissa) if mantissa else Fraction(1)) * Fraction(10) ** exponent
    if found is None:
        return None
    if part["sign"] == "-":
        found = -found
    if scale := part["scale"] or part["scale2"]:
        found *= scale_of(scale)
    return found, part["percent"] is not None


def _ratio(above: str, below: str, whole: str | None) -> Fraction | None:
    top, bottom = _signed(above), _signed(below)
    if top is None or bottom is None or bottom == 0:
        return None
    if whole is None:
        return top / bottom
    return int(whole) + top / bottom if 0 <= top < bottom else None


def _repeating(fixed: str, repeated: str) -> Fraction:
    """0.1666… from "0.1" and "6"."""
    n_fixed = len(fixed.partition(".")[2])
    return _decimal(fixed) + Fraction(int(repeated), (10 ** len(repeated) - 1) * 10**n_fixed)


def _signed(text: str) -> Fraction | None:
    match = re.fullmatch(rf"\s*(-?)\s*({_DECIMAL})\s*", text, re.ASCII)
    return (-_decimal(match[2]) if match[1] else _decimal(match[2])) if match else None


def _decimal(text: str) -> Fraction:
    whole, _, places = text.replace(",", "").replace(" ", "").partition(".")
    return Fraction(int(whole + places or "0"), 10 ** len(places))
