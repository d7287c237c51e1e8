"""The weighted next-token loss: Σ wᵢ·nllᵢ ÷ N. RISE eq. 4.6, with a normaliser that no weight moves (DESIGN 2)."""

from __future__ import annotations

from typing import Any

from rise.training.chunked_loss import Head


def tensors(lines: list[list[Any]], pad_id: int, *, flat: bool = False) -> dict[str, Any]:
    """Rows laid end to end, line by line → input ids, position ids and weights, each (B, T).

    No attention mask: rows are told apart by their position ids, which is exact only without one and with the cache
    off. What fills a short line is a row of its own with weight 0. `flat` makes all lines one, which needs no filling:
    attention of variable length (flash) tells rows apart in a single line only.
    """
    import torch

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
    """(Σ weight·nll, Σ nll over trained tokens) of one batch. Both are scalars with float32 sums.

    `head` is that of the model inside whatever wraps it; None takes the model's own.
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
