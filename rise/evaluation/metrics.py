"""From held-out records to the numbers of `metrics.json`: headline, curves by turn, transitions, controls, compute.

The headline metrics are listed in `headline.py`; all are defined in docs/metrics.md; every interval is in `uncertainty.py`.
Axes: P problems, K turns, S parallel samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rise.errors import DataError
from rise.evaluation.arrays import Array, Arrays, as_arrays
from rise.evaluation.chain import chain
from rise.evaluation.headline import HEADLINE, PAIRED, REPLIES, named, tracked
from rise.evaluation.held_out import HeldOut
from rise.evaluation.own_check import own_check
from rise.evaluation.own_stop import own_stop
from rise.evaluation.uncertainty import NOTHING, mean, paired_difference, ratio
from rise.evaluation.vote import Same
from rise.trajectory import Turn


def measure(records: Sequence[HeldOut], same: Same, truthful: bool = False, turns: int | None = None) -> dict[str, Any]:
    """Every number of `metrics.json` except the comparison with the previous stage (`paired_stages`).

    `truthful`: the policy was told the truth, so a run is read only up to its first right reply, which then stands for the
    turns not taken, as does the last of a run that the model itself ended (`state.verify`). What needs a run without an oracle is
    null; docs/metrics.md lists it. `turns` is K, by default the
    longest run: give it where runs may all have stopped early, since metric names carry it.
    """
    of = as_arrays(records, same, truthful, turns)
    K, S = of.n_turns, of.n_samples
    stop = own_stop(of.played)
    curves = {
        "accuracy_by_turn": _columns(of.right_PK),
        "vote_by_turn": _columns(of.vote_PK),
        "pass_by_turn": _columns(of.pass_PK),
        "parallel_vote": _columns(of.vote_PS),
        "parallel_pass": _columns(of.pass_PS),
    }
    sequential = of.taken_PK, of.prompt_tokens_PK, of.reply_tokens_PK
    parallel = np.ones_like(of.right_PS), of.prompt_tokens_PS, of.reply_tokens_PS
    return {
        "truthful": truthful,
        **{name.key: name.of.estimate(of.played).to_json() for name in named((*HEADLINE, *REPLIES), K, S)},
        **curves,
        "transitions_by_turn": _transitions(of),
        "first_to_last": _first_to_last(of),
        "chain": None if truthful or stop else _chain(of),
        "own_stop": stop,
        "own_check": own_check(of.played),
        "controls": _controls(of),
        "paired": {d.key.format(K=K, S=S): d.estimate(of.played, truthful).to_json() for d in PAIRED},
        "compute": {
            "sequential": _compute(*sequential, curves["vote_by_turn"], curves["pass_by_turn"]),
            "parallel": _compute(*parallel, curves["parallel_vote"], curves["parallel_pass"]),
        },
    }


def _transitions(of: Arrays) -> list[dict[str, Any]]:
    """Both transitions at each single step."""
    asked_again = of.taken_PK[:, 1:]
    before, after = of.right_PK[:, :-1], of.right_PK[:, 1:]
    repairable, breakable = asked_again * (1 - before), asked_again * before
    repaired, broken = repairable * after, breakable * (1 - after)
    return [
        {
            "wrong_to_right": ratio(repaired[:, k], repairable[:, k]).to_json(),
            "right_to_wrong": ratio(broken[:, k], breakable[:, k]).to_json(),
        }
        for k in range(of.n_turns - 1)
    ]


def _first_to_last(of: Arrays) -> dict[str, Any]:
    """Turn 1 against turn K: four shares of all problems."""
    first, last = of.right_PK[:, 0], of.right_PK[:, -1]
    return {
        "right_right": mean(first * last).to_json(),
        "right_wrong": mean(first * (1 - last)).to_json(),
        "wrong_right": mean((1 - first) * last).to_json(),
        "wrong_wrong": mean((1 - first) * (1 - last)).to_json(),
    }


def _chain(of: Arrays) -> dict[str, Any] | None:
    """What turns 1 and 2 predict of the turns after them; None where there is no second turn, or a rate was never observed."""
    found = chain(of.right_PK[:, 0], of.right_PK[:, 1], of.n_turns) if of.n_turns > 1 else None
    return found.to_json() if found else None


def _controls(of: Arrays) -> dict[str, Any]:
    """Accuracy by turn where nothing is shown, where another problem's attempt is, and of the same data trained at turn 1."""
    K, S = of.n_turns, of.n_samples
    nothing = [*_columns(of.right_PS)[:K], *[NOTHING.to_json()] * (K - S)]
    asked = of.has_other
    other = {"accuracy_by_turn": _columns(of.other_PK[asked])} if asked.any() else None
    trained = [problem.internalised for problem in of.played if problem.internalised]
    internalised = {"accuracy_by_turn": _firsts_by_turn(trained, K)} if trained else None
    return {"nothing": {"accuracy_by_turn": nothing}, "other": other, "internalised": internalised}


def _firsts_by_turn(replies: Sequence[Sequence[Turn]], K: int) -> list[dict[str, Any]]:
    """Where nothing is ever shown, the reply at turn k is the k-th first reply; nothing is known beyond the last."""
    n = min(K, *map(len, replies))
    return [*(mean([float(own[k].right) for own in replies]).to_json() for k in range(n)), *[NOTHING.to_json()] * (K - n)]


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
    """The tracked headline metrics (m1@t1, m1@tK, tK), apart for each value of the problems' field `name`.

    Problems without the field stand under "–". Values come in their own order (numbers by size, else by text).
    """
    problems = as_arrays(records, same, truthful, turns).played
    K, S = problems[0].n_turns, len(problems[0].parallel)
    values = [record.fields.get(name) for record in records]
    out: dict[str, dict[str, Any]] = {}
    for value in sorted(set(map(_label, values)), key=_by_size):
        own = [problem for problem, v in zip(problems, values, strict=True) if _label(v) == value]
        out[value] = {name.key: name.of.estimate(own).to_json() for name in named(tracked(), K, S)}
    return out


def paired_stages(
    previous: Sequence[HeldOut], records: Sequence[HeldOut], same: Same, truthful: bool = False, turns: int | None = None
) -> dict[str, Any] | None:
    """This stage minus the previous one, problem by problem: the tracked headline metrics (m1@t1, m1@tK, tK).

    Only problems asked in both take part, and `n` says how many; None where there is none.
    """
    before = {record.problem_id: record for record in previous}
    common = [record for record in records if record.problem_id in before]
    if not common:
        return None
    new = as_arrays(common, same, truthful, turns).played
    old = as_arrays([before[record.problem_id] for record in common], same, truthful, turns).played
    K, S = new[0].n_turns, len(new[0].parallel)
    if old[0].n_turns != K:
        raise DataError(
            f"the previous stage was evaluated over {old[0].n_turns} turns, this one over {K}; they cannot be compared turn by "
            "turn. Evaluate both with the same number of turns."
        )
    return {
        name.key: paired_difference([name.of.score(p) for p in new], [name.of.score(p) for p in old]).to_json()
        for name in named(tracked(), K, S)
    }


def _columns(values_PK: Array) -> list[dict[str, Any]]:
    return [mean(values_PK[:, k]).to_json() for k in range(values_PK.shape[1])]


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
