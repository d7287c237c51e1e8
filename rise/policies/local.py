"""A transformers model in this process. Requests that arrive together are generated together.

Each reply is drawn from its own random stream, so a reply depends on its seed and on the batch it shares only
through floating-point rounding; with fixed batches it is reproducible to the bit. Without, rows come and go while the
batch runs (`continuous.py`), where the model allows it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from rise.errors import FullContext, PolicyError
from rise.play.render import Renderer
from rise.policies.batching import Gathering, Waiting, answer
from rise.policies.captured import CapturedBatch
from rise.policies.continuous import ContinuousBatch, Row
from rise.policies.fixed_batch import Asked, batches, sample
from rise.policies.padding import pads_exactly
from rise.policies.scoring import score
from rise.policy import Policy, Reply, Request, Sampling
from rise.training.model import load_model
from rise.training.weights import weights_hash

TOKENS_AT_A_TIME = 8
"""Sampled in the thread before it hands over what ended; a hand-over costs about 0.1 ms."""


class LocalPolicy(Policy):
    """Batched sampling with `transformers`.

    With fixed batches, `reply` waits until every problem in flight is waiting for a reply and then generates for all of
    them: `enter` and `leave` say how many are in flight. Otherwise a request joins the batch that is running.
    """

    takes_ids = True
    scores = True

    def __init__(
        self,
        model: Any,
        renderer: Renderer,
        *,
        name: str,
        batch_size: int = 128,
        device: str | None = None,
        fixed_batches: bool = True,
        captured: bool = False,
    ) -> None:
        self.device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self.model = model.to(self.device).eval()
        self.renderer = renderer
        self.name = name
        self.batch_size = batch_size
        self.max_in_flight = batch_size
        self.max_length = getattr(model.config, "max_position_embeddings", None)
        # One set for sampling and for rendering: a reply ends in training where it ends here.
        renderer.add_ends(model.generation_config)
        self.eos_ids = sorted(renderer.eos_ids)
        pad_id = renderer.tokenizer.pad_token_id
        self.pad_id: int = self.eos_ids[0] if pad_id is None else pad_id
        self._gathering = Gathering()
        self._busy = False
        self._task: asyncio.Task[None] | None = None
        """The batch being served; an event loop keeps no task alive by itself."""
        self.running: ContinuousBatch | None = None
        self._futures: dict[Row, asyncio.Future[Row]] = {}
        self.fixed_batches = fixed_batches
        if not fixed_batches and ContinuousBatch.can(self.model):
            kind = CapturedBatch if captured and CapturedBatch.can(self.model) else ContinuousBatch
            self.running = kind(self.model, eos_ids=self.eos_ids, pad_id=self.pad_id, limit=batch_size, name=name)
            self.max_in_flight += max(1, batch_size // 4)  # so that a request is waiting when a reply ends

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        name: str | None = None,
        batch_size: int = 128,
        dtype: str = "float32",
        chat_format: str | None = None,
        fixed_batches: bool = True,
        captured: bool = False,
    ) -> LocalPolicy:
        """A policy from a model directory or hub name. Raises `ModelError` naming what is missing."""
        model, renderer = load_model(path, dtype=dtype, chat_format=chat_format)
        # Other roundings are other replies, which the ledger must not mistake for these.
        own = f"local-{weights_hash(path)}" + ("" if dtype == "float32" else f"-{dtype}")
        return cls(model, renderer, name=name or own, batch_size=batch_size, fixed_batches=fixed_batches, captured=captured)

    def enter(self) -> None:
        self._gathering.n_in_flight += 1

    def leave(self) -> None:
        self._gathering.n_in_flight -= 1
        self._serve_if_ready()

    async def reply(self, request: Request) -> list[Reply]:
        self._check(request)
        if self.running is not None:
            return await self._join(self.running, request)
        future = self._gathering.wait(request)
        self._serve_if_ready()
        return await future

    async def _join(self, batch: ContinuousBatch, request: Request) -> list[Reply]:
        """Replies from the batch that is running, which a request joins between two tokens."""
        loop = asyncio.get_running_loop()
        ids = request.prompt_ids or ()
        futures: list[asyncio.Future[Row]] = []
        for seed in request.seeds:
            future: asyncio.Future[Row] = loop.create_future()
            row = Row(ids, seed, request.sampling, self._room(ids, request.sampling), gone=future.done, problem=request.problem)
            self._futures[row] = future
            futures.append(future)
            batch.waiting.append(row)
        if self._task is None or self._task.done():
            self._task = loop.create_task(self._run(batch))
        try:
            rows = [await future for future in futures]
        finally:
            for future in futures:
                future.cancel()  # where this was cancelled, their replies are not wanted any more
        return [self._reply(ids, row.sampled) for row in rows]

    async def _run(self, batch: ContinuousBatch) -> None:
        await asyncio.sleep(0)  # requests of the same moment begin in the same batch
        try:
            while batch.busy:
                for row in await asyncio.to_thread(batch.advance, TOKENS_AT_A_TIME):
                    future = self._futures.pop(row, None)
                    if future is not None and not future.done():
                        future.set_result(row)
                await asyncio.sleep(0)  # problems that got a reply ask for their next
        except BaseException as error:
            for future in self._futures.values():
                if not future.done():
                    future.set_exception(error)
            batch.clear()
        finally:
            self._futures = {row: future for row, future in self._futures.items() if not future.done()}

    async def score(self, prompts: Sequence[Sequence[int]], replies: Sequence[Sequence[int]]) -> list[tuple[float, ...]]:
        """Natural log-probability of each token of each reply after its prompt, at temperature 1: one tuple a pair.

        Raises `PolicyError` where prompt and reply together are longer than the model was built for.
        """
        longest = max((len(prompt) + len(reply) for prompt, reply in zip(prompts, replies, strict=True)), default=0)
        if self.max_length is not None and longest > self.max_length:
            raise PolicyError(
                f"a reply to be scored ends at token {longest} of its state, but {self.name} was built for "
                f"{self.max_length}. Lower state.window or evaluate.turns, or set evaluate.gold_probability = false."
            )
        return await asyncio.to_thread(score, self.model, prompts, replies, self.device)

    def facts(self) -> dict[str, Any]:
        batch = self.running
        if batch is None or not batch.n_steps:
            return {}
        mean = round(batch.n_row_steps / batch.n_steps, 1)
        shared = {"prompt_tokens_shared": batch.n_prompt_tokens_shared} if batch.n_prompt_tokens_shared else {}
        kept = {"prompt_tokens_kept": batch.n_prompt_tokens_kept} if batch.n_prompt_tokens_kept else {}
        slots = {"captured": batch.n_captured} if isinstance(batch, CapturedBatch) else {}
        return {"batch": {"mean_rows": mean, "halved": batch.n_halved, "limit": batch.limit} | shared | kept | slots}

    async def close(self) -> None:
        self.model = None
        self.running = None

    def _check(self, request: Request) -> None:
        if request.prompt_ids is None:
            raise PolicyError(f"{self.name} takes token ids, but the request carries none. Render the state first.")
        need = len(request.prompt_ids) + 1
        if self.max_length is not None and need > self.max_length:
            raise FullContext(
                f"the state has {len(request.prompt_ids)} tokens, but {self.name} was built for {self.max_length}: there is no "
                "room for another reply. Lower state.window or evaluate.turns, or sampling.max_new_tokens."
            )

    def _serve_if_ready(self) -> None:
        if not self._busy and (batch := self._gathering.take()):
            self._busy = True
            self._task = asyncio.get_running_loop().create_task(self._serve(batch))

    async def _serve(self, batch: list[Waiting]) -> None:
        gone = [future.done for _, future in batch]  # cancelled
        try:
            await answer(batch, asyncio.to_thread(self.generate, [request for request, _ in batch], gone))
        finally:
            self._busy = False
            self._serve_if_ready()

    def generate(self, requests: Sequence[Request], gone: Sequence[Callable[[], bool]] | None = None) -> list[list[Reply]]:
        """Replies to all requests, in batches of at most `batch_size` rows of similar length. Blocking.

        `gone` says of each request whether its caller was cancelled: then its replies end where they are. Raises `PolicyError`
        where memory does not suffice.
        """
        out: list[list[Reply | None]] = [[None] * len(r.seeds) for r in requests]
        for batch in batches(requests, self.batch_size, self._room, gone, pads=self._pads):
            replies = self._within_memory(list(batch.rows), batch.sampling, batch.room)
            for (index, place), reply in zip(batch.places, replies, strict=True):
                out[index][place] = reply
        return [[reply for reply in replies if reply is not None] for replies in out]

    @cached_property
    def _pads(self) -> bool:
        """Whether rows may stand in one batch."""
        return pads_exactly(self.model, self.pad_id)

    def _within_memory(self, rows: list[Asked], sampling: Sampling, room: int) -> list[Reply]:
        try:
            return self._generate(rows, sampling, room)
        except torch.OutOfMemoryError as error:
            if self.fixed_batches or len(rows) == 1:
                raise PolicyError(
                    f"{self.name} ran out of memory while generating {len(rows)} replies together (batch_size = "
                    f'{self.batch_size}). Halve batch_size, or set model.dtype = "bfloat16". What is finished is kept.'
                ) from error
        # Behind the handler: its error holds the frames of the attempt, and with them the cache that was too large.
        self.batch_size = len(rows) // 2
        halves = rows[: self.batch_size], rows[self.batch_size :]
        return [reply for half in halves for reply in self._within_memory(half, sampling, room)]

    def _room(self, prompt_ids: tuple[int, ...], sampling: Sampling) -> int:
        """How many tokens the reply may have."""
        if self.max_length is None:
            return sampling.max_new_tokens
        return min(sampling.max_new_tokens, self.max_length - len(prompt_ids))

    def _generate(self, rows: list[Asked], sampling: Sampling, room: int) -> list[Reply]:
        sampled = sample(self.model, rows, sampling, room, eos_ids=self.eos_ids, pad_id=self.pad_id, device=self.device)
        return [self._reply(row.prompt_ids, ids) for row, ids in zip(rows, sampled, strict=True)]

    def _reply(self, prompt_ids: tuple[int, ...], sampled: Sequence[int]) -> Reply:
        ids = tuple(sampled)
        finish = "stop" if ids and ids[-1] in self.eos_ids else "length"
        return Reply(self.renderer.text(ids), ids, finish, len(prompt_ids), len(ids))
