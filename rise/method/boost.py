"""The boost: supervised training that teaches a weak base the format and the task before the rounds. RISE §4.4."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rise.dataset.build import Example, build_examples
from rise.errors import DataError
from rise.method.relabel import relabel
from rise.play.player import play_out, rollout
from rise.recipe.problems import boost_problems
from rise.runs.bench import Run, Timed, evaluate_stage, policy_for, train_stage, write_examples
from rise.task import Problem
from rise.trajectory import Verdict


def boost(it: Run, base: Path) -> Path:
    """Supervised training on worked solutions; then again with turns in which an attempt is shown and improved."""
    config = it.config.boost
    problems = boost_problems(it.config, it.task)
    one_turn = it.dir.stage("boost-one-turn")
    if not one_turn.examples.exists():
        write_examples(it, one_turn, _solutions(it, problems), Counter(), Counter(), config.train)
    train_stage(it, one_turn, base, config.train)
    if config.also_one_turn or config.multi_turn_share == 0:
        evaluate_stage(it, one_turn, one_turn.checkpoint)
    if config.multi_turn_share == 0:
        return one_turn.checkpoint

    stage = it.dir.stage("boost")
    if not stage.examples.exists():
        # As many multi-turn examples as the share asks for, at most one per problem.
        n_multi = round(len(problems) * config.multi_turn_share)
        chosen = list(problems)[:n_multi]
        policy = policy_for(it, one_turn.checkpoint)
        with Timed(it, stage, "rollout", len(chosen)) as timer:
            player = it.player(policy, "boost", "rollout")
            trajectories = play_out(player, rollout(player, chosen, n_turns=1, stop_when_right=False))
            timer.usage = player.usage
        right = [t for t in trajectories if t.turns[0].right]
        n_wrong = len(trajectories) - len(right)
        most = round(n_wrong * config.right_share / max(1e-9, 1 - config.right_share))
        shown = {t.problem_id for t in right[:most]} | {t.problem_id for t in trajectories if not t.turns[0].right}
        kept = [t for t in trajectories if t.problem_id in shown]
        relabelled = play_out(
            player, relabel(player, [p for p in chosen if p.id in shown], kept, improver="gold", relabel_right="keep")
        )
        by_id = {p.id: p for p in chosen}
        multi, dropped, counts = build_examples(
            kept,
            relabelled,
            lambda t, k: it.prompt.messages(by_id[t.problem_id], t.turns[:k]),
            trained_turns="last",
        )
        multi = [replace(e, weight=1.0) for e in multi]  # worked solutions all: nothing to weigh
        counts["multi-turn examples"] = len(multi)
        n_one = round(len(multi) * (1 - config.multi_turn_share) / config.multi_turn_share)
        singles = _solutions(it, problems)
        singles = random.Random(it.config.seed).sample(singles, min(len(singles), n_one))
        write_examples(it, stage, [*singles, *multi], dropped, counts, config.train_multi_turn or config.train)
    train_stage(it, stage, one_turn.checkpoint if config.start == "one-turn" else base, config.train_multi_turn or config.train)
    evaluate_stage(it, stage, stage.checkpoint)
    return stage.checkpoint


def _solutions(it: Run, problems: Sequence[Problem]) -> list[Example]:
    """One-turn examples: the task's worked solutions."""
    out = []
    for problem in problems:
        if problem.solution is None:
            raise DataError(
                f"boost trains on worked solutions, but problem {problem.id} of {it.config.task.name} has none. "
                "Set boost.enabled = false, or give problems a solution field."
            )
        messages = it.prompt.messages(problem, [])
        reward = it.config.reward.right
        out.append(Example(problem.id, 0, messages, problem.solution, "solution", reward, 1.0, (), (), verdict=Verdict.RIGHT))
    return out
