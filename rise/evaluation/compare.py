"""Two evaluations on the same problems: what each scores a problem, and the difference pair by pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rise.errors import DataError
from rise.evaluation.held_out import HeldOut
from rise.evaluation.metrics import Same, vote
from rise.evaluation.uncertainty import Estimate, paired_difference


def read_outs(record: HeldOut, same: Same, *, turns: int, truthful: bool = False) -> dict[str, float]:
    """Every number of the paper's table on one problem, by name; each 0 … 1, a tied vote in between.

    `turns` is K, which a run that an oracle stopped does not show.
    """
    run = record.run
    if truthful:
        run = next((run[:k] for k, turn in enumerate(run, 1) if turn.right), run)
    parallel, S = record.parallel, len(record.parallel)
    return {
        "m1@t1": float(run[0].right),
        f"m{S}@t1": vote(parallel, same)[-1],
        f"m1@t{turns}": vote(run, same)[-1],
        f"p1@t{turns}": float(any(turn.right for turn in run)),
        f"p{S}@t1": float(any(turn.right for turn in parallel)),
        f"t{turns}": float(run[-1].right),
    }


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
