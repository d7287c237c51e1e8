"""Killed anywhere, training ends with the same weights bit for bit; nothing half written or made otherwise is continued."""

import os
from dataclasses import replace

import pytest
from training import examples

from rise.errors import ResumeError
from rise.recipe.config import TrainConfig
from rise.recipe.machines import LoraConfig, ModelConfig
from rise.training import train

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def data(renderer):
    return examples(renderer)


class Killed(Exception):
    """Stands for kill -9 in this process; tests/method/test_kill.py does it for real."""


def interrupted_at(step, monkeypatch):
    """Dies at the first forward pass after `step` steps: between a step's end and the next one's gradient."""
    from rise.training import trainer

    original = trainer.WeightedTrainer.training_step

    def training_step(self, *args, **kwargs):
        if self.state.global_step == step:
            raise Killed
        return original(self, *args, **kwargs)

    monkeypatch.setattr(trainer.WeightedTrainer, "training_step", training_step)


def interrupted_saving(what, monkeypatch):
    """Dies in the second save: with the optimiser `torn`, or with all written and not yet `renamed`."""
    import torch

    from rise.training import checkpoints

    n_saves = 0

    def second(original, half):
        def write(*args, **kwargs):
            nonlocal n_saves
            if what == "torn" and not str(args[1]).endswith("optimizer.pt"):
                return original(*args, **kwargs)
            if what == "renamed" and "checkpoint-" not in str(args[1]):
                return original(*args, **kwargs)
            n_saves += 1
            if n_saves == 2:
                half(*args)
                raise Killed
            return original(*args, **kwargs)

        return write

    def torn(thing, file):
        real(thing, file)
        os.truncate(file, os.path.getsize(file) // 2)

    real = torch.save
    if what == "torn":
        monkeypatch.setattr(torch, "save", second(real, torn))
    else:
        monkeypatch.setattr(checkpoints.os, "replace", second(os.replace, lambda *args: None))


KINDS = {"plain": ({}, {}), "masters": ({"masters": True}, {}), "lora": ({}, {"lora": LoraConfig(rank=2, dropout=0.2)})}
SETTINGS = {"epochs": 3, "batch_size": 5, "learning_rate": 1e-2, "save_steps": 2, "micro_batch_tokens": 64, "line_length": 32}
"""14 examples in rows: three steps an epoch, nine in all; saved after steps 2, 4, 6 and 8, and at the end."""


@pytest.fixture(scope="module")
def whole(data, nano_dir, tmp_path_factory):
    """Bytes of what undisturbed training ends with, kind by kind."""
    made = {}

    def of(kind):
        if kind not in made:
            own, extra = KINDS[kind]
            out = tmp_path_factory.mktemp(kind) / "whole"
            facts = train(data, nano_dir, out, TrainConfig(**SETTINGS, **own), model=ModelConfig(path=str(nano_dir), **extra))
            assert facts["n_steps"] == 9
            made[kind] = (out / "model.safetensors").read_bytes()
        return made[kind]

    return of


MOMENTS = {
    "before the first checkpoint": (1, []),
    "right behind a checkpoint": (4, ["checkpoint-2", "checkpoint-4"]),
    "between two": (5, ["checkpoint-2", "checkpoint-4"]),
    "at the end of an epoch, behind a checkpoint": (6, ["checkpoint-4", "checkpoint-6"]),
    "at the last step": (8, ["checkpoint-6", "checkpoint-8"]),
}
CASES = [("plain", moment) for moment in MOMENTS] + [(kind, "between two") for kind in ("masters", "lora")]
QUICK = [("plain", "between two"), ("lora", "between two")]


@pytest.mark.parametrize(
    ("kind", "moment"),
    [pytest.param(*case, marks=() if case in QUICK else pytest.mark.slow) for case in CASES],
)
def test_killed_training_resumes_to_identical_weights(kind, moment, whole, data, nano_dir, tmp_path, monkeypatch):
    own, extra = KINDS[kind]
    settings, model = TrainConfig(**SETTINGS, **own), ModelConfig(path=str(nano_dir), **extra)
    parts, work = tmp_path / "parts", tmp_path / "training"
    step, left = MOMENTS[moment]
    with monkeypatch.context() as patch, pytest.raises(Killed):
        interrupted_at(step, patch)
        train(data, nano_dir, parts, settings, model=model, work=work)
    assert sorted(p.name for p in work.iterdir()) == [*left, "settings.json"] and not parts.exists()
    began, told = [], []
    with monkeypatch.context() as patch:
        watch_first_step(began, patch)
        patch.setattr("transformers.trainer.logger.warning", told.append)
        train(data, nano_dir, parts, settings, model=model, work=work)
    assert told == []  # its output layer is tied, so no checkpoint has it and none misses it
    assert began == [int(left[-1].partition("-")[2]) if left else 0]  # continued, not done again
    assert (parts / "model.safetensors").read_bytes() == whole(kind)
    assert not work.exists()


def watch_first_step(began, monkeypatch):
    from rise.training import trainer

    original = trainer.WeightedTrainer.training_step

    def training_step(self, *args, **kwargs):
        if not began:
            began.append(self.state.global_step)
        return original(self, *args, **kwargs)

    monkeypatch.setattr(trainer.WeightedTrainer, "training_step", training_step)


@pytest.mark.parametrize("moment", ["torn", "renamed"])
def test_killed_in_mid_save_the_checkpoint_before_it_is_taken(moment, whole, data, nano_dir, tmp_path, monkeypatch):
    settings, parts, work = TrainConfig(**SETTINGS), tmp_path / "parts", tmp_path / "training"
    with monkeypatch.context() as patch, pytest.raises(Killed):
        interrupted_saving(moment, patch)
        train(data, nano_dir, parts, settings, work=work)
    assert sorted(p.name for p in work.iterdir()) == ["checkpoint-2", "partial", "settings.json"]
    train(data, nano_dir, parts, settings, work=work)
    assert (parts / "model.safetensors").read_bytes() == whole("plain")


def test_other_data_or_settings_are_refused_and_named(data, nano_dir, tmp_path, monkeypatch):
    settings, work = TrainConfig(**SETTINGS), tmp_path / "training"

    def again(examples=data, changed=None, **options):
        return train(
            examples,
            nano_dir,
            tmp_path / "out",
            settings.model_copy(update=changed or {}),
            work=work,
            seed=options.pop("seed", 0),
        )

    with monkeypatch.context() as patch, pytest.raises(Killed):
        interrupted_at(3, patch)
        again()
    with pytest.raises(ResumeError, match=r"train\.learning_rate: 0\.01 → 0\.02"):
        again(changed={"learning_rate": 2e-2})
    with pytest.raises(ResumeError, match="examples: "):
        again([replace(data[0], weight=2 * data[0].weight), *data[1:]])
    with pytest.raises(ResumeError, match="seed: 0 → 1"):
        again(seed=1)
    again(changed={"save_steps": 5, "arguments": {"logging_steps": 1}})  # these decide nothing about the weights


def test_checkpoints_of_who_knows_what_are_not_continued_from(whole, data, nano_dir, tmp_path):
    work = tmp_path / "training"
    (work / "checkpoint-4").mkdir(parents=True)  # no settings.json beside it
    train(data, nano_dir, tmp_path / "out", TrainConfig(**SETTINGS), work=work)
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == whole("plain")


def test_pruning_never_takes_the_last_good_checkpoint(tmp_path):
    from rise.training.checkpoints import complete, put_in_place

    for step in (9, 10, 11):  # 10 is newer than 9, whatever the alphabet says
        (tmp_path / "partial" / f"checkpoint-{step}").mkdir(parents=True)
        put_in_place(tmp_path, step, keep=0)
    assert [path.name for path in complete(tmp_path)] == ["checkpoint-11"]
    (tmp_path / "partial" / "checkpoint-12").mkdir(parents=True)
    put_in_place(tmp_path, 12, keep=2)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint-11", "checkpoint-12"]
