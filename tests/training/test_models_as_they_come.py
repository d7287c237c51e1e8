"""Model directories that are not what they should be are refused in one message, before anything is drawn or trained."""

import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from busy import within
from safetensors.torch import load_file, save_file
from toys import ALPHABET, TINY
from training import examples, one_step

from rise.errors import DataError, ModelError
from rise.play.pretrained import check_files, find
from rise.play.render import Renderer
from rise.policies import make_policy
from rise.training import train
from rise.training.model import load_model

pytestmark = pytest.mark.usefixtures("one_thread")

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 538090408\n"


@pytest.fixture
def model(nano_dir, tmp_path):
    return Path(shutil.copytree(nano_dir, tmp_path / "model"))


def cut(path, share=0.5):
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])


def edit(path, **settings):
    path.write_text(json.dumps({**json.loads(path.read_text()), **settings}))


# ---- vocabularies --------------------------------------------------------------------------------------------------------


def test_more_tokens_than_embeddings_are_refused_with_both_sizes(model):
    tokenizer = Renderer.load(model).tokenizer
    n = len(tokenizer)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|one|>", "<|two|>"]})
    tokenizer.save_pretrained(model)
    with pytest.raises(
        ModelError, match=rf"its tokenizer has {n + 2} tokens, the last <\|two\|>, but the model has {n} embeddings"
    ):
        load_model(model)


def test_more_embeddings_than_tokens_are_padding(model):
    net, renderer = load_model(model)
    net.resize_token_embeddings(len(renderer.tokenizer) + 13)
    net.save_pretrained(model)
    assert load_model(model)[0].get_input_embeddings().weight.shape[0] == len(renderer.tokenizer) + 13


# ---- files ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json"])
def test_a_pointer_of_git_lfs_says_so(name, model):
    (model / name).write_text(POINTER)
    with pytest.raises(ModelError, match=rf"{name} is a pointer of Git LFS.*git lfs pull"):
        load_model(model)
    with pytest.raises(ModelError, match="git lfs pull"):
        check_files(model, "model.path")


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_weights_cut_short_say_so(share, model):
    cut(model / "model.safetensors", share)
    for look in (load_model, lambda path: check_files(path, str(path))):
        with pytest.raises(ModelError, match=r"model\.safetensors.*(was cut short|is no safetensors file)"):
            look(model)


def test_a_part_of_the_weights_that_is_not_there(model):
    net, _ = load_model(model)
    (model / "model.safetensors").unlink()
    net.save_pretrained(model, max_shard_size="40KB")
    lost = sorted(model.glob("model-*.safetensors"))[1]
    lost.unlink()
    with pytest.raises(ModelError, match=f"weight files are missing, such as {lost.name}"):
        check_files(model, "model.path")
    with pytest.raises(ModelError):
        load_model(model)


def shards(model):
    net, _ = load_model(model)
    (model / "model.safetensors").unlink()
    net.save_pretrained(model, max_shard_size="40KB")
    return sorted(model.glob("model-*.safetensors"))


def without_index(model):
    shards(model)
    (model / "model.safetensors.index.json").unlink()


def index_of_nothing(model):
    shards(model)
    (model / "model.safetensors.index.json").write_text("[]")


def pieces_of_torch(model):
    (model / "model.safetensors").unlink()
    (model / "pytorch_model.bin.index.json").write_text('{"weight_map": {"a": "pytorch_model-00001-of-00002.bin"}}')


def adapters(model):
    (model / "model.safetensors").unlink()
    (model / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    save_file({}, model / "adapter_model.safetensors")


def link(model):
    (model / "model.safetensors").unlink()
    (model / "model.safetensors").symlink_to("../blobs/4d7a2146")


def empty(model):
    (model / "model.safetensors").unlink()
    (model / "pytorch_model.bin").touch()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (without_index, r"pieces of some without their index \(model\.safetensors\.index\.json\)"),
        (index_of_nothing, "is no index of weights"),
        (pieces_of_torch, "1 of 1 weight files are missing, such as pytorch_model-00001-of-00002.bin"),
        (adapters, "holds adapters .* Merge them"),
        (link, r"model\.safetensors is a link to \.\./blobs/4d7a2146, which is not there"),
        (empty, r"pytorch_model\.bin is empty"),
        (lambda model: (model / "model.safetensors").rename(model / "consolidated.safetensors"), "It holds consolidated"),
        (lambda model: (model / "tokenizer.json").write_text("\ufeff{}"), r"tokenizer\.json is no JSON file in UTF-8"),
        (lambda model: (model / "config.json").write_bytes("{}".encode("utf-16")), r"config\.json is no JSON file in UTF-8"),
    ],
)
def test_what_no_model_can_be_read_from_says_what_is_there_instead(spoil, words, model):
    spoil(model)
    for look in (load_model, lambda path: check_files(path, str(path))):
        with pytest.raises(ModelError, match=words) as refused:
            look(model)
        assert len(str(refused.value).splitlines()) == 1


def test_an_index_beside_whole_weights_is_not_asked(model):
    """As a hub's folder has it of which one kind of weights was fetched."""
    for name in ("model.safetensors.index.json", "pytorch_model.bin.index.json"):
        (model / name).write_text('{"metadata": {}, "weight_map": {"a": "none-00001-of-00002.bin"}}')
    check_files(model, "model.path")
    load_model(model)


@pytest.mark.parametrize("method", ["gptq", "awq"])
def test_quantised_weights_without_their_package(method, model):
    edit(model / "config.json", quantization_config={"quant_method": method, "bits": 4, "group_size": 128})
    with pytest.raises(ModelError) as caught:
        load_model(model)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("what", ["tokenizer.json", "tokenizer_config.json", "config.json"])
def test_a_file_that_is_no_json(what, model):
    (model / what).write_text('{"model": ')
    with pytest.raises(ModelError):
        load_model(model)


def test_weights_of_torch_cut_short_say_so(model):
    import torch

    torch.save(load_file(model / "model.safetensors"), model / "pytorch_model.bin")
    (model / "model.safetensors").unlink()
    load_model(model)
    cut(model / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"pytorch_model\.bin \([\d,]+ bytes\) was cut short"):
        load_model(model)


@pytest.mark.parametrize(("name", "more"), [("model.safetensors", ""), ("m.gguf", ', and set model.gguf_file = "m.gguf"')])
def test_a_file_in_place_of_its_folder_is_called_one(name, more, model):
    (model / name).touch()
    with pytest.raises(
        ModelError, match=re.escape(f"is a file, and a model is read from the folder with all its files: give {model}{more}.")
    ):
        make_policy(str(model / name))


# ---- weights -------------------------------------------------------------------------------------------------------------


def without(model, *starts):
    weights = load_file(model / "model.safetensors")
    left = {name: w for name, w in weights.items() if not name.startswith(starts)}
    save_file(left, model / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize("start", ["model.layers.1.", "model.norm", "model.layers.0.self_attn.q_proj", "model.embed_tokens"])
def test_a_weight_that_is_missing_is_named_by_every_command(start, model, renderer, tmp_path):
    without(model, start)
    for use in (
        load_model,
        lambda path: make_policy(str(path)),
        lambda path: train(examples(renderer), path, tmp_path / "out", one_step()),
    ):
        with pytest.raises(ModelError, match=start.replace(".", r"\.")):
            use(model)
    assert not (tmp_path / "out").exists()


def test_a_tied_output_layer_may_be_absent_and_an_untied_one_may_not(model):
    assert "lm_head.weight" not in load_file(model / "model.safetensors")
    load_model(model)
    edit(model / "config.json", tie_word_embeddings=False)
    with pytest.raises(ModelError, match=r"1 of the model's weights are not in its files: lm_head\.weight"):
        load_model(model)


def test_weights_that_the_config_has_no_place_for_are_named(model):
    """Left out, as transformers does with a warning, the model would be another."""
    edit(model / "config.json", num_hidden_layers=1, layer_types=None)
    with pytest.raises(ModelError, match=r"9 weights in its files have no place .*: model\.layers\.1\."):
        load_model(model)
    edit(model / "config.json", num_hidden_layers=2)
    weights = load_file(model / "model.safetensors")
    for name in ("model.layers.0.self_attn.rotary_emb.inv_freq", "model.layers.9.eh_proj.weight"):
        weights[name] = weights["model.norm.weight"].clone()
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
    load_model(model)
    weights["model.layers.0.self_attn.q_proj.bias"] = weights["model.norm.weight"].clone()
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"1 weights .*: model\.layers\.0\.self_attn\.q_proj\.bias\. Fetch the config\.json"):
        load_model(model)


def test_weights_of_other_shapes_than_the_config_says(model):
    edit(model / "config.json", intermediate_size=48)
    with pytest.raises(ModelError, match=r"its weights have other shapes than its config\.json says"):
        load_model(model)


# ---- examples of another model -------------------------------------------------------------------------------------------


def test_examples_of_another_tokenizer_do_not_train(nano_dir, renderer, tmp_path):
    from rise.training.nano import make_nano

    other = tmp_path / "other"
    make_nano(TINY, ALPHABET + "!", seed=0, path=other)  # the same template, other ids
    with pytest.raises(DataError, match=r"made for another tokenizer.*problem p\d, turn 0 .* Build them again"):
        train(examples(renderer), other, tmp_path / "out", one_step())
    with pytest.raises(DataError, match="made for another tokenizer"):
        train(examples(Renderer.load(other)), nano_dir, tmp_path / "out", one_step())
    assert not (tmp_path / "out").exists()


def test_examples_of_another_template_do_not_train(renderer, model, tmp_path):
    template = model / "chat_template.jinja"
    template.write_text(template.read_text().replace("<|u|>", "<|u|> "))
    with pytest.raises(DataError, match="made for another tokenizer or chat template"):
        train(examples(renderer), model, tmp_path / "out", one_step())


def test_ids_beyond_the_embeddings_do_not_train(nano_dir, renderer, tmp_path):
    from dataclasses import replace

    data = examples(renderer)
    data[-1] = replace(data[-1], reply_ids=(*data[-1].reply_ids[:-1], 40_000))
    with pytest.raises(DataError, match=r"hold token id 40,000, but .* embeddings"):
        train(data, nano_dir, tmp_path / "out", one_step())


# ---- code of the model's own ---------------------------------------------------------------------------------------------


@pytest.fixture
def custom(model):
    """A model whose configuration is Python code, which leaves a file behind when it is run."""
    config = json.loads((model / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.OwnModel"}}
    (model / "config.json").write_text(json.dumps(config))
    (model / "own.py").write_text(
        f"open({str(model / 'was-run')!r}, 'w').close()\n"
        "from transformers import LlamaConfig, LlamaForCausalLM\n"
        "class OwnConfig(LlamaConfig):\n    model_type = 'own'\n"
        "class OwnModel(LlamaForCausalLM):\n    config_class = OwnConfig\n"
    )
    return model


def test_code_of_a_model_is_not_run_and_nobody_is_asked(custom, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda *words: pytest.fail("asked on the terminal"))
    with pytest.raises(ModelError, match=r"Python code that comes with it.*RISE_TRUST_REMOTE_CODE=1"):
        load_model(custom)
    assert not (custom / "was-run").exists()


def test_code_of_a_model_runs_where_the_environment_says_so(custom, monkeypatch, tmp_path):
    monkeypatch.setenv("RISE_TRUST_REMOTE_CODE", "1")
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    load_model(custom)
    assert (custom / "was-run").exists()


# ---- paths ---------------------------------------------------------------------------------------------------------------


def test_a_mistyped_path_is_one_error_at_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("my-modle", "./my-modle", "models/v2/my-modle"):
        began = time.perf_counter()
        with pytest.raises(ModelError, match=r"there is no such directory \(.*my-modle\)"):
            make_policy(name)
        assert within(began, 5)


@pytest.mark.slow
def test_a_hub_that_cannot_be_reached_is_asked_once(tmp_path):
    """In a process of its own: huggingface_hub reads its variables when it is imported."""
    import os

    variables = {k: v for k, v in os.environ.items() if k != "HF_HUB_OFFLINE"}
    variables |= {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    words = ["evaluate", "owner/my-modle", "--task", "arithmetic", "-n", "1", "--turns", "1", "--samples", "1"]
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "rise.cli.main", *words], cwd=tmp_path, env=variables, capture_output=True, text=True
    )
    assert done.returncode == 1 and within(began, 45)
    said = [line for line in done.stderr.splitlines() if "my-modle" in line]
    assert len(said) == 1 and "there is no such directory" in said[0] and "cannot be asked" in said[0]
    assert "Traceback" not in done.stderr


def test_a_model_that_was_fetched_before_needs_no_hub(tmp_path, monkeypatch):
    import huggingface_hub
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda name, file: "/somewhere/config.json")
    find.cache_clear()
    assert find("owner/here") is True  # what lies here has to do
    find.cache_clear()
