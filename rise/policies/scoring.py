"""Log-probabilities of given replies under a `transformers` model, in batches of bounded size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

SCORED_TOKENS = 8192
"""Tokens in one forward pass: logits of so many, in float32, are 4 GB for 128,000 words."""


def score(model: Any, prompts: Sequence[Sequence[int]], replies: Sequence[Sequence[int]], device: str) -> list[tuple[float, ...]]:
    """Natural log-probability of each token of each reply after its prompt, at temperature 1: one tuple a pair. Blocking."""
    pairs = list(zip(prompts, replies, strict=True))
    lengths = [len(prompt) + len(reply) for prompt, reply in pairs]
    out: list[tuple[float, ...]] = [()] * len(pairs)
    order = sorted(range(len(pairs)), key=lambda i: lengths[i])
    while order:
        # The longest is the last of the batch: so many rows of its length keep to the limit.
        n = next((n for n in range(len(order), 1, -1) if n * lengths[order[n - 1]] <= SCORED_TOKENS), 1)
        batch, order = order[:n], order[n:]
        ids_BT = torch.zeros((n, max(2, lengths[batch[-1]])), dtype=torch.long)
        for row, i in enumerate(batch):
            # What fills a row stands behind its last token, where causal attention never looks.
            ids_BT[row, : lengths[i]] = torch.tensor([*pairs[i][0], *pairs[i][1]])
        first = min(len(pairs[i][0]) for i in batch) - 1
        with torch.inference_mode():
            kept = model(input_ids=ids_BT.to(device), use_cache=False, logits_to_keep=ids_BT.shape[1] - first).logits
            chosen = torch.log_softmax(kept[:, :-1].float(), -1).gather(-1, ids_BT[:, first + 1 :, None].to(device))
        for row, i in enumerate(batch):
            start = len(pairs[i][0]) - 1 - first
            out[i] = tuple(chosen[row, start : start + len(pairs[i][1]), 0].tolist())
    return out
