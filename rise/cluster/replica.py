"""One copy of the policy on the cluster: a `local:` model or a vLLM server, in a Ray actor of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rise.cluster.node_process import Place
from rise.cluster.storage import Model
from rise.errors import PolicyError, RiseError
from rise.policy import Policy, Reply, Request
from rise.recipe.machines import EngineConfig

N_PROBED = 24
"""Tokens of the text whose log-probabilities all replicas must agree on."""


@dataclass(frozen=True, slots=True)
class Order:
    """What a replica is to hold."""

    model: Model
    kind: str
    """`local` or `vllm`."""
    batch_size: int
    dtype: str
    chat_format: str | None
    fixed_batches: bool
    engine: EngineConfig
    place: Place


@dataclass(frozen=True, slots=True)
class Hello:
    """What a replica says of itself when it is ready."""

    number: int
    name: str
    """Of its policy, with the content hash of the weights it has loaded."""
    scores: tuple[float, ...]
    """Log-probabilities, by the weights in its memory, of a text that is the same for all."""
    max_length: int | None
    max_in_flight: int
    host: str
    node: str
    pid: int


class Replica:
    """The actor. Its constructor loads the model, so Ray's restart is a whole new copy."""

    def __init__(self, number: int, order: Order) -> None:
        self.number, self.order = number, order
        order.place.settle(f"replica-{number}")
        print(f"replica {number}: {order.kind} {order.model.path} on {socket.gethostname()}, process {os.getpid()}", flush=True)
        self.policy: Policy = _load(order)
        self._scores: tuple[float, ...] | None = None
        print(f"replica {number}: ready, {self.policy.name}", flush=True)

    async def hello(self) -> Hello:
        import ray

        if self._scores is None:
            n_words = len(self.policy.renderer.tokenizer)
            ids = [(7 * i + 1) % n_words for i in range(N_PROBED)]  # ids, since not every tokenizer can write every text
            [self._scores] = await self.policy.score([ids[:1]], [ids[1:]])
        return Hello(
            self.number,
            self.policy.name,
            self._scores,
            self.policy.max_length,
            self.policy.max_in_flight,
            socket.gethostname(),
            ray.get_runtime_context().get_node_id(),
            os.getpid(),
        )

    async def reply(self, request: Request) -> list[Reply]:
        """Joins whatever is being generated."""
        with _plainly():
            self._enter(1)
            try:
                return await self.policy.reply(request)
            finally:
                self._leave(1)

    async def batch(self, requests: Sequence[Request]) -> list[list[Reply]]:
        """Generated together and with nothing else: the batch that a run on one machine would make of them."""
        with _plainly():
            self._enter(len(requests))
            try:
                return list(await asyncio.gather(*(self.policy.reply(request) for request in requests)))
            finally:
                self._leave(len(requests))

    async def score(self, prompts: Sequence[Sequence[int]], replies: Sequence[Sequence[int]]) -> list[tuple[float, ...]]:
        with _plainly():
            return await self.policy.score(prompts, replies)

    async def facts(self) -> dict[str, Any]:
        return self.policy.facts()

    async def stop(self) -> None:
        """Give the accelerator back; returns when it is free."""
        from rise.policies import stop_engines
        from rise.policies.vllm import VllmPolicy

        if isinstance(self.policy, VllmPolicy) and self.order.place.logs:
            with contextlib.suppress(OSError):
                log = self.policy.served.engine.log
                shutil.copyfile(log, Path(self.order.place.logs) / f"replica-{self.number}-engine.log")
        await self.policy.close()
        await asyncio.to_thread(stop_engines)

    def _enter(self, n: int) -> None:
        for _ in range(n):
            self.policy.enter()

    def _leave(self, n: int) -> None:
        for _ in range(n):
            self.policy.leave()


def _load(order: Order) -> Policy:
    with _plainly():
        path = order.model.fetch()
        if order.kind == "vllm":
            from rise.policies.vllm import VllmPolicy

            return VllmPolicy.load(path, order.engine, dtype=order.dtype, chat_format=order.chat_format)
        from rise.policies.local import LocalPolicy

        return LocalPolicy.load(
            path,
            batch_size=order.batch_size,
            dtype=order.dtype,
            chat_format=order.chat_format,
            fixed_batches=order.fixed_batches,
        )


@contextlib.contextmanager
def _plainly() -> Any:
    """Errors of ours as ones that any process can read: text alone."""
    try:
        yield
    except RiseError as error:
        raise PolicyError(str(error)) from None
