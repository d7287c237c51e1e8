r"""One spelling for what may be written in many ways: Unicode, spacing, styles, sizes, colours, brackets that grow, text.

`spelled` takes away what changes the look and never the meaning. Numbers, formulas, lists and votes all read its result, so
what is equal for one of them is equal for all. Pure text work: nothing a model wrote is ever evaluated.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from unicodedata import category, decimal, normalize

_FRACTIONS = {"½": "12", "⅓": "13", "⅔": "23", "¼": "14", "¾": "34", "⅕": "15", "⅖": "25", "⅗": "35", "⅘": "45", "⅙": "16"}
_FRACTIONS |= {"⅚": "56", "⅐": "17", "⅑": "19", "⅛": "18", "⅜": "38", "⅝": "58", "⅞": "78"}
_COMMANDS = {
    **{"∞": "infty", "×": "times", "·": "cdot", "⋅": "cdot", "∙": "cdot", "•": "cdot", "∗": "cdot", "÷": "div", "±": "pm"},
    **{"≤": "le", "≥": "ge", "⩽": "le", "⩾": "ge", "≠": "ne", "≈": "approx", "∪": "cup", "∩": "cap", "∈": "in", "∅": "emptyset"},
    **{"∓": "mp", "°": "degree", "º": "degree", "ℝ": "R", "∖": "setminus", "∨": "lor", "∧": "land", "⌊": "lfloor", "⌋": "rfloor"},
    **{"⌈": "lceil", "⌉": "rceil", "∠": "angle", "△": "triangle", "…": "dots", "ⅈ": "iunit", "ℂ": "C", "ℤ": "Z", "∑": "sum"},
    **{"∫": "int", "∏": "prod", "∂": "partial"},
}
_GREEK = dict(
    zip(
        "αβγδεζηθικλμνξπρστυφχψωΓΔΘΛΞΠΣΦΨΩϕϵ",
        [
            "alpha",
            "beta",
            "gamma",
            "delta",
            "epsilon",
            "zeta",
            "eta",
            "theta",
            "iota",
            "kappa",
            "lambda",
            "mu",
            "nu",
            "xi",
            "pi",
            "rho",
            "sigma",
            "tau",
            "upsilon",
            "phi",
            "chi",
            "psi",
            "omega",
            "Gamma",
            "Delta",
            "Theta",
            "Lambda",
            "Xi",
            "Pi",
            "Sigma",
            "Phi",
            "Psi",
            "Omega",
            "phi",
            "epsilon",
        ],
        strict=True,
    )
)
# Look-alikes. Deliberately not NFKC: that turns 5² into 52 and 1½ into 11⁄2.
_CHARACTERS: dict[int, str | None] = {
    **dict.fromkeys([0x09, 0x0A, 0x0B, 0x0C, 0x0D, 0xA0, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000, ord("~")], " "),
    **dict.fromkeys([0xAD, *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x206A), 0xFE0E, 0xFE0F, 0xFEFF]),
    **{code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)},  # full width
    **{ord(minus): "-" for minus in "−–—‒―‐‑﹣"},
    **{ord(character): f"\\frac{{{digits[0]}}}{{{digits[1]}}}" for character, digits in _FRACTIONS.items()},
    **{ord(character): f"\\{name} " for character, name in (_COMMANDS | _GREEK).items()},
    **{
        ord(character): plain
        for character, plain in (("⅒", "\\frac{1}{10}"), ("℃", "\\degree C"), ("℉", "\\degree F"), ("ℎ", "h"), ("ℯ", "e"))
    },
    **{code: normalize("NFKC", chr(code)) for code in range(0x1D400, 0x1D800)},  # 𝑥, 𝟏, 𝜋
    **{code: str(decimal(chr(code))) for code in range(0x660, 0x1A9A) if category(chr(code)) == "Nd"},  # ٤, ४
    **{ord(character): plain for character, plain in zip("٫٬٪", ".,%", strict=True)},
    **dict.fromkeys([*map(ord, "✓✔✅∎■□☑"), *range(0x1F300, 0x1FB00)]),
    **{ord(character): plain for character, plain in zip("⁄∕∣、。，′“”‘’「」【】〈〉⟨⟩", '//|,.,\'""\'\'""()()()', strict=True)},
}
_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ⁿⁱ", "0123456789+-()ni")
_LOWERED = str.maketrans("₀₁₂₃₄₅₆₇₈₉₊₋₍₎", "0123456789+-()")
_ROOTS = {"√": r"\sqrt", "∛": r"\sqrt[3]", "∜": r"\sqrt[4]"}
_SIZES = "tiny|scriptsize|footnotesize|small|normalsize|large|Large|LARGE|huge|Huge|displaystyle|textstyle|scriptstyle"
_OLD_FONTS = "bf|it|rm|sf|tt|cal|bfseries|itshape|boldmath|centering|limits|nolimits|null|strut"
_BIG = "left|right|middle|[bB]igg?[lrm]?"
_TEXT = "text(?:bf|it|rm|tt|sf|sl|sc|up|md|normal)?|mbox|hbox|operatorname\\*?|math(?:rm|bf|it|sf|tt|normal|cal|bb)|boldsymbol|bm"
_HELD = "underline|ensuremath|boxed|fbox|displaylines|mathstrut|emph|uline|cancel|smash|overbrace|underbrace|mathop"
_OTHER_NAMES = {
    **dict.fromkeys(("leq", "leqslant", "leqq"), "le"),
    **dict.fromkeys(("geq", "geqslant", "geqq"), "ge"),
    **{"neq": "ne", "infin": "infty", "empty": "emptyset", "varnothing": "emptyset", "circ": "degree", "degrees": "degree"},
    **dict.fromkeys(("ldots", "cdots", "dotsc", "dotsb"), "dots"),
    **{"dfrac": "frac", "tfrac": "frac", "cfrac": "frac", "dbinom": "binom", "tbinom": "binom", "vee": "lor", "wedge": "land"},
    **{
        "bar": "overline",
        "dot": "overline",
        "lbrace": "{",
        "rbrace": "}",
        "varphi": "phi",
        "varepsilon": "epsilon",
        "ast": "cdot",
        "smallsetminus": "setminus",
    },
    **{
        "backslash": "setminus",
        "bigcup": "cup",
        "thickapprox": "approx",
        "nicefrac": "frac",
        "sfrac": "frac",
        "lg": "log",
        "simeq": "approx",
        "reals": "R",
        "Reals": "R",
        "imath": "iunit",
    },
    **{"arcsinh": "asinh", "measuredangle": "angle", "slash": "/"},
}
_OTHER_SIGNS = {
    "lt": "<",
    "gt": ">",
    "vert": "|",
    "lvert": "|",
    "rvert": "|",
    "mid": "|",
    "langle": "(",
    "rangle": ")",
    "colon": ":",
}
_OTHER_SIGNS |= {
    "lbrack": "[",
    "rbrack": "]",
    "lparen": "(",
    "rparen": ")",
    "And": "&",
    "prime": "'",
    "textdollar": "",
    "euro": "",
    **dict.fromkeys(("Vert", "lVert", "rVert"), "\\|"),
    "hline": " ",
}
_KINDS_OF_NUMBERS = {"R": r"\R ", "C": r"\C ", "Z": r"\Z ", "N": r"\N ", "Q": r"\Q "}
_FUNCTION_NAMES = "sinh|cosh|tanh|arcsin|arccos|arctan|sin|cos|tan|cot|sec|csc|ln|log|exp|sqrt|lcm|gcd|max|min"

_NO_FUNCTION = {  # minutes and seconds, where no argument follows
    "min": re.compile(r"(?!\s*[({])"),
    "sec": re.compile(
        r"(?!\s*(?:\^\s*\{?-?\d\}?)?\s*(?:(?!(?:and|or|per)\b)[A-Za-z0-9({]|\\(?!cdot|times|text|mathrm|mbox)[A-Za-z]))"
    ),
}
_TURNED = r"(^[\s$]*|\\(?:cup|cap|in)(?![A-Za-z])\s*|=\s*)([\[\]])([^\[\]()=]{1,60},[^\[\]()=]{1,60})([\[\]])"  # [1, 2[ in French
_POWER_OF_UNIT = r"(?:[cmkdn]?m|k?g|s|h|min|k?N|k?J|k?W|Pa|mol|K|A|V|C|L|ft|in|mi|yd)(?:\s*\^\s*\{?-?\d\}?)?"
_GOES_ON = re.compile(r",\s{0,8}\.{3,}")
_ENDLESS = re.compile(r"(?<![\d.,])(\d*\.\d{1,40})\s?(?:\.{3,}|\\[lc]?dots(?![A-Za-z])\s?)(?!\s?\d)")
_MODULO = r"(?:\\[bp]?mod\s*|(?<![A-Za-z\\])mod\s+)\{?(\d{1,9}|[a-z](?![a-z]))\}?"

_STEPS: list[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]] = [
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ⁿⁱ]+", lambda m: f"^{{{m[0].translate(_RAISED)}}}"),
        (r"[₀₁₂₃₄₅₆₇₈₉₊₋₍₎]+", lambda m: f"_{{{m[0].translate(_LOWERED)}}}"),
        (r"([√∛∜])\s*(\d+(?:\.\d+)?|[A-Za-z](?![A-Za-z])|(?=\())?", lambda m: _ROOTS[m[1]] + (f"{{{m[2]}}}" if m[2] else " ")),
        (r"\\(?:cr|newline|tabularnewline)(?![A-Za-z])", r"\\\\ "),
        (r"\\\\\s*\[[^\[\]]{0,20}\]", r"\\\\ "),  # the space between rows of a matrix
        (r"(?<=[bBpvV]matrix)\*\}(?:\[[lcr]\])?", "}"),
        (r"\\begin\{(aligned|align\*?|split|gathered|gather\*?|equation\*?)\}(.{0,1000}?)\\end\{\1\}", lambda m: _rows(m[2])),
        (r"\{([^{}]*)\\over(?![A-Za-z])([^{}]*)\}", r"\\frac{\1}{\2}"),
        (r"\{([^{}]*)\\choose(?![A-Za-z])([^{}]*)\}", r"\\binom{\1}{\2}"),
        (r"(?:\{\s*\})?[_^]\{?(\d{1,9})\}?\s*C_\{?(\d{1,9})\}?", r"\\binom{\1}{\2}"),
        (r"\\(?:hspace|vspace|hskip|kern|label|tag|phantom|hphantom|vphantom)\*?\s*(?:\{[^{}]*\}|.)", " "),
        (r"\\(?:textcolor|colorbox|color)\s*(?:\[[^\[\]]*\])?\{[^{}]*\}", " "),
        (rf"\\(?:{_BIG})\s*(?![A-Za-z])\.", ""),
        (rf"\\(?:{_BIG}|{_SIZES}|{_OLD_FONTS})(?![A-Za-z])\s*", ""),
        (r"\\(?:quad|qquad|enspace|thinspace|space|hfill)(?![A-Za-z])", " "),
        (r"\\(?:checkmark|blacksquare|square|qed|qedsymbol|Box)(?![A-Za-z])", " "),
        (r"^[\s$]*(?:=|\\(?:Rightarrow|implies|therefore|Longrightarrow|sim)(?![A-Za-z])|[⇒∴→])\s*(?=.)", ""),
        (r"\bUS\s+(?=dollars?\b)", ""),
        (r"(?<=[\da-z])\s+an?\s+(?=(?:day|week|month|year|hour|minute|second|night|piece|person|pound|gallon|mile)\b)", " per "),
        (rf"(?<![A-Za-z\\])(?!(?:{_FUNCTION_NAMES})\()([a-z]{{3,}})\(e?s\)", r"\1s"),
        (r"([(\[][^()\[\]]{1,80},[^()\[\]]{1,80}[)\]])\s*U(?=\s*[(\[])", r"\1\\cup "),
        (
            _TURNED,
            lambda m: m[0] if m[2] + m[4] == "[]" else f"{m[1]}{'[' if m[2] == '[' else '('}{m[3]}{']' if m[4] == ']' else ')'}",
        ),
        (r"\b(sq|cu)\.\s+(?=[a-z])", r"\1 "),
        (r"(?<![A-Za-z\\])(?:positive |plus )?[Ii]nfinity(?![A-Za-z])", r"\\infty "),
        (r"(?<![A-Za-z\\])(?:negative|minus) (?=\\infty)", "-"),
        (r"(?<!\\)\\!", ""),
        (r"(?<!\\)\\[,;: ]", " "),
        (rf"(?<=[\d}}])\s*\\(?:mathrm|text)\s*\{{(?:{_POWER_OF_UNIT}(?:[\s/]|\\cdot)*){{1,6}}\}}", r" \\text{unit}"),  # m s^{-2}
        (rf"\(\s*{_MODULO}\s*\)|{_MODULO}", lambda m: f" \\mod {m[1] or m[2]}"),
        (r"\b(?:US|CAD?|AUD?|HK|NZ|R)\\?\$(?=\s*[-.\d])|[€£¥₹₩₽￥￡￦¢￠₺₴₫₪₱]", ""),
        (r"\\%", "%"),
        (r"\\\$|(?<!\\)\$|(?<!\\)\\[()\[\]]", ""),  # mathematics begins and ends; currency
        (r"\{,\}(?=\d{3})", ""),
        (r"\{([:;])\}", r"\1"),
        (r"\\([A-Za-z]+)\s*(?=([A-Za-z])?)", lambda m: _renamed(m[1], m[2])),
        (r"<=|=<", r"\\le "),
        (r">=|=>", r"\\ge "),
        (r"(?<=[A-Za-z])\s*!=", r"\\ne "),
        (r"\\not\s*=", r"\\ne "),
        (r"\s*\^\s*(?:\{\s*\\degree\s*((?:\\(?:text|mathrm)\s*\{[CF]\}|[CF])?)\s*\}|\\degree(?![A-Za-z])\s*)", r"\\degree \1"),
        (r"(?<=[\w)}])\s*\*\*(?=\s*[-\d({])", "^"),
        (r"\*\*", ""),
    )
]
_WRAPPED = re.compile(rf"\\(?:{_TEXT})(?![A-Za-z])\s*(?:\{{([^{{}}]*)\}}|([A-Za-z0-9]))")
_HOLDING = re.compile(rf"\\(?:{_HELD})(?![A-Za-z])\s*")
_SPACES = re.compile(r"\s+")
_SAYS = r"is|are|equals|est|es|ist|è|é|är|是|为|為|は|은|는"
LABEL = re.compile(
    r"[\s:：*_]*(?:(?:so|thus|therefore|hence|finally),?\s+)?(?:the\s+|my\s+|our\s+|la\s+|die\s+|a\s+)?(?:(?:final|correct|total|최종)\s+)?"
    r"(?:(?P<name>(?:answer|result|ответ|итого|respuesta|réponse|antwort|resposta|risposta|cevap|jawaban|đáp án|उत्तर|"
    rf"الجواب|الإجابة)(?!\w)|答案|答え|答|정답|답|(?P<quantity>total|sum|value)\b)(?P<sign>\s*(?:(?:{_SAYS})(?![A-Za-z])\s*[:：=]*|[:：=]+))?)?[\s:：=*_]*",
    re.IGNORECASE,
)
"""What an answer is called before it is said."""
_CONNECTS = re.compile(r"[\s,;]*(?:and|or|[或和与及])[\s,;]*|[\s,;]+")
_INSIDE_IS_FORMULA = re.compile(r"[\d^_=+*/<>()\\]|^.{0,2}$|^\s*$")
_LIST_IN_TEXT = re.compile(r",|;|\b(?:and|or|base)\b")
_FOLDED = {"yes", "no", "true", "false", "even", "odd", "none", "both", "zero", "one", "two"}


@lru_cache(maxsize=32768)
def spelled(text: str) -> str:
    r"""The text in the one spelling that numbers, formulas and lists are read in. Applied twice, it changes nothing more.

    >>> spelled("$\\left( \\dfrac{1}{2} ,\\;x² \\right)$."), spelled("– 3 √5"), spelled("{\\color{red} 4} \\mbox{ cm}")
    ('( \\frac{1}{2} , x^{2} )', '- 3 \\sqrt{5}', '{ 4} \\text{cm}')
    """
    text = text.translate(_CHARACTERS)
    if "..." in text or "dots" in text:
        text = _ENDLESS.sub(_repeating, _GOES_ON.sub(", \\\\dots ", text))
    text = trimmed(text)
    if "\\\\" in text and "\\begin" not in text:
        text = re.sub(r"\\\\(?=[A-Za-z])", r"\\", text)  # models that saw JSON write \\frac
    for pattern, replacement in _STEPS:
        text = pattern.sub(replacement, text)
    for _ in range(4):
        before, text = text, _HOLDING.sub(" ", _WRAPPED.sub(_unwrapped, text))
        if text == before:
            break
    return trimmed(_SPACES.sub(" ", text))


_AT_END = re.compile(r"(?<!\\)[.,;:?]$|(?<!\\)\\(?:\\\\)*$|(?:\\\\)+$")


def trimmed(text: str) -> str:
    """Without the marks that end a sentence, emphasise or quote."""
    before = None
    while text != before:
        before, text = text, _AT_END.sub("", text.strip().strip("*`").lstrip(",;:")).strip()
        if len(text) > 2 and text[0] == text[-1] and text[0] in "\"'":
            text = text[1:-1]
    return text


def _repeating(match: re.Match[str]) -> str:
    r"""0.333… as 0.\overline{3}; of 3.14… that it goes on; 3.14159… has places enough to be taken for the number rounded."""
    found = re.fullmatch(r"(\d*\.\d*?)(\d{1,12}?)\2+", match[1])
    if found and found[2].strip("0"):
        return f"{found[1]}\\overline{{{found[2]}}}"
    places = match[1].partition(".")[2]
    return match[1] if len(places) >= 6 or not places.strip("0") else f"{match[1]}\\dots "


def _rows(text: str) -> str:
    """What is set in several lines, in one: a line that begins with its sign goes on, another is the next of a list."""
    rows = [row.replace("&", " ").strip() for row in re.split(r"\\\\\\\\", text) if row.strip()]
    return re.sub(r", (?=[=<>])", " ", ", ".join(rows))


def _renamed(name: str, letter: str | None) -> str:
    """The one name of a command; `letter` stands behind it, as in `\\frac y2`, and must not become a part of the name."""
    if name in _OTHER_SIGNS:
        return _OTHER_SIGNS[name]
    name = _OTHER_NAMES.get(name, name)
    return (
        f"\\{name} "
        if letter or (name[-1].isalpha() and not name.startswith(("frac", "sqrt", "text", "math", "binom", "overline")))
        else f"\\{name}"
    )


def _unwrapped(match: re.Match[str]) -> str:
    r"""Text in a formula: a list or a formula in words as it is, `\mathbb{R}` as `\R`, and words as `\text{words}`."""
    inside = trimmed(match[1] if match[1] is not None else match[2])
    command = match[0].lstrip("\\")
    if re.fullmatch(r"\s*[:/=+]\s*", match[1] or ""):
        return str(match[1])
    if choice := re.fullmatch(r"\s*\(?([A-J])\s*\)?[.:]\s*", match[1] or ""):
        return f" ({choice[1]}) "
    if command.startswith("mathbb") and inside in _KINDS_OF_NUMBERS:
        return _KINDS_OF_NUMBERS[inside]
    if re.fullmatch(_FUNCTION_NAMES, inside) and not (
        inside in _NO_FUNCTION and _NO_FUNCTION[inside].match(match.string, match.end())
    ):
        return f"\\{inside} "
    if command.startswith(("mathbf", "mathit", "mathcal", "mathbb", "mathnormal", "boldsymbol", "bm")) and len(inside) == 1:
        return inside
    if command.startswith(("mathrm", "operatorname")) and inside in ("i", "e", "d", "j"):
        return inside
    whole = match[1] or ""
    if _CONNECTS.fullmatch(whole) and whole.strip():
        return f" {_SPACES.sub(' ', whole).strip()} "
    if not inside:
        return " "
    if command.startswith("text") and match[0] == f"\\text{{{inside}}}" and not _opens(inside):
        return match[0]
    return f" {inside} " if _opens(inside) else f" \\text{{{inside}}}"


def _opens(inside: str) -> bool:
    """Whether what stands in a text command is to be read like what stands outside: it holds a number, a formula or a list."""
    return bool(re.search(r"[\d^_=+*<>()\\\[\]%]", inside) or _LIST_IN_TEXT.search(inside))


_TEXT_COMMAND = re.compile(r"\\text\{([^{}]*)\}")
_TRIGONOMETRY = re.compile(r"(?<![A-Za-z])(?:sin|cos|tan|cot|sec|csc)(?![A-Za-z])")
_LOOSE = re.compile(r"(?<![A-Za-z0-9])\s+|\s+(?![A-Za-z0-9])|(?<=\d)\s+(?=[A-Za-z])|(?<=[A-Za-z])\s+(?=\d)")
_ONE_TOKEN = re.compile(r"(?<![A-Za-z\]}])\{(\w)\}|(?<=[_^])\{(\w)\}")
_SHORT_ARGUMENTS = re.compile(r"\\frac\s*(?:\{([^{}]*)\}|(\d|[A-Za-z]|\\[A-Za-z]+))\s*(?:\{([^{}]*)\}|(\d|[A-Za-z]|\\[A-Za-z]+))")


def in_braces(text: str) -> str:
    r"""A half as `\frac{1}{2}`, however short it is written."""
    return _SHORT_ARGUMENTS.sub(lambda m: f"\\frac{{{m[1] or m[2] or ''}}}{{{m[3] or m[4] or ''}}}", text)


@lru_cache(maxsize=32768)
def look(text: str) -> str:
    r"""A spelled text without what is left of layout: two answers with the same look are the same answer.

    >>> look(spelled("\\text{(E)}")), look(spelled("\\frac12 x")) == look(spelled("\\frac{1}{2}x")), look("Monday"), look("R + r")
    ('(E)', True, 'monday', 'R+r')
    """
    text = _TEXT_COMMAND.sub(r" \1 ", text)
    if not _TRIGONOMETRY.search(text):  # \sin 30 is of radians
        text = re.sub(r"\\degree\s*", "", text)
    text = re.sub(r"(?<=\d)\s*\^?\{?\s*(?:st|nd|rd|th)\b\s*\}?", "", text)
    text = re.sub(r"(?<=\d)\s*([AaPp])\.?\s?[Mm]\b\.?(?![/\w])", lambda m: f"{m[1].lower()}m", text)  # 12:30 p.m.
    text = in_braces(text)
    text = _ONE_TOKEN.sub(lambda m: m[1] or m[2], text)
    text = _LOOSE.sub("", text.strip())
    return re.sub(r"(?<!\\)\b[^\W\d_]{2,}\b", lambda m: folded(m[0]), text)


def folded(word: str) -> str:
    """A word without its case; letters of a formula keep theirs: `Monday` and `MONDAY` are one, `AB` and `ab` are two.

    >>> folded("Monday"), folded("MONDAY"), folded("Yes"), folded("AB"), folded("R"), folded("Ab")
    ('monday', 'monday', 'yes', 'AB', 'R', 'Ab')
    """
    plain = word.casefold()
    if len(word) >= 5 or not word.isascii() or plain in _FOLDED or (len(word) >= 3 and word[1:].islower()):
        return plain
    return word
