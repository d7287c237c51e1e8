"""Tell a tracker of a run that is continued (`tell.py tell NAME FOLDER`); print what it says it has (`tell.py says NAME FOLDER`).

Run by the Python of that tracker's environment, which holds neither torch nor transformers.
"""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

from synthetic_run import BOOST, ROUND_1, write_run  # noqa: E402

from rise.recipe.toml import load_recipe  # noqa: E402
from rise.runs.trackers import Tracked  # noqa: E402


class Nobody:
    """A progress that tells nobody."""

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: None


def page(run: Path, folder: Path) -> Path:
    (folder / "report.html").write_text("<h1>The report</h1>")
    (folder / "report.md").write_text("# The report")
    return folder / "report.html"


def told(name: str, folder: Path) -> Path:
    """One run, told of in two processes' worth: the boost, then round 1."""
    run = write_run(folder / "run", {"boost": BOOST})
    write_run(folder / "more", {"boost": BOOST, "round-1": ROUND_1})
    config = load_recipe(run.config, overrides=[f'track.to=["{name}"]', "track.project=rise-test"])
    for number in range(2):
        if number:
            (folder / "more" / "round-1").rename(run.path / "round-1")
        tracked = Tracked(Nobody(), config, run)
        tracked.start(None)  # type: ignore[arg-type]
        tracked.finish(failed=not number, report=page)
    return run.path


def wandb_records(path: Path) -> Iterator[bytes]:
    """The records of an offline file: 7 bytes of wandb's own, then the log format of LevelDB (blocks of 32 KiB; checksum, length
    and kind before each piece)."""
    data, at, pieces = path.read_bytes(), 7, b""
    while at + 7 <= len(data):
        left = 32768 - at % 32768
        if left < 7:
            at += left
            continue
        length, kind = struct.unpack_from("<HB", data, at + 4)
        pieces += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            yield pieces
            pieces = b""


def wandb_says(run: Path) -> dict[str, Any]:
    """What the offline files hold, in wandb's own protocol."""
    from wandb.proto import wandb_internal_pb2

    numbers: dict[str, list[Any]] = {}
    files, ids = [], set()
    for path in sorted(run.glob("wandb/offline-run-*/*.wandb")):
        for data in wandb_records(path):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(data)
            if record.WhichOneof("record_type") == "run":
                ids.add(record.run.run_id)
            for item in record.history.item:
                key = item.key or "/".join(item.nested_key)
                numbers.setdefault(key.removeprefix("rise/"), []).append(json.loads(item.value_json))
            files += [entry.path for entry in record.artifact.manifest.contents]
            files += [entry.path for entry in record.request.log_artifact.artifact.manifest.contents]
    return {"numbers": numbers, "files": files, "runs": len(ids)}


def mlflow_says(run: Path) -> dict[str, Any]:
    from mlflow import MlflowClient

    client = MlflowClient()
    [experiment] = [e for e in client.search_experiments() if e.name == "rise-test"]
    found = client.search_runs([experiment.experiment_id])
    name = found[0].info.run_id
    keys = found[0].data.metrics
    numbers = {key: [m.value for m in client.get_metric_history(name, key)] for key in keys}
    files = [file.path.rpartition("/")[2] for file in client.list_artifacts(name, "report")]
    return {"numbers": numbers, "files": files, "runs": len(found), "status": found[0].info.status}


def trackio_says(run: Path) -> dict[str, Any]:
    from trackio.sqlite_storage import SQLiteStorage

    runs = SQLiteStorage.get_runs("rise-test")
    numbers: dict[str, list[Any]] = {}
    for row in SQLiteStorage.get_logs("rise-test", runs[0]):
        for key, value in row.items():
            numbers.setdefault(key, []).append(value)
    return {"numbers": numbers, "files": [str(value) for value in numbers.get("report", [])], "runs": len(runs)}


if __name__ == "__main__":
    what, tracker, where = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    if what == "tell":
        told(tracker, where)
    else:  # in a process of its own: what a tracker writes late is there once it has ended
        print(json.dumps({"wandb": wandb_says, "mlflow": mlflow_says, "trackio": trackio_says}[tracker](where / "run")))
