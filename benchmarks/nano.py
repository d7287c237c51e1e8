"""Seconds per stage and part of the nano recipe, as JSON: `python benchmarks/nano.py [--scale toy] [--set a.b=c …]`.

With `--run DIR` nothing is run: the times of a run that is there are printed.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from rise.method.iterate import run
from rise.recipe.toml import load_recipe
from rise.runs.directory import RunDir

RECIPE = Path(__file__).resolve().parent.parent / "recipes" / "nano.toml"


def seconds_per_part(run_dir: RunDir) -> dict[str, dict[str, float]]:
    """Stage → part → seconds, from metrics.jsonl."""
    out: dict[str, dict[str, float]] = defaultdict(dict)
    for event in run_dir.read_log():
        if "seconds" in event:
            parts = out[event["stage"]]
            parts[event["part"]] = round(parts.get(event["part"], 0.0) + event["seconds"], 1)
    return dict(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale")
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    parser.add_argument("--run", type=Path)
    given = parser.parse_args()
    if given.run:
        print(json.dumps({"run": given.run.name, "seconds": seconds_per_part(RunDir(given.run))}, indent=1))
        return
    config = load_recipe(RECIPE, scale=given.scale, overrides=given.overrides)
    with tempfile.TemporaryDirectory() as scratch:
        began = time.perf_counter()
        done = run(config, Path(scratch) / "run")
        result = {
            "scale": given.scale,
            "wall_s": round(time.perf_counter() - began, 1),
            "peak_rss_MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            "threads": config.threads,
            "seconds": seconds_per_part(done),
        }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
