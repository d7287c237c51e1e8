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
    """Rows laid end to end, line by line → input ids, position ids and the `COLUMNS`, each (B, T).

    No attention mask: rows are told apart by their position ids, which is exact only without one and with the cache
    off. Padding at the end of a short line is a row with weight 0. `flat` joins all lines into one, which needs no padding:
    attention of variable length (flash) tells rows apart in a single line only.
    """
    if not lines:
        zero = torch.zeros((1, 2), dtype=torch.long)
        nothing = {name: torch.zeros((1, 2)) for name in COLUMNS}
        return {"input_ids": zero + pad_id, "position_ids": torch.arange(2)[None], **nothing}
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
    return {"input_ids": ids, "position_ids": positions, **columns}


def trained(inputs: dict[str, Any]) -> Any:
    """Which tokens have a pull on the model, (B, T): those with a weight, above or below 0, or held to a reference."""
    return (inputs["weights"] != 0) | (inputs["kl"] != 0)


def batch_loss(model: Any, inputs: dict[str, Any], head: Head | None = None, cost: TokenCost = WEIGHTED_NLL) -> tuple[Any, Any]:
    """(Σ cost, Σ nll over trained tokens) of one batch. Both are scalars, summed in float32. RISE eq. 4.6 without a `cost`.

    `head` belongs to the unwrapped model (DDP and FSDP wrap it); None makes one for `model`.
    """
    head = head or Head(model)
    ids = inputs["input_ids"]
    wanted = trained(inputs)[:, 1:]
    if not bool(wanted.any()):
        wanted[0, 0] = True  # with weight 0: data-parallel training waits for a gradient of every weight
    targets_M, tokens = ids[:, 1:][wanted], Tokens(*(inputs[name][:, 1:][wanted] for name in COLUMNS))
    with head.scoring(wanted, targets_M, tokens, cost):
        scored = model(input_ids=ids, position_ids=inputs["position_ids"], use_cache=False).logits
    return head.sums(scored, targets_M, tokens, cost)
