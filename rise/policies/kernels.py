"""Triton kernels of one decoding step over slots. Triton comes with torch where there is a GPU; imported elsewhere, this fails.

A step of a small model is bound by how many kernels it has, and flash attention spends 128 rows of products on the few query
heads that share keys. Here a slot's new key and value are written and all its keys are looked at by one kernel, rotations are
one, and the activation of the feed-forward part is one.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import triton
from triton import language as tl

FEWEST = 16
"""Rows of a product of matrices that Triton takes: query heads that share keys are filled up to them."""
BLOCK = 64
"""Tokens looked at together."""
WARPS, STAGES = 4, 3


@triton.jit
def _attend(  # type: ignore[no-untyped-def]
    query,
    new_key,
    new_value,
    keys,
    values,
    used,
    out,
    scale,
    query_row,
    query_head,
    new_row,
    new_head,
    slot,
    token,
    N_SHARED: tl.constexpr,
    N_QUERIES: tl.constexpr,
    WIDTH: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Softmax over the keys of one slot and head, a block of tokens after another; the new token is where it begins."""
    row, head = tl.program_id(0).to(tl.int64), tl.program_id(1)
    n_before = tl.load(used + row) - 1
    shared, width = tl.arange(0, N_QUERIES), tl.arange(0, WIDTH)
    mine = (shared < N_SHARED)[:, None]
    places = (head * N_SHARED + shared)[:, None]
    q = tl.load(query + row * query_row + places * query_head + width[None, :], mask=mine, other=0.0)
    k_new = tl.load(new_key + row * new_row + head * new_head + width)
    v_new = tl.load(new_value + row * new_row + head * new_head + width)
    home = row * slot + head * WIDTH
    tl.store(keys + home + n_before * token + width, k_new)
    tl.store(values + home + n_before * token + width, v_new)
    most = tl.sum(q.to(tl.float32) * k_new.to(tl.float32)[None, :], 1) * scale
    total = tl.full((N_QUERIES,), 1.0, tl.float32)
    summed = tl.zeros((N_QUERIES, WIDTH), tl.float32) + v_new.to(tl.float32)[None, :]
    for start in range(0, n_before, BLOCK):
        tokens = start + tl.arange(0, BLOCK)
        there = tokens < n_before
        at = home + tokens[:, None] * token + width[None, :]
        k = tl.load(keys + at, mask=there[:, None], other=0.0)
        scores = tl.dot(q, tl.trans(k), input_precision="ieee") * scale
        scores = tl.where(there[None, :], scores, float("-inf"))
        higher = tl.maximum(most, tl.max(scores, 1))
        weights, shrink = tl.exp2(scores - higher[:, None]), tl.exp2(most - higher)
        v = tl.load(values + at, mask=there[:, None], other=0.0)
        total = total * shrink + tl.sum(weights, 1)
        summed = summed * shrink[:, None] + tl.dot(weights.to(v.dtype), v, input_precision="ieee")
        most = higher
    n_heads = tl.num_programs(1) * N_SHARED
    result = (summed / total[:, None]).to(q.dtype)
    tl.store(out + (row * n_heads + places) * WIDTH + width[None, :], result, mask=mine)


def attend(query: Any, new_key: Any, new_value: Any, keys: Any, values: Any, used: Any, scaling: float | None) -> Any:
    """[B, 1, heads, dim]: each query [B, heads, 1, dim] looks at its slot's first `used` [B] tokens, of which the last is new.

    `keys` and `values` are the slots [S, T, heads of keys, dim]; the new ones [B, heads of keys, 1, dim] are written there.
    """
    n_rows, n_heads, _, width = query.shape
    n_shared = n_heads // keys.shape[2]
    query, new_key, new_value = (part if part.stride(3) == 1 else part.contiguous() for part in (query, new_key, new_value))
    if new_key.stride()[:2] != new_value.stride()[:2]:
        new_key, new_value = new_key.contiguous(), new_value.contiguous()
    out = query.new_empty((n_rows, 1, n_heads, width))
    scale = (width**-0.5 if scaling is None else scaling) * math.log2(math.e)
    places = (*query.stride()[:2], *new_key.stride()[:2], *keys.stride()[:2])
    n_queries = max(FEWEST, triton.next_power_of_2(n_shared))
    sizes = {"N_SHARED": n_shared, "N_QUERIES": n_queries, "WIDTH": width, "BLOCK": BLOCK}
    given = (query, new_key, new_value, keys, values, used, out, scale, *places)
    _attend[(n_rows, keys.shape[2])](*given, **sizes, num_warps=WARPS, num_stages=STAGES)
    return out


@triton.jit
def _turned(  # type: ignore[no-untyped-def]
    at, out, row, of_row, of_head, cos, sin, N_HEADS: tl.constexpr, N_ROOM: tl.constexpr, HALF: tl.constexpr
):
    heads, width = tl.arange(0, N_ROOM)[:, None], tl.arange(0, HALF)[None, :]
    mine = heads < N_HEADS
    here, there = at + row * of_row + heads * of_head + width, out + (row * N_HEADS + heads) * 2 * HALF + width
    first = tl.load(here, mask=mine, other=0.0).to(tl.float32)
    second = tl.load(here + HALF, mask=mine, other=0.0).to(tl.float32)
    cos_1, cos_2 = tl.load(cos + width).to(tl.float32), tl.load(cos + HALF + width).to(tl.float32)
    sin_1, sin_2 = tl.load(sin + width).to(tl.float32), tl.load(sin + HALF + width).to(tl.float32)
    tl.store(there, (first * cos_1 - second * sin_1).to(out.dtype.element_ty), mask=mine)
    tl.store(there + HALF, (second * cos_2 + first * sin_2).to(out.dtype.element_ty), mask=mine)


@triton.jit
def _rotate(  # type: ignore[no-untyped-def]
    q,
    k,
    cos,
    sin,
    out_q,
    out_k,
    q_row,
    q_head,
    k_row,
    k_head,
    angle_row,
    N_Q: tl.constexpr,
    N_K: tl.constexpr,
    ROOM_Q: tl.constexpr,
    ROOM_K: tl.constexpr,
    HALF: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    cos, sin = cos + row * angle_row, sin + row * angle_row
    _turned(q, out_q, row, q_row, q_head, cos, sin, N_Q, ROOM_Q, HALF)
    _turned(k, out_k, row, k_row, k_head, cos, sin, N_K, ROOM_K, HALF)


def rotate(q: Any, k: Any, cos: Any, sin: Any) -> tuple[Any, Any]:
    """Rotary position embedding of queries and keys [B, heads, 1, dim] by angles [B or 1, 1, dim], in one kernel."""
    (n_rows, n_q, _, width), n_k = q.shape, k.shape[1]
    q, k, cos, sin = (part if part.stride(-1) == 1 else part.contiguous() for part in (q, k, cos, sin))
    out_q, out_k = (torch.empty((n_rows, n, 1, width), dtype=q.dtype, device=q.device) for n in (n_q, n_k))
    if cos.stride() != sin.stride():
        cos, sin = cos.contiguous(), sin.contiguous()
    room_q, room_k = (triton.next_power_of_2(n) for n in (n_q, n_k))
    places = (*q.stride()[:2], *k.stride()[:2], cos.stride(0) if cos.shape[0] > 1 else 0)
    sizes = {"N_Q": n_q, "N_K": n_k, "ROOM_Q": room_q, "ROOM_K": room_k, "HALF": width // 2}
    _rotate[(n_rows,)](q, k, cos, sin, out_q, out_k, *places, **sizes, num_warps=4 if room_q * width >= 1024 else 2)
    return out_q, out_k


@triton.jit
def _gated(gate, up, out, n, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    there = at < n
    g = tl.load(gate + at, mask=there, other=0.0).to(tl.float32)
    u = tl.load(up + at, mask=there, other=0.0).to(tl.float32)
    tl.store(out + at, (g / (1 + tl.exp(-g)) * u).to(out.dtype.element_ty), mask=there)


def gated(gate: Any, up: Any) -> Any:
    """silu(gate) × up, of one shape, in one kernel."""
    gate, up = gate.contiguous(), up.contiguous()
    out = torch.empty_like(gate)
    _gated[(triton.cdiv(gate.numel(), 1024),)](gate, up, out, gate.numel(), BLOCK=1024, num_warps=4)
    return out
