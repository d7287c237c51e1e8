"""Attention of rows laid end to end, by where each begins: no mask is made, and no pair of tokens of two rows is computed.

transformers tells packed rows apart by a mask of T × T, which its fast kernels do not take. Here flash attention of variable
length, which torch brings along on a GPU, is given where rows begin; elsewhere, and in float32, each row is a causal SDPA of its
own. Chosen by name like any attention of transformers (`AttentionInterface`).
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from typing import Any

import torch
from torch.nn import functional
from transformers import AttentionInterface

from rise.training.arguments import VARLEN

UNKNOWN = ("sliding_window", "softcap", "s_aux", "position_bias")
"""What some models add to attention, and is not done here."""


def register() -> str:
    """The name under which transformers finds `attend`."""
    AttentionInterface.register(VARLEN, attend)
    return VARLEN


def fits(net: Any, *, sharded: bool) -> bool:
    """Whether the model's attention is the plain one, through transformers' interface: its scores stay what they are. A model in
    pieces is not asked; `attend` refuses what it does not know."""
    own = net.config._attn_implementation
    if not net._can_set_attn_implementation():
        return False
    if sharded:
        return True
    n_words = net.get_input_embeddings().num_embeddings
    ids = torch.tensor([[(7 * i + 3) % n_words for i in range(12)]], device=net.device)
    training = net.training
    net.eval()
    try:
        with torch.no_grad():
            plain = net(input_ids=ids, use_cache=False).logits.float()
            net.set_attn_implementation(register())
            here = net(input_ids=ids, use_cache=False).logits.float()
    except (ValueError, NotImplementedError):
        return False
    finally:
        net.set_attn_implementation(own)
        net.train(training)
    rounding = 1e-3 if net.dtype == torch.float32 else 0.1
    return bool((plain - here).abs().max() <= rounding * max(1.0, float(plain.abs().max())))


def head_width(net: Any) -> int:
    """Dimensions of one attention head."""
    shape = net.config.get_text_config()
    return getattr(shape, "head_dim", None) or shape.hidden_size // max(1, shape.num_attention_heads)


def attend(
    module: Any,
    query: Any,
    key: Any,
    value: Any,
    attention_mask: Any,
    dropout: float = 0.0,
    scaling: float | None = None,
    cu_seq_lens_q: Any = None,
    max_length_q: int | None = None,
    **others: Any,
) -> tuple[Any, None]:
    """(output [B, T, heads, dim], None) of queries [B, heads, T, dim] and keys and values [B, fewer heads, T, dim].

    `cu_seq_lens_q` [N + 1] says where rows of a single line begin and end; without it each line is one row. Raises `ValueError`
    for what only other attentions know.
    """
    asked = [name for name in UNKNOWN if others.get(name) is not None]
    if asked or attention_mask is not None or dropout:
        raise ValueError(f"train.attention = varlen knows no {', '.join(asked) or 'mask and no dropout'}. Set it to sdpa.")
    device = query.device.type
    if torch.is_autocast_enabled(device):  # rotary positions come out in float32
        query, key, value = (part.to(torch.get_autocast_dtype(device)) for part in (query, key, value))
    how = kernel(query.device, query.dtype, query.shape[-1])
    if cu_seq_lens_q is None:
        return causal(query, key, value, scaling).transpose(1, 2), None
    if how and max_length_q is not None:
        query, key, value = (part[0].transpose(0, 1) for part in (query, key, value))
        if how == "repeated":
            key, value = (part.repeat_interleave(query.shape[1] // part.shape[1], dim=1) for part in (key, value))
        return flash(query, key, value, cu_seq_lens_q, max_length_q, scaling)[None], None
    return row_by_row(query, key, value, cu_seq_lens_q, scaling).transpose(1, 2), None


@torch.compiler.disable
def row_by_row(query: Any, key: Any, value: Any, starts: Any, scaling: float | None) -> Any:
    """Causal SDPA of each row by itself, [1, heads, T, dim]."""
    bounds = starts.tolist()
    rows = [
        causal(query[:, :, start:end], key[:, :, start:end], value[:, :, start:end], scaling) for start, end in pairwise(bounds)
    ]
    return torch.cat(rows, dim=2)


def causal(query: Any, key: Any, value: Any, scaling: float | None) -> Any:
    """Causal SDPA [B, heads, T, dim]; query heads share keys and values."""
    n = query.shape[1] // key.shape[1]
    if n > 1:
        key, value = (part.repeat_interleave(n, dim=1) for part in (key, value))
    return functional.scaled_dot_product_attention(query, key, value, is_causal=True, scale=scaling)


def flash(query: Any, key: Any, value: Any, starts: Any, longest: int, scaling: float | None) -> Any:
    """torch's own flash attention of variable length [T, heads, dim]: the operator below `torch.nn.attention.varlen`, which has
    been the same since torch 2.5, as the function over it has not."""
    out = torch.ops.aten._flash_attention_forward(
        query, key, value, starts, starts, longest, longest, 0.0, True, False, scale=scaling
    )
    return out[0]


@torch.compiler.assume_constant_result
def kernel(device: Any, dtype: Any, width: int) -> str | None:
    """How flash attention of variable length runs here: `grouped` (query heads share keys and values), `repeated` (it wants as
    many of each), or None where it does not run, or not rightly."""
    if device.type != "cuda" or dtype not in (torch.bfloat16, torch.float16) or width % 8 or width > 256:
        return None
    return _tried(device.index or 0, dtype, width)


@cache
def _tried(index: int, dtype: Any, width: int) -> str | None:
    """Tried on two rows and their gradients, which are compared with SDPA's in float32."""
    device = torch.device("cuda", index)
    generator = torch.Generator(device).manual_seed(0)
    sizes = [(24, heads, width) for heads in (4, 2, 2)]
    made = [torch.randn(size, device=device, generator=generator).to(dtype) for size in sizes]
    starts = torch.tensor([0, 16, 24], dtype=torch.int32, device=device)

    def gradients(half: bool, repeat: bool) -> list[Any]:
        q, k, v = (part.detach().clone().to(dtype if half else torch.float32).requires_grad_() for part in made)
        wide_k, wide_v = (part.repeat_interleave(2, dim=1) if repeat or not half else part for part in (k, v))
        if half:
            out = flash(q, wide_k, wide_v, starts, 16, width**-0.5)
        else:
            laid = [part.transpose(0, 1)[None] for part in (q, wide_k, wide_v)]
            out = row_by_row(*laid, starts, width**-0.5)[0].transpose(0, 1)
        return [out.detach().float(), *(g.float() for g in torch.autograd.grad(out.float().square().sum(), (q, k, v)))]

    with torch.enable_grad(), torch.autocast("cuda", enabled=False):
        exact = gradients(False, False)
        for repeat in (False, True):
            try:
                own = gradients(True, repeat)
            except (RuntimeError, TypeError):
                continue
            if all(bool((a - b).norm() <= 0.03 * b.norm()) for a, b in zip(own, exact, strict=True)):
                return "repeated" if repeat else "grouped"
    return None
