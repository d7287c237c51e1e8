"""A disk without room for a checkpoint: one error whichever library was writing, with the room that is needed. Needs no torch."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rise.errors import RiseError
from rise.jsonl import FULL

_SAFETENSORS = re.compile(r"os error (\d+)")
"""How its errors, which are no `OSError`s, name the system's."""
_TORCH = re.compile(r"PytorchStreamWriter failed|inline_container\.cc")
"""`torch.save` says that a file could not be written, and not why."""


@contextmanager
def room_for(what: str, partial: Path, n_bytes: Callable[[], int]) -> Iterator[None]:
    """Where the block cannot write `what` whole into `partial`, remove what there is of it and say how much room it needs.

    Raises `RiseError` for a full disk, a quota and a limit on files; any other error passes. `n_bytes` is asked only then.
    """
    try:
        yield
    except Exception as error:
        why = _full(error)
        if why is None:
            raise
        shutil.rmtree(partial, ignore_errors=True)
        there = next(parent for parent in partial.absolute().parents if parent.exists())
        free = shutil.disk_usage(there).free
        raise RiseError(
            f"{there}: no room for {what} ({why}). It needs about {_size(n_bytes())}, and {_size(free)} are free there. Nothing "
            "half written was kept, and what was finished before is intact: free some and run the same command to continue."
        ) from error


def tensor_bytes(thing: Any) -> int:
    """Of all tensors in nested mappings and lists.

    >>> tensor_bytes({"step": 3, "groups": [{"lr": 0.1}]})
    0
    """
    if hasattr(thing, "element_size"):
        return int(thing.numel() * thing.element_size())
    if isinstance(thing, Mapping):
        return sum(map(tensor_bytes, thing.values()))
    if isinstance(thing, list | tuple):
        return sum(map(tensor_bytes, thing))
    return 0


def _full(error: BaseException | None) -> str | None:
    """What the system says of a disk without room; None where something else is wrong."""
    if error is None:
        return None
    said = _SAFETENSORS.search(str(error))
    number = error.errno if isinstance(error, OSError) and error.errno is not None else int(said[1]) if said else None
    if number in FULL:
        return os.strerror(number or 0)
    inner = _full(error.__cause__ or error.__context__)
    return inner or ("a file of it could not be written to its end" if _TORCH.search(str(error)) else None)


def _size(n_bytes: int) -> str:
    """As a person reads it.

    >>> _size(0), _size(3 << 20), _size(5 << 30)
    ('0.0 MiB', '3.0 MiB', '5.0 GiB')
    """
    return f"{n_bytes / 2**30:,.1f} GiB" if n_bytes >= 2**30 else f"{n_bytes / 2**20:,.1f} MiB"
