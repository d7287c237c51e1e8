r"""Reading a number out of an answer, exactly: currency, units, per cent, fractions and LaTeX's ways of writing them.

Pure text work: nothing a model wrote is ever evaluated.
"""

from __future__ import annotations

import re
from fractions import Fraction

from rise.judges.exact import Irrational, TooBig, value
from rise.judges.formulas import tree
from rise.judges.spelling import spelled

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
_CONSTANTS = re.compile(r"\\(?:pi|infty|frac|sqrt|iunit)(?![A-Za-z])|(?:\\|\b)(?:sin|cos|tan|log|ln|exp|sqrt|pi)\b|^\s*[ei]\s*$")
_SCALES = {"hundred": 10**2, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_SCALES |= {"百": 10**2, "千": 10**3, "万": 10**4, "萬": 10**4, "亿": 10**8, "億": 10**8, "천": 10**3, "만": 10**4, "억": 10**8}
_SINGLE = "m|s|g|h|L|N|J|W|V"  # units before or behind a slash alone: a last letter by itself is a name
_SHORT_UNITS = "cm|mm|km|kg|mg|ml|mL|hr|ft|in|lb|oz|kW|Hz|kHz|MHz|GHz|GB|MB|kJ|kN|mph|kph|rpm|of"
_SPACED_UNITS = "mi|yd|ms|dm|nm|ha|pts|hp|sq|cu"
# Words that make a formula, a list or a range of what looks like a number with its unit.
_NOT_UNITS = (
    "and|or|to|plus|minus|times|over|mod|sqrt|sin|cos|tan|log|exp|divided|multiplied|squared|cubed|pi|choose|base|by|out|"
    "more|less|greater|but|not|if|for|dozen|percent"
)
_SQUARED = r"(?:\s*\^?\{?-?[23]\}?)?"
_FOREIGN = r"[\u00c0-\u024f\u0400-\u052f\u0590-\u06ff\u0900-\u0dff\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]{1,12}"
_TEXT_UNIT = rf"\\text\{{\s*(?!(?:{_NOT_UNITS})\b)[^{{}}]*\}}"
_MARKED = rf"(?:{_TEXT_UNIT}|\\frac\s*\{{\s*{_TEXT_UNIT}\s*\}}\s*\{{\s*{_TEXT_UNIT}\s*\}})"
_PER = rf"(?:{_SHORT_UNITS}|{_SINGLE}|mi|yd|min|sec|day|hour|year|week|month|[a-z]{{3,}})\b"
_TIMES = r"(?<=\s)(?:N|k?W)\s*\\cdot\s*(?:m|h|s)\b"
_RATE = rf"(?:(?:(?<=\s)(?:{_SINGLE}|{_SPACED_UNITS})|{_SHORT_UNITS}|mi){_SQUARED}\s*/\s*{_PER}{_SQUARED}|{_TIMES})"  # m/s, km/h
_WORD = rf"(?!(?:{_NOT_UNITS})\b)(?:{_MARKED}|{_RATE}|[A-Za-z]{{3,}}|(?:{_SHORT_UNITS}|{_SPACED_UNITS})\b|{_FOREIGN}){_SQUARED}"
_FIRST_WORD = (  # 6 apples and 6cm, not 6abc
    rf"(?:(?:{_MARKED}|{_RATE}|(?:{_SHORT_UNITS})\b|{_FOREIGN}){_SQUARED}|(?<=[\s/-]){_WORD})"
)
UNITS = rf"[-/]?\s*{_FIRST_WORD}(?:(?:[\s/-]+|\s*\\cdot\s+){_WORD}|\s?{_MARKED}{_SQUARED}){{0,8}}"
ORDINAL = r"\s*(?:\^\s*)?\{?\s*(?:\\text\{)?(?:st|nd|rd|th)\b[\s}]*"
_NUMBER = re.compile(
    rf"""
    (?P<sign>[-+]?)\s*
    (?:USD|EUR|Rs\.?|\\text\{{[A-Z]{{2,3}}\}})?\s*
    (?:
        (?:(?P<whole>\d+)\s*(?:and\s+)?)?\x02(?P<a>[^\x02]*)\x02(?P<b>[^\x02]*)\x02          # \frac, after a whole part or not
      | (?P<whole2>\d+)\s+(?:and\s+)?(?P<c>\d+)\s*/\s*(?P<d>\d+)                               # 1 3/4
      | (?P<e>{_DECIMAL})\s*/\s*(?P<f>{_DECIMAL})                                              # 3/4
      | (?:(?P<m>{_DECIMAL})\s*(?:\\times|\\cdot|\*|x)\s*)?10\s*\^\s*(?:\{{\s*(?P<x>[-+]?\d+)\s*\}}|(?P<y>\d)(?!\d))  # 3 × 10^8
      | (?P<fixed>\d*\.\d*)(?:\\overline\s*\{{?|\()(?P<repeated>\d+)[)}}]?                      # 0.1\overline{{6}}
      | (?P<g>{_DECIMAL})(?:[eE](?P<z>[-+]?\d+))?
    )
    (?:\s*(?:\\text\{{)?(?P<scale>{"|".join(_SCALES)})(?![A-Za-z])\}}?)?
    \s*(?:(?P<percent>%|percent\b|\\text\{{percent\}})|(?:\\degree\s*[CF]?(?![A-Za-z])|{ORDINAL})?\s*(?:{UNITS})?)
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

    >>> [is_name(text) for text in ("x", "f(2)", "AB", "\\text{Total}", "\\angle ABC", "2x", "x^2", "xy", "\\pi", "5")]
    [True, True, True, True, True, False, False, False, False, False]
    """
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
    if part["scale"]:
        found *= _SCALES[part["scale"]]
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
