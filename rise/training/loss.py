"""The weighted next-token loss: Σ wᵢ·nllᵢ ÷ N. RISE eq. 4.6, where N does not depend on the weights (docs/method.md)."""

from __future__ import annotations

from typing import Any

import torch

from rise.training.chunked_loss import Head


def tensors(lines: list[list[Any]], pad_id: int, *, flat: bool = False) -> dict[str, Any]:
    """Rows laid end to end, line by line → input ids, position ids and weights, each (B, T).

    No attention mask: rows are told apart by their position ids, which is exact only without one and with the cache
    off. Padding at the end of a short line is a row with weight 0. `flat` joins all lines into one, which needs no padding:
    attention of variable length (flash) tells rows apart in a single line only.
    """
    if not lines:
        zero = torch.zeros((1, 2), dtype=torch.long)
        return {"input_ids": zero + pad_id, "position_ids": torch.arange(2)[None], "weights": torch.zeros((1, 2))}
    if flat:
        lines = [[row for line in lines for row in line]]
    length = max(2, max(sum(len(row.ids) for row in line) for line in lines))
    ids = torch.full((len(lines), length), pad_id, dtype=torch.long)
    positions = torch.zeros((len(lines), length), dtype=torch.long)
    weights = torch.zeros((len(lines), length))
    for b, line in enumerate(lines):
        start = 0
        for row in line:
            end = start + len(row.ids)
            ids[b, start:end] = torch.tensor(row.ids)
            positions[b, start:end] = torch.arange(end - start)
            weights[b, start:end] = torch.tensor(row.weights)
            start = end
        positions[b, start:] = torch.arange(length - start)
    return {"input_ids": ids, "position_ids": positions, "weights": weights}


def weighted_nll(model: Any, inputs: dict[str, Any], head: Head | None = None) -> tuple[Any, Any]:
    """(Σ weight·nll, Σ nll over trained tokens) of one batch. Both are scalars, summed in float32. RISE eq. 4.6.

    `head` belongs to the unwrapped model (DDP and FSDP wrap it); None makes one for `model`.
    """
    head = head or Head(model)
    ids, weights = inputs["input_ids"], inputs["weights"]
    wanted = weights[:, 1:] > 0
    if not bool(wanted.any()):
        wanted[0, 0] = True  # with weight 0: data-parallel training waits for a gradient of every weight
    targets_M, weights_M = ids[:, 1:][wanted], weights[:, 1:][wanted]
    with head.scoring(wanted, targets_M, weights_M):
        scored = model(input_ids=ids, position_ids=inputs["position_ids"], use_cache=False).logits
    return head.sums(scored, targets_M, weights_M)
