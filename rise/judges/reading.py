r"""Reading an answer as one of the forms of `forms.py`, once, from the one spelling of `spelling.py`.

Extraction, verdicts and votes all see the same form. Pure text work: nothing a model wrote is ever evaluated.
"""

from __future__ import annotations

import re
from functools import lru_cache, reduce

from rise.judges.forms import (
    CLOSING,
    MAX_CHARS,
    MAX_ITEMS,
    OPENING,
    Bracketed,
    Choice,
    Cut,
    Form,
    Items,
    Leaf,
    Matrix,
    Named,
    Relation,
    Union,
    WorkedOut,
    too_big,
)
from rise.judges.formulas import letters
from rise.judges.inequalities import EVERYTHING, both, inequality, is_no_gap, ray
from rise.judges.leaves import leaf, numeral
from rise.judges.numbers import is_name, read_spelled
from rise.judges.spelling import LABEL, look, spelled, trimmed


@lru_cache(maxsize=16384)
def form(text: str) -> Form:
    """What an answer is."""
    if len(text) > MAX_CHARS:
        return Leaf(text.strip(), words=True)
    text = spelled(text)
    if too_big(text):
        return Leaf(look(text), words=True)
    try:
        return _form(text)
    except RecursionError:  # forms within forms within forms: nothing that an honest answer is
        return Leaf(look(text), words=True)


_CHOICE = re.compile(
    r"\(\s*([A-Za-z])\s*\)\s*[:.]?\s*(.*)|(?:\\text\{)?\(?([A-J])\s*[):.]\s*\}?\s*(.*)|(?:\\text\{)?(?:option|choice|answer)\s+\(?([A-J])\)?\}?",
    re.IGNORECASE,
)
_GOES_ON = re.compile(
    r"(?:and|or)\b|[+*/^=_!<>,;]|\\(?!frac|sqrt|text|pi)"
)  # what makes of (A) the beginning of a formula or list
_LETTER_ALONE = re.compile(r"\(?[A-J]\)?\}?")
_ANOTHER = re.compile(r"(?<![A-Za-z])[A-J]\)")
_MATRIX = re.compile(r"(.*?)\\begin\s*\{([bBpv]?matrix|smallmatrix|array)\}\s*(?:\{[^{}]*\})?(.*)\\end\s*\{\2\}(.*)", re.DOTALL)
_EMPTY = re.compile(r"\\emptyset|\\\{\s*\\\}|(?:\\text\{)?(?:no (?:real )?solutions?|empty set)\}?", re.IGNORECASE)
_ALL = re.compile(r"\\R|(?:\\text\{)?(?:all )?(?:real numbers|reals)\}?", re.IGNORECASE)


def _form(text: str) -> Form:
    text = trimmed(text)
    number = read_spelled(text)
    if number is not None and "=" not in text:
        return leaf(text, number)
    if based := numeral(text):
        return based
    if _EMPTY.fullmatch(text):
        return Items(())
    if _ALL.fullmatch(text):
        return EVERYTHING
    for read in (
        _labelled,
        _all_but,
        _conditioned,
        _choice,
        _matrix,
        _described,
        _list,
        _plus_minus,
        _relation,
        _union,
        _bracketed,
    ):
        found = read(text)
        if found is not None:
            return found
    return leaf(text, None)


_AS_IT_IS = re.compile(
    r"(?:so(?=,)|thus|therefore|hence|approximately|approx|about|roughly|exactly|finally|[一总]?共有?|合计|大?约|약|총)(?![A-Za-z])[.,:]?\s*(?=[-$\\\d(])",
    re.IGNORECASE,
)


_ALL_BUT = re.compile(
    r"(?:\\text\{)?(?:all )?(?:real numbers|reals)(?: [a-z])?,? (?:except|but|other than|excluding|not equal to)"
    r"(?: for)?(?: at)?\}?\s*(?:[a-z]\s*=\s*)?(.+?)\}?",
    re.IGNORECASE,
)
_CONDITIONED = re.compile(
    r"(.+?)\s*(?:,|,?\s*\\text\{\s*(?:for|where|if|when|with)(?: all)?\}|(?<![A-Za-z])(?:for|where|if|when|with)(?![A-Za-z]))\s*"
    r"([A-Za-z])\s*\\ne(?![A-Za-z])\s*([^=<>A-Za-z]+)"
)


def _all_but(text: str) -> Form | None:
    """All real numbers except 2."""
    found = _ALL_BUT.fullmatch(text)
    return _form(f"\\R \\setminus \\{{{found[1]}\\}}") if found else None


def _conditioned(text: str) -> Form | None:
    """x + 1, x \\ne 1: the formula, which says the same wherever it has a value; no condition of a number or of a range."""
    found = _CONDITIONED.fullmatch(text)
    said = _form(found[1]) if found else None
    of = said.what if isinstance(said, Named) else said
    if found and isinstance(of, Leaf) and of.tree and found[2] in letters(of.tree):
        return said
    return None


def _labelled(text: str) -> Form | None:
    """`Answer: 5`, `the answer is 5`, `about 5`: what follows."""
    if (worded := re.match(r"\\text\{([^{}]*)\}\s*(?=.)", text)) and (label := LABEL.fullmatch(worded[1])) and label["sign"]:
        return _form(text[worded.end() :])
    found = LABEL.match(text)
    if found is None or not found["name"] or not found["sign"]:
        found = _AS_IT_IS.match(text)
    return _form(text[found.end() :]) if found and text[found.end() :].strip() else None


_DESCRIBED = re.compile(r"\\\{\s*([A-Za-z])\s*(?:\\in\s*\\R\s*)?[:|]\s*(.+)\\\}")


def _described(text: str) -> Form | None:
    r"""\{x : x > 2\}, what holds for x."""
    found = _DESCRIBED.fullmatch(text)
    said = _form(found[2]) if found else None
    return said.what if found and isinstance(said, Named) and said.name == found[1] else None


def _choice(text: str) -> Form | None:
    found = _CHOICE.fullmatch(text)
    if not found:
        return None
    letter, raw = (found[1] or found[3] or found[5]), found[2] or found[4] or ""
    rest = trimmed(raw)
    if raw.startswith((",", ";")) or _LETTER_ALONE.fullmatch(look(rest)):  # a list, (C), D, or two choices
        return None
    if not rest:
        return leaf(letter, None) if letter.upper() in "ABCDEFGHIJ" or found[5] else None
    if letter not in "ABCDEFGHIJ" or _GOES_ON.match(rest) or _CHOICE.fullmatch(rest) or _ANOTHER.search(rest):
        return None
    if found[1] and rest[0] == "-":  # (A) - 5 is a difference
        return None
    return Choice(letter, _form(rest))


def _matrix(text: str) -> Form | None:
    if "\\begin" not in text:
        return None
    found = _MATRIX.fullmatch(text)
    if not found or "\\begin" in found[3]:
        return None
    before, kind, inside, after = found[1].strip(), found[2], found[3], found[4].strip()
    name, equals, before = before.rpartition("=")
    if equals and not is_name(name):
        return None
    before, after = (part.strip(" ()[]*") for part in (before.replace("\\cdot", ""), after))
    if after or kind == "vmatrix" or len(inside) > MAX_CHARS:
        return None
    factor = f"({before})*" if before and before != "-" else before
    rows = [row.split("&") for row in re.split(r"\\\\", inside) if row.strip()]
    inner = tuple(tuple(_form(f"{factor}({cell})" if factor else cell) for cell in row) for row in rows)
    return Named(look(name), Matrix(inner)) if equals else Matrix(inner)


def pieces(text: str, separator: re.Pattern[str]) -> list[tuple[str, str]]:
    """(separator, piece) for the pieces of a text between separators that stand outside all brackets; "" for the first."""
    found, depth, start, before, at = [], 0, 0, "", 0
    while at < len(text):
        character = text[at]
        match = separator.match(text, at) if depth == 0 else None
        if match and match.end() > at:
            found.append((before, text[start:at]))
            before, start, at = match[0], match.end(), match.end()
            continue
        depth += (character in OPENING) - (character in CLOSING)
        at += 2 if character == "\\" and text[at + 1 : at + 2] not in ("{", "}") else 1
    return [*found, (before, text[start:])]


_CONNECTORS = re.compile(r"\s*(?:[,;]\s*(?:(?:and|or)\b)?|(?<![A-Za-z\\])(?:and|or)(?![A-Za-z])|\\lor|\\land|[或和与及])\s*")
_RELATIONS = re.compile(r"=|<|>|\\le(?![A-Za-z])|\\ge(?![A-Za-z])|\\ne(?![A-Za-z])|\\in(?![A-Za-z])|\\approx")
_CUP = re.compile(r"\\cup")
_CUT = re.compile(r"\\cap|\\setminus|-(?=\s*\\\{)")
_PLUS_MINUS = re.compile(r"\\pm|\\mp|\+/-|\+-")


def _list(text: str) -> Form | None:
    parts = pieces(text, _CONNECTORS)
    if len(parts) == 1:
        return None
    joined: list[str] = []
    sign = ""
    for separator, part in parts:
        thousands = (
            separator == ","
            and joined
            and re.search(r"(?<![\d.])\d{1,3}(?:,\d{3})*$", joined[-1])
            and re.match(r"\d{3}(?!\d)", part)
        )
        if thousands:
            joined[-1] += "," + part
            continue
        sign = sign or ("or" if "or" in separator or separator == "或" else "and" if "and" in separator else "")
        joined.append(part)
    items = [item.strip() for item in joined if item.strip()]
    if len(items) > MAX_ITEMS:
        return Leaf(look(text), words=True)
    if len(items) == 1:
        return _form(items[0]) if items[0] != text.strip() else None
    return _of_relations(items, sign) or Items(_flat([_form(item) for item in _names_given_once(items)]))


def _names_given_once(items: list[str]) -> list[str]:
    """x = 1, 2 and x = 1, x = 2 are the list 1, 2; x = 1, y = 2 keeps its names."""
    parts = [item.split("=") for item in items]
    names = {look(part[0]) for part in parts if len(part) == 2}
    if len(names) == 1 and all(len(part) == 1 or (len(part) == 2 and is_name(part[0])) for part in parts) and len(parts[0]) == 2:
        return [part[-1] for part in parts]
    return items


def _flat(items: list[Form]) -> tuple[Form, ...]:
    found: list[Form] = []
    for item in items:
        found += item.items if isinstance(item, Items) and item.items else (item,)
    return tuple(found)


def _of_relations(items: list[str], sign: str) -> Form | None:
    """x < 2 or x > 5 as the union of intervals, x > 2 and x < 5 as their intersection; None for anything else."""
    if not all(re.search(r"<|>|\\le|\\ge|\\ne|\\in", item) for item in items):
        return None
    read = [_relation(item) for item in items]
    if not all(isinstance(one, Named) for one in read) or len({one.name for one in read if isinstance(one, Named)}) != 1:
        return None
    parts = [one.what for one in read if isinstance(one, Named)]
    name = next(one.name for one in read if isinstance(one, Named))
    within = both(parts) if sign != "or" else None
    if within is not None and (sign or is_no_gap(within)):
        return Named(name, within)
    if sign == "and" or (not sign and any("\\ne" in item for item in items)):
        return Named(name, reduce(lambda whole, other: Cut("\\cap", whole, other), parts))
    return Named(name, Union(tuple(parts)))


def _plus_minus(text: str) -> Form | None:
    """Both values of \\pm, upper signs together and lower signs together."""
    if not _PLUS_MINUS.search(text) or _RELATIONS.search(text) or len(pieces(text, _CUP)) > 1:
        return None
    if text.startswith("\\{") and (inside := _bracketed(text)):
        return inside
    upper, lower = ({"\\pm": a, "+/-": a, "+-": a, "\\mp": b} for a, b in (("+", "-"), ("-", "+")))
    return Items(tuple(_form(_PLUS_MINUS.sub(lambda m, signs=signs: signs[m[0]], text)) for signs in (upper, lower)))  # type: ignore[misc]


def _relation(text: str) -> Form | None:
    parts = [(sign.strip(), part.strip()) for sign, part in pieces(text, _RELATIONS)]
    if len(parts) == 1 or not all(part for _, part in parts[1:]):
        return None
    signs = [sign for sign, _ in parts[1:]]
    texts = [part for _, part in parts]
    if signs == ["\\approx"] and not texts[0]:
        return _form(texts[1])
    if not texts[0]:
        return None
    if "\\approx" in signs:
        cut = signs.index("\\approx") + 1
        return _relation("".join(sign + part for sign, part in parts[:cut])) or _form(
            texts[cut] if is_name(texts[0]) else texts[0]
        )
    if signs == ["\\in"]:
        return Named(look(texts[0]), _form(texts[1])) if is_name(texts[0]) else None
    if set(signs) == {"="}:
        return _equation(texts)
    return inequality(signs, texts)


def _equation(texts: list[str]) -> Form | None:
    named, values = [text for text in texts if is_name(text)], [text for text in texts if not is_name(text)]
    if named and values and len(texts) > 2:  # AB = CD = 12: names in a chain take nothing from its value
        texts = [named[0], *values]
    first, last = _form(texts[0]), _form(texts[-1])
    if is_name(texts[0]):
        what = WorkedOut(tuple(_form(text) for text in texts[1:-1]), last) if len(texts) > 2 else last
        return Named(look(texts[0]), what)
    if len(texts) == 2 and is_name(texts[1]) and isinstance(first, Leaf) and first.number:
        return Named(look(texts[1]), first)  # 5 = x
    if len(texts) == 2 and isinstance(first, Leaf) and isinstance(last, Leaf):
        if all(of.number is not None or (of.tree and not letters(of.tree)) for of in (first, last)):
            return WorkedOut((first,), last)
        return Relation("=", first, last)
    return WorkedOut(tuple(_form(text) for text in texts[:-1]), last)


def _union(text: str) -> Form | None:
    parts = pieces(text, _CUP)
    if len(parts) > 1:
        return Union(tuple(_form(part) for _, part in parts))
    parts = pieces(text, _CUT)
    if len(parts) == 1 or not all(part.strip() for _, part in parts):
        return None
    found = _form(parts[0][1])
    for sign, part in parts[1:]:
        other = _form(part)
        points = other.items if isinstance(other, Items) else (other,)
        if sign != "\\cap" and found == EVERYTHING and len(points) == 1 and isinstance(points[0], Leaf):
            found = ray("\\ne", points[0])
        else:
            found = Cut("\\cap" if sign == "\\cap" else "\\setminus", found, other)
    return found


def _bracketed(text: str) -> Form | None:
    r"""(1, 2], \{1, 2\}, or one thing in brackets; None where the first bracket closes before the end."""
    for opening, closing in (("\\{", "\\}"), ("(", ")"), ("(", "]"), ("[", "]"), ("[", ")"), ("{", "}")):
        if text.startswith(opening) and text.endswith(closing) and len(text) > len(opening + closing):
            inside = text[len(opening) : len(text) - len(closing)]
            depth = 0
            for character in inside:
                depth += (character in OPENING) - (character in CLOSING)
                if depth < 0:
                    return None
            if depth:
                return None
            items = [part.strip() for _, part in pieces(inside, re.compile(r"\s*[,;]\s*"))]
            if len(items) > MAX_ITEMS:
                return None
            if opening == "\\{":
                return Items(_flat([_form(item) for item in items]))
            if len(items) == 1 or opening == "{":
                return _form(inside) if opening + closing in ("()", "{}") else None
            return Bracketed(opening + closing, tuple(_form(item) for item in items))
    return None
