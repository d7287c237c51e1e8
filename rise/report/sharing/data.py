"""A run's trajectories as a data set of a hub: parquet files, a record a problem, and a card that says where they are from."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import rise
from rise.errors import ConfigError, DataError, installing
from rise.evaluation.held_out import read_held_out
from rise.evaluation.markdown import inline
from rise.evaluation.printed import count
from rise.jsonl import dumps
from rise.recipe.config import RunConfig
from rise.recipe.public import placed, public, public_recipe
from rise.recipe.toml import load_recipe, plain_toml
from rise.report.sharing.files import Sent, text_file
from rise.runs import stages
from rise.runs.directory import RunDir, StageDir
from rise.runs.group import is_group, seed_hint
from rise.runs.model_card import PAPER, base_words
from rise.trajectory import Turn, read_relabelled, read_trajectories

TURN = ("reply", "verdict", "reward", "answer", "feedback", "source", "finish", "n_prompt_tokens", "n_reply_tokens")
"""Fields of a turn that are sent. Token ids are of one tokenizer, and stay here."""
KINDS = {
    "trajectories": "the student's own turns on training problems, and the better reply that was put behind them",
    "held-out": "everything asked of a stage's model on held-out problems: a run of turns, parallel first replies, the control",
}
"""Folder of the data set → what is in it."""


def data_files(path: Path, repository: str, licence: str | None = None) -> list[Sent]:
    """Parquet files of every stage of a run (or of the stage that is named), the card, the recipe.

    Raises `DataError` where there is no record yet, `ConfigError` without pyarrow.
    """
    run, found = _stages(path)
    config = placed(load_recipe(run.config), run.contents)
    files, counts = [], dict.fromkeys(KINDS, 0)
    for stage in found:
        for kind, rows in (("trajectories", _trajectories(stage)), ("held-out", _held_out(stage))):
            listed = list(rows)
            if listed:
                counts[kind] += len(listed)
                files.append(_parquet(f"{kind}/{stage.name}.parquet", kind, listed))
    if not files:
        raise DataError(f"{path} holds no trajectories and no held-out records yet: let a stage end first.")
    card = _card(config, repository, counts, licence)
    return [
        text_file("README.md", card),
        text_file("recipe.toml", plain_toml(public_recipe(config, run.contents))),
        *files,
    ]


def _stages(path: Path) -> tuple[RunDir, list[StageDir]]:
    if is_group(path):
        raise DataError(f"{path} is no single run.{seed_hint(path)}")
    if (path / "config.toml").exists():
        run = RunDir(path)
        return run, [run.stage(name) for name in stages.on_disk(path)]
    run = RunDir(path.parent)
    if not run.config.exists():
        raise DataError(f"{path} is no run and no stage of one: there is no config.toml in it or beside it.")
    return run, [StageDir(path)]


def _trajectories(stage: StageDir) -> Iterator[dict[str, Any]]:
    if not stage.trajectories.exists():
        return
    improved: dict[tuple[str, int], list[dict[str, Any]]] = {}
    if stage.relabelled.exists():
        for item in read_relabelled(stage.relabelled):
            better = {"turn": item.turn, **{name: getattr(item.reply, name) for name in ("reply", "verdict", "reward", "source")}}
            improved.setdefault((item.problem_id, item.sample), []).append(better)
    for t in read_trajectories(stage.trajectories):
        row = _problem(stage, t.problem_id, t.question, t.gold, t.fields)
        yield row | {
            "sample": t.sample,
            "turns": list(map(_turn, t.turns)),
            "improved": improved.get((t.problem_id, t.sample), []),
        }


def _held_out(stage: StageDir) -> Iterator[dict[str, Any]]:
    if not stage.held_out.exists():
        return
    for r in read_held_out(stage.held_out):
        row = _problem(stage, r.problem_id, r.question, r.gold, r.fields)
        yield row | {
            name: list(map(_turn, getattr(r, field)))
            for name, field in (("turns", "run"), ("samples", "samples"), ("other", "other"))
        }


def _problem(stage: StageDir, name: str, question: str, gold: str, fields: dict[str, Any]) -> dict[str, Any]:
    about = dumps(public(fields))
    return {"stage": stage.name, "problem_id": name, "question": question, "gold": gold, "fields": about}


def _turn(turn: Turn) -> dict[str, Any]:
    return {name: getattr(turn, name) for name in TURN}


def _parquet(path: str, kind: str, rows: list[dict[str, Any]]) -> Sent:
    """Rows as one parquet file, the types of its columns the same for every stage."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ModuleNotFoundError as error:
        raise ConfigError(f"rise push --data needs the package pyarrow: {installing('share')}.") from error
    text, whole, real = pa.string(), pa.int64(), pa.float64()
    kinds = {"reward": real, "n_prompt_tokens": whole, "n_reply_tokens": whole, "turn": whole}
    turns = pa.list_(pa.struct([(name, kinds.get(name, text)) for name in TURN]))
    better = pa.list_(pa.struct([(name, kinds.get(name, text)) for name in ("turn", "reply", "verdict", "reward", "source")]))
    columns = [(name, text) for name in ("stage", "problem_id", "question", "gold", "fields")]
    own = {
        "trajectories": [("sample", whole), ("turns", turns), ("improved", better)],
        "held-out": [("turns", turns), ("samples", turns), ("other", turns)],
    }
    plain = json.loads(json.dumps(rows))  # verdicts are texts
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(plain, schema=pa.schema([*columns, *own[kind]])), file)
    return Sent(path, file.getvalue(), json.dumps(rows, ensure_ascii=False), ours=False)


def _card(config: RunConfig, repository: str, counts: dict[str, int], licence: str | None) -> str:
    split = config.evaluate.split
    splits = {"trajectories": "train", "held-out": split}
    configs = [
        f"- config_name: {kind}\n  data_files:\n  - split: {splits[kind]}\n    path: {kind}/*.parquet"
        for kind, n in counts.items()
        if n
    ]
    front = [*([f"license: {licence}"] if licence else []), "tags:", "- rise", "- recursive-introspection", "configs:", *configs]
    listed = "\n".join(f"- `{kind}`: {count(n)} rows, {KINDS[kind]}." for kind, n in counts.items() if n)
    return f"""---
{chr(10).join(front)}
---

# {inline(config.name)}: turns of a model that corrects itself

Made by rise {rise.__version__} from a run of Recursive Introspection ([RISE, arXiv 2407.18219]({PAPER})). Base:
{inline(base_words(config))}. Task: {inline(config.task.name)}. recipe.toml holds every setting.

{listed}

A row is a problem: `stage`, `problem_id`, `question`, `gold`, `fields` (JSON), and `turns` in order, each with what was replied,
the verdict of the task's judge, the answer it read, and the feedback that followed.

## Limits

Replies are a model's, and mostly wrong: that is what they are for. Verdicts are a program's. Held-out problems are here with
their answers: whoever trains on them measures nothing on them any more.

## Licence

{f"{licence}. " if licence else ""}Questions and answers stand under the terms of the task's source; replies under those of the
model that wrote them.

## How to use it

```python
from datasets import load_dataset
turns = load_dataset("{repository}", "{next(kind for kind, n in counts.items() if n)}")
```
"""
