"""Fixed batches with `transformers.generate`: replies that are reproducible to the bit, each from its own random stream."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import GenerationConfig

from rise.policies.continuous import pick, stream
from rise.policy import Request, Sampling


@dataclass(slots=True)
class Asked:
    """One reply to be drawn."""

    prompt_ids: tuple[int, ...]
    seed: int
    gone: Callable[[], bool] | None = None
    """Whether its caller was cancelled."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows that are generated together: one setting and one limit, prompts of similar length."""

    places: tuple[tuple[int, int], ...]
    """(index of the request, number of its reply) of each row."""
    rows: tuple[Asked, ...]
    sampling: Sampling
    room: int
    """Most tokens a reply may have."""


def batches(
    requests: Sequence[Request],
    size: int,
    room_of: Callable[[tuple[int, ...], Sampling], int],
    gone: Sequence[Callable[[], bool]] | None = None,
    *,
    pads: bool = True,
) -> list[Batch]:
    """All replies that are wanted, in batches of at most `size` rows: the same ones for the same requests, in any order.

    `pads` is false for a model that rows of one batch disturb: then every row stands alone.
    """
    rows = [
        (index, sample, Asked(request.prompt_ids or (), seed, gone[index] if gone else None))
        for index, request in enumerate(requests)
        for sample, seed in enumerate(request.seeds)
    ]
    # Sampling settings differ between requests only in tests; grouping keeps one batch one setting.
    rows.sort(key=lambda r: (repr(requests[r[0]].sampling), len(r[2].prompt_ids), r[2].prompt_ids, r[2].seed))

    def kind(row: tuple[int, int, Asked]) -> tuple[Sampling, int]:
        # One batch has one limit: a reply must not be cut earlier because a neighbour's prompt is longer.
        sampling = requests[row[0]].sampling
        return sampling, room_of(row[2].prompt_ids, sampling)

    size = size if pads else 1

    out = []
    start = 0
    while start < len(rows):
        sampling, room = kind(rows[start])
        end = start
        while end < len(rows) and end - start < size and kind(rows[end]) == (sampling, room):
            end += 1
        some = rows[start:end]
        out.append(Batch(tuple((i, sample) for i, sample, _ in some), tuple(row for _, _, row in some), sampling, room))
        start = end
    return out


def sample(
    model: Any, rows: Sequence[Asked], sampling: Sampling, room: int, *, eos_ids: Sequence[int], pad_id: int, device: str
) -> list[tuple[int, ...]]:
    """Token ids of one reply a row, at most `room` of them, the one that ends it included. Blocking."""
    longest = max(len(row.prompt_ids) for row in rows)
    ids_BT = torch.full((len(rows), longest), pad_id, dtype=torch.long)
    mask_BT = torch.zeros((len(rows), longest), dtype=torch.long)
    for i, row in enumerate(rows):
        ids_BT[i, longest - len(row.prompt_ids) :] = torch.tensor(row.prompt_ids)
        mask_BT[i, longest - len(row.prompt_ids) :] = 1
    draws_BT = np.stack([stream(row.seed, room) for row in rows])
    sampler = _StreamSampler(torch.from_numpy(draws_BT).to(device), longest, sampling)
    settings = GenerationConfig(
        do_sample=False, num_beams=1, max_new_tokens=room, eos_token_id=list(eos_ids), pad_token_id=pad_id, use_cache=True
    )
    # What is left open here `generate` takes from the model's own settings (penalties, forbidden and forced tokens, …), which
    # would sample from another distribution than the model's, and only in fixed batches.
    own, model.generation_config = model.generation_config, GenerationConfig()
    try:
        with torch.inference_mode():
            out = model.generate(
                input_ids=ids_BT.to(device),
                attention_mask=mask_BT.to(device),
                generation_config=settings,
                logits_processor=[sampler],
                stopping_criteria=[_Gone(rows)] if any(row.gone for row in rows) else None,
            )
    finally:
        model.generation_config = own
    replies = []
    for full in out[:, longest:].tolist():
        end = next((i for i, token in enumerate(full) if token in eos_ids), None)
        replies.append(tuple(full if end is None else full[: end + 1]))
    return replies


class _Gone:
    """A stopping criterion: rows whose caller was cancelled are done, so a batch of only such rows ends at once."""

    def __init__(self, rows: Sequence[Asked]) -> None:
        self.rows = rows

    def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> Any:
        return torch.tensor([row.gone is not None and row.gone() for row in self.rows], device=input_ids.device)


class _StreamSampler:
    """A logits processor that leaves one token a row: the one its uniform draw falls on.

    `generate` then runs greedily. This is inverse-CDF sampling with one stream a row, which `do_sample=True` cannot give:
    there, one generator serves the whole batch.
    """

    def __init__(self, draws_BT: Any, prompt_length: int, sampling: Sampling) -> None:
        self.draws_BT = draws_BT
        self.prompt_length = prompt_length
        self.sampling = sampling

    def __call__(self, input_ids: Any, scores_BV: Any) -> Any:
        if self.sampling.temperature == 0:
            return scores_BV
        step = input_ids.shape[1] - self.prompt_length
        chosen = pick(scores_BV, self.draws_BT[:, step : step + 1], self.sampling)
        return torch.full_like(scores_BV, float("-inf")).scatter(-1, chosen, 0.0)
