"""Conversations that `rise serve --log` kept, as problems and judged trajectories of a recipe."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rise.errors import DataError
from rise.judge import Judge
from rise.judges.by_model import ModelJudge
from rise.play.player import Player, play_out
from rise.runs.context import RunContext
from rise.task import Problem
from rise.trajectory import SERVED, Trajectory, Turn


def refuse_shared_names(records: Sequence[Trajectory], file: Path) -> None:
    """Raise `DataError` for two trajectories under one name, by which an improved reply finds the one it belongs to."""
    for (problem_id, sample), n in Counter((t.problem_id, t.sample) for t in records).items():
        if n > 1:
            raise DataError(
                f"{file}: {n} trajectories are sample {sample} of problem {problem_id}, so improved replies would be trained "
                "behind attempts that are not theirs. Give the files of several servers or runs one by one."
            )


def served_problems(records: Sequence[Trajectory]) -> list[Problem]:
    """The questions of clients, each once, with the right answer where somebody has filled one in."""
    own = [t for t in records if SERVED in t.fields]
    return list({t.problem_id: Problem(t.question, t.gold, fields=t.fields, id=t.problem_id) for t in own}.values())


def judge_served(context: RunContext, problems: Sequence[Problem], records: Sequence[Trajectory]) -> list[Trajectory]:
    """The records with every turn judged that nobody has judged yet.

    Raises `DataError` where the recipe's judge needs a right answer and there is none.
    """
    without = [problem for problem in problems if SERVED in problem.fields and not problem.gold]
    if without and _needs_gold(context.judge):
        raise DataError(
            f"{len(without)} questions of clients have no right answer, and the recipe's judge compares with one. Fill in gold "
            'in the file of trajectories, or let a model judge: task.settings.judge = { name = "model", policy = … }.'
        )
    by_id = {problem.id: problem for problem in problems}
    player = context.player(None, "served")

    async def whole(record: _Kept) -> Trajectory:
        of, problem = record.trajectory, by_id[record.trajectory.problem_id]
        turns: list[Turn] = []
        for turn in of.turns:
            judged = turn if turn.verdict else await player.judged_aside(problem, turn)
            if judged.feedback is None:  # the last of a conversation, behind which a better reply is to stand
                if player.prompt.refines:
                    break  # nobody has criticised it
                judged = replace(judged, feedback=player.prompt.feedback_for(problem, [*turns, judged]))
            turns.append(judged)
        return replace(of, turns=tuple(turns))

    async def every(player: Player) -> list[Trajectory]:
        return await player.play([_Kept(t) for t in records], whole)

    return [t for t in play_out(player, every(player)) if t.turns]


class _Kept:
    """A trajectory by a name of its own."""

    def __init__(self, trajectory: Trajectory) -> None:
        self.trajectory, self.id = trajectory, f"{trajectory.problem_id}/{trajectory.sample}"


def _needs_gold(judge: Judge) -> bool:
    """Judges of ours compare with the right answer; a model may do without, and whoever writes a judge knows."""
    return not isinstance(judge, ModelJudge) and type(judge).__module__ != "rise.judges.named"
