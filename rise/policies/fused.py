"""The same step in fewer kernels, for the time in which a graph is captured: a small model's step is bound by how many there are.

In half precision a norm and a rotation round once here, where transformers rounds after each of their operations.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn import functional

ROTATE = "apply_rotary_pos_emb"
"""How transformers calls the rotation in the module of each model."""
_one_at_a_time = threading.RLock()


@contextmanager
def fewer_kernels(model: Any) -> Iterator[None]:
    """Norms and rotations of this model that can be had in fewer kernels are; afterwards all is as before."""
    with _one_at_a_time:
        norms = [module for module in model.modules() if _is_rms_norm(module)]
        homes = {sys.modules[type(module).__module__] for module in model.modules()}
        rotations = [(home, getattr(home, ROTATE)) for home in homes if hasattr(home, ROTATE)]
        rotations = [(home, own) for home, own in rotations if _rotates_alike(own)]
        try:
            for norm in norms:
                norm.forward = _norm(norm)
            for home, _ in rotations:
                setattr(home, ROTATE, rotate)
            yield
        finally:
            for norm in norms:
                del norm.forward
            for home, own in rotations:
                setattr(home, ROTATE, own)


def _norm(module: Any) -> Callable[[Any], Any]:
    """Eight kernels in one."""
    shape, weight, eps = module.weight.shape, module.weight, module.variance_epsilon
    return lambda hidden: functional.rms_norm(hidden, shape, weight, eps)


def rotate(q: Any, k: Any, cos: Any, sin: Any, unsqueeze_dim: int = 1) -> tuple[Any, Any]:
    """Rotary position embedding of queries and keys [B, heads, T, dim] together: five kernels in place of ten.

    `cos` and `sin` are [B, T, dim]; with `unsqueeze_dim` 2 queries and keys are [B, T, heads, dim].
    """
    heads = 1 if unsqueeze_dim == 1 else 2
    both = torch.cat((q, k), heads)
    half = both.shape[-1] // 2
    turned = torch.cat((-both[..., half:], both[..., :half]), -1)
    out = torch.addcmul(both * cos.unsqueeze(unsqueeze_dim), turned, sin.unsqueeze(unsqueeze_dim))
    first, second = out.split((q.shape[heads], k.shape[heads]), heads)
    return first, second


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
    """Whether a model's rotation is the one above, for two rows, three heads that ask and one that is asked."""
    q, k, angle = (torch.linspace(-2, 2, 16 * n) for n in (3, 1, 1))
    q, k, angle = q.reshape(2, 3, 1, 8), k.reshape(2, 1, 1, 8), angle.reshape(2, 1, 8)
    try:
        theirs, ours = own(q, k, angle.cos(), angle.sin()), rotate(q, k, angle.cos(), angle.sin())
    except (TypeError, RuntimeError, ValueError):
        return False
    return isinstance(theirs, tuple) and len(theirs) == 2 and all(map(_close, ours, theirs))


def _some(*size: int, like: Any) -> Any:
    n = int(torch.Size(size).numel())
    return torch.linspace(-2, 3, n, device=like.device, dtype=torch.float32).reshape(size).to(like.dtype)


def _close(a: Any, b: Any) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and bool((a - b).float().norm() <= 0.02 * b.float().norm())
