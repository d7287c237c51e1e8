"""The output layer in chunks, at trained positions only: the same sums and gradients as logits computed whole."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional
from training import close, examples, loss_and_gradient, one_step

from rise.dataset.losses import WEIGHTED_NLL, Tokens
from rise.training import train
from rise.training.chunked_loss import Head, LinearCost
from rise.training.loss import batch_loss, tensors
from rise.training.rows import Row

pytestmark = pytest.mark.usefixtures("one_thread")

LINES = [
    [Row([3, 9, 4, 8, 2], [0, 0, 0, 1.0, 1.0]), Row([3, 10, 4, 7, 2], [0, 0, 0, 3.0, 3.0])],
    [Row([3, 4, 2, 7, 7, 2], [0, 0, 2.0, 2.0, 0, 0.5])],
]
"""7 trained tokens, at other places in the second line than in the first."""


def layer(bias=True, dtype=torch.float32, hidden=5, vocabulary=11, tokens=7):
    torch.manual_seed(0)
    hidden_MH = torch.randn(tokens, hidden, dtype=dtype, requires_grad=True)
    weight_VH = torch.randn(vocabulary, hidden, dtype=dtype, requires_grad=True)
    bias_V = torch.randn(vocabulary, dtype=dtype, requires_grad=True) if bias else None
    return hidden_MH, weight_VH, bias_V, torch.randint(vocabulary, (tokens,)), torch.rand(tokens) * 3


def chunked(hidden, weight, bias, targets, weights, size):
    """(Σ w·nll, Σ nll), chunk by chunk."""
    nothing = torch.zeros_like(weights)
    tokens = Tokens(weights, nothing, nothing, nothing)
    return LinearCost.apply(hidden, weight, bias, targets, tokens, WEIGHTED_NLL, size, True)


def whole(hidden, weight, bias, targets, weights):
    nll = functional.cross_entropy(functional.linear(hidden, weight, bias).float(), targets, reduction="none")
    return (nll * weights).sum(), nll.sum()


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("chunk", [1, 3, 7, 100])
def test_chunks_give_the_sums_and_gradients_of_the_whole(chunk, bias):
    inputs = layer(bias)
    parameters = [p for p in inputs[:3] if p is not None]
    expected = whole(*inputs)
    gradients = torch.autograd.grad(expected[0] / 4, parameters)
    sums = chunked(*inputs, chunk)
    assert sums.tolist() == pytest.approx([e.item() for e in expected], rel=1e-6)
    for own, theirs in zip(torch.autograd.grad(sums[0] / 4, parameters), gradients, strict=True):
        assert torch.allclose(own, theirs, atol=1e-6)


def test_one_token_on_paper():
    """Two tokens to choose from, logits 0 and ln 3: p = 1/4 and 3/4. The first is the target, at weight 2."""
    hidden = torch.tensor([[1.0]], requires_grad=True)
    weight = torch.tensor([[0.0], [3.0]]).log().nan_to_num(neginf=0.0).requires_grad_()
    sums = chunked(hidden, weight, None, torch.tensor([0]), torch.tensor([2.0]), 8)
    sums[0].backward()
    assert sums.tolist() == pytest.approx([2 * 1.386294, 1.386294])  # −ln(1/4)
    assert weight.grad.flatten().tolist() == pytest.approx([2 * (0.25 - 1), 2 * 0.75])
    assert hidden.grad.item() == pytest.approx(2 * 0.75 * 1.098612)  # Σ slope · weight = 1.5 · ln 3


def test_a_layer_that_stands_still_costs_no_gradient():
    hidden, weight, _, targets, weights = layer(bias=False)
    expected = torch.autograd.grad(whole(hidden, weight, None, targets, weights)[0], [hidden])[0]
    own = chunked(hidden, weight.detach(), None, targets, weights, 3)
    assert torch.allclose(torch.autograd.grad(own[0], [hidden])[0], expected, atol=1e-6)


@pytest.mark.parametrize("how", ["bfloat16 weights", "autocast"])
def test_bfloat16_is_as_near_to_float32_as_plain_bfloat16_is(how):
    inputs = layer(bias=False, hidden=64, vocabulary=50, tokens=40)
    exact = torch.autograd.grad(whole(*inputs)[0], inputs[:2])

    def errors(function):
        made = [p if i > 1 or p is None else p.detach().clone().requires_grad_() for i, p in enumerate(inputs)]
        if how == "bfloat16 weights":
            made[:2] = [p.detach().bfloat16().requires_grad_() for p in made[:2]]
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=how == "autocast"):
            loss = function(*made)[0]
        return [(own.float() - e).norm() / e.norm() for own, e in zip(torch.autograd.grad(loss, made[:2]), exact, strict=True)]

    ours, theirs = errors(lambda *made: chunked(*made, 7)), errors(whole)
    assert all(own < 1.2 * other + 1e-4 for own, other in zip(ours, theirs, strict=True)), (ours, theirs)
    assert 0 < ours[0] < 0.02


def test_logits_exist_only_where_a_token_is_trained_and_one_chunk_at_a_time(nano_dir, monkeypatch):
    from rise.training.model import load_model

    net = load_model(nano_dir)[0]
    head = Head(net)
    head.chunk = 3
    n_rows = []
    linear = functional.linear

    def watched(x, weight, *args):
        if weight.shape[0] == net.config.vocab_size:
            n_rows.append(x.shape[:-1].numel())
        return linear(x, weight, *args)

    monkeypatch.setattr(functional, "linear", watched)
    batch_loss(net, tensors(LINES, 0), head)[0].backward()
    assert n_rows == [3, 3, 1]  # of 20 places in two lines of 10
    assert net.lm_head(torch.zeros(1, 32)).shape == (1, net.config.vocab_size)  # the layer is itself again


def test_the_whole_model_in_chunks_as_without(nano_dir):
    from rise.training.model import load_model

    found = {}
    for fused in (True, False):
        net = load_model(nano_dir)[0]
        head = Head(net)
        head.fused, head.chunk = fused, 2
        total, plain = batch_loss(net, tensors(LINES, 0), head)
        total.backward()
        found[fused] = (total.item(), plain.item(), {name: p.grad for name, p in net.named_parameters()})
    assert found[True][:2] == pytest.approx(found[False][:2], rel=1e-6)
    assert close(found[True][2], found[False][2], 1e-5)  # gradients up to 3: sums in another order


def test_a_model_that_bends_its_logits_is_noticed_and_trains_as_it_says(renderer, tmp_path):
    """Gemma 2 squeezes logits behind its output layer. Its loss, computed by itself, is what is logged."""
    from transformers import Gemma2Config, Gemma2ForCausalLM

    torch.manual_seed(0)
    shape = Gemma2Config(
        vocab_size=len(renderer.tokenizer),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        final_logit_softcapping=0.05,
        eos_token_id=2,
        pad_token_id=0,
        bos_token_id=2,
    )
    net = Gemma2ForCausalLM(shape)
    with torch.no_grad():
        net.model.embed_tokens.weight.mul_(50)
    net.save_pretrained(tmp_path / "bent")
    renderer.tokenizer.save_pretrained(tmp_path / "bent")
    data = [replace(e, weight=1.0) for e in examples(renderer)[:4]]
    loss, _ = loss_and_gradient(data, tmp_path / "bent", tmp_path / "out", merge=False)
    total = 0.0
    for e in data:
        ids = torch.tensor([[*e.prompt_ids, *e.reply_ids]])
        labels = torch.tensor([[-100] * len(e.prompt_ids) + list(e.reply_ids)])
        total += net(input_ids=ids, labels=labels).loss.item() * len(e.reply_ids)
    n = sum(len(e.reply_ids) for e in data)
    assert loss == pytest.approx(total / n, abs=1e-5)
    straight = Head(net)
    rows = [Row([*e.prompt_ids, *e.reply_ids], [0.0] * len(e.prompt_ids) + [1.0] * len(e.reply_ids)) for e in data]
    wrong = sum(batch_loss(net, tensors([[row]], 0), straight)[1] for row in rows)
    assert abs(float(wrong) / n - loss) > 1e-2  # the fast way alone would have been wrong


def test_a_head_with_adapters_on_it_trains(nano_dir, renderer, tmp_path):
    from rise.recipe.machines import LoraConfig, ModelConfig

    logs = []
    model = ModelConfig(path=str(nano_dir), lora=LoraConfig(rank=2, target_modules=["q_proj", "lm_head"]))
    data = examples(renderer)
    train(data, nano_dir, tmp_path / "out", one_step(), model=model, on_log=logs.append)
    plain, _ = loss_and_gradient(data, nano_dir, tmp_path / "plain")
    assert logs[0]["loss"] == pytest.approx(plain, abs=1e-5)
