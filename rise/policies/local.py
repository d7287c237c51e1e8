"""A transformers model in this process. Requests that arrive together are generated together.

Each reply is drawn from its own random stream, so a reply depends on its seed and on the batch it shares only
through floating-point rounding; with fixed batches it is reproducible to the bit. Without, rows come and go while the
batch runs (`decode.py`), where the model allows it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rise.errors import PolicyError
from rise.play.render import Renderer
from rise.policy import Reply, Request, Sampling, Waiting, answer

if TYPE_CHECKING:
    from rise.policies.continuous import ContinuousBatch, Row


TOKENS_AT_A_TIME = 8
"""Sampled in the thread before it hands over what ended; a hand-over costs about 0.1 ms."""


@dataclass(slots=True)
class _Asked:
    """One reply to be drawn."""

    prompt_ids: tuple[int, ...]
    seed: int
    gone: Callable[[], bool] | None = None


class LocalPolicy:
    """Batched sampling with `transformers`.

    With fixed batches, `reply` waits until every problem in flight is waiting for a reply and then generates for all of
    them: `enter` and `leave` say how many are in flight. Otherwise a request joins the batch that is running.
    """

    takes_ids = True

    def __init__(
        self,
        model: Any,
        renderer: Renderer,
        *,
        name: str,
        batch_size: int = 128,
        device: str | None = None,
        fixed_batches: bool = True,
    ) -> None:
        import torch

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
        self._waiting: list[Waiting] = []
        self._in_flight = 0
        self._busy = False
        self._task: asyncio.Task[None] | None = None
        """The batch being served; an event loop keeps no task alive by itself."""
        self.running: ContinuousBatch | None = None
        self._futures: dict[Row, asyncio.Future[Row]] = {}
        self.fixed_batches = fixed_batches
        if not fixed_batches:
            from rise.policies.continuous import ContinuousBatch

            if ContinuousBatch.can(self.model):
                pad = renderer.tokenizer.pad_token_id
                self.running = ContinuousBatch(
                    self.model, eos_ids=self.eos_ids, pad_id=self.eos_ids[0] if pad is None else pad, limit=batch_size, name=name
                )
                self.max_in_flight += max(1, batch_size // 4)  # so that somebody waits when a reply ends

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
    ) -> LocalPolicy:
        """A policy from a model directory or hub name. Raises `ModelError` naming what is missing."""
        from rise.training.model import load_model, weights_hash

        model, renderer = load_model(path, dtype=dtype, chat_format=chat_format)
        # Other roundings are other replies, which the ledger must not mistake for these.
        own = f"local-{weights_hash(path)}" + ("" if dtype == "float32" else f"-{dtype}")
        return cls(model, renderer, name=name or own, batch_size=batch_size, fixed_batches=fixed_batches)

    def enter(self) -> None:
        self._in_flight += 1

    def leave(self) -> None:
        self._in_flight -= 1
        self._serve_if_ready()

    async def reply(self, request: Request) -> list[Reply]:
        self._check(request)
        if self.running is not None:
            return await self._join(self.running, request)
        future: asyncio.Future[list[Reply]] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, future))
        self._serve_if_ready()
        return await future

    async def _join(self, batch: ContinuousBatch, request: Request) -> list[Reply]:
        """Replies from the batch that is running, which a request joins between two tokens."""
        from rise.policies.continuous import Row

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
                future.cancel()  # nobody waits for them any more, where this was cancelled
        return [self._reply(ids, row.sampled) for row in rows]

    async def _run(self, batch: ContinuousBatch) -> None:
        await asyncio.sleep(0)  # whoever asks in the same moment begins in the same batch
        try:
            while batch.busy:
                for row in await asyncio.to_thread(batch.advance, TOKENS_AT_A_TIME):
                    future = self._futures.pop(row, None)
                    if future is not None and not future.done():
                        future.set_result(row)
                await asyncio.sleep(0)  # those who got a reply ask for the next
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
        return await asyncio.to_thread(self._score, prompts, replies)

    def facts(self) -> dict[str, Any]:
        batch = self.running
        if batch is None or not batch.n_steps:
            return {}
        mean = round(batch.n_row_steps / batch.n_steps, 1)
        shared = {"prompt_tokens_shared": batch.n_prompt_tokens_shared} if batch.n_prompt_tokens_shared else {}
        kept = {"prompt_tokens_kept": batch.n_prompt_tokens_kept} if batch.n_prompt_tokens_kept else {}
        return {"batch": {"mean_rows": mean, "halved": batch.n_halved, "limit": batch.limit} | shared | kept}

    async def close(self) -> None:
        self.model = None
        self.running = None

    def _check(self, request: Request) -> None:
        if request.prompt_ids is None:
            raise PolicyError(f"{self.name} takes token ids, but the request carries none. Render the state first.")
        need = len(request.prompt_ids) + 1
        if self.max_length is not None and need > self.max_length:
            raise PolicyError(
                f"the state has {len(request.prompt_ids)} tokens, but {self.name} was built for {self.max_length}: there is no "
                "room for another reply. Lower state.window or evaluate.turns, or sampling.max_new_tokens."
            )

    def _serve_if_ready(self) -> None:
        # Whoever was cancelled (full disk, Ctrl-C) is not generated for.
        self._waiting = [(request, future) for request, future in self._waiting if not future.done()]
        if self._busy or not self._waiting or len(self._waiting) < self._in_flight:
            return
        self._busy = True
        batch, self._waiting = self._waiting, []
        self._task = asyncio.get_running_loop().create_task(self._serve(batch))

    async def _serve(self, batch: list[Waiting]) -> None:
        gone = [future.done for _, future in batch]  # cancelled: whoever asked went away
        try:
            await answer(batch, asyncio.to_thread(self.generate, [request for request, _ in batch], gone))
        finally:
            self._busy = False
            self._serve_if_ready()

    def generate(self, requests: Sequence[Request], gone: Sequence[Callable[[], bool]] | None = None) -> list[list[Reply]]:
        """Replies to all requests, in batches of at most `batch_size` rows of similar length. Blocking.

        `gone` says of each request whether nobody waits for it any more: its replies end where they are.
        """
        out: list[list[Reply | None]] = [[None] * len(r.seeds) for r in requests]
        rows = [
            (index, sample, _Asked(request.prompt_ids or (), seed, gone[index] if gone else None))
            for index, request in enumerate(requests)
            for sample, seed in enumerate(request.seeds)
        ]
        # Sampling settings differ between requests only in tests; grouping keeps one batch one setting.
        rows.sort(key=lambda r: (repr(requests[r[0]].sampling), len(r[2].prompt_ids), r[2].prompt_ids, r[2].seed))

        def kind(row: tuple[int, int, _Asked]) -> tuple[Sampling, int]:
            # One batch has one limit: a reply must not be cut earlier because a neighbour's prompt is longer.
            sampling = requests[row[0]].sampling
            return sampling, self._room(row[2].prompt_ids, sampling)

        start = 0
        while start < len(rows):
            sampling, room = kind(rows[start])
            end = start
            while end < len(rows) and end - start < self.batch_size and kind(rows[end]) == (sampling, room):
                end += 1
            chunk = rows[start:end]
            replies = self._within_memory([row for _, _, row in chunk], sampling, room)
            for (index, sample, _), reply in zip(chunk, replies, strict=True):
                out[index][sample] = reply
            start = end
        return [[reply for reply in replies if reply is not None] for replies in out]

    def _within_memory(self, rows: list[_Asked], sampling: Sampling, room: int) -> list[Reply]:
        import torch

        try:
            return self._generate(rows, sampling, room)
        except torch.OutOfMemoryError as error:
            if not self.fixed_batches and len(rows) > 1:
                self.batch_size = len(rows) // 2
                halves = rows[: self.batch_size], rows[self.batch_size :]
                return [reply for half in halves for reply in self._within_memory(half, sampling, room)]
            raise PolicyError(
                f"{self.name} ran out of memory while generating {len(rows)} replies together (batch_size = {self.batch_size}). "
                'Halve batch_size, or set model.dtype = "bfloat16". What is finished is kept.'
            ) from error

    def _room(self, prompt_ids: tuple[int, ...], sampling: Sampling) -> int:
        """How many tokens the reply may have."""
        if self.max_length is None:
            return sampling.max_new_tokens
        return min(sampling.max_new_tokens, self.max_length - len(prompt_ids))

    def _generate(self, rows: list[_Asked], sampling: Sampling, room: int) -> list[Reply]:
        import torch

        from rise.policies.continuous import stream

        pad = self.renderer.tokenizer.pad_token_id
        pad = self.eos_ids[0] if pad is None else pad
        longest = max(len(row.prompt_ids) for row in rows)
        ids = torch.full((len(rows), longest), pad, dtype=torch.long)
        mask = torch.zeros((len(rows), longest), dtype=torch.long)
        for i, row in enumerate(rows):
            ids[i, longest - len(row.prompt_ids) :] = torch.tensor(row.prompt_ids)
            mask[i, longest - len(row.prompt_ids) :] = 1
        draws = np.stack([stream(row.seed, room) for row in rows])
        sampler = _StreamSampler(torch.from_numpy(draws).to(self.device), longest, sampling)
        with torch.inference_mode():
            out = self.model.generate(
                input_ids=ids.to(self.device),
                attention_mask=mask.to(self.device),
                do_sample=False,
                num_beams=1,
                max_new_tokens=room,
                eos_token_id=self.eos_ids,
                pad_token_id=pad,
                logits_processor=[sampler],
                stopping_criteria=[_Gone(rows)] if any(row.gone for row in rows) else None,
                temperature=None,
                top_p=None,
                top_k=None,
                repetition_penalty=1.0,
                use_cache=True,
            )
        replies = []
        for row, full in zip(rows, out[:, longest:].tolist(), strict=True):
            end = next((i for i, token in enumerate(full) if token in self.eos_ids), None)
            sampled = tuple(full if end is None else full[: end + 1])
            replies.append(self._reply(row.prompt_ids, sampled))
        return replies

    def _reply(self, prompt_ids: tuple[int, ...], sampled: Sequence[int]) -> Reply:
        ids = tuple(sampled)
        finish = "stop" if ids and ids[-1] in self.eos_ids else "length"
        return Reply(self.renderer.text(ids), ids, finish, len(prompt_ids), len(ids))

    def _score(self, prompts: Sequence[Sequence[int]], replies: Sequence[Sequence[int]]) -> list[tuple[float, ...]]:
        import torch

        pairs = list(zip(prompts, replies, strict=True))
        lengths = [len(prompt) + len(reply) for prompt, reply in pairs]
        if self.max_length is not None and max(lengths, default=0) > self.max_length:
            raise PolicyError(
                f"a reply to be scored ends at token {max(lengths)} of its state, but {self.name} was built for "
                f"{self.max_length}. Lower state.window or evaluate.turns, or set evaluate.gold_probability = false."
            )
        out: list[tuple[float, ...]] = [()] * len(pairs)
        order = sorted(range(len(pairs)), key=lambda i: lengths[i])
        while order:
            # The longest is the last of the batch: so many rows of its length keep to the limit.
            n = next((n for n in range(len(order), 1, -1) if n * lengths[order[n - 1]] <= SCORED_TOKENS), 1)
            batch, order = order[:n], order[n:]
            ids = torch.zeros((n, max(2, lengths[batch[-1]])), dtype=torch.long)
            for row, i in enumerate(batch):
                # What fills a row stands behind its last token, where causal attention never looks.
                ids[row, : lengths[i]] = torch.tensor([*pairs[i][0], *pairs[i][1]])
            first = min(len(pairs[i][0]) for i in batch) - 1
            with torch.inference_mode():
                kept = self.model(input_ids=ids.to(self.device), use_cache=False, logits_to_keep=ids.shape[1] - first).logits
                chosen = torch.log_softmax(kept[:, :-1].float(), -1).gather(-1, ids[:, first + 1 :, None].to(self.device))
            for row, i in enumerate(batch):
                start = len(pairs[i][0]) - 1 - first
                out[i] = tuple(chosen[row, start : start + len(pairs[i][1]), 0].tolist())
        return out


SCORED_TOKENS = 8192
"""Tokens in one forward pass of `LocalPolicy.score`: logits of so many, in float32, are 4 GB for 128,000 words."""


class _Gone:
    """A stopping criterion: rows that nobody waits for any more are done, so a batch of such rows ends at once."""

    def __init__(self, rows: Sequence[_Asked]) -> None:
        self.rows = rows

    def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> Any:
        import torch

        return torch.tensor([row.gone is not None and row.gone() for row in self.rows], device=input_ids.device)


class _StreamSampler:
    """A logits processor that leaves one token standing per row: the one its own uniform draw falls on.

    `generate` then runs greedily. This is inverse-CDF sampling with one stream per row, which `do_sample=True`
    cannot give: there, one generator serves the whole batch.
    """

    def __init__(self, draws_BT: Any, prompt_length: int, sampling: Sampling) -> None:
        self.draws_BT = draws_BT
        self.prompt_length = prompt_length
        self.sampling = sampling

    def __call__(self, input_ids: Any, scores_BV: Any) -> Any:
        import torch

        from rise.policies.continuous import pick

        if self.sampling.temperature == 0:
            return scores_BV
        step = input_ids.shape[1] - self.prompt_length
        chosen = pick(scores_BV, self.draws_BT[:, step : step + 1], self.sampling)
        return torch.full_like(scores_BV, float("-inf")).scatter(-1, chosen, 0.0)
