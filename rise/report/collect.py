"""A run directory, read once, as plain data. What is missing so far is None or empty, and prints as a dash."""

from __future__ import annotations

import time
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rise.errors import DataError
from rise.evaluation.headline import Name, as_read
from rise.evaluation.held_out import HeldOut, read_held_out
from rise.evaluation.outcomes import OUTCOMES, Outcome, outcome, rank
from rise.evaluation.seeds import StageOverSeeds
from rise.evaluation.uncertainty import NOTHING, Estimate
from rise.jsonl import read_json, read_text
from rise.recipe.wordings import told
from rise.report.own_files import check_own_files
from rise.runs import stages
from rise.runs.alarms import Alarm, read_alarms
from rise.runs.directory import RunDir, StageDir
from rise.runs.group import seed_hint
from rise.runs.versions import DASH, later_versions

SHOWN: tuple[Outcome, ...] = ("fixed", "broken", "never")
"""The outcomes of which a report prints trajectories in full."""


@dataclass(frozen=True, slots=True)
class PartCost:
    """What one part of a stage took: rollout, relabel, train, evaluate, …"""

    part: str
    seconds: float | None
    n_replies: int | None
    n_prompt_tokens: int | None
    n_reply_tokens: int | None
    sent_again: Mapping[str, int]
    """Requests sent again, by reason; empty where nothing went wrong or no network was used."""
    by_replica: Mapping[int, int]
    """Replies of each replica on a cluster; empty where there was none."""
    n_restarts: int
    """Times a replica was started again."""
    price: float | None = None
    """What its replies cost, in the unit of the recipe's prices; None where the recipe gives none."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One row of the table."""

    name: str
    metrics: Mapping[str, Any] | None
    dataset: Mapping[str, Any] | None
    parts: tuple[PartCost, ...]
    training: tuple[Mapping[str, Any], ...]
    """One line a step, the latest where a step was done again after a kill."""
    held_out: Path | None
    awaited: bool = True
    """Whether the recipe measures it at all; a boost that is only the start of the next one is trained but not measured."""

    @property
    def title(self) -> str:
        return stages.title(self.name)

    @property
    def n_turns(self) -> int:
        return len((self.metrics or {}).get("accuracy_by_turn") or ())

    @property
    def n_samples(self) -> int:
        return len((self.metrics or {}).get("parallel_vote") or ())

    @property
    def own_turns(self) -> float | None:
        """Turns of a run, on average, where the model's own verdict may end it; None where it was not asked."""
        turns = _at(self.metrics, ("own_stop", "turns"))
        return turns if turns is not None else _at(self.metrics, ("own_turns",))

    def estimate(self, *path: str | int) -> Estimate:
        """The number at `path` in metrics.json; `NOTHING` where it, or anything on the way, is missing."""
        return estimate_at(self.metrics, *path)

    def number(self, name: Name[Any]) -> Estimate:
        """A headline metric or a paired difference; `NOTHING` where it is missing."""
        return estimate_at(name.find(self.metrics))

    def series(self, *path: str | int) -> list[Estimate]:
        """The list of numbers at `path`; empty where there is none."""
        found = _at(self.metrics, path)
        return [estimate_at(item) for item in found] if isinstance(found, list) else []


@dataclass(frozen=True, slots=True)
class Chosen:
    """A trajectory the report prints in full."""

    outcome: Outcome
    record: HeldOut


@dataclass(frozen=True, slots=True)
class ReportData:
    """Everything a report says, before it is laid out."""

    name: str
    directory: str
    stages: tuple[Stage, ...]
    """Those that ran and those the recipe will still run, in order."""
    config: Mapping[str, Any]
    config_text: str
    provenance: Mapping[str, Any]
    outcomes: Mapping[Outcome, int]
    """Problems by what became of them over the last measured stage's turns."""
    chosen: tuple[Chosen, ...]
    alarms: tuple[Alarm, ...] = ()
    """What was wrong with replies, in the order in which it was found."""
    overlap: Mapping[str, Any] | None = None
    """Measured problems that are trained on too (`rise.evaluation.overlap`); None in runs of before this was looked for."""
    versions_since: tuple[str, ...] = ()
    """Of each process that continued the run with other versions than it had: when, and what differed."""
    beside: tuple[tuple[str, Stage, Stage], ...] = ()
    """This run and others given with it: name, the stage that the rounds' training began from, the last round."""
    runs: Mapping[int, ReportData] = field(default_factory=dict)
    """Of a group: the run of each seed that has begun. The estimates of the group's own stages are `OverSeeds.both`."""
    over: tuple[StageOverSeeds, ...] = ()
    """Of a group: its measured stages over seeds. Empty for a run."""

    @property
    def measured(self) -> tuple[Stage, ...]:
        return tuple(stage for stage in self.stages if stage.metrics)

    @property
    def last(self) -> Stage | None:
        """The latest stage with numbers: what headline, controls and trajectories speak of."""
        return self.measured[-1] if self.measured else None

    @property
    def rows(self) -> tuple[Stage, ...]:
        """Stages that have numbers or will: the rows of a table of results."""
        return tuple(stage for stage in self.stages if stage.metrics or stage.awaited)

    @property
    def unmeasured(self) -> tuple[Stage, ...]:
        return tuple(stage for stage in self.rows if not stage.metrics)

    @property
    def n_turns(self) -> int:
        return self.last.n_turns if self.last else int(_at(self.config, ("evaluate", "turns")) or 5)

    @property
    def n_samples(self) -> int:
        return self.last.n_samples if self.last else int(_at(self.config, ("evaluate", "samples")) or 5)

    @property
    def began(self) -> Stage | None:
        """The stage that the rounds' training began from; None where it is not measured."""
        start = str(_at(self.config, ("iterate", "start")) or "previous")
        name = stages.began_from((stage.name for stage in self.measured), start)
        return next((stage for stage in self.measured if stage.name == name), None)

    @property
    def split(self) -> str:
        """Which held-out problems were asked: test, or validation while choices are still being made."""
        return str(_at(self.config, ("evaluate", "split")) or "test")

    @property
    def oracle(self) -> str:
        """What the feedback knows: nothing (""), the truth ("stops": a run ends when right), or whatever its function does."""
        shown = _at(self.config, ("evaluate", "state")) or self.config.get("state") or {}
        return told(shown)


def collect(path: Path, *, n_each: int = 2, beside: Iterable[Path] = ()) -> ReportData:
    """Read a run directory, finished or not; `n_each` trajectories of each outcome in `SHOWN` (0: records are not read).

    `beside`: further runs, whose gain is set against this one's. One without a measured round is left out.
    Raises `DataError` where `path` is no run or one of its files is damaged.
    """
    run = RunDir(path)
    if not path.is_dir():
        raise DataError(f"{path}: no such run directory.")
    if not (run.config.exists() or run.stages()):
        raise DataError(
            f"{path} holds neither config.toml nor a stage with metrics.json, so it is no run directory of `rise run`."
            f"{seed_hint(path)}"
        )
    check_own_files(path)
    config_text, config = _config(run)
    log = run.read_log()
    try:
        awaited = stages.expected(config) if config else []
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise DataError(f"{run.config}: no recipe of `rise` ({error}).") from error
    names = sorted({*awaited, *stages.on_disk(path)}, key=stages.order)
    found = tuple(_stage(run.stage(name), log, name in awaited or not config) for name in names)
    with_records = [stage for stage in found if stage.metrics and stage.held_out]
    outcomes, chosen = choose(records_of(with_records[-1]), n_each) if with_records and n_each else ({}, ())
    others = [collect(Path(other), n_each=0) for other in beside]
    own = ReportData(
        name=str(config.get("name") or path.resolve().name),
        directory=path.resolve().name,
        stages=found,
        config=config,
        config_text=config_text,
        provenance=_json(run.provenance) or {},
        outcomes=outcomes,
        chosen=chosen,
        alarms=tuple(read_alarms(log)),
        versions_since=_versions_since(_json(run.provenance) or {}, log),
        overlap=next((event["overlap"] for event in reversed(log) if isinstance(event.get("overlap"), Mapping)), None),
    )
    return replace(own, beside=tuple(ends for run in (own, *others) if (ends := _ends(run)))) if others else own


def _versions_since(provenance: Mapping[str, Any], log: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    return tuple(f"{_day(event.get('time'))}: {', '.join(found)}" for event, found in later_versions(provenance, log))


def _day(time_s: Any) -> str:
    """As provenance writes the time; a run may be a stranger's, and its log hold anything."""
    try:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(float(time_s)))
    except (TypeError, ValueError, OverflowError, OSError):
        return DASH


def _config(run: RunDir) -> tuple[str, dict[str, Any]]:
    """The recipe as it is written, and as plain data; both empty where there is none."""
    if not run.config.exists():
        return "", {}
    text = read_text(run.config)
    try:
        return text, tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise DataError(f"{run.config}: not TOML: {error}.") from error


def _ends(data: ReportData) -> tuple[str, Stage, Stage] | None:
    """(directory, the stage the rounds began from, the last round), where both are measured over several turns."""
    rounds = [stage for stage in data.measured if stages.round_number(stage.name)]
    if not rounds or data.began is None or rounds[-1].estimate("paired", f"t{rounds[-1].n_turns}-t1").value is None:
        return None
    return data.directory, data.began, rounds[-1]


def records_of(stage: Stage) -> Iterator[HeldOut]:
    """The stage's held-out records as its metrics read them: of a run under an oracle, up to its first right reply."""
    told = bool((stage.metrics or {}).get("truthful"))
    return (as_read(record, told) for record in read_held_out(stage.held_out)) if stage.held_out else iter(())


def choose(records: Iterable[HeldOut], n_each: int) -> tuple[dict[Outcome, int], tuple[Chosen, ...]]:
    """How many problems had each outcome, and the first `n_each` of each outcome in `SHOWN`.

    First in the order of a hash of the problem's id: the same at every call, and not picked by hand.
    """
    counts: Counter[Outcome] = Counter()
    best: dict[Outcome, list[tuple[str, HeldOut]]] = {name: [] for name in SHOWN}
    for record in records:
        found = outcome(record.run)
        if found is None:
            continue
        counts[found] += 1
        if found in best:
            best[found] = sorted([*best[found], (rank(record), record)], key=lambda item: item[0])[:n_each]
    chosen = tuple(Chosen(name, record) for name in SHOWN for _, record in best[name])
    return {name: counts[name] for name in OUTCOMES} if counts else {}, chosen


def estimate_at(data: Any, *path: str | int) -> Estimate:
    """The estimate stored at `path` of nested plain data; `NOTHING` where there is none."""
    found = _at(data, path)
    if not isinstance(found, Mapping) or found.get("value") is None:
        return NOTHING
    return Estimate(found["value"], found.get("low"), found.get("high"), int(found.get("n") or 0))


def _at(data: Any, path: Iterable[str | int]) -> Any:
    for key in path:
        if isinstance(data, Mapping) and isinstance(key, str):
            data = data.get(key)
        elif isinstance(data, list) and isinstance(key, int) and -len(data) <= key < len(data):
            data = data[key]
        else:
            return None
    return data


def _stage(stage: StageDir, log: list[dict[str, Any]], awaited: bool) -> Stage:
    events = [event for event in log if event.get("stage") == stage.name]
    steps = {event["step"]: event for event in events if "step" in event and "part" not in event}
    return Stage(
        name=stage.name,
        metrics=stage.read_metrics() if stage.metrics.exists() else None,
        dataset=_json(stage.dataset),
        parts=_costs([event for event in events if "part" in event and "step" not in event]),
        training=tuple(steps[step] for step in sorted(steps)),
        held_out=stage.held_out if stage.held_out.exists() else None,
        awaited=awaited,
    )


def _costs(events: list[dict[str, Any]]) -> tuple[PartCost, ...]:
    """One line a part; a part that ended more than once (stopped and continued) is added up."""
    names = dict.fromkeys(str(event["part"]) for event in events)
    return tuple(_cost(name, [event for event in events if event["part"] == name]) for name in names)


def _cost(name: str, events: list[dict[str, Any]]) -> PartCost:
    def total(field: str) -> Any:
        known = [event[field] for event in events if event.get(field) is not None]
        return sum(known) if known else None

    sent_again: Counter[str] = Counter()
    for event in events:
        sent_again.update(event.get("sent_again") or {})
    # Replicas of a part that was continued are other ones, added up by number.
    lines = [line for event in events for line in event.get("replicas") or ()]
    by_replica: Counter[int] = Counter()
    for line in lines:
        by_replica[line["replica"]] += line["n_replies"]
    totals = {field: total(field) for field in ("seconds", "n_replies", "n_prompt_tokens", "n_reply_tokens", "price")}
    return PartCost(
        name,
        sent_again=dict(sent_again.most_common()),
        by_replica=dict(sorted(by_replica.items())),
        n_restarts=sum(line.get("restarts", 0) for line in lines),
        **totals,
    )


def _json(path: Path) -> dict[str, Any] | None:
    return read_json(path) if path.exists() else None
