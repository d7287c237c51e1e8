"""Rollout as a stage: the student's own turns on the training problems, the states that the improver will work on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rise.errors import DataError
from rise.evaluation.detector import spoilt
from rise.jsonl import write_jsonl
from rise.method.rollout import rollout
from rise.play.player import play_out
from rise.policy import Policy
from rise.recipe.improvers import INJECTED
from rise.recipe.problems import student_turns
from rise.runs.alarms import of_replies
from rise.runs.bench import Bench
from rise.runs.directory import StageDir
from rise.task import Problem
from rise.trajectory import Trajectory, Turn, read_trajectories, to_json


def rollout_stage(bench: Bench, stage: StageDir, problems: Sequence[Problem], student: Path, k: int) -> list[Trajectory]:
    """trajectories.jsonl of round k, made by `collect` unless it is there."""
    if not stage.trajectories.exists():
        turns, purpose = student_turns(bench.config, k), f"{stage.name}/rollout"
        if bench.config.rollout.policy == INJECTED:
            found = inject(bench, problems, n_turns=turns, purpose=purpose)
        else:
            found = collect(bench, stage.name, problems, bench.config.rollout.policy or student, n_turns=turns, purpose=purpose)
        write_jsonl(stage.trajectories, (to_json(t) for t in found))
    return list(read_trajectories(stage.trajectories))


def collect(
    bench: Bench, stage: str, problems: Sequence[Problem], student: Path | str | Policy, *, n_turns: int, purpose: str
) -> list[Trajectory]:
    """The student's turns on each problem, as [rollout] says, sorted by problem and sample."""
    settings = bench.config.rollout
    with bench.timed(stage, "rollout", len(problems) * settings.n_trajectories) as timer:
        player = bench.player(bench.policy(student), purpose)
        work = rollout(
            player,
            problems,
            n_turns=n_turns,
            stop_when_right=settings.stop_when_right,
            n_trajectories=settings.n_trajectories,
        )
        trajectories = play_out(player, work)
        timer.of(player)
    bench.sound(of_replies(stage, "rollout", (turn for t in trajectories for turn in t.turns), bench.config))
    return sorted(trajectories, key=lambda t: (t.problem_id, t.sample))


def inject(bench: Bench, problems: Sequence[Problem], *, n_turns: int, purpose: str) -> list[Trajectory]:
    """Turns that nobody took: the worked solution with one digit changed, another at each turn. arXiv 2512.02389.

    Problems whose solution no digit spoils are left out. Raises `DataError` where that leaves none.
    """
    player = bench.player(None, purpose)

    async def work() -> list[Trajectory]:
        found = []
        for problem in problems:
            turns: list[Turn] = []
            for k in range(n_turns):
                turn = spoilt(player, problem, k)
                if turn is not None:
                    turns.append(await player.answered(problem, turns, replace(turn, feedback=None)))
            if turns:
                found.append(Trajectory(problem.id, problem.question, problem.gold, tuple(turns), problem.fields))
        return found

    found = play_out(player, work())
    if not found:
        raise DataError(f'rollout.policy = "{INJECTED}" changes a digit of worked solutions, and no problem has one to change.')
    return sorted(found, key=lambda t: t.problem_id)
