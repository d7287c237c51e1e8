"""Collect the student's own turns on each problem: the states that the improver will work on. RISE §4.1."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rise.play.player import Player
from rise.task import Problem
from rise.trajectory import Trajectory, Turn


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
