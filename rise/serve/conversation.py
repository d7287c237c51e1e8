"""The choices of one request while they are played: a task for each, and a queue of what happens."""

from __future__ import annotations

import asyncio
import json
import logging
import math
from dataclasses import dataclass

from rise.errors import Busy, PolicyError, Unanswerable
from rise.serve.admission import Ticket
from rise.serve.keep import Keeper
from rise.serve.meters import Meters
from rise.serve.middleware import described
from rise.serve.own_code import OwnCodeError
from rise.serve.requests import ApiError
from rise.serve.revise import Ask, Outcome, Reviser, TooLong, Unrenderable
from rise.trajectory import Turn

log = logging.getLogger("rise.serve")


@dataclass(slots=True)
class Event:
    """A turn of a choice came in, or (without a turn) the choice ended."""

    choice: int
    turn: Turn | None = None
    number: int = 0
    outcome: Outcome | None = None


class Conversation:
    """The choices of one request, played in tasks beside the connection: a slow reader holds no place."""

    def __init__(
        self,
        reviser: Reviser,
        meters: Meters,
        ask: Ask,
        n: int,
        ticket: Ticket,
        name: str,
        most_bytes: int,
        *,
        log_text: bool = False,
        keeper: Keeper | None = None,
    ) -> None:
        """`most_bytes`: of what all turns hold, beyond which the request fails."""
        self.reviser, self.meters, self.log_text, self.keeper = reviser, meters, log_text, keeper
        self.ask, self.ticket, self.name = ask, ticket, name
        self.most_bytes, self.n_bytes = most_bytes, 0
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
        def on_turn(turn: Turn, number: int) -> None:
            self.meters.turn(turn)
            self._count(turn)
            self.events.put_nowait(Event(index, turn, number))
            if self.log_text:
                log.info("%s choice %d turn %d says %s", self.name, index, number, json.dumps(turn.reply))

        async with self.ticket.place():
            outcome = await self.reviser.revise(self.ask, index, on_turn)
        self.meters.outcome(outcome)
        if self.keeper is not None:
            self.keeper.keep(self.ask, outcome)
        self.events.put_nowait(Event(index, outcome=outcome))
        return outcome

    def _count(self, turn: Turn) -> None:
        texts = (turn.reply, turn.feedback or "", *(other.reply for other in turn.beside))
        self.n_bytes += sum(map(len, texts))
        if self.n_bytes > self.most_bytes:
            raise ApiError(
                400,
                f"The turns of this request hold more than {self.most_bytes} bytes: ask for fewer turns or choices, for shorter "
                "replies, or something shorter.",
                code="answer_too_large",
            )

    async def finished(self) -> list[Outcome]:
        """All outcomes, in the order of the choices. Raises `ApiError` where a choice failed."""
        try:
            return await self.task
        except asyncio.CancelledError:
            raise
        except Exception as error:
            raise self.trouble(error) from error

    def trouble(self, error: Exception) -> ApiError:
        """The error for the client. It is logged here, without the text of the conversation."""
        if isinstance(error, ApiError):
            return error
        if isinstance(error, TooLong):
            return ApiError(400, str(error), param="messages", code="context_length_exceeded")
        if isinstance(error, Unrenderable):
            return ApiError(400, str(error), param="messages", code="invalid_value")
        if isinstance(error, Busy):
            wait_s = max(1, math.ceil(error.rest_s))
            return ApiError(
                503,
                f"The engine behind this server asks to be spared for {wait_s} s. Try again then.",
                code="engine_busy",
                kind="engine_error",
                headers={"retry-after": str(wait_s)},
            )
        if isinstance(error, PolicyError):
            self.meters.failures.inc()
            log.error("%s the engine: %s", self.name, described(error, self.log_text))
        if isinstance(error, Unanswerable):
            return ApiError(
                400,
                f"The engine behind this server refuses this request; the server's log has it under {self.name}. Asking again "
                "would not help: ask for other sampling, or something else.",
                code="engine_refused",
            )
        if isinstance(error, PolicyError):
            return ApiError(
                502,
                f"The engine behind this server gave no reply; the server's log has it under {self.name}.",
                code="engine_error",
                kind="engine_error",
            )
        log.error("%s %s", self.name, described(error, self.log_text))
        if isinstance(error, OwnCodeError):
            return ApiError(500, f"{error} The server's log has it under {self.name}.", code="own_code")
        return ApiError(500, f"Something broke in the server; its log has it under {self.name}.")

    async def end(self) -> None:
        """Cancel the choices that still run; the policy sees a cancelled call."""
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


def _first(error: BaseException) -> BaseException:
    """The first error that task groups wrap."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
