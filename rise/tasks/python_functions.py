"""Small Python functions, asked for in words and judged by hidden tests: a task whose environment has something to say.

With `state.feedback = "rise.judges.python_functions:first_failure"` the model hears which test failed and how; with
`always-wrong` it hears what it always hears. The problems are made here, from a seed; nothing is taken from a benchmark.
"""

from __future__ import annotations

import random
import string
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from rise.judge import Judge
from rise.judges import make_judge
from rise.task import Problem
from rise.tasks.generated import GeneratedTask, span, whole

INSTRUCTIONS = "Write the Python function that is asked for, in one ```python block. Write no tests and print nothing."

_INDENT = "    "


class Spec(NamedTuple):
    """One function: what is asked, how it is written, what it does, and what it may be tried on."""

    question: str
    parameter: str
    body: list[str]
    run: Callable[[Any], Any]
    sample: Callable[[random.Random], Any]
    first: tuple[Any, ...] = ()
    """Arguments that are always tried, in front of the sampled ones."""


class PythonFunctions(GeneratedTask):
    """Five kinds; the level is the number of steps, conditions or unknowns.

    number      Write f(n), which returns 3 * n + 7. If n is odd, it returns n - 2 instead.
    list        Write f(xs) for a list xs of whole numbers: keep the even ones, multiply each by 3, and return the sum.
    text        Write f(s) for a text s: reverse it, drop every "e", and return its length.
    recurrence  Write f(n) for n = 0, 1, 2, …, where f(0) = 2, f(1) = 3 and f(n) = f(n-1) + 2 * f(n-2).
    examples    Write f(xs): the first, last, largest or smallest of xs. f([4, 7, 2, 9]) = 9.

    `examples` says too little on purpose: only a failing test tells the rest, so what feedback is worth shows there.
    """

    name = "python-functions"

    def __init__(
        self,
        *,
        kinds: Mapping[str, float] | None = None,
        levels: int | Sequence[int] = (1, 3),
        n_tests: int = 6,
        fences: bool = True,
        time_limit_s: float = 2.0,
        allow_unsandboxed: bool = False,
        instructions: str | None = INSTRUCTIONS,
        seed: int = 0,
    ) -> None:
        """`kinds` maps kind to share; `levels` is 1, 2, 3 or a range; `fences` puts worked solutions into a ```python block."""
        super().__init__(kinds or dict.fromkeys(_DRAW, 1.0), _DRAW, seed)
        self.levels = span("levels", levels, 1, 3)
        self.n_tests = whole("n_tests", n_tests, 2, 50)
        self.fences = fences
        self.instructions = instructions
        self._judge = make_judge("python-functions", time_limit_s=time_limit_s, allow_unsandboxed=allow_unsandboxed)

    @property
    def alphabet(self) -> str:
        """Printable ASCII and the line break: what a tokenizer of characters must know."""
        return "".join(sorted({*string.printable[:95], "\n"}))

    def judge(self) -> Judge:
        return self._judge

    def make(self, kind: str, rng: random.Random) -> Problem:
        level = rng.randint(*self.levels)
        while True:
            spec = _DRAW[kind](rng, level)
            tried = self._arguments(spec, rng)
            results = [spec.run(argument) for argument in tried]
            # What nearly always returns the same would be passed by a constant.
            if len({repr(result) for result in results}) >= min(3, self.n_tests):
                break
        gold = "\n".join(f"assert f({argument!r}) == {result!r}" for argument, result in zip(tried, results, strict=True))
        code = "\n".join([f"def f({spec.parameter}):", *(_INDENT + line for line in spec.body)])
        solution = f"```python\n{code}\n```" if self.fences else code
        return Problem(spec.question, gold, solution=solution, fields={"kind": kind, "level": level})

    def _arguments(self, spec: Spec, rng: random.Random) -> list[Any]:
        """Different ones, so that no test is another one again."""
        tried = list(spec.first[: self.n_tests])
        for _ in range(100 * self.n_tests):
            if len(tried) == self.n_tests:
                break
            argument = spec.sample(rng)
            if argument not in tried:
                tried.append(argument)
        return tried


# ---- kinds ---------------------------------------------------------------------------------------------------------------


def _linear(rng: random.Random) -> tuple[str, Callable[[int], int]]:
    a, b = rng.randint(2, 9), rng.randint(1, 20)
    match rng.randrange(4):
        case 0:
            return f"{a} * n + {b}", lambda n: a * n + b
        case 1:
            return f"{a} * n - {b}", lambda n: a * n - b
        case 2:
            return f"n + {b}", lambda n: n + b
    return f"{b} - n", lambda n: b - n


def _condition(rng: random.Random) -> tuple[str, str, Callable[[int], bool], tuple[int, ...]]:
    """In words, in Python, as a function, and numbers to try it on."""
    k = rng.randint(3, 9)
    return rng.choice(
        [
            ("odd", "n % 2 == 1", lambda n: n % 2 == 1, (k | 1,)),
            ("even", "n % 2 == 0", lambda n: n % 2 == 0, (2 * k,)),
            ("negative", "n < 0", lambda n: n < 0, (-k, 0)),
            (f"greater than {k}", f"n > {k}", lambda n: n > k, (k, k + 1)),
            (f"divisible by {k}", f"n % {k} == 0", lambda n: n % k == 0, (2 * k,)),
        ]
    )


def _number(rng: random.Random, level: int) -> Spec:
    text, plain = _linear(rng)
    question, body, run = f"Write f(n), which returns {text}.", [f"return {text}"], plain
    first: tuple[int, ...] = ()
    for _ in range(level - 1):
        words, test, holds, tried = _condition(rng)
        first = (*tried, *first)
        other_text, other = _linear(rng)
        question += f" If n is {words}, it returns {other_text} instead."
        body = [f"if {test}:", f"{_INDENT}return {other_text}", *body]
        run = _either(holds, other, run)
    if level == 3:
        question += " Where two of these hold, the one said last counts."
    return Spec(question, "n", body, run, lambda r: r.randint(-12, 30), tuple(dict.fromkeys(first)))


def _either(holds: Callable[[int], bool], then: Callable[[int], int], otherwise: Callable[[int], int]) -> Callable[[int], int]:
    return lambda n: then(n) if holds(n) else otherwise(n)


def _list(rng: random.Random, level: int) -> Spec:
    k = rng.randint(2, 9)
    steps: list[tuple[str, str, Callable[[list[int]], list[int]]]] = [
        ("keep the even ones", "[x for x in xs if x % 2 == 0]", lambda xs: [x for x in xs if x % 2 == 0]),
        ("keep the odd ones", "[x for x in xs if x % 2 == 1]", lambda xs: [x for x in xs if x % 2 == 1]),
        (f"drop those below {k}", f"[x for x in xs if x >= {k}]", lambda xs: [x for x in xs if x >= k]),
        (f"multiply each by {k}", f"[x * {k} for x in xs]", lambda xs: [x * k for x in xs]),
        (f"add {k} to each", f"[x + {k} for x in xs]", lambda xs: [x + k for x in xs]),
        ("square each", "[x * x for x in xs]", lambda xs: [x * x for x in xs]),
        ("turn the order round", "xs[::-1]", lambda xs: xs[::-1]),
        (f"drop the first {k % 3 + 1}", f"xs[{k % 3 + 1}:]", lambda xs: xs[k % 3 + 1 :]),
    ]
    steps = rng.sample(steps, level)
    ends: list[tuple[str, str, Callable[[list[int]], Any]]] = [
        ("the sum", "sum(xs)", sum),
        ("how many are left", "len(xs)", len),
        ("the list", "xs", list),
        ("the list, smallest first", "sorted(xs)", sorted),
        ("the largest, or 0 if none is left", "max(xs, default=0)", lambda xs: max(xs, default=0)),
    ]
    end = rng.choice(ends)
    question = f"Write f(xs) for a list xs of whole numbers: {', '.join(s[0] for s in steps)}, and return {end[0]}."
    body = [*(f"xs = {code}" for _, code, _ in steps), f"return {end[1]}"]
    return Spec(question, "xs", body, _chained([s[2] for s in steps], end[2]), _numbers, ([],))


def _numbers(rng: random.Random) -> list[int]:
    return [rng.randint(-9, 20) for _ in range(rng.randint(3, 7))]


def _chained(steps: Sequence[Callable[[Any], Any]], end: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def run(value: Any) -> Any:
        for step in steps:
            value = step(value)
        return end(value)

    return run


def _text(rng: random.Random, level: int) -> Spec:
    k = rng.randint(2, 4)
    b, c, d = rng.sample("aeinort", 3)
    steps: list[tuple[str, str, Callable[[str], str]]] = [
        ("reverse it", "s[::-1]", lambda s: s[::-1]),
        (f'drop every "{b}"', f's.replace("{b}", "")', lambda s: s.replace(b, "")),
        (f'turn every "{c}" into "{d}"', f's.replace("{c}", "{d}")', lambda s: s.replace(c, d)),
        (f"write it {k} times over", f"s * {k}", lambda s: s * k),
        (f"drop the first {k} letters", f"s[{k}:]", lambda s: s[k:]),
        (f"keep the last {k} letters", f"s[-{k}:]", lambda s: s[-k:]),
        (f'put "{c}" in front', f'"{c}" + s', lambda s: c + s),
    ]
    steps = rng.sample(steps, level)
    ends: list[tuple[str, str, Callable[[str], Any]]] = [
        ("it", "s", str),
        ("its length", "len(s)", len),
        (f'how often "{d}" is in it', f's.count("{d}")', lambda s: s.count(d)),
        ("it in capitals", "s.upper()", str.upper),
    ]
    end = rng.choice(ends)
    question = f"Write f(s) for a text s: {', '.join(s[0] for s in steps)}, and return {end[0]}."
    body = [*(f"s = {code}" for _, code, _ in steps), f"return {end[1]}"]
    return Spec(question, "s", body, _chained([s[2] for s in steps], end[2]), _word, ("",))


def _word(rng: random.Random) -> str:
    return "".join(rng.choice("aaeeiinnoorrssttbcdlmp") for _ in range(rng.randint(3, 9)))


def _recurrence(rng: random.Random, level: int) -> Spec:
    a, b, p, q, c = (rng.randint(1, 5) for _ in range(5))
    if level == 1:
        question = f"Write f(n) for n = 0, 1, 2, ..., where f(0) = {a} and f(n) = {p + 1} * f(n-1) + {c}."
        body = [f"a = {a}", "for _ in range(n):", f"{_INDENT}a = {p + 1} * a + {c}", "return a"]
        return Spec(question, "n", body, lambda n: _iterated(n, [a], lambda i, x: (p + 1) * x[-1] + c), _index, (0, 1))
    extra, more = (f" + {c} * n", c) if level == 3 else ("", 0)
    rule = f"f(n) = {p} * f(n-1) + {q} * f(n-2){extra}"
    question = f"Write f(n) for n = 0, 1, 2, ..., where f(0) = {a}, f(1) = {b} and {rule} from n = 2 on."
    step = f" + {c} * i" if level == 3 else ""
    body = [f"a, b = {a}, {b}", "for i in range(2, n + 2):", f"{_INDENT}a, b = b, {p} * b + {q} * a{step}", "return a"]
    return Spec(
        question, "n", body, lambda n: _iterated(n, [a, b], lambda i, x: p * x[-1] + q * x[-2] + more * i), _index, (0, 1, 2)
    )


def _iterated(n: int, values: list[int], step: Callable[[int, list[int]], int]) -> int:
    for i in range(len(values), n + 1):
        values = [*values, step(i, values)]
    return values[n]


def _index(rng: random.Random) -> int:
    return rng.randint(2, 12)


def _examples(rng: random.Random, level: int) -> Spec:
    if level == 1:
        return _one_of_four(rng)
    a, b, c, n = rng.randint(2, 12), rng.randint(1, 40), rng.randint(1, 5), rng.randint(2, 12)  # 1,210 questions of level 2
    forms: dict[int, tuple[str, str, Callable[[int], int]]] = {
        2: ("a * n + b with whole numbers a and b", f"{a} * n + {b}", lambda n: a * n + b),
        3: (
            "a * n * n + b * n + c with whole numbers a, b and c",
            f"{a} * n * n + {c} * n + {b}",
            lambda n: a * n * n + c * n + b,
        ),
    }
    form, code, run = forms[level]
    shown = range(n, n + level - 1)
    question = f"Write f(n) = {form}. " + ", ".join(f"f({x}) = {run(x)}" for x in shown) + "."
    # The shown ones first, then their neighbour: the test that fails is then next to what is known.
    return Spec(question, "n", [f"return {code}"], run, lambda r: r.randint(0, 20), (*shown, shown[-1] + 1))


def _one_of_four(rng: random.Random) -> Spec:
    """What is shown fits two of the four: an end of the list that is its largest or smallest too."""
    rest = rng.sample(range(10), 4)
    extreme = rng.choice([max, min])
    rest.remove(value := extreme(rest))
    in_front = rng.random() < 0.5
    shown = [value, *rest] if in_front else [*rest, value]
    fitting: list[tuple[str, Callable[[list[int]], int]]] = [
        ("xs[0]", lambda xs: xs[0]) if in_front else ("xs[-1]", lambda xs: xs[-1]),
        ("max(xs)", max) if extreme is max else ("min(xs)", min),
    ]
    code, run = rng.choice(fitting)
    # Then one of which each of the four is another number.
    low, left, right, high = sorted(rng.sample(range(10), 4))
    telling = rng.sample([left, right], 2)
    telling[1:1] = rng.sample([low, high], 2)
    question = f"Write f(xs): the first, last, largest or smallest of xs. f({shown}) = {value}."
    return Spec(question, "xs", [f"return {code}"], run, lambda r: r.sample(range(10), r.randint(3, 5)), (shown, telling))


_DRAW: dict[str, Callable[[random.Random, int], Spec]] = {
    "number": _number,
    "list": _list,
    "text": _text,
    "recurrence": _recurrence,
    "examples": _examples,
}
