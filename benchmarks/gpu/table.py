"""Write "goal, measured, card, command" into docs/performance.md from benchmarks/gpu/results/*.json; a test compares them.

python benchmarks/gpu/table.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from check import UNITS, Unit

ROOT = Path(__file__).resolve().parents[2]
RESULTS = Path(__file__).resolve().parent / "results"
PAGE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- by benchmarks/gpu/table.py -->\n", "<!-- end -->\n"


def latest() -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """Unit → (what was found, the machine): of the newest result in which it was measured on a card, else in which it was tried.

    Toys do not count.
    """
    out: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}
    tried: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}
    for file in sorted(RESULTS.glob("*.json")):
        found = json.loads(file.read_text(encoding="utf-8"))
        machine = found.get("machine", {})
        if machine.get("toy") or not machine.get("card"):
            continue
        for unit in UNITS:
            if unit.name in found and "skipped" not in found[unit.name]:
                (tried if "failed" in found[unit.name] else out)[unit.name] = found[unit.name], machine
    return tried | out


def measured(unit: Unit, found: dict[str, Any]) -> str:
    """
    >>> measured(Unit("train", "train 1b ours", 1), {"tokens_per_s": 41000, "mfu": 0.41, "peak_MiB": 50000})
    '41,000 tokens/s, MFU 0.410, 48.8 GiB'
    >>> measured(Unit("attend", "attend 8b", 1), {"rows": 128, "way": "triton", "sdpa": {"us": 90.4}, "flash": {"us": 62.0}})
    'flash 62 µs, sdpa 90 µs'
    """
    if "failed" in found:
        rest = {key: value for key, value in found.items() if key != "failed"}
        reason = found["failed"].strip().splitlines()[-1][:80]
        return f"**{reason}**" + (f"; {measured(unit, rest)}" if {"tokens_per_s", "stages"} & rest.keys() else "")
    if unit.part == "tests":
        return ", ".join(f"{found[f'n_{name}']} {name}" for name in ("passed", "failed", "skipped") if f"n_{name}" in found)
    if unit.part == "real":
        return "; ".join(_stage(name, numbers) for name, numbers in found.get("stages", {}).items()) or "–"
    if unit.part == "attend":
        ways = {name: value["us"] for name, value in found.items() if isinstance(value, dict)}
        return ", ".join(f"{name} {us:.0f} µs" for name, us in sorted(ways.items(), key=lambda item: item[1]))
    words = [f"{found['tokens_per_s']:,} tokens/s"]
    if found.get("mfu") is not None:
        words.append(f"MFU {found['mfu']:.3f}")
    if found.get("share_of_bound") is not None:
        words.append(f"{found['share_of_bound']:.2f} of the bound by bandwidth")
    if found.get("peak_MiB"):
        words.append(f"{found['peak_MiB'] / 1024:.1f} GiB")
    return ", ".join(words)


def _stage(name: str, numbers: dict[str, Any]) -> str:
    chosen = [f"{key} {numbers[key]['value']:.3f}" for key in ("m1@t1", "m5@t1", "m1@t5") if key in numbers]
    paired = numbers.get("paired", {})
    chosen += [
        f"{words} {paired[key]['low']:+.3f} … {paired[key]['high']:+.3f}"
        for key, words in (("t5-t1", "t5 − t1"), ("m1@t5-m5@t1", "m1@t5 − m5@t1"))
        if key in paired
    ]
    return f"{name}: {', '.join(chosen)}"


def table() -> str:
    known = latest()
    lines = ["| what | goal | measured | card, date, versions | command |", "| --- | --- | --- | --- | --- |"]
    for unit in UNITS:
        found, machine = known.get(unit.name, ({}, {}))
        versions = f"{machine['card']}, {machine['date']}, torch {machine['torch']}" if machine else "–"
        shown = measured(unit, found) if machine else "**not run**"
        lines.append(f"| {unit.name} | {unit.goal or '–'} | {shown} | {versions} | `… --only '{unit.name}'` |")
    return "\n".join(lines) + "\n"


def page() -> str:
    """docs/performance.md with the table of today."""
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    return before + BEGIN + table() + END + rest.split(END, 1)[1]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
