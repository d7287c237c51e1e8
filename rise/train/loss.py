"""The weighted next-token loss: Σ wᵢ·nllᵢ ÷ N. RISE eq. 4.6, with a normaliser that no weight moves (DESIGN 2)."""

from __future__ import annotations

from typing import Any


def tensors(lines: list[list[Any]], pad_id: int) -> dict[str, Any]:
    """Rows laid end to end, line by line → input ids, position ids and weights, each (B, T).

    No attention mask: rows are told apart by their position ids, which is exact only without one and with the cache
    off. What fills a short line is a row of its own with weight 0.
    """
    import torch

    if not lines:
        zero = torch.zeros((1, 2), dtype=torch.long)
        return {"input_ids": zero + pad_id, "position_ids": torch.arange(2)[None], "weights": torch.zeros((1, 2))}
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


def weighted_nll(model: Any, inputs: dict[str, Any]) -> tuple[Any, Any]:
    """(Σ weight·nll, Σ nll over trained tokens) of one batch. Both are scalars with float32 sums.

    Logits are computed only at positions where some line has a target.
    """
    import torch

    weights = inputs["weights"][:, 1:]
    wanted = (weights > 0).any(dim=0).nonzero().squeeze(-1)
    if wanted.numel() == 0:
        wanted = torch.zeros(1, dtype=torch.long, device=weights.device)
    logits_BKV = model(
        input_ids=inputs["input_ids"], position_ids=inputs["position_ids"], use_cache=False, logits_to_keep=wanted
    ).logits
    targets_BK = inputs["input_ids"][:, 1:][:, wanted]
    weights_BK = weights[:, wanted]
    nll_BK = torch.nn.functional.cross_entropy(logits_BKV.float().flatten(0, 1), targets_BK.flatten(), reduction="none")
    nll_BK = nll_BK.view_as(targets_BK)
    return (nll_BK * weights_BK).sum(), (nll_BK.detach() * (weights_BK > 0)).sum()
