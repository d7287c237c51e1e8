"""The route that matters: a conversation in, its turns played beside the connection, a completion or a stream of chunks out."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from rise.errors import PolicyError
from rise.serve.admission import Full, Gate, Ticket
from rise.serve.meters import Meters
from rise.serve.middleware import Receive, Scope, Send, described
from rise.serve.requests import ApiError, Limits, Served, read_request, to_ask
from rise.serve.responses import Completion
from rise.serve.revise import Ask, Outcome, Refused, Reviser, TooLong
from rise.trajectory import Turn

log = logging.getLogger("rise.serve")

T = TypeVar("T")


@dataclass(slots=True)
class Event:
    """Something that happened to a choice: a turn came in, or (without a turn) it ended."""

    choice: int
    turn: Turn | None = None
    number: int = 0
    outcome: Outcome | None = None


@dataclass(slots=True)
class Chat:
    """Everything the chat route needs."""

    reviser: Reviser
    served: Served
    limits: Limits
    gate: Gate
    meters: Meters
    log_text: bool = False

    async def respond(self, request: Request) -> Response:
        """The response to one request. Raises `ApiError`."""
        asked = read_request(await read_body(request, self.limits))
        ask = to_ask(asked, self.served, self.limits)
        name = request.state.request_id
        if self.log_text:
            log.info("%s asks %s", name, json.dumps([[m.role, m.content] for m in ask.messages]))
        completion = Completion(asked.model, ask, bool(asked.rise and asked.rise.return_turns))
        n = asked.n or 1
        try:
            ticket = self.gate.admit(n)
        except Full as full:
            raise ApiError(
                429,
                f"All places are taken. Try again in {full.retry_after_s} s.",
                code="overloaded",
                kind="rate_limit_error",
                headers={"retry-after": str(full.retry_after_s)},
            ) from None
        game = Game(self, ask, n, ticket, name)
        if asked.stream:
            include_usage = bool(asked.stream_options and asked.stream_options.include_usage)
            return await Stream.begun(game, completion, include_usage, request.receive)
        try:
            outcomes = await unless_gone(request.receive, game.finished())
        except ClientDisconnect:
            self.meters.cancelled.inc()
            return Response(status_code=499)  # nobody is there to read it; the log is
        finally:
            await game.end()
        return JSONResponse(completion.whole(outcomes))


class Game:
    """The choices of one request at play, in tasks of their own: a slow reader holds no place."""

    def __init__(self, chat: Chat, ask: Ask, n: int, ticket: Ticket, name: str) -> None:
        self.chat, self.ask, self.ticket, self.name = chat, ask, ticket, name
        self.events: asyncio.Queue[Event | None] = asyncio.Queue()
        """Bounded by choices × turns. None at the end."""
        self.task = asyncio.create_task(self._play(n))

    async def _play(self, n: int) -> list[Outcome]:
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._choice(index)) for index in range(n)]
        except BaseExceptionGroup as several:
            raise _first(several) from None
        finally:
            self.ticket.close()
            self.events.put_nowait(None)
        return [task.result() for task in tasks]

    async def _choice(self, index: int) -> Outcome:
        chat = self.chat

        def on_turn(turn: Turn, number: int) -> None:
            chat.meters.turn(turn)
            self.events.put_nowait(Event(index, turn, number))
            if chat.log_text:
                log.info("%s choice %d turn %d says %s", self.name, index, number, json.dumps(turn.reply))

        async with self.ticket.place():
            outcome = await chat.reviser.revise(self.ask, index, on_turn)
        chat.meters.outcome(outcome)
        self.events.put_nowait(Event(index, outcome=outcome))
        return outcome

    async def finished(self) -> list[Outcome]:
        """All outcomes, in the order of the choices. Raises `ApiError`."""
        try:
            return await self.task
        except asyncio.CancelledError:
            raise
        except Exception as error:
            raise self.trouble(error) from error

    def trouble(self, error: Exception) -> ApiError:
        """What the client is told of an error, which is logged here without what anybody wrote."""
        if isinstance(error, TooLong):
            return ApiError(400, str(error), param="messages", code="context_length_exceeded")
        if isinstance(error, Refused):
            return ApiError(400, str(error), param="messages", code="invalid_value")
        if isinstance(error, PolicyError):
            self.chat.meters.failures.inc()
            log.error("%s the engine: %s", self.name, described(error, self.chat.log_text))
            return ApiError(
                502,
                f"The engine behind this server gave no reply; the server's log has it under {self.name}.",
                code="engine_error",
                kind="engine_error",
            )
        log.error("%s %s", self.name, described(error, self.chat.log_text))
        return ApiError(500, f"Something broke in the server; its log has it under {self.name}.")

    async def end(self) -> None:
        """Stop whatever still runs; the policy sees a cancelled call."""
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


class Stream(Response):
    """Server-sent events: chunks as turns come in, an error object where the engine fails on the way, else [DONE]."""

    def __init__(self, game: Game, completion: Completion, include_usage: bool, first: Event | TimeoutError | None) -> None:
        super().__init__(media_type="text/event-stream")
        del self.headers["content-length"]
        self.game, self.completion, self.include_usage, self.first = game, completion, include_usage, first

    @classmethod
    async def begun(cls, game: Game, completion: Completion, include_usage: bool, receive: Receive) -> Response:
        """A stream whose first event is there, or has been waited for long enough. Raises `ApiError` for trouble before that."""
        limits = game.chat.limits
        try:
            try:
                first = await unless_gone(receive, asyncio.wait_for(game.events.get(), limits.first_limit_s))
            except TimeoutError as late:
                return cls(game, completion, include_usage, late)
            if first is None:
                await game.finished()
            return cls(game, completion, include_usage, first)
        except ClientDisconnect:
            game.chat.meters.cancelled.inc()
            await game.end()
            return Response(status_code=499)
        except BaseException:
            await game.end()
            raise

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await unless_gone(receive, self._send_all(send))
        except (ClientDisconnect, TimeoutError, OSError):
            self.game.chat.meters.cancelled.inc()
        finally:
            await self.game.end()

    async def _send_all(self, send: Send) -> None:
        limits = self.game.chat.limits

        async def piece(text: str, more: bool = True) -> None:
            async with asyncio.timeout(limits.send_limit_s):  # a reader who does not read
                await send({"type": "http.response.body", "body": text.encode(), "more_body": more})

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
            outcomes = await self.game.finished()
        except ApiError as error:
            await piece(f"data: {json.dumps({'error': error.error})}\n\n", more=False)
            return
        if self.include_usage:
            await data(self.completion.summed(outcomes))
        await piece("data: [DONE]\n\n", more=False)

    async def _next(self, piece: Any) -> Event | None:
        """The next event, with a comment now and then so that nobody in between takes the connection for dead."""
        if not self.game.events.empty():
            return self.game.events.get_nowait()
        while True:
            try:
                return await asyncio.wait_for(self.game.events.get(), self.game.chat.limits.heartbeat_s)
            except TimeoutError:
                await piece(": working\n\n")

    def _with_usage(self, chunk: dict[str, Any]) -> dict[str, Any]:
        return {"usage": None, **chunk} if self.include_usage else chunk


async def read_body(request: Request, limits: Limits) -> bytes:
    """The body, within its limits of bytes and seconds and of the right type. Raises `ApiError`."""
    # Also keeps out what another site's page may send to a server on loopback without asking: it cannot send JSON.
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise ApiError(415, "Send Content-Type: application/json.", code="unsupported_media_type")
    too_large = ApiError(413, f"The body may have {limits.max_body_bytes} bytes.", code="body_too_large")
    length = request.headers.get("content-length", "")
    if length.isascii() and length.isdecimal() and int(length[:20]) > limits.max_body_bytes:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(limits.body_limit_s):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limits.max_body_bytes:
                    raise too_large
    except TimeoutError:
        raise ApiError(408, f"The body did not arrive within {limits.body_limit_s:g} s.", code="timeout") from None
    except ClientDisconnect:
        raise ApiError(400, "The body ended early.", code="invalid_json") from None
    return bytes(body)


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


def _first(error: BaseException) -> BaseException:
    """The first error that task groups wrap."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
