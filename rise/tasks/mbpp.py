"""MBPP: short Python functions asked for in a sentence, with three tests each (Austin et al. 2021, arXiv 2108.07732)."""

from __future__ import annotations

import ast
import os
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

from rise.errors import DataError
from rise.judges import make_judge
from rise.judges.python_tests import read_tests
from rise.task import Problem, Split
from rise.tasks.files import FileTask, make_problem
from rise.tasks.generated import whole
from rise.tasks.sources import Hub, Row, benchmark_rows, text_of

INSTRUCTIONS = "Write the Python function that is asked for, in one ```python block. Write no tests and print nothing."
HUB = Hub("google-research-datasets/mbpp", ("full",))
SPLITS: dict[Split, range] = {"test": range(11, 511), "validation": range(511, 601), "train": range(601, 975)}
"""Task numbers of each split, as published; 1 … 10 are the prompt's examples."""
TIME_LIMIT_S = 15.0
"""The slowest published solution, of amicable numbers, takes up to 6 seconds of a processor that others use too."""


class CodeTask(FileTask):
    """Functions judged by tests that run in the sandbox of `python-functions`; its feedback functions work here too.

    Problems with a test that is no call with plain values are left out and counted: what is expected never enters the sandbox.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None,
        instructions: str | None,
        time_limit_s: float,
        allow_unsandboxed: bool,
    ) -> None:
        super().__init__(instructions, path=path)
        self._judge = make_judge("python-functions", time_limit_s=time_limit_s, allow_unsandboxed=allow_unsandboxed)

    def tested(self, problems: Iterable[Problem]) -> Iterator[Problem]:
        """Those whose tests can be read."""
        n_out = 0
        for problem in problems:
            try:
                read_tests(problem.gold)
            except DataError:
                n_out += 1
                continue
            yield problem
        if n_out:
            what = f"{n_out} problem{'s whose tests are' if n_out > 1 else ' whose tests are'}"
            warnings.warn(f"task {self.name}: {what} no calls with plain values left out.", stacklevel=4)

    def mbpp(self, split: Split, path: str | None, shown: int) -> Iterator[Problem]:
        """The problems of a published split of MBPP."""
        rows = benchmark_rows("mbpp", path, "mbpp.jsonl", split=split, hub=HUB)
        yield from self.tested(_problem(row, place, shown) for place, row in _of(split, rows))


class MBPP(CodeTask):
    """Splits as published, by task number. The question shows the tests, as the published prompt does; `solution` is the code."""

    name = "mbpp"

    def __init__(
        self,
        *,
        path: str | os.PathLike[str] | None = None,
        shown: int = 3,
        time_limit_s: float = TIME_LIMIT_S,
        allow_unsandboxed: bool = False,
        instructions: str | None = INSTRUCTIONS,
    ) -> None:
        """`path`: `mbpp.jsonl` in the original format, its directory, or `hub:NAME`; by default `mbpp/` under `$RISE_DATA`, then
        the hub. `shown`: how many of a problem's tests the question shows; with 1, feedback has something to tell."""
        super().__init__(path, instructions, time_limit_s, allow_unsandboxed)
        self.splits = ("train", "validation", "test")  # one file holds them all
        self.shown = whole("shown", shown, 1)

    def read(self, split: Split) -> Iterator[Problem]:
        return self.mbpp(split, self.path, self.shown)


def _of(split: Split, rows: Iterable[Row]) -> Iterator[Row]:
    for place, row in rows:
        number = row.get("task_id")
        if not isinstance(number, int):
            raise DataError(f"{place}: task_id = {number!r}; MBPP numbers its tasks, and their splits go by that.")
        if number in SPLITS[split]:
            yield place, row


def _problem(row: dict[str, Any], place: str, shown: int) -> Problem:
    tests = row.get("test_list")
    if not isinstance(tests, list) or not all(isinstance(test, str) for test in tests) or not tests:
        raise DataError(f"{place}: test_list is no list of tests. Is this MBPP?")
    setup = str(row.get("test_setup_code") or "")
    # Without its setup a test means nothing; as a line that is no test it keeps the problem out.
    gold = "\n".join([*([setup] if setup.strip() else []), *map(plainly, tests)])
    asked = text_of(row, ["text", "prompt"], place).strip()
    question = f"{asked}\nYour code should pass {'these tests' if min(shown, len(tests)) > 1 else 'this test'}:\n" + "\n".join(
        tests[:shown]
    )
    code = text_of(row, ["code"], place).replace("\r\n", "\n").strip("\n")
    return make_problem(question, gold, f"```python\n{code}\n```", {"task": row["task_id"]})


def plainly(test: str) -> str:
    """An assertion as the judge reads tests: `assert f(x)` asks for what is true, and arithmetic on numbers is worked out.

    >>> plainly("assert not f(3 * 19), 'message'"), plainly("assert f((1))==[-2]")
    ('assert bool(f(57)) == False', 'assert f(1) == [-2]')
    >>> plainly("assert abs(f(2) - 0.5) < 1e-6")
    'assert abs(f(2) - 0.5) < 1e-06'
    """
    try:
        [statement] = ast.parse(test).body
    except (SyntaxError, ValueError):
        return test
    if not isinstance(statement, ast.Assert):
        return test
    found: ast.expr = _Folded().visit(statement.test)
    if isinstance(found, ast.Call):
        found = _truth(found, True)
    elif isinstance(found, ast.UnaryOp) and isinstance(found.op, ast.Not) and isinstance(found.operand, ast.Call):
        found = _truth(found.operand, False)
    return ast.unparse(ast.fix_missing_locations(ast.Assert(found)))


def _truth(call: ast.expr, wanted: bool) -> ast.expr:
    return ast.Compare(ast.Call(ast.Name("bool", ast.Load()), [call], []), [ast.Eq()], [ast.Constant(wanted)])


class _Folded(ast.NodeTransformer):
    """Sums and products of numbers worked out. No power: it could take for ever."""

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        match node:
            case ast.BinOp(left=ast.Constant(value=int() | float() as a), right=ast.Constant(value=int() | float() as b)):
                match node.op:
                    case ast.Add():
                        return ast.Constant(a + b)
                    case ast.Sub():
                        return ast.Constant(a - b)
                    case ast.Mult():
                        return ast.Constant(a * b)
        return node
