"""A finished run → the archive that `rise demo` shows, at most 2 MB: `python benchmarks/pack_demo.py RUN [--name NAME]`.

Kept whole: recipe, provenance, log, numbers, held-out records, and the last checkpoint in 16 bits. Of trajectories, improved
replies and examples the first records are kept. Left out: the ledger, earlier checkpoints, the report (it is written anew).
"""

from __future__ import annotations

import argparse
import zipfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from rise.runs.directory import RunDir

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
        for file in (stage.metrics, stage.dataset, stage.held_out):
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--name", help="of the archive and of the run in it; by default the run's own")
    parser.add_argument("--records", type=int, default=100, help="of trajectories, improved replies and examples, each")
    parser.add_argument("--dtype", choices=("float16", "bfloat16"), default="float16")
    given = parser.parse_args()
    HOME.mkdir(exist_ok=True)
    target = HOME / f"{given.name or given.run.name}.zip"
    size = pack(given.run, target, n_records=given.records, dtype=given.dtype)
    print(f"{target}: {size:,} bytes")
    if size > MOST_BYTES:
        raise SystemExit(f"more than {MOST_BYTES:,}: fewer --records, fewer held-out problems, or a smaller model")


if __name__ == "__main__":
    main()
