"""The viewer as an application: the page, and what it asks of the library. Needs the extra `[serve]`."""

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI, Query, Request, Response

from rise.errors import RiseError
from rise.serve.web.answers import Json
from rise.serve.web.hosts import Hosts, OnlyOwnNames
from rise.view.files import ASSETS, POLICY, TYPES, asset, page
from rise.view.library import Library

MOST_ROWS = 20_000
"""Of one request: a few megabytes."""
MOST_CHARS = 1_000
"""Of a searched text."""

HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-cache",
}


def build_app(library: Library, hosts: Hosts) -> FastAPI:
    """The application. `hosts`: names by which it may be called, so that no web page can reach it by renaming itself."""
    app = FastAPI(title="rise view", docs_url=None, redoc_url=None, openapi_url=None)

    @app.middleware("http")
    async def protect(request: Request, go_on: Callable[[Any], Awaitable[Response]]) -> Response:
        response = await go_on(request)
        response.headers.update(HEADERS)
        return response

    app.add_middleware(OnlyOwnNames, hosts=hosts, error=lambda message: {"error": message})

    @app.exception_handler(RiseError)
    async def explain(request: Request, error: RiseError) -> Response:
        return Json({"error": str(error)}, status_code=404)

    _add_page(app)
    _add_data(app, library)
    return app


def _add_page(app: FastAPI) -> None:
    @app.get("/")
    def index() -> Response:
        return Response(page(), media_type=TYPES["html"])

    @app.get("/page/{name}")
    def file(name: str) -> Response:
        if name not in ASSETS:
            return Json({"error": f"{name!r} is no file of the page."}, status_code=404)
        return Response(asset(name), media_type=TYPES[name.rpartition(".")[2]])


def _add_data(app: FastAPI, library: Library) -> None:
    @app.get("/api/overview")
    def overview() -> Response:
        return Json({"stamp": library.stamp(), **library.overview()})

    @app.get("/api/stamp")
    def stamp() -> Response:
        return Json({"stamp": library.stamp()})

    @app.get("/api/rows")
    def rows(key: str, start: int = Query(0, ge=0), limit: int = Query(1000, ge=1, le=MOST_ROWS)) -> Response:
        return Response(library.rows(key, start, limit), media_type="application/json")

    @app.get("/api/record")
    def record(key: str, row: int = Query(ge=0)) -> Response:
        return Json(library.record(key, row))

    @app.get("/api/search")
    def search(key: str, q: str = Query(max_length=MOST_CHARS)) -> Response:
        return Json({"rows": library.search(key, q)})

    @app.get("/api/where")
    def where(problem: str) -> Response:
        return Json({"where": library.where(problem)})
