"""Colours by role, for light and for dark, and how a figure takes either without being drawn twice.

matplotlib draws with one placeholder per role; in a page the placeholder becomes a CSS variable, in a lone file a light colour.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from rise.runs.stages import colour, round_number

ROLES: dict[str, tuple[str, str]] = {
    "ink": ("#1d2127", "#e7e9ec"),
    "quiet": ("#667080", "#98a2b1"),
    "line": ("#d9dde3", "#363d47"),
    "paper": ("#ffffff", "#15181d"),
    "right": ("#1d7f55", "#4fbf8b"),
    "right-soft": ("#a9d8c1", "#1f5c43"),
    "wrong": ("#c2503a", "#ea8b74"),
    "wrong-soft": ("#e2e5ea", "#3a414c"),
    "turns": ("#2458a6", "#7fb0f5"),
    "parallel": ("#b9731b", "#e5ab5c"),
    "grey": ("#8a93a0", "#87909d"),
    "ochre": ("#d3a04f", "#b98a45"),
    "amber": ("#b9731b", "#e5ab5c"),
    "mark": ("#fbe7a8", "#5a4a14"),
}
"""Role → colour on light paper, colour on dark."""

_FIRST_ROUND = ("#86b6e8", "#3c6fb0")
_LAST_ROUND = ("#173f85", "#a9cdff")
_MAX_ROUNDS = 8


def _mix(a: str, b: str, share: float) -> str:
    parts = (round(int(a[i : i + 2], 16) * (1 - share) + int(b[i : i + 2], 16) * share) for i in (1, 3, 5))
    return "#" + "".join(f"{part:02x}" for part in parts)


for _k in range(_MAX_ROUNDS):
    _share = _k / (_MAX_ROUNDS - 1)
    ROLES[f"round-{_k}"] = (_mix(_FIRST_ROUND[0], _LAST_ROUND[0], _share), _mix(_FIRST_ROUND[1], _LAST_ROUND[1], _share))

_NAMES = list(ROLES)
_PLACEHOLDER = re.compile(r"#00fe([0-9a-f]{2})")


_plain: ContextVar[bool] = ContextVar("_plain", default=False)


@contextmanager
def plain_colours() -> Iterator[None]:
    """Inside, figures are drawn in the light colours themselves: for files in which nothing can be replaced afterwards."""
    token = _plain.set(True)
    try:
        yield
    finally:
        _plain.reset(token)


def placeholder(role: str) -> str:
    """What matplotlib is told to draw with."""
    return ROLES[role][0] if _plain.get() else f"#00fe{_NAMES.index(role):02x}"


def stage_role(name: str, stages: Sequence[str]) -> str:
    """Rounds run from light to strong whatever their number; the last is always the strongest.

    >>> [stage_role(name, ["boost", "round-1", "round-2"]) for name in ("boost", "round-1", "round-2")]
    ['amber', 'round-0', 'round-7']
    """
    if not round_number(name):
        return colour(name) or "turns"
    rounds = [other for other in stages if round_number(other)]
    place = rounds.index(name) / (len(rounds) - 1) if len(rounds) > 1 else 1.0
    return f"round-{round(place * (_MAX_ROUNDS - 1))}"


def to_variables(svg: str) -> str:
    """Placeholders as CSS variables, for a page that follows the reader's light or dark."""
    return _PLACEHOLDER.sub(lambda m: f"var(--{_NAMES[int(m[1], 16)]})", svg)


def to_light(svg: str) -> str:
    """Placeholders as light colours, for a file that stands alone."""
    return _PLACEHOLDER.sub(lambda m: ROLES[_NAMES[int(m[1], 16)]][0], svg)


def declarations(dark: bool) -> str:
    """The CSS variables of one scheme."""
    return " ".join(f"--{name}: {pair[dark]};" for name, pair in ROLES.items())
