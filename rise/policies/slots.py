"""Keys and values at fixed places: a slot a row, each row's tokens from the slot's beginning, so that a decoding step has
the same shapes and addresses every time. A captured CUDA graph needs that, and no copy is made when rows come and go."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch.nn import functional
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.cache_utils import DynamicLayer
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "rise_slots"


def register() -> str:
    """The name under which transformers finds `attend`; anything but a step over slots is SDPA, as before."""
    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    return NAME


@dataclass(slots=True)
class Lengths:
    """How many tokens of each slot count, as flash attention takes it."""

    starts_q: Any
    """0 … B: one query a slot."""
    starts_k: Any
    """0, T, 2T, …"""
    used_B: Any
    longest: int


class SlotLayer(DynamicLayer):
    """Keys and values [slots, T, heads, dim] of one layer; `at` says where the next token of each of the first B slots goes."""

    def __init__(self, keys: Any, values: Any, at: tuple[Any, Any]) -> None:
        super().__init__()
        self.room_keys, self.room_values, self.at = keys, values, at
        self.dtype, self.device, self.is_initialized = keys.dtype, keys.device, True

    def update(self, key_states: Any, value_states: Any, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        self.room_keys.index_put_(self.at, key_states[:, :, 0])
        self.room_values.index_put_(self.at, value_states[:, :, 0])
        n = key_states.shape[0]
        return self.room_keys[:n].transpose(1, 2), self.room_values[:n].transpose(1, 2)

    def get_seq_length(self) -> int:
        return int(self.room_keys.shape[1])


def attend(
    module: Any,
    query: Any,
    key: Any,
    value: Any,
    attention_mask: Any,
    scaling: float | None = None,
    slots: Any = None,
    **others: Any,
) -> tuple[Any, Any]:
    """(output [B, T, heads, dim], None). With `slots` each query [B, heads, 1, dim] looks at its own slot, where query heads
    share keys and values without a copy of them; `attention_mask` [B, 1, 1, T] says which tokens count."""
    if slots is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **others)
    if isinstance(slots, Lengths):
        return flash(query, key, value, slots, scaling), None
    n_rows, n_heads, _, width = query.shape
    grouped = query.reshape(n_rows, key.shape[1], -1, width)
    out = functional.scaled_dot_product_attention(grouped, key, value, attn_mask=attention_mask, scale=scaling)
    return out.reshape(n_rows, 1, n_heads, width), None


def flash(query: Any, key: Any, value: Any, lengths: Lengths, scaling: float | None) -> Any:
    """torch's own flash attention, which reads only what is in use of each slot: [B, 1, heads, dim]."""
    laid = [part.transpose(1, 2).flatten(0, 1) for part in (key, value)]
    longest = lengths.longest
    out = torch.ops.aten._flash_attention_forward(
        query[:, :, 0],
        *laid,
        lengths.starts_q,
        lengths.starts_k,
        1,
        longest,
        0.0,
        False,
        False,
        scale=scaling,
        seqused_k=lengths.used_B,
    )
    return out[0][:, None]


@cache
def has_kernel(index: int | None, dtype: Any, width: int) -> bool:
    """Whether flash attention over slots runs on this device (None: a processor), and is SDPA's within half precision."""
    if index is None or dtype not in (torch.bfloat16, torch.float16) or width % 8 or width > 256:
        return False
    device = torch.device("cuda", index)
    generator = torch.Generator(device).manual_seed(0)
    query, keys, values = (
        torch.randn(size, device=device, generator=generator).to(dtype)
        for size in ((3, 4, 1, width), (3, 16, 2, width), (3, 16, 2, width))
    )
    used = torch.tensor([1, 7, 16], dtype=torch.int32, device=device)
    ramp = torch.arange(4, dtype=torch.int32, device=device)
    key, value = keys.transpose(1, 2), values.transpose(1, 2)
    mask = (torch.arange(16, device=device)[None] < used[:, None])[:, None, None]
    try:
        own = flash(query, key, value, Lengths(ramp, ramp * 16, used, 16), width**-0.5).float()
    except (RuntimeError, TypeError):
        return False
    exact = attend(None, query.float(), key.float(), value.float(), mask, width**-0.5, slots=True)[0]
    return bool((own - exact).norm() <= 0.03 * exact.norm())
