"""Names of what a run writes, and what proves that a stage is done."""

from __future__ import annotations

import contextlib
import json
import platform
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from rise.errors import ConfigError, DataError, ResumeError
from rise.jsonl import dumps, read_json, write_whole
from rise.recipe.config import RunConfig
from rise.recipe.toml import build_config, load_recipe, to_toml
from rise.runs import stages
from rise.runs.continuing import begun, content_held, refused


@dataclass(frozen=True, slots=True)
class StageDir:
    """Files of one stage; `rise.runs.stages` lists their names."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def trajectories(self) -> Path:
        return self.path / "trajectories.jsonl"

    @property
    def relabelled(self) -> Path:
        return self.path / "relabelled.jsonl"

    @property
    def examples(self) -> Path:
        return self.path / "examples.jsonl"

    @property
    def dataset(self) -> Path:
        """Counts: what was kept, what was dropped and why, rewards, weights."""
        return self.path / "dataset.json"

    @property
    def checkpoint(self) -> Path:
        return self.path / "checkpoint"

    @property
    def training(self) -> Path:
        """Unfinished training, to continue from; removed when the checkpoint is in place."""
        return self.path / "training"

    @property
    def held_out(self) -> Path:
        return self.path / "held-out.jsonl"

    @property
    def rates(self) -> Path:
        """Two turns on validation problems, which the rates of the chain are taken from; with `evaluate.n_rates` alone."""
        return self.path / "validation.jsonl"

    @property
    def temperature(self) -> Path:
        """The folder of `rise temperature`: the vote at its own best temperature."""
        return self.path / "temperature"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.json"

    def read_metrics(self) -> dict[str, Any]:
        """What was measured. Raises `DataError` where the file holds no measurement."""
        found = read_json(self.metrics)
        if not (isinstance(turns := found.get("accuracy_by_turn"), list) and turns and all(isinstance(t, dict) for t in turns)):
            raise DataError(
                f"{self.metrics}: it holds no accuracy_by_turn, so it is not what an evaluation wrote, or was damaged. Remove "
                "it, and rise run on the run measures that stage again."
            )
        return found

    def read_dataset(self) -> dict[str, Any]:
        return read_json(self.dataset)


@dataclass(frozen=True, slots=True)
class RunDir:
    """One run on disk."""

    path: Path

    @property
    def config(self) -> Path:
        return self.path / "config.toml"

    @property
    def provenance(self) -> Path:
        return self.path / "provenance.json"

    @property
    def log(self) -> Path:
        """metrics.jsonl: one line per event, with the clock that stage files must not hold."""
        return self.path / "metrics.jsonl"

    @property
    def ledger(self) -> Path:
        return self.path / "ledger.jsonl"

    @property
    def judge_ledger(self) -> Path:
        """What a model that judges has said; without one there is none."""
        return self.path / "judge-ledger.jsonl"

    @property
    def contents(self) -> dict[str, str]:
        """Hashes of what its recipe only names (`rise.runs.contents`); empty in a run of version 0.1.0."""
        return read_json(self.provenance).get("contents") or {} if self.provenance.exists() else {}

    def stage(self, name: str) -> StageDir:
        return StageDir(self.path / name)

    def stages(self) -> list[StageDir]:
        """Stages with metrics, in the order they ran."""
        return [stage for name in stages.on_disk(self.path) if (stage := self.stage(name)).metrics.exists()]

    def open(self, config: RunConfig, *, command: list[str] | None = None, contents: dict[str, str] | None = None) -> bool:
        """Make the directory, or continue the one that is there. True if it continues.

        `contents` are hashes of what the recipe only names: problems, base model. Raises `ResumeError` naming every
        setting and content that differs from the one the directory was made with, and may not (`rise.runs.continuing`).
        """
        if self.config.exists() and not self._came_to_nothing:
            free = self.may_continue(config, contents)
            self._mend_log()
            self._note_contents(contents or {})
            if free:
                write_whole(self.config, to_toml(config))
                self.write_log(changed=free, config=config.model_dump(mode="json"))
            return True
        # What a kill before the writes below were done leaves is no stranger's directory, nor is a start that came to nothing.
        own = {name for file in self._first_files for name in (file.name, f"{file.name}.partial")}
        if self.path.exists() and any(not self._is_own(file, own) for file in self.path.iterdir()):
            raise ResumeError(f"{self.path} is not empty and holds no config.toml of a run. Give another --out.")
        self.path.mkdir(parents=True, exist_ok=True)
        facts = provenance(config, command) | {"contents": contents or {}}
        write_whole(self.provenance, json.dumps(facts, indent=2) + "\n")
        write_whole(self.config, to_toml(config))
        self.write_log(config=config.model_dump(mode="json"))
        return False

    def may_continue(self, config: RunConfig, contents: dict[str, str] | None = None) -> list[str]:
        """The differences that a continued run may have. Raises `ResumeError` for one that it may not."""
        known = self.ledger.exists() or bool(begun(self.path))
        there = load_recipe(self.config)
        held, free = refused(self.path if known else None, self._opened_with() or there, config)
        by_hand = bool(held) and there == config
        made_with = self.contents
        held += [
            f"{name}: its content is not what it was (hash {made_with[name]} → {now})"
            for name, now in (contents or {}).items()
            if made_with.get(name, now) != now and (not known or content_held(name, self.path))
        ]
        if held:
            shown = "\n  ".join(held)
            if by_hand:
                raise ResumeError(
                    f"{self.config} has been changed by hand since the run was made by it:\n  {shown}\n"
                    "Set it back to what it was, on the left, and continue; or run the changed one with another --out."
                )
            raise ResumeError(
                f"{self.path} was made by another recipe:\n  {shown}\n"
                "Continue it with its own settings (rise run on its config.toml), or give another --out."
            )
        return free

    def _opened_with(self) -> RunConfig | None:
        """The settings it was last opened with, as its log tells; None in a run of version 0.1.0: config.toml has to do."""
        for event in reversed(self.read_log()):
            if isinstance(event.get("config"), dict):
                with contextlib.suppress(ConfigError):
                    return build_config(event["config"])
            if "rejudged" in event:
                return None  # by a version that changed config.toml alone
        return None

    @property
    def _came_to_nothing(self) -> bool:
        """Whether no part of it has begun, as its ledger shows; without a ledger nobody knows."""
        return self.ledger.exists() and not begun(self.path)

    def forget(self) -> None:
        """Remove what a start that came to nothing has written. Nothing that holds a reply or a stage is touched."""
        if begun(self.path):
            return
        for file in self._first_files:
            file.unlink(missing_ok=True)
            file.with_name(file.name + ".partial").unlink(missing_ok=True)
        for name in stages.on_disk(self.path):
            shutil.rmtree(self.path / name)
        if not any(self.path.iterdir()):
            self.path.rmdir()

    @property
    def _first_files(self) -> tuple[Path, ...]:
        return self.config, self.provenance, self.ledger, self.judge_ledger, self.log

    def _is_own(self, file: Path, own: set[str]) -> bool:
        """A file of a start that came to nothing; with a config.toml, also a stage without anything in it."""
        left = {self.config.name, self.log.name}  # these are written after the provenance
        if file.name in left:
            return self.provenance.exists()
        return file.name in own or (stages.is_stage(file.name) and self.config.exists())

    def _note_contents(self, contents: dict[str, str]) -> None:
        """Hashes that are new, or of what may still change, beside the others."""
        facts = read_json(self.provenance) if self.provenance.exists() else {}
        if facts and any((facts.get("contents") or {}).get(name) != now for name, now in contents.items()):
            facts["contents"] = {**(facts.get("contents") or {}), **contents}
            write_whole(self.provenance, json.dumps(facts, indent=2) + "\n")

    def _mend_log(self) -> None:
        """End a line torn by a kill, so that the next event gets a line of its own."""
        if self.log.exists() and not self.log.read_bytes().endswith(b"\n"):
            with self.log.open("a", encoding="utf-8") as file:
                file.write("\n")

    def write_log(self, **event: Any) -> None:
        with self.log.open("a", encoding="utf-8") as file:
            file.write(dumps({"time": round(time.time(), 3), **event}) + "\n")

    def read_log(self) -> list[dict[str, Any]]:
        """Events; a line that is none, such as a torn or a damaged one, is left out."""
        if not self.log.exists():
            return []
        events = []
        for line in self.log.read_bytes().split(b"\n"):
            try:
                event = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(event, dict):
                events.append(event)
        return events


def provenance(config: RunConfig, command: list[str] | None = None) -> dict[str, Any]:
    """What a reader needs to run it again: versions, machine, commit, command."""
    import rise

    root = Path(__file__).resolve().parents[2]

    def git(*args: str) -> str | None:
        try:
            done = subprocess.run(["git", "-C", str(root), *args], capture_output=True, text=True, timeout=10)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    versions: dict[str, str | None] = {}
    for name in ("torch", "transformers", "accelerate", "peft", "numpy", "math-verify", *(("ray",) if config.cluster else ())):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = None
    status = git("status", "--porcelain") if (root / ".git").exists() else None
    return {
        "rise": rise.__version__,
        "commit": git("rev-parse", "HEAD") if status is not None else None,
        "clean": None if status is None else status == "",
        "command": command or sys.argv,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "cpu_count": cpu_count(),
        "versions": versions,
        "seed": config.seed,
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def cpu_count() -> int:
    """Cores that this process may use."""
    import os

    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
