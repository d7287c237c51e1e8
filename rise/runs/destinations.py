"""The trackers, a class each around its own library: where a run's numbers and its report go. Imported on use."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol


class Destination(Protocol):
    """An open tracker."""

    id: str | None
    """By which the same run is found again when it is continued; None where the place says it."""

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Numbers of one stage; `step` is its position in the run, from 0."""

    def artifact(self, page: Path) -> None:
        """The report: page.html, with page.md beside it."""

    def close(self, failed: bool) -> None: ...


class Wandb:
    """Weights & Biases. `WANDB_MODE=offline` keeps everything in RUN/wandb until `wandb sync`."""

    def __init__(self, run: Path, project: str, name: str, known: str | None, recipe: Mapping[str, Any]) -> None:
        self._library = import_module("wandb")
        again = {"id": known, "resume": "allow"} if known else {}
        self._run = self._library.init(project=project, name=name, dir=str(run), config=dict(recipe), **again)
        self._run.define_metric("rise/*", step_metric="rise/stage")  # its own steps may be those of a training
        self.id: str | None = self._run.id

    def log(self, values: Mapping[str, float], step: int) -> None:
        self._run.log({"rise/stage": step, **{f"rise/{name}": value for name, value in values.items()}})

    def artifact(self, page: Path) -> None:
        artifact = self._library.Artifact(f"report-{self.id}", type="report")
        for file in (page, page.with_suffix(".md")):
            artifact.add_file(str(file))
        self._run.log_artifact(artifact)

    def close(self, failed: bool) -> None:
        self._run.finish(exit_code=int(failed))


class Trackio:
    """trackio, which keeps its runs in a database of this machine (`TRACKIO_DIR`) unless a Space is named in its own settings."""

    def __init__(self, run: Path, project: str, name: str, known: str | None, recipe: Mapping[str, Any]) -> None:
        self._library = import_module("trackio")
        self._library.init(project=project, name=known or name, resume="allow", config=dict(recipe), embed=False)
        self.id: str | None = known or name

    def log(self, values: Mapping[str, float], step: int) -> None:
        self._library.log({"stage": step, **values}, step=step)

    def artifact(self, page: Path) -> None:
        self._library.log({"report": self._library.Markdown(page.with_suffix(".md").read_text(encoding="utf-8"))})

    def close(self, failed: bool) -> None:
        self._library.finish()


class Mlflow:
    """MLflow at `MLFLOW_TRACKING_URI`, by its client: a run of its own, whatever a training has open."""

    def __init__(self, run: Path, project: str, name: str, known: str | None, recipe: Mapping[str, Any]) -> None:
        self._client = import_module("mlflow").MlflowClient()
        found = self._client.get_experiment_by_name(project)
        experiment = found.experiment_id if found else self._client.create_experiment(project)
        self.id: str | None = known or self._client.create_run(experiment, run_name=name).info.run_id
        if not known:
            for setting, value in flat(recipe).items():
                self._client.log_param(self.id, setting, str(value)[:500])  # its limit for a value

    def log(self, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            self._client.log_metric(self.id, name.replace("@", "-"), value, step=step)  # it takes no @ in a name

    def artifact(self, page: Path) -> None:
        for file in (page, page.with_suffix(".md")):
            self._client.log_artifact(self.id, str(file), "report")

    def close(self, failed: bool) -> None:
        self._client.set_terminated(self.id, "FAILED" if failed else "FINISHED")


class Tensorboard:
    """TensorBoard's event files in RUN/tensorboard/rise, written without TensorFlow; the report as text."""

    def __init__(self, run: Path, project: str, name: str, known: str | None, recipe: Mapping[str, Any]) -> None:
        writer = import_module("tensorboard.summary.writer.event_file_writer").EventFileWriter
        self._writer = writer(str(run / "tensorboard" / "rise"))
        self._event = import_module("tensorboard.compat.proto.event_pb2").Event
        self._summary = import_module("tensorboard.compat.proto.summary_pb2").Summary
        self.id: str | None = None

    def _add(self, step: int, *values: Any) -> None:
        self._writer.add_event(self._event(wall_time=time.time(), step=step, summary=self._summary(value=list(values))))

    def log(self, values: Mapping[str, float], step: int) -> None:
        self._add(step, *(self._summary.Value(tag=name, simple_value=value) for name, value in values.items()))

    def artifact(self, page: Path) -> None:
        about = import_module("tensorboard.plugins.text.metadata").create_summary_metadata("report", "")
        made = import_module("tensorboard.util.tensor_util").make_tensor_proto
        text = page.with_suffix(".md").read_text(encoding="utf-8")
        self._add(0, self._summary.Value(tag="report", metadata=about, tensor=made([text.encode()])))

    def close(self, failed: bool) -> None:
        self._writer.close()


DESTINATIONS: dict[str, Callable[[Path, str, str, str | None, Mapping[str, Any]], Destination]] = {
    "wandb": Wandb,
    "trackio": Trackio,
    "mlflow": Mlflow,
    "tensorboard": Tensorboard,
}
"""Name in `track.to` → how it is opened: run directory, project, name, id of before, the recipe fit to be shown."""


def flat(data: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Nested plain data by dotted names.

    >>> flat({"seed": 1, "task": {"name": "gsm8k"}})
    {'seed': 1, 'task.name': 'gsm8k'}
    """
    out: dict[str, Any] = {}
    for key, value in data.items():
        out |= flat(value, f"{before}{key}.") if isinstance(value, Mapping) else {before + key: value}
    return out
