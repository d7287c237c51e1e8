"""Replies written after an attempt, trained as first replies: right at once. RLTF-SD, arXiv 2602.02482."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from rise.dataset.example import Example
from rise.trajectory import Message, Trajectory

First = Callable[[str], tuple[Message, ...]]
"""Problem id → the messages of the first turn's state."""


def as_it_is(example: Example, first_reward: float) -> float:
    """The weight that the reply has where it was written."""
    return example.weight


def gain(example: Example, first_reward: float) -> float:
    """r − the mean reward of the problem's first replies: below 0 the reply is pushed down. RLTF-SD's advantage A⁰."""
    return example.reward - first_reward


INTERNALISE_WEIGHTS: dict[str, Callable[[Example, float], float]] = {"same": as_it_is, "gain": gain}
"""The values of `dataset.internalise_weight`: (example, mean reward of the problem's first replies) → its weight at turn 1."""


def internalised(examples: Sequence[Example], first: First) -> list[Example]:
    """The same replies at the first turn's state; none is left out, so that the data stay the same.

    The control that tells introspection from more data.
    """
    return [replace(example, turn=0, prompt=first(example.problem_id), prompt_ids=()) for example in examples]


def at_first_turn_too(
    examples: Sequence[Example],
    first: First,
    first_rewards: Mapping[str, float],
    *,
    share: float,
    weight: str,
    seed: object,
    mean_one: bool = False,
) -> list[Example]:
    """A share of the later replies once more, as first replies; those whose weight would be 0 there are left out.

    `first_rewards` is what `mean_first_rewards` finds, `weight` a name in `INTERNALISE_WEIGHTS`. Which replies are taken
    follows from the seed alone. `mean_one`: weights are still to be divided by the mean of their sizes, so a gain is first
    multiplied by that mean: it is one beside weights whose mean is 1, whatever τ makes of rewards.
    """
    unit = sum(abs(e.weight) for e in examples) / len(examples) if mean_one and weight == "gain" and examples else 1.0
    later = [i for i, example in enumerate(examples) if example.turn > 0]
    taken = sorted(random.Random(f"internalise/{seed}").sample(later, round(share * len(later))))
    moved = internalised([examples[i] for i in taken], first)
    weighed = [replace(e, weight=unit * INTERNALISE_WEIGHTS[weight](e, first_rewards[e.problem_id])) for e in moved]
    return [example for example in weighed if example.weight != 0]


def mean_first_rewards(trajectories: Iterable[Trajectory]) -> dict[str, float]:
    """Problem id → mean reward of its first replies in the round."""
    rewards: dict[str, list[float]] = defaultdict(list)
    for trajectory in trajectories:
        rewards[trajectory.problem_id].append(trajectory.rewards[0])
    return {name: sum(own) / len(own) for name, own in rewards.items()}
