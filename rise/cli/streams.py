"""The terminal as it comes: of another encoding than UTF-8, or with warnings of libraries on it."""

from __future__ import annotations

import codecs
import os
import re
import sys
import warnings
from typing import Any, TextIO

STANDS_FOR = {
    "–": "-",
    "−": "-",
    "—": "-",
    "…": "...",
    "→": "->",
    "⏎": "",
    "×": "x",
    "·": "-",
    "“": '"',
    "”": '"',
    "’": "'",
    "≥": ">=",
}
"""What is written for signs that a terminal has no code for; for any other, a question mark."""

HANDLER = "rise-plain"


def mend_streams() -> None:
    """Let every text be printed whatever the encoding: a run must not end in its last line for a dash."""
    codecs.register_error(HANDLER, _stand_in)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=HANDLER)


def mend_width() -> None:
    """Forget a width or height of the terminal that is none: in 0 columns nothing would be printed at all."""
    for name in ("COLUMNS", "LINES"):
        if name in os.environ and not re.fullmatch(r"0*[1-9]\d{0,4}", os.environ[name].strip()):
            del os.environ[name]


def _stand_in(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(STANDS_FOR.get(sign, "?") for sign in error.object[error.start : error.end]), error.end


def plain_warnings() -> None:
    """Warnings as one line each. Where in the source they arose helps nobody who did not write it."""

    def show(
        message: Warning | str, category: type[Warning], filename: str, lineno: int, file: TextIO | None = None, line: Any = None
    ) -> None:
        text = " ".join(str(message).split())
        print(f"note: {text}", file=file or sys.stderr)

    warnings.showwarning = show
