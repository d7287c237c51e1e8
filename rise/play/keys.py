"""What a reply is filed under in the ledger, and the seed of its random stream. Change these and old ledgers are not found."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from rise.policy import Request


def stream_seed(*parts: object) -> int:
    """A 63-bit seed for one random stream, from what the stream is for.

    >>> stream_seed(0, "p1", 2, 0) == stream_seed(0, "p1", 2, 0) != stream_seed(0, "p1", 2, 1)
    True
    """
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def request_key(policy_name: str, request: Request, seed: int) -> str:
    """Content hash of (model, prompt, sampling, seed): what the ledger files a reply under."""
    prompt: Sequence[object] = request.prompt_ids or [f"{m.role}\x1e{m.content}" for m in request.messages]
    return _key([policy_name, *prompt, request.sampling, seed])


def group_key(policy_name: str, purpose: str, names: Iterable[str]) -> str:
    """What the ledger files the end of a fixed group of problems under (`deterministic`)."""
    return _key([policy_name, purpose, *names])


def _key(parts: Sequence[object]) -> str:
    return hashlib.sha256("\x1f".join(map(str, parts)).encode()).hexdigest()[:24]
