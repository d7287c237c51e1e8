"""Weights that are not those of the model that their config.json describes, or no numbers, are refused in one message."""

import json
import re
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from rise.errors import ModelError
from rise.play.pretrained import check_files
from rise.policies import make_policy
from rise.runs.checks import check_continues
from rise.training.model import load_model

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def model(nano_dir, tmp_path):
    return Path(shutil.copytree(nano_dir, tmp_path / "model"))


def rewrite(model, change):
    weights = {name: w.clone() for name, w in load_file(model / "model.safetensors").items()}
    change(weights)
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("model.layers.1.self_attn.q_norm.weight", "Fetch the config"),
        ("model.layers.0.self_attn.q_proj.lora_A.weight", "Merge the adapters"),
        ("model.layers.0.mlp.up_proj.weight_scale_inv", "Fetch the config"),
        ("model.embed_tokens.weight_scale", "Fetch the config"),
    ],
)
def test_whatever_stands_in_a_layer_of_the_model_and_has_no_place_is_named_before_the_run_too(more, words, model):
    rewrite(model, lambda weights: weights.update({more: weights["model.norm.weight"].clone()}))
    for look in (load_model, lambda path: check_continues(path, "model.path")):
        with pytest.raises(ModelError, match=rf"1 weights in its files have no place .*: {re.escape(more)}\. {words}"):
            look(model)


def test_what_a_layer_computes_by_itself_may_stand_in_the_files(model):
    names = ["model.layers.0.self_attn.rotary_emb.inv_freq", "model.layers.1.attn.masked_bias", "model.layers.1.attn.bias"]
    rewrite(model, lambda weights: weights.update({name: weights["model.norm.weight"].clone() for name in names}))
    check_continues(model, "model.path")
    load_model(model)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_one_weight_that_is_no_number_is_named(value, model):
    rewrite(model, lambda weights: weights["model.layers.1.mlp.up_proj.weight"].__setitem__((0, 0), value))
    for use in (load_model, lambda path: make_policy(str(path))):
        with pytest.raises(ModelError, match=r"model\.layers\.1\.mlp\.up_proj\.weight holds what is no finite number in float32"):
            use(model)


def test_a_weight_that_a_short_dtype_cannot_hold_is_named(model):
    rewrite(model, lambda weights: weights["model.norm.weight"].__setitem__(0, 70_000.0))
    load_model(model)
    with pytest.raises(ModelError, match=r"model\.norm\.weight holds .* in float16.*another dtype"):
        load_model(model, dtype="float16")


def test_a_quantisation_that_transformers_would_skip_is_refused(model):
    config = json.loads((model / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "modelopt", "quant_algo": "FP8"}
    (model / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=r"its weights are quantised, and cannot be read here \(Unknown quant.*modelopt\)"):
        load_model(model)


@pytest.mark.parametrize(("kind", "called"), [("float8_e4m3fn", "F8_E4M3"), ("int8", "I8")])
def test_weights_in_eight_bits_need_a_config_that_says_how(kind, called, model):
    import torch

    name = "model.layers.0.mlp.down_proj.weight"
    rewrite(model, lambda weights: weights.update({name: weights[name].to(getattr(torch, kind))}))
    for look in (load_model, lambda path: check_files(path, "model.path")):
        with pytest.raises(ModelError, match=rf"holds {re.escape(name)} as {called}, which is quantised"):
            look(model)
