"""A training set in the formats of TRL, LLaMA-Factory and verl. `ABOUT` says what each format cannot hold."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from rise.dataset.example import Example
from rise.errors import ConfigError, DataError, EmptyStageError, installing
from rise.jsonl import write_jsonl, write_whole

Format = Literal["trl", "llama-factory", "verl"]

ABOUT: dict[str, str] = {
    "trl": "SFTTrainer trains on `completion` alone. It reads no weights: `weight` waits for a compute_loss of your own.",
    "llama-factory": (
        "sharegpt, declared in dataset_info.json. Train with mask_history: true, or the attempts shown train too. It reads no "
        "weights."
    ),
    "verl": (
        "For its SFT trainer. Attempts that are only shown carry trainable = false; a verl that does not know this field trains "
        "them too. It reads no weights."
    ),
}
"""What a user of each format must know."""


def trl(example: Example) -> dict[str, Any]:
    """Conversational prompt and completion: the loss is on the completion."""
    prompt = [{"role": m.role, "content": m.content} for m in example.prompt]
    return {"prompt": prompt, "completion": [{"role": "assistant", "content": example.reply}], **_facts(example)}


def llama_factory(example: Example) -> dict[str, Any]:
    """sharegpt: human and gpt in turn, the system text beside them (empty where there is none)."""
    names = {"user": "human", "assistant": "gpt"}
    said = [{"from": names[m.role], "value": m.content} for m in example.prompt if m.role != "system"]
    system = "\n".join(m.content for m in example.prompt if m.role == "system")
    return {"conversations": [*said, {"from": "gpt", "value": example.reply}], "system": system, **_facts(example)}


def verl(example: Example) -> dict[str, Any]:
    """Messages, of which only the last trains."""
    shown = [{"role": m.role, "content": m.content, "trainable": False} for m in example.prompt]
    return {"messages": [*shown, {"role": "assistant", "content": example.reply, "trainable": True}], **_facts(example)}


ROWS: dict[str, Callable[[Example], dict[str, Any]]] = {"trl": trl, "llama-factory": llama_factory, "verl": verl}


def export(examples: Sequence[Example], format: Format, out: Path, *, name: str = "rise", resample: int | None = None) -> Path:
    """Write the examples into the directory `out`; returns the file.

    Prompts and replies travel as text: the other program renders them with its own template. `resample` is a seed: as
    many examples are drawn with replacement, with probability in proportion to weight, so that a trainer without weights
    minimises the weighted loss on average. Raises `EmptyStageError` where there is nothing to write.
    """
    if not examples:
        raise EmptyStageError("no example to export: the file is empty.")
    if resample is not None:
        examples = resampled(examples, resample)
    rows = [ROWS[format](example) for example in examples]
    out.mkdir(parents=True, exist_ok=True)
    if format == "verl":
        return _write_parquet(rows, out / f"{name}.parquet")
    path = out / f"{name}.jsonl"
    write_jsonl(path, rows)
    if format == "llama-factory":
        columns = {"messages": "conversations", "system": "system"}
        declared = {name: {"file_name": path.name, "formatting": "sharegpt", "columns": columns}}
        write_whole(out / "dataset_info.json", json.dumps(declared, indent=2) + "\n")
    return path


def resampled(examples: Sequence[Example], seed: int) -> list[Example]:
    """As many examples, drawn in proportion to their weights, each then of weight 1. Raises `DataError` for a negative one."""
    pushed = next((example for example in examples if example.weight < 0), None)
    if pushed is not None:
        raise DataError(
            f"the example of problem {pushed.problem_id}, turn {pushed.turn} has weight {pushed.weight:g}: what is pushed down "
            "cannot be drawn in proportion to its weight. Export without --resample, and use the column `weight`."
        )
    drawn = random.Random(f"export-{seed}").choices(examples, [example.weight for example in examples], k=len(examples))
    return [replace(example, weight=1.0) for example in drawn]


def _facts(example: Example) -> dict[str, Any]:
    """Columns for what the other formats have no place for."""
    return {
        "weight": float(example.weight),
        "reward": float(example.reward),
        "problem_id": example.problem_id,
        "turn": example.turn,
        "source": example.source,
    }


def _write_parquet(rows: list[dict[str, Any]], path: Path) -> Path:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ConfigError(f"--format verl writes parquet, which needs the package pyarrow: {installing('export')}.") from error
    partial = path.with_name(path.name + ".partial")
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), partial)
    partial.replace(path)
    return path
