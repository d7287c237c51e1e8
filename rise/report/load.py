"""A run as tables and a figure for notebooks: `rise.load("runs/x").turns()`. Reads what the stages wrote."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rise.dataset.example import read_examples
from rise.errors import ConfigError, DataError, installing
from rise.evaluation.headline import HEADLINE, PAIRED, REPLIES, Difference, Metric, named, sizes
from rise.evaluation.held_out import read_held_out
from rise.runs.directory import RunDir, StageDir
from rise.runs.group import GroupDir, is_group
from rise.runs.stages import on_disk, order
from rise.trajectory import Turn, read_trajectories

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class LoadedRun:
    """A run directory, finished or under way. Tables are made anew at each call, so they follow a run that goes on."""

    path: Path

    @property
    def stages(self) -> list[str]:
        """Names of the stages on disk, in the order in which they ran."""
        return on_disk(self.path)

    def turns(self) -> pandas.DataFrame:
        """One row a reply: stage, kind, problem_id, sample, turn (from 1), reply, answer, verdict, right, reward, tokens.

        `kind` is `run` (the five turns), `parallel` (further first replies), `other` (shown another problem's attempt),
        `beyond` (after the model's own stop), `internalised` (the control of that name) or `trajectory` (the student on training
        problems).
        """
        return _table(self.rows_of_turns(), self._columns(TURN_COLUMNS))

    def metrics(self) -> pandas.DataFrame:
        """One row a stage and metric: value, low, high (95 % interval) and n. Differences are in shares, not points."""
        return _table(self.rows_of_metrics(), self._columns(("stage", "metric", "value", "low", "high", "n")))

    def rows_of_metrics(self) -> Iterator[dict[str, Any]]:
        """The rows of `metrics`."""
        for stage in RunDir(self.path).stages():
            found = stage.read_metrics()
            entries: list[Metric | Difference] = [*HEADLINE, *REPLIES, *PAIRED]
            for name in named(entries, *sizes(found)):
                estimate = name.find(found)
                if estimate:
                    yield {"stage": stage.name, "metric": name.key, **estimate}

    def examples(self) -> pandas.DataFrame:
        """One row a training example: stage, problem_id, turn, source, reply, reward, weight, verdict, number of tokens."""
        return _table(self.rows_of_examples(), self._columns(EXAMPLE_COLUMNS))

    def rows_of_examples(self) -> Iterator[dict[str, Any]]:
        """The rows of `examples`."""
        for stage in self._stages():
            for example in read_examples(stage.examples) if stage.examples.exists() else ():
                verdict = example.verdict.value if example.verdict else None
                about = {"stage": stage.name, "verdict": verdict, "n_tokens": len(example.reply_ids)}
                yield {**{key: getattr(example, key) for key in EXAMPLE_COLUMNS if key not in about}, **about}

    def plot_turns(self) -> Plot:
        """Accuracy by turn for each stage, the first figure of the report. A notebook shows it."""
        from rise.report.collect import collect
        from rise.report.result_figures import turns_figure

        figure = turns_figure(collect(self.path))
        if figure is None:
            raise DataError(f"{self.path}: no stage has been measured yet, so there is nothing to draw.")
        return Plot(figure.standalone)

    def _columns(self, columns: Sequence[str]) -> Sequence[str]:
        return columns

    def _stages(self) -> list[StageDir]:
        return [RunDir(self.path).stage(name) for name in self.stages]

    def rows_of_turns(self) -> Iterator[dict[str, Any]]:
        """The rows of `turns`."""
        for stage in self._stages():
            if stage.trajectories.exists():
                for t in read_trajectories(stage.trajectories):
                    yield from _rows(stage.name, "trajectory", t.problem_id, t.sample, t.turns)
            if stage.held_out.exists():
                for record in read_held_out(stage.held_out):
                    yield from _rows(stage.name, "run", record.problem_id, 0, record.run)
                    for sample, turn in enumerate(record.samples, 1):
                        yield from _rows(stage.name, "parallel", record.problem_id, sample, [turn])
                    yield from _rows(stage.name, "other", record.problem_id, 0, record.other, first=2)
                    yield from _rows(stage.name, "beyond", record.problem_id, 0, record.beyond, first=len(record.run) + 1)
                    for sample, turn in enumerate(record.internalised):
                        yield from _rows(stage.name, "internalised", record.problem_id, sample, [turn])


@dataclass(frozen=True)
class LoadedSeeds(LoadedRun):
    """The directory of several seeds: the same tables with a column `seed` in front."""

    @property
    def runs(self) -> dict[int, LoadedRun]:
        """Each seed's run, of those that have begun."""
        group = GroupDir(self.path)
        return {seed: LoadedRun(group.seed(seed).path) for seed in group.begun()}

    @property
    def stages(self) -> list[str]:
        """Names of the stages on disk of any seed, in the order in which they ran."""
        return sorted({name for run in self.runs.values() for name in run.stages}, key=order)

    def rows_of_turns(self) -> Iterator[dict[str, Any]]:
        return ({"seed": seed, **row} for seed, run in self.runs.items() for row in run.rows_of_turns())

    def rows_of_metrics(self) -> Iterator[dict[str, Any]]:
        return ({"seed": seed, **row} for seed, run in self.runs.items() for row in run.rows_of_metrics())

    def rows_of_examples(self) -> Iterator[dict[str, Any]]:
        return ({"seed": seed, **row} for seed, run in self.runs.items() for row in run.rows_of_examples())

    def _columns(self, columns: Sequence[str]) -> Sequence[str]:
        return ("seed", *columns)

    def over_seeds(self) -> pandas.DataFrame:
        """One row a stage and metric: the mean over seeds, both 95 % intervals, and in how many seeds it is surely above zero."""
        from rise.report.collect_seeds import collect_seeds

        rows = []
        for over in collect_seeds(self.path).over:
            for key, number in over.numbers.items():
                seeds, problems = number.seeds, number.problems
                ends = {"low": seeds.low, "high": seeds.high, "low_problems": problems.low, "high_problems": problems.high}
                counts = {"n_seeds": seeds.n, "n_above": number.n_above, "n_problems": problems.n}
                rows.append({"stage": over.name, "metric": key, "mean": seeds.value, **ends, **counts})
        return _table(rows, OVER_COLUMNS)

    def plot_turns(self) -> Plot:
        """Accuracy by turn over seeds, the first figure of their report. A notebook shows it."""
        from rise.report.collect_seeds import collect_seeds
        from rise.report.seed_figures import seeds_figure

        figure = seeds_figure(collect_seeds(self.path))
        if figure is None:
            raise DataError(f"{self.path}: no stage has been measured yet, so there is nothing to draw.")
        return Plot(figure.standalone)


OVER_COLUMNS = ("stage", "metric", "mean", "low", "high", "low_problems", "high_problems", "n_seeds", "n_above", "n_problems")
TURN_COLUMNS = (
    "stage",
    "kind",
    "problem_id",
    "sample",
    "turn",
    "reply",
    "answer",
    "verdict",
    "right",
    "reward",
    "n_prompt_tokens",
    "n_reply_tokens",
)
EXAMPLE_COLUMNS = ("stage", "problem_id", "turn", "source", "reply", "reward", "weight", "verdict", "n_tokens")


@dataclass(frozen=True)
class Plot:
    """A picture that a notebook draws by itself."""

    svg: str

    def __repr__(self) -> str:
        return f"Plot({len(self.svg):,} characters of SVG)"

    def _repr_svg_(self) -> str:
        return self.svg

    def save(self, path: str | Path) -> None:
        """Write the SVG."""
        Path(path).write_text(self.svg, encoding="utf-8")


def load(path: str | Path) -> LoadedRun:
    """The run in a directory, or the seeds in one (`LoadedSeeds`). Raises `DataError` where there is neither."""
    if is_group(Path(path)):
        return LoadedSeeds(Path(path))
    run = RunDir(Path(path))
    if not run.config.exists():
        raise DataError(f"{path} is no run directory: it holds no config.toml. Give what `rise run --out` wrote.")
    return LoadedRun(run.path)


def _rows(stage: str, kind: str, problem_id: str, sample: int, turns: Sequence[Turn], first: int = 1) -> Iterator[dict[str, Any]]:
    for k, turn in enumerate(turns, first):
        plain = {field.name: getattr(turn, field.name) for field in dataclasses.fields(turn)}
        verdict = turn.verdict.value if turn.verdict else None
        about = {"stage": stage, "kind": kind, "problem_id": problem_id, "sample": sample, "turn": k}
        yield {**plain, **about, "verdict": verdict, "right": turn.right}


def _table(rows: Any, columns: Sequence[str]) -> pandas.DataFrame:
    try:
        import pandas
    except ModuleNotFoundError as error:
        raise ConfigError(f"tables of a run need the package pandas: {installing('notebook')}, or pip install pandas.") from error
    return pandas.DataFrame(list(rows), columns=list(columns))
