"""LoRA: adapters train, merge into plain weights, and another round trains on those; QLoRA is refused where it cannot be."""

import pytest
from training import close, examples, one_step, weights_of

from rise.errors import ConfigError
from rise.recipe.config import TrainConfig
from rise.recipe.machines import LoraConfig, ModelConfig
from rise.training import train

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def data(renderer):
    return examples(renderer)


def test_lora_trains_and_its_merged_checkpoint_loads_plainly(nano_dir, data, tmp_path):
    from transformers import AutoModelForCausalLM

    model = ModelConfig(path=str(nano_dir), lora=LoraConfig(rank=2, alpha=4))
    out = tmp_path / "checkpoint"
    logs = []
    train(
        data,
        nano_dir,
        out,
        TrainConfig(epochs=4, batch_size=4, learning_rate=1e-2, arguments={"logging_steps": 1}),
        model=model,
        on_log=logs.append,
    )
    before, after = weights_of(nano_dir), weights_of(out)
    assert before.keys() == after.keys()
    moved = {name for name in before if not before[name].equal(after[name])}
    assert "model.layers.0.self_attn.q_proj.weight" in moved and "model.embed_tokens.weight" not in moved
    AutoModelForCausalLM.from_pretrained(out)
    assert not any("adapter" in p.name for p in out.iterdir())
    assert logs[-1]["loss"] < logs[0]["loss"]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_lora_trains_float32_adapters_on_a_base_of_its_own_type(nano_dir, data, tmp_path, monkeypatch, dtype):
    import torch

    seen = {}

    def look(net, *args, **kwargs):
        seen.update({name: p.dtype for name, p in net.named_parameters()})

    monkeypatch.setattr("rise.training.finetune.check_exact", look)
    model = ModelConfig(path=str(nano_dir), lora=LoraConfig(rank=2), dtype=dtype)
    train(data, nano_dir, tmp_path / "out", one_step(), model=model)
    assert {t for name, t in seen.items() if "lora" in name} == {torch.float32}
    assert {t for name, t in seen.items() if "lora" not in name} == {getattr(torch, dtype)}


def test_rounds_of_adapters_build_on_one_another(nano_dir, data, tmp_path):
    """Each round starts from the merged model of the one before: the second begins where the first ended."""
    settings = TrainConfig(epochs=3, batch_size=14, learning_rate=1e-2, warmup_ratio=0, arguments={"logging_steps": 1})
    start, losses = nano_dir, []
    for name in ("round-1", "round-2", "round-3"):
        logs = []
        model = ModelConfig(path=str(start), lora=LoraConfig(rank=4, alpha=8))
        train(data, start, tmp_path / name, settings, model=model, on_log=logs.append)
        losses.append([log["loss"] for log in logs])
        assert not close(weights_of(start), weights_of(tmp_path / name), 1e-4)
        start = tmp_path / name
    assert losses[0][0] > losses[0][-1] > losses[1][0] > losses[1][-1] > losses[2][0]  # new adapters start as nothing


def test_adapters_trained_elsewhere_merge_into_the_base_itself(nano_dir, data, tmp_path):
    """What a quantised or a sharded training ends with: adapters alone, and a base that is not to be taken from there."""
    import torch

    from rise.training.adapters import add_adapters, merged_on
    from rise.training.model import load_model

    lora = LoraConfig(rank=2, alpha=4)
    torch.manual_seed(0)
    net = add_adapters(load_model(nano_dir)[0], lora)
    trained = {name: torch.randn_like(value) if "lora_" in name else value * 0 for name, value in net.state_dict().items()}
    merged = merged_on(nano_dir, lora, trained, "float32").state_dict()
    base = weights_of(nano_dir)
    # rank 2, alpha 4: W + (4 / 2) · B A
    name = "model.layers.1.mlp.up_proj"
    a, b = (trained[f"base_model.model.{name}.lora_{part}.default.weight"] for part in "AB")
    assert merged[f"{name}.weight"] == pytest.approx(base[f"{name}.weight"] + 2 * b @ a, abs=1e-5)
    assert merged["model.embed_tokens.weight"].equal(base["model.embed_tokens.weight"])
    with pytest.raises(ConfigError, match="do not fit"):
        merged_on(nano_dir, lora, {"a": trained[f"base_model.model.{name}.lora_A.default.weight"]}, "float32")


def test_a_quantised_base_is_refused_with_the_way_out_where_it_cannot_be(nano_dir, data, tmp_path, monkeypatch):
    import importlib.util

    import torch

    model = ModelConfig(path=str(nano_dir), lora=LoraConfig(rank=2, quantize="nf4"))
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "bitsandbytes" else find(name, *a))
    with pytest.raises(ConfigError, match=r"quantize = \"nf4\" needs the package bitsandbytes"):
        train(data, nano_dir, tmp_path / "out", one_step(), model=model)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: True if name == "bitsandbytes" else find(name, *a))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="needs a GPU, and none is visible"):
        train(data, nano_dir, tmp_path / "out", one_step(), model=model)


# ---- layers that share their weights -------------------------------------------------------------------------------------


@pytest.mark.parametrize("targets", [["q_proj", "lm_head"], ["embed_tokens"], ["embed_tokens", "lm_head"], "all-linear"])
def test_what_is_saved_is_what_was_trained_also_on_tied_embeddings(targets, nano_dir, data, tmp_path, monkeypatch):
    import json

    import torch

    from rise.training import finetune
    from rise.training.model import load_model

    seen, plain = {}, finetune.merged

    def watching(net, probe, *, half):
        with torch.no_grad():
            seen.update(probe=probe, logits=net.eval()(input_ids=probe).logits)
        return plain(net, probe, half=half)

    monkeypatch.setattr(finetune, "merged", watching)
    model = ModelConfig(path=str(nano_dir), lora=LoraConfig(rank=2, target_modules=targets))
    train(data, nano_dir, tmp_path / "out", TrainConfig(epochs=4, batch_size=4, learning_rate=5e-2), model=model)
    with torch.no_grad():
        saved, base = (load_model(path)[0].eval()(input_ids=seen["probe"]).logits for path in (tmp_path / "out", nano_dir))
    assert (saved - seen["logits"]).abs().max() < 1e-4 < 0.1 < (saved - base).abs().max()
    tied = json.loads((tmp_path / "out" / "config.json").read_text())["tie_word_embeddings"]
    assert tied is (targets == "all-linear")


def test_adapters_whose_merging_changes_the_model_are_not_saved(nano_dir, data, tmp_path, monkeypatch):
    from peft.tuners.lora import LoraModel

    from rise.errors import RiseError

    def badly(self, *args, **kwargs):
        net = self.model
        for name, layer in self.model.named_modules():
            if name.endswith("q_proj"):
                layer.base_layer.weight.data *= 2
        return net

    monkeypatch.setattr(LoraModel, "merge_and_unload", badly)
    model = ModelConfig(path=str(nano_dir), lora=LoraConfig(rank=2))
    with pytest.raises(RiseError, match=r"merging the adapters changed the model.*Nothing was saved"):
        train(data, nano_dir, tmp_path / "out", one_step(), model=model)
    assert not (tmp_path / "out").exists()


def test_layers_that_are_not_there_are_refused_with_what_to_write(nano_dir, data, tmp_path):
    model = ModelConfig(path=str(nano_dir), lora=LoraConfig(target_modules=["query"]))
    with pytest.raises(ConfigError, match=r'model\.lora\.target_modules = \["query"\].*write "all-linear"'):
        train(data, nano_dir, tmp_path / "out", one_step(), model=model)
