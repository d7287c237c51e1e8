"""Held-out records as numbers, one row a problem. Axes: P problems, K turns, S parallel samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rise.errors import DataError, EmptyStageError
from rise.evaluation import cost
from rise.evaluation.headline import Played, played
from rise.evaluation.held_out import HeldOut
from rise.evaluation.vote import Same, remember
from rise.trajectory import Turn

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Arrays:
    """The records as numbers. Shares and flags are 0 … 1; token counts not known are NaN."""

    played: Sequence[Played]
    """The same problems as the headline metrics read them."""
    right_PK: Array
    """Whether the reply at each turn is right; of a run that was stopped, the last reply stands for the rest."""
    taken_PK: Array
    """Whether the turn was asked for at all; all ones unless an oracle, or the model's own verdict, stops runs."""
    vote_PK: Array
    """Score of the vote over turns 1 … k."""
    pass_PK: Array
    """Whether any of turns 1 … k is right."""
    prompt_tokens_PK: Array
    reply_tokens_PK: Array
    right_PS: Array
    vote_PS: Array
    pass_PS: Array
    prompt_tokens_PS: Array
    reply_tokens_PS: Array
    other_PK: Array
    """Control (b): turn 1 as it was, later turns when shown another problem's attempt. Zeros where `has_other` is false."""
    has_other: NDArray[np.bool_]

    @property
    def n_turns(self) -> int:
        return int(self.right_PK.shape[1])

    @property
    def n_samples(self) -> int:
        return int(self.right_PS.shape[1])


def as_arrays(records: Sequence[HeldOut], same: Same, truthful: bool = False, turns: int | None = None) -> Arrays:
    """The records as numbers. `turns` is K, by default the longest run.

    Raises `EmptyStageError` without records, and `DataError` where they do not belong together or are unjudged.
    """
    if not records:
        raise EmptyStageError("no held-out records to measure. Was the evaluation interrupted before its first problem?")
    K = turns or max(len(record.run) for record in records)
    S = len(records[0].parallel)
    agree = remember(same)
    problems = [played(record, agree, turns=K, truthful=truthful) for record in records]
    _check(records, [problem.run for problem in problems], K, S, truthful)
    P = len(records)
    right_PK, taken_PK, vote_PK, other_PK, prompt_PK, reply_PK = (np.zeros((P, K)) for _ in range(6))
    right_PS, vote_PS, prompt_PS, reply_PS = (np.zeros((P, S)) for _ in range(4))
    for p, problem in enumerate(problems):
        n = len(problem.run)
        right = [turn.right for turn in problem.run]
        right_PK[p] = right + right[-1:] * (K - n)
        taken_PK[p, :n] = 1
        vote_PK[p] = [*problem.vote_K, *[problem.vote_K[-1]] * (K - n)]
        prompt_PK[p, :n], reply_PK[p, :n] = cost.tokens(problem.run)
        right_PS[p] = [turn.right for turn in problem.parallel]
        vote_PS[p] = problem.vote_S
        prompt_PS[p], reply_PS[p] = cost.tokens(cost.alone(problem.parallel))
        if problem.other:
            other_PK[p] = [right[0], *(turn.right for turn in problem.other)]
    return Arrays(
        played=problems,
        right_PK=right_PK,
        taken_PK=taken_PK,
        vote_PK=vote_PK,
        pass_PK=np.maximum.accumulate(right_PK, axis=1),
        prompt_tokens_PK=prompt_PK,
        reply_tokens_PK=reply_PK,
        right_PS=right_PS,
        vote_PS=vote_PS,
        pass_PS=np.maximum.accumulate(right_PS, axis=1),
        prompt_tokens_PS=prompt_PS,
        reply_tokens_PS=reply_PS,
        other_PK=other_PK,
        has_other=np.array([bool(problem.other) for problem in problems]),
    )


def _check(records: Sequence[HeldOut], runs: Sequence[tuple[Turn, ...]], K: int, S: int, truthful: bool) -> None:
    seen: set[str] = set()
    for record, run in zip(records, runs, strict=True):
        if record.problem_id in seen:
            raise DataError(
                f"problem {record.problem_id} stands twice among the held-out records, so intervals would count it as two "
                "independent problems. Remove the copy from the task's problems."
            )
        seen.add(record.problem_id)
        if any(turn.verdict is None for turn in (*record.run, *record.samples, *record.other, *record.internalised)):
            raise DataError(f"held-out record of problem {record.problem_id} holds an unjudged turn; run the judge on it first.")
        # Of an oracle's stop the feedback is left, where another judge calls wrong what the run had ended in.
        told = truthful and bool(run) and (run[-1].right or run[-1].feedback is not None)
        stopped = bool(run) and (run[-1].called_right or told)
        if len(run) != K and not (stopped and len(run) < K):
            hint = "" if truthful else " A run stopped by an oracle must be measured with `truthful = True`."
            raise DataError(f"held-out record of problem {record.problem_id} has {len(run)} turns where {K} were expected.{hint}")
        if len(record.parallel) != S:
            raise DataError(
                f"held-out record of problem {record.problem_id} has {len(record.parallel)} parallel samples, the first record "
                f"has {S}. Evaluate all problems with one setting."
            )
        if not truthful and len(record.other) not in (0, K - 1):
            raise DataError(
                f"held-out record of problem {record.problem_id} has {len(record.other)} replies under the control `other`; "
                f"turns 2 to {K} make {K - 1}."
            )
