"""Rows of a line by where they begin: the numbers of SDPA with a mask, without one. A compiled training changes nothing."""

import pytest
import torch
from test_packing import EXACT, made
from training import close, examples, loss_and_gradient, one_step

from rise.errors import ConfigError
from rise.training import train, varlen
from rise.training.loss import tensors
from rise.training.model import load_model
from rise.training.rows import Row

pytestmark = pytest.mark.usefixtures("one_thread")

LINES = [
    [Row([3, 9, 4, 8, 2], [0, 0, 0, 1.0, 1.0]), Row([3, 10, 4, 7, 2], [0, 0, 0, 3.0, 3.0])],
    [Row([3, 4, 2, 7, 7, 2], [0, 0, 2.0, 2.0, 0, 0.5])],
]


@pytest.fixture(scope="module")
def data(renderer):
    return examples(renderer)


def test_a_flat_batch_says_where_rows_begin_and_which_tokens_train():
    """Rows of 5, 5 and 6 tokens: they begin at 0, 5 and 10; the token before a trained one stands one place to its left."""
    flat = tensors(LINES, 0, flat=True)
    assert flat["starts"].tolist() == [0, 5, 10, 16] and flat["starts"].dtype == torch.int32
    assert flat["longest"] == 8  # 6, rounded up to a power of two
    assert flat["at"].tolist() == [2, 3, 7, 8, 11, 12, 14]
    assert tensors(LINES, 0)["at"].tolist() == [2, 3, 7, 8, 11, 12, 14]  # lines of 10: the second begins at 10 as well
    assert tensors([], 0, flat=True)["starts"].tolist() == [0, 2] and tensors([], 0)["at"].tolist() == [0]


def test_attention_of_two_rows_by_hand():
    """One head of width 1, queries 0: every token looks at its row's tokens so far in equal parts. Values 1, 3 | 10, 20, 60."""
    zero = torch.zeros(1, 1, 5, 1)
    values = torch.tensor([1.0, 3, 10, 20, 60]).view(1, 1, 5, 1)
    out, _ = varlen.attend(None, zero, zero, values, None, cu_seq_lens_q=torch.tensor([0, 2, 5]), max_length_q=4)
    assert out.flatten().tolist() == pytest.approx([1, 2, 10, 15, 30])


@pytest.mark.parametrize("precision", [{}, {"arguments": {"bf16": True}}], ids=["float32", "autocast"])
def test_rows_by_themselves_have_the_loss_and_gradient_of_rows_behind_a_mask(precision, data, nano_dir, tmp_path):
    loss, gradient = loss_and_gradient(data, nano_dir, tmp_path / "a", line_length=512, **precision)
    other, same = loss_and_gradient(data, nano_dir, tmp_path / "b", line_length=512, attention="varlen", **precision)
    tolerance = 1e-5 if not precision else 3e-3
    assert other == pytest.approx(loss, rel=tolerance)
    size = max(float(g.abs().max()) for g in gradient.values())
    assert close(gradient, same, 1e-5 if not precision else 0.02 * size)


def test_no_mask_is_made(data, nano_dir, tmp_path, monkeypatch):
    shapes = []
    real = torch.nn.functional.scaled_dot_product_attention

    def watched(query, key, value, attn_mask=None, **kwargs):
        shapes.append((attn_mask is None, query.shape[2]))
        return real(query, key, value, attn_mask=attn_mask, **kwargs)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", watched)
    train(data, nano_dir, tmp_path / "out", one_step(line_length=512, attention="varlen"))
    longest = max(len(e.prompt_ids) + len(e.reply_ids) for e in data)
    assert shapes and all(bare and length <= longest for bare, length in shapes)


@pytest.mark.parametrize("options", [{}, {"arguments": {"gradient_checkpointing": True}}, {"masters": True}], ids=str)
def test_it_goes_with_what_saves_memory(options, data, nano_dir, tmp_path):
    assert train(data, nano_dir, tmp_path / "out", one_step(attention="varlen", **options))["n_steps"] == 1


@pytest.mark.parametrize("name", EXACT)
def test_a_model_whose_attention_does_more_is_refused(name, renderer, tmp_path):
    """Gemma 2 has windows and caps its scores: without them it would train as another model."""
    start = made(*EXACT[name], renderer, tmp_path / "start")
    settings = one_step(attention="varlen", line_length=512)
    if name == "gemma 2":
        with pytest.raises(ConfigError, match="not right for this model"):
            train(examples(renderer), start, tmp_path / "out", settings)
    else:
        assert train(examples(renderer), start, tmp_path / "out", settings)["n_steps"] == 1


def test_a_leak_through_this_attention_is_found(data, nano_dir, tmp_path, monkeypatch):
    from rise.errors import RiseError

    monkeypatch.setattr(
        varlen, "row_by_row", lambda query, key, value, starts, scaling: varlen.causal(query, key, value, scaling)
    )
    with pytest.raises(RiseError, match="packing is not exact"):
        train(data, nano_dir, tmp_path / "out", one_step(line_length=512, attention="varlen"))


def test_a_processor_has_no_kernel_of_variable_length():
    assert varlen.kernel(torch.device("cpu"), torch.bfloat16, 64) is None


def test_every_layer_is_compiled_and_nothing_else(nano_dir, monkeypatch):
    from rise.training.finetune import compile_layers

    net = load_model(nano_dir)[0]
    seen = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, **kwargs: seen.append(self))
    compile_layers(net)
    assert seen == list(net.model.layers)


@pytest.mark.slow
def test_a_compiled_training_has_the_same_loss_and_gradient(data, nano_dir, tmp_path, monkeypatch):
    """Traced and differentiated by the compiler, run without generated code, whose making takes minutes on a busy machine."""
    from rise.training import chunked_loss

    loss, gradient = loss_and_gradient(data, nano_dir, tmp_path / "plain", line_length=512)
    monkeypatch.setattr(chunked_loss, "BACKEND", "aot_eager")
    other, same = loss_and_gradient(data, nano_dir, tmp_path / "other", line_length=512, compile=True, attention="varlen")
    assert other == pytest.approx(loss, abs=1e-5)
    assert close(gradient, same, 2e-5)
