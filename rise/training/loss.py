"""The loss of one forward pass: what each trained token costs, summed. Divided by an N that does not depend on the weights
(docs/method.md) it is RISE eq. 4.6 under `WEIGHTED_NLL`; the others are in `rise.dataset.losses`."""

from __future__ import annotations

from typing import Any

import torch

from rise.dataset.losses import WEIGHTED_NLL, Tokens
from rise.training.chunked_loss import Head, TokenCost

COLUMNS = ("weights", "sampled", "reference", "kl")
"""Of a row, and of a batch's tensors: what is known of each token, in the order of `Tokens`."""


def tensors(lines: list[list[Any]], pad_id: int, *, flat: bool = False) -> dict[str, Any]:
    """Rows laid end to end, line by line → input ids, position ids and the `COLUMNS`, each (B, T), and what is known beforehand,
    so that no device is asked and waited for: `at`, the places before trained tokens (M).

    No attention mask: rows are told apart by their position ids, which is exact only without one and with the cache
    off. Padding at the end of a short line is a row with weight 0. `flat` joins all lines into one, which needs no padding:
    attention of variable length tells rows apart in a single line only, by `starts` (N + 1) and the length of the `longest`.
    """
    if not lines:
        zero = torch.zeros((1, 2), dtype=torch.long)
        nothing = {name: torch.zeros((1, 2)) for name in COLUMNS}
        ids, positions = zero + pad_id, torch.arange(2)[None]
        known = {"at": places(nothing), **(_lengths([2]) if flat else {})}
        return {"input_ids": ids, "position_ids": positions, **nothing, **known}
    if flat:
        lines = [[row for line in lines for row in line]]
    length = max(2, max(sum(len(row.ids) for row in line) for line in lines))
    ids = torch.full((len(lines), length), pad_id, dtype=torch.long)
    positions = torch.zeros((len(lines), length), dtype=torch.long)
    columns = {name: torch.zeros((len(lines), length)) for name in COLUMNS}
    for b, line in enumerate(lines):
        start = 0
        for row in line:
            end = start + len(row.ids)
            ids[b, start:end] = torch.tensor(row.ids)
            positions[b, start:end] = torch.arange(end - start)
            for name, column in columns.items():
                values = getattr(row, name)
                column[b, start : start + len(values)] = torch.tensor(values)
            start = end
        positions[b, start:] = torch.arange(length - start)
    known = {"at": places(columns)}
    if flat:
        used = [len(row.ids) for row in lines[0]]
        known |= _lengths([*used, length - sum(used)] if sum(used) < length else used)
    return {"input_ids": ids, "position_ids": positions, **columns, **known}


def places(columns: dict[str, Any]) -> Any:
    """Places (M) in the flattened batch whose next token trains; where none does, the first, whose next token has weight 0."""
    line, place = trained(columns)[:, 1:].nonzero(as_tuple=True)
    # Data-parallel training waits for a gradient of every weight.
    return line * columns["weights"].shape[1] + place if len(line) else torch.zeros(1, dtype=torch.long)


def _lengths(lengths: list[int]) -> dict[str, Any]:
    starts = torch.tensor([0, *lengths], dtype=torch.int32).cumsum(0, dtype=torch.int32)
    return {"starts": starts, "longest": 1 << (max(lengths) - 1).bit_length()}  # rounded up: compiled once for many batches


def logits(model: Any, inputs: dict[str, Any]) -> Any:
    """A forward pass over packed rows; attention of variable length is told where they begin."""
    known = {}
    if "starts" in inputs:
        starts, longest = inputs["starts"], inputs["longest"]
        known = {"cu_seq_lens_q": starts, "cu_seq_lens_k": starts, "max_length_q": longest, "max_length_k": longest}
    return model(input_ids=inputs["input_ids"], position_ids=inputs["position_ids"], use_cache=False, **known).logits


def trained(inputs: dict[str, Any]) -> Any:
    """Which tokens have a pull on the model, (B, T): those with a weight, above or below 0, or held to a reference."""
    return (inputs["weights"] != 0) | (inputs["kl"] != 0)


def batch_loss(model: Any, inputs: dict[str, Any], head: Head | None = None, cost: TokenCost = WEIGHTED_NLL) -> tuple[Any, Any]:
    """(Σ cost, Σ nll over trained tokens) of one batch. Both are scalars, summed in float32. RISE eq. 4.6 without a `cost`.

    `head` belongs to the unwrapped model (DDP and FSDP wrap it); None makes one for `model`.
    """
    head = head or Head(model)
    targets_M, tokens = targets(inputs)
    with head.scoring(inputs["at"], targets_M, tokens, cost):
        scored = logits(model, inputs)
    return head.sums(scored, targets_M, tokens, cost)


def targets(inputs: dict[str, Any]) -> tuple[Any, Tokens]:
    """The tokens behind the places `at`, (M), and what is known of each."""
    behind_M = inputs["at"] + 1
    return inputs["input_ids"].flatten()[behind_M], Tokens(*(inputs[name].flatten()[behind_M] for name in COLUMNS))
