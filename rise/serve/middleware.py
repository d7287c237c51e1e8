"""Around every request: the key, the log, and an error object for each failure."""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
import traceback
import uuid
from collections.abc import MutableMapping
from typing import Any

from rise.serve.meters import Meters
from rise.serve.requests import ApiError, ending
from rise.serve.web.hosts import Hosts, Receive, Scope, Send, host_of, refusal
from rise.serve.web.plain_json import plain_json

log = logging.getLogger("rise.serve")

OPEN = ("/health", "/", "/playground")
"""Paths that need no key: they reveal nothing, and the page has to load before it can ask for one."""

HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
}


class Guard:
    """ASGI middleware. Not Starlette's base class, which hides a client's disconnect from the route."""

    def __init__(self, app: Any, *, key: str | None, meters: Meters, hosts: Hosts, log_text: bool = False) -> None:
        self.app, self.meters, self.hosts, self.log_text = app, meters, hosts, log_text
        self._key = key.encode() if key else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        began, status = time.monotonic(), 0
        scope.setdefault("state", {})["request_id"] = name = uuid.uuid4().hex[:16]
        extra = [(k.encode(), v.encode()) for k, v in {**HEADERS, "x-request-id": name}.items()]

        async def sending(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", []), *extra]
            await send(message)

        try:
            if not self.hosts.allow(host_of(scope) or ""):
                raise ApiError(400, refusal(scope), param="host", code="invalid_host")
            if self._key is not None and not self._may_enter(scope):
                raise ApiError(
                    401,
                    "A key is needed: Authorization: Bearer KEY.",
                    code="invalid_api_key",
                    kind="authentication_error",
                    headers={"www-authenticate": "Bearer"},
                )
            await self.app(scope, receive, sending)
        except ApiError as error:
            if not status:
                await send_error(sending, error)
        except asyncio.CancelledError:  # the server ends
            if not status:
                await send_error(sending, ending())
            raise
        except Exception as error:
            log.error("%s %s", name, described(error, self.log_text))
            if not status:
                await send_error(sending, ApiError(500, f"Something broke in the server; its log has it under {name}."))
        finally:
            self._note(scope, name, status, time.monotonic() - began)

    def _may_enter(self, scope: Scope) -> bool:
        path = scope["path"]
        if path in OPEN or path.startswith("/playground/"):
            return True
        given = dict(scope["headers"]).get(b"authorization", b"")
        kind, _, key = given.partition(b" ")
        return kind.lower() == b"bearer" and hmac.compare_digest(key.strip(), self._key or b"")

    def _note(self, scope: Scope, name: str, status: int, seconds: float) -> None:
        # The route's pattern, not the path requested: labels must be few, and a path may hold anything.
        route = getattr(scope.get("route"), "path", "other")
        self.meters.requests.labels(route, str(status or "none")).inc()
        self.meters.seconds.labels(route).observe(seconds)
        log.info("%s %s %s %s %.0f ms", name, scope["method"], route, status or "gone", seconds * 1000)


def described(error: BaseException, in_full: bool = False) -> str:
    """Class and place of an error; with `in_full`, its message and traceback, which may quote a request."""
    if in_full:
        return "".join(traceback.format_exception(error)).strip()
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{place} (--log-text shows its words)"


async def send_error(send: Send, error: ApiError) -> None:
    body = plain_json({"error": error.error}).encode()
    headers = {"content-type": "application/json", "content-length": str(len(body)), **error.headers}
    await send(
        {
            "type": "http.response.start",
            "status": error.status,
            "headers": [(k.encode(), v.encode()) for k, v in headers.items()],
        }
    )
    await send({"type": "http.response.body", "body": body})
