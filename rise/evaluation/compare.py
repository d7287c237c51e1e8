"""Two evaluations on the same problems: what each scores a problem, and the difference pair by pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rise.errors import DataError
from rise.evaluation.headline import HEADLINE, named, played, sizes
from rise.evaluation.held_out import HeldOut
from rise.evaluation.uncertainty import Estimate, paired_difference
from rise.evaluation.vote import Same


def read_outs(record: HeldOut, same: Same, *, turns: int, truthful: bool = False) -> dict[str, float]:
    """Every headline metric on one problem, by name; each 0 … 1, a tied vote in between.

    `turns` is K, which a run that an oracle stopped does not show.
    """
    problem = played(record, same, turns=turns, truthful=truthful)
    return {name.key: name.of.score(problem) for name in named(HEADLINE, turns, len(record.parallel))}


def was_told(metrics: Mapping[str, Any], records: Sequence[HeldOut]) -> bool:
    """Whether the feedback of these evaluations told the truth."""
    told = metrics.get("truthful")
    if told is not None:
        return bool(told)
    turns, _ = sizes(metrics)  # metrics.json of before this was written: an oracle has stopped some runs
    return any(len(record.run) < turns for record in records)


Scores = Mapping[str, Mapping[str, float]]
"""Problem → name of a number → what the problem scored."""


def score(records: Sequence[HeldOut], same: Same, *, turns: int, truthful: bool = False) -> Scores:
    """`read_outs` of every record."""
    return {record.problem_id: read_outs(record, same, turns=turns, truthful=truthful) for record in records}


def difference(left: Scores, right: Scores, name: str, other: str | None = None) -> Estimate:
    """Mean of left's `name` minus right's `other` (by default the same) over the problems that both were asked.

    Raises `DataError` where they have none in common: different problems cannot be paired.
    """
    common = [problem for problem in left if problem in right]
    if not common:
        raise DataError(
            "these evaluations have no problem in common, so nothing can be paired. Compare runs with the same task, seed of "
            "the task and split."
        )
    return paired_difference([left[p][name] for p in common], [right[p][other or name] for p in common])
