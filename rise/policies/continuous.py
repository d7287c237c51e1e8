"""Continuous batching with `transformers`: a reply that ends makes room at once, a request that arrives joins the running batch.

`generate` holds a batch until its longest reply has ended and copies all keys and values at every token. Here rows come
and go between tokens, a prompt that N samples share is read once, of a later turn's prompt only what the turn before did
not hold, and a token is appended in place.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer

from rise.errors import PolicyError
from rise.policies.padding import keeps_plainly
from rise.policies.prefix_cache import Conversations, Kept
from rise.policy import Sampling

SLACK = 64
"""Tokens by which the room for keys and values grows: copying them is what costs."""
LONGEST_WAIT = 8
"""Tokens after which waiting rows join, however few: joining copies the keys and values of all rows."""
PADDING = 0.75
"""Prompts are read together when the shortest has at least this share of the longest one's unread tokens."""
FEW = 16
"""Unread tokens that make no difference: reading one token or so many takes about as long."""


@dataclass(eq=False, slots=True)
class Row:
    """One reply on its way."""

    prompt_ids: tuple[int, ...]
    seed: int
    sampling: Sampling
    room: int
    """Most tokens it may have."""
    sampled: list[int] = field(default_factory=list)
    ended: bool = False
    gone: Callable[[], bool] = lambda: False
    """Whether its caller was cancelled."""
    problem: str = ""
    """Whose later turns may begin as this one does; empty where there are none."""
    draws: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.draws = stream(self.seed, self.room)


def stream(seed: int, n: int) -> np.ndarray:
    """The uniform draws of one reply."""
    return np.random.Generator(np.random.Philox(seed)).random(n, dtype=np.float64)


def pick(scores_BV: Any, draws_B1: Any, sampling: Sampling) -> Any:
    """Token ids [B, 1]: in each row the one that its own uniform draw falls on (inverse-CDF sampling)."""
    if sampling.temperature == 0:
        return scores_BV.argmax(-1, keepdim=True)
    scores_BV = scores_BV.double()
    if sampling.temperature != 1:
        scores_BV = scores_BV / sampling.temperature
    probabilities = torch.softmax(scores_BV, dim=-1)
    order = None
    if sampling.top_p < 1:
        probabilities, order = probabilities.sort(dim=-1, descending=True)
        before = probabilities.cumsum(-1) - probabilities
        probabilities = probabilities.masked_fill(before >= sampling.top_p, 0.0)
    cumulative = probabilities.cumsum(-1)
    target = draws_B1 * cumulative[:, -1:]
    chosen = torch.searchsorted(cumulative, target, right=True).clamp(max=scores_BV.shape[-1] - 1)
    return chosen if order is None else order.gather(-1, chosen)


class _Layer(DynamicLayer):
    """Keys and values [B, heads, room, dim] of which `n` are in use, so that a token is written in place."""

    def __init__(self, keys: Any, values: Any, n: int) -> None:
        super().__init__()
        self.room_keys, self.room_values, self.n = keys, values, n
        self.dtype, self.device, self.is_initialized = keys.dtype, keys.device, True
        self._show()

    def _show(self) -> None:
        self.keys, self.values = self.room_keys[:, :, : self.n], self.room_values[:, :, : self.n]

    def update(self, key_states: Any, value_states: Any, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        end = self.n + key_states.shape[-2]
        if end > self.room_keys.shape[-2]:
            self.room_keys, self.room_values = _wider(self.keys, end), _wider(self.values, end)
        self.room_keys[:, :, self.n : end] = key_states
        self.room_values[:, :, self.n : end] = value_states
        self.n = end
        self._show()
        return self.keys, self.values

    def get_seq_length(self) -> int:
        return self.n


def _wider(old: Any, n: int) -> Any:
    new = old.new_empty((*old.shape[:2], n + SLACK, old.shape[3]))
    new[:, :, : old.shape[2]] = old
    return new


@dataclass(slots=True)
class _Group:
    """Rows with the keys and values of their tokens, right-aligned to a common length."""

    rows: list[Row]
    layers: list[tuple[Any, Any]]
    """Keys and values of each layer, [B, heads, T, dim]."""
    mask_BT: Any
    last_B1: Any
    """The token that each row has to read next."""

    def chosen(self, kept: Sequence[int]) -> _Group:
        """Some of the rows, less the padding that all of them have on the left. Views where that will do."""
        if len(kept) == len(self.rows):
            index: Any = slice(None)
        else:
            index = torch.tensor(kept, device=self.mask_BT.device)
        mask = self.mask_BT[index]
        start = int((mask.cumsum(-1) == 0).sum(-1).min()) if len(kept) else 0
        layers = [(keys[index][:, :, start:], values[index][:, :, start:]) for keys, values in self.layers]
        return _Group([self.rows[i] for i in kept], layers, mask[:, start:], self.last_B1[index])


@dataclass(slots=True)
class _Prompt:
    """A prompt to be read for the rows that share it."""

    ids: tuple[int, ...]
    rows: list[Row]
    kept: Kept
    n_unread: int = field(init=False)

    def __post_init__(self) -> None:
        self.n_unread = len(self.ids) - self.kept.n_common(self.ids)


def _laid(prompts: list[_Prompt], n_kept: list[int], longest: int, room: int) -> list[tuple[Any, Any]]:
    """What is kept of each prompt, right-aligned at token `longest`: keys and values of each layer, [B, heads, room, dim]."""
    some = next(prompt.kept for prompt, n in zip(prompts, n_kept, strict=True) if n)
    out = []
    for number, layer in enumerate(some.layers):
        pair = tuple(part.new_zeros((len(prompts), part.shape[0], room, part.shape[2])) for part in layer)
        for i, (prompt, n) in enumerate(zip(prompts, n_kept, strict=True)):
            if n:
                for whole, part in zip(pair, prompt.kept.layers[number], strict=True):
                    whole[i, :, longest - n : longest] = part[:, :n]
        out.append(pair)
    return out


class ContinuousBatch:
    """At most `limit` rows at once; the limit is halved when memory runs out, and what was under way is read again."""

    def __init__(self, model: Any, *, eos_ids: Sequence[int], pad_id: int, limit: int, name: str) -> None:
        self.model, self.name = model, name
        self.eos_ids, self.pad_id = frozenset(eos_ids), pad_id
        self.limit = limit
        self.shares = True
        """Whether samples of one prompt share its reading; benchmarks turn it off."""
        self.n_halved = 0
        self.n_steps = 0
        self.n_row_steps = 0
        """Tokens sampled in those steps; a quotient of the two is how full the batch was."""
        self.n_prompt_tokens_shared = 0
        """Prompt tokens that were not read again because another sample's keys and values were there."""
        self.n_prompt_tokens_kept = 0
        """The same, because an earlier turn's were."""
        self.kept = Conversations(model.device, most=2 * limit)  # problems that go on, and some that ended since
        self.waiting: deque[Row] = deque()
        self._rows: list[Row] = []
        self._cache: Cache | None = None
        self._mask_BT: Any = None
        self._last_B1: Any = None
        self._waited = 0
        self._done: list[Row] = []
        """Ended and not yet handed back."""

    @staticmethod
    def can(model: Any) -> bool:
        """Whether the model keeps plain keys and values of every token in every layer, and leaves padding out."""
        layers = DynamicCache(config=model.config).layers
        return bool(layers) and all(type(layer) is DynamicLayer for layer in layers) and keeps_plainly(model)

    @property
    def busy(self) -> bool:
        return bool(self.waiting or self._rows)

    def advance(self, n_tokens: int) -> list[Row]:
        """Sample so many tokens for every row; returns the rows that ended. Blocking."""
        with torch.inference_mode():
            for _ in range(n_tokens):
                try:
                    self._regroup()
                    if not self._rows:
                        break
                    self._step()
                except torch.OutOfMemoryError as error:
                    self._halve(error)
        done, self._done = self._done, []
        return done

    def clear(self) -> list[Row]:
        """Forget everything; returns the rows that had not ended."""
        left = [row for row in (*self._rows, *self.waiting) if not row.ended]
        self.waiting.clear()
        self._rows, self._cache, self._mask_BT, self._last_B1 = [], None, None, None
        return left

    def _halve(self, error: Exception) -> None:
        n = min(self.limit, len(self._rows) + len(self.waiting))
        if n <= 1:
            raise PolicyError(
                f"{self.name} ran out of memory with a single reply under way. Lower sampling.max_new_tokens or state.window, or "
                'set model.dtype = "bfloat16". What is finished is kept.'
            ) from error
        rows = self.clear()
        self.waiting.extend(rows)
        self.kept.give_up()
        self.limit = max(1, n // 2)
        self.n_halved += 1
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _regroup(self) -> None:
        """Drop rows that ended, let in those that wait, where that is worth the copy."""
        for row in self._rows:
            row.ended = row.ended or row.gone()
        while self.waiting and self.waiting[0].gone():
            self.waiting.popleft()
        kept = [i for i, row in enumerate(self._rows) if not row.ended]
        n_new = min(len(self.waiting), self.limit - len(kept))
        self._waited = self._waited + 1 if n_new else 0
        quarter = max(1, self.limit // 4)
        joins = n_new and (not kept or n_new >= quarter or self._waited > LONGEST_WAIT)
        if not joins and (len(self._rows) - len(kept)) * 4 < len(self._rows):
            return
        self._keep()
        groups = [self._current().chosen(kept)] if kept else []
        self._rows = [self._rows[i] for i in kept]
        if joins:
            self._waited = 0
            new = [self.waiting.popleft() for _ in range(n_new)]
            try:
                groups += self._read([row for row in new if not row.gone()])
            except BaseException:
                self.waiting.extendleft(reversed(new))
                raise
        self._merge(groups)

    def _keep(self) -> None:
        """Note the keys and values of rows that ended, before they go. That of the last token may not have been computed."""
        for i, row in enumerate(self._rows):
            if row.ended and row.problem:
                assert self._cache is not None
                start = int((self._mask_BT[i].cumsum(-1) == 0).sum())
                ids = (*row.prompt_ids, *row.sampled[:-1])
                part = slice(start, start + len(ids))
                layers = [(layer.keys[i, :, part].clone(), layer.values[i, :, part].clone()) for layer in self._cache.layers]
                self.kept.keep(row.problem, Kept(ids, layers))

    def _current(self) -> _Group:
        assert self._cache is not None
        layers = [(layer.keys, layer.values) for layer in self._cache.layers]
        return _Group(self._rows, layers, self._mask_BT, self._last_B1)

    def _read(self, new: list[Row]) -> list[_Group]:
        """Read the prompts of new rows, those of like length together and each only once, and sample a token for each."""
        by_prompt: dict[Any, list[Row]] = {}
        for row in new:
            # What a row had before memory ran out is read again, not sampled again.
            prompt = (*row.prompt_ids, *row.sampled)
            by_prompt.setdefault(prompt if self.shares else (prompt, id(row)), []).append(row)
        prompts = [
            _Prompt((*rows[0].prompt_ids, *rows[0].sampled), rows, self.kept.find(rows[0].problem)) for rows in by_prompt.values()
        ]
        prompts.sort(key=lambda prompt: prompt.n_unread)
        groups = []
        while prompts:
            longest = prompts[-1].n_unread
            n = sum(prompt.n_unread >= min(PADDING * longest, longest - FEW) for prompt in prompts)
            together, prompts = prompts[-n:], prompts[:-n]
            groups.append(self._read_together(together, longest))
        return groups

    def _read_together(self, prompts: list[_Prompt], n_unread: int) -> _Group:
        """`n_unread` tokens at the end of each prompt, behind what is kept of those before them."""
        device = self.model.device
        n_kept = [max(0, len(prompt.ids) - n_unread) for prompt in prompts]
        longest = max(n_kept)
        ids = torch.full((len(prompts), n_unread), self.pad_id, dtype=torch.long)
        mask = torch.zeros((len(prompts), longest + n_unread), dtype=torch.long)
        for i, prompt in enumerate(prompts):
            unread = prompt.ids[n_kept[i] :]
            ids[i, n_unread - len(unread) :] = torch.tensor(unread)
            mask[i, longest + n_unread - len(prompt.ids) :] = 1
        ids, mask = ids.to(device), mask.to(device)
        cache = DynamicCache(config=self.model.config)
        if longest:
            cache = Cache(layers=[_Layer(*pair, longest) for pair in _laid(prompts, n_kept, longest, longest + n_unread + SLACK)])
        positions = (mask.cumsum(-1) - 1).clamp(min=0)[:, longest:]
        out = self.model(
            input_ids=ids, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True, logits_to_keep=1
        )
        rows_of = [prompt.rows for prompt in prompts]
        rows = [row for group in rows_of for row in group]
        index = torch.tensor([i for i, group in enumerate(rows_of) for _ in group], device=device)
        self.n_prompt_tokens_shared += sum(len(prompt.ids) * (len(prompt.rows) - 1) for prompt in prompts)
        self.n_prompt_tokens_kept += sum(n_kept)
        layers = [(layer.keys[index], layer.values[index]) for layer in cache.layers]
        return _Group(rows, layers, mask[index], self._sample(rows, out.logits[:, -1][index]))

    def _merge(self, groups: list[_Group]) -> None:
        """One batch of several, right-aligned."""
        self._rows = [row for group in groups for row in group.rows]
        if not groups:
            self._cache, self._mask_BT, self._last_B1 = None, None, None
            return
        longest = max(group.mask_BT.shape[1] for group in groups)

        def laid(parts: list[Any]) -> Any:
            first = parts[0]
            out = first.new_zeros((len(self._rows), first.shape[1], longest + SLACK, first.shape[3]))
            start = 0
            for part in parts:
                out[start : start + part.shape[0], :, longest - part.shape[2] : longest] = part
                start += part.shape[0]
            return out

        layers = []
        for number in range(len(groups[0].layers)):
            keys, values = (laid([group.layers[number][which] for group in groups]) for which in (0, 1))
            layers.append(_Layer(keys, values, longest))
            for group in groups:
                group.layers[number] = (None, None)  # else all is there twice
        self._cache = Cache(layers=layers)
        pad = torch.nn.functional.pad
        self._mask_BT = torch.cat([pad(group.mask_BT, (longest - group.mask_BT.shape[1], 0)) for group in groups])
        self._last_B1 = torch.cat([group.last_B1 for group in groups])

    def _step(self) -> None:
        if all(row.ended for row in self._rows):
            return
        self.n_steps += 1
        self.n_row_steps += sum(not row.ended for row in self._rows)
        self._mask_BT = torch.nn.functional.pad(self._mask_BT, (0, 1), value=1)
        positions = self._mask_BT.sum(-1, keepdim=True) - 1
        out = self.model(
            input_ids=self._last_B1,
            attention_mask=self._mask_BT,
            position_ids=positions,
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        )
        self._last_B1 = self._sample(self._rows, out.logits[:, -1])

    def _sample(self, rows: list[Row], scores_BV: Any) -> Any:
        """Next tokens [B, 1], noted in the rows; those that end with it are marked."""
        draws = torch.tensor([[0.0 if row.ended else row.draws[len(row.sampled)]] for row in rows], dtype=torch.float64)
        draws = draws.to(scores_BV.device)
        kinds = list(dict.fromkeys(row.sampling for row in rows))
        chosen = pick(scores_BV, draws, kinds[0])
        for kind in kinds[1:]:
            chosen = torch.where(
                torch.tensor([[row.sampling == kind] for row in rows], device=chosen.device), pick(scores_BV, draws, kind), chosen
            )
        for row, token in zip(rows, chosen[:, 0].tolist(), strict=True):
            if not row.ended:
                row.sampled.append(token)
                row.ended = token in self.eos_ids or len(row.sampled) >= row.room
                if row.ended:
                    self._done.append(row)
        return chosen
