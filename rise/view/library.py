"""The runs that are looked at: their stages, their files by key, and what the page asks of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rise.errors import DataError, did_you_mean
from rise.evaluation.headline import Name, brief, named
from rise.evaluation.outcomes import OUTCOMES
from rise.evaluation.vote import Same
from rise.report.claims import claims, headline
from rise.report.collect import ReportData, Stage, collect
from rise.report.colours import stage_role
from rise.report.handed_on import handed_on
from rise.report.recipe import same_answers
from rise.runs import stages
from rise.runs.directory import RunDir
from rise.runs.group import opened_out
from rise.view.index import Index
from rise.view.live import FILES, Ledger, live_record, live_rows, now
from rise.view.questions import Questions
from rise.view.record import opened
from rise.view.rows import KINDS, Row
from rise.view.tokens import Tokens

LIVE = "live-"
"""Begins the kind of replies that are still only in the ledger, not in a file: `live-rollout`."""


@dataclass
class _Run:
    """One run directory and what has been read of it."""

    dir: RunDir
    ledger: Ledger
    indexes: dict[str, Index] = field(default_factory=dict)
    tokens: dict[str, Tokens] = field(default_factory=dict)
    questions: Questions | None = None
    same: Same | None = None


class Library:
    """Everything the page may ask. A key names a file: `0/round-1/held-out` is of the first run."""

    def __init__(self, paths: Sequence[Path], tokenizer: str | None = None) -> None:
        self.paths = opened_out(paths)
        self._tokenizer = tokenizer
        for path in self.paths:
            collect(path, n_each=0)  # raises where it is no run
        self._runs = [_Run(RunDir(path), Ledger(RunDir(path))) for path in self.paths]

    # --- what is there ------------------------------------------------------------------------------------------------

    def overview(self, *, public: bool = False) -> dict[str, Any]:
        """Runs, stages, numbers, files, and what is under way; `public`: as it may be handed on (`rise.report.handed_on`)."""
        return {"runs": [self._overview(r, run, public) for r, run in enumerate(self._runs)], "outcomes": OUTCOMES}

    def _overview(self, r: int, run: _Run, public: bool) -> dict[str, Any]:
        data = collect(run.dir.path, n_each=0)
        data = handed_on(data) if public else data
        parts = run.ledger.underway() if self._unfinished(data) else {}
        keys = {name: f"{r}/{name.replace('/', '/' + LIVE)}" for name in parts}
        return {
            "name": data.name,
            "directory": data.directory,
            "headline": headline(data),
            "claims": [{"question": c.question, "answer": c.answer, "detail": c.detail} for c in claims(data)],
            "n_turns": data.n_turns,
            "n_samples": data.n_samples,
            "oracle": data.oracle,
            "columns": [{"label": name.label, "words": name.words, "prints": name.of.prints} for name in _columns(data)],
            "window": data.config.get("state", {}).get("window"),
            "stages": [self._stage(r, run, data, stage, keys) for stage in data.stages],
            "live": now(run.dir, data.stages, parts, keys),
            "config": data.config_text,
            "provenance": data.provenance,
        }

    @staticmethod
    def _unfinished(data: ReportData) -> bool:
        return any(stage.awaited and not stage.metrics for stage in data.stages)

    def _stage(self, r: int, run: _Run, data: ReportData, stage: Stage, keys: Mapping[str, str]) -> dict[str, Any]:
        files = [
            {"key": f"{r}/{stage.name}/{kind}", "kind": kind, "title": title, "n_bytes": path.stat().st_size}
            for kind, title in KINDS.items()
            if (path := run.dir.stage(stage.name).path / f"{kind}.jsonl").exists()
        ]
        for name, key in keys.items():
            own, part = name.split("/")
            if own == stage.name:
                files.append({"key": key, "kind": "live", "title": stages.part(part).title, "n_bytes": 0})
        return {
            "name": stage.name,
            "title": stage.title,
            "short": stages.short_title(stage.name),
            "colour": stage_role(stage.name, [other.name for other in data.stages]),
            "metrics": stage.metrics,
            "numbers": [name.find(stage.metrics) for name in _columns(data)],
            "dataset": stage.dataset,
            "seconds": {part.part: part.seconds for part in stage.parts},
            "awaited": stage.awaited,
            "files": files,
        }

    def keys(self) -> list[str]:
        """Every file there is, live ones left out."""
        found = [file for run in self.overview()["runs"] for stage in run["stages"] for file in stage["files"]]
        return [file["key"] for file in found if file["kind"] != "live"]

    def stamp(self) -> str:
        """Changes when anything the overview shows may have: names, sizes and times of the files."""
        parts = []
        for run in self._runs:
            for path in [run.dir.log, run.dir.ledger, *sorted(run.dir.path.glob("*/*.json*"))]:
                try:
                    status = path.stat()
                except OSError:
                    continue
                parts.append(f"{path.parent.name}/{path.name}:{status.st_size}:{status.st_mtime_ns}")
        return str(hash(tuple(parts)))

    # --- one file -----------------------------------------------------------------------------------------------------

    def rows(self, key: str, start: int, limit: int) -> bytes:
        """Rows of a file as one JSON text, with the names of their columns; see `Index.rows`."""
        run, stage, kind = self._place(key)
        if kind.startswith(LIVE):
            part = run.ledger.underway().get(f"{stage}/{kind.removeprefix(LIVE)}")
            found = live_rows(part, self._questions(run)) if part else []
            rows = [json.dumps(row, separators=(",", ":")).encode() for row in found[start : start + limit]]
            about = {
                "n": len(found),
                "complete": start + limit >= len(found),
                "share": 1.0,
                "version": 0,
                "n_bad": 0,
                "first_bad": None,
            }
        else:
            rows, about = self._index(run, stage, kind).rows(start, limit)
        return b'{"rows":[' + b",".join(rows) + b"]," + json.dumps({"columns": Row._fields, **about}).encode()[1:]

    def record(self, key: str, number: int) -> dict[str, Any]:
        """One record, opened; see `rise.view.record`."""
        run, stage, kind = self._place(key)
        if kind.startswith(LIVE):
            part = run.ledger.underway().get(f"{stage}/{kind.removeprefix(LIVE)}")
            names = list(part.replies) if part else []
            if part is None or not 0 <= number < len(names):
                raise DataError(f"{key} is finished: its replies now stand in a file of the stage.")
            return {"kind": "live", "line": None} | live_record(part, names[number], self._questions(run))
        index = self._index(run, stage, kind)
        line, data = index.record(number)
        state = None
        if kind == "relabelled" and (trajectories := self._beside(run, stage)):
            state = _trajectory(trajectories, str(data.get("problem_id")), data.get("sample", 0))
        try:
            tokens = run.tokens.setdefault(stage, Tokens(index.path, self._tokenizer))
            return {"kind": kind, "line": line} | opened(index.kind, data, self._same(run), state, tokens)
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError) as error:
            raise DataError(f"{index.path}, line {line}: not a line of {kind} ({error!r}). Was it written by `rise`?") from error

    def search(self, key: str, text: str) -> list[int]:
        """Numbers of the rows whose question, gold answer or any reply holds `text`."""
        run, stage, kind = self._place(key)
        return [] if kind.startswith(LIVE) else self._index(run, stage, kind).search(text)

    def where(self, problem_id: str) -> list[dict[str, Any]]:
        """The held-out runs of one problem at every stage of every run: how other rounds answered it."""
        found = []
        for r, run in enumerate(self._runs):
            for stage in run.dir.stages():
                if stage.held_out.exists():
                    index = self._index(run, stage.name, "held-out")
                    number = index.find(problem_id)
                    if number is not None:
                        row = index.row(number)
                        found.append({"key": f"{r}/{stage.name}/held-out", "row": number, "pattern": row.pattern})
        return found

    # --- inside -------------------------------------------------------------------------------------------------------

    def _place(self, key: str) -> tuple[_Run, str, str]:
        """Run, stage and kind of a key. Only names that the overview gives lead to a file."""
        parts = key.split("/")
        if len(parts) == 3 and parts[0].isdecimal() and int(parts[0]) < len(self._runs):
            run = self._runs[int(parts[0])]
            _, stage, kind = parts
            if kind in KINDS and stage in {p.name for p in run.dir.path.iterdir() if p.is_dir()}:
                return run, stage, kind
            if kind.removeprefix(LIVE) in FILES and stages.is_stage(stage):
                return run, stage, kind
        raise DataError(f"{key!r} names no file here. {did_you_mean(key, self.keys())}")

    def _index(self, run: _Run, stage: str, kind: str) -> Index:
        name = f"{stage}/{kind}"
        if name not in run.indexes:
            path = run.dir.stage(stage).path / f"{kind}.jsonl"
            if not path.exists():
                raise DataError(f"{path}: no such file; the stage has not got there.")
            beside = self._beside(run, stage) if kind in ("relabelled", "examples") else None

            def known(problem_id: str) -> Row | None:
                place = beside.find(problem_id) if beside else None
                return beside.row(place) if beside and place is not None else None

            run.indexes[name] = Index(path, next(k for k in KINDS if k == kind), known)
        return run.indexes[name]

    def _beside(self, run: _Run, stage: str) -> Index | None:
        """The trajectories that a stage's improved replies and examples come from."""
        exists = run.dir.stage(stage).trajectories.exists()
        return self._index(run, stage, "trajectories") if exists else None

    def _questions(self, run: _Run) -> Questions:
        """For replies still in the ledger."""
        if run.questions is None:
            run.questions = Questions(run.dir, lambda: self._holding_questions(run))
        return run.questions

    def _holding_questions(self, run: _Run) -> Iterator[Index]:
        for kind in ("trajectories", "held-out"):
            for name in stages.on_disk(run.dir.path):
                if (run.dir.stage(name).path / f"{kind}.jsonl").exists():
                    yield self._index(run, name, kind)

    def _same(self, run: _Run) -> Same:
        if run.same is None:
            run.same = same_answers(run.dir)
        return run.same


def _columns(data: ReportData) -> list[Name[Any]]:
    """The metrics of the table of stages."""
    return named(brief(), data.n_turns, data.n_samples)


def _trajectory(trajectories: Index, problem_id: str, sample: int) -> dict[str, Any] | None:
    """That of a problem's trajectories, which stand together in the file, that is number `sample`."""
    place = trajectories.find(problem_id)
    while place is not None:
        try:
            _, data = trajectories.record(place)
        except DataError:  # behind the last
            return None
        if data.get("problem_id") != problem_id:
            return None
        if data.get("sample", 0) == sample:
            return data
        place += 1
    return None
