"""Text that a model or a person wrote, put into Markdown so that no reader of Markdown takes it for markup."""

from __future__ import annotations

import re

from rise.evaluation.outcomes import printable


def inline(text: str) -> str:
    """Text that no Markdown reader takes for markup or a table's edge.

    >>> print(inline("a|b <script> *x*"))
    a\\|b &lt;script&gt; \\*x\\*
    """
    text = printable(" ".join(text.split())).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|])", r"\\\1", text)


def fenced(text: str, language: str = "text") -> str:
    """A code block whose fence is longer than any run of backticks inside.

    >>> print(fenced("a ``` b"))
    ````text
    a ``` b
    ````
    """
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{printable(text)}\n{fence}"
