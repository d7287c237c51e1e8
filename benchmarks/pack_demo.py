"""A finished run → the archive that `rise demo` shows, at most 2 MB: `python benchmarks/pack_demo.py RUN`.

Kept whole: recipe, provenance, log, numbers, held-out records, and the last checkpoint in 16 bits. Of trajectories, improved
replies and examples the first records are kept. Left out: the ledger, earlier checkpoints, the report (it is written anew).
"""

from __future__ import annotations

import argparse
import json
import zipfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from rise.evaluation.chain import chain
from rise.evaluation.held_out import read_held_out
from rise.jsonl import write_whole
from rise.method.evaluate import compare_stages, numbers
from rise.recipe.toml import load_recipe
from rise.runs.context import open_context
from rise.runs.directory import RunDir
from rise.runs.preflight import preflight

HOME = Path(__file__).resolve().parents[1] / "rise" / "demo"
MOST_BYTES = 2_000_000
THEN = (2024, 1, 1, 0, 0, 0)
"""Of every file in the archive, so that the same run gives the same bytes."""


def contents(run: RunDir, n_records: int, dtype: str) -> Iterator[tuple[str, bytes]]:
    """(name, bytes) of everything that is shipped."""
    for file in (run.config, run.provenance, run.log):
        yield file.name, file.read_bytes()
    stages = run.stages()
    for stage in stages:
        for file in (stage.metrics, stage.dataset, stage.held_out, stage.rates):
            if file.exists():
                yield f"{stage.name}/{file.name}", file.read_bytes()
        for file in (stage.trajectories, stage.relabelled, stage.examples):
            if file.exists():
                with file.open("rb") as lines:
                    yield f"{stage.name}/{file.name}", b"".join(islice(lines, n_records))
    last = stages[-1]
    for file in sorted(last.checkpoint.iterdir()):
        data = half(file, dtype) if file.suffix == ".safetensors" else file.read_bytes()
        yield f"{last.name}/{last.checkpoint.name}/{file.name}", data


def half(file: Path, dtype: str) -> bytes:
    """Weights in 16 bits."""
    import torch
    from safetensors.torch import load_file, save

    return save({name: tensor.to(getattr(torch, dtype)) for name, tensor in load_file(file).items()}, {"format": "pt"})


def pack(run: Path, target: Path, *, n_records: int = 100, dtype: str = "float16") -> int:
    """Write the archive and return its size."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_LZMA) as archive:
        for name, data in contents(RunDir(run), n_records, dtype):
            archive.writestr(zipfile.ZipInfo(name, THEN), data, zipfile.ZIP_LZMA)
    return target.stat().st_size


def measure_again(run: RunDir) -> None:
    """metrics.json of every stage anew, from its records, as this version works it out; nothing is played."""
    with open_context(preflight(load_recipe(run.config), "judge"), None, directory=run.path, run_dir=run) as context:
        for stage in run.stages():
            records = list(read_held_out(stage.held_out))
            metrics = {**stage.read_metrics(), **numbers(context, records)}
            metrics["chain"] = chain_again(stage.read_metrics()["chain"], context.config.evaluate.turns)
            compare_stages(context, stage, records, metrics)
            write_whole(stage.metrics, json.dumps(metrics, indent=1) + "\n")


def chain_again(before: dict[str, Any] | None, turns: int) -> dict[str, Any] | None:
    """The chain out of its own counts: how many were right and wrong at first, and changed. That is all it is made from."""
    if before is None:
        return None
    n_wrong, n_right = before["ecr"]["n"], before["eir"]["n"]
    repaired, broken = round(before["ecr"]["value"] * n_wrong), round(before["eir"]["value"] * n_right)
    first = [1] * n_right + [0] * n_wrong
    second = [0] * broken + [1] * (n_right - broken) + [1] * repaired + [0] * (n_wrong - repaired)
    found = chain(first, second, turns)
    assert found is not None  # it was one before
    return {**found.to_json(), "split": before["split"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--name", help="of the archive and of the run in it; by default the run's own")
    parser.add_argument("--records", type=int, default=100, help="of trajectories, improved replies and examples, each")
    parser.add_argument("--dtype", choices=("float16", "bfloat16"), default="float16")
    parser.add_argument("--measure", action="store_true", help="write its numbers anew first, from its records")
    given = parser.parse_args()
    if given.measure:
        measure_again(RunDir(given.run))
    HOME.mkdir(exist_ok=True)
    target = HOME / f"{given.name or given.run.name}.zip"
    size = pack(given.run, target, n_records=given.records, dtype=given.dtype)
    print(f"{target}: {size:,} bytes")
    if size > MOST_BYTES:
        raise SystemExit(f"more than {MOST_BYTES:,}: fewer --records, fewer held-out problems, or a smaller model")


if __name__ == "__main__":
    main()
