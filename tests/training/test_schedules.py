"""Every step trains, and weight decay is one thing whatever the optimiser."""

import pytest
import torch
from training import examples, weights_of

from rise.recipe.config import TrainConfig
from rise.training import train
from rise.training.warmup import without_zero

pytestmark = pytest.mark.usefixtures("one_thread")

SCHEDULES = {
    "cosine": {},
    "linear": {},
    "constant": {},
    "constant_with_warmup": {},
    "polynomial": {},
    "inverse_sqrt": {},
    "cosine_with_restarts": {},
    "cosine_with_min_lr": {"min_lr_rate": 0.1},
    "warmup_stable_decay": {"num_decay_steps": 1},
}


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize(("n_steps", "n_warmup"), [(1, 0), (2, 1), (3, 1), (5, 2), (40, 4)])
def test_no_step_has_learning_rate_0(schedule, n_steps, n_warmup):
    from transformers import get_scheduler

    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
    made = get_scheduler(
        schedule,
        optimizer,
        num_warmup_steps=n_warmup,
        num_training_steps=n_steps,
        scheduler_specific_kwargs=SCHEDULES[schedule],
    )
    scheduler, rates = without_zero(made, n_warmup), []
    for _ in range(n_steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert min(rates) > 0 and max(rates) <= 2.0
    if schedule == "linear" and (n_steps, n_warmup) == (5, 2):
        assert rates == pytest.approx([2 / 3, 4 / 3, 2.0, 4 / 3, 2 / 3])


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_both_steps_of_a_training_of_two_train(optimizer, nano_dir, renderer, tmp_path):
    logs = []
    data = examples(renderer)
    settings = TrainConfig(epochs=1, max_steps=2, batch_size=7, optimizer=optimizer, arguments={"logging_steps": 1})
    train(data, nano_dir, tmp_path / "out", settings, on_log=logs.append)
    assert [log["step"] for log in logs] == [1, 2] and all(log["learning_rate"] > 0 for log in logs)
    one = settings.model_copy(update={"max_steps": 1})
    train(data, nano_dir, tmp_path / "one", one)
    start, after = weights_of(nano_dir), weights_of(tmp_path / "one")
    assert any(not start[name].equal(after[name]) for name in start)


def test_batches_are_trained_on_in_the_order_of_the_plan(nano_dir, renderer, tmp_path, monkeypatch):
    """Six examples of a line each and two epochs: twelve batches, whose numbers rise."""
    from rise.training import trainer

    real, seen = trainer.batch_loss, []

    def noted(model, inputs, *rest):
        seen.append(inputs["index"])
        return real(model, inputs, *rest)

    monkeypatch.setattr(trainer, "batch_loss", noted)
    data = examples(renderer)[:6]
    settings = TrainConfig(epochs=2, batch_size=2, merge=False, line_length=8, micro_batch_tokens=8)
    train(data, nano_dir, tmp_path / "out", settings)
    assert seen == list(range(12))


DECAYING = {
    "plain AdamW": {},
    "masters": {"masters": True},
    "muon": {"optimizer": "muon"},
}


@pytest.mark.parametrize("how", DECAYING)
def test_weight_decay_pulls_at_every_weight_with_every_optimiser(how, nano_dir, renderer, tmp_path, monkeypatch):
    """With a gradient of nothing a step is the decay alone: each weight becomes (1 - rate × decay) of itself."""
    from rise.training import trainer

    monkeypatch.setattr(trainer, "batch_loss", lambda model, inputs, head, cost: nothing(model))
    monkeypatch.setattr("rise.training.finetune.check_exact", lambda *args, **kwargs: None)
    settings = TrainConfig(
        max_steps=1, batch_size=1000, learning_rate=0.1, schedule="constant", warmup_ratio=0, weight_decay=0.5, **DECAYING[how]
    )
    train(examples(renderer), nano_dir, tmp_path / "out", settings)
    before, after = weights_of(nano_dir), weights_of(tmp_path / "out")
    assert any("norm" in name for name in before)
    for name, weight in before.items():
        assert torch.allclose(after[name].float(), weight * 0.95, rtol=1e-2, atol=1e-6), name


def nothing(model):
    zero = sum(p.sum() * 0.0 for p in model.parameters())
    return zero, zero.detach()
