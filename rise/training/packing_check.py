"""Before the first step: do packed rows have the loss they have unpacked, for this model? Compared on the first packed line."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from rise.errors import RiseError
from rise.training.chunked_loss import Head
from rise.training.loss import tensors, weighted_nll
from rise.training.rows import Plan, Row

log = logging.getLogger(__name__)


ROUNDING = 0.25
"""Nats: how far off the score of one token may be in half precision. SmolLM2-135M in bfloat16: 0.06 on average."""


def check_exact(model: Any, head: Head, rows: Sequence[Row], plan: Plan, pad_id: int, *, flat: bool, half: bool) -> None:
    """Raise `RiseError` unless rows of one line have the same loss together as alone, whatever their neighbours are.

    Also compares the output layer in chunks with the whole one, and turns chunks off (`head.fused`) where they differ.
    `half`: products are made in half precision, where a line of another shape rounds differently. The loss of a well trained
    model is no larger than this rounding, so the sum may be off by it; with other neighbours in lines of the same shape it may
    not. `model` is wrapped as it trains. Every rank makes the same calls, since ranks have to communicate in step.
    """
    lines = [line for batch in plan.batches for line in batch.lines]
    line = next((line for line in lines if len(line) > 1), lines[0])
    members = [rows[i] for i in line]
    device = head.layer.weight.device if hasattr(head.layer, "weight") else next(model.parameters()).device
    training = model.training
    model.eval()

    def loss(members: list[Row]) -> float:
        inputs = tensors([members], pad_id, flat=flat)
        return float(weighted_nll(model, {name: t.to(device) for name, t in inputs.items()}, head)[0])

    def differ(left: float, right: float, members: list[Row], rounding: float = ROUNDING) -> bool:
        tolerance = 1e-4 * max(1.0, abs(right))
        if half:
            tolerance += rounding * math.sqrt(sum(weight**2 for row in members for weight in row.weights))
        return abs(left - right) > tolerance

    *others, last = members
    unweighted = [replace(row, weights=[0.0] * len(row.ids)) for row in others]
    with torch.no_grad():
        packed = loss(members)
        if head.fused:
            head.fused = False
            whole = loss(members)
            head.fused = not differ(packed, whole, members)
            if not head.fused:
                log.info("this model changes its logits behind the output layer, so they are not computed in chunks")
                packed = whole
        alone = sum(loss([row]) for row in members) if others else packed
        beside = loss([*unweighted, last]) if others else packed
        beside_others = loss([*(replace(row, ids=row.ids[::-1]) for row in unweighted), last]) if others else packed
    model.train(training)
    if differ(packed, alone, members):
        trouble = f"{len(members)} rows in one line have loss {packed:.6f}, alone {alone:.6f}"
    elif differ(beside, beside_others, [last], ROUNDING / 50):  # the same shapes, so rounding hardly differs
        trouble = f"a row has loss {beside:.6f}, and {beside_others:.6f} when the rows before it in its line are others"
    else:
        return
    raise RiseError(
        f"packing is not exact for this model: {trouble}. Its attention lets rows see each other. Set train.line_length = 8, "
        "so that every row has a line of its own."
    )
