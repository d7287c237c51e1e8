"""Skills: what a nano base brings to the rounds, each learnt as a small task of its own.

Any pretrained model can make an attempt, say again a line it was shown, and say whether a line hits its target. A base made
from nothing has to be taught these, and is taught nothing that joins them: whether an attempt hit has no say in what its base
writes next. The joining is what the rounds are for.
"""

from __future__ import annotations

from dataclasses import dataclass

from rise.task import Problem


@dataclass(frozen=True, slots=True)
class Lesson:
    """One reply that a base learns, and what stands before it."""

    problem: Problem
    attempts: tuple[str, ...]
    """Shown before it, as the recipe's [state] shows attempts."""
    reply: str
    ask: str | None = None
    """What is asked in place of another attempt; None asks for an attempt."""
