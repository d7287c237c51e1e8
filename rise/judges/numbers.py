r"""Reading a number out of an answer, exactly: currency, units, per cent, fractions and LaTeX's ways of writing them.

Pure text work: nothing a model wrote is ever evaluated.
"""

from __future__ import annotations

import re
from fractions import Fraction

MAX_NUMBER_CHARS = 256
"""Longer texts are not read as numbers. `Fraction` is quadratic in digits, and no answer of a data set comes near it."""
MAX_EXPONENT = 1000
"""`1e1000` is read, `1e1001` is not: 1e999999999 is eleven characters and a gigabyte."""

_DECIMAL = r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d{1,3}(?:[ ]\d{3})+(?!\d)|\d+)(?:\.\d*)?|\.\d+"
_PLAIN = re.compile(r"-?\d{1,18}", re.ASCII)

# Look-alikes. Deliberately not NFKC: that turns 5² into 52 and 1½ into 11⁄2.
_CHARACTERS = {
    **{ord(minus): "-" for minus in "−–‐‑﹣－"},
    **{0xFF10 + digit: str(digit) for digit in range(10)},
    **{ord(fraction): " " + plain for fraction, plain in {"½": "1/2", "⅓": "1/3", "⅔": "2/3", "¼": "1/4", "¾": "3/4"}.items()},
    **dict.fromkeys([*range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x206A), 0xFEFF]),  # invisible, direction
    **dict.fromkeys([0xA0, 0x2009, 0x202F, ord("\t"), ord("\n"), ord("\r"), ord("~")], " "),
    ord("，"): ",",
    ord("⁄"): "/",
    ord("×"): "\\times ",
    ord("·"): "\\cdot ",
    ord("°"): "\\circ ",
    ord("％"): "%",
}
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_UNIT = "\x01"  # stands for a unit once read; no input holds it, control characters having been refused
_DROPPED = re.compile(r"\\(?:left|right|displaystyle|quad)(?![A-Za-z])|\\!")
_SPACE = re.compile(r"\\[,;: ]")
_TEXT = re.compile(r"\\(?:text(?:bf|it|rm|tt)?|math(?:rm|bf|it|sf)|mbox|operatorname|underline)\s*\{([^{}]*)\}")
_FRAC = re.compile(r"\\[dtc]?frac\s*(?:\{([^{}]*)\}|(\d))\s*(?:\{([^{}]*)\}|(\d))")
_DEFINED = re.compile(  # what may stand before "=": one name, or a sum being worked out. Not "x=5 or x".
    r"\s*(?:[A-Za-z]\w{0,2}|\\[a-z]{2,8}|[a-z]\([a-z]\))\s*|[\d.\s+\-*/()^{}]*(?:[+\-*/]|\\times|\\cdot|\\div)(?:[\d.\s+\-*/()^{}]|,(?=\d{3})|\\times|\\cdot|\\div)*"
)
_SCALES = {"hundred": 10**2, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_SHORT_UNITS = "cm|mm|km|kg|mg|ml|mL|hr|ft|in|lb|oz|kW|Hz|GB|MB|of"
# Words that make a formula, a list or a range of what looks like a number with its unit.
_NOT_UNITS = "and|or|to|plus|minus|times|over|mod|sqrt|sin|cos|tan|log|exp|divided|multiplied|squared|cubed|pi|choose|base|by|out"
_SQUARED = r"(?:\^?\{?[23]\}?|[²³])?"
_WORD = rf"(?!(?:{_NOT_UNITS})\b)(?:{_UNIT}|[A-Za-z]{{3,}}|(?:{_SHORT_UNITS})\b){_SQUARED}"
_FIRST_WORD = rf"(?:(?:{_UNIT}|(?:{_SHORT_UNITS})\b){_SQUARED}|(?<=[\s/-]){_WORD})"  # 6 apples and 6cm, not 6abc
_NUMBER = re.compile(
    rf"""
    (?P<sign>[-+]?)\s*
    (?:(?:US|C|A)?\\?[$€£¥₹]\s*|(?:USD|EUR|Rs\.?)\s*|(?P<minus>)(?=[-.\d\x02]))
    (?P<sign2>-?)\s*
    (?:
        (?:(?P<whole>\d+)\s*(?:and\s+)?)?\x02(?P<a>[^\x02]*)\x02(?P<b>[^\x02]*)\x02          # \frac, after a whole part or not
      | (?P<whole2>\d+)\s+(?:and\s+)?(?P<c>\d+)\s*/\s*(?P<d>\d+)                               # 1 3/4
      | (?P<e>{_DECIMAL})\s*/\s*(?P<f>{_DECIMAL})                                              # 3/4
      | (?:(?P<m>{_DECIMAL})\s*(?:\\times|\\cdot|\*|x)\s*)?10\s*\^\s*(?:\{{\s*(?P<x>[-+]?\d+)\s*\}}|(?P<y>\d)(?!\d))  # 3 × 10^8
      | (?P<g>{_DECIMAL})(?:[eE](?P<z>[-+]?\d+))?
    )
    (?:\s*(?P<scale>{"|".join(_SCALES)})\b)?
    \s*(?:
        (?P<percent>\\?%|percent\b)
      | \^?\s*\{{?\s*\\(?:circ|degree)\s*\}}?\s*[CF]?
      | [-/]?{_FIRST_WORD}(?:[\s/-]+{_WORD}){{0,8}}
    )?
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


def read_number(text: str) -> tuple[Fraction, bool] | None:
    """(value, whether a percent sign followed), or None."""
    if _PLAIN.fullmatch(text):
        return Fraction(int(text)), False
    if len(text) > MAX_NUMBER_CHARS:
        return None
    text = text.translate(_CHARACTERS)
    if _CONTROL.search(text):
        return None
    text = text.strip().strip("*").strip()
    if "\\" in text or "$" in text or "{" in text:
        text = _plain_latex(text)
    if "=" in text:
        before, _, text = text.rpartition("=")
        if not all(_DEFINED.fullmatch(part) for part in before.split("=")):
            return None
    text = text.strip()
    for _ in range(3):
        if len(text) > 2 and text[0] + text[-1] in ("()", "{}") and not any(c in text[1:-1] for c in "(){}"):
            text = text[1:-1].strip()
    match = _NUMBER.fullmatch(text)
    return _value(match) if match else None


def _plain_latex(text: str) -> str:
    """Mark-up that changes how a number looks but not what it is, taken away; fractions as \\x02a\\x02b\\x02."""
    for left, right in (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]")):
        if text.startswith(left) and text.endswith(right) and len(text) >= len(left) + len(right):
            text = text[len(left) : len(text) - len(right)]
    text = _SPACE.sub(" ", _DROPPED.sub("", text)).replace("{,}", ",")
    text = _TEXT.sub(_unit_or_text, text)
    return _FRAC.sub(lambda m: f"\x02{m[1] or m[2] or ''}\x02{m[3] or m[4] or ''}\x02", text)


def _unit_or_text(match: re.Match[str]) -> str:
    inside = match[1].strip()
    if not inside or any(c.isdigit() for c in inside) or inside.lower() in _SCALES or inside in ("%", "\\%", "$", "\\$"):
        return f" {inside} "
    # "and", "or" and formulas in words stay visible, so that a list is not read as a number with a unit.
    return f" {inside} " if re.match(rf"(?:{_NOT_UNITS})\b", inside) else f" {_UNIT}"


def _value(match: re.Match[str]) -> tuple[Fraction, bool] | None:
    part = match.groupdict()
    if part["a"] is not None:
        value = _ratio(part["a"], part["b"], part["whole"])
    elif part["c"] is not None:
        value = _ratio(part["c"], part["d"], part["whole2"])
    elif part["e"] is not None:
        value = _ratio(part["e"], part["f"], None)
    else:
        exponent = int(part["x"] or part["y"] or part["z"] or 0)
        if abs(exponent) > MAX_EXPONENT:
            return None
        mantissa = part["g"] or part["m"]
        value = (_decimal(mantissa) if mantissa else Fraction(1)) * Fraction(10) ** exponent
    if value is None:
        return None
    if (part["sign"] == "-") != (part["sign2"] == "-"):
        value = -value
    elif part["sign"] == "-":
        return None  # two minus signs
    if part["scale"]:
        value *= _SCALES[part["scale"]]
    return value, part["percent"] is not None


def _ratio(above: str, below: str, whole: str | None) -> Fraction | None:
    top, bottom = _signed(above), _signed(below)
    if top is None or bottom is None or bottom == 0:
        return None
    if whole is None:
        return top / bottom
    return int(whole) + top / bottom if 0 <= top < bottom else None


def _signed(text: str) -> Fraction | None:
    match = re.fullmatch(rf"\s*(-?)\s*({_DECIMAL})\s*", text, re.ASCII)
    return (-_decimal(match[2]) if match[1] else _decimal(match[2])) if match else None


def _decimal(text: str) -> Fraction:
    whole, _, places = text.replace(",", "").replace(" ", "").partition(".")
    return Fraction(int(whole + places or "0"), 10 ** len(places))
