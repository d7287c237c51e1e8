"""A policy is anything that replies: conversations in, replies out, asynchronously."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol

from rise.trajectory import Message


@dataclass(frozen=True, slots=True)
class Sampling:
    """How replies are drawn. The defaults are the reference code's: temperature 1, no truncation of the distribution."""

    temperature: float = 1.0
    """0 is greedy."""
    top_p: float = 1.0
    max_new_tokens: int = 512


@dataclass(frozen=True, slots=True)
class Request:
    """One state, and how many replies are wanted at it."""

    messages: tuple[Message, ...]
    sampling: Sampling
    seeds: tuple[int, ...]
    """One per wanted reply: each (problem, turn, sample) has its own random stream."""
    prompt_ids: tuple[int, ...] | None = None
    """The same state as token ids, for policies that take ids."""
    problem: str = ""
    """Id of the problem: its requests go to the same server, which still holds the keys and values of the turns before."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a policy wrote."""

    text: str
    ids: tuple[int, ...] | None
    """Token ids as sampled, the end-of-turn token included when `finish` is `stop`; None where unknown."""
    finish: str
    """`stop`, `length`, or `refused`: the endpoint or its model declined, which never trains and is counted."""
    n_prompt_tokens: int | None
    n_reply_tokens: int | None


GROUP: ContextVar[int] = ContextVar("GROUP", default=0)
"""The fixed group of problems that the running task belongs to: where batches are fixed, replies are batched within it."""


class Policy(Protocol):
    """Anything that replies. Some also have

    - `splits = True`: N replies are better asked for by N requests, since each is then filed the moment it arrives;
    - `enter()`, `leave()`: told when a problem is begun and ended;
    - `lanes`: how many fixed groups of problems may be under way at once, each in batches of its own; `GROUP` names the group;
    - `facts()`: what happened on the way, for the run's log, such as requests sent again, by reason;
    - `async score(prompts, replies) -> list[tuple[float, ...]]`: token ids in, log-probabilities of the replies' tokens out.
    """

    name: str
    """Content hash or served name: part of every ledger key, so a new model never reuses an old reply."""
    takes_ids: bool
    """Whether `Request.prompt_ids` must be given."""
    max_in_flight: int
    """How many problems may be under way at once."""

    async def reply(self, request: Request) -> list[Reply]:
        """`len(request.seeds)` replies, in the order of the seeds. Raises `PolicyError` when it cannot."""
        ...

    async def close(self) -> None: ...


Waiting = tuple[Request, asyncio.Future[list[Reply]]]
"""A request that is answered together with others, and what whoever asked it waits for."""


async def answer(batch: Sequence[Waiting], replies: Awaitable[Sequence[list[Reply]]]) -> None:
    """Give everybody in the batch their replies when they are there, or the error that came instead; pass over who went away."""
    try:
        found = await replies
    except BaseException as error:
        for _, future in batch:
            if not future.done():
                future.set_exception(error)
    else:
        for (_, future), result in zip(batch, found, strict=True):
            if not future.done():
                future.set_result(result)


def stream_seed(*parts: object) -> int:
    """A 63-bit seed for one random stream, from what the stream is for.

    >>> stream_seed(0, "p1", 2, 0) == stream_seed(0, "p1", 2, 0) != stream_seed(0, "p1", 2, 1)
    True
    """
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def request_key(policy_name: str, request: Request, seed: int) -> str:
    """Content hash of (model, prompt, sampling, seed): what the ledger files a reply under."""
    prompt: Sequence[object] = request.prompt_ids or [f"{m.role}\x1e{m.content}" for m in request.messages]
    parts = [policy_name, *prompt, request.sampling, seed]
    return hashlib.sha256("\x1f".join(map(str, parts)).encode()).hexdigest()[:24]
