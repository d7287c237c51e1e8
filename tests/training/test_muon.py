"""Muon for the hidden matrices and AdamW for the rest, as one optimiser."""

import copy

import pytest
import torch
from torch import nn
from training import examples

from rise.errors import ConfigError
from rise.play.render import Renderer
from rise.recipe.config import TrainConfig
from rise.recipe.toml import build_config
from rise.training import train
from rise.training.optimizers import MuonAdamW, check_optimizer

pytestmark = pytest.mark.usefixtures("one_thread")
SETTINGS = {"lr": 0.1, "weight_decay": 0.01, "betas": (0.9, 0.98), "eps": 1e-8}


class Small(nn.Module):
    """An embedding, one hidden matrix, a norm's vector, a head."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.hidden, self.head = nn.Embedding(5, 4), nn.Linear(4, 4, bias=False), nn.Linear(4, 5, bias=False)
        self.norm = nn.Parameter(torch.ones(4))

    def get_input_embeddings(self):
        return self.embed

    def get_output_embeddings(self):
        return self.head

    def forward(self, ids):
        return self.head(self.hidden(self.embed(ids)) * self.norm)


def take_steps(model, optimizer, n):
    for i in range(n):
        optimizer.zero_grad()
        model(torch.tensor([i % 5, 2])).square().sum().backward()
        optimizer.step()


def weights(model):
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def test_only_the_hidden_matrix_goes_to_muon_and_each_part_steps_as_torch_does():
    ours, theirs = Small(), Small()
    take_steps(ours, MuonAdamW(ours, **SETTINGS), 3)
    muon = torch.optim.Muon([theirs.hidden.weight], lr=0.1, weight_decay=0.01, adjust_lr_fn="match_rms_adamw")
    rest = [theirs.embed.weight, theirs.head.weight, theirs.norm]
    adam = torch.optim.AdamW(rest, **SETTINGS)
    for i in range(3):
        theirs.zero_grad()
        theirs(torch.tensor([i % 5, 2])).square().sum().backward()
        muon.step()
        adam.step()
    assert all(torch.equal(weights(ours)[name], p) for name, p in weights(theirs).items())


def test_a_scheduler_moves_the_learning_rate_of_both_parts():
    model = Small()
    before, optimizer = weights(model), MuonAdamW(model, **SETTINGS)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.0)
    assert [group["lr"] for group in optimizer.param_groups] == [0.0, 0.0] == schedule.get_last_lr()
    take_steps(model, optimizer, 1)
    assert all(torch.equal(before[name], p) for name, p in weights(model).items())


def test_loading_its_state_continues_exactly():
    straight = Small()
    optimizer = MuonAdamW(straight, **SETTINGS)
    take_steps(straight, optimizer, 2)
    halfway, state = copy.deepcopy(straight), copy.deepcopy(optimizer.state_dict())
    take_steps(straight, optimizer, 2)

    continued = MuonAdamW(halfway, **SETTINGS)
    continued.load_state_dict(state)
    # The learning rate is still one for scheduler and parts.
    assert all(a is b for a, b in zip(continued.param_groups, (g for p in continued._parts for g in p.param_groups), strict=True))
    take_steps(halfway, continued, 2)
    assert all(torch.equal(weights(straight)[name], p) for name, p in weights(halfway).items())


@pytest.mark.slow
def test_training_with_muon_killed_and_resumed_ends_with_the_same_weights(nano_dir, tmp_path, monkeypatch):
    data = examples(Renderer.load(nano_dir))
    config = TrainConfig(epochs=3, batch_size=4, learning_rate=1e-2, optimizer="muon", save_steps=2)
    train(data, nano_dir, tmp_path / "straight", config, work=tmp_path / "w1")

    class Killed(BaseException):
        pass

    def die(log):
        if log["step"] >= 4:
            raise Killed

    logging = config.model_copy(update={"arguments": {"logging_steps": 1}})
    with pytest.raises(Killed):
        train(data, nano_dir, tmp_path / "resumed", logging, work=tmp_path / "w2", on_log=die)
    train(data, nano_dir, tmp_path / "resumed", logging, work=tmp_path / "w2")
    one, two = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("straight", "resumed"))
    assert one == two != (nano_dir / "model.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("settings", "trouble"),
    [
        ({"train": {"optimizer": "muon", "masters": True}}, "masters"),
        ({"model": {"lora": {}}, "train": {"optimizer": "muon"}}, "lora"),
    ],
)
def test_what_muon_does_not_go_with_is_refused(settings, trouble):
    recipe = {"model": {"path": "m", **settings.get("model", {})}, "train": settings["train"]}
    with pytest.raises(ConfigError, match=trouble):
        build_config(recipe)


def test_muon_refuses_matrices_in_pieces():
    check_optimizer(TrainConfig(optimizer="adamw"), sharded=True)
    check_optimizer(TrainConfig(optimizer="muon"), sharded=False)
    with pytest.raises(ConfigError, match=r'"muon" needs whole matrices.* Use "adamw"'):
        check_optimizer(TrainConfig(optimizer="muon"), sharded=True)


def test_a_torch_without_muon_says_which_has_it(monkeypatch):
    monkeypatch.delattr(torch.optim, "Muon")
    with pytest.raises(ConfigError, match=r"torch 2\.9"):
        MuonAdamW(Small(), **SETTINGS)
