"""Self-distillation: the model that has seen more teaches the one that has not, token by token. SDPO, arXiv 2601.20802.

The gradient of Σ KL(π( · | s, y<t) ‖ π( · | s′, y<t)) on the model's own replies y; s′ is what the teacher is shown. Equation and
departures: docs/beyond.md.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace

from rise.dataset.advantage import Drawn, all_drawn
from rise.dataset.build import State, example_of, unfit
from rise.dataset.example import Example
from rise.trajectory import Relabelled, Trajectory, Turn

Shown = Callable[[Drawn, Sequence[Turn]], Turn | None]
"""(reply, the right replies to its problem) → the attempt that the teacher has seen; None where it has seen nothing."""


def own_attempt(drawn: Drawn, right: Sequence[Turn]) -> Turn | None:
    """The reply itself: what the model makes of it once it has heard the feedback."""
    return drawn.turn


def right_attempt(drawn: Drawn, right: Sequence[Turn]) -> Turn | None:
    """The first right reply to the problem that is not the reply itself; none where there is none."""
    return next((turn for turn in right if turn is not drawn.turn), None)


SHOWN: dict[str, Shown] = {"right": right_attempt, "attempt": own_attempt}
"""The values of `distil.shown`."""

Told = Callable[[Trajectory, Sequence[Turn]], str]
"""(trajectory, attempts) → the feedback on the last of them."""


def gains(teacher: Sequence[float], student: Sequence[float], clip: float) -> tuple[float, ...]:
    """Weight of each token: log π(token | what the teacher saw) − log π(token | without), between −clip and clip.

    >>> gains([-0.5, -3.0, -1.0], [-1.0, -1.0, -1.0], clip=1.5)
    (0.5, -1.5, 0.0)
    """
    return tuple(max(-clip, min(clip, told - own)) for told, own in zip(teacher, student, strict=True))


def distilled(
    trajectories: Sequence[Trajectory],
    relabelled: Sequence[Relabelled],
    state: State,
    told: Told,
    shown: str,
    *,
    drop_truncated: bool = True,
) -> tuple[list[Example], Counter[str], Counter[str]]:
    """(every reply of the student with what its teacher is shown, what was dropped by reason, other counts).

    Their weight is 1 until the teacher has been asked (`rise.method.score`), which gives each token its own. Repeats stay: how
    often a reply was drawn is what its probability is.
    """
    dropped: Counter[str] = Counter()
    every = all_drawn(trajectories, relabelled)
    right: dict[str, list[Turn]] = defaultdict(list)
    for drawn in every:
        if drawn.turn.right:
            right[drawn.trajectory.problem_id].append(drawn.turn)
    found: list[Example] = []
    for drawn in every:
        trajectory, before = drawn.trajectory, drawn.trajectory.turns[: drawn.k]
        seen = SHOWN[shown](drawn, right[trajectory.problem_id])
        if reason := unfit(drawn.turn, drop_truncated):
            dropped[reason] += 1
        elif seen is None:
            dropped["no right reply for its teacher to see"] += 1
        else:
            attempts = (*before, replace(seen, critique=None, feedback=told(trajectory, [*before, seen])))
            teacher = state(replace(trajectory, turns=attempts), len(attempts))
            example = example_of(trajectory.problem_id, drawn.k, drawn.turn, state(trajectory, drawn.k), weight=1.0)
            found.append(replace(example, teacher_prompt=teacher))
    return found, dropped, Counter({"replies that a teacher scores": len(found)})
