"""`rise view`: the page and its data over HTTP, on this machine."""

# No "from __future__ import annotations": FastAPI reads annotations, and those below name what is imported inside a function.

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from rise.errors import ConfigError, RiseError
from rise.view.files import ASSETS, POLICY, TYPES, asset, page
from rise.view.library import Library

if TYPE_CHECKING:
    from fastapi import FastAPI

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


def make_app(library: Library, hosts: list[str] | None = None) -> "FastAPI":
    """The application. `hosts`: names by which it may be called, so that no web page can reach it by renaming itself.

    Raises `ConfigError` where the extra is not installed.
    """
    try:
        from fastapi import FastAPI, Query, Request, Response
        from fastapi.responses import JSONResponse
        from starlette.middleware.trustedhost import TrustedHostMiddleware
    except ImportError as error:
        raise ConfigError(
            'rise view needs FastAPI: pip install "rise-lm[serve]". Or look at a copy without a server: --export DIR.'
        ) from error

    app = FastAPI(title="rise view", docs_url=None, redoc_url=None, openapi_url=None)

    @app.middleware("http")
    async def protect(request: Request, go_on: Callable[[Any], Awaitable[Response]]) -> Response:
        response = await go_on(request)
        response.headers.update(HEADERS)
        return response

    app.add_middleware(TrustedHostMiddleware, allowed_hosts=hosts or ["127.0.0.1", "localhost", "testserver"], www_redirect=False)

    @app.exception_handler(RiseError)
    async def explain(request: Request, error: RiseError) -> Response:
        return JSONResponse({"error": str(error)}, status_code=404)

    @app.get("/")
    def index() -> Response:
        return Response(page(), media_type=TYPES["html"])

    @app.get("/page/{name}")
    def file(name: str) -> Response:
        if name not in ASSETS:
            return JSONResponse({"error": f"{name!r} is no file of the page."}, status_code=404)
        return Response(asset(name), media_type=TYPES[name.rpartition(".")[2]])

    @app.get("/api/overview")
    def overview() -> Response:
        return JSONResponse({"stamp": library.stamp(), **library.overview()})

    @app.get("/api/stamp")
    def stamp() -> Response:
        return JSONResponse({"stamp": library.stamp()})

    @app.get("/api/rows")
    def rows(key: str, start: int = Query(0, ge=0), limit: int = Query(1000, ge=1, le=MOST_ROWS)) -> Response:
        return Response(library.rows(key, start, limit), media_type="application/json")

    @app.get("/api/record")
    def record(key: str, row: int = Query(ge=0)) -> Response:
        return JSONResponse(library.record(key, row))

    @app.get("/api/search")
    def search(key: str, q: str = Query(max_length=MOST_CHARS)) -> Response:
        return JSONResponse({"rows": library.search(key, q)})

    @app.get("/api/where")
    def where(problem: str) -> Response:
        return JSONResponse({"where": library.where(problem)})

    return app


def serve(library: Library, host: str, port: int) -> None:
    """Answer until interrupted. Raises `ConfigError` where the port is taken or the extra not installed."""
    import socket

    app = make_app(library, hosts=["*"] if host not in ("127.0.0.1", "localhost") else None)
    import uvicorn

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen()  # before its address is said: who reads it may come at once
        except OSError as error:
            raise ConfigError(
                f"--host {host} --port {port}: {error.strerror}. Give another --port, or 0 for any free one."
            ) from error
        print(
            f"http://{'localhost' if host == '127.0.0.1' else host}:{listener.getsockname()[1]}/   (Ctrl-C ends it)", flush=True
        )
        config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1, server_header=False)
        uvicorn.Server(config).run(sockets=[listener])
