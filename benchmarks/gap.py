"""Gain over turns against what a check costs beside a solution, a point a task: `python benchmarks/gap.py RUN… [--out GAP.svg]`.

Each run is of another task; its last stage gives the gain, turn K − turn 1, with its interval. The cost of a check is what has to
be read or written to see that an attempt missed, as a share of what has to be written to find a right one, in characters:

    a search task      the check at the end of an attempt, of (candidates + 1) / 2 attempts, the mean of a search without repeats
    worked arithmetic  1: nothing in a wrong product shows that it is wrong but working it out again
    recall             none: nothing written tells, however long one looks

Prints JSON; `--out` draws it too.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from rise.evaluation.headline import sizes
from rise.jsonl import write_whole
from rise.recipe.toml import load_recipe
from rise.report.compare import find_stage
from rise.report.drawing import make_figure
from rise.task import Task
from rise.tasks import make_task
from rise.tasks.search import SearchTask


def check_cost(task: Task, n: int = 200) -> float | None:
    """Characters of a check ÷ characters of a solution; None where no check is possible."""
    if not isinstance(task, SearchTask):
        return 1.0
    if not task.checked:
        return None
    shares = []
    for problem in task.problems("test", n):
        lines = [task.worked(problem.question, candidate) or "" for candidate in task.candidates(problem.question)]
        attempt = sum(map(len, lines)) / len(lines)
        check = sum(len(" ".join(line.split(" ")[-task.check_words :])) for line in lines) / len(lines)
        shares.append(check / (attempt * (len(lines) + 1) / 2))
    return sum(shares) / len(shares)


def point(path: Path) -> dict[str, Any]:
    """One run: task, cost of a check, gain over turns with its interval."""
    run, stage = find_stage(path)
    task = load_recipe(run.config).task
    metrics = stage.read_metrics()
    K, _ = sizes(metrics)
    gain = metrics["paired"][f"t{K}-t1"]
    return {"run": path.name, "task": task.name, "check_cost": check_cost(make_task(task.name, **task.settings)), "gain": gain}


def drawn(points: list[dict[str, Any]]) -> str:
    """Gain in points over the cost of a check on a scale of powers; what cannot be checked stands at the right edge."""

    def draw(canvas: Any) -> None:
        axes = canvas.subplots()
        axes.set_xscale("log")
        for at in points:
            x = at["check_cost"] or 4.0
            value, low, high = (100 * at["gain"][name] for name in ("value", "low", "high"))
            axes.errorbar([x], [value], yerr=[[value - low], [high - value]], fmt="o", markersize=4.5, linewidth=1.2)
            axes.annotate(at["task"], (x, value), (6, 4), textcoords="offset points", fontsize=9)
        axes.axhline(0, linewidth=0.8, color="#888888")
        axes.set_xlim(0.015, 9)
        axes.set_xticks([0.02, 0.1, 1, 4], ["1/50", "1/10", "1", "no check"])
        axes.minorticks_off()
        axes.set_xlabel("cost of a check, of a solution's")
        axes.set_ylabel("turn 5 − turn 1, points")

    return make_figure("gap", "Gain over turns against the cost of a check", "", draw).standalone


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    points = [point(path) for path in given.runs]
    if given.out:
        write_whole(given.out, drawn(points))
    print(json.dumps(points, indent=1))


if __name__ == "__main__":
    main()
