"""The stages of a run and the parts of a stage: names, order, words and colours. Everything else reads them here.

A run goes base → boost-one-turn → boost → round-1 → round-2 → … (RISE, arXiv 2407.18219, §4). A stage is a directory of the
run; a part is a span of work within it that has a bar while it runs and a line in metrics.jsonl when it ends.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Named:
    """A stage that comes before the rounds."""

    name: str
    title: str
    """How it reads in a table."""
    short: str
    """How it reads at the end of a line in a chart."""
    colour: str
    """A role of `rise.report.colours`."""


BEFORE_ROUNDS: tuple[Named, ...] = (
    Named("base", "base", "base", colour="grey"),
    Named("boost-one-turn", "boost, one-turn only", "boost, 1 turn", colour="ochre"),
    Named("boost", "boost", "boost", colour="amber"),
)
"""In the order in which they run; the rounds follow."""

_ROUND = re.compile(r"round-([1-9][0-9]*)")


def round_name(k: int) -> str:
    """The stage of round k, counted from 1."""
    return f"round-{k}"


def round_number(name: str) -> int:
    """Which round a stage is; 0 where it is none.

    >>> [round_number(name) for name in ("round-2", "boost", "round-x")]
    [2, 0, 0]
    """
    match = _ROUND.fullmatch(name)
    return int(match[1]) if match else 0


def is_stage(name: str) -> bool:
    """Whether a directory of this name is a stage."""
    return _early(name) is not None or round_number(name) > 0


def order(name: str) -> int:
    """Position in a run, from 0. Raises `ValueError` for a name that is no stage.

    >>> sorted(["round-10", "boost", "round-9", "base"], key=order)
    ['base', 'boost', 'round-9', 'round-10']
    """
    early = [stage.name for stage in BEFORE_ROUNDS]
    if not is_stage(name):
        raise ValueError(f"{name!r} is no stage of a run: stages are {', '.join(early)} and round-1, round-2, …")
    return early.index(name) if name in early else len(early) + round_number(name) - 1


def title(name: str) -> str:
    """How a stage reads in a table.

    >>> title("round-2"), title("boost-one-turn")
    ('round 2', 'boost, one-turn only')
    """
    early = _early(name)
    return early.title if early else name.replace("-", " ")


def short_title(name: str) -> str:
    """How a stage reads in a chart, where there is little room."""
    early = _early(name)
    return early.short if early else title(name)


def colour(name: str) -> str | None:
    """The colour role of a stage before the rounds; None for a round, whose colour depends on how many there are."""
    early = _early(name)
    return early.colour if early else None


def _early(name: str) -> Named | None:
    return next((stage for stage in BEFORE_ROUNDS if stage.name == name), None)


def began_from(names: Iterable[str], start: str) -> str | None:
    """Of these stages, the one whose model the rounds' training began from. `start` is iterate.start.

    >>> [began_from(["base", "boost", "round-1"], start) for start in ("previous", "boost", "base")]
    ['boost', 'boost', 'base']
    """
    before = [name for name in names if not round_number(name) and (start != "base" or name == "base")]
    return max(before, key=order, default=None)


def on_disk(run: Path) -> list[str]:
    """Names of the stage directories of a run, in the order in which they run."""
    if not run.is_dir():
        return []
    return sorted((path.name for path in run.iterdir() if is_stage(path.name) and path.is_dir()), key=order)


MOST_ROUNDS = 10_000
"""Of which pages tell."""


def expected(config: Mapping[str, Any]) -> list[str]:
    """Names of the stages that a recipe (as plain data) measures, in order. What it leaves out has its default."""
    boost = config.get("boost") or {}
    multi_turn = boost.get("multi_turn_share", 1) > 0
    wanted = {
        "base": True,
        "boost-one-turn": boost.get("enabled") and (boost.get("also_one_turn", True) or not multi_turn),
        "boost": boost.get("enabled") and multi_turn,
    }
    rounds = int((config.get("iterate") or {}).get("rounds") or 0)
    if rounds > MOST_ROUNDS:
        raise ValueError(f"iterate.rounds = {rounds}, more than {MOST_ROUNDS}")
    return [stage.name for stage in BEFORE_ROUNDS if wanted.get(stage.name)] + [round_name(k) for k in range(1, rounds + 1)]


@dataclass(frozen=True, slots=True)
class Part:
    """A span of work within a stage."""

    name: str
    title: str
    """How it reads in a table."""
    colour: str
    """A role of `rise.report.colours`."""
    asks: bool = True
    """Whether it asks a policy for replies, so that replies and tokens are counted."""
    file: str | None = None
    """The stage file that its replies end up in; until then the viewer reads them from the ledger."""


PARTS: tuple[Part, ...] = (
    Part("rollout", "rollout", colour="turns", file="trajectories.jsonl"),
    Part("relabel", "relabel", colour="parallel", file="relabelled.jsonl"),
    Part("select", "select", colour="ochre"),
    Part("score", "log-probabilities", colour="grey", asks=False, file="examples.jsonl"),
    Part("train", "train", colour="wrong", asks=False),
    Part("internalise", "train the control", colour="amber", asks=False),
    Part("evaluate", "evaluate", colour="right", file="held-out.jsonl"),
)
"""In the order in which they run."""


def part(name: str) -> Part:
    """A part by name; one that is not listed (an older run's) has its name for words and no colour."""
    return next((found for found in PARTS if found.name == name), Part(name, name.replace("-", " "), colour="quiet"))


def parts_in(names: Iterable[str]) -> list[Part]:
    """The parts of these names: the listed ones in the order in which they run, then the others."""
    wanted = dict.fromkeys(names)
    listed = [found for found in PARTS if found.name in wanted]
    return listed + [part(name) for name in wanted if name not in {found.name for found in listed}]
