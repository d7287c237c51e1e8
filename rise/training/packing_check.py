"""Before the first step: do packed rows have the loss they have unpacked, for this model? Compared on the first packed line."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch

from rise.dataset.losses import WEIGHTED_NLL
from rise.errors import RiseError
from rise.training.chunked_loss import Head
from rise.training.loss import batch_loss, logits, targets, tensors, trained
from rise.training.rows import Plan, Row

log = logging.getLogger(__name__)


ROUNDING = 0.25
"""Nats: how far off the score of one token may be in half precision. SmolLM2-135M in bfloat16: 0.06 on average."""
N_BEFORE, N_BEHIND = 16, 48
"""Tokens of two rows whose gradients are looked at."""
BESIDE_OTHERS = {False: 1e-6, True: 1e-4}
"""Nats a token, in float32 and in half precision: with other neighbours of the same shapes. What attention leaves out counts
exactly 0 in any precision, so a model that packs exactly has 0; tiny LFM2, Jamba and Falcon-H1 have 4e-6 … 2e-5, 3e-4 in half."""


def check_exact(model: Any, head: Head, rows: Sequence[Row], plan: Plan, pad_id: int, *, flat: bool, half: bool) -> None:
    """Raise `RiseError` unless each trained token of a line scores what it scores alone, whatever its row's neighbours are.

    Also compares the output layer in chunks with the whole one, and turns chunks off (`head.fused`) where they differ.
    `half`: products are made in half precision, where a line of another shape rounds differently; with other neighbours in
    lines of the same shape nothing may differ. `model` is wrapped as it trains. Every rank makes the same calls, since ranks
    have to communicate in step.
    """
    lines = [line for batch in plan.batches for line in batch.lines]
    line = next((line for line in lines if len(line) > 1), lines[0])
    members = [rows[i] for i in line]
    device = head.layer.weight.device if hasattr(head.layer, "weight") else next(model.parameters()).device
    training = model.training
    model.eval()

    def inputs(members: list[Row]) -> dict[str, Any]:
        made = tensors([members], pad_id, flat=flat)
        return {name: t.to(device) if isinstance(t, torch.Tensor) else t for name, t in made.items()}

    *others, last = members
    unweighted = [replace(row, weights=[0.0] * len(row.ids), kl=[]) for row in others]
    with torch.no_grad():
        packed = token_scores(model, head, inputs(members))
        if head.fused:
            _check_chunks(model, head, inputs(members), packed, half=half)
        alone = torch.cat([token_scores(model, head, inputs([row])) for row in members]) if others else packed
        beside = token_scores(model, head, inputs([*unweighted, last])) if others else packed
        reversed_ones = [replace(row, ids=row.ids[::-1]) for row in unweighted]
        beside_others = token_scores(model, head, inputs([*reversed_ones, last])) if others else packed
    model.train(training)
    if not (len(packed) and bool(packed.isfinite().all())):
        return  # nothing trains, or the first step says what is wrong
    off = (packed - alone).abs()
    moved = float((beside - beside_others).abs().max()) if len(beside) else 0.0
    if float(off.square().mean().sqrt()) > ROUNDING if half else bool((off > 1e-3 * alone.clamp(min=1.0)).any()):
        trouble = f"{len(members)} rows in one line have loss {float(packed.sum()):.6f}, alone {float(alone.sum()):.6f}"
    elif moved > BESIDE_OTHERS[half]:
        trouble = f"a token's loss changes by {moved:.2g} when the rows before its own in the line are others"
    elif others and (share := reach(model, head, others[-1], last, inputs)) > 0:
        trouble = f"the gradient of a token's loss reaches tokens of the row before its own ({share:.2g} of its own row's)"
    else:
        return
    raise RiseError(
        f"packing is not exact for this model: {trouble}. Its attention lets rows see each other. Set train.line_length = 8, "
        "so that every row has a line of its own."
    )


def token_scores(model: Any, head: Head, inputs: dict[str, Any]) -> Any:
    """nll of each trained token, by the whole output layer."""
    targets_M, tokens = targets(inputs)
    fused, head.fused = head.fused, False
    try:
        with head.scoring(inputs["at"], targets_M, tokens, WEIGHTED_NLL):
            scored = logits(model, inputs)
    finally:
        head.fused = fused
    nll_M = torch.nn.functional.cross_entropy(scored[0].float(), targets_M, reduction="none")
    return nll_M[(tokens.weights_M != 0) | (tokens.kl_M != 0)]


def reach(model: Any, head: Head, before: Row, row: Row, inputs: Callable[[list[Row]], dict[str, Any]]) -> float:
    """How far the gradient of a row's loss reaches into the row before it in the line, relative to its own; exactly 0 where
    rows are apart. Finds what half precision rounds away in the scores. 0 too where the model is sharded, and cannot be asked.

    By the end of one row and the beginning of the other: a short line, since activations of a long one may not fit.
    """
    plain = model.module if isinstance(model, torch.nn.parallel.DistributedDataParallel) else getattr(model, "_orig_mod", model)
    sharded = type(plain).__name__.startswith(("FSDP", "FullySharded", "DeepSpeed"))
    if sharded or not hasattr(plain, "get_input_embeddings"):
        return 0.0
    end, beginning = before.ids[-N_BEFORE:], row.ids[:N_BEHIND]
    # Its first token is predicted from the row before it, and never trained.
    short = [Row(end, [0.0] * len(end)), Row(beginning, [0.0] + [1.0] * (len(beginning) - 1))]
    read: list[Any] = []

    def caught(layer: Any, args: Any, embedded: Any) -> Any:
        read.append(embedded.detach().requires_grad_())
        return read[0]

    hook = plain.get_input_embeddings().register_forward_hook(caught)
    training = plain.training
    plain.eval()
    try:
        with torch.enable_grad():
            (slope,) = torch.autograd.grad(token_scores(plain, head, inputs(short)).sum(), read[:1])
    finally:
        hook.remove()
        plain.train(training)
    other, own = slope[0, : len(end)].abs().max(), slope[0, len(end) :].abs().max()
    return float(other / own) if own > 0 else 0.0


def _check_chunks(model: Any, head: Head, inputs: dict[str, Any], scores: Any, *, half: bool) -> None:
    """Turn chunks off where they do not give the loss of the whole output layer."""
    # Every trained token at weight 1, whatever the loss is: weights of both signs could hide what differs.
    plain = {**inputs, "weights": trained(inputs).float(), "kl": torch.zeros_like(inputs["kl"])}
    whole = float(scores.sum())
    tolerance = 1e-4 * max(1.0, abs(whole)) + (ROUNDING * len(scores) ** 0.5 if half else 0.0)
    head.fused = abs(float(batch_loss(model, plain, head)[0]) - whole) <= tolerance
    if not head.fused:
        log.info("this model changes its logits behind the output layer, so they are not computed in chunks")
