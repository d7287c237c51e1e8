"""HumanEval: 164 Python functions from signature and docstring (Chen et al. 2021, arXiv 2107.03374); MBPP to train on."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from typing import Any

from rise.errors import DataError
from rise.task import Problem, Split
from rise.tasks.files import make_problem
from rise.tasks.generated import whole
from rise.tasks.mbpp import TIME_LIMIT_S, CodeTask, plainly
from rise.tasks.sources import Hub, benchmark_rows, text_of

INSTRUCTIONS = "Complete the Python function, and write all of it, in one ```python block. Write no tests and print nothing."
HUB = Hub("openai/openai_humaneval")


class HumanEval(CodeTask):
    """A test set. `train` and `validation` are those of MBPP, which is published for training too, in its own words.

    Tests are the assertions of `check(candidate)`; a problem with one that cannot be read, such as a loop over random numbers, is
    left out and counted.
    """

    name = "humaneval"

    def __init__(
        self,
        *,
        path: str | os.PathLike[str] | None = None,
        mbpp_path: str | os.PathLike[str] | None = None,
        shown: int = 3,
        time_limit_s: float = TIME_LIMIT_S,
        allow_unsandboxed: bool = False,
        instructions: str | None = INSTRUCTIONS,
    ) -> None:
        """`path`: `HumanEval.jsonl` in the original format, its directory, or `hub:NAME`; by default `humaneval/` under
        `$RISE_DATA`, then the hub. `mbpp_path`, `shown`: of MBPP, as there."""
        super().__init__(path, instructions, time_limit_s, allow_unsandboxed)
        self.splits = ("train", "validation", "test")
        self.mbpp_path = os.fspath(mbpp_path) if mbpp_path is not None else None
        self.shown = whole("shown", shown, 1)

    def read(self, split: Split) -> Iterator[Problem]:
        if split != "test":
            yield from self.mbpp(split, self.mbpp_path, self.shown)
            return
        rows = benchmark_rows(self.name, self.path, "HumanEval.jsonl", hub=HUB)
        yield from self.tested(_problem(row, place) for place, row in rows)


def _problem(row: dict[str, Any], place: str) -> Problem:
    prompt, name = text_of(row, ["prompt"], place), text_of(row, ["entry_point"], place)
    body = text_of(row, ["canonical_solution"], place)
    gold = "\n".join(_tests(text_of(row, ["test"], place), name, place))
    solution = f"```python\n{prompt.rstrip()}\n{body.strip(chr(10))}\n```"
    return make_problem(prompt.strip(), gold, solution, {"task": row.get("task_id")})


def _tests(test: str, name: str, place: str) -> Iterator[str]:
    """The assertions of `check(candidate)`, a line each, about the function by its name; what is none stands as it is."""
    try:
        check = next(node for node in ast.parse(test).body if isinstance(node, ast.FunctionDef) and node.name == "check")
    except (SyntaxError, StopIteration) as error:
        raise DataError(f"{place}: test defines no check(candidate). Is this HumanEval?") from error
    for statement in check.body:
        if isinstance(statement, ast.Assert) and isinstance(statement.test, ast.Constant):
            continue  # assert True, with a message
        if isinstance(statement, ast.Expr):
            continue  # a docstring, a bare name: tests nothing
        renamed = _Renamed(name).visit(statement)
        yield plainly(ast.unparse(renamed))


class _Renamed(ast.NodeTransformer):
    """`candidate` under the function's own name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def visit_Name(self, node: ast.Name) -> ast.Name:
        return ast.Name(self.name, node.ctx) if node.id == "candidate" else node
