"""Several runs beside each other: one table, differences pair by pair against the first, one figure of accuracy against cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rise.errors import DataError
from rise.evaluation.compare import Scores, difference, score, was_told
from rise.evaluation.headline import HEADLINE, PAIRED, Difference, Metric, Name, named, sizes
from rise.evaluation.held_out import read_held_out
from rise.evaluation.temperature import TemperatureDir
from rise.evaluation.uncertainty import NOTHING, Estimate
from rise.evaluation.vote import Same
from rise.jsonl import read_json
from rise.recipe.methods import method_of
from rise.recipe.toml import load_recipe
from rise.report.collect import estimate_at
from rise.report.numbers import amount, count
from rise.report.table import Cell, Table, difference_cell, share_cell, tokens_cell
from rise.runs import stages
from rise.runs.directory import RunDir, StageDir
from rise.runs.group import is_group, seed_hint
from rise.runs.takeover import Sampled, sampled, trained_tokens


@dataclass(frozen=True, slots=True)
class Entry:
    """One row: a stage of a run, or what `rise evaluate --out` wrote."""

    label: str
    stage: StageDir
    metrics: dict[str, Any]
    scores: Scores
    trained_tokens: int | None
    """Target tokens of all rounds up to this one; None where no round has trained."""
    method: str = ""
    """What its recipe trains by; empty for a lone evaluation."""
    drawn: Sampled = field(default_factory=Sampled)
    """Replies that were drawn to train on in those rounds, and the tokens written for them."""
    best: dict[str, Any] | None = None
    """temperature.json, where `rise temperature` has been there."""
    best_scores: Scores = field(default_factory=dict)
    """Of the first replies at that temperature."""
    told: bool = False
    """Whether the feedback told the truth, so that an oracle ended its runs."""

    @property
    def n_turns(self) -> int:
        return sizes(self.metrics)[0]

    @property
    def n_samples(self) -> int:
        return sizes(self.metrics)[1]

    @property
    def names(self) -> list[Name[Metric]]:
        """The headline metrics, which are what is compared."""
        return named(HEADLINE, *sizes(self.metrics))


def find_stage(path: Path) -> tuple[RunDir, StageDir]:
    """A run and its last measured stage, or the stage that the path names. Raises `DataError` where there is none."""
    if (path / "config.toml").exists():
        run = RunDir(path)
        stages = run.stages()
        if not stages:
            raise DataError(f"{path}: no stage has been measured yet.")
        return run, stages[-1]
    run = RunDir(path.parent)
    if not run.config.exists():
        raise DataError(f"{path} is no run and no stage of one: there is no config.toml in it or beside it.{seed_hint(path)}")
    return run, _measured(path)


def _find(path: Path) -> tuple[RunDir | None, StageDir]:
    """The same, or the directory of a lone evaluation, which belongs to no run."""
    if not any((place / "config.toml").exists() for place in (path, path.parent)) and (path / "held-out.jsonl").exists():
        return None, _measured(path)
    return find_stage(path)


def _measured(path: Path) -> StageDir:
    if not (path / "metrics.json").exists():
        raise DataError(f"{path}: this stage has not been measured.")
    return StageDir(path)


def read_entries(paths: Sequence[Path], same: Same) -> list[Entry]:
    """The rows. Raises `DataError` where runs have not the same turns and samples: their numbers have other names."""
    found = [_find(path) for path in paths]
    runs = [run.path.resolve() for run, _ in found if run]
    one_stage = len({stage.name for run, stage in found if run}) <= 1  # else a name without its stage would hide which is meant
    alone = [one_stage and run is not None and runs.count(run.path.resolve()) == 1 for run, _ in found]
    entries = [_entry(run, stage, same, alone=so) for (run, stage), so in zip(found, alone, strict=True)]
    check_alike({entry.label: (entry.n_turns, entry.n_samples) for entry in entries})
    return entries


def check_alike(shapes: Mapping[str, tuple[int, int]]) -> None:
    """Raise `DataError` where what is compared, label → (turns, samples), was not measured over the same of both."""
    if len(set(shapes.values())) > 1:
        shown = "; ".join(f"{label} over {k} turns with {s} samples" for label, (k, s) in shapes.items())
        raise DataError(f"measured were {shown}, so their numbers mean different things. Evaluate them alike.")


def _entry(run: RunDir | None, stage: StageDir, same: Same, *, alone: bool) -> Entry:
    """`alone`: no other stage is compared, so that the run's name says enough."""
    metrics = stage.read_metrics()
    turns, _ = sizes(metrics)
    records = list(read_held_out(stage.held_out))
    truthful = was_told(metrics, records)
    label, trained, method, drawn = stage.path.resolve().name, 0, "", Sampled()
    if run is not None:
        trained = sum(n for k, n in trained_tokens(run).items() if k <= stages.round_number(stage.name))
        drawn = sampled(run, stages.round_number(stage.name))
        method = method_of(load_recipe(run.config)) if stages.round_number(stage.name) else "before the rounds"
        place = run.path.resolve()
        label = f"{place.parent.name}/{place.name}" if is_group(place.parent) else place.name
        if not (alone and run.stages()[-1].name == stage.name):
            label += f", {stages.title(stage.name)}"
    folder = TemperatureDir(stage.path / "temperature")
    best = read_json(folder.found) if folder.found.exists() else None
    at_best = list(read_held_out(folder.held_out)) if best else []
    scores = score(records, same, turns=turns, truthful=truthful)
    return Entry(label, stage, metrics, scores, trained or None, method, drawn, best, score(at_best, same, turns=1), truthful)


def oracle_words(told: Mapping[str, bool], K: int) -> str:
    """What to know of those, by label, whose runs an oracle ended, beside others or not; empty where it ended none."""
    ended = [label for label, was_told in told.items() if was_told]
    if not ended:
        return ""
    says = f" An oracle ended the runs of {', '.join(ended)}: t{K} and p1@t{K} are numbers with an oracle there"
    return says + ("." if len(ended) == len(told) else ", which the others have not: a difference between them is no finding.")


def _oracle(entries: Sequence[Entry]) -> str:
    return oracle_words({entry.label: entry.told for entry in entries}, entries[0].n_turns)


def number(entry: Entry, name: Name[Metric]) -> Estimate:
    """A headline metric with its interval, from metrics.json."""
    return estimate_at(name.find(entry.metrics))


def at_best(entry: Entry) -> Estimate:
    """The parallel vote at its own best temperature."""
    return estimate_at(entry.best, "test", f"m{entry.n_samples}@t1") if entry.best else NOTHING


def results_table(entries: Sequence[Entry]) -> Table:
    """Every run's numbers with intervals, and what a problem costs."""
    K, S = entries[0].n_turns, entries[0].n_samples
    vote = f"m{S}@t1"
    rows = []
    for entry in entries:
        cells = [Cell(entry.label, small=entry.method)]
        for name in entry.names:
            cells.append(share_cell(number(entry, name)))
            if name.key == vote:
                cells.append(_best_cell(entry))
        tokens = [tokens_cell(_last(entry, way)) for way in ("parallel", "sequential")]
        n = estimate_at(entry.metrics, "m1@t1").n
        drawn = f"{amount(entry.drawn.tokens)} sampled" if entry.drawn.tokens else ""
        rows.append((*cells, *tokens, Cell(amount(entry.trained_tokens), small=drawn), Cell(count(n))))
    labels = [
        label for name in entries[0].names for label in ([name.label, f"{vote}, best T"] if name.key == vote else [name.label])
    ]
    columns = ("run", *labels, f"tokens, {S} samples", f"tokens, {K} turns", "trained tokens", "n")
    caption = (
        f"Percent right, 95 % intervals beneath. m{S}@t1 at the temperature that all were sampled at; best T: at the temperature "
        "that was best on validation problems (`rise temperature`), where it was looked for. Tokens are means per problem, "
        f"generated first, all that were read or written beneath. p1@t{K} and p{S}@t1 need an oracle; t{K} is the last reply, no "
        "vote. "
        "Trained tokens: targets of all rounds, epochs counted; the boost's are the same for all that start from it. Sampled: "
        "tokens written for replies to train on, with those that were taken over from another run."
    )
    caption += _oracle(entries)
    return Table("compare", "Runs beside each other", columns, tuple(rows), caption)


def paired_table(entries: Sequence[Entry]) -> Table:
    """Each run minus the first, problem by problem."""
    first = entries[0]
    rows = []
    for entry in entries[1:]:
        differences = [difference(entry.scores, first.scores, name.key) for name in first.names]
        alike = entry.told == first.told  # else only the first turn and parallel samples stand without an oracle on one side
        finding = [alike or name.of.oracle_free for name in first.names]
        cells = [difference_cell(found, finding=so) for found, so in zip(differences, finding, strict=True)]
        rows.append((Cell(entry.label), *cells, Cell(count(differences[0].n))))
    caption = (
        "Percentage points, on the same problems, 95 % intervals beneath. Only an interval that leaves out zero is a finding."
    ) + _oracle(entries)
    columns = ("run", *(name.label for name in first.names), "n")
    return Table("compare-paired", f"Minus {first.label}, pair by pair", columns, tuple(rows), caption)


def within_table(entries: Sequence[Entry]) -> Table:
    """Within each run: its last reply and its vote over turns against controls and parallel samples."""
    K, S = entries[0].n_turns, entries[0].n_samples
    names = [name for name in named(PAIRED, K, S) if any(_paired(entry, name).value is not None for entry in entries)]
    rows = [(Cell(name.words), *(_within(entry, name) for entry in entries)) for name in names]
    if any(entry.best for entry in entries):
        rows.append((Cell(f"m1@t{K} − m{S}@t1 at best T"), *(difference_cell(_minus_best(entry)) for entry in entries)))
    ns = [max((_paired(entry, name).n for name in names), default=0) for entry in entries]
    rows.append((Cell("n"), *(Cell(count(n or None)) for n in ns)))
    caption = (
        "Percentage points, as above. Nothing shown: a fresh sample. Another's: another problem's attempts shown. Internalised: "
        "the same improved replies trained at turn 1, with evaluate.internalised."
    ) + _oracle(entries)
    columns = ("", *(entry.label for entry in entries))
    return Table("compare-within", "Against controls and samples, within each run", columns, tuple(rows), caption)


def _paired(entry: Entry, name: Name[Difference]) -> Estimate:
    return estimate_at(name.find(entry.metrics))


def _within(entry: Entry, name: Name[Difference]) -> Cell:
    return difference_cell(_paired(entry, name), finding=not (entry.told and name.of.never_below))


def _minus_samples(entry: Entry) -> Estimate:
    """The vote over turns minus the parallel vote; nothing where an oracle ended the runs alone."""
    names = f"m1@t{entry.n_turns}", f"m{entry.n_samples}@t1"
    return NOTHING if entry.told else difference(entry.scores, entry.scores, *names)


def _minus_best(entry: Entry) -> Estimate:
    """The same against the parallel vote at its own best temperature, where that was looked for."""
    if entry.told or not entry.best_scores:
        return NOTHING
    return difference(entry.scores, entry.best_scores, f"m1@t{entry.n_turns}", f"m{entry.n_samples}@t1")


def to_json(entries: Sequence[Entry]) -> dict[str, Any]:
    """Everything the tables say, as plain data."""
    first = entries[0]
    K, S = first.n_turns, first.n_samples

    def row(entry: Entry) -> dict[str, Any]:
        minus = {name.key: difference(entry.scores, first.scores, name.key).to_json() for name in first.names}
        return {
            "label": entry.label,
            "method": entry.method or None,
            "stage": str(entry.stage.path),
            "truthful": entry.told,
            **{name.key: number(entry, name).to_json() for name in entry.names},
            "best_temperature": entry.best["best"] if entry.best else None,
            f"m{S}@t1 at best temperature": at_best(entry).to_json(),
            f"m1@t{K}-m{S}@t1": _minus_samples(entry).to_json(),
            f"m1@t{K}-m{S}@t1 at best temperature": _minus_best(entry).to_json(),
            "paired": {name.key: _paired(entry, name).to_json() for name in named(PAIRED, K, S)},
            "minus_first": minus if entry is not first else None,
            "trained_tokens": entry.trained_tokens,
            "drawn": {"replies": entry.drawn.replies, "tokens": entry.drawn.tokens},
            "compute": entry.metrics.get("compute"),
        }

    return {"first": first.label, "runs": [row(entry) for entry in entries]}


def _best_cell(entry: Entry) -> Cell:
    best = share_cell(at_best(entry))
    return Cell(best.text, f"T {entry.best['best']:g}", best.small) if entry.best else best


def _last(entry: Entry, way: str) -> dict[str, Any]:
    """The last entry of `compute`: after all turns or samples."""
    return ((entry.metrics.get("compute") or {}).get(way) or [{}])[-1]
