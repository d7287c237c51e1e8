"""The chat route: a request in, a completion or a stream of chunks out."""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import dataclass

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from rise.serve.admission import Full, Gate
from rise.serve.conversation import Conversation
from rise.serve.keep import Keeper
from rise.serve.meters import Meters
from rise.serve.requests import ApiError, Limits, Served, read_request, to_ask
from rise.serve.responses import Completion
from rise.serve.revise import Ask, Reviser
from rise.serve.stream import Stream, unless_gone
from rise.serve.web.answers import Json

log = logging.getLogger("rise.serve")


@dataclass(slots=True)
class Chat:
    """The chat route and what it needs."""

    reviser: Reviser
    served: Served
    limits: Limits
    gate: Gate
    meters: Meters
    log_text: bool = False
    keeper: Keeper | None = None

    async def respond(self, request: Request) -> Response:
        """The response to one request. Raises `ApiError`."""
        asked = read_request(await read_body(request, self.limits))
        ask = to_ask(asked, self.served, self.limits)
        name = request.state.request_id
        if self.log_text:
            log.info("%s asks %s", name, json.dumps([[m.role, m.content] for m in ask.messages]))
        completion = Completion(asked.model, ask, bool(asked.rise and asked.rise.return_turns))
        n = asked.n or 1
        self._check_size(ask, n)
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
        conversation = Conversation(
            *(self.reviser, self.meters, ask, n, ticket, name, self.limits.max_answer_bytes),
            log_text=self.log_text,
            keeper=self.keeper,
        )
        if asked.stream:
            include_usage = bool(asked.stream_options and asked.stream_options.include_usage)
            return await Stream.begun(conversation, completion, self.limits, include_usage, request.receive)
        try:
            outcomes = await unless_gone(request.receive, conversation.finished())
        except ClientDisconnect:
            self.meters.cancelled.inc()
            return Response(status_code=499)  # for the log: the client has gone
        finally:
            await conversation.end()
        return Json(completion.whole(outcomes))

    def _check_size(self, ask: Ask, n: int) -> None:
        """Raises `ApiError` where feedback that repeats the question alone makes the answer too large."""
        repeated = len(ask.messages[-1].content) * ask.turns * n if self.reviser.repeats_question else 0
        if repeated > self.limits.max_answer_bytes:
            raise ApiError(
                400,
                f"The question is repeated after each of {ask.turns} turns of {n} choices, {repeated} characters in all, but an "
                f"answer may have {self.limits.max_answer_bytes}: ask for fewer, or shorten it.",
                param="messages",
                code="answer_too_large",
            )


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
