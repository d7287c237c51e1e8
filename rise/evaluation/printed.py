"""How a share, a difference and a count print, wherever: one hand for all; a missing one is a dash, never 0.

Shares and differences are rounded half up, as a person rounds 46.25 to 46.3, on the digits that Python and JavaScript both
print for the share. The viewer does the same (`rise.fixed` in rise/view/page/dom.js). Further ones: `rise.report.numbers`.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

from rise.evaluation.uncertainty import Estimate

DASH = "–"


def percent(share: float | None) -> str:
    """A share of one, in percent.

    >>> percent(0.5694), percent(0.4625), percent(0.0), percent(None)
    ('56.9', '46.3', '0.0', '–')
    """
    return DASH if share is None else hundredfold(share, 1)


def hundredfold(share: float, digits: int) -> str:
    """100 × a share, rounded half up. The share's own digits count: 100 * 0.4635 is 46.349999999999994 in binary.

    >>> [hundredfold(share, 1) for share in (0.4625, 0.4635, 0.0005, 0.00049, -0.0005)]
    ['46.3', '46.4', '0.1', '0.0', '-0.1']
    """
    exact = Decimal(str(float(share))).scaleb(2)
    return str(exact.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP))


def points(difference: float | None) -> str:
    """A difference of two shares, in percentage points, with its sign.

    >>> points(0.079), points(-0.004), points(0.0001), points(None)
    ('+7.9', '−0.4', '0.0', '–')
    """
    return DASH if difference is None else signed(difference)


def signed(difference: float, digits: int = 1) -> str:
    """100 × a difference of shares with its sign, unless it rounds to nothing.

    >>> signed(0.02), signed(-0.0004)
    ('+2.0', '0.0')
    """
    text = hundredfold(abs(difference), digits)
    if float(text) == 0:
        return text
    return ("+" if difference > 0 else "−") + text


def percent_interval(estimate: Estimate) -> str:
    """The ends of an interval, without the value.

    >>> percent_interval(Estimate(0.5, 0.237, 0.763, 10))
    '23.7–76.3'
    """
    if estimate.low is None or estimate.high is None:
        return DASH
    return f"{percent(estimate.low)}–{percent(estimate.high)}"


def points_interval(estimate: Estimate) -> str:
    """The ends of a difference's interval. The word "to" keeps a minus sign from looking like a dash.

    An end that only just misses zero says so: whether zero lies inside is what the interval is read for.

    >>> points_interval(Estimate(0.01, -0.012, 0.031, 10)), points_interval(Estimate(0.01, 0.0004, 0.02, 10))
    ('−1.2 to +3.1', '+0.04 to +2.0')
    """
    if estimate.low is None or estimate.high is None:
        return DASH
    low, high = (points(end) if end == 0 or points(end) != "0.0" else signed(end, 2) for end in (estimate.low, estimate.high))
    return f"{low} to {high}"


def count(n: float | None) -> str:
    """
    >>> count(2000), count(None), count(0)
    ('2,000', '–', '0')
    """
    return DASH if n is None else f"{n:,.0f}"
