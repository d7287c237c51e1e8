"""The same step in fewer kernels, for the time in which a graph is captured: a small model's step is bound by how many there are.

In half precision a norm, a rotation and a gate round once here, where transformers rounds after each of their operations.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch.nn import functional

try:  # comes with torch where there is a GPU
    from rise.policies import kernels
except ImportError:  # pragma: no cover - what is there depends on the machine
    kernels = None  # type: ignore[assignment]

ROTATE = "apply_rotary_pos_emb"
"""How transformers calls the rotation in the module of each model."""
_one_at_a_time = threading.RLock()


@contextmanager
def fewer_kernels(model: Any) -> Iterator[None]:
    """Norms, rotations and gates of this model that can be had in fewer kernels are; afterwards all is as before."""
    with _one_at_a_time:
        quick = [(module, _norm(module)) for module in model.modules() if _is_rms_norm(module)]
        quick += [(module, _feed_forward(module)) for module in model.modules() if _is_gated(module)]
        homes = {sys.modules[type(module).__module__] for module in model.modules()}
        rotations = [(home, getattr(home, ROTATE)) for home in homes if hasattr(home, ROTATE)]
        rotations = [(home, own) for home, own in rotations if _rotates_alike(own)]
        try:
            for module, forward in quick:
                module.forward = forward
            for home, _ in rotations:
                setattr(home, ROTATE, rotate)
            yield
        finally:
            for module, _ in quick:
                del module.forward
            for home, own in rotations:
                setattr(home, ROTATE, own)


def _norm(module: Any) -> Callable[[Any], Any]:
    """Eight kernels in one."""
    shape, weight, eps = module.weight.shape, module.weight, module.variance_epsilon
    return lambda hidden: functional.rms_norm(hidden, shape, weight, eps)


def _feed_forward(module: Any) -> Callable[[Any], Any]:
    """The activation and what it is multiplied with: two kernels in one."""
    return lambda hidden: module.down_proj(kernels.gated(module.gate_proj(hidden), module.up_proj(hidden)))


def rotate(q: Any, k: Any, cos: Any, sin: Any, unsqueeze_dim: int = 1) -> tuple[Any, Any]:
    """Rotary position embedding of queries and keys [B, heads, T, dim] together: five kernels in place of ten, for one token a
    row on a GPU one.

    `cos` and `sin` are [B, T, dim], or less wide where only the first dimensions of a head are turned; with `unsqueeze_dim` 2
    queries and keys are [B, T, heads, dim].
    """
    n = cos.shape[-1]
    if n < q.shape[-1]:
        turned_q, turned_k = rotate(q[..., :n], k[..., :n], cos, sin, unsqueeze_dim)
        return torch.cat((turned_q, q[..., n:]), -1), torch.cat((turned_k, k[..., n:]), -1)
    if unsqueeze_dim == 1 and _in_one_kernel(q, k, cos):
        return kernels.rotate(q, k, cos, sin)
    return _rotate(q, k, cos, sin, unsqueeze_dim)


def _rotate(q: Any, k: Any, cos: Any, sin: Any, unsqueeze_dim: int) -> tuple[Any, Any]:
    heads = 1 if unsqueeze_dim == 1 else 2
    both = torch.cat((q, k), heads)
    half = both.shape[-1] // 2
    turned = torch.cat((-both[..., half:], both[..., :half]), -1)
    out = torch.addcmul(both * cos.unsqueeze(unsqueeze_dim), turned, sin.unsqueeze(unsqueeze_dim))
    first, second = out.split((q.shape[heads], k.shape[heads]), heads)
    return first, second


def _in_one_kernel(q: Any, k: Any, cos: Any) -> bool:
    width = q.shape[-1]
    one = q.shape[2] == 1 and q.dtype == k.dtype and width == cos.shape[-1] and cos.shape[0] in (1, q.shape[0])
    return _has_kernels(q) and one and width >= 2 and not width & (width - 1)


def _has_kernels(tensor: Any) -> bool:
    half = tensor.dtype in (torch.bfloat16, torch.float16)
    return kernels is not None and tensor.is_cuda and half and _kernels_agree(tensor.device, tensor.dtype)


@cache
def _kernels_agree(device: Any, dtype: Any) -> bool:
    """Whether the kernels run on this device and compute what they are taken for."""
    q, k, cos, sin = (
        _some(*size, like=torch.empty(1, device=device, dtype=dtype))
        for size in ((2, 3, 1, 64), (2, 1, 1, 64), *[(2, 1, 64)] * 2)
    )
    try:
        rotated = map(_close, kernels.rotate(q, k, cos, sin), _rotate(q, k, cos, sin, 1))
        return all(rotated) and _close(kernels.gated(q, q), functional.silu(q) * q)
    except Exception:  # of Triton's compiler too
        return False


def _is_gated(module: Any) -> bool:
    """Whether a module is down(silu(gate) × up), tried on two rows."""
    parts = [getattr(module, name, None) for name in ("gate_proj", "up_proj", "down_proj")]
    if not all(isinstance(part, torch.nn.Linear) for part in parts) or "forward" in vars(module):
        return False
    if not _has_kernels(module.gate_proj.weight):
        return False
    some = _some(2, module.gate_proj.in_features, like=module.gate_proj.weight)
    try:
        return _close(_feed_forward(module)(some), module(some))
    except Exception:  # of Triton's compiler too
        return False


def _is_rms_norm(module: Any) -> bool:
    """Whether a module with such a name computes what `rms_norm` does: some have 1 + weight, or none."""
    if "RMSNorm" not in type(module).__name__ or not hasattr(module, "variance_epsilon") or "forward" in vars(module):
        return False
    weight = getattr(module, "weight", None)
    if not isinstance(weight, torch.Tensor) or weight.dim() != 1:
        return False
    try:
        return _close(_norm(module)(_some(2, *weight.shape, like=weight)), module(_some(2, *weight.shape, like=weight)))
    except (TypeError, RuntimeError):
        return False


def _rotates_alike(own: Callable[..., Any]) -> bool:
    """Whether a model's rotation is the one above, for two rows, three heads that ask and one that is asked: of whole heads,
    and of their first half where it has such a thing."""
    q, k, angle = (torch.linspace(-2, 2, 16 * n) for n in (3, 1, 1))
    q, k, angle = q.reshape(2, 3, 1, 8), k.reshape(2, 1, 1, 8), angle.reshape(2, 1, 8)
    for n in (8, 4):
        cos, sin = angle[..., :n].cos(), angle[..., :n].sin()
        try:
            theirs, ours = own(q, k, cos, sin), rotate(q, k, cos, sin)
        except Exception:  # whatever a model's own code raises
            return n < 8
        if not (isinstance(theirs, tuple) and len(theirs) == 2 and all(map(_close, ours, theirs))):
            return False
    return True


def _some(*size: int, like: Any) -> Any:
    n = int(torch.Size(size).numel())
    return torch.linspace(-2, 3, n, device=like.device, dtype=torch.float32).reshape(size).to(like.dtype)


def _close(a: Any, b: Any) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and bool((a - b).float().norm() <= 0.02 * b.float().norm())
