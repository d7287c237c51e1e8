"""Which versions the processes of a run had, where a later one had others than the one before it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

DASH = "–"


def changed_versions(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs between two provenances, of what both of them name.

    >>> changed_versions({"rise": "1", "versions": {"torch": "2.12"}}, {"rise": "1", "versions": {"torch": "2.13", "ray": "2"}})
    ['torch 2.12 → 2.13']
    """
    old, new = _versions(before), _versions(now)
    return [f"{name} {old[name] or DASH} → {new[name] or DASH}" for name in new if name in old and old[name] != new[name]]


def later_versions(
    provenance: Mapping[str, Any], log: Iterable[Mapping[str, Any]]
) -> Iterator[tuple[Mapping[str, Any], list[str]]]:
    """Each event of a process that continued the run with other versions than the process before it, and what differed."""
    before = provenance
    for event in log:
        if isinstance(now := event.get("continued"), Mapping):
            if found := changed_versions(before, now):
                yield event, found
            before = now


def last_versions(provenance: Mapping[str, Any], log: Iterable[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Provenance of the latest process."""
    return [provenance, *(event["continued"] for event in log if isinstance(event.get("continued"), Mapping))][-1]


def _versions(facts: Mapping[str, Any]) -> dict[str, Any]:
    """By name; the commit is that of a clone and is shown by its beginning."""
    commit = {"commit": str(facts["commit"])[:12]} if facts.get("commit") else {}
    packages = facts.get("versions")
    named = {"rise": facts["rise"]} if "rise" in facts else {}
    return {**named, **commit, **(packages if isinstance(packages, Mapping) else {})}
