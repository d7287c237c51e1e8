"""How a number of a report is printed: shares, differences and counts as everywhere (`rise.evaluation.printed`), and what else
a report prints: on which side of zero a difference lies, large counts, durations."""

from __future__ import annotations

import math
from typing import Literal

from rise.evaluation.printed import DASH, count, hundredfold, percent, percent_interval, points, points_interval, signed
from rise.evaluation.readings import Unit
from rise.evaluation.uncertainty import Estimate

__all__ = [
    "DASH",
    "Sign",
    "amount",
    "count",
    "difference",
    "difference_interval",
    "duration",
    "hundredfold",
    "number",
    "percent",
    "percent_interval",
    "points",
    "points_interval",
    "sign",
    "signed",
]

Sign = Literal["above", "below", "includes zero"]


def sign(difference: Estimate) -> Sign | None:
    """On which side of zero a difference surely lies; None if it was not measured. An end at zero includes zero.

    >>> sign(Estimate(0.02, 0.001, 0.04, 100)), sign(Estimate(0.02, 0.0, 0.04, 100))
    ('above', 'includes zero')
    """
    if difference.low is None or difference.high is None:
        return None
    if difference.low > 0:
        return "above"
    return "below" if difference.high < 0 else "includes zero"


def amount(n: float | None) -> str:
    """A large count, in three digits.

    >>> amount(950), amount(41_230), amount(1_234_567), amount(None)
    ('950', '41.2 k', '1.23 M', '–')
    """
    if n is None:
        return DASH
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(n) >= size:
            scaled = n / size
            return f"{scaled:.{2 if scaled < 10 else 1 if scaled < 100 else 0}f}{unit}"
    return f"{n:.0f}"


def difference(value: float | None, unit: Unit) -> str:
    """A difference with its sign: of shares in points, of tokens and nats as it is.

    >>> difference(0.079, "share"), difference(-12.34, "tokens"), difference(0.0, "tokens"), difference(-0.0089, "nats")
    ('+7.9', '−12', '0', '−0.009')
    """
    if value is None or unit == "share":
        return points(value)
    if unit == "nats":
        return f"{value:+.3f}".replace("-", "−")
    return f"{value:+.0f}".replace("-", "−") if round(value) else "0"


def difference_interval(estimate: Estimate, unit: Unit) -> str:
    """The ends of a difference's interval.

    >>> difference_interval(Estimate(3.0, -1.4, 7.4, 9), "tokens")
    '−1 to +7'
    """
    if unit == "share" or estimate.low is None or estimate.high is None:
        return points_interval(estimate)
    return f"{difference(estimate.low, unit)} to {difference(estimate.high, unit)}"


def duration(seconds: float | None) -> str:
    """
    >>> duration(3.21), duration(75), duration(3900), duration(None)
    ('3.2 s', '1 min 15 s', '1 h 05 min', '–')
    """
    if seconds is None:
        return DASH
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min"


def number(value: float | None) -> str:
    """Three significant digits, for what is neither a share nor a count.

    >>> number(12.1825), number(0.0821), number(1.0), number(0.00001), number(None)
    ('12.2', '0.0821', '1', '1e-05', '–')
    """
    return DASH if value is None or math.isnan(value) else f"{value:.3g}"
