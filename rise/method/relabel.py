"""Put a better reply at the states the student reached: from itself, a teacher, the worked solution. RISE eq. 4.4, 4.5."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

from rise.errors import DataError
from rise.jsonl import write_jsonl
from rise.method.choose import Select, best, choose, majority
from rise.method.rollout import Episode
from rise.play.budget import Budget, paid
from rise.play.player import Player, play_out
from rise.policy import Policy
from rise.recipe.improvers import IMPROVERS
from rise.runs.alarms import of_replies
from rise.runs.context import RunContext
from rise.runs.directory import StageDir
from rise.task import Problem
from rise.trajectory import Relabelled, Trajectory, Turn, read_relabelled, to_json

RelabelRight = Literal["skip", "keep", "restate"]


@dataclass(frozen=True, slots=True)
class Asked:
    """How replies are drawn where an improver is a policy."""

    improver: str
    n_samples: int
    own_ids: bool
    """Whether the improver's token ids are the student's, so that they may train as they are."""


class Improve(Protocol):
    """Candidates for a better reply after the first `k` turns of `episode.shown`, each judged."""

    async def __call__(self, player: Player, episode: Episode, k: int, asked: Asked) -> list[Turn]: ...


async def from_policy(player: Player, episode: Episode, k: int, asked: Asked) -> list[Turn]:
    """`n_samples` replies of `player.policy` at the student's own state. RISE eq. 4.4 (teacher), 4.5 (self)."""
    assert episode.shown is not None
    # Two trajectories may reach one state, and ask for other replies there.
    first = episode.sample * asked.n_samples
    shown = episode.shown.turns[:k]
    candidates = await player.turns(episode.problem, shown, n=asked.n_samples, first=first, source=asked.improver)
    return candidates if asked.own_ids else [replace(turn, prompt_ids=None, reply_ids=None) for turn in candidates]


async def from_solution(player: Player, episode: Episode, k: int, asked: Asked) -> list[Turn]:
    """The worked solution of the problem."""
    return [player.judged(episode.problem, Turn(reply=episode.problem.solution or "", source=asked.improver))]


IMPROVE: dict[str, Improve] = {"self": from_policy, "teacher": from_policy, "gold": from_solution}
"""Improver → its candidates at a state. `pair` and `none` work on whole trajectories: see `relabel`.

What is known of an improver before any work stands in `rise.recipe.improvers`."""


async def relabel(
    player: Player,
    problems: Sequence[Problem],
    trajectories: Sequence[Trajectory],
    *,
    improver: str,
    n_samples: int = 1,
    select: Select = "oracle",
    states: Literal["last", "every"] = "last",
    relabel_right: RelabelRight = "skip",
    student: Any = None,
) -> list[Relabelled]:
    """Improved replies in the order of `problems`, of their trajectories, of states. `player.policy` is the improver.

    The improver sees exactly what the student saw: the problem, its own attempts and the feedback, never the gold answer.
    `gold`, `pair` and `none` generate nothing: the worked solution, a right reply of the same round (`pairs`), no reply.
    With `select = "judge"` the majority's stands until `rise.method.choose.choose` has asked.
    `student` is the student's renderer. A teacher's token ids are kept only if its renderer is the same: the ids of
    another tokenizer or template would teach the student other words, so they are rendered again from the text.
    Raises `DataError` where the improver needs worked solutions and a problem has none.
    """
    by_problem: dict[str, list[Trajectory]] = defaultdict(list)
    for trajectory in trajectories:
        by_problem[trajectory.problem_id].append(trajectory)
    if improver == "none":
        return []
    if improver == "pair":
        return [item for problem in problems for item in pairs(by_problem[problem.id])]
    known = IMPROVERS[improver]
    if known.needs_solutions:
        _need_solutions(problems, improver)
    asked = Asked(improver, n_samples, known.asks != "teacher" or _same_renderer(student, player.renderer))

    async def one(episode: Episode) -> list[Relabelled]:
        assert episode.shown is not None
        out = []
        for k in chosen_states(episode.shown, states=states, relabel_right=relabel_right):
            last = episode.shown.turns[k - 1]
            if last.right and relabel_right == "restate":
                candidates = [replace(last, source="restate", feedback=None, critique=None, prompt_ids=None)]
            else:
                candidates = await IMPROVE[improver](player, episode, k, asked)
            chosen = best(candidates) if select == "oracle" else majority(candidates, player.judge.same)
            out.append(Relabelled(episode.problem.id, k, tuple(candidates), chosen, episode.sample))
        return out

    episodes = [Episode(problem, t.sample, t) for problem in problems for t in by_problem[problem.id]]
    wanted = [e for e in episodes if e.shown and chosen_states(e.shown, states=states, relabel_right=relabel_right)]
    if known.asks is not None:
        longest = max((len(e.shown.turns) for e in wanted if e.shown), default=0)
        player.check_context([e.problem for e in wanted], longest)
    return [item for items in await player.play(wanted, one) for item in items]


def _same_renderer(student: Any, improver: Any) -> bool:
    return student is not None and improver is not None and student.fingerprint == improver.fingerprint


def _need_solutions(problems: Sequence[Problem], improver: str) -> None:
    lacking = next((p for p in problems if p.solution is None), None)
    if lacking is not None:
        raise DataError(
            f'problem {lacking.id} has no worked solution, so relabel.improver = "{improver}" has nothing to give. '
            'Use "self" or "teacher", or a task whose problems carry solutions.'
        )


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


def relabel_stage(
    context: RunContext, stage: StageDir, problems: Sequence[Problem], trajectories: Sequence[Trajectory], student: Path
) -> list[Relabelled]:
    """relabelled.jsonl, made by `improve` unless it is there."""
    if not stage.relabelled.exists():
        found = improve(context, stage.name, problems, trajectories, student, purpose=f"{stage.name}/relabel")
        write_jsonl(stage.relabelled, (to_json(item) for item in found))
    return list(read_relabelled(stage.relabelled))


def improve(
    context: RunContext,
    stage: str,
    problems: Sequence[Problem],
    trajectories: Sequence[Trajectory],
    student: Path | str | Policy,
    *,
    teacher: str | Policy | None = None,
    purpose: str,
) -> list[Relabelled]:
    """Improved replies at the states of `trajectories`, as [relabel] says, sorted by problem, sample and turn.

    `student` is the model that took the turns; `teacher` replaces the recipe's. Raises `BudgetError` when the money is spent.
    """
    config = context.config.relabel
    asks = IMPROVERS[config.improver].asks
    with context.timed(stage, "relabel", len(trajectories)) as timer:
        spec = {"student": student, "teacher": teacher or config.teacher or "", None: None}[asks]
        player = context.player(None if spec is None else context.policy(spec), purpose)
        player.budget = _bill(context)
        before = player.budget.spent
        work = relabel(
            player,
            problems,
            trajectories,
            improver=config.improver,
            n_samples=config.n_samples,
            select=config.select,
            states=config.states,
            relabel_right=config.relabel_right,
            student=context.renderer if asks == "teacher" else None,
        )
        relabelled = play_out(player, work)
        timer.record(player)
        if config.price_prompt or config.price_reply:
            timer.facts = {"price": round(player.budget.spent - before, 6), "price_so_far": round(player.budget.spent, 6)}
    if asks is not None:
        context.report_alarms(
            of_replies(stage, "relabel", (turn for item in relabelled for turn in item.candidates), context.config)
        )
    if config.select == "judge" and asks is not None:
        with context.timed(stage, "select", len(relabelled)) as timer:
            judge = student if config.judge == "self" else config.judge or ""
            player = context.player(context.policy(judge), purpose.removesuffix("relabel") + "select")
            player.budget = Budget(config.judge_price_prompt, config.judge_price_reply)
            relabelled = play_out(player, choose(player, problems, relabelled))
            timer.record(player)
    return sorted(relabelled, key=lambda item: (item.problem_id, item.sample, item.turn))


def _bill(context: RunContext) -> Budget:
    """The teacher's bill with all that this ledger's replies have cost already, whichever process asked for them."""
    config = context.config.relabel
    bill = Budget(config.price_prompt, config.price_reply, config.budget)
    if IMPROVERS[config.improver].asks == "teacher" and (config.price_prompt or config.price_reply) and context.ledger.on_disk:
        bill.spent = paid(context.ledger.path, "relabel", bill)
    return bill
