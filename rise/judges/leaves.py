r"""The smallest parts of an answer: numbers, formulas, words, and numerals with their base."""

from __future__ import annotations

import re
from fractions import Fraction

from rise.judges.exact import Irrational, TooBig, value
from rise.judges.forms import Leaf, Numeral
from rise.judges.formulas import tree
from rise.judges.spelling import look
from rise.judges.units import ORDINAL, UNITS

_AS_PROGRAMS_WRITE = re.compile(r"(-?)\s*0([box])([0-9A-Fa-f]+)")
_NUMERAL = re.compile(
    r"(-?)\s*[({\[]?\s*(-?)\s*(\d{1,3}(?:,\d{3})+|\d[\d\s.]*|[0-9A-Za-z.]+)\s*[)}\]]?\s*"
    r"(?:_\s*(?:\{\s*\(?\s*(?:\\text\{)?\s*(?:base\s*)?([0-9A-Za-z]+)\s*\}?\s*\)?\s*\}|\\text\{([A-Za-z]+)\}|(\d{1,2})(?!\d))"
    r"|\s(?:\\text\{)?\s*\(?\s*(?:in\s+)?base[\s-]*([0-9A-Za-z]+)\)?\}?)"
)
_BASES = [
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
]

_SHORT = {"bin": 2, "binary": 2, "oct": 8, "octal": 8, "dec": 10, "decimal": 10, "hex": 16, "hexadecimal": 16}


def numeral(text: str) -> Numeral | None:
    if found := _AS_PROGRAMS_WRITE.fullmatch(text):
        base = {"b": 2, "o": 8, "x": 16}[found[2]]
        digits = found[3].upper()
        return Numeral(found[1] + plain_digits(digits), base) if all(int(digit, 16) < base for digit in digits) else None
    found = _NUMERAL.fullmatch(text)
    if not found:
        return None
    said = next(group for group in found.groups()[3:] if group).lower()
    base = int(said) if said.isdigit() and len(said) < 3 else _BASES.index(said) + 2 if said in _BASES else _SHORT.get(said, 0)
    digits = re.sub(r"[\s,]", "", found[3])
    if re.search(r"[a-z]", digits):
        digits = digits.upper() if re.search(r"\d", digits) else ""
    letters = re.sub(r"[\d.]", "", digits)
    if (
        not 2 <= base <= 36
        or not digits
        or any(ord(letter) - 55 >= base for letter in letters)
        or len(letters) == len(digits) == 1
    ):
        return None
    return Numeral(_sign(found[1] + found[2]) + plain_digits(digits), base)


def _sign(signs: str) -> str:
    return "-" if len(signs) == 1 else ""


def plain_digits(digits: str) -> str:
    """Digits without zeros in front, and behind a point without those at the end."""
    whole, point, places = digits.partition(".")
    return (whole.lstrip("0") or "0") + (point + places.rstrip("0") if places.rstrip("0") else "")


_UNIT_AT_END = re.compile(rf"(?:(?<=[\d}})\]!])|(?<=\b[A-Za-z])){ORDINAL}$|(?<=[\w}})\]!])\s*{UNITS}\s*$", re.ASCII)
_NTH = re.compile(
    r"\d\s*(?:\^\s*)?\{?\s*(?:\\text\{)?(?:st|nd|rd|th)[\s}]*(?:\\text\{\s*)?(?:root|power)s?\b"
)  # names another number
_NAMED_BEFORE = re.compile(  # \text{Total:} 5, but not \text{at least }5 or \text{March }5
    r"^\\text\{(?![^{}]*\b(?:not?|never|least|most|less|fewer|more|greater|under|over|above|below|between|up to|half|twice|"
    r"double|minus|negative|square|root|from|until|before|after|except|januar|februar|march|april|may|june|july|august|septem|octo|novem|decem|"
    r"chapter|page|step|case|day|either|neither|or))[^{}]*\}\s*(?=[-\d\\(])",
    re.IGNORECASE,
)
_PRODUCT = re.compile(
    r"\s*(?:[xyz]{2,3}|[abc]{3}|(?!(?:am|an|as|at|be|by|do|go|he|hi|if|in|is|it|me|my|no|of|oh|ok|on|or|so|to|up|us|we)\s*$)[a-z]{2}|(?![A-Z]+\s*$)[b-df-hj-np-tv-xzB-DF-HJ-NP-TV-XZ]{2,3})\s*"
)  # letters that are no word
_CALCULUS = re.compile(r"\\(?:int|iint|oint|sum|prod|lim|partial)(?![A-Za-z])")  # left to math-verify's reader
_DECIMAL_ALONE = re.compile(r"-?\s*\d*\.(\d+)")


def leaf(text: str, number: tuple[Fraction, bool] | None) -> Leaf:
    if number is not None:
        decimal = _DECIMAL_ALONE.fullmatch(text.strip())
        places = len(decimal[1]) if decimal and len(decimal[1].lstrip("0") or "0") else 0
        return Leaf(look(text), text, number, places=places)
    bare = _without_unit(text)
    percent = bare.endswith("%")
    of = tree(bare.rstrip("% ") if percent else bare)
    if of is None:
        return Leaf(look(text), bare, words=not _CALCULUS.search(bare))
    if re.fullmatch(r"\s*[A-Za-z]{2,}\s*", bare) and not _PRODUCT.fullmatch(bare):
        return Leaf(look(text), bare, words=True)  # "cat" is not "act", and ABC names what CBA does not
    try:
        return Leaf(look(text), bare, (value(of), percent), of)
    except TooBig:
        return Leaf(look(text), words=True)
    except Irrational:
        return Leaf(look(text), bare, None, of)


def _without_unit(text: str) -> str:
    """6\\pi \\text{ cm} and 5\\sqrt{2} m/s without their units; a last letter is a name and stays."""
    text = _NAMED_BEFORE.sub("", text)
    if _NTH.search(text):
        return text
    for _ in range(3):
        found = _UNIT_AT_END.search(text, max(len(text) - 200, 0))
        rest = text[: found.start()].rstrip() if found else ""
        if not found or not (re.search(r"\d|\\(?:pi|sqrt|frac)", rest) or found[0].lstrip().startswith("\\text")):
            break
        text = rest
    return text
