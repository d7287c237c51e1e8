r"""Formulas as trees: sums, products, powers, roots, factorials, the usual functions, letters with subscripts.

Pure text work in linear time: nothing a model wrote is ever evaluated. `exact.py` works out the trees that are rational numbers,
`algebra.py` compares the others.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache
from typing import Any

MAX_DEPTH = 60
MAX_CHAIN = 20
"""Of signs behind one another, as in a/b/c or 3!!."""

Tree = tuple[Any, ...]
"""("number", Fraction), ("letter", name), or an operation and its operands: + * / ^ neg ! % degree abs sqrt root log sin …"""

FUNCTIONS = (
    *("sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh", "asinh"),
    *("ln", "log", "exp", "gcd", "lcm", "max", "min"),
)
_TRIGONOMETRIC = FUNCTIONS[:6]
_GREEK = (
    "alpha|beta|gamma|delta|epsilon|zeta|eta|theta|iota|kappa|lambda|mu|nu|xi|rho|sigma|tau|upsilon|phi|chi|psi|omega|"
    "Gamma|Delta|Theta|Lambda|Xi|Pi|Sigma|Phi|Psi|Omega|ell|hbar"
)
_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+(?:\.\d*)?|\.\d+)|(?P<command>\\[A-Za-z]+)|"
    rf"(?P<word>(?:{'|'.join(sorted(FUNCTIONS, key=len, reverse=True))}|sqrt|pi|infty|infinity)(?![A-Za-z]))|"
    r"(?P<letter>[A-Za-z])|(?P<sign>[-+*/^!%()\[\]{}|_,'])|(?P<bad>\S))"
)
_THOUSANDS = re.compile(r"(?<![\d.,])\d{1,3}(?:,\d{3})+(?![\d,])")
_LONG_RUN = re.compile(r"[A-Za-z]{4,}")
_PROSE = re.compile(
    r"(?<![A-Za-z\\])(?:and|or|to|is|if|for|not|the|of|so|we|it|in|on|at|as|an|be|by|no|my|all|are|was|has|per)(?![A-Za-z])"
)


class NoFormula(ValueError):
    """The text is none that we read."""


@lru_cache(maxsize=16384)
def tree(text: str) -> Tree | None:
    """The tree of a spelled text; None where it is no formula.

    >>> tree("2x+1")
    ('+', ('*', ('number', Fraction(2, 1)), ('letter', 'x')), ('number', Fraction(1, 1)))
    >>> tree("two apples"), tree("3,4")
    (None, None)
    """
    if "\\text" in text or _is_prose(text):
        return None
    try:
        return _Reader(_THOUSANDS.sub(lambda m: m[0].replace(",", ""), text)).whole()
    except NoFormula:
        return None


_NO_PROSE = re.compile(rf"\\[A-Za-z]+|(?<![A-Za-z])(?:{'|'.join(FUNCTIONS)}|sqrt|infinity|infty)(?![A-Za-z])")


def _is_prose(text: str) -> bool:
    """Whether letters in it make words rather than a product such as abcd."""
    rest = _NO_PROSE.sub(" ", text)
    if _PROSE.search(rest):
        return True
    return any(len(run) > 6 or list(run) != sorted(set(run)) for run in _LONG_RUN.findall(rest))


class _Reader:
    def __init__(self, text: str) -> None:
        self.tokens: list[tuple[str, str]] = []
        for match in _TOKEN.finditer(text):
            kind = str(match.lastgroup)
            word = match[kind]
            if kind == "bad":
                raise NoFormula(word)
            self.tokens.append(
                ("command", "\\infty") if word == "infinity" else ("command", f"\\{word}") if kind == "word" else (kind, word)
            )
        self.at = 0
        self.depth = 0

    def peek(self) -> str:
        return self.tokens[self.at][1] if self.at < len(self.tokens) else ""

    def kind(self) -> str:
        return self.tokens[self.at][0] if self.at < len(self.tokens) else "end"

    def take(self) -> str:
        word = self.peek()
        self.at += 1
        return word

    def expect(self, sign: str) -> None:
        if self.take() != sign:
            raise NoFormula(sign)

    def whole(self) -> Tree:
        found = self.sum()
        if self.kind() != "end":
            raise NoFormula(self.peek())
        return found

    def sum(self) -> Tree:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise NoFormula("too deep")
        terms = [self.product()]
        while self.peek() in ("+", "-"):
            negative = self.take() == "-"
            term = self.product()
            terms.append(("neg", term) if negative else term)
        self.depth -= 1
        return ("+", *terms) if len(terms) > 1 else terms[0]

    def product(self, *, of_function: bool = False) -> Tree:
        """Factors with signs or side by side, from left to right: 1/2x is a half of x. `of_function`: as far as sin x goes."""
        factors = [self.signed()]
        n_divided = 0
        while True:
            sign = self.peek()
            if sign in ("*", "\\cdot", "\\times") and not of_function:
                self.take()
                factors.append(self.signed())
            elif sign in ("/", "\\div"):
                self.take()
                n_divided += 1
                if n_divided > MAX_CHAIN:
                    raise NoFormula("too long")
                divisor = self.power() if of_function else self.signed()
                factors = [("/", _times(factors), divisor)]
            elif self.begins_factor(of_function):
                self.beside(factors)
            else:
                return _times(factors)

    def beside(self, factors: list[Tree]) -> None:
        """Take the next factor of a product without a sign; a whole number and a proper fraction are a mixed number."""
        after_number = self.tokens[self.at - 1][0] == "number"
        if after_number and self.kind() == "number":
            raise NoFormula("two numbers side by side")
        mixed = after_number and self.peek() == "\\frac" and factors[-1][0] == "number" and factors[-1][1].denominator == 1
        factor = self.power()
        if mixed and factor[0] == "/" and factor[1][0] == factor[2][0] == "number" and 0 < factor[1][1] < factor[2][1]:
            factors[-1] = ("+", factors[-1], factor)
        else:
            factors.append(factor)

    def begins_factor(self, of_function: bool) -> bool:
        kind, word = self.kind(), self.peek()
        if kind == "command":
            name = word[1:]
            if name in FUNCTIONS:
                return not of_function
            return (
                name in ("frac", "sqrt", "binom", "pi", "infty", "iunit", "lfloor", "lceil", "overline")
                or re.fullmatch(_GREEK, name) is not None
            )
        return kind in ("number", "letter") or word in ("(", "{", "[") or (word == "|" and self.depth == 1 and self.bars_ahead())

    def bars_ahead(self) -> bool:
        return sum(word == "|" for _, word in self.tokens[self.at :]) % 2 == 0

    def signed(self) -> Tree:
        negative = False
        while self.peek() in ("-", "+"):
            negative ^= self.take() == "-"
        found = self.power()
        return ("neg", found) if negative else found

    def power(self) -> Tree:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise NoFormula("too deep")
        found = self.base()
        for _ in range(MAX_CHAIN):
            sign = self.peek()
            if sign == "^":
                self.take()
                found = ("^", found, self.exponent())
            elif sign == "_" and found[0] == "^" and found[1][0] == "letter" and "_" not in found[1][1]:  # x^2_1 is x_1^2
                self.take()
                found = ("^", ("letter", f"{found[1][1]}_{self.subscript()}"), found[2])
            elif sign in ("!", "%", "\\degree"):
                found = (self.take().lstrip("\\"), found)
            else:
                self.depth -= 1
                return found
        raise NoFormula("too long")

    def exponent(self) -> Tree:
        """From right to left where there is another on top: 2^3^2 is 2^9."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise NoFormula("too deep")
        found = self.argument()
        if self.peek() == "^":
            self.take()
            found = ("^", found, self.exponent())
        self.depth -= 1
        return found

    def argument(self) -> Tree:
        """What TeX takes as an argument: a group or one token. A sign and a number of digits are meant as they look."""
        if self.peek() == "{":
            return self.group("{", "}")
        if self.peek() in ("-", "+"):
            return self.signed_argument()
        if self.peek() == "(":
            return self.group("(", ")")
        return self.base()

    def signed_argument(self) -> Tree:
        negative = self.take() == "-"
        found = self.base()
        return ("neg", found) if negative else found

    def group(self, opening: str, closing: str) -> Tree:
        self.expect(opening)
        found = self.sum()
        self.expect(closing)
        return found

    def digit_or_argument(self) -> Tree:
        r"""An argument of \frac: `\frac12` is one half."""
        if self.kind() == "number" and self.peek().isdigit() and len(self.peek()) > 1:
            digits = self.peek()
            self.tokens[self.at : self.at + 1] = [("number", digits[0]), ("number", digits[1:])]
        return self.argument()

    def base(self) -> Tree:
        kind, word = self.kind(), self.take()
        if kind == "number":
            return ("number", Fraction(f"{word}0" if word.endswith(".") else word))
        if kind == "letter":
            return self.letter(word)
        if word in ("(", "{", "["):
            self.at -= 1
            return self.group(word, {"(": ")", "{": "}", "[": "]"}[word])
        if word == "|":
            found = self.sum()
            self.expect("|")
            return ("abs", found)
        if kind == "command":
            return self.command(word[1:])
        raise NoFormula(word)

    def letter(self, name: str) -> Tree:
        if self.peek() == "_":
            self.take()
            name += "_" + self.subscript()
        while self.peek() == "'":
            name += self.take()
        return ("letter", name)

    def subscript(self) -> str:
        if self.peek() != "{":
            return self.take()
        self.take()
        words = []
        while (word := self.take()) != "}":
            if not word or word == "{":
                raise NoFormula("subscript")
            words.append(word)
        return "".join(words)

    def command(self, name: str) -> Tree:
        if name == "frac":
            above = self.digit_or_argument()
            return ("/", above, self.digit_or_argument())
        if name == "binom":
            above = self.digit_or_argument()
            return ("binom", above, self.digit_or_argument())
        if name == "sqrt":
            if self.peek() == "[":
                return ("root", *reversed((self.group("[", "]"), self.argument())))
            return ("sqrt", self.argument())
        if name in ("pi", "infty", "iunit"):
            return ("letter", "i") if name == "iunit" else ("constant", name)
        if name in ("lfloor", "lceil"):
            found = self.sum()
            self.expect("\\r" + name[1:])
            return ("floor" if name == "lfloor" else "ceil", found)
        if re.fullmatch(_GREEK, name):
            return self.letter(f"\\{name}")
        if name == "overline":  # of a segment, or the conjugate of a letter
            return ("conjugate", self.argument())
        if name in FUNCTIONS:
            return self.function(name)
        raise NoFormula(name)

    def function(self, name: str) -> Tree:
        base, exponent = None, None
        for _ in range(2):
            if self.peek() == "_" and name == "log":
                self.take()
                base = self.argument()
            elif self.peek() == "^":
                self.take()
                exponent = self.argument()
        if name in ("gcd", "lcm", "max", "min"):
            return self.of_several(name)
        inside = (
            self.group("(", ")")
            if self.peek() == "("
            else self.group("{", "}")
            if self.peek() == "{"
            else self.product(of_function=True)
        )
        if exponent == ("neg", ("number", Fraction(1))) and name in ("sin", "cos", "tan"):
            return (f"arc{name}", inside)
        found = ("log", inside, base or ("number", Fraction(10))) if name == "log" else (name, inside)
        return found if exponent is None else ("^", found, exponent)

    def of_several(self, name: str) -> Tree:
        self.expect("(")
        items = [self.sum()]
        while self.peek() == ",":
            self.take()
            items.append(self.sum())
        self.expect(")")
        return (name, *items)


def _times(factors: list[Tree]) -> Tree:
    return ("*", *factors) if len(factors) > 1 else factors[0]


def letters(of: Tree) -> frozenset[str]:
    """The names that stand for any number: not e and i, which both sides of a comparison read as the constants."""
    if of[0] == "letter":
        return frozenset() if of[1] in ("e", "i") else frozenset([of[1]])
    return frozenset().union(*(letters(part) for part in of[1:] if isinstance(part, tuple)))
