"""Whether the model knows when it is right: its verdicts on its attempts, the stops that they make, and what those save.

PAG (arXiv 2506.10406) and SPOC (2506.06923) as measured here; defined in docs/metrics.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from rise.evaluation import cost
from rise.evaluation.headline import Played
from rise.evaluation.uncertainty import mean, ratio
from rise.trajectory import Turn, Verdict


def own_stop(problems: Sequence[Played]) -> dict[str, Any] | None:
    """`own_stop` of metrics.json; None where no model was asked for a verdict (`state.verify`)."""
    asked = [[turn for turn in p.run if turn.own_verdict is not None] for p in problems]
    if not any(asked):
        return None
    called = [float(sum(turn.called_right for turn in own)) for own in asked]
    right = [float(sum(turn.right for turn in own)) for own in asked]
    both = [float(sum(turn.right and turn.called_right for turn in own)) for own in asked]
    neither = [float(sum(_unreadable(turn) for turn in own)) for own in asked]
    stopped = [float(p.run[-1].called_right) for p in problems]
    return {
        "precision": ratio(both, called).to_json(),
        "recall": ratio(both, right).to_json(),
        "unreadable": ratio(neither, [float(len(own)) for own in asked]).to_json(),
        "stopped": mean(stopped).to_json(),
        "wrong_stops": mean([stop * (not p.run[-1].right) for stop, p in zip(stopped, problems, strict=True)]).to_json(),
        "turns": _mean([float(len(p.run)) for p in problems]),
        "tokens": _tokens([p.run for p in problems]),
        "played_on": _played_on(problems),
    }


def _unreadable(turn: Turn) -> bool:
    return turn.own_verdict is not None and turn.own_verdict.verdict is Verdict.UNPARSABLE


def _played_on(problems: Sequence[Played]) -> dict[str, Any] | None:
    """The same problems without the stop: K turns each and no verdict asked. None where that control was not run."""
    cut_short = [p for p in problems if len(p.run) < p.n_turns]
    if not all(p.beyond for p in cut_short):
        return None
    whole = [tuple(replace(turn, own_verdict=None) for turn in (*p.run, *p.beyond)) for p in problems]
    tokens, stopped = _tokens(whole), _tokens([p.run for p in problems])
    last = [float(run[-1].right) for run in whole]
    return {
        "accuracy": mean(last).to_json(),
        "tokens": tokens,
        "saved": {name: _share(stopped[name], tokens[name]) for name in tokens},
    }


def _tokens(runs: Sequence[Sequence[Turn]]) -> dict[str, float | None]:
    """Means a problem: what was written, and all that was written or read, verdicts and critiques with it.

    None where an endpoint does not say of even one reply.
    """
    return {
        "generated_tokens": _mean([cost.total(run, read=False) for run in runs]),
        "all_tokens": _mean([cost.total(run, read=True) for run in runs]),
    }


def _mean(values: Sequence[float]) -> float | None:
    value = sum(values) / len(values) if values else math.nan
    return None if math.isnan(value) else value


def _share(stopped: float | None, whole: float | None) -> float | None:
    """What the stop saved of the tokens without it; below 0 where asking for verdicts costs more."""
    return None if stopped is None or not whole else 1 - stopped / whole
