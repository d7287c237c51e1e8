"""A training set as TRL, LLaMA-Factory and verl read it, loaded again by `datasets`."""

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from rise.cli.main import app
from rise.dataset.example import Example
from rise.dataset.export import export, resampled
from rise.errors import ConfigError, DataError, EmptyStageError
from rise.jsonl import write_jsonl
from rise.trajectory import Message, to_json

SYSTEM, ASK, ATTEMPT, AGAIN = (
    Message("system", "Be exact."),
    Message("user", "2+2"),
    Message("assistant", "5"),
    Message("user", "No."),
)
FIRST = Example("p", 0, (SYSTEM, ASK), "5", "student", 0.0, 0.5, (1, 2), (3,))
SECOND = Example("p", 1, (SYSTEM, ASK, ATTEMPT, AGAIN), "so\n#### 4 ½", "self", 1.0, 1.5, (1, 2, 3), (4,))


def loaded(path):
    from datasets import load_dataset

    kind = "parquet" if path.suffix == ".parquet" else "json"
    return list(load_dataset(kind, data_files=str(path), split="train", cache_dir=str(path.parent / "cache")))


def test_trl_has_prompt_and_completion_and_the_weight_in_a_column(tmp_path):
    first, second = loaded(export([FIRST, SECOND], "trl", tmp_path))
    assert first["prompt"] == [{"role": "system", "content": "Be exact."}, {"role": "user", "content": "2+2"}]
    assert second["completion"] == [{"role": "assistant", "content": "so\n#### 4 ½"}]
    assert [m["role"] for m in second["prompt"]] == ["system", "user", "assistant", "user"]
    assert [r["weight"] for r in (first, second)] == [0.5, 1.5] and second["turn"] == 1


def test_llama_factory_has_sharegpt_and_its_declaration(tmp_path):
    path = export([FIRST, SECOND], "llama-factory", tmp_path, name="mine")
    first, second = loaded(path)
    assert second["conversations"] == [
        {"from": "human", "value": "2+2"},
        {"from": "gpt", "value": "5"},
        {"from": "human", "value": "No."},
        {"from": "gpt", "value": "so\n#### 4 ½"},
    ]
    assert first["system"] == "Be exact."
    declared = json.loads((tmp_path / "dataset_info.json").read_text())["mine"]
    assert (tmp_path / declared["file_name"]) == path and declared["formatting"] == "sharegpt"
    assert set(declared["columns"].values()) <= set(first)


def test_verl_has_parquet_in_which_only_the_last_message_trains(tmp_path):
    first, second = loaded(export([FIRST, SECOND], "verl", tmp_path))
    assert [m["trainable"] for m in second["messages"]] == [False, False, False, False, True]
    assert second["messages"][-1]["content"] == "so\n#### 4 ½" and first["weight"] == 0.5


def test_resampling_turns_weights_into_repeats():
    drawn = resampled([FIRST, SECOND] * 2000, seed=0)
    share = sum(e.turn == 1 for e in drawn) / len(drawn)
    assert len(drawn) == 4000 and {e.weight for e in drawn} == {1.0}
    assert abs(share - 0.75) < 0.03  # 1.5 of 2.0; three standard errors are 0.02
    assert resampled([FIRST, SECOND], seed=1) == resampled([FIRST, SECOND], seed=1)


def test_nothing_to_export_is_said(tmp_path):
    with pytest.raises(EmptyStageError):
        export([], "trl", tmp_path)


def test_the_command_writes_beside_the_examples_and_speaks_of_weights(tmp_path):
    stage = tmp_path / "run" / "round-1"
    stage.mkdir(parents=True)
    write_jsonl(stage / "examples.jsonl", map(to_json, [FIRST, SECOND]))
    done = CliRunner().invoke(app, ["export", str(stage), "--format", "trl"], catch_exceptions=False)
    assert (stage / "export-trl" / "run-round-1.jsonl").exists()
    assert "2 examples" in done.output and "Weights run from 0.5 to 1.5" in done.output
    with pytest.raises(ConfigError, match='Did you mean "trl"'):
        CliRunner().invoke(app, ["export", str(stage), "--format", "tlr"], catch_exceptions=False)
    with pytest.raises(ConfigError, match="RUN/round-1"):
        CliRunner().invoke(app, ["export", str(tmp_path), "--format", "trl"], catch_exceptions=False)


def test_what_is_pushed_down_cannot_be_drawn_in_proportion():
    with pytest.raises(DataError, match=r"weight -1: .*without --resample"):
        resampled([FIRST, replace(SECOND, weight=-1.0)], seed=0)
