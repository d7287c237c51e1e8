"""Generated arithmetic with worked steps, in a notation so short that a model of a million parameters learns it in minutes."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from rise.errors import ConfigError
from rise.tasks.generated import GeneratedTask, any_of, span, whole, with_digits, words

_NAMES = words("ann ben cleo dan eva finn gus hana ivan jo kim leo mia ned ola pam quin rosa sam tess uma vic wes yara zoe")
_THINGS = words("apples books cards coins cups eggs figs hats jars kites lamps maps nuts pens pies rings shells socks toys vases")

_DRESS = any_of(_NAMES, _THINGS)


class Arithmetic(GeneratedTask):
    r"""Four kinds; each line of a solution is one step a child would write, the last one the answer.

    sum      4827+395+718      4827+395=5222 / 5222+718=5940 / ####5940
    product  347*68            347*8=2776 / 347*60=20820 / 2776+20820=23596 / ####23596
    chain    ((12+7)*3)-5      12+7=19 / 19*3=57 / 57-5=52 / ####52
    word     ann has 23 pens. …  23*4=92 / 23+92=115 / ####115
    """

    name = "arithmetic"

    def __init__(
        self,
        *,
        kinds: Mapping[str, float] | None = None,
        sum_terms: int | Sequence[int] = (3, 4),
        sum_digits: int | Sequence[int] = (2, 4),
        product_digits: Sequence[int] = (3, 2),
        chain_terms: int | Sequence[int] = (3, 4),
        chain_digits: int | Sequence[int] = (1, 2),
        word_digits: int | Sequence[int] = (1, 2),
        word_steps: int | Sequence[int] = (1, 2),
        seed: int = 0,
    ) -> None:
        """`kinds` maps kind to share (all four alike by default). `product_digits` are the digits of the left and the right
        factor; every other setting is a number or a range [least, most], both included."""
        super().__init__(kinds or dict.fromkeys(_DRAW, 1.0), _DRAW, seed)
        self.sum_terms = span("sum_terms", sum_terms, 2, 12)
        self.sum_digits = span("sum_digits", sum_digits, 1, 12)
        if not isinstance(product_digits, list | tuple) or len(product_digits) != 2:
            raise ConfigError(f"product_digits = {product_digits!r}; expected two numbers, the digits of each factor: [3, 2].")
        self.product_digits = tuple(whole("product_digits", digits, 1, 12) for digits in product_digits)
        self.chain_terms = span("chain_terms", chain_terms, 2, 12)
        self.chain_digits = span("chain_digits", chain_digits, 1, 6)
        self.word_digits = span("word_digits", word_digits, 1, 6)
        self.word_steps = span("word_steps", word_steps, 1, 2)

    def skeleton(self, question: str) -> str:
        """
        >>> Arithmetic().skeleton("ann has 5 pens and gets 3 more. how many now?")
        '_ has 5 _ and gets 3 more. how many now?'
        """
        return _DRESS.sub("_", question) if " " in question else question

    @property
    def alphabet(self) -> str:
        """Every character that questions, solutions and golds are written with, sorted: what a tokenizer must know."""
        characters = set("0123456789=\n#")
        for kind in self.kinds:
            characters |= set(_ALPHABETS[kind])
        return "".join(sorted(characters))

    def draw(self, kind: str, rng: random.Random) -> tuple[str, str, str]:
        question, steps, answer = _DRAW[kind](self, rng)
        return question, str(answer), "\n".join([*steps, f"####{answer}"])

    def _sum(self, rng: random.Random) -> tuple[str, list[str], int]:
        terms = [with_digits(self.sum_digits, rng) for _ in range(rng.randint(*self.sum_terms))]
        steps, total = _running_sum(terms)
        return "+".join(map(str, terms)), steps, total

    def _product(self, rng: random.Random) -> tuple[str, list[str], int]:
        left, right = (with_digits((n, n), rng) for n in self.product_digits)
        return f"{left}*{right}", product_steps(left, right), left * right

    def _chain(self, rng: random.Random) -> tuple[str, list[str], int]:
        value = with_digits(self.chain_digits, rng)
        question, steps = str(value), []
        for i in range(rng.randint(*self.chain_terms) - 1):
            operator = rng.choice("+-*")
            # Multiplying by one digit only, and never below zero, so that steps stay short and need no sign.
            operand = rng.randint(2, 9) if operator == "*" else with_digits(self.chain_digits, rng)
            if operator == "-" and operand > value:
                operator = "+"
            result = value + operand if operator == "+" else value - operand if operator == "-" else value * operand
            question = f"({question}){operator}{operand}" if i else f"{question}{operator}{operand}"
            steps.append(f"{value}{operator}{operand}={result}")
            value = result
        return question, steps, value

    def _word(self, rng: random.Random) -> tuple[str, list[str], int]:
        one, other = rng.sample(_NAMES, 2)
        thing = rng.choice(_THINGS)
        a, b = with_digits(self.word_digits, rng), with_digits(self.word_digits, rng)
        few = rng.randint(2, 9)
        if rng.randint(*self.word_steps) == 1:
            match rng.randrange(4):
                case 0:
                    return f"{one} has {a} {thing} and gets {b} more. how many now?", [f"{a}+{b}={a + b}"], a + b
                case 1:
                    a, b = max(a, b), min(a, b)
                    return f"{one} has {a} {thing} and loses {b}. how many are left?", [f"{a}-{b}={a - b}"], a - b
                case 2:
                    return f"{one} has {few} boxes of {a} {thing}. how many in all?", [f"{a}*{few}={a * few}"], a * few
                case _:
                    asked = f"{one} has {a} {thing}. {other} has {few} times as many. how many has {other}?"
                    return asked, [f"{a}*{few}={a * few}"], a * few
        match rng.randrange(4):
            case 0:
                asked = f"{one} has {a} {thing}. {other} has {few} times as many. how many in all?"
                return asked, [f"{a}*{few}={a * few}", f"{a}+{a * few}={a + a * few}"], a + a * few
            case 1:
                asked = f"{one} has {a} {thing}. {other} has {b} more. how many in all?"
                return asked, [f"{a}+{b}={a + b}", f"{a}+{a + b}={2 * a + b}"], 2 * a + b
            case 2:
                b = rng.randint(1, a * few)
                asked = f"{one} has {few} boxes of {a} {thing} and gives {other} {b}. how many are left?"
                return asked, [f"{a}*{few}={a * few}", f"{a * few}-{b}={a * few - b}"], a * few - b
            case _:
                asked = f"{one} has {few} boxes of {a} {thing} and finds {b} more. how many now?"
                return asked, [f"{a}*{few}={a * few}", f"{a * few}+{b}={a * few + b}"], a * few + b


_DRAW = {"sum": Arithmetic._sum, "product": Arithmetic._product, "chain": Arithmetic._chain, "word": Arithmetic._word}
_ALPHABETS = {"sum": "+", "product": "+*", "chain": "+-*()", "word": "+-* .?abcdefghijklmnopqrstuvwxyz"}


def product_steps(left: int, right: int) -> list[str]:
    """Long multiplication, one line a partial product from the lowest digit of `right`, then their running sum.

    >>> product_steps(347, 68)
    ['347*8=2776', '347*60=20820', '2776+20820=23596']
    >>> product_steps(47, 60)
    ['47*60=2820']
    """
    parts = [int(digit) * 10**place for place, digit in enumerate(reversed(str(right))) if digit != "0"]
    partial = [f"{left}*{part}={left * part}" for part in parts]
    return partial + _running_sum([left * part for part in parts])[0]


def _running_sum(terms: Sequence[int]) -> tuple[list[str], int]:
    steps, total = [], terms[0]
    for term in terms[1:]:
        steps.append(f"{total}+{term}={total + term}")
        total += term
    return steps, total
