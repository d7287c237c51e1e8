"""Generated word problems in plain English, one or two steps long, and chain sums: for a small pretrained model."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from rise.tasks.generated import GeneratedTask, any_of, span, whole, words

INSTRUCTIONS = (
    "Solve the problem step by step, writing each calculation on its own line. "
    'Then end with a last line of "#### " followed by the answer as a single number.'
)

_NAMES = words(
    "Ada Ahmed Akira Amara Anders Bela Bianca Carlos Chloe Dalia Dmitri Elena Emil Farah Felix Grace Hugo Imani Ingrid Jamal "
    "Jonas Kavya Lars Leila Lucas Maya Mei Nadia Noah Olga Omar Paula Priya Rafael Rosa Samir Sofia Tariq Tessa Victor Yuki Zara"
)
_THINGS = words(
    "apples badges balloons beads books bottles buttons cards coins cookies cups eggs flowers keys lemons marbles "
    "muffins notebooks oranges pencils plums postcards ribbons rocks seeds shells stamps stickers tickets toys"
)
_HOLDERS = words("bags baskets boxes crates drawers jars packs shelves trays")
_DRESS = any_of(_NAMES, _THINGS, _HOLDERS)

# (question, operators, one sentence a step). The first operator takes a and b to c; the second takes c and d to e, or a and c
# where it is written "a+". A sentence holds its whole calculation, so that a reader, and a model, sees every operand.
_ONE_STEP = [
    ("{A} has {a} {t} and buys {b} more. How many {t} does {A} have now?", "+", "{A} now has {a} + {b} = {c} {t}."),
    (
        "{A} found {a} {t} and {B} found {b}. How many {t} did they find together?",
        "+",
        "Together they found {a} + {b} = {c} {t}.",
    ),
    ("There are {a} {t} on one table and {b} on another. How many {t} is that?", "+", "There are {a} + {b} = {c} {t}."),
    ("{A} had {a} {t} and gave {b} of them to {B}. How many {t} does {A} have left?", "-", "{A} has {a} - {b} = {c} {t} left."),
    ("A shop had {a} {t} and sold {b}. How many {t} are left in the shop?", "-", "There are {a} - {b} = {c} {t} left."),
    ("{A} has {a} {t} and {B} has {b}. How many more {t} does {A} have than {B}?", "-", "{A} has {a} - {b} = {c} more {t}."),
    ("{A} fills {a} {h} with {b} {t} each. How many {t} does {A} use?", "*", "{A} uses {a} * {b} = {c} {t}."),
    ("Each ticket costs {b} dollars. How much does {A} pay for {a} tickets?", "*", "{A} pays {a} * {b} = {c} dollars."),
    ("{A} reads {b} pages a day. How many pages does {A} read in {a} days?", "*", "{A} reads {a} * {b} = {c} pages."),
    (
        "{A} shares {a} {t} equally among {b} friends. How many {t} does each friend get?",
        "/",
        "Each friend gets {a} / {b} = {c} {t}.",
    ),
    ("{A} packs {a} {t} into {b} equal {h}. How many {t} does each of them hold?", "/", "Each holds {a} / {b} = {c} {t}."),
]
_TWO_STEPS = [
    (
        "{A} has {a} {t}. {A} buys {b} more and then gives {d} to {B}. How many {t} does {A} have left?",
        ("+", "-"),
        ("After buying, {A} has {a} + {b} = {c} {t}.", "After giving, {A} has {c} - {d} = {e} {t}."),
    ),
    (
        "{A} had {a} {t}, lost {b} of them and then found {d} others. How many {t} does {A} have now?",
        ("-", "+"),
        ("After losing some, {A} has {a} - {b} = {c} {t}.", "After finding others, {A} has {c} + {d} = {e} {t}."),
    ),
    (
        "{A} has {a} {h} with {b} {t} in each, and {d} loose {t}. How many {t} does {A} have in all?",
        ("*", "+"),
        ("In the {h} there are {a} * {b} = {c} {t}.", "In all there are {c} + {d} = {e} {t}."),
    ),
    (
        "A shop gets {a} {h} of {b} {t} and sells {d} {t}. How many {t} are left?",
        ("*", "-"),
        ("The shop gets {a} * {b} = {c} {t}.", "There are {c} - {d} = {e} {t} left."),
    ),
    (
        "{B} has {a} {t}. {A} has {b} more than {B}. How many {t} do they have together?",
        ("+", "a+"),
        ("{A} has {a} + {b} = {c} {t}.", "Together they have {a} + {c} = {e} {t}."),
    ),
    (
        "{B} has {a} {t}. {A} has {b} fewer than {B}. How many {t} do they have together?",
        ("-", "a+"),
        ("{A} has {a} - {b} = {c} {t}.", "Together they have {a} + {c} = {e} {t}."),
    ),
    (
        "{A} has {a} {t} and {B} has {b}. They share all of them equally among {d} children. How many {t} does each child get?",
        ("+", "/"),
        ("Together they have {a} + {b} = {c} {t}.", "Each child gets {c} / {d} = {e} {t}."),
    ),
    (
        "{A} splits {a} {t} equally into {b} {h} and then adds {d} {t} to the first. How many {t} are in the first now?",
        ("/", "+"),
        ("Each gets {a} / {b} = {c} {t}.", "The first now has {c} + {d} = {e} {t}."),
    ),
    (
        "{A} earns {a} dollars in the morning and {b} dollars in the afternoon, every day. How much does {A} earn in {d} days?",
        ("+", "*"),
        ("In one day {A} earns {a} + {b} = {c} dollars.", "In {d} days {A} earns {c} * {d} = {e} dollars."),
    ),
    (
        "{A} buys {a} notebooks at {b} dollars each and pays with {d} dollars too much. How many dollars does {A} hand over?",
        ("*", "+"),
        ("The notebooks cost {a} * {b} = {c} dollars.", "{A} hands over {c} + {d} = {e} dollars."),
    ),
]
_FEW = 12
"""Largest number of bags, friends or days."""


class WordProblems(GeneratedTask):
    """Kinds: `word` (a story of one or two steps) and `chain` (What is 12 + 35 - 8?). Solutions end with `#### N`."""

    name = "word-problems"

    def __init__(
        self,
        *,
        kinds: Mapping[str, float] | None = None,
        steps: int | Sequence[int] = (1, 2),
        max_operand: int = 50,
        chain_terms: int | Sequence[int] = (2, 4),
        instructions: str = INSTRUCTIONS,
        seed: int = 0,
    ) -> None:
        """`steps` is 1, 2 or the range; `max_operand` bounds every number a question states; `kinds` maps kind to share."""
        super().__init__(kinds or {"word": 0.75, "chain": 0.25}, ("word", "chain"), seed)
        self.steps = span("steps", steps, 1, 2)
        self.max_operand = whole("max_operand", max_operand, 4, 10**9)
        self.chain_terms = span("chain_terms", chain_terms, 2, 12)
        self.instructions = instructions

    def skeleton(self, question: str) -> str:
        """
        >>> WordProblems().skeleton("Ada has 5 apples and buys 3 more. How many apples does Ada have now?")
        '_ has 5 _ and buys 3 more. How many _ does _ have now?'
        """
        return _DRESS.sub("_", question)

    def draw(self, kind: str, rng: random.Random) -> tuple[str, str, str]:
        question, steps, answer = self._chain(rng) if kind == "chain" else self._word(rng)
        return question, str(answer), "\n".join([*steps, f"#### {answer}"])

    def _chain(self, rng: random.Random) -> tuple[str, list[str], int]:
        value = rng.randint(2, self.max_operand)
        question, steps = str(value), []
        for _ in range(rng.randint(*self.chain_terms) - 1):
            operator = rng.choice("+-") if value > 1 else "+"
            operand = rng.randint(1, self.max_operand if operator == "+" else min(value, self.max_operand))
            result = value + operand if operator == "+" else value - operand
            question += f" {operator} {operand}"
            steps.append(f"{value} {operator} {operand} = {result}.")
            value = result
        return f"What is {question}?", steps, value

    def _word(self, rng: random.Random) -> tuple[str, list[str], int]:
        one, other = rng.sample(_NAMES, 2)
        words = {"A": one, "B": other, "t": rng.choice(_THINGS), "h": rng.choice(_HOLDERS)}
        if rng.randint(*self.steps) == 1:
            question, operator, sentence = rng.choice(_ONE_STEP)
            a, b, c = self._numbers(operator, rng)
            numbers = {"a": a, "b": b, "c": c}
            return question.format(**words, **numbers), [sentence.format(**words, **numbers)], c
        while True:
            question, (first, second), sentences = rng.choice(_TWO_STEPS)
            a, b, c = self._numbers(first, rng)
            d, e = self._then(second, a, c, rng)
            if d:
                numbers = {"a": a, "b": b, "c": c, "d": d, "e": e}
                return question.format(**words, **numbers), [s.format(**words, **numbers) for s in sentences], e

    def _numbers(self, operator: str, rng: random.Random) -> tuple[int, int, int]:
        """a, b and a ∘ b."""
        few = min(_FEW, self.max_operand)
        match operator:
            case "+":
                a, b = rng.randint(2, self.max_operand), rng.randint(2, self.max_operand)
                return a, b, a + b
            case "-":
                a = rng.randint(4, self.max_operand)
                b = rng.randint(2, a - 2)  # leaves at least two: "1 plums" would be bad English
                return a, b, a - b
            case "*":
                a, b = rng.randint(2, few), rng.randint(2, self.max_operand)
                return a, b, a * b
        b = rng.randint(2, min(few, self.max_operand // 2))
        c = rng.randint(2, self.max_operand // b)
        return b * c, b, c

    def _then(self, operator: str, a: int, c: int, rng: random.Random) -> tuple[int, int]:
        """d and the second step's result; d = 0 where no d fits, and the caller draws again."""
        few = min(_FEW, self.max_operand)
        match operator:
            case "a+":
                return 1, a + c  # d is not used
            case "+":
                d = rng.randint(2, self.max_operand)
                return d, c + d
            case "-":
                if c < 4:
                    return 0, 0
                d = rng.randint(2, min(c - 2, self.max_operand))
                return d, c - d
            case "*":
                d = rng.randint(2, few)
                return d, c * d
        divisors = [d for d in range(2, few + 1) if c % d == 0 and c > d]
        d = rng.choice(divisors) if divisors else 0
        return d, c // d if d else 0
