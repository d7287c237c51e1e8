"""Standard output that other programs read: nothing but what was asked for may be on it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import TextIO


@contextmanager
def alone_on_stdout() -> Iterator[TextIO]:
    """The stream to write to. Whatever else is printed meanwhile, by code of the user's or what it starts, goes to stderr."""
    out = sys.stdout
    out.flush()
    if not _is_real(out):
        with redirect_stdout(sys.stderr):
            yield out
        return
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with open(kept, "w", encoding=out.encoding, errors=out.errors, closefd=False) as real, redirect_stdout(sys.stderr):
            yield real
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def _is_real(stream: TextIO) -> bool:
    try:
        return stream.fileno() == 1
    except (OSError, ValueError, AttributeError):  # replaced, by a test for example
        return False
