"""Problems to try: a few of the run's test split, whose gold answers are told only for replies that are already there."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from rise.errors import RiseError
from rise.judges.answers import extract
from rise.recipe.config import RunConfig
from rise.serve.chat import read_body
from rise.serve.requests import ApiError, Limits, read_json
from rise.serve.revise import Reviser
from rise.serve.schema import errors
from rise.serve.web.answers import Json
from rise.task import Problem
from rise.tasks import make_task

N_SHOWN = 3
MOST_REPLIES = 64
"""Judged for one request."""


def some_test_problems(config: RunConfig, n: int = N_SHOWN) -> tuple[Problem, ...]:
    """The first of the task's test split; none where the task cannot be made here, its files being elsewhere."""
    try:
        return tuple(make_task(config.task.name, **config.task.settings).problems("test", n))
    except (RiseError, OSError):
        return ()


def add_problems(app: FastAPI, problems: tuple[Problem, ...], reviser: Reviser, limits: Limits) -> None:
    """The questions, and for replies to one of them the gold answer and which are right."""
    by_id = {problem.id: problem for problem in problems}

    @app.get("/v1/rise/problems", responses=errors())
    async def questions() -> Response:
        """Problems to try, without their answers."""
        return Json({"problems": [{"id": p.id, "question": p.question} for p in problems]})

    @app.post("/v1/rise/problems/{name}", responses=errors(400, 404, 408, 413, 415))
    async def judged(name: str, request: Request) -> Response:
        """`{"replies": [text, …]}` → the gold answer, and whether each reply is right."""
        if name not in by_id:
            raise ApiError(404, f"There is no problem {name[:80]!r} here.", param="name", code="problem_not_found")
        replies = _replies(await read_body(request, limits))
        verdicts = [(await reviser.judged(by_id[name], reply)).verdict for reply in replies]
        gold = extract(by_id[name].gold) or by_id[name].gold
        return Json({"gold": gold, "verdicts": [str(verdict) for verdict in verdicts]})


def _replies(body: bytes) -> list[str]:
    data = read_json(body)
    replies = data.get("replies") if isinstance(data, dict) else None
    if not isinstance(replies, list) or not 1 <= len(replies) <= MOST_REPLIES or not all(isinstance(r, str) for r in replies):
        raise ApiError(
            400, f'The body must be {{"replies": [1 to {MOST_REPLIES} texts]}}.', param="replies", code="invalid_value"
        )
    return replies
