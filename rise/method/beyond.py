"""Examples that go beyond RISE's, where a recipe asks for them: other weights, pairs, first turns, verdicts, replayed solutions.

Each is described in docs/beyond.md; `rise.method.examples` calls them.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

from rise.dataset.advantage import advantage_examples
from rise.dataset.build import State, with_ids, without_repeats
from rise.dataset.distil import distilled
from rise.dataset.example import Example, read_examples
from rise.dataset.internalise import First, at_first_turn_too, internalised, mean_first_rewards
from rise.dataset.pairs import pair_examples
from rise.dataset.verdicts import verdict_examples
from rise.dataset.weigh import raw_weight
from rise.recipe.config import RunConfig
from rise.runs.context import RunContext
from rise.task import Problem
from rise.trajectory import Message, Relabelled, Trajectory, Turn

Feedback = Callable[[Trajectory, Sequence[Turn]], str]
"""(trajectory, attempts) → the feedback on the last of them."""


def other_examples(
    config: RunConfig,
    trajectories: Sequence[Trajectory],
    relabelled: Sequence[Relabelled],
    state: State,
    feedback: Feedback,
    k: int,
) -> tuple[list[Example], Counter[str], Counter[str]] | None:
    """Examples that are not made by [keep] and [weigh], as `build_examples` gives them; None where the recipe asks for none.

    Every reply with what its teacher is shown, where the recipe has [distil]; pairs, where it has [train.dpo]; every reply by
    comparison, where it has [advantage].
    """
    if config.distil is not None:
        return distilled(
            trajectories, relabelled, state, feedback, config.distil.shown, drop_truncated=config.dataset.drop_truncated
        )
    if config.train.dpo is not None:
        return pair_examples(
            trajectories, relabelled, state, config.train.dpo.pairs, drop_truncated=config.dataset.drop_truncated
        )
    if config.advantage is not None:
        return advantage_examples(
            trajectories,
            relabelled,
            state,
            config.advantage.comparison,
            round_number=k,
            clip=config.weigh.clip,
            drop_truncated=config.dataset.drop_truncated,
        )
    return None


def at_first_turn(
    config: RunConfig,
    trajectories: Sequence[Trajectory],
    examples: list[Example],
    first: First,
    dropped: Counter[str],
    counts: Counter[str],
    k: int,
) -> list[Example]:
    """Replies at the first turn's state, as the recipe says: all of them there alone, or a share there too."""
    settings = config.dataset
    if settings.internalise == "only":
        return internalised(examples, first)
    if settings.internalise == "also":
        moved = at_first_turn_too(
            examples,
            first,
            mean_first_rewards(trajectories),
            share=settings.internalise_share,
            weight=settings.internalise_weight,
            seed=f"{config.seed}/{k}",
            mean_one=config.weigh.scale == "mean-one",
        )
        counts["later replies at the first turn too"] = len(moved)
        examples = [*examples, *moved]
        return without_repeats(examples, dropped) if settings.deduplicate and config.advantage is None else examples
    return examples


def verdicts(
    context: RunContext, trajectories: Sequence[Trajectory], dropped: Counter[str], counts: Counter[str]
) -> list[Example]:
    """A verdict on every attempt of these trajectories, with token ids; none where the recipe asks for none."""
    words, settings, prompt = context.ready.prompt.verify, context.config.dataset, context.ready.prompt
    if words is None or not settings.verdict_weight:
        return []

    def asking(trajectory: Trajectory, k: int) -> tuple[Message, ...]:
        problem = Problem(trajectory.question, trajectory.gold, fields=trajectory.fields, id=trajectory.problem_id)
        return prompt.verify_messages(problem, trajectory.turns[:k])

    examples, left_out = verdict_examples(
        trajectories,
        asking,
        right=words.right,
        wrong=words.wrong,
        weight=settings.verdict_weight,
        balance=settings.verdict_balance,
        deduplicate=settings.deduplicate,
    )
    dropped.update(left_out)
    counts["verdicts"] = len(examples)
    return with_ids(examples, context.renderer, max_length=context.config.train.max_length, dropped=dropped)


def replayed(context: RunContext, k: int, n_examples: int, counts: Counter[str]) -> list[Example]:
    """Worked solutions of the boost, drawn by the seed: with `n_examples` others they make `dataset.replay_share` of round k."""
    config = context.config
    share = config.dataset.replay_share
    if not share:
        return []
    solutions = list(read_examples(context.dir.stage("boost-one-turn").examples))
    n = round(n_examples * share / (1 - share))
    drawn = random.Random(f"{config.seed}-{k}").sample(solutions, min(n, len(solutions)))
    counts["boost examples replayed"] = len(drawn)
    return [replace(example, weight=_replay_weight(config)) for example in drawn]


def _replay_weight(config: RunConfig) -> float:
    """Of a worked solution: an example like the average one, or, where weights are raw, what a right reply weighs."""
    weigh, right = config.weigh, config.reward.right
    if weigh.scale == "mean-one":
        return 1.0
    # Centred, a problem with one reply is at its own mean; by a rule that weighs that 0 it would train nothing.
    baselines = (right, 0.0) if weigh.centre else (0.0,)
    weights = [
        raw_weight(right, weigh.rule, temperature=weigh.temperature, baseline=baseline, clip=weigh.clip) for baseline in baselines
    ]
    return next((weight for weight in weights if weight), weights[-1])
