"""`rise export`: a round's training set for another trainer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def export(
    stage: Annotated[Path, typer.Argument(help="A stage of a run, such as RUN/round-1, or a file of examples.")],
    format_: Annotated[str, typer.Option("--format", help="trl, llama-factory or verl.")],
    out: Annotated[Path | None, typer.Option(help="Directory to write; by default export-FORMAT in the stage.")] = None,
    resample: Annotated[
        int | None, typer.Option(help="Seed: draw as many examples in proportion to their weights, for trainers without weights.")
    ] = None,
) -> None:
    """Write the examples a stage trained on in the format of another trainer, as text.

    None of the three reads weights; each example carries its own in a column, and --resample turns weights into repeats.
    """
    from rise.dataset.example import read_examples
    from rise.dataset.export import ABOUT
    from rise.dataset.export import export as write
    from rise.errors import ConfigError, did_you_mean
    from rise.runs.directory import StageDir

    if format_ not in ABOUT:
        raise ConfigError(f"--format {format_} is none of the three. {did_you_mean(format_, ABOUT)}")
    path = stage if stage.is_file() else StageDir(stage).examples
    if not path.exists():
        raise ConfigError(f"{path}: no such file. Name a stage that has trained, such as RUN/round-1.")
    examples = list(read_examples(path))
    folder = path.parent
    name = f"{folder.parent.name}-{folder.name}" if path.name == "examples.jsonl" else path.stem
    written = write(examples, format_, out or folder / f"export-{format_}", name=name, resample=resample)  # type: ignore[arg-type]
    lightest, heaviest = (f(e.weight for e in examples) for f in (min, max))
    print(f"{written}: {len(examples)} examples. {ABOUT[format_]}")
    if resample is None and heaviest > lightest:
        print(f"Weights run from {lightest:.3g} to {heaviest:.3g}; --resample 0 makes repeats of them.")
