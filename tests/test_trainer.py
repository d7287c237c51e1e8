"""Training: the same numbers however the batch is cut, refusals with reasons, resuming, LoRA, masters. CPU, float32."""

import copy
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from training import close, examples, loss_and_gradient, one_step, weights_of

from rise.config import LoraConfig, ModelConfig, TrainConfig
from rise.errors import ConfigError, DataError, EmptyStageError, ModelError, RiseError
from rise.train import train

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def data(renderer):
    return examples(renderer)


@pytest.fixture(scope="module")
def reference(nano_dir, data, tmp_path_factory):
    """Loss and gradient with one row a line, one line a batch's row: no packing, no merging, one forward pass."""
    out = tmp_path_factory.mktemp("reference") / "out"
    return loss_and_gradient(data, nano_dir, out, merge=False, line_length=8, micro_batch_tokens=10**6)


CUTS = {
    "merged": {"merge": True, "line_length": 8, "micro_batch_tokens": 10**6},
    "packed": {"merge": False, "line_length": 512, "micro_batch_tokens": 10**6},
    "merged and packed": {"merge": True, "line_length": 512, "micro_batch_tokens": 10**6},
    "accumulated over 2": {"merge": False, "line_length": 8, "micro_batch_tokens": 300},
    "accumulated over 4": {"merge": False, "line_length": 8, "micro_batch_tokens": 70},
    "packed and accumulated": {"merge": True, "line_length": 64, "micro_batch_tokens": 64},
}


@pytest.mark.parametrize("cut", CUTS)
def test_the_same_loss_and_gradient_however_the_batch_is_cut(cut, reference, data, nano_dir, tmp_path):
    loss, gradient = loss_and_gradient(data, nano_dir, tmp_path / "out", **CUTS[cut])
    assert loss == pytest.approx(reference[0], abs=1e-5)
    assert close(gradient, reference[1], 1e-5)
    assert max(g.abs().max() for g in gradient.values()) > 0.1  # there is something to compare


def test_the_cuts_above_really_accumulate(data, nano_dir, tmp_path):
    counts = [
        train(data, nano_dir, tmp_path / str(i), one_step(**CUTS[name]))["accumulation"]
        for i, name in enumerate(["packed", "accumulated over 2", "accumulated over 4"])
    ]
    assert counts == [1, 2, 4]


def test_two_ranks_make_the_step_of_one(data, nano_dir, tmp_path):
    """gloo on one machine. 14 examples over 2 ranks in several batches, an odd number, so some rank gets an empty one."""
    cut = {"micro_batch_tokens": 64, "line_length": 32}
    runs = [{"per": "token", **cut}, {"per": "sequence", **cut}, {"per": "token", "batch_size": 1, **cut}]
    alone = [loss_and_gradient(data, nano_dir, tmp_path / str(i), **run) for i, run in enumerate(runs)]
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--rdzv-backend", "c10d"),
        *(
            "--rdzv-endpoint",
            "localhost:0",
            Path(__file__).with_name("training.py"),
            nano_dir,
            tmp_path / "both",
            json.dumps(runs),
        ),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    before = weights_of(nano_dir)
    for number, (loss, gradient) in enumerate(alone):
        facts = json.loads((tmp_path / "both" / str(number) / "facts.json").read_text())
        after = weights_of(tmp_path / "both" / str(number))
        assert facts["loss"] == pytest.approx(loss, abs=1e-5)
        assert close({name: before[name] - after[name] for name in before}, gradient, 1e-5)


def test_a_model_whose_packing_leaks_raises_before_it_trains(renderer, data, tmp_path):
    """A real architecture that cannot be packed: with ALiBi, Falcon takes distances from the mask, not from the positions."""
    import torch
    from transformers import FalconConfig, FalconForCausalLM

    torch.manual_seed(0)
    shape = FalconConfig(
        vocab_size=len(renderer.tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, alibi=True, eos_token_id=2
    )
    leaky = tmp_path / "leaky"
    FalconForCausalLM(shape).save_pretrained(leaky)
    renderer.tokenizer.save_pretrained(leaky)
    with pytest.raises(RiseError, match="packing is not exact"):
        train(data, leaky, tmp_path / "out", one_step(line_length=512))
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_loads_with_plain_transformers_and_says_what_it_is(nano_dir, data, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from rise.train.model import weights_hash

    out = tmp_path / "checkpoint"
    facts = train(data, nano_dir, out, TrainConfig(epochs=1, batch_size=4), card={"task": "arithmetic"})
    assert facts["n_steps"] > 1 and facts["n_weight_0"] == 0
    model, tokenizer = AutoModelForCausalLM.from_pretrained(out), AutoTokenizer.from_pretrained(out)
    assert model.config.use_cache is True and tokenizer.chat_template
    card = json.loads((out / "rise.json").read_text())
    assert card == {"task": "arithmetic", "weights": weights_hash(out)}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint"]  # nothing left beside it


def test_training_lowers_the_loss_of_what_it_trains_on(nano_dir, data, tmp_path):
    logs = []
    settings = TrainConfig(epochs=15, batch_size=4, learning_rate=1e-2, arguments={"logging_steps": 1})
    train([replace(e, weight=1.0) for e in data], nano_dir, tmp_path / "out", settings, on_log=logs.append)
    assert logs[-1]["loss_plain"] < 0.7 * logs[0]["loss_plain"]
    assert logs[-1]["step"] == logs[-1]["steps"] == len(logs)


def test_a_single_step_trains_although_warming_up_starts_from_nothing(nano_dir, data, tmp_path):
    settings = TrainConfig(max_steps=1, batch_size=100, learning_rate=1e-2)
    assert settings.warmup_ratio > 0
    train(data, nano_dir, tmp_path / "out", settings)
    assert not close(weights_of(nano_dir), weights_of(tmp_path / "out"), 1e-3)


def test_lora_trains_and_its_merged_checkpoint_loads_plainly(nano_dir, data, tmp_path):
    from transformers import AutoModelForCausalLM

    model = ModelConfig(path=str(nano_dir), lora=LoraConfig(rank=2, alpha=4))
    out = tmp_path / "checkpoint"
    logs = []
    train(data, nano_dir, out, TrainConfig(epochs=4, batch_size=4, learning_rate=1e-2, arguments={"logging_steps": 1}),
          model=model, on_log=logs.append)  # fmt: skip
    before, after = weights_of(nano_dir), weights_of(out)
    assert before.keys() == after.keys()
    moved = {name for name in before if not before[name].equal(after[name])}
    assert "model.layers.0.self_attn.q_proj.weight" in moved and "model.embed_tokens.weight" not in moved
    AutoModelForCausalLM.from_pretrained(out)
    assert not any("adapter" in p.name for p in out.iterdir())
    assert logs[-1]["loss"] < logs[0]["loss"]


def bfloat16(path, to):
    import torch
    from transformers import AutoModelForCausalLM

    AutoModelForCausalLM.from_pretrained(path, dtype=torch.bfloat16).save_pretrained(to)
    return to


def test_masters_move_bfloat16_weights_where_rounding_would_lose_every_step():
    import torch

    from rise.train.masters import MasterAdamW

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

    from rise.train.masters import MasterAdamW

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


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"per_device_train_batch_size": 4}, "train.batch_size"),
        ({"gradient_accumulation_steps": 4}, "follows from train.batch_size"),
        ({"dataloader_drop_last": True}, "exactly once"),
        ({"label_smoothing_factor": 0.1}, "log-likelihood"),
        ({"save_steps": 3}, "train.save_steps"),
        ({"ignore_data_skip": True}, "continues behind the batches"),
        ({"learning_rat": 1e-3}, 'Did you mean "learning_rate"'),
        ({"optim": "adamm"}, "refuses the settings"),
    ],
)
def test_arguments_that_would_break_the_contract_are_refused_with_the_reason(arguments, reason, data, nano_dir, tmp_path):
    with pytest.raises(ConfigError) as caught:
        train(data, nano_dir, tmp_path / "out", TrainConfig(arguments=arguments))
    assert reason in str(caught.value)


def test_every_refusal_names_a_field_or_something_a_user_may_take_for_one():
    from rise.train.arguments import REFUSED

    assert all(reason[0].islower() for reason in REFUSED.values())


def test_any_other_argument_reaches_the_trainer(data, nano_dir, tmp_path):
    plain = loss_and_gradient(data, nano_dir, tmp_path / "a")[1]
    momentum = loss_and_gradient(data, nano_dir, tmp_path / "b", arguments={"optim": "adafactor"})[1]
    assert not close(plain, momentum, 1e-3)


def broken_model(nano_dir, path, value):
    from safetensors.torch import load_file, save_file

    shutil.copytree(nano_dir, path)
    weights = load_file(path / "model.safetensors")
    weights["model.norm.weight"][0] = value
    save_file(weights, path / "model.safetensors", metadata={"format": "pt"})
    return path


def test_a_loss_that_is_no_number_stops_training_with_a_way_out(data, nano_dir, tmp_path):
    bad = broken_model(nano_dir, tmp_path / "bad", float("nan"))
    with pytest.raises(RiseError, match=r"loss became nan at step 1\. Lower train\.learning_rate"):
        train(data, bad, tmp_path / "out", TrainConfig(line_length=8))  # unpacked: the packing check comes first otherwise
    with pytest.raises(RiseError):
        train(data, bad, tmp_path / "out", TrainConfig())
    assert not (tmp_path / "out").exists()


def test_weights_that_explode_at_the_last_step_are_not_saved(data, nano_dir, tmp_path):
    with pytest.raises(RiseError, match="no longer a number"):
        train([replace(e, weight=1e6) for e in data], nano_dir, tmp_path / "out", one_step(learning_rate=1e38))
    assert not (tmp_path / "out").exists()


def test_nothing_to_train_on_and_weights_that_are_none(data, nano_dir, tmp_path):
    with pytest.raises(EmptyStageError, match="no example"):
        train([], nano_dir, tmp_path / "out", TrainConfig())
    with pytest.raises(EmptyStageError, match="14 of weight 0"):
        train([replace(e, weight=0.0) for e in data], nano_dir, tmp_path / "out", TrainConfig())
    for weight in (-1.0, float("nan")):
        with pytest.raises(DataError, match="has weight"):
            train([replace(data[0], weight=weight)], nano_dir, tmp_path / "out", TrainConfig())


def test_examples_of_weight_0_are_counted(data, nano_dir, tmp_path):
    facts = train([*data, replace(data[0], weight=0.0)], nano_dir, tmp_path / "out", one_step())
    assert facts["n_weight_0"] == 1


def test_a_directory_without_a_model_says_so(data, tmp_path):
    with pytest.raises(ModelError, match=r"holds no config\.json"):
        train(data, tmp_path, tmp_path / "out", TrainConfig())


class Killed(Exception):
    """Stands for kill -9 in this process; tests/test_kill.py does it for real."""


def interrupted_at(step, monkeypatch):
    from rise.train import trainer

    original = trainer.WeightedTrainer.training_step

    def training_step(self, *args, **kwargs):
        if self.state.global_step == step:
            raise Killed
        return original(self, *args, **kwargs)

    monkeypatch.setattr(trainer.WeightedTrainer, "training_step", training_step)


KINDS = {"plain": ({}, {}), "masters": ({"masters": True}, {}), "lora": ({}, {"lora": LoraConfig(rank=2, dropout=0.2)})}


@pytest.mark.parametrize("kind", KINDS)
def test_killed_training_resumes_to_identical_weights(kind, data, nano_dir, tmp_path, monkeypatch):
    own, extra = KINDS[kind]
    settings = TrainConfig(epochs=3, batch_size=4, learning_rate=1e-2, save_steps=2, micro_batch_tokens=64, line_length=32, **own)
    model = ModelConfig(path=str(nano_dir), **extra)
    whole, parts, work = tmp_path / "whole", tmp_path / "parts", tmp_path / "training"
    n_steps = train(data, nano_dir, whole, settings, model=model, work=tmp_path / "other")["n_steps"]
    assert n_steps >= 6
    with monkeypatch.context() as patch, pytest.raises(Killed):
        interrupted_at(5, patch)
        train(data, nano_dir, parts, settings, model=model, work=work)
    assert sorted(p.name for p in work.iterdir()) == ["checkpoint-2", "checkpoint-4"] and not parts.exists()
    steps = []
    train(data, nano_dir, parts, settings, model=model, work=work, on_log=lambda log: steps.append(log["step"]))
    assert close(weights_of(whole), weights_of(parts), 1e-30)
    assert (whole / "model.safetensors").read_bytes() == (parts / "model.safetensors").read_bytes()
    assert not work.exists()


def test_a_checkpoint_torn_by_a_kill_is_not_continued_from(data, nano_dir, tmp_path, monkeypatch):
    settings = TrainConfig(epochs=3, batch_size=4, learning_rate=1e-2, save_steps=2)
    whole, parts, work = tmp_path / "whole", tmp_path / "parts", tmp_path / "training"
    train(data, nano_dir, whole, settings, work=tmp_path / "other")
    with monkeypatch.context() as patch, pytest.raises(Killed):
        interrupted_at(5, patch)
        train(data, nano_dir, parts, settings, work=work)
    (work / "checkpoint-4" / "complete").unlink()  # as if killed in the middle of writing it
    (work / "checkpoint-4" / "model.safetensors").write_bytes(b"torn")
    train(data, nano_dir, parts, settings, work=work)
    assert (whole / "model.safetensors").read_bytes() == (parts / "model.safetensors").read_bytes()


def test_a_checkpoint_that_cannot_be_written_whole_is_no_checkpoint(data, nano_dir, tmp_path, monkeypatch):
    import transformers

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(transformers.PreTrainedTokenizerBase, "save_pretrained", full)
    with pytest.raises(OSError, match="No space left"):
        train(data, nano_dir, tmp_path / "out", one_step())
    assert not (tmp_path / "out").exists()


def test_a_folder_of_somebody_elses_is_neither_replaced_nor_cleared(nano_dir, data, tmp_path):
    """`training/` beside the output may be the user's, and so may the output itself."""
    own, home = tmp_path / "training" / "notes.txt", tmp_path / "home" / "config.json"
    for file in (own, home):
        file.parent.mkdir()
        file.write_text("{}")
    with pytest.raises(ConfigError, match=r"home exists and is no checkpoint"):
        train(data, nano_dir, home.parent, one_step())
    train(data, nano_dir, tmp_path / "out", one_step(save_steps=1))
    train(data, nano_dir, tmp_path / "out", one_step())  # one of ours is replaced
    assert own.exists() and home.exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["home", "out", "training"]


def test_a_plain_process_trains_on_one_of_several_gpus(caplog):
    """The Trainer would wrap the model in DataParallel, which splits batches whose plan is fixed."""
    from types import SimpleNamespace

    from rise.train.trainer import _one_device

    several = SimpleNamespace(n_gpu=4, _n_gpu=4, device="cuda:0")
    assert _one_device(several)._n_gpu == 1
    assert "4 GPUs are visible; this process trains on cuda:0 alone" in caplog.text


@pytest.mark.skipif("not __import__('torch').cuda.is_available()", reason="needs a GPU")
def test_masters_live_where_the_model_trains(nano_dir, data, tmp_path):
    train(data, bfloat16(nano_dir, tmp_path / "start"), tmp_path / "out", one_step(masters=True, line_length=512))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_lora_trains_float32_adapters_on_a_base_of_its_own_type(nano_dir, data, tmp_path, monkeypatch, dtype):
    import torch

    seen = {}

    def look(net, *args):
        seen.update({name: p.dtype for name, p in net.named_parameters()})

    monkeypatch.setattr("rise.train.trainer._check_first_packed_line", look)
    model = ModelConfig(path=str(nano_dir), lora=LoraConfig(rank=2), dtype=dtype)
    train(data, nano_dir, tmp_path / "out", one_step(), model=model)
    assert {t for name, t in seen.items() if "lora" in name} == {torch.float32}
    assert {t for name, t in seen.items() if "lora" not in name} == {getattr(torch, dtype)}


def test_out_of_memory_names_the_setting_to_lower(nano_dir, data, tmp_path, monkeypatch):
    import torch

    def full(*args):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("rise.train.trainer.weighted_nll", full)
    with pytest.raises(RiseError, match=r"train\.micro_batch_tokens = 8192"):
        train(data, nano_dir, tmp_path / "out", one_step())


def test_a_tokenizer_with_several_chat_templates_is_saved(nano_dir, tmp_path):
    """transformers puts them in a folder of their own."""
    from rise.train.model import load_model, save_checkpoint

    model, renderer = load_model(nano_dir)
    tokenizer = copy.deepcopy(renderer.tokenizer)
    tokenizer.chat_template = {"default": tokenizer.chat_template, "tool_use": tokenizer.chat_template}
    save_checkpoint(model, tokenizer, tmp_path / "out")
    assert any(p.is_dir() for p in (tmp_path / "out").iterdir())
