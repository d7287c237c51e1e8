"""The boost: supervised training that teaches a weak base the format and the task before the rounds. RISE §4.4."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rise.dataset.build import build_examples
from rise.dataset.example import Example
from rise.errors import DataError
from rise.method.evaluate import evaluate_stage
from rise.method.examples import write_examples
from rise.method.lessons import lesson_examples
from rise.method.relabel import relabel
from rise.method.rollout import rollout
from rise.method.train import train_stage
from rise.play.player import play_out
from rise.runs.context import RunContext
from rise.runs.directory import StageDir
from rise.task import Problem
from rise.trajectory import Trajectory, Verdict


def boost(context: RunContext, base: Path) -> Path:
    """Supervised training on worked solutions; then again with turns in which an attempt is shown and improved."""
    config = context.config.boost
    one_turn = context.dir.stage("boost-one-turn")
    if not one_turn.examples.exists():
        material = _lessons(context) if config.material == "skills" else _solutions(context)
        write_examples(context, one_turn, material, config=config.train)
    train_stage(context, one_turn, base, config.train)
    if config.also_one_turn or config.multi_turn_share == 0:
        evaluate_stage(context, one_turn.name, one_turn.checkpoint)
    if config.multi_turn_share == 0:
        return one_turn.checkpoint

    stage = context.dir.stage("boost")
    training = config.train_multi_turn or config.train
    if not stage.examples.exists():
        multi, dropped, counts = _multi_turn(context, stage, one_turn.checkpoint)
        n_one = round(len(multi) * (1 - config.multi_turn_share) / config.multi_turn_share)
        singles = _solutions(context)
        singles = random.Random(context.config.seed).sample(singles, min(len(singles), n_one))
        write_examples(context, stage, [*singles, *multi], dropped, counts, config=training)
    train_stage(context, stage, one_turn.checkpoint if config.start == "one-turn" else base, training)
    evaluate_stage(context, stage.name, stage.checkpoint)
    return stage.checkpoint


def _multi_turn(context: RunContext, stage: StageDir, model: Path) -> tuple[list[Example], Counter[str], Counter[str]]:
    """Worked solutions behind the model's own attempts, at most one a problem: (examples, dropped by reason, counts)."""
    problems = context.ready.boost
    chosen = list(problems)[: round(len(problems) * context.config.boost.multi_turn_share)]
    with context.timed(stage.name, "rollout", len(chosen)) as timer:
        player = context.player(context.policy(model), f"{stage.name}/rollout")
        trajectories = play_out(player, rollout(player, chosen, n_turns=1, stop_when_right=False))
        timer.record(player)
    kept = _balanced(trajectories, context.config.boost.right_share)
    shown = {t.problem_id for t in kept}
    work = relabel(player, [p for p in chosen if p.id in shown], kept, improver="gold", relabel_right="keep")
    by_id = {p.id: p for p in chosen}
    multi, dropped, counts = build_examples(
        kept,
        play_out(player, work),
        lambda t, k: context.ready.prompt.messages(by_id[t.problem_id], t.turns[:k]),
        trained_turns="last",
    )
    counts["multi-turn examples"] = len(multi)
    return [replace(e, weight=1.0) for e in multi], dropped, counts  # worked solutions all: nothing to weigh


def _balanced(trajectories: Sequence[Trajectory], right_share: float) -> list[Trajectory]:
    """All whose attempt is wrong, and the first right ones as far as `right_share` of the whole allows."""
    n_wrong = sum(not t.turns[0].right for t in trajectories)
    n_right = round(n_wrong * right_share / max(1e-9, 1 - right_share))
    right = {t.problem_id for t in [t for t in trajectories if t.turns[0].right][:n_right]}
    return [t for t in trajectories if not t.turns[0].right or t.problem_id in right]


def _lessons(context: RunContext) -> list[Example]:
    """The task's own lessons in the skills of a nano base (`rise.tasks.skills`), each of weight 1."""
    ready = context.ready
    lessons = ready.task.skills(ready.boost, random.Random(f"skills/{context.config.seed}"))
    if lessons is None:
        raise DataError(
            f'boost.material = "skills" needs a task that teaches some, and {context.config.task.name} has none. Use "solutions".'
        )
    return lesson_examples(lessons, ready.prompt)


def _solutions(context: RunContext) -> list[Example]:
    """One-turn examples: the task's worked solutions."""
    reward = context.config.reward.right
    return [_solution(context, problem, reward) for problem in context.ready.boost]


def _solution(context: RunContext, problem: Problem, reward: float) -> Example:
    messages = context.ready.prompt.messages(problem, [])
    assert problem.solution is not None, "preflight has looked"
    return Example(problem.id, 0, messages, problem.solution, "solution", reward, 1.0, (), (), verdict=Verdict.RIGHT)
