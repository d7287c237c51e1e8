"""Tests of a Python function, and what running them came to. Read and compared here; run in `sandbox.py`."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from rise.errors import DataError
from rise.trajectory import Verdict

MAX_SHOWN = 200
"""Characters of a value in a message."""


@dataclass(frozen=True, slots=True)
class Test:
    """One call and what it must return."""

    call: str
    """As written: `f([1, 2], 3)`."""
    arguments: str
    """A Python literal, the tuple of arguments."""
    expected: Any
    within: float | None = None
    """How far off a number may be: `assert abs(f(2) - 0.5) < 1e-6`; None: equal."""

    truth: bool = False
    """Whether only the truth of what is returned counts: `assert bool(f([])) == False`."""

    def passes(self, got: Any) -> bool:
        if self.truth:
            return bool(got) is self.expected
        if self.within is None:
            return bool(got == self.expected)
        return isinstance(got, int | float) and abs(got - self.expected) < self.within


@dataclass(frozen=True, slots=True)
class Finding:
    """What running the tests came to."""

    verdict: Verdict
    message: str
    """The first test that failed, or why none could be run; "" where all pass."""
    short: str
    """The same in a few characters, for a model that reads letter by letter: `f(3)=7 not 5`."""


@lru_cache(maxsize=4096)
def read_tests(gold: str) -> tuple[str, tuple[Test, ...]]:
    """(name of the function, its tests) of gold. Read, never run. Raises `DataError` where a line is no such test."""
    name, tests = None, []
    try:
        statements = ast.parse(gold).body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise DataError(f"gold {gold[:80]!r} is no Python ({error}). Write tests, one a line: assert f(2) == 5") from error
    for statement in statements:
        match statement:
            case ast.Assert(
                test=ast.Compare(
                    left=ast.Call(func=ast.Name(id="bool"), args=[ast.Call(func=ast.Name(id=called), keywords=[]) as call]),
                    ops=[ast.Eq()],
                    comparators=[ast.Constant(value=bool()) as wanted],
                )
            ) if name in (None, called):
                name = called
                tests.append(Test(ast.unparse(call), *_values(statement, call, wanted), truth=True))
            case ast.Assert(test=ast.Compare(left=ast.Call(func=ast.Name(id=called), keywords=[]) as call, ops=[ast.Eq()])):
                if name not in (None, called):
                    raise DataError(f"gold tests both {name} and {called}; one problem asks for one function.")
                name = called
                tests.append(Test(ast.unparse(call), *_values(statement, call, statement.test.comparators[0])))  # type: ignore[attr-defined]
            case ast.Assert(
                test=ast.Compare(
                    left=ast.Call(
                        func=ast.Name(id="abs"),
                        args=[
                            ast.BinOp(left=ast.Call(func=ast.Name(id=called), keywords=[]) as call, op=ast.Sub(), right=wanted)
                        ],
                    ),
                    ops=[ast.Lt()],
                    comparators=[ast.Constant(value=float() as within)],
                )
            ) if name in (None, called):
                name = called
                tests.append(Test(ast.unparse(call), *_values(statement, call, wanted), within))
            case _:
                raise DataError(
                    f"gold line {ast.unparse(statement)[:80]!r} is no test. Write tests, one a line: assert f(2) == 5"
                )
    if name is None:
        raise DataError("gold holds no test. Write tests, one a line: assert f(2) == 5")
    return name, tuple(tests)


def _values(statement: ast.stmt, call: ast.Call, wanted: ast.expr) -> tuple[str, Any]:
    """(the arguments as a literal tuple, what is expected). Raises `DataError` where one of them is no plain value."""
    try:
        return repr(tuple(ast.literal_eval(argument) for argument in call.args)), ast.literal_eval(wanted)
    except (ValueError, TypeError) as error:
        raise DataError(f"gold test {ast.unparse(statement)!r}: arguments and result must be plain values.") from error


def read_outcome(outcome: dict[str, Any], name: str, tests: Sequence[Test]) -> Finding:
    """What the sandbox said, against what is expected. Nothing in it is believed but plain values."""
    lines, end = outcome.get("lines", []), str(outcome.get("end"))
    wrong = Verdict.WRONG
    for index, test in enumerate(tests):
        match lines[index] if index < len(lines) else None:
            case ["value", value]:
                try:
                    got = decoded(value)
                except (TypeError, ValueError, KeyError, RecursionError):
                    got = _Other("something that cannot be read")
                if not isinstance(got, _Other) and test.passes(got):
                    continue
                shown, wanted = _shown(got), _shown(test.expected)
                return Finding(
                    wrong, f"{test.call} should return {wanted}, but returned {shown}.", f"{test.call}={wanted} not {shown}"
                )
            case ["raised", str(kind), str(message)]:
                wanted = _shown(test.expected)
                what = _ascii(f"{kind}: {message}" if message else kind)
                return Finding(
                    wrong, f"{test.call} should return {wanted}, but raised {what}.", f"{test.call}={wanted} not {_ascii(kind)}"
                )
            case ["syntax", str(message), line]:
                where = f" in line {line}" if isinstance(line, int) else ""
                return Finding(wrong, f"Your code is not Python: {_ascii(message)}{where}.", "no python")
            case ["failed", str(kind), str(message)]:
                return Finding(wrong, f"Your code raised {_ascii(kind)}: {_ascii(message)} before any call.", "no python")
            case ["missing"]:
                return Finding(wrong, f"Your code defines no function {name}.", f"no {name}")
        if end == "late":
            return Finding(Verdict.TIMED_OUT, f"{test.call} did not return in time.", f"{test.call} late")
        why = {"long": "returned more than can be read", "crash": "crashed the program"}.get(end, "ended the program")
        return Finding(wrong, f"{test.call} {why}.", f"{test.call} ends")
    return Finding(Verdict.RIGHT, "", "")


def decoded(value: Any) -> Any:
    """What `sandbox.encoded` wrote, back as Python's own values. Raises `TypeError` or `ValueError` on anything else."""
    if value is None or isinstance(value, bool | str):
        return value
    kind, content = value
    if kind == "int":
        return int(content, 16)
    if kind == "float":
        return float(content)
    if kind == "complex":
        return complex(content)
    if kind == "other":
        return _Other(f"a value of type {_ascii(str(content))}")
    if kind == "dict":
        return {decoded(key): decoded(item) for key, item in content}
    return {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}[kind](map(decoded, content))


class _Other:
    """A value that is none of Python's plain ones; equal to nothing."""

    def __init__(self, description: str) -> None:
        self.description = description

    def __eq__(self, other: object) -> bool:
        return False

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return self.description


def _shown(value: Any) -> str:
    if isinstance(value, _Other):
        return value.description
    try:
        text = _ADDRESS.sub(" at 0x...", ascii(value))
    except (ValueError, RecursionError):  # an integer of more digits than Python writes
        text = f"a very long {type(value).__name__}"
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 1] + "..."


def _ascii(text: str) -> str:
    """ASCII without addresses, which differ from process to process: what is said of equal code is equal, to the byte."""
    return ascii(_ADDRESS.sub(" at 0x...", text[:MAX_SHOWN]))[1:-1]


_ADDRESS = re.compile(r" at 0x[0-9a-f]{4,}")
