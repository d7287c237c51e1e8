"""Before the first step: is the fast way the right way for this very model? Compared on the first packed line."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import torch

from rise.errors import RiseError
from rise.train.head import Head
from rise.train.loss import tensors, weighted_nll
from rise.train.rows import Plan, Row

log = logging.getLogger(__name__)


def check_exact(model: Any, head: Head, rows: Sequence[Row], plan: Plan, pad_id: int, *, flat: bool, tolerance: float) -> None:
    """Rows of one line together as alone, or raise; the output layer in chunks as whole, or leave it whole.

    `model` is wrapped as it trains. Every rank does the same, so that what ranks do together stays in step.
    """
    lines = [line for batch in plan.batches for line in batch.lines]
    line = next((line for line in lines if len(line) > 1), lines[0])
    members = [rows[i] for i in line]
    device = head.layer.weight.device if hasattr(head.layer, "weight") else next(model.parameters()).device
    training = model.training
    model.eval()

    def loss(lines: list[list[Row]]) -> float:
        return float(weighted_nll(model, {name: t.to(device) for name, t in tensors(lines, pad_id, flat=flat).items()}, head)[0])

    def differ(left: float, right: float) -> bool:
        return abs(left - right) > tolerance * max(1.0, abs(right))

    with torch.no_grad():
        packed = loss([members])
        if head.fused:
            head.fused = False
            whole = loss([members])
            head.fused = not differ(packed, whole)
            if not head.fused:
                log.info("this model changes its logits behind the output layer, so they are not computed in chunks")
                packed = whole
        alone = sum(loss([[row]]) for row in members) if len(members) > 1 else packed
    model.train(training)
    if differ(packed, alone):
        raise RiseError(
            f"packing is not exact for this model: {len(members)} rows in one line have loss {packed:.6f}, alone "
            f"{alone:.6f}. Its attention lets rows see each other. Set train.line_length = 8, so that every row has a "
            "line of its own."
        )
