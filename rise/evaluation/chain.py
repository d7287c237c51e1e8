"""Right and wrong as a chain of two states: whether another turn pays, where it ends, how many turns to serve.

A reply is right or wrong; asked again, a wrong one turns right with probability ECR (error correction rate) and a right one turns
wrong with probability EIR (error introduction rate). Where both stay as they are, accuracy follows a Markov chain: error dynamics
of iterated self-correction, arXiv 2604.22273. Both rates are taken from turn 1 → 2 alone, so that later turns are predicted.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rise.evaluation.uncertainty import NOTHING, Estimate, Values, paired_difference, ratio

CLOSE = 0.01
"""One point: turns end where the prediction is no further below the plateau than this."""
N_DRAWS = 4000
"""Of the joint interval. Its ends move by less than a tenth of its width from one seed to another."""


def another_turn_pays(accuracy: float, ecr: float, eir: float) -> bool:
    """Whether the next turn repairs more than it breaks: ecr·(1 − a) > eir·a, which is ECR/EIR > a/(1 − a). arXiv 2604.22273.

    At half right, one in ten repaired against one in twenty broken is a gain; at 0.8 (odds 4) it is a loss:

    >>> another_turn_pays(0.5, ecr=0.10, eir=0.05), another_turn_pays(0.8, ecr=0.10, eir=0.05)
    (True, False)
    """
    return ecr * (1 - accuracy) > eir * accuracy


def fixed_point(ecr: float, eir: float) -> float | None:
    """The accuracy that turns lead to, ECR / (ECR + EIR): as many are repaired as broken. None where nothing ever changes.

    >>> round(fixed_point(ecr=0.3, eir=0.1), 2), fixed_point(0.0, 0.0)
    (0.75, None)
    """
    return ecr / (ecr + eir) if ecr + eir > 0 else None


def accuracy_after(first: float, ecr: float, eir: float, turn: int) -> float:
    """a_k = f + (a_1 − f)(1 − ECR − EIR)^(k−1), with f the fixed point.

    By hand: f = 0.75, and the distance from it shrinks to 0.6 of itself at each turn: 0.25, 0.75 − 0.3, 0.75 − 0.18.

    >>> [round(accuracy_after(0.25, ecr=0.3, eir=0.1, turn=k), 2) for k in (1, 2, 3)]
    [0.25, 0.45, 0.57]
    """
    end = fixed_point(ecr, eir)
    return first if end is None else end + (first - end) * (1 - ecr - eir) ** (turn - 1)


def turns_to_serve(first: float, ecr: float, eir: float, most: int) -> int:
    """The smallest number of turns whose predicted accuracy is at most a point below the fixed point, and no more than `most`.

    One turn where turns lose: the first reply is above the fixed point already.

    >>> turns_to_serve(0.70, 0.3, 0.1, most=9)  # below 0.75 by .05, .03, .018, .0108, .0065
    5
    >>> turns_to_serve(0.80, 0.3, 0.1, most=9), turns_to_serve(0.25, 0.3, 0.1, most=5)
    (1, 5)
    """
    end = fixed_point(ecr, eir)
    if end is None:
        return 1
    # 1e-9: exactly one point below must not depend on how a product is rounded.
    near = (k for k in range(1, most) if accuracy_after(first, ecr, eir, k) >= end - CLOSE - 1e-9)
    return next(near, most)


@dataclass(frozen=True, slots=True)
class Chain:
    """The chain of one measured model, `chain` in metrics.json."""

    first: float
    """Share right at turn 1."""
    ecr: Estimate
    """Of the replies wrong at turn 1, the share right at turn 2."""
    eir: Estimate
    """Of the replies right at turn 1, the share wrong at turn 2."""
    gain: Estimate
    """What the second turn adds, ecr·(1 − a_1) − eir·a_1: above zero, another turn pays."""
    fixed_point: Estimate
    predicted: tuple[Estimate, ...]
    """Accuracy by turn. The first two are the measured ones; those after them are predictions."""
    turns_to_serve: int

    @property
    def pays(self) -> bool | None:
        """Whether another turn surely pays; None where the interval includes zero."""
        if self.gain.low is None or self.gain.high is None or self.gain.low <= 0 <= self.gain.high:
            return None
        return self.gain.low > 0

    def to_json(self) -> dict[str, Any]:
        """As it stands in metrics.json."""
        return {
            "ecr": self.ecr.to_json(),
            "eir": self.eir.to_json(),
            "gain": self.gain.to_json(),
            "pays": self.pays,
            "fixed_point": self.fixed_point.to_json(),
            "predicted": [estimate.to_json() for estimate in self.predicted],
            "turns_to_serve": self.turns_to_serve,
        }


def chain(right_1: Values, right_2: Values, turns: int) -> Chain | None:
    """The chain from what was right (1) and wrong (0) at turns 1 and 2, one entry a problem, carried on to `turns` turns.

    None where all or none was right at turn 1: then one of the rates was never observed.
    Of ten problems, four right at first, two of six repaired and one of four broken: f = ⅓ / (⅓ + ¼) = 4/7.

    >>> found = chain([1, 1, 1, 1, 0, 0, 0, 0, 0, 0], [1, 1, 1, 0, 1, 1, 0, 0, 0, 0], turns=3)
    >>> [round(e.value, 3) for e in (found.ecr, found.eir, found.fixed_point, *found.predicted)]
    [0.333, 0.25, 0.571, 0.4, 0.5, 0.542]
    >>> found.pays, found.turns_to_serve
    (None, 3)
    """
    a, b = np.asarray(right_1, dtype=float), np.asarray(right_2, dtype=float)
    ecr, eir = ratio((1 - a) * b, 1 - a), ratio(a * (1 - b), a)
    if ecr.value is None or eir.value is None:
        return None
    first, n = float(a.mean()), len(a)
    draws = _draws(a, b)
    now = (first, ecr.value, eir.value)
    at = [_around(partial(accuracy_after, turn=k), now, draws, n) for k in range(1, turns + 1)]
    end = _around(lambda _, ecr, eir: fixed_point(ecr, eir), now, draws, n)
    serve = turns_to_serve(first, ecr.value, eir.value, turns)
    return Chain(first, ecr, eir, paired_difference(b, a), end, tuple(at), serve)


Quantity = Callable[[float, float, float], float | None]
"""Of (accuracy at turn 1, ECR, EIR)."""


def _draws(a: NDArray[np.float64], b: NDArray[np.float64]) -> list[tuple[float, float, float]]:
    """The Bayesian bootstrap by problem (Rubin 1981): each of the four ways a problem can go gets a random share of all.

    Shares are Dirichlet with half a problem added to each way (Jeffreys), so that an interval does not collapse where
    nothing was broken. Always the same draws for the same counts.
    """
    ways = [(1 - a) @ (1 - b), (1 - a) @ b, a @ (1 - b), a @ b]
    shares = np.random.default_rng(0).dirichlet(np.array(ways) + 0.5, N_DRAWS)
    return [(float(r + s), float(q / (p + q)), float(r / (r + s))) for p, q, r, s in shares]


def _around(of: Quantity, at: tuple[float, float, float], draws: list[tuple[float, float, float]], n: int) -> Estimate:
    """The quantity at the measured numbers, between the 2.5 % and 97.5 % points of what the draws give."""
    value = of(*at)
    if value is None:
        return NOTHING
    found = sorted(q for draw in draws if (q := of(*draw)) is not None)
    low, high = found[math.floor(0.025 * len(found))], found[math.ceil(0.975 * len(found)) - 1]
    return Estimate(value, min(value, low), max(value, high), n)
