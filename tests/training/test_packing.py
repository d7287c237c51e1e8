"""Rows of one line see nothing of each other: compared token by token, before the first step."""

from types import SimpleNamespace

import pytest
import torch
import transformers
from training import examples, one_step

from rise.errors import RiseError
from rise.training import packing_check, train
from rise.training.rows import Row

pytestmark = pytest.mark.usefixtures("one_thread")

SHAPE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1, "intermediate_size": 64}
LEAKY = {
    "jamba": (
        "Jamba",
        {"attn_layer_period": 2, "attn_layer_offset": 1, "expert_layer_period": 2, "expert_layer_offset": 1, "num_experts": 2}
        | {"mamba_d_state": 8},
    ),
    "lfm2": ("Lfm2", {"layer_types": ["conv", "full_attention"]}),
    "falcon-h1": (
        "FalconH1",
        {"mamba_d_ssm": 32, "mamba_n_heads": 4, "mamba_d_head": 8, "mamba_d_state": 8, "mamba_n_groups": 1},
    ),
}
EXACT = {
    "llama": ("Llama", {}),
    "gemma 2": ("Gemma2", {"head_dim": 16, "sliding_window": 16}),
    "experts": ("Qwen3Moe", {"head_dim": 16, "moe_intermediate_size": 32, "num_experts": 4, "num_experts_per_tok": 2}),
}


def made(name, shape, renderer, path):
    """An untrained model of that family, whose leaks are as small as they get."""
    torch.manual_seed(0)
    tokenizer = renderer.tokenizer
    ids = {"vocab_size": len(tokenizer), "eos_token_id": tokenizer.eos_token_id, "pad_token_id": 0, "bos_token_id": None}
    config = getattr(transformers, f"{name}Config")(**SHAPE, **ids, **shape)
    getattr(transformers, f"{name}ForCausalLM")(config).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


@pytest.mark.parametrize("precision", [{}, {"masters": True}], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("name", LEAKY)
def test_a_small_leak_is_found_in_any_precision(name, precision, renderer, tmp_path):
    start = made(*LEAKY[name], renderer, tmp_path / "start")
    with pytest.raises(RiseError, match=r"packing is not exact.*a token's loss .*train\.line_length = 8"):
        train(examples(renderer), start, tmp_path / "out", one_step(line_length=512, **precision))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("precision", [{}, {"masters": True}], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("name", EXACT)
def test_exact_models_train_packed(name, precision, renderer, tmp_path):
    start = made(*EXACT[name], renderer, tmp_path / "start")
    assert train(examples(renderer), start, tmp_path / "out", one_step(line_length=512, **precision))["n_steps"] == 1


@pytest.mark.parametrize(
    ("half", "off", "moved", "raises"),
    [
        (True, 0.06, 0.0, False),  # SmolLM2-135M in bfloat16, in a line of another shape
        (False, 0.06, 0.0, True),
        (True, 0.06, 2e-3, True),  # of the same shape: nothing differs in a model that packs exactly
        (False, 1e-5, 5e-6, True),
        (False, 1e-5, 0.0, False),
        (True, 0.4, 0.0, True),
    ],
)
def test_roundings_are_no_leak_and_a_leak_at_one_token_is_no_rounding(half, off, moved, raises, monkeypatch):
    """Of 60 tokens one is off by `moved` when its neighbours are others; the sum hides it in 1e-4 of the line's loss."""
    rows = [Row([i, 1, 2, 3] * 10, [0.0] * 20 + [1.0] * 20) for i in range(3)]
    noise = torch.tensor([off, -off] * 10)
    leak = torch.zeros(20)
    leak[3] = moved
    alone = torch.full((20,), 1.0)
    said = iter([torch.cat([alone + noise] * 3), alone, alone, alone, alone, alone + leak])
    monkeypatch.setattr(packing_check, "token_scores", lambda *args: next(said))
    plan = SimpleNamespace(batches=[SimpleNamespace(lines=[[0, 1, 2]])])
    layer = torch.nn.Linear(1, 1)
    head = SimpleNamespace(fused=False, layer=layer)
    if raises:
        with pytest.raises(RiseError, match="packing is not exact"):
            packing_check.check_exact(layer, head, rows, plan, 0, flat=False, half=half)
    else:
        packing_check.check_exact(layer, head, rows, plan, 0, flat=False, half=half)
