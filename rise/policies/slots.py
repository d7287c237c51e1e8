"""Keys and values at fixed places: a slot a row, each row's tokens from the slot's beginning, so that a decoding step has
the same shapes and addresses every time. A captured CUDA graph needs that, and no copy is made when rows come and go."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import torch
from torch.nn import functional
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.cache_utils import DynamicLayer
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

try:  # comes with torch where there is a GPU
    from rise.policies import kernels
except ImportError:  # pragma: no cover - what is there depends on the machine
    kernels = None  # type: ignore[assignment]

NAME = "rise_slots"
TRITON, FLASH, SDPA = "triton", "flash", "sdpa"
"""Ways to look at what is in use of each slot: our kernel, torch's flash attention, SDPA behind a mask over whole slots."""


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


class Unwritten(NamedTuple):
    """Slots, and what the kernel that looks at them writes there first."""

    slots: Any
    new: Any


class SlotLayer(DynamicLayer):
    """Keys and values [slots, T, heads, dim] of one layer; `at` says where the next token of each of the first B slots goes.
    With `writes` it is `attend` that writes it."""

    def __init__(self, keys: Any, values: Any, at: tuple[Any, Any], writes: bool = False) -> None:
        super().__init__()
        self.room_keys, self.room_values, self.at, self.writes = keys, values, at, writes
        self.dtype, self.device, self.is_initialized = keys.dtype, keys.device, True

    def update(self, key_states: Any, value_states: Any, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        if self.writes:
            return Unwritten(self.room_keys, key_states), Unwritten(self.room_values, value_states)
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
    if isinstance(key, Unwritten):
        return kernels.attend(query, key.new, value.new, key.slots, value.slots, slots.used_B, scaling), None
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
def best_way(index: int | None, dtype: Any, width: int) -> str:
    """The quickest of the three that runs on this device (None: a processor) and is SDPA's within half precision."""
    if index is None or dtype not in (torch.bfloat16, torch.float16) or width % 8 or width > 256:
        return SDPA
    return next((way for way in (TRITON, FLASH) if _agrees(way, torch.device("cuda", index), dtype, width)), SDPA)


def _agrees(way: str, device: Any, dtype: Any, width: int) -> bool:
    if way == TRITON and (kernels is None or width & (width - 1) or width < kernels.FEWEST):
        return False
    generator = torch.Generator(device).manual_seed(0)
    query, keys, values, *new = (
        torch.randn(size, device=device, generator=generator).to(dtype)
        for size in ((3, 4, 1, width), (3, 96, 2, width), (3, 96, 2, width), (3, 2, 1, width), (3, 2, 1, width))
    )
    used = torch.tensor([1, 7, 96], dtype=torch.int32, device=device)
    ramp = torch.arange(4, dtype=torch.int32, device=device)
    lengths = Lengths(ramp, ramp * 96, used, 96)
    layers = [SlotLayer(keys.clone(), values.clone(), (ramp[:3].long(), used.long() - 1), writes) for writes in (False, True)]
    key, value = layers[0].update(*new)
    mask = (torch.arange(96, device=device)[None] < used[:, None])[:, None, None]
    exact = attend(None, query.float(), key.float(), value.float(), mask, width**-0.5, slots=True)[0]
    if way == TRITON:
        key, value = layers[1].update(*new)
    try:
        own = attend(None, query, key, value, mask, width**-0.5, slots=lengths)[0].float()
    except Exception:  # of Triton's compiler too, which has kinds of its own
        return False
    rooms = [(layer.room_keys, layer.room_values) for layer in layers]
    written = way == FLASH or all(map(torch.equal, *rooms))
    return written and bool((own - exact).norm() <= 0.03 * exact.norm())
