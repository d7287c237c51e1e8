"""Rollout: the student's own turns on the training problems, the states that the improver will work on. RISE §4.1."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rise.errors import DataError
from rise.evaluation.detector import spoilt
from rise.jsonl import write_jsonl
from rise.play.player import Player, play_out
from rise.policy import Policy
from rise.recipe.improvers import INJECTED
from rise.recipe.problems import student_turns
from rise.runs.alarms import of_replies
from rise.runs.context import RunContext
from rise.runs.directory import StageDir
from rise.task import Problem
from rise.trajectory import Trajectory, Turn, read_trajectories, to_json


@dataclass(frozen=True, slots=True)
class Episode:
    """One of the independent trajectories of a problem."""

    problem: Problem
    sample: int = 0
    shown: Trajectory | None = None
    """The trajectory itself, once the student has taken its turns."""

    @property
    def id(self) -> str:
        return f"{self.problem.id}/{self.sample}" if self.sample else self.problem.id


@dataclass(frozen=True, slots=True)
class Episodes(Sequence[Episode]):
    """`n` episodes of each problem, made when they are asked for: there may be a million."""

    problems: Sequence[Problem]
    n: int = 1

    def __len__(self) -> int:
        return len(self.problems) * self.n

    def __getitem__(self, index: int) -> Episode:  # type: ignore[override]
        return Episode(self.problems[index // self.n], index % self.n)


async def rollout(
    player: Player,
    problems: Sequence[Problem],
    *,
    n_turns: int,
    stop_when_right: bool,
    n_trajectories: int = 1,
    on_record: Callable[[int, Trajectory], None] | None = None,
) -> list[Trajectory]:
    """`n_trajectories` of at most `n_turns` turns for each problem, in the order of the problems, then of the samples.

    A feedback that stops an episode (`truthful`) ends it at the first right reply in any case, as in evaluation: it has told
    that it is right. With `on_record`, trajectories are handed to it and the list is empty (`Player.play`).
    Raises `ConfigError` where the longest state may not fit the context, `PolicyError` where the policy fails.
    """
    player.check_context(problems, n_turns - 1)
    stop = stop_when_right or player.prompt.stops_when_right

    async def one(episode: Episode) -> Trajectory:
        problem, sample = episode.problem, episode.sample
        turns: list[Turn] = []
        for _ in range(n_turns):
            [turn] = await player.turns(problem, turns, first=sample)
            turns.append(await player.answered(problem, turns, turn, sample=sample))
            if turn.right and stop:
                break
        return Trajectory(problem.id, problem.question, problem.gold, tuple(turns), problem.fields, sample)

    return await player.play(Episodes(problems, n_trajectories), one, on_record=on_record)


def rollout_stage(context: RunContext, stage: StageDir, problems: Sequence[Problem], student: Path, k: int) -> list[Trajectory]:
    """trajectories.jsonl of round k, made by `collect` unless it is there."""
    if not stage.trajectories.exists():
        turns, purpose = student_turns(context.config, k), f"{stage.name}/rollout"
        if context.config.rollout.policy == INJECTED:
            found = inject(context, problems, n_turns=turns, purpose=purpose)
        else:
            found = collect(
                context, stage.name, problems, context.config.rollout.policy or student, n_turns=turns, purpose=purpose
            )
        write_jsonl(stage.trajectories, (to_json(t) for t in found))
    return list(read_trajectories(stage.trajectories))


def collect(
    context: RunContext, stage: str, problems: Sequence[Problem], student: Path | str | Policy, *, n_turns: int, purpose: str
) -> list[Trajectory]:
    """The student's turns on each problem, as [rollout] says, sorted by problem and sample."""
    settings = context.config.rollout
    with context.timed(stage, "rollout", len(problems) * settings.n_trajectories) as timer:
        player = context.player(context.policy(student), purpose)
        work = rollout(
            player,
            problems,
            n_turns=n_turns,
            stop_when_right=settings.stop_when_right,
            n_trajectories=settings.n_trajectories,
        )
        trajectories = play_out(player, work)
        timer.record(player)
    context.report_alarms(of_replies(stage, "rollout", (turn for t in trajectories for turn in t.turns), context.config))
    return sorted(trajectories, key=lambda t: (t.problem_id, t.sample))


def inject(context: RunContext, problems: Sequence[Problem], *, n_turns: int, purpose: str) -> list[Trajectory]:
    """Turns that nobody took: the worked solution with one digit changed, another at each turn. arXiv 2512.02389.

    Problems whose solution no digit spoils are left out. Raises `DataError` where that leaves none.
    """
    player = context.player(None, purpose)

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
