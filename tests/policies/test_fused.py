"""A step in fewer kernels is the same step: norms and rotations within rounding, and all as before afterwards."""

import sys

import pytest
import torch
from transformers import AutoModelForCausalLM, Gemma2Config, Glm4MoeConfig, LlamaConfig, NemotronConfig, Phi3Config, Qwen3Config
from transformers.models.llama import modeling_llama

from rise.policies import fused
from rise.policies.fused import fewer_kernels, rotate

SIZES = {
    "vocab_size": 60,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
}
IDS = torch.arange(3, 27).reshape(2, 12)


def made(config, dtype=torch.float32):
    torch.manual_seed(0)
    net = AutoModelForCausalLM.from_config(config).to(dtype).eval()
    with torch.no_grad():
        for name, value in net.named_parameters():
            if "norm" in name:
                value.normal_(1.0, 0.3)
    return net


@pytest.mark.parametrize("config", [LlamaConfig, Qwen3Config, Gemma2Config])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_pass_in_fewer_kernels_gives_the_same_scores(config, dtype):
    """Also for Gemma, whose norms have 1 + weight and are left alone."""
    net = made(config(**SIZES), dtype)
    with torch.no_grad():
        plain = net(IDS).logits.float()
        with fewer_kernels(net):
            ours = net(IDS).logits.float()
        assert (ours - plain).norm() <= (1e-5 if dtype == torch.float32 else 0.03) * plain.norm()
        assert torch.equal(net(IDS).logits.float(), plain)


@pytest.mark.parametrize(
    "config",
    [Phi3Config(**SIZES, partial_rotary_factor=0.5, pad_token_id=0), NemotronConfig(**SIZES), Glm4MoeConfig(**SIZES)],
    ids=lambda config: config.model_type,
)
def test_a_model_that_turns_half_of_each_head_is_rotated_here_too(config):
    net = made(config)
    home = sys.modules[type(net).__module__]
    with torch.no_grad():
        plain = net(IDS).logits
        with fewer_kernels(net):
            assert home.apply_rotary_pos_emb is rotate
            assert (net(IDS).logits - plain).norm() <= 1e-5 * plain.norm()


def test_norms_and_the_rotation_are_taken_for_the_time_and_given_back(monkeypatch):
    net = made(LlamaConfig(**SIZES))
    own, calls = modeling_llama.apply_rotary_pos_emb, []
    monkeypatch.setattr(fused.functional, "rms_norm", lambda hidden, *rest: calls.append("norm") or torch.rms_norm(hidden, *rest))
    with pytest.raises(KeyboardInterrupt), fewer_kernels(net):
        assert modeling_llama.apply_rotary_pos_emb is rotate
        calls.clear()
        net(IDS)
        assert len(calls) == 5  # two a layer, and the last
        raise KeyboardInterrupt
    assert modeling_llama.apply_rotary_pos_emb is own
    assert not any("forward" in vars(module) for module in net.modules())


def test_a_rotation_by_hand():
    """One head of width 2 at a quarter turn: (1, 0) becomes (0, 1), and (0, 1) becomes (-1, 0)."""
    q, k = torch.tensor([[[[1.0, 0.0]]]]), torch.tensor([[[[0.0, 1.0]]]])
    cos, sin = torch.zeros(1, 1, 2), torch.ones(1, 1, 2)
    turned_q, turned_k = rotate(q, k, cos, sin)
    assert turned_q.flatten().tolist() == [0.0, 1.0] and turned_k.flatten().tolist() == [-1.0, 0.0]
    turned_q, turned_k = rotate(q, k, cos, sin, unsqueeze_dim=2)
    assert turned_q.shape == q.shape and turned_k.flatten().tolist() == [-1.0, 0.0]


@pytest.mark.parametrize("dim", [1, 2])
def test_half_a_rotation_by_hand(dim):
    """Of four dimensions the first two are turned by a quarter: (1, 0, 5, 6) becomes (0, 1, 5, 6)."""
    q, k = torch.tensor([[[[1.0, 0, 5, 6]]]]), torch.tensor([[[[0.0, 1, 7, 8]]]])
    turned_q, turned_k = rotate(q, k, torch.zeros(1, 1, 2), torch.ones(1, 1, 2), unsqueeze_dim=dim)
    assert turned_q.shape == q.shape and turned_q.flatten().tolist() == [0, 1, 5, 6]
    assert turned_k.shape == k.shape and turned_k.flatten().tolist() == [-1, 0, 7, 8]


def test_a_rotation_that_turns_the_other_half_is_left_alone(monkeypatch):
    """Whole heads it turns as all do; of wider ones the last dimensions."""
    own = modeling_llama.apply_rotary_pos_emb

    def last(q, k, cos, sin, unsqueeze_dim=1):
        n = q.shape[-1] - cos.shape[-1]
        turned = own(q[..., n:], k[..., n:], cos, sin, unsqueeze_dim)
        return tuple(torch.cat((part[..., :n], new), -1) for part, new in zip((q, k), turned, strict=True))

    monkeypatch.setattr(modeling_llama, "apply_rotary_pos_emb", last)
    with fewer_kernels(made(LlamaConfig(**SIZES))):
        assert modeling_llama.apply_rotary_pos_emb is last


def test_another_rotation_is_left_alone(monkeypatch):
    def interleaved(q, k, cos, sin, unsqueeze_dim=1):
        return q * cos.unsqueeze(1), k * sin.unsqueeze(1)

    monkeypatch.setattr(modeling_llama, "apply_rotary_pos_emb", interleaved)
    with fewer_kernels(made(LlamaConfig(**SIZES))):
        assert modeling_llama.apply_rotary_pos_emb is interleaved
