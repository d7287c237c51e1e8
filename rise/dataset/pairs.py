"""Corrected failures as pairs: a right reply of the improver before a wrong one. PACE, arXiv 2602.05370."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from rise.dataset.build import State, example_of, unfit
from rise.dataset.example import Example
from rise.trajectory import Relabelled, Trajectory, Turn

Pair = tuple[int, Turn, tuple[int, ...]]
"""(attempts shown, the reply to reject, ids of the state)"""


def against_attempt(trajectory: Trajectory, item: Relabelled) -> Pair | None:
    """The attempt that the reply corrects, at the state in which it was made: the correction at once. PACE."""
    wrong = trajectory.turns[item.turn - 1]
    return None if wrong.right else (item.turn - 1, wrong, wrong.prompt_ids or ())


def against_sample(trajectory: Trajectory, item: Relabelled) -> Pair | None:
    """The first wrong reply that was drawn beside it, at the state in which both were: how to correct."""
    wrong = next((turn for turn in item.candidates if not turn.right), None)
    return None if wrong is None else (item.turn, wrong, wrong.prompt_ids or ())


PAIRS: dict[str, tuple[Callable[[Trajectory, Relabelled], Pair | None], ...]] = {
    "attempt": (against_attempt,),
    "sample": (against_sample,),
    "both": (against_attempt, against_sample),
}
"""The values of `train.dpo.pairs`: what the improver's right reply is preferred to."""


def pair_examples(
    trajectories: Sequence[Trajectory], relabelled: Sequence[Relabelled], state: State, kind: str, *, drop_truncated: bool = True
) -> tuple[list[Example], Counter[str], Counter[str]]:
    """(an example for each pair, its `rejected` the wrong reply; what was left out by reason; other counts).

    A state whose improved reply is not right gives none, nor does one without a wrong reply to set beside it.
    """
    dropped: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    shown = {(t.problem_id, t.sample): t for t in trajectories}
    found: list[Example] = []
    for item in relabelled:
        counts["judged replies"] += len(item.candidates)
        if not item.reply.right:
            dropped["no right reply to prefer"] += 1
            continue
        pairs = list(_pairs(shown[item.problem_id, item.sample], item, state, kind, drop_truncated, dropped))
        dropped["no wrong reply to reject"] += not pairs
        found += pairs
    return _without_repeats(found, dropped), dropped, counts


def _pairs(
    trajectory: Trajectory, item: Relabelled, state: State, kind: str, drop_truncated: bool, dropped: Counter[str]
) -> Iterator[Example]:
    for against in PAIRS[kind]:
        pair = against(trajectory, item)
        if pair is None:
            continue
        k, wrong, prompt_ids = pair
        if reason := unfit(item.reply, drop_truncated) or unfit(wrong, drop_truncated):
            dropped[reason] += 1
            continue
        example = example_of(item.problem_id, k, item.reply, state(trajectory, k), weight=1.0)
        yield replace(example, prompt_ids=prompt_ids, rejected=wrong.reply, rejected_ids=wrong.reply_ids or ())


def _without_repeats(examples: Sequence[Example], dropped: Counter[str]) -> list[Example]:
    """The first of each (state, preferred, rejected); the others are counted."""
    kept = list({(e.prompt, e.reply.strip(), (e.rejected or "").strip()): e for e in reversed(examples)}.values())[::-1]
    dropped["repeat of the same pair"] += len(examples) - len(kept)
    return kept
