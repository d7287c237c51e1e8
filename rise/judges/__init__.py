"""Kinds of judges: `math` reads a final answer and compares it with gold; `own` is one of yours."""

from rise.judges.math import MathJudge

__all__ = ["MathJudge"]
