"""float32 masters of bfloat16 weights: they move where rounding would not, and survive a resume."""

import copy

import pytest
from training import examples, one_step, weights_of

from rise.recipe.config import TrainConfig
from rise.training import train

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def data(renderer):
    return examples(renderer)


def bfloat16(path, to):
    import torch
    from transformers import AutoModelForCausalLM

    AutoModelForCausalLM.from_pretrained(path, dtype=torch.bfloat16).save_pretrained(to)
    return to


def test_masters_move_bfloat16_weights_where_rounding_would_lose_every_step():
    import torch

    from rise.training.optimizers import MasterAdamW

    def after_steps(optimizer_of):
        weight = torch.nn.Parameter(torch.ones(4, dtype=torch.bfloat16))
        optimizer = optimizer_of([weight])
        for _ in range(200):
            weight.grad = torch.ones_like(weight)
            optimizer.step()
            optimizer.zero_grad()
        return weight.detach().float()

    # Adam moves by its learning rate each step: 200 × 1e-4 = 0.02, but bfloat16 cannot tell 1 from 0.9999.
    naive = after_steps(lambda p: torch.optim.AdamW(p, lr=1e-4, weight_decay=0))
    kept = after_steps(lambda p: MasterAdamW(p, lr=1e-4, weight_decay=0))
    assert naive.tolist() == [1.0] * 4
    assert kept.tolist() == pytest.approx([0.98] * 4, abs=4e-3)


def test_masters_resume_from_their_own_float32_copies():
    import torch

    from rise.training.optimizers import MasterAdamW

    def steps(weight, optimizer, n):
        for _ in range(n):
            weight.grad = torch.ones_like(weight)
            optimizer.step()

    straight = torch.nn.Parameter(torch.ones(1, dtype=torch.bfloat16))
    optimizer = MasterAdamW([straight], lr=1e-4)
    steps(straight, optimizer, 30)
    saved, rounded = copy.deepcopy(optimizer.state_dict()), straight.detach().clone()
    steps(straight, optimizer, 30)

    resumed = torch.nn.Parameter(rounded)
    other = MasterAdamW([resumed], lr=1e-4)
    other.load_state_dict(saved)
    steps(resumed, other, 30)
    assert resumed.equal(straight) and other._masters[0].equal(optimizer._masters[0])


def test_training_with_masters_writes_bfloat16_weights_that_moved(nano_dir, data, tmp_path):
    out = tmp_path / "out"
    train(
        data, nano_dir, out, TrainConfig(epochs=2, batch_size=4, learning_rate=1e-4, masters=True, arguments={"adam_beta2": 0.95})
    )
    before, after = weights_of(nano_dir), weights_of(out)
    assert all("bfloat16" in str(w.dtype) for w in after.values())
    assert any(not before[name].bfloat16().equal(after[name]) for name in before)


@pytest.mark.skipif("not __import__('torch').cuda.is_available()", reason="needs a GPU")
def test_masters_live_where_the_model_trains(nano_dir, data, tmp_path):
    train(data, bfloat16(nano_dir, tmp_path / "start"), tmp_path / "out", one_step(masters=True, line_length=512))
