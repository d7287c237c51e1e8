"""Put a better reply at the states the student reached: from itself, a teacher, or the worked solution. RISE eq. 4.4, 4.5."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

from rise.errors import DataError
from rise.rollout import Player
from rise.task import Problem
from rise.trajectory import Relabelled, Trajectory, Turn

Improver = Literal["self", "teacher", "gold"]
RelabelRight = Literal["skip", "keep", "restate"]


async def relabel(
    player: Player,
    problems: Sequence[Problem],
    trajectories: Sequence[Trajectory],
    *,
    improver: Improver,
    n_samples: int = 1,
    states: Literal["last", "every"] = "last",
    relabel_right: RelabelRight = "skip",
    student: Any = None,
) -> list[Relabelled]:
    """Improved replies in the order of `problems`, then of states. `player.policy` is the improver; `gold` asks nobody.

    The improver sees exactly what the student saw: the problem, its own attempts and the feedback, never the gold answer.
    `student` is the student's renderer. A teacher's token ids are kept only if its renderer is the same: the ids of
    another tokenizer or template would teach the student other words, so they are rendered again from the text.
    """
    same_ids = improver != "teacher" or (
        student is not None and player.renderer is not None and student.fingerprint == player.renderer.fingerprint
    )
    by_id = {trajectory.problem_id: trajectory for trajectory in trajectories}
    if improver == "gold":
        lacking = next((p for p in problems if p.solution is None), None)
        if lacking is not None:
            raise DataError(
                f'problem {lacking.id} has no worked solution, so relabel.improver = "gold" has nothing to give. '
                'Use "self" or "teacher", or a task whose problems carry solutions.'
            )

    async def one(problem: Problem, trust: bool) -> list[Relabelled]:
        trajectory = by_id[problem.id]
        out = []
        for k in chosen_states(trajectory, states=states, relabel_right=relabel_right):
            shown = trajectory.turns[:k]
            if shown[-1].right and relabel_right == "restate":
                candidates = [replace(shown[-1], source="restate", feedback=None, prompt_ids=None)]
            elif improver == "gold":
                candidates = [player.judged(problem, Turn(reply=problem.solution or "", source="gold"))]
            else:
                candidates = await player.turns(problem, shown, n=n_samples, source=improver, trust_ledger=trust)
                if not same_ids:
                    candidates = [replace(turn, prompt_ids=None, reply_ids=None) for turn in candidates]
            rewards = [candidate.reward or 0.0 for candidate in candidates]
            out.append(Relabelled(problem.id, k, tuple(candidates), rewards.index(max(rewards))))
        return out

    wanted = [p for p in problems if chosen_states(by_id[p.id], states=states, relabel_right=relabel_right)]
    if improver != "gold":
        player.check_context(wanted, max((len(by_id[p.id].turns) for p in wanted), default=0))
    return [item for items in await player.play(wanted, one) for item in items]


def chosen_states(trajectory: Trajectory, *, states: str, relabel_right: str) -> list[int]:
    """Numbers of attempts after which a better reply is wanted.

    >>> from rise.trajectory import Verdict
    >>> turns = tuple(Turn("", verdict=v) for v in (Verdict.WRONG, Verdict.RIGHT))
    >>> t = Trajectory("p", "q", "g", turns)
    >>> chosen_states(t, states="every", relabel_right="skip"), chosen_states(t, states="last", relabel_right="keep")
    ([1], [2])
    """
    reached = range(1, len(trajectory.turns) + 1) if states == "every" else [len(trajectory.turns)]
    return [k for k in reached if relabel_right != "skip" or not trajectory.turns[k - 1].right]
