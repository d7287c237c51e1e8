"""How often a 95 % interval of a share of replies holds the truth, by simulation: `ratio` as it is, and what it was.

    python benchmarks/coverage.py [--draws 2000] [--quick]

Problems are drawn independently; the replies to one are correlated in one of two ways: *beta*, each problem has a rate of its own
(beta-binomial), or *copies*, the replies to so large a share of the problems are one reply over and over, those to the others
independent. `unequal`: 0 to `turns` replies a problem, as of wrong replies that might be put right. Prints one JSON object: for
each case the coverage and mean width of three intervals, and at the end the least coverage of each.

- `ratio`: what metrics.json holds.
- `korn_graubard`: the same with the design effect as observed.
- `wilson`: version 0.1.0's, Wilson's interval at that design effect.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rise.evaluation.uncertainty import Z_95, ratio, share_interval

Draws = NDArray[np.int64]
Interval = tuple[float, float]


@dataclass(frozen=True)
class Case:
    """What is true in one simulation."""

    correlation_by: str
    p: float
    problems: int
    turns: int
    correlation: float
    unequal: bool


def cases(*, quick: bool) -> Iterator[Case]:
    rates = (0.01, 0.05, 0.3) if quick else (0.01, 0.02, 0.05, 0.3, 0.99)
    problems = (100,) if quick else (30, 100, 300, 1000)
    yield from (Case("none", p, m, 1, 0.0, False) for p, m in itertools.product(rates, problems))
    ways = itertools.product(("beta", "copies"), rates, problems, (5,) if quick else (5, 16), (0.0, 0.3, 0.8), (False, True))
    yield from (Case(*way) for way in ways if not (way[0] == "copies" and way[4] == 0.0))


def draw(case: Case, rng: np.random.Generator) -> tuple[Draws, Draws]:
    """(how many counted, how many there were), one of each a problem."""
    n = rng.integers(0, case.turns + 1, case.problems) if case.unequal else np.full(case.problems, case.turns)
    rates = np.full(case.problems, case.p)
    if case.correlation_by == "beta" and case.correlation:
        spread = (1 - case.correlation) / case.correlation
        rates = rng.beta(case.p * spread, (1 - case.p) * spread, case.problems)
    elif case.correlation_by == "copies":
        alike = rng.random(case.problems) < case.correlation
        rates = np.where(alike, rng.random(case.problems) < case.p, rates)
    return rng.binomial(n, rates), n


def as_observed(x: Draws, n: Draws) -> tuple[float, float]:
    """(p, effective n) by the observed design effect alone, as version 0.1.0 had it."""
    x, n = x[n > 0], n[n > 0]
    total, m = int(n.sum()), len(n)
    p = float(x.sum()) / total
    if not 0 < p < 1:
        return p, float(m)
    variance = m / (m - 1) * float(((x - p * n) ** 2).sum()) / total**2
    return p, float(total) if variance * (total - 1) <= p * (1 - p) else max(1.0, total * p * (1 - p) / ((total - 1) * variance))


def wilson(p: float, n: float) -> Interval:
    centre, half = p + Z_95**2 / (2 * n), Z_95 * math.sqrt(p * (1 - p) / n + Z_95**2 / (4 * n * n))
    shrink = 1 + Z_95**2 / n
    return (centre - half) / shrink, (centre + half) / shrink


def now(x: Draws, n: Draws) -> Interval:
    found = ratio(x, n)
    assert found.low is not None and found.high is not None
    return found.low, found.high


METHODS: dict[str, Callable[[Draws, Draws], Interval]] = {
    "ratio": now,
    "korn_graubard": lambda x, n: share_interval(*as_observed(x, n)),
    "wilson": lambda x, n: wilson(*as_observed(x, n)),
}


def measure(case: Case, n_draws: int, seed: int) -> dict[str, dict[str, float]]:
    """Coverage and mean width of each interval."""
    rng = np.random.default_rng(seed)
    found: dict[str, list[Interval]] = {name: [] for name in METHODS}
    for _ in range(n_draws):
        drawn = draw(case, rng)
        for name, method in METHODS.items():
            found[name].append(method(*drawn))
    return {
        name: {
            "coverage": sum(low <= case.p <= high for low, high in ends) / n_draws,
            "width": sum(high - low for low, high in ends) / n_draws,
        }
        for name, ends in found.items()
    }


def least(lines: Iterable[dict[str, Any]], name: str, problems: int) -> dict[str, Any]:
    """The case of at least so many problems that is covered least."""
    worst = min((line for line in lines if line["problems"] >= problems), key=lambda line: line[name]["coverage"])
    return {key: value for key, value in worst.items() if key not in METHODS} | worst[name]


def main() -> None:
    words = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    words.add_argument("--draws", type=int, default=2000, help="of each case; 2,000 leave ± 1 point at 95 %%")
    words.add_argument("--quick", action="store_true", help="a few cases of 100 problems")
    asked = words.parse_args()
    lines = []
    for seed, case in enumerate(cases(quick=asked.quick)):
        lines.append(asdict(case) | measure(case, asked.draws, seed))
        print(f"{seed + 1}: {case}", file=sys.stderr)
    print(json.dumps({"draws": asked.draws, "least": {name: least(lines, name, 100) for name in METHODS}, "cases": lines}))


if __name__ == "__main__":
    main()
