"""The improvers: who puts a better reply at a state that the student reached. RISE eq. 4.4, 4.5 and its baselines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

INJECTED = "injected"
"""The name under `rollout.policy` of attempts that nobody made: worked solutions with one digit changed."""


@dataclass(frozen=True, slots=True)
class Improver:
    """What is known of an improver before any work. What it does is a function in `rise.method.relabel.IMPROVE`."""

    words: str
    """For the dry run and the report. `{replies}` is the number of replies it samples, `{teacher}` the teacher's spec."""
    asks: Literal["student", "teacher"] | None
    """Whose replies are sampled at the state; None where nothing is generated."""
    needs_solutions: bool = False
    """Whether every training problem needs a worked solution."""


IMPROVERS: dict[str, Improver] = {
    "self": Improver("{replies} of its own", asks="student"),
    "teacher": Improver("{replies} of {teacher}", asks="teacher"),
    "gold": Improver("the worked solution", asks=None, needs_solutions=True),
    "pair": Improver("a right first reply of the same round", asks=None),
    "none": Improver("nobody, so the student's own turns alone", asks=None),
}
"""Name in `relabel.improver` → what is known of it. `pair` is pair-SFT (SCoRe §4); `none` is STaR and plain fine-tuning."""
