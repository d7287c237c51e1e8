r"""Lenient mode: the answer in a sentence that marks none. Pure text work: nothing a model wrote is ever evaluated.

What follows the last "the answer is", else the last formula in dollars or the last number. The last one decides, well formed or
not: where it is a piece of a formula, of a range or of a list, there is no answer, and no earlier number is taken instead.
"""

from __future__ import annotations

import re
from collections import deque

from rise.judges.forms import Form, Items, Leaf, Relation, WorkedOut
from rise.judges.numbers import is_name, number
from rise.judges.reading import form
from rise.judges.units import SCALE

_ANSWER_IS = re.compile(
    r"\banswer\s{0,4}(?:is\b|:|：|=)[\s:]{0,4}|答案\s{0,4}(?:是|为|為|：|:|=)?[\s:：]{0,4}|答え\s{0,4}(?:は|：|:)|답은?\s{0,4}:?",
    re.IGNORECASE,
)
_DOLLARS = re.compile(r"\$([^$]{1,1000})\$")
_SENTENCE_ENDS = re.compile(r"\.(?:\s|$)|[。！!?？](?:\s|$|[^\x00-\x7f])|[。！？]")
_CLAUSE = re.compile(
    r"\s*(?:,\s*|\s)(?:since|because|as\s+(?:above|required|shown|we)|so|which|where|when|if|but|therefore|hence|thus|not|for\s+(?:the|a|all)\b|"
    r"and\s+(?:so|we|that|then|this|it|I)\b)",
    re.IGNORECASE,
)
_ABOUT = re.compile(
    r"(?:(?:approximately|about|exactly|equal to|simply|just|clearly|obviously|definitely|indeed|therefore|thus|"
    r"then|hence|option|choice|the (?:ordered )?(?:number|value|point|pair|triple|interval|set|vector|matrix|fraction|"
    r"integer|expression))\s+){1,3}",
    re.IGNORECASE,
)
_ASIDE = re.compile(r"\s+\([A-Za-z]{3,}[A-Za-z\s-]*\)$")

_DIGIT = re.compile(r"(?<!_)(?<!_\{)\d")
_NUMBER = r"[-−]?\$?(?:\d+(?:,\d+)*+(?:\.\d+)?|\.\d+)(?:/\d+)?+"
_TOKEN = re.compile(rf"(?<![A-Za-z0-9_.]){_NUMBER}(?:\s?%)?+")
_FORMULA = re.compile(
    r"\$\$(?P<a>[^$]{1,1000})\$\$|(?<![\\\d])\$(?P<b>(?!\s)[^$]{1,1000}(?<![\s\\]))\$(?!\d)|"
    r"\\\((?P<c>(?:(?!\\\().){1,1000}?)\\\)|\\\[(?P<d>(?:(?!\\\[).){1,1000}?)\\\]|"
    r"(?P<e>\\begin\{(?:align|gather)\*?\}(?:(?!\\begin).){1,1000}?\\end\{(?:align|gather)\*?\})",
    re.DOTALL,
)
_BOLD = re.compile(r"(?<![\w)}*])\*\*([^*\n]{1,300})\*\*(?![\w(*])")
_SAYS = re.compile(r"(?:\b(?:is|are|be|get|gives|equals?|obtain|have)|[:=])[:\s]*$", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_]{2,}[.,:;]?|.*[:;,]")
_AFTER_SIGN = re.compile(
    r"(?:\d:|[\w)}!]\s*[+*/^×÷]|[\w)}]\s+[-−]|[\w)}][-−–]|[±∓√∛∜<>≤≥≠]|[A-Za-z}][(\[]|\\(?:cdot|times|div|pm|mp|sqrt|l[te]|g[te]|leq|geq|leqslant|"
    r"geqslant|neq?|log|ln|sin|cos|tan|[bp]?mod)(?:_\w)?|(?<![A-Za-z])(?:log|ln|sqrt|sin|cos|tan|mod))\s*$"
)
_AFTER_WORD = re.compile(
    r"(?<![A-Za-z])(?:at (?:least|most)|(?:less|more|fewer|greater|larger|smaller|other|higher|lower) than(?: or equal to)?|"
    r"(?<!add )(?<!adds )up to|over|under|above|below|between|exceeds?|plus|minus|times|(?:divided|multiplied) by|modulo|half of|"
    r"twice|double|root of|log(?:arithm)? of|not|never|cannot)(?: be)?(?: equals?| equal to)?\s+\$?\s*$|"
    r"n['’]t(?: be)?(?: equals?| equal to)?\s+\$?\s*$",
    re.IGNORECASE,
)
_TORN_BEHIND = re.compile(
    r"[/:]?\d|\.\d|_|\s{0,2}(?:\^(?!\s*\{?\\?(?:circ|degree|°|st|nd|rd|th))|\\(?:pi|sqrt|frac|cdot|times|div|pm|le|ge|lt|gt|mod)(?![A-Za-z])|"
    r"[*/(+×÷±√π<>≤≥]|[-−–]\s?\d)|\s{0,2}(?!e\d)(?![aI]\s)[A-Za-z](?:_|\b(?![/.'’]))|"
    r"\s+(?:(?:plus|minus|times|over|to)\s+[-\d$\\]|divided|multiplied|squared|cubed|factorial|choose|mod|modulo|pi|remainder|dozen|"
    r"or\s+(?:more|less|fewer|greater|so|higher|lower|above|below)|at\s+(?:most|least)|and\s+a\s+half|(?:thi|fou|fif|six|seven|eigh|nin|ten|hundred|thousand)(?:rd|r?th)s?)\b"
)
_SCALED = re.compile(rf"\s?(?:{SCALE})")
_LISTED = re.compile(
    rf"(?:{_NUMBER}|\$[^$\d]{{0,100}}\d[^$]{{0,100}}\$|[A-Za-z]\s?=\s?{_NUMBER})(?:\s*[,;]\s*(?:(?:and|or)\b)?|(?:\s+[^\W\d_]{{3,12}})?\s+(?:and|or|to)\b)"
    r"\s*(?:[A-Za-z]\s?=\s?)?$"
)
_COMES_TO = re.compile(r"\bfrom\s+\S{1,12}\s+to\s*$", re.IGNORECASE)
_OPERATORS = "+-*/×÷−"
_ROWS = re.compile(r"\\begin\{(?:align|gather)(?:ed)?\*?\}(.*)\\end\{(?:align|gather)(?:ed)?\*?\}", re.DOTALL)
_UNIT_OR_WORD = re.compile(r"(?<![A-Za-z\\])(?![abc]+(?![a-z])|[xyz]+(?![a-z])|mn|pq|sin|cos|tan|log|ln|sqrt)[a-z]{2,}")
_TIMES = re.compile(r"(?<=\d)\s?x\s?(?=\d)")


def lenient(text: str) -> str | None:
    """What a text says that marks no answer; None where that is a piece of something, or nothing."""
    said = last_match(_ANSWER_IS, text)
    if said is not None:
        tail = text[said.end() : said.end() + 400].split("\n", 1)[0].strip().strip("*").strip()
        sentence = _SENTENCE_ENDS.split(tail, maxsplit=1)[0].strip().rstrip("。.,;")
        if sentence:
            return _whole(sentence)
    text = _BOLD.sub(r"\1", text)
    digit, formula, end = last_match(_DIGIT, text), None, len(text.rstrip(" \n.,;!*"))
    for found in _FORMULA.finditer(text):
        inside = next(group for group in found.groups() if group).strip().strip(".,;").strip()
        says = found.end() >= end and _SAYS.search(text[max(found.start() - 20, 0) : found.start()])
        if inside and (_DIGIT.search(inside) or says):
            formula = found.span(), inside
    if formula is not None and formula[0][1] > (digit.end() if digit else 0):
        return _alone(text, *formula[0], _worked_out(formula[1]))
    if digit is None:
        return None
    return _bare_formula(text) or _last_number(text, digit.end())


def _last_number(text: str, end: int) -> str | None:
    token = last_match(_TOKEN, text)
    if token is None or token.end() < end:  # what holds the last digit is no number: x_5, 2\sqrt5
        return _pair(text)
    said = token[0].rstrip(",")
    at = token.start() + len(said)
    behind = text[at : at + 200]
    if scaled := _SCALED.match(behind):
        return _alone(text, token.start(), at + scaled.end(), said + scaled[0])
    if re.match(r"\s?(?:cm|mm|km|m|ft|in|units?|inches|feet)\s?\^?\{?[23]", behind):
        return _alone(text, token.start(), at, said)
    braces = text[max(token.start() - 200, 0) : token.start()], behind
    within = braces[0].rfind("{") > braces[0].rfind("}") or 0 <= braces[1].find("}") < (braces[1] + "{").find("{")
    if within or (behind[:1] == "!" and re.fullmatch(r"\d{1,3}", said)) or re.match(r"\s?[)\]]", behind):
        return _pair(text)
    return _alone(text, token.start(), at, said)


def _pair(text: str) -> str | None:
    """The pair, interval or single number in brackets that a text ends in."""
    found = re.search(r"(?<![\w}])[(\[][^()\[\]]{1,100}[)\]](?=[\s.,;!*]*$)", text[-200:])
    return found[0] if found and is_read(found[0]) else None


def _alone(text: str, start: int, end: int, said: str) -> str | None:
    """What is said, with the list that it ends; None where it is a piece of a formula or of a range, or is said not to be so."""
    before, behind = text[max(start - 200, 0) : start], text[end : end + 40]
    if _AFTER_SIGN.search(before) or _AFTER_WORD.search(before) or _TORN_BEHIND.match(behind):
        return None
    if _is_equation(before, said):
        return None
    if _COMES_TO.search(before):
        return said
    for _ in range(8):
        listed = _LISTED.search(before)
        if listed is None:
            break
        said, before = listed[0].replace("$", "").lstrip() + said, before[: listed.start()]
    return said


def _is_equation(before: str, said: str) -> bool:
    """Whether a number is one side of an equation in letters, such as 2x = 5; not so in `y = 2x = 5` or `5 kg + 2 kg = 7`."""
    before = before.rstrip()
    if not before.endswith("="):
        return False
    *earlier, side = re.split(r"([=,:;])", before[:-1])
    words = side.split()
    left = words.pop() if words else ""
    while words and (left[0] in _OPERATORS or words[-1][-1] in _OPERATORS):
        left = f"{words.pop()} {left}"
    if not left or (not words and earlier and earlier[-1] == "=") or _UNIT_OR_WORD.search(left):
        return False
    equation = form(f"{_TIMES.sub('*', left)}={said}")
    return isinstance(equation, Relation) and equation.left.tree is not None


def _worked_out(formula: str) -> str:
    r"""Of rows the last; of a chain what comes behind its first sign, where that is a number: \frac12 bh = \frac12(9)(4) = 18."""
    if rows := _ROWS.fullmatch(formula):
        formula = rows[1].rpartition(r"\\")[2].replace("&", "").strip(" .,;\n")
    first, _, rest = formula.partition("=")
    if "=" not in rest or is_name(first):
        return formula
    found = form(rest)
    steps = (*found.steps, found.what) if isinstance(found, WorkedOut) else (found,)
    return rest.strip() if all(isinstance(step, Leaf) and step.number is not None for step in steps) else formula


def _bare_formula(text: str) -> str | None:
    r"""A formula without dollars that a text ends in, such as `x = 2\sqrt{5}`."""
    words: list[str] = []
    for word in reversed(text[-300:].strip(" \n.,;!*").split()):
        if _WORD.fullmatch(word):
            break
        words.insert(0, word)
    said = " ".join(words)
    return said if re.search(r"\\[A-Za-z]|[√^]", said) and "$" not in said and is_read(said) else None


def _whole(sentence: str) -> str:
    """What a sentence gives as its answer: all of it where that can be read, never the first number of several."""
    for candidate in (_CLAUSE.split(sentence, maxsplit=1)[0].strip(" ,"), sentence):
        short = _ASIDE.sub("", _ABOUT.sub("", candidate))
        for said in (short, candidate):
            if said and is_read(said):
                inside = _DOLLARS.fullmatch(said)
                return inside[1].strip() if inside else said
    formulas = _DOLLARS.findall(sentence)
    if len(formulas) == 1 and not re.search(r"\d", _DOLLARS.sub("", sentence)):
        return str(formulas[0]).strip()
    return sentence


def is_read(text: str) -> bool:
    """Whether a text can be read as an answer: a number, a formula, a list, a pair, not words."""
    return number(text) is not None or _is_formula(form(text))


def _is_formula(found: Form) -> bool:
    if isinstance(found, Items):
        return bool(found.items) and all(_is_formula(item) for item in found.items)
    return not isinstance(found, Leaf) or found.tree is not None or found.number is not None


def last_match(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    found = deque(pattern.finditer(text), maxlen=1)
    return found[0] if found else None
