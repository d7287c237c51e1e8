"""Continuous batching over slots: a decoding step has fixed shapes, and on a GPU it is a captured graph, launched as one.

At 135 million parameters a GPU waits for Python: a step has some 600 kernels, each quicker than its launch. Replies are those of
`continuous.py`: the same stream of draws a row, the same choice of token.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from transformers.cache_utils import Cache

from rise.policies.continuous import ContinuousBatch, Row, pick
from rise.policies.fused import fewer_kernels
from rise.policies.padding import LENGTHS
from rise.policies.slots import NAME, SDPA, TRITON, Lengths, SlotLayer, best_way, register
from rise.policy import Sampling

ROUND = 128
"""Slots are as long as their longest row may become, rounded up to so many tokens."""
AT_ONCE = 8
"""One part in so many of the rows has to wait, and be let in, before the others are held up for it."""


class CapturedBatch(ContinuousBatch):
    """As `ContinuousBatch`; tokens are handed over `advance`'s n at a time, so a row that ends is known up to n - 1 steps late.

    Prompts of later turns are read whole: copying a conversation out of its slot takes a launch a layer.
    """

    def __init__(self, model: Any, *, eos_ids: Sequence[int], pad_id: int, limit: int, name: str) -> None:
        super().__init__(model, eos_ids=eos_ids, pad_id=pad_id, limit=limit, name=name)
        self.kept.give_up()
        model.set_attn_implementation(register())
        self.captures = torch.device(model.device).type == "cuda"
        """Whether steps are captured; given up where the model cannot be."""
        self.quick: bool | None = None
        """Whether what is captured takes fewer kernels; None before that was tried."""
        self.n_captured = 0
        shape = model.config.get_text_config()
        width = getattr(shape, "head_dim", None) or shape.hidden_size // shape.num_attention_heads
        self.way = best_way(model.device.index if self.captures else None, model.dtype, width)
        """How a step looks at what is in use of each slot."""
        self._slots: _Slots | None = None
        self._graphs: dict[Any, Any] = {}

    @staticmethod
    def can(model: Any) -> bool:
        """Whether one step over slots gives what a plain forward pass gives, for two rows of unlike length."""
        if not ContinuousBatch.can(model) or not getattr(model, "_can_set_attn_implementation", lambda: False)():
            return False
        own = model.config._attn_implementation
        if own not in ("sdpa", NAME):
            return False
        n_words = model.config.get_text_config().vocab_size
        greedy = Sampling(temperature=0.0, top_p=1.0, max_new_tokens=2)
        rows = [Row(tuple((7 * i + 3) % n_words for i in range(n)), 0, greedy, 2) for n in LENGTHS]
        try:
            with torch.inference_mode():
                batch = CapturedBatch(model, eos_ids=(), pad_id=0, limit=len(rows), name="")
                batch.waiting.extend(rows)
                batch._regroup()
                here = batch._scores(len(rows))
                for row, scores in zip(batch._rows, here, strict=True):
                    ids = torch.tensor([[*row.prompt_ids, *row.sampled]], device=model.device)
                    if not batch._alike(scores, model(input_ids=ids, use_cache=False).logits[0, -1]):
                        raise ValueError("another attention than the plain one")
        except torch.OutOfMemoryError:  # there are remedies when replies are drawn
            return True
        except Exception:  # of Triton's compiler too, which has kinds of its own
            model.set_attn_implementation(own)
            return False
        return True

    def advance(self, n_tokens: int) -> list[Row]:
        with torch.inference_mode():
            try:
                self._regroup()
                if self._rows:
                    self._steps(n_tokens)
            except torch.OutOfMemoryError as error:
                self._halve(error)
        done, self._done = self._done, []
        return done

    def _halve(self, error: Exception) -> None:
        self._slots = None
        self._graphs.clear()
        super()._halve(error)

    def _regroup(self) -> None:
        for row in self._rows:
            row.ended = row.ended or row.gone()
        while self.waiting and self.waiting[0].gone():
            self.waiting.popleft()
        if any(row.ended for row in self._rows):
            self._close_up()
        n_new = min(len(self.waiting), self.limit - len(self._rows))
        self._waited = self._waited + 1 if n_new else 0
        if not n_new or (self._rows and n_new * AT_ONCE < self.limit and self._waited <= 1):
            return
        self._waited = 0
        new = [self.waiting.popleft() for _ in range(n_new)]
        wanted = [row for row in new if not row.gone()]
        if not wanted:
            return
        n_before = len(self._rows)
        try:
            self._make_room(n_before + len(wanted), max(len(row.prompt_ids) + row.room for row in wanted))
            groups = self._read(wanted)
        except BaseException:
            self.waiting.extendleft(reversed(new))
            raise
        assert self._slots is not None
        self._rows += [row for group in groups for row in group.rows]  # known to `clear` should memory run out below
        for group in groups:
            self._slots.lay(n_before, group.layers, group.mask_BT, group.last_B1)
            n_before += len(group.rows)
            group.layers.clear()

    def _close_up(self) -> None:
        """Rows of the last slots move into those that ended."""
        assert self._slots is not None
        n = sum(not row.ended for row in self._rows)
        holes = [i for i, row in enumerate(self._rows[:n]) if row.ended]
        movers = [i for i, row in enumerate(self._rows) if i >= n and not row.ended]
        self._slots.move(movers, holes)
        for hole, mover in zip(holes, movers, strict=True):
            self._rows[hole] = self._rows[mover]
        del self._rows[n:]

    def _make_room(self, n_rows: int, length: int) -> None:
        old = self._slots
        n_slots = min(self.limit, 1 << max(0, n_rows - 1).bit_length())
        if old is not None:
            n_slots, length = max(n_slots, old.n_slots), max(length, old.length)
        length = -(-length // ROUND) * ROUND
        if old is None or (n_slots, length) != (old.n_slots, old.length):
            self._graphs.clear()
            self._slots = _Slots(self.model, n_slots, length, old, len(self._rows))

    def _scores(self, n: int) -> Any:
        """One step of the first `n` slots: scores of the next token, [n, V]."""
        slots = self._slots
        assert slots is not None
        at = slots.n_S[:n]
        mask = (slots.ramp_T[None] <= at[:, None])[:, None, None]
        known: Any = True
        if self.way != SDPA:
            starts = slots.starts[: n + 1]
            known = Lengths(starts, starts * slots.length, (at + 1).int(), slots.length)
        cache = Cache(
            layers=[SlotLayer(keys, values, (slots.ramp_S[:n], at), self.way == TRITON) for keys, values in slots.layers]
        )
        out = self.model(
            input_ids=slots.last_S[:n, None],
            attention_mask=mask,
            position_ids=at[:, None],
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
            slots=known,
        )
        return out.logits[:, -1]

    def _step_of(self, n: int, kinds: Sequence[Sampling]) -> None:
        """Read each slot's last token, choose the next; the state of the slots is what changes."""
        slots = self._slots
        assert slots is not None
        scores = self._scores(n)
        chosen = pick(scores, slots.draw_S[:n, None], kinds[0])[:, 0]
        for number, kind in enumerate(kinds[1:], 1):
            chosen = torch.where(slots.kind_S[:n] == number, pick(scores, slots.draw_S[:n, None], kind)[:, 0], chosen)
        slots.left_S[:n] -= 1
        slots.ended_S[:n] |= torch.isin(chosen, slots.ends(self.eos_ids)) | (slots.left_S[:n] <= 0)
        slots.n_S[:n] += (~slots.ended_S[:n]).long()
        slots.last_S[:n] = chosen

    def _steps(self, n_tokens: int) -> None:
        """Sample `n_tokens` for every row, asking the device once."""
        slots, rows = self._slots, self._rows
        assert slots is not None
        if all(row.ended for row in rows):
            return
        n = min(slots.n_slots, 1 << (len(rows) - 1).bit_length())
        kinds = tuple(dict.fromkeys(row.sampling for row in rows))
        n_tokens = min(n_tokens, max(row.room - len(row.sampled) for row in rows if not row.ended))
        draws_KB = slots.begin(rows, kinds, n_tokens)
        chosen = []
        for k in range(n_tokens):
            slots.draw_S[: len(rows)] = draws_KB[k]
            self._launch(n, kinds)
            chosen.append(slots.last_S[: len(rows)].clone())
        self.n_steps += n_tokens
        for row, tokens in zip(rows, torch.stack(chosen, 1).tolist(), strict=True):
            if row.ended:
                continue
            taken = tokens[: row.room - len(row.sampled)]
            if not self.eos_ids.isdisjoint(taken):
                taken = taken[: 1 + next(k for k, token in enumerate(taken) if token in self.eos_ids)]
            self.n_row_steps += len(taken)
            row.sampled += taken
            row.ended = taken[-1] in self.eos_ids or len(row.sampled) >= row.room
            if row.ended:
                self._done.append(row)

    def _launch(self, n: int, kinds: tuple[Sampling, ...]) -> None:
        graph = self._graphs.get((n, kinds))
        if graph is not None:
            graph.replay()
            return
        with self._fewer(n) if self.captures else contextlib.nullcontext():
            self._step_of(n, kinds)  # in earnest, and what a capture needs beforehand
        if not self.captures:
            return
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        # One graph runs at a time and none leaves a result in its pool, so that all share one, as long as any is there.
        pool = next((other.pool() for other in self._graphs.values()), None)
        capture = torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local")
        try:
            # The outer one: a capture that fails leaves the thread on its stream.
            with torch.cuda.stream(torch.cuda.current_stream()), self._fewer(n), capture:
                self._step_of(n, kinds)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError:
            self.captures = False  # something of this model asks the device in between; steps go on one launch at a time
            with contextlib.suppress(RuntimeError):
                torch.cuda.synchronize()
            return
        self._graphs[n, kinds] = graph
        self.n_captured += 1

    def _fewer(self, n: int) -> contextlib.AbstractContextManager[None]:
        """Fewer kernels, where a step of these `n` slots gives the plain one's scores with them. The state stays as it is."""
        if self.quick is None:
            plain = self._scores(n)
            try:
                with fewer_kernels(self.model):
                    self.quick = all(map(self._alike, self._scores(n), plain))
            except torch.OutOfMemoryError:
                raise
            except Exception:  # of Triton's compiler too
                self.quick = False
        return fewer_kernels(self.model) if self.quick else contextlib.nullcontext()

    def _alike(self, scores_V: Any, plain_V: Any) -> bool:
        """Whether two ways to compute a token's scores differ by no more than rounding."""
        rounding = 1e-3 if self.model.dtype == torch.float32 else 0.1
        scores_V, plain_V = scores_V.float(), plain_V.float()
        return bool((plain_V - scores_V).abs().max() <= rounding * max(1.0, float(plain_V.abs().max())))


class _Slots:
    """Keys and values of `n_slots` rows of at most `length` tokens, and what a step reads and writes, at fixed addresses."""

    def __init__(self, model: Any, n_slots: int, length: int, old: _Slots | None, n_rows: int) -> None:
        shape = model.config.get_text_config()
        heads = getattr(shape, "num_key_value_heads", None) or shape.num_attention_heads
        width = getattr(shape, "head_dim", None) or shape.hidden_size // shape.num_attention_heads
        self.n_slots, self.length = n_slots, length
        device, dtype = model.device, model.dtype
        self.layers: list[Any] = []
        for number in range(shape.num_hidden_layers):
            # Zeros: what is masked out must still be a number.
            pair = tuple(torch.zeros((n_slots, length, heads, width), dtype=dtype, device=device) for _ in range(2))
            if old is not None:
                for new, kept in zip(pair, old.layers[number], strict=True):
                    new[:n_rows, : old.length] = kept[:n_rows]
                old.layers[number] = ()
            self.layers.append(pair)
        self.ramp_S, self.ramp_T = (torch.arange(n, device=device) for n in (n_slots, length))
        self.starts = torch.arange(n_slots + 1, dtype=torch.int32, device=device)
        self.n_S, self.last_S, self.left_S, self.kind_S = (
            torch.zeros(n_slots, dtype=torch.long, device=device) for _ in range(4)
        )
        self.ended_S = torch.ones(n_slots, dtype=torch.bool, device=device)
        self.draw_S = torch.zeros(n_slots, dtype=torch.float64, device=device)
        self._ends: Any = None
        if old is not None:
            self.n_S[:n_rows], self.last_S[:n_rows] = old.n_S[:n_rows], old.last_S[:n_rows]

    def ends(self, eos_ids: frozenset[int]) -> Any:
        if self._ends is None:
            self._ends = torch.tensor(sorted(eos_ids) or [-1], device=self.n_S.device)
        return self._ends

    def lay(self, first: int, layers: Sequence[tuple[Any, Any]], mask_BT: Any, last_B1: Any) -> None:
        """Rows [B, heads, T, dim], right-aligned, into the slots from `first` on."""
        n_B = mask_BT.sum(-1)
        n_rows, longest = mask_BT.shape
        index = (self.ramp_T.new_tensor(range(longest))[None] + (longest - n_B)[:, None]).clamp(max=longest - 1)
        place = slice(first, first + n_rows)
        for rooms, pair in zip(self.layers, layers, strict=True):
            for room, part in zip(rooms, pair, strict=True):
                laid = part.transpose(1, 2)
                room[place, :longest] = laid.gather(1, index[:, :, None, None].expand(-1, -1, *laid.shape[2:]))
        self.n_S[place], self.last_S[place] = n_B, last_B1[:, 0]

    def move(self, sources: list[int], targets: list[int]) -> None:
        if not sources:
            return
        to, of = (torch.tensor(places, device=self.n_S.device) for places in (targets, sources))
        for rooms in self.layers:
            for room in rooms:
                room[to] = room[of]
        self.n_S[to], self.last_S[to] = self.n_S[of], self.last_S[of]

    def begin(self, rows: Sequence[Row], kinds: Sequence[Sampling], n_tokens: int) -> Any:
        """What the next `n_tokens` steps have to know of the rows; returns their draws [n_tokens, rows]."""
        device, n = self.n_S.device, len(rows)
        self.ended_S.fill_(True)
        self.ended_S[:n] = torch.tensor([row.ended for row in rows], device=device)
        self.left_S[:n] = torch.tensor([row.room - len(row.sampled) for row in rows], device=device)
        self.kind_S[:n] = torch.tensor([kinds.index(row.sampling) for row in rows], device=device)
        draws = np.zeros((n_tokens, n))
        for i, row in enumerate(rows):
            own = row.draws[len(row.sampled) : len(row.sampled) + n_tokens]
            draws[: len(own), i] = own
        return torch.from_numpy(draws).to(device)
