"""A Python function as a policy: messages in, text out. What stands in for a model in a notebook, or wraps one of your own."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import traceback
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from rise.errors import PolicyError
from rise.policy import Policy, Reply, Request

Messages = list[dict[str, str]]
"""`[{"role": "user", "content": "2+2?"}, …]`, as chat templates and chat APIs take them."""


class FunctionPolicy(Policy):
    """Calls `function(messages)` once for each reply. It returns the text, or an awaitable of it.

    >>> policy = FunctionPolicy(lambda messages: "I say " + messages[-1]["content"], name="echo")
    >>> from rise.policy import Sampling
    >>> from rise.trajectory import Message
    >>> [reply] = asyncio.run(policy.reply(Request((Message("user", "hello"),), Sampling(), seeds=(0,))))
    >>> reply.text
    'I say hello'
    """

    splits = True
    batched = False

    def __init__(
        self, function: Callable[[Messages], str | Awaitable[str]], name: str | None = None, *, n_at_once: int | None = None
    ) -> None:
        """`name` is part of every ledger key; by default module:qualname with a hash of the source, where that can be read, so
        that a function which was changed is asked again.

        `n_at_once` calls run side by side: by default 32 of an async function, one of any other, which is called in a thread and
        may not stand being called twice at once.
        """
        self.function = function
        self.name = name or name_of(function)
        self.is_async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004
        self.max_in_flight = n_at_once or (32 if self.is_async else 1)
        self._threads = None if self.is_async else ThreadPoolExecutor(self.max_in_flight, thread_name_prefix="rise-function")

    async def reply(self, request: Request) -> list[Reply]:
        return [await self._one(request) for _ in request.seeds]

    async def _one(self, request: Request) -> Reply:
        messages = [{"role": message.role, "content": message.content} for message in request.messages]
        try:
            said: Any
            if self._threads is None:
                said = self.function(messages)
            else:
                said = await asyncio.get_running_loop().run_in_executor(self._threads, self.function, messages)
            text = await said if inspect.isawaitable(said) else said
        except Exception as error:  # whatever a function of yours raises
            place = traceback.extract_tb(error.__traceback__)[-1]
            raise PolicyError(
                f"{self.name} raised {type(error).__name__} ({error}) at {place.filename}:{place.lineno}. "
                "What is finished is kept."
            ) from error
        if not isinstance(text, str):
            raise PolicyError(f"{self.name} returned {text!r}; expected text.")
        return Reply(text, None, "stop", None, None)


def name_of(function: Callable[..., Any]) -> str:
    """`function-module:qualname-hash`; without the hash where the source cannot be read."""
    kind = function if hasattr(function, "__qualname__") else type(function)
    name = f"function-{kind.__module__}:{kind.__qualname__}"
    try:
        source = inspect.getsource(kind)
    except (OSError, TypeError):
        return name
    return f"{name}-{hashlib.sha256(source.encode()).hexdigest()[:12]}"
