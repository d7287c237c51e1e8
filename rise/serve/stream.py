"""A completion as a stream of server-sent events."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect
from starlette.responses import Response

from rise.serve.conversation import Conversation, Event
from rise.serve.requests import ApiError, Limits, ending
from rise.serve.responses import Completion
from rise.serve.web.connections import GONE
from rise.serve.web.hosts import Receive, Scope, Send

T = TypeVar("T")


class Stream(Response):
    """Server-sent events: a chunk for each turn, then [DONE], or an error object where the engine fails."""

    def __init__(
        self,
        conversation: Conversation,
        completion: Completion,
        limits: Limits,
        include_usage: bool,
        first: Event | TimeoutError | None,
    ) -> None:
        super().__init__(media_type="text/event-stream")
        del self.headers["content-length"]
        self.conversation, self.completion, self.limits = conversation, completion, limits
        self.include_usage, self.first = include_usage, first

    @classmethod
    async def begun(
        cls, conversation: Conversation, completion: Completion, limits: Limits, include_usage: bool, receive: Receive
    ) -> Response:
        """A stream after its first event, or after `first_limit_s` without one. Raises `ApiError` for a failure before that."""
        try:
            try:
                first = await unless_gone(receive, asyncio.wait_for(conversation.events.get(), limits.first_limit_s))
            except TimeoutError as late:
                return cls(conversation, completion, limits, include_usage, late)
            if first is None:
                await conversation.finished()
            return cls(conversation, completion, limits, include_usage, first)
        except ClientDisconnect:
            conversation.meters.cancelled.inc()
            await conversation.end()
            return Response(status_code=499)
        except BaseException:
            await conversation.end()
            raise

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await unless_gone(receive, self._send_all(scope, send))
        except (ClientDisconnect, OSError):
            self.conversation.meters.cancelled.inc()
        except asyncio.CancelledError:  # the server ends, and has waited for as long as it does
            if not scope.get("state", {}).get(GONE):
                text = f"data: {json.dumps({'error': ending().error})}\n\n"
                with contextlib.suppress(Exception):
                    async with asyncio.timeout(1.0):
                        await send({"type": "http.response.body", "body": text.encode(), "more_body": False})
            raise
        finally:
            await self.conversation.end()

    async def _send_all(self, scope: Scope, send: Send) -> None:
        async def piece(text: str, more: bool = True) -> None:
            # Waits for a client that does not read until `rise.serve.web.connections` closes its connection.
            await send({"type": "http.response.body", "body": text.encode(), "more_body": more})
            if scope.get("state", {}).get(GONE):
                raise ClientDisconnect

        async def data(*chunks: dict[str, Any] | None) -> None:
            text = "".join(f"data: {json.dumps(self._with_usage(chunk))}\n\n" for chunk in chunks if chunk)
            if text:
                await piece(text)

        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        begun: set[int] = set()
        event: Event | None
        if isinstance(self.first, TimeoutError):
            event = await self._next(piece)
        else:
            event = self.first
        while event is not None:
            chunks: list[dict[str, Any] | None] = [] if event.choice in begun else [self.completion.begin(event.choice)]
            begun.add(event.choice)
            if event.turn is not None:
                chunks.append(self.completion.turn(event.choice, event.turn, event.number))
            elif event.outcome is not None:
                chunks += self.completion.end(event.choice, event.outcome)
            await data(*chunks)
            event = await self._next(piece)
        try:
            outcomes = await self.conversation.finished()
        except ApiError as error:
            await piece(f"data: {json.dumps({'error': error.error})}\n\n", more=False)
            return
        if self.include_usage:
            await data(self.completion.summed(outcomes))
        await piece("data: [DONE]\n\n", more=False)

    async def _next(self, piece: Any) -> Event | None:
        """The next event. Comments are sent meanwhile, so that no proxy closes the connection as idle."""
        if not self.conversation.events.empty():
            return self.conversation.events.get_nowait()
        while True:
            try:
                return await asyncio.wait_for(self.conversation.events.get(), self.limits.heartbeat_s)
            except TimeoutError:
                await piece(": working\n\n")

    def _with_usage(self, chunk: dict[str, Any]) -> dict[str, Any]:
        return {"usage": None, **chunk} if self.include_usage else chunk


async def unless_gone(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`; where the client goes away first, `work` is cancelled and `ClientDisconnect` raised."""
    working, gone = asyncio.ensure_future(work), asyncio.ensure_future(_gone(receive))
    try:
        await asyncio.wait({working, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        for task in (working, gone):
            task.cancel()
        await asyncio.gather(working, gone, return_exceptions=True)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
