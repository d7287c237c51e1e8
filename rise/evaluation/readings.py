"""What can be read off held-out records by a short name, problem by problem: `t5`, `m1@t3`, `hard5`, `gold2`.

Names follow the paper's, with the numbers of turns and samples filled in; any turn up to the last may be asked for, so that one
evaluation of ten turns and ten samples gives the whole curve. An experiment (`rise.method.claims`) compares sums of them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from rise.errors import ConfigError, DataError, did_you_mean
from rise.evaluation import cost
from rise.evaluation.headline import REPLIES, Played, played
from rise.evaluation.held_out import HeldOut
from rise.evaluation.verdict import Share
from rise.evaluation.vote import Same, remember
from rise.trajectory import Turn


@dataclass(frozen=True, slots=True)
class Records:
    """One policy's held-out records, as readings see them."""

    played: Mapping[str, Played]
    """Problem → what was done on it."""
    gold: Mapping[str, tuple[float, ...]]
    """Problem → log-probability per token of the worked solution before each turn; empty where none was asked for."""

    @classmethod
    def of(cls, records: Sequence[HeldOut], same: Same, *, turns: int, truthful: bool = False) -> Records:
        agree = remember(same)
        known = {record.problem_id: played(record, agree, turns=turns, truthful=truthful) for record in records}
        return cls(known, {record.problem_id: record.gold_score for record in records})


Unit = Literal["share", "tokens", "nats"]
"""What a reading is counted in: a share (of problems, of replies), or tokens a problem."""

Pair = tuple[float, float]
"""What one problem counts, and out of how much."""


def _turn(of: Played, k: int) -> Turn:
    return of.run[min(k, len(of.run)) - 1]


def _mean_of(score: Callable[[Played, int], float]) -> Callable[[Records, int], dict[str, Pair]]:
    return lambda records, k: {name: (score(p, k), 1.0) for name, p in records.played.items()}


def _hard(records: Records, b: int, *, fresh: bool) -> dict[str, Pair]:
    """Among problems that the first b samples miss: whether a turn of the run solves it, or one of K − 1 further samples."""
    out = {}
    for name, p in records.played.items():
        missed = float(not any(turn.right for turn in p.parallel[:b]))
        again = p.parallel[b : b + p.n_turns - 1] if fresh else p.run
        out[name] = (missed * any(turn.right for turn in again), missed)
    return out


def _gold(records: Records, k: int) -> dict[str, Pair]:
    """Geometric mean over its tokens of the probability of the worked solution before turn k."""
    return {name: (math.exp(scores[k - 1]), 1.0) for name, scores in records.gold.items() if len(scores) >= k}


def _gold_gain(records: Records, k: int) -> dict[str, Pair]:
    """The same at turn k minus at turn 1, where the replies before turn k were all wrong, so that no right one can be copied."""
    out = {}
    for name, scores in records.gold.items():
        if len(scores) >= k:
            wrong = float(not any(turn.right for turn in records.played[name].run[: k - 1]))
            out[name] = (wrong * (math.exp(scores[k - 1]) - math.exp(scores[0])), wrong)
    return out


def _other(records: Records, k: int) -> dict[str, Pair]:
    asked = {name: p for name, p in records.played.items() if p.other}
    return {name: (float((p.run[0] if k == 1 else p.other[k - 2]).right), 1.0) for name, p in asked.items()}


def _tokens(records: Records, k: int, *, read: bool) -> dict[str, Pair]:
    """What the first k turns cost; an ended run costs no more. Raises `DataError` where an endpoint is silent."""
    found = {name: (cost.total(p.run[:k], read=read), 1.0) for name, p in records.played.items()}
    if any(math.isnan(tokens) for tokens, _ in found.values()):
        raise DataError("the server that was measured did not say how many tokens its replies have. Evaluate with one that does.")
    return found


def equal_samples(records: Records, k: int, *, read: bool) -> int:
    """As many parallel samples as cost at least the tokens of k turns, on average over the problems: the last is bought whole.

    What the model wrote beside its turns, critiques and verdicts, is part of their price. Raises `DataError` where fewer samples
    were drawn, or where an endpoint did not say what its replies cost.
    """
    every = list(records.played.values())
    turns = sum(cost.total(p.run[:k], read=read) for p in every)
    one = sum(cost.total(cost.alone(p.parallel), read=read) / len(p.parallel) for p in every)
    if math.isnan(turns + one):
        raise DataError(
            "the server that was measured did not say how many tokens its replies have, so no number of samples costs as many. "
            "Evaluate with a policy that counts tokens."
        )
    n = max(1, math.ceil(turns / one)) if one else 1
    if n > len(every[0].parallel):
        raise DataError(
            f"{k} turns cost as many tokens as {n} samples, and {len(every[0].parallel)} were drawn. Evaluate with samples = {n}."
        )
    return n


def _vote_at_cost(records: Records, k: int, *, read: bool) -> dict[str, Pair]:
    n = equal_samples(records, k, read=read)
    return {name: (p.vote_S[n - 1], 1.0) for name, p in records.played.items()}


@dataclass(frozen=True, slots=True)
class Reading:
    """A family of numbers, one for each whole number in its name."""

    form: str
    """Its name; `#` stands for the number."""
    words: str
    read: Callable[[Records, int], dict[str, Pair]]
    most: Callable[[Played], int] = lambda p: p.n_turns
    """The largest number it may be asked for."""
    needs: str = ""
    """The setting without which records hold nothing of it."""
    unit: Unit = "share"


def _samples(p: Played) -> int:
    return len(p.parallel)


def _but_as_many_as_turns(p: Played) -> int:
    """Samples, less the further ones that stand against turns 2 … K."""
    return max(0, len(p.parallel) - (p.n_turns - 1))


READINGS: tuple[Reading, ...] = (
    Reading("t#", "reply at turn # right", _mean_of(lambda p, k: float(_turn(p, k).right))),
    Reading("m1@t#", "vote over # turns", _mean_of(lambda p, k: p.vote_K[min(k, len(p.run)) - 1])),
    Reading("m#@t1", "vote over # samples", _mean_of(lambda p, s: p.vote_S[s - 1]), _samples),
    Reading("p1@t#", "any of # turns right", _mean_of(lambda p, k: float(any(t.right for t in p.run[:k])))),
    Reading("p#@t1", "any of # samples right", _mean_of(lambda p, s: float(any(t.right for t in p.parallel[:s]))), _samples),
    Reading("other#", "turn #, another problem's attempt shown", _other, needs="evaluate.controls"),
    Reading("hard#", "missed by # samples, solved over turns", lambda r, b: _hard(r, b, fresh=False), _samples),
    Reading(
        "fresh#", "missed by # samples, solved by further samples", lambda r, b: _hard(r, b, fresh=True), _but_as_many_as_turns
    ),
    Reading("gold#", "probability of the solution before turn #", _gold, needs="evaluate.gold_probability"),
    Reading("gold-gain#", "the same minus turn 1's, no right attempt shown", _gold_gain, needs="evaluate.gold_probability"),
    Reading("m-all#", "vote of samples, all tokens of # turns", lambda r, k: _vote_at_cost(r, k, read=True)),
    Reading("m-new#", "vote of samples, written tokens of # turns", lambda r, k: _vote_at_cost(r, k, read=False)),
    Reading("new-tokens#", "tokens written over # turns", lambda r, k: _tokens(r, k, read=False), unit="tokens"),
    Reading("all-tokens#", "tokens read and written over # turns", lambda r, k: _tokens(r, k, read=True), unit="tokens"),
)
"""Everything that carries a number; shares of replies (wrong_to_right, …) go by the names of metrics.json."""

_FORMS = [(reading, re.compile(re.escape(reading.form).replace(r"\#", r"([1-9]\d*)"))) for reading in READINGS]


def find(name: str) -> tuple[Reading, int] | None:
    """The reading of that name and its number; None where it is none.

    >>> [(found[0].form, found[1]) for found in map(find, ("t5", "m1@t3", "m25@t1")) if found]
    [('t#', 5), ('m1@t#', 3), ('m#@t1', 25)]
    """
    matches = ((reading, form.fullmatch(name)) for reading, form in _FORMS)
    return next(((reading, int(match[1])) for reading, match in matches if match), None)


def is_reading(name: str) -> bool:
    return find(name) is not None or any(metric.key == name for metric in REPLIES)


def unit_of(name: str) -> Unit:
    """
    >>> unit_of("t5"), unit_of("right_to_wrong"), unit_of("all-tokens5")
    ('share', 'share', 'tokens')
    """
    found = find(name)
    return found[0].unit if found else "share"


def heading(name: str) -> str:
    """As the head of a column.

    >>> heading("m1@t5"), heading("right_to_wrong"), heading("all-tokens5")
    ('m1@t5', 'right→wrong', 'all tokens')
    """
    if unit_of(name) == "tokens":
        return name.rstrip("0123456789").replace("-", " ")
    return next((metric.label or name for metric in REPLIES if metric.key == name), name)


def words(name: str) -> str:
    """What a reading is, in words.

    >>> words("m1@t5")
    'vote over 5 turns'
    """
    found = find(name)
    if found:
        return found[0].words.replace("#", str(found[1]))
    return next((metric.words for metric in REPLIES if metric.key == name), name)


def read(records: Records, name: str) -> Share:
    """One reading of these records. Raises `ConfigError` for an unknown name, `DataError` for more turns than there are."""
    found = find(name)
    if found is None:
        metric = next((metric for metric in REPLIES if metric.key == name), None)
        if metric is None or metric.among is None:
            known = [*(reading.form for reading in READINGS), *(m.key for m in REPLIES)]
            raise ConfigError(f"no reading is called {name!r}. {did_you_mean(name, known)}")
        count = {problem: metric.score(p) for problem, p in records.played.items()}
        return Share(count, {problem: metric.among(p) for problem, p in records.played.items()})
    reading, number = found
    most = min((reading.most(p) for p in records.played.values()), default=0)
    if number > most:
        raise DataError(f"{name} asks for {number}, and the records hold {most}. Evaluate with more turns or samples.")
    pairs = reading.read(records, number)
    if not pairs:
        raise DataError(f"{name}: the records hold nothing of it. Evaluate with {reading.needs or 'problems'}.")
    return Share({n: x for n, (x, _) in pairs.items()}, {n: d for n, (_, d) in pairs.items()})
