"""Rollout as a stage: the student's own turns on the training problems, the states that the improver will work on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rise.jsonl import write_jsonl
from rise.method.rollout import rollout
from rise.play.player import play_out
from rise.policy import Policy
from rise.recipe.problems import student_turns
from rise.runs.alarms import of_replies
from rise.runs.bench import Bench
from rise.runs.directory import StageDir
from rise.task import Problem
from rise.trajectory import Trajectory, read_trajectories, to_json


def rollout_stage(bench: Bench, stage: StageDir, problems: Sequence[Problem], student: Path, k: int) -> list[Trajectory]:
    """trajectories.jsonl of round k, made by `collect` unless it is there."""
    if not stage.trajectories.exists():
        turns = student_turns(bench.config, k)
        found = collect(bench, stage.name, problems, student, n_turns=turns, purpose=f"{stage.name}/rollout")
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
