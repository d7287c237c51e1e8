"""The server: routes, the page, and how it starts and ends."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import resources
from typing import Any

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

import rise
from rise.serve import schema
from rise.serve.admission import Gate
from rise.serve.chat import Chat
from rise.serve.keep import Keeper
from rise.serve.meters import Meters
from rise.serve.middleware import Guard
from rise.serve.problems import add_problems
from rise.serve.requests import ApiError, Limits, Served
from rise.serve.revise import Reviser
from rise.serve.schema import errors
from rise.serve.vote import RULES
from rise.serve.web.answers import Json
from rise.serve.web.hosts import Hosts

PAGE = {
    "index.html": "text/html",
    "playground.css": "text/css",
    "playground.js": "text/javascript",
    "stream.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}
"""Files of the page and their types; nothing else is handed out."""


def make_app(
    reviser: Reviser,
    served: Served,
    limits: Limits | None = None,
    *,
    key: str | None = None,
    log_text: bool = False,
    hosts: Hosts | None = None,
    keeper: Keeper | None = None,
) -> FastAPI:
    """The application. `key` None lets everybody in; `log_text` writes conversations into the log; `hosts` are the names by
    which it may be called, by default those of this machine; `keeper` keeps conversations in a file."""
    limits = limits or Limits()
    gate = Gate(limits.n_active, limits.n_waiting)
    meters = Meters(gate)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await reviser.close()
        if keeper is not None:
            keeper.close()

    # No /docs: its scripts come from elsewhere.
    app = FastAPI(
        title="rise serve",
        version=rise.__version__,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        description="Recursive Introspection behind the chat completions API: every reply is revised over several turns.",
    )
    app.add_middleware(Guard, key=key, meters=meters, hosts=hosts or Hosts.of("127.0.0.1"), log_text=log_text)
    app.add_exception_handler(ApiError, _api_error)  # type: ignore[arg-type]
    app.add_exception_handler(HTTPException, _http_error)  # type: ignore[arg-type]
    chat = Chat(reviser, served, limits, gate, meters, log_text, keeper)
    _add_chat(app, chat)
    _add_models(app, served, limits)
    add_problems(app, served.problems, reviser, limits)
    _add_status(app, served, gate, meters)
    _add_page(app)
    app.state.gate, app.state.meters, app.state.limits, app.state.chat = gate, meters, limits, chat
    return app


def model_names(served: Served) -> list[str]:
    """The model's name, and the name that asks for a single turn."""
    return list(dict.fromkeys([served.name, f"{served.name}@1"]))


async def _api_error(request: Request, error: ApiError) -> Response:
    return Json({"error": error.error}, error.status, error.headers)


async def _http_error(request: Request, error: HTTPException) -> Response:
    """An unknown path or a wrong method, as the API's error object."""
    body = {"message": str(error.detail), "type": "invalid_request_error", "param": None, "code": None}
    return Json({"error": body}, error.status_code, error.headers)


def _add_chat(app: FastAPI, chat: Chat) -> None:
    statuses = errors(400, 404, 408, 413, 415, 429, 502, 503)

    @app.post("/v1/chat/completions", responses=statuses, openapi_extra=schema.chat(model_names(chat.served)))
    async def chat_completions(request: Request) -> Response:
        """A completion, or a stream of chunks as server-sent events."""
        return await chat.respond(request)


def _add_models(app: FastAPI, served: Served, limits: Limits) -> None:
    began = int(time.time())
    names = model_names(served)
    votes = {name: rule.short for name, rule in RULES.items()}

    def model(name: str) -> dict[str, Any]:
        turns = 1 if name.endswith("@1") else served.turns
        ours = {**served.about, "turns": turns, "vote": served.rule, "votes": votes, "max_turns": limits.max_turns}
        return {"id": name, "object": "model", "created": began, "owned_by": "rise", "rise": ours}

    @app.get("/v1/models", responses=errors(), openapi_extra=schema.MODELS)
    async def models() -> Response:
        """The model, and the same with a single turn."""
        return Json({"object": "list", "data": [model(name) for name in names]})

    @app.get("/v1/models/{name:path}", responses=errors(404))
    async def one_model(name: str) -> Response:
        if name not in names:
            raise ApiError(404, f"There is no model {name[:300]!r} here.", param="model", code="model_not_found")
        return Json(model(name))


def _add_status(app: FastAPI, served: Served, gate: Gate, meters: Meters) -> None:
    @app.get("/health")
    async def health() -> Response:
        """Whether the server is up and how busy it is. It does not ask the engine."""
        return Json({"status": "ok", "model": served.name, "active": gate.active, "waiting": gate.waiting})

    @app.get("/metrics", responses=errors(), response_class=PlainTextResponse, openapi_extra=schema.METRICS)
    async def metrics() -> Response:
        return Response(meters.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _add_page(app: FastAPI) -> None:
    """The playground, with the files that `PAGE` names."""
    files = resources.files("rise.serve") / "playground"
    page = {name: (files / name).read_bytes() for name in PAGE}

    @app.get("/", include_in_schema=False)
    @app.get("/playground", include_in_schema=False)
    async def index() -> Response:
        return Response(page["index.html"], media_type=PAGE["index.html"])

    @app.get("/playground/{file}", include_in_schema=False)
    async def file(file: str) -> Response:
        if file not in page:
            raise HTTPException(404, "Not Found")
        return Response(page[file], media_type=PAGE[file])
