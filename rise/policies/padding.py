"""May rows of different length stand in one batch? A model that reads its padding (RWKV has no attention mask) says other
things then. Tried once, with two short rows, before the first reply."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import GenerationConfig
from transformers.cache_utils import DynamicCache

LENGTHS = (5, 9)
N_TOKENS = 4


def pads_exactly(model: Any, pad_id: int) -> bool:
    """Whether `generate` gives a row the scores beside a longer one that it gives it alone."""
    rows = _rows(model)
    settings = GenerationConfig(
        max_new_tokens=N_TOKENS,
        min_new_tokens=N_TOKENS,
        do_sample=False,
        pad_token_id=pad_id,
        output_logits=True,
        return_dict_in_generate=True,
    )
    kept, model.generation_config = model.generation_config, GenerationConfig()
    try:
        # With a mask of its own: without one `generate` takes a token that is also the padding's for padding.
        alone = [
            _scores(model.generate(input_ids=row[None], attention_mask=torch.ones_like(row[None]), generation_config=settings))[0]
            for row in rows
        ]
        ids, mask = _padded(rows, pad_id)
        together = _scores(model.generate(input_ids=ids, attention_mask=mask, generation_config=settings))
    finally:
        model.generation_config = kept
    return all(_agree(*pair) for pair in zip(alone, together, strict=True))


def keeps_plainly(model: Any) -> bool:
    """Whether a padded batch read into a plain cache of keys and values fills it, and scores what each row scores alone."""
    rows = _rows(model)
    ids, mask = _padded(rows, 0)
    cache = DynamicCache(config=model.config)
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    try:
        with torch.inference_mode():
            alone = [model(input_ids=row[None], use_cache=False).logits[0, -1] for row in rows]
            read = {"attention_mask": mask, "position_ids": positions, "past_key_values": cache, "use_cache": True}
            together = model(input_ids=ids, **read, logits_to_keep=1).logits[:, -1]
    except torch.OutOfMemoryError:  # not a matter of the cache; there are remedies when replies are drawn
        return True
    except (TypeError, ValueError, AttributeError, RuntimeError):  # takes no such cache
        return False
    filled = all(getattr(layer, "is_initialized", False) for layer in cache.layers)
    return filled and all(_same(a, b) for a, b in zip(alone, together, strict=True))


def _rows(model: Any) -> list[Any]:
    n_words = model.config.get_text_config().vocab_size
    return [torch.tensor([(7 * i + 3) % n_words for i in range(length)], device=model.device) for length in LENGTHS]


def _padded(rows: list[Any], pad_id: int) -> tuple[Any, Any]:
    longest = max(len(row) for row in rows)
    ids = torch.full((len(rows), longest), pad_id, device=rows[0].device)
    mask = torch.zeros_like(ids)
    for i, row in enumerate(rows):
        ids[i, longest - len(row) :], mask[i, longest - len(row) :] = row, 1
    return ids, mask


def _scores(out: Any) -> list[tuple[Any, ...]]:
    """Scores of the next tokens, row by row."""
    return list(zip(*out.logits, strict=True))


def _agree(alone: Sequence[Any], together: Sequence[Any]) -> bool:
    """Scores of one row, token by token, up to where rounding chose between two equal ones."""
    for left, right in zip(alone, together, strict=True):
        if not _same(left, right):
            return False
        if left.argmax() != right.argmax():
            break
    return True


def _same(left: Any, right: Any) -> bool:
    rounding = 1e-3 if left.dtype == torch.float32 else 0.1
    left, right = left.float(), right.float()
    return bool((left - right).abs().max() <= rounding * max(1.0, float(left.abs().max())))
