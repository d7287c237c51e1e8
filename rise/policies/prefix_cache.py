"""Keys and values of replies that ended, kept by problem: the next turn's prompt begins with most of the last one's tokens."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

SHARE_OF_FREE = 8
"""One part in so many of the memory that is free when the first is kept."""


@dataclass(frozen=True, slots=True)
class Kept:
    """The tokens of one conversation and, for each layer, their keys and values [heads, T, dim]."""

    ids: tuple[int, ...]
    layers: list[tuple[Any, Any]]

    @property
    def n_bytes(self) -> int:
        return sum(part.numel() * part.element_size() for layer in self.layers for part in layer)

    def n_common(self, prompt: Sequence[int]) -> int:
        """Tokens at the head of `prompt` that are known here; never all of it, since the last one's scores are wanted.

        >>> Kept((5, 6, 7), []).n_common((5, 6, 8, 9)), Kept((5, 6, 7), []).n_common((5, 6))
        (2, 1)
        """
        n = min(len(self.ids), len(prompt) - 1)
        if self.ids[:n] == tuple(prompt[:n]):
            return n
        return next(i for i in range(n) if self.ids[i] != prompt[i])


NOTHING = Kept((), [])


class Conversations:
    """The latest reply of each problem; beyond `most` problems or `limit` bytes the least recently used is given up."""

    def __init__(self, device: Any, most: int, limit: int | None = None) -> None:
        self.device = device
        self.most = most
        self.limit = limit
        self.n_bytes = 0
        self._by_problem: OrderedDict[str, Kept] = OrderedDict()

    def __len__(self) -> int:
        return len(self._by_problem)

    def keep(self, problem: str, kept: Kept) -> None:
        if self.limit is None:
            self.limit = free_bytes(self.device) // SHARE_OF_FREE
        self.forget(problem)
        self._by_problem[problem] = kept
        self.n_bytes += kept.n_bytes
        while self.n_bytes > self.limit or len(self) > self.most:
            self.forget(next(iter(self._by_problem)))

    def find(self, problem: str) -> Kept:
        if problem not in self._by_problem:
            return NOTHING
        self._by_problem.move_to_end(problem)
        return self._by_problem[problem]

    def forget(self, problem: str) -> None:
        kept = self._by_problem.pop(problem, None)
        if kept is not None:
            self.n_bytes -= kept.n_bytes

    def give_up(self) -> None:
        """Keep nothing from now on: the memory is needed."""
        self.limit, self.n_bytes = 0, 0
        self._by_problem.clear()


def free_bytes(device: Any) -> int:
    if torch.device(device).type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):  # a system that does not tell
        return 4 << 30
