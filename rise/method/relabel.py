"""Put a better reply at the states the student reached: from itself, a teacher, the worked solution. RISE eq. 4.4, 4.5."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

from rise.errors import DataError
from rise.method.choose import Select, best, majority
from rise.play.player import Episode, Player
from rise.task import Problem
from rise.trajectory import Relabelled, Trajectory, Turn

Improver = Literal["self", "teacher", "gold", "pair", "none"]
RelabelRight = Literal["skip", "keep", "restate"]
SILENT = ("gold", "pair", "none")
"""Improvers for whom nothing is generated."""


async def relabel(
    player: Player,
    problems: Sequence[Problem],
    trajectories: Sequence[Trajectory],
    *,
    improver: Improver,
    n_samples: int = 1,
    select: Select = "oracle",
    states: Literal["last", "every"] = "last",
    relabel_right: RelabelRight = "skip",
    student: Any = None,
) -> list[Relabelled]:
    """Improved replies in the order of `problems`, of their trajectories, of states. `player.policy` is the improver.

    The improver sees exactly what the student saw: the problem, its own attempts and the feedback, never the gold answer.
    `gold`, `pair` and `none` ask nobody: the worked solution, a right reply of the same round (`pairs`), nothing at all.
    With `select = "judge"` the majority's stands until `rise.method.choose.choose` has asked.
    `student` is the student's renderer. A teacher's token ids are kept only if its renderer is the same: the ids of
    another tokenizer or template would teach the student other words, so they are rendered again from the text.
    """
    same_ids = improver != "teacher" or (
        student is not None and player.renderer is not None and student.fingerprint == player.renderer.fingerprint
    )
    by_problem: dict[str, list[Trajectory]] = defaultdict(list)
    for trajectory in trajectories:
        by_problem[trajectory.problem_id].append(trajectory)
    if improver == "none":
        return []
    if improver == "pair":
        return [item for problem in problems for item in pairs(by_problem[problem.id])]
    if improver == "gold":
        lacking = next((p for p in problems if p.solution is None), None)
        if lacking is not None:
            raise DataError(
                f'problem {lacking.id} has no worked solution, so relabel.improver = "gold" has nothing to give. '
                'Use "self" or "teacher", or a task whose problems carry solutions.'
            )

    async def one(episode: Episode, trust: bool) -> list[Relabelled]:
        problem, trajectory = episode.problem, episode.shown
        assert trajectory is not None
        out = []
        for k in chosen_states(trajectory, states=states, relabel_right=relabel_right):
            shown = trajectory.turns[:k]
            if shown[-1].right and relabel_right == "restate":
                candidates = [replace(shown[-1], source="restate", feedback=None, critique=None, prompt_ids=None)]
            elif improver == "gold":
                candidates = [player.judged(problem, Turn(reply=problem.solution or "", source="gold"))]
            else:
                first = trajectory.sample * n_samples  # two trajectories may reach one state, and ask for other replies there
                candidates = await player.turns(problem, shown, n=n_samples, first=first, source=improver, trust_ledger=trust)
                if not same_ids:
                    candidates = [replace(turn, prompt_ids=None, reply_ids=None) for turn in candidates]
            chosen = best(candidates) if select == "oracle" else majority(candidates, player.judge.same)
            out.append(Relabelled(problem.id, k, tuple(candidates), chosen, trajectory.sample))
        return out

    episodes = [Episode(problem, t.sample, t) for problem in problems for t in by_problem[problem.id]]
    wanted = [e for e in episodes if e.shown and chosen_states(e.shown, states=states, relabel_right=relabel_right)]
    if improver != "gold":
        longest = max((len(e.shown.turns) for e in wanted if e.shown), default=0)
        player.check_context([e.problem for e in wanted], longest)
    return [item for items in await player.play(wanted, one) for item in items]


def pairs(trajectories: Sequence[Trajectory]) -> list[Relabelled]:
    """Wrong → right pairs of one problem: behind each wrong first reply, a right one that was drawn without having seen it.

    Off-policy on purpose: this is the data of pair-SFT (SCoRe, arXiv 2409.12917, §4, after Welleck et al. 2023). The right
    replies are dealt out in turn; a problem without a right or without a wrong one gives no pair.

    >>> from rise.trajectory import Verdict
    >>> turns = [Turn("5", reward=0.0), Turn("4", verdict=Verdict.RIGHT, reward=1.0), Turn("6", reward=0.0)]
    >>> found = pairs([Trajectory("p", "2+2", "4", (turn,), sample=i) for i, turn in enumerate(turns)])
    >>> [(item.sample, item.reply.reply) for item in found]
    [(0, '4'), (2, '4')]
    """
    right = [t.turns[0] for t in trajectories if t.turns[0].right]
    wrong = [t for t in trajectories if not t.turns[0].right]
    return [
        Relabelled(t.problem_id, 1, (replace(right[i % len(right)], source="pair", feedback=None, prompt_ids=None),), 0, t.sample)
        for i, t in enumerate(wrong if right else [])
    ]


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
