"""From held-out records to the numbers of `metrics.json`: accuracies by turn, votes, transitions, controls, compute.

Every metric is defined in docs/metrics.md; every interval in `uncertainty.py`. Axes: P problems, K turns, S parallel samples.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rise.errors import DataError, EmptyStageError
from rise.evaluation.held_out import HeldOut
from rise.evaluation.uncertainty import NOTHING, Estimate, mean, paired_difference, ratio
from rise.trajectory import Turn, Verdict

Same = Callable[[str, str], bool]
"""Whether two answers are equal, without seeing gold: `Judge.same`. Taken to be symmetric."""


def vote(turns: Sequence[Turn], same: Same) -> list[float]:
    """Score of the majority vote over the first 1, 2, … of `turns`.

    Equal answers form a group; the answer a group hands out is the one written first, and its verdict is the group's. The
    largest group wins, a tie scores the fraction of tied groups that are right, no answer never votes, no votes score 0.

    >>> right, wrong = Turn("", Verdict.RIGHT, answer="4"), Turn("", Verdict.WRONG, answer="5")
    >>> vote([right, wrong, wrong, Turn("", Verdict.UNPARSABLE)], same=lambda a, b: a == b)
    [1.0, 0.5, 0.0, 0.0]
    """
    groups: list[tuple[str, bool]] = []
    sizes: list[int] = []
    scores: list[float] = []
    for turn in turns:
        if turn.answer is not None:
            for g, (answer, _) in enumerate(groups):
                if same(answer, turn.answer):
                    sizes[g] += 1
                    break
            else:
                groups.append((turn.answer, turn.right))
                sizes.append(1)
        most = max(sizes, default=0)
        tied = [right for (_, right), size in zip(groups, sizes, strict=True) if size == most]
        scores.append(sum(tied) / len(tied) if tied else 0.0)
    return scores


def measure(records: Sequence[HeldOut], same: Same, truthful: bool = False, turns: int | None = None) -> dict[str, Any]:
    """Every number of `metrics.json` except the comparison with the previous stage (`paired_stages`).

    `truthful`: the policy was told the truth, so a run is read only up to its first right reply, which then stands for the
    turns not taken. What needs a run without an oracle is null; docs/metrics.md lists it. `turns` is K, by default the
    longest run: give it where runs may all have stopped early, since metric names carry it.
    """
    scores = _score(records, same, truthful, turns)
    K, S = scores.n_turns, scores.n_samples
    right_PK, right_PS, taken_PK = scores.right_PK, scores.right_PS, scores.taken_PK
    vote_by_turn, pass_by_turn = _columns(scores.vote_PK), _columns(scores.pass_PK)
    parallel_vote, parallel_pass = _columns(scores.vote_PS), _columns(scores.pass_PS)
    accuracy_by_turn = _columns(right_PK)

    asked_again = taken_PK[:, 1:]
    before, after = right_PK[:, :-1], right_PK[:, 1:]
    repairable, breakable = asked_again * (1 - before), asked_again * before
    repaired, broken = repairable * after, breakable * (1 - after)
    first, last = right_PK[:, 0], right_PK[:, -1]

    nothing = [*_columns(right_PS)[:K], *[_json(NOTHING)] * (K - S)]
    with_other = scores.has_other & (not truthful)
    controls = {
        "nothing": {"accuracy_by_turn": nothing},
        "other": {"accuracy_by_turn": _columns(scores.other_PK[with_other])} if with_other.any() else None,
    }
    m_sequential, m_parallel, p_sequential, p_parallel = f"m1@t{K}", f"m{S}@t1", f"p1@t{K}", f"p{S}@t1"
    against_nothing = NOTHING if truthful or S < K else paired_difference(last, right_PS[:, K - 1])
    against_vote = NOTHING if truthful else paired_difference(scores.vote_PK[:, -1], scores.vote_PS[:, -1])
    paired = {
        f"{m_sequential}-{m_parallel}": against_vote,
        f"t{K}-t1": paired_difference(last, first),
        f"{p_sequential}-{p_parallel}": paired_difference(scores.pass_PK[:, -1], scores.pass_PS[:, -1]),
        f"t{K}-nothing": against_nothing,
        f"t{K}-other": paired_difference(last[with_other], scores.other_PK[with_other, -1]),
    }
    return {
        "m1@t1": accuracy_by_turn[0],
        m_parallel: parallel_vote[-1],
        m_sequential: vote_by_turn[-1],
        p_sequential: pass_by_turn[-1],
        p_parallel: parallel_pass[-1],
        "wrong_to_right": _json(ratio(repaired.sum(1), repairable.sum(1))),
        "right_to_wrong": _json(ratio(broken.sum(1), breakable.sum(1))),
        "repeated": _json(ratio(scores.repeated_PK.sum(1), asked_again.sum(1))),
        "unparsable": _json(ratio(scores.unparsable_PK.sum(1), taken_PK.sum(1))),
        "accuracy_by_turn": accuracy_by_turn,
        "vote_by_turn": vote_by_turn,
        "pass_by_turn": pass_by_turn,
        "parallel_vote": parallel_vote,
        "parallel_pass": parallel_pass,
        "transitions_by_turn": [
            {
                "wrong_to_right": _json(ratio(repaired[:, k], repairable[:, k])),
                "right_to_wrong": _json(ratio(broken[:, k], breakable[:, k])),
            }
            for k in range(K - 1)
        ],
        "first_to_last": {
            "right_right": _json(mean(first * last)),
            "right_wrong": _json(mean(first * (1 - last))),
            "wrong_right": _json(mean((1 - first) * last)),
            "wrong_wrong": _json(mean((1 - first) * (1 - last))),
        },
        "controls": controls,
        "paired": {name: _json(estimate) for name, estimate in paired.items()},
        "compute": {
            "sequential": _compute(taken_PK, scores.prompt_tokens_PK, scores.reply_tokens_PK, vote_by_turn, pass_by_turn),
            "parallel": _compute(
                np.ones_like(right_PS), scores.prompt_tokens_PS, scores.reply_tokens_PS, parallel_vote, parallel_pass
            ),
        },
    }


FIELDS = ("kind", "level", "subject", "type")
"""Fields of a problem by which numbers are given apart."""
MOST_VALUES = 24
"""A field with more values than this is a name rather than a kind."""


def by_fields(
    records: Sequence[HeldOut], same: Same, truthful: bool = False, turns: int | None = None
) -> dict[str, dict[str, dict[str, Any]]]:
    """`by_field` for each of `FIELDS` that the problems have."""
    values = {name: {_label(record.fields.get(name)) for record in records} for name in FIELDS}
    known = [name for name in FIELDS if values[name] - {"–"} and len(values[name]) <= MOST_VALUES]
    return {name: by_field(records, same, name, truthful, turns) for name in known}


def by_field(
    records: Sequence[HeldOut], same: Same, name: str, truthful: bool = False, turns: int | None = None
) -> dict[str, dict[str, Any]]:
    """m1@t1, m1@tK and the accuracy of the last reply (`tK`), apart for each value of the problems' field `name`.

    Problems without the field stand under "–". Values come in their own order (numbers by size, else by text).
    """
    scores = _score(records, same, truthful, turns)
    K = scores.n_turns
    values = [record.fields.get(name) for record in records]
    out: dict[str, dict[str, Any]] = {}
    for value in sorted(set(map(_label, values)), key=_by_size):
        rows = np.array([_label(v) == value for v in values])
        out[value] = {
            "m1@t1": _json(mean(scores.right_PK[rows, 0])),
            f"m1@t{K}": _json(mean(scores.vote_PK[rows, -1])),
            f"t{K}": _json(mean(scores.right_PK[rows, -1])),
        }
    return out


def paired_stages(
    previous: Sequence[HeldOut], records: Sequence[HeldOut], same: Same, truthful: bool = False, turns: int | None = None
) -> dict[str, Any] | None:
    """This stage minus the previous one, problem by problem: m1@t1, m1@tK and the last reply (`tK`).

    Only problems asked in both take part, and `n` says how many; None where there is none.
    """
    before = {record.problem_id: record for record in previous}
    common = [record for record in records if record.problem_id in before]
    if not common:
        return None
    new = _score(common, same, truthful, turns)
    old = _score([before[record.problem_id] for record in common], same, truthful, turns)
    K = new.n_turns
    if old.n_turns != K:
        raise DataError(
            f"the previous stage was evaluated over {old.n_turns} turns, this one over {K}; they cannot be compared turn by "
            "turn. Evaluate both with the same number of turns."
        )
    return {
        "m1@t1": _json(paired_difference(new.right_PK[:, 0], old.right_PK[:, 0])),
        f"m1@t{K}": _json(paired_difference(new.vote_PK[:, -1], old.vote_PK[:, -1])),
        f"t{K}": _json(paired_difference(new.right_PK[:, -1], old.right_PK[:, -1])),
    }


Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Scores:
    """The records as numbers, one row a problem. Shares and flags are 0 … 1; token counts not known are NaN."""

    right_PK: Array
    """Whether the reply at each turn is right; of a run that an oracle stopped, the last reply stands for the rest."""
    taken_PK: Array
    """Whether the turn was asked for at all; all ones unless an oracle stops runs."""
    vote_PK: Array
    """Score of the vote over turns 1 … k."""
    pass_PK: Array
    """Whether any of turns 1 … k is right."""
    repeated_PK: Array
    unparsable_PK: Array
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


def _score(records: Sequence[HeldOut], same: Same, truthful: bool, turns: int | None) -> _Scores:
    if not records:
        raise EmptyStageError("no held-out records to measure. Was the evaluation interrupted before its first problem?")
    runs = [_until_right(record.run) if truthful else record.run for record in records]
    K = turns or max(len(record.run) for record in records)
    S = len(records[0].parallel)
    _check(records, runs, K, S, truthful)
    agree = _remember(same)

    P = len(records)
    right_PK, taken_PK, vote_PK, repeated_PK, unparsable_PK, other_PK = (np.zeros((P, K)) for _ in range(6))
    right_PS, vote_PS = np.zeros((P, S)), np.zeros((P, S))
    prompt_tokens_PK, reply_tokens_PK = np.zeros((P, K)), np.zeros((P, K))
    prompt_tokens_PS, reply_tokens_PS = np.zeros((P, S)), np.zeros((P, S))
    for p, (record, run) in enumerate(zip(records, runs, strict=True)):
        n = len(run)
        right = [turn.right for turn in run]
        right_PK[p] = right + right[-1:] * (K - n)
        taken_PK[p, :n] = 1
        votes = vote(run, agree)
        vote_PK[p] = votes + votes[-1:] * (K - n)
        repeated_PK[p, 1:n] = [_equal(run[k - 1].answer, run[k].answer, agree) for k in range(1, n)]
        unparsable_PK[p, :n] = [turn.verdict is Verdict.UNPARSABLE for turn in run]
        prompt_tokens_PK[p, :n], reply_tokens_PK[p, :n] = _tokens(run)
        parallel = record.parallel
        right_PS[p] = [turn.right for turn in parallel]
        vote_PS[p] = vote(parallel, agree)
        prompt_tokens_PS[p], reply_tokens_PS[p] = _tokens([replace(turn, critique=None) for turn in parallel])
        if record.other and not truthful:
            other_PK[p] = [record.run[0].right, *(turn.right for turn in record.other)]
    return _Scores(
        right_PK=right_PK,
        taken_PK=taken_PK,
        vote_PK=vote_PK,
        pass_PK=np.maximum.accumulate(right_PK, axis=1),
        repeated_PK=repeated_PK,
        unparsable_PK=unparsable_PK,
        prompt_tokens_PK=prompt_tokens_PK,
        reply_tokens_PK=reply_tokens_PK,
        right_PS=right_PS,
        vote_PS=vote_PS,
        pass_PS=np.maximum.accumulate(right_PS, axis=1),
        prompt_tokens_PS=prompt_tokens_PS,
        reply_tokens_PS=reply_tokens_PS,
        other_PK=other_PK,
        has_other=np.array([bool(record.other) for record in records]),
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
        if any(turn.verdict is None for turn in (*record.run, *record.samples, *record.other)):
            raise DataError(f"held-out record of problem {record.problem_id} holds an unjudged turn; run the judge on it first.")
        stopped = truthful and bool(run) and run[-1].right
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


def _until_right(run: tuple[Turn, ...]) -> tuple[Turn, ...]:
    return next((run[:k] for k, turn in enumerate(run, 1) if turn.right), run)


def _equal(left: str | None, right: str | None, same: Same) -> bool:
    return left is not None and right is not None and same(left, right)


def _remember(same: Same) -> Same:
    """`same`, asked once per pair and never about equal text: a symbolic comparison takes milliseconds."""
    known: dict[tuple[str, str], bool] = {}

    def agree(left: str, right: str) -> bool:
        left, right = left.strip(), right.strip()
        if left == right:
            return True
        pair = (left, right) if left < right else (right, left)
        if pair not in known:
            known[pair] = same(*pair)
        return known[pair]

    return agree


def _tokens(turns: Sequence[Turn]) -> tuple[list[float], list[float]]:
    """Tokens read and written for each reply; a critique is part of the price of the reply that follows it."""
    prompt = [np.nan if turn.n_prompt_tokens is None else turn.n_prompt_tokens for turn in turns]
    reply = [np.nan if turn.n_reply_tokens is None else turn.n_reply_tokens for turn in turns]
    for k, turn in enumerate(turns[:-1]):
        if turn.critique is not None:
            read, written = turn.critique.n_prompt_tokens, turn.critique.n_reply_tokens
            prompt[k + 1] += np.nan if read is None else read
            reply[k + 1] += np.nan if written is None else written
    return prompt, reply


def _columns(values_PK: Array) -> list[dict[str, Any]]:
    return [_json(mean(values_PK[:, k])) for k in range(values_PK.shape[1])]


def _compute(
    taken: Array, prompt_tokens: Array, reply_tokens: Array, votes: Sequence[Any], passes: Sequence[Any]
) -> list[dict[str, Any]]:
    """What the first k replies cost a problem on average, beside what they score."""
    samples = taken.mean(0).cumsum()
    generated = reply_tokens.mean(0).cumsum()
    total = (prompt_tokens + reply_tokens).mean(0).cumsum()
    return [
        {
            "samples": float(samples[k]),
            "generated_tokens": _known(generated[k]),
            "all_tokens": _known(total[k]),
            "vote": votes[k],
            "pass": passes[k],
        }
        for k in range(taken.shape[1])
    ]


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _label(value: Any) -> str:
    return "–" if value is None else str(value)


def _by_size(label: str) -> tuple[int, float, str]:
    try:
        return (0, float(label), label)
    except ValueError:
        return (1 if label != "–" else 2, 0.0, label)


def _json(estimate: Estimate) -> dict[str, Any]:
    return dataclasses.asdict(estimate)
