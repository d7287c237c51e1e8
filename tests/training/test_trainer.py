"""Training: the same numbers however the batch is cut, what is dropped, what is written. CPU, float32."""

import copy
import json
import os
import shutil
from dataclasses import replace

import pytest
from training import close, examples, loss_and_gradient, one_step, weights_of

from rise.errors import ConfigError, DataError, EmptyStageError, ModelError, RiseError
from rise.recipe.config import TrainConfig
from rise.training import train

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def data(renderer):
    return examples(renderer)


@pytest.fixture(scope="module")
def reference(nano_dir, data, tmp_path_factory):
    """Loss and gradient with one row a line, one line a batch's row: no packing, no merging, one forward pass."""
    out = tmp_path_factory.mktemp("reference") / "out"
    return loss_and_gradient(data, nano_dir, out, merge=False, line_length=8, micro_batch_tokens=10**6)


CUTS = {
    "merged": {"merge": True, "line_length": 8, "micro_batch_tokens": 10**6},
    "packed": {"merge": False, "line_length": 512, "micro_batch_tokens": 10**6},
    "merged and packed": {"merge": True, "line_length": 512, "micro_batch_tokens": 10**6},
    "accumulated over 2": {"merge": False, "line_length": 8, "micro_batch_tokens": 300},
    "accumulated over 4": {"merge": False, "line_length": 8, "micro_batch_tokens": 70},
    "packed and accumulated": {"merge": True, "line_length": 64, "micro_batch_tokens": 64},
}


@pytest.mark.parametrize("cut", CUTS)
def test_the_same_loss_and_gradient_however_the_batch_is_cut(cut, reference, data, nano_dir, tmp_path):
    loss, gradient = loss_and_gradient(data, nano_dir, tmp_path / "out", **CUTS[cut])
    assert loss == pytest.approx(reference[0], abs=1e-5)
    assert close(gradient, reference[1], 1e-5)
    assert max(g.abs().max() for g in gradient.values()) > 0.1  # there is something to compare


def test_the_cuts_above_really_accumulate(data, nano_dir, tmp_path):
    counts = [
        train(data, nano_dir, tmp_path / str(i), one_step(**CUTS[name]))["accumulation"]
        for i, name in enumerate(["packed", "accumulated over 2", "accumulated over 4"])
    ]
    assert counts == [1, 2, 4]


@pytest.mark.parametrize(
    "precision", [{}, {"masters": True}, {"arguments": {"bf16": True}}], ids=["float32", "bfloat16", "autocast"]
)
def test_a_model_whose_packing_leaks_raises_before_it_trains(precision, renderer, data, tmp_path):
    """A real architecture that cannot be packed: with ALiBi, Falcon takes distances from the mask, not from the positions."""
    import torch
    from transformers import FalconConfig, FalconForCausalLM

    torch.manual_seed(0)
    shape = FalconConfig(
        vocab_size=len(renderer.tokenizer),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        alibi=True,
        eos_token_id=2,
        initializer_range=0.3,
    )
    leaky = tmp_path / "leaky"
    FalconForCausalLM(shape).save_pretrained(leaky)
    renderer.tokenizer.save_pretrained(leaky)
    with pytest.raises(RiseError, match="packing is not exact"):
        train(data, leaky, tmp_path / "out", one_step(line_length=512, **precision))
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_loads_with_plain_transformers_and_says_what_it_is(nano_dir, data, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from rise.training.weights import weights_hash

    out = tmp_path / "checkpoint"
    facts = train(data, nano_dir, out, TrainConfig(epochs=1, batch_size=4), card={"task": "arithmetic"})
    assert facts["n_steps"] > 1 and facts["n_weight_0"] == 0
    model, tokenizer = AutoModelForCausalLM.from_pretrained(out), AutoTokenizer.from_pretrained(out)
    assert model.config.use_cache is True and tokenizer.chat_template
    card = json.loads((out / "rise.json").read_text())
    assert card == {"task": "arithmetic", "weights": weights_hash(out)}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint"]  # nothing left beside it


def test_training_lowers_the_loss_of_what_it_trains_on(nano_dir, data, tmp_path):
    logs = []
    settings = TrainConfig(epochs=15, batch_size=4, learning_rate=1e-2, arguments={"logging_steps": 1})
    train([replace(e, weight=1.0) for e in data], nano_dir, tmp_path / "out", settings, on_log=logs.append)
    assert logs[-1]["loss_plain"] < 0.7 * logs[0]["loss_plain"]
    assert logs[-1]["step"] == logs[-1]["steps"] == len(logs)


def test_a_single_step_trains_although_warming_up_starts_from_nothing(nano_dir, data, tmp_path):
    settings = TrainConfig(max_steps=1, batch_size=100, learning_rate=1e-2)
    assert settings.warmup_ratio > 0
    train(data, nano_dir, tmp_path / "out", settings)
    assert not close(weights_of(nano_dir), weights_of(tmp_path / "out"), 1e-3)


def broken_model(nano_dir, path, value):
    from safetensors.torch import load_file, save_file

    shutil.copytree(nano_dir, path)
    weights = load_file(path / "model.safetensors")
    weights["model.norm.weight"][0] = value
    save_file(weights, path / "model.safetensors", metadata={"format": "pt"})
    return path


def test_a_loss_that_is_no_number_stops_training_with_a_way_out(data, nano_dir, tmp_path):
    bad = broken_model(nano_dir, tmp_path / "bad", 3e38)  # finite, as loading wants it, and what it is multiplied with is not
    with pytest.raises(RiseError, match=r"loss became nan at step 1\. Lower train\.learning_rate"):
        train(data, bad, tmp_path / "out", TrainConfig(line_length=8))  # unpacked: the packing check comes first otherwise
    with pytest.raises(RiseError):
        train(data, bad, tmp_path / "out", TrainConfig())
    assert not (tmp_path / "out").exists()


def test_weights_that_explode_at_the_last_step_are_not_saved(data, nano_dir, tmp_path):
    with pytest.raises(RiseError, match="no longer a number"):
        train([replace(e, weight=1e6) for e in data], nano_dir, tmp_path / "out", one_step(learning_rate=1e38))
    assert not (tmp_path / "out").exists()


def test_nothing_to_train_on_and_weights_that_are_none(data, nano_dir, tmp_path):
    with pytest.raises(EmptyStageError, match="none was given"):
        train([], nano_dir, tmp_path / "out", TrainConfig())
    with pytest.raises(EmptyStageError, match="14 of weight 0"):
        train([replace(e, weight=0.0) for e in data], nano_dir, tmp_path / "out", TrainConfig())
    for weight, floor in ((-1.0, 0.0), (float("nan"), 0.01), (float("inf"), 0.01)):
        with pytest.raises(DataError, match="has weight"):
            train([replace(data[0], weight=weight)], nano_dir, tmp_path / "out", TrainConfig(loss={"floor": floor}))


def test_examples_of_weight_0_are_counted(data, nano_dir, tmp_path):
    facts = train([*data, replace(data[0], weight=0.0)], nano_dir, tmp_path / "out", one_step())
    assert facts["n_weight_0"] == 1


def test_a_directory_without_a_model_says_so(data, tmp_path):
    with pytest.raises(ModelError, match=r"holds no config\.json"):
        train(data, tmp_path, tmp_path / "out", TrainConfig())


def test_a_checkpoint_that_cannot_be_written_whole_is_no_checkpoint(data, nano_dir, tmp_path, monkeypatch):
    import transformers

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(transformers.PreTrainedTokenizerBase, "save_pretrained", full)
    with pytest.raises(RiseError, match=r"no room for the checkpoint .* \(No space left on device\)\. It needs about 0\.1 MiB"):
        train(data, nano_dir, tmp_path / "out", one_step())
    assert not (tmp_path / "out").exists() and not (tmp_path / "out.partial").exists()


def test_a_folder_of_somebody_elses_is_neither_replaced_nor_cleared(nano_dir, data, tmp_path):
    """`training/` beside the output may be the user's, and so may the output itself."""
    own, home = tmp_path / "training" / "notes.txt", tmp_path / "home" / "config.json"
    for file in (own, home):
        file.parent.mkdir()
        file.write_text("{}")
    with pytest.raises(ConfigError, match=r"home exists and is no checkpoint"):
        train(data, nano_dir, home.parent, one_step())
    train(data, nano_dir, tmp_path / "out", one_step(save_steps=1))
    train(data, nano_dir, tmp_path / "out", one_step())  # one of ours is replaced
    assert own.exists() and home.exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["home", "out", "training"]


def test_out_of_memory_names_the_setting_to_lower(nano_dir, data, tmp_path, monkeypatch):
    import torch

    def full(*args):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("rise.training.trainer.batch_loss", full)
    with pytest.raises(RiseError, match=r"train\.micro_batch_tokens = 8192"):
        train(data, nano_dir, tmp_path / "out", one_step())


def test_a_tokenizer_with_several_chat_templates_is_saved(nano_dir, tmp_path):
    """transformers puts them in a folder of their own."""
    from rise.training.model import load_model, save_checkpoint

    model, renderer = load_model(nano_dir)
    tokenizer = copy.deepcopy(renderer.tokenizer)
    tokenizer.chat_template = {"default": tokenizer.chat_template, "tool_use": tokenizer.chat_template}
    save_checkpoint(model, tokenizer, tmp_path / "out")
    assert any(p.is_dir() for p in (tmp_path / "out").iterdir())


def test_weights_may_be_read_by_whoever_may_read_the_rest(nano_dir, tmp_path):
    from rise.training.model import load_model, save_checkpoint

    before = os.umask(0o022)
    try:
        model, renderer = load_model(nano_dir)
        save_checkpoint(model, renderer.tokenizer, tmp_path / "out")
    finally:
        os.umask(before)
    assert {p.stat().st_mode & 0o777 for p in (tmp_path / "out").iterdir()} == {0o644}


def test_what_is_too_long_is_dropped_and_what_was_cut_is_counted(nano_dir, data, tmp_path):
    longest = max(len(e.prompt_ids) + len(e.reply_ids) for e in data)
    n_longest = sum(len(e.prompt_ids) + len(e.reply_ids) == longest for e in data)
    cut = [replace(data[0], finish="length"), *data[1:]]
    facts = train(cut, nano_dir, tmp_path / "out", one_step(max_length=longest - 1))
    assert (facts["n_too_long"], facts["n_truncated"]) == (n_longest, 1)
    long = [e for e in data if len(e.prompt_ids) + len(e.reply_ids) > 8]
    with pytest.raises(EmptyStageError, match=rf"{len(long)} too long; train\.max_length = 8"):
        train(long, nano_dir, tmp_path / "none", one_step(max_length=8))
