"""What a recipe may turn on: memory, compilers, attention, watchers. Each gives the same numbers, or is refused with a reason."""

import importlib.util
from types import SimpleNamespace

import pytest
from training import close, examples, loss_and_gradient, one_step

from rise.errors import ConfigError
from rise.recipe.config import TrainConfig
from rise.training import train
from rise.training.arguments import REFUSED, attention_of, check_arguments, check_devices, training_arguments
from rise.training.loss import batch_loss, tensors
from rise.training.rows import Row

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def data(renderer):
    return examples(renderer)


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
        ({"use_liger_kernel": True, "liger_kernel_config": {"fused_linear_cross_entropy": True}}, "knows no weights"),
        ({"report_to": ["no-such-place"]}, "refuses the settings"),
    ],
)
def test_arguments_that_would_break_the_contract_are_refused_with_the_reason(
    arguments, reason, data, nano_dir, tmp_path, monkeypatch
):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: True if name == "liger_kernel" else find(name, *a))
    with pytest.raises(ConfigError) as caught:
        train(data, nano_dir, tmp_path / "out", TrainConfig(arguments=arguments))
    assert reason in str(caught.value)


def test_every_refusal_names_a_field_or_something_a_user_may_take_for_one():
    assert all(reason[0].islower() for reason in REFUSED.values())


def test_any_other_argument_reaches_the_trainer(data, nano_dir, tmp_path):
    plain = loss_and_gradient(data, nano_dir, tmp_path / "a")[1]
    momentum = loss_and_gradient(data, nano_dir, tmp_path / "b", arguments={"optim": "adafactor"})[1]
    assert not close(plain, momentum, 1e-3)


SAME = {
    "activation checkpointing": {"arguments": {"gradient_checkpointing": True}},
    "attention without SDPA": {"attention": "eager"},
    "batches made ahead by another process": {"arguments": {"dataloader_num_workers": 1, "dataloader_prefetch_factor": 4}},
    "compiled": {"arguments": {"torch_compile": True, "torch_compile_backend": "aot_eager"}},
}


@pytest.mark.parametrize("option", SAME)
@pytest.mark.slow
def test_an_option_that_saves_time_or_memory_changes_no_number(option, data, nano_dir, tmp_path):
    loss, gradient = loss_and_gradient(data, nano_dir, tmp_path / "plain", line_length=512)
    other, same = loss_and_gradient(data, nano_dir, tmp_path / "other", line_length=512, **SAME[option])
    assert other == pytest.approx(loss, abs=1e-5)
    assert close(gradient, same, 1e-5)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_no_attention_lets_rows_of_a_line_see_each_other(attention, nano_dir):
    """The second row's loss and gradient are its own, whatever stands in front of it on its line."""
    import torch

    from rise.training.model import load_model

    net = load_model(nano_dir, attention=attention)[0].eval()
    assert net.config._attn_implementation == attention
    last = Row([3, 9, 4, 8, 2], [0, 0, 0, 1.0, 1.0], 1, 2)
    found = []
    for before in ([3, 10, 4, 7, 2], [5] * 5, [7, 7, 2, 2, 9]):
        net.zero_grad()
        batch_loss(net, tensors([[Row(before, [0.0] * 5, 1, 0), last]], 0))[0].backward()
        found.append(torch.cat([p.grad.flatten() for p in net.parameters()]))
    alone = torch.zeros_like(found[0])
    net.zero_grad()
    batch_loss(net, tensors([[last]], 0))[0].backward()
    alone = torch.cat([p.grad.flatten() for p in net.parameters()])
    assert all(torch.allclose(gradient, alone, atol=1e-6) for gradient in found)


def test_all_lines_as_one_give_the_same_loss_and_need_no_filling(nano_dir):
    """What attention of variable length is given: it tells rows apart in one line only."""
    from rise.training.model import load_model

    net = load_model(nano_dir)[0].eval()
    lines = [
        [Row([3, 9, 4, 8, 2], [0, 0, 0, 1.0, 1.0])],
        [Row([3, 10, 2], [0, 0, 3.0]), Row([3, 4], [0, 2.0])],
        [Row([3, 4, 2], [0, 0, 1.0])],
    ]
    flat = tensors(lines, 0, flat=True)
    assert flat["input_ids"].shape == (1, 13)
    assert flat["position_ids"].tolist() == [[0, 1, 2, 3, 4, 0, 1, 2, 0, 1, 0, 1, 2]]
    assert batch_loss(net, flat)[0].item() == pytest.approx(batch_loss(net, tensors(lines, 0))[0].item(), abs=1e-5)


def test_auto_takes_flash_where_it_can_be_had_and_nothing_else_is_taken_in_silence(monkeypatch):
    assert attention_of(TrainConfig(attention="varlen"), "float32", "cpu") == "rise_varlen"
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: True if name == "flash_attn" else find(name, *a))
    assert attention_of(TrainConfig(), "bfloat16", "cuda") == "flash_attention_2"
    assert attention_of(TrainConfig(), "float32", "cuda") is None
    assert attention_of(TrainConfig(), "bfloat16", "cpu") is None
    assert attention_of(TrainConfig(attention="flex"), "float32", "cuda") == "flex_attention"
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "flash_attn" else find(name, *a))
    assert attention_of(TrainConfig(), "bfloat16", "cuda") == "rise_varlen"
    assert attention_of(TrainConfig(), "float32", "cuda") is None
    for name, device, why in (
        ("flash", "cpu", "GPU and bfloat16"),
        ("flash", "cuda", "GPU and bfloat16"),
        ("flex", "cpu", "backward"),
    ):
        with pytest.raises(ConfigError, match=why):
            attention_of(TrainConfig(attention=name), "float32", device)


@pytest.mark.parametrize(
    ("settings", "package"),
    [
        ({"arguments": {"report_to": "wandb"}}, "wandb"),
        ({"arguments": {"report_to": ["trackio"]}}, "trackio"),
        ({"arguments": {"use_liger_kernel": True}}, "liger-kernel"),
        ({"attention": "flash"}, "flash-attn"),
    ],
)
def test_an_option_whose_package_is_missing_names_it_before_anything_runs(settings, package, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None)
    with pytest.raises(ConfigError, match=f"pip install {package}"):
        check_arguments(TrainConfig(**settings))


def test_several_gpus_without_a_launcher_are_refused_with_the_command(monkeypatch, tmp_path):
    """The Trainer would wrap the model in DataParallel, which splits batches whose plan is fixed."""
    import transformers

    monkeypatch.setattr(transformers, "TrainingArguments", lambda **settings: SimpleNamespace(n_gpu=4, report_to=[]))
    with pytest.raises(ConfigError, match=r"4 GPUs are visible.*torchrun --nproc-per-node 4.*CUDA_VISIBLE_DEVICES=0"):
        training_arguments(TrainConfig(), tmp_path, 0, 1, logs=tmp_path / "out")


def test_a_run_hears_of_it_before_it_begins(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    with pytest.raises(ConfigError, match=r"boost\.train: 2 GPUs are visible"):
        check_devices(TrainConfig(), "boost.train")
    check_devices(TrainConfig(launcher="torchrun --nproc-per-node 2"))
    for one in ("0", "", "-1"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", one)
        check_devices(TrainConfig())


def test_masters_and_shards_are_not_mixed():
    with pytest.raises(ConfigError, match=r"train\.masters = true is refused with FSDP"):
        check_arguments(TrainConfig(masters=True, arguments={"fsdp": "full_shard"}))


def test_masters_and_float16_are_not_mixed():
    """float16's scaler finds no gradient in bfloat16 weights whose masters have them: the first step would fail."""
    with pytest.raises(ConfigError, match=r"boost\.train\.masters = true is refused with boost\.train\.arguments\.fp16 = true"):
        check_arguments(TrainConfig(masters=True, arguments={"fp16": True}), "boost.train")
    check_arguments(TrainConfig(masters=True, arguments={"bf16": True, "fp16": False}))
    check_arguments(TrainConfig(arguments={"fp16": True}))


def test_a_log_line_says_what_was_worked_on(nano_dir, renderer, tmp_path):
    """Two rows alone in their lines, 7 and 5 tokens: 14 are computed, 2 of them filling; 2 + 3 are trained."""
    from rise.dataset.example import Example

    def example(n_prompt, n_reply, weight):
        return Example(f"p{n_prompt}", 0, (), "", "student", 0.0, weight, (3,) * n_prompt, (9,) * n_reply)

    logs = []
    train([example(5, 2, 1.0), example(2, 3, 3.0)], nano_dir, tmp_path / "out", one_step(line_length=8), on_log=logs.append)
    [line] = logs
    assert line["share_trained"] == pytest.approx(5 / 14) and line["share_padding"] == pytest.approx(2 / 14)
    assert {"loss", "loss_plain", "grad_norm", "learning_rate", "tokens_per_s", "memory_MiB"} <= line.keys()
    assert line["memory_MiB"] > 50 and line["tokens_per_s"] > 0
    assert "mfu" not in line  # what this processor could do at best is not known


def test_operations_are_counted_by_hand():
    """One linear layer 4 → 3 (12 weights), an output layer 4 → 5 (20), one attention layer of one head of width 4."""
    import torch

    from rise.training.throughput import cost_of

    class Net(torch.nn.Module):
        config = SimpleNamespace(num_hidden_layers=1, num_attention_heads=1, head_dim=4, hidden_size=4)

        def __init__(self):
            super().__init__()
            self.body, self.head = torch.nn.Linear(4, 3, bias=False), torch.nn.Linear(4, 5, bias=False)

        def get_output_embeddings(self):
            return self.head

    cost = cost_of(Net())
    # 6 operations a weight and token: 2 forward, 2 for the input's gradient, 2 for the weight's.
    assert (cost.token, cost.trained) == (72, 120)
    row = Row([1] * 10, [], 1, 4)
    # Attention: 10² / 2 pairs, 2 products of width 4 each, 2 operations, once forward and twice backward.
    assert cost.of([row]) == 72 * 10 + 120 * 4 + 50 * 2 * 4 * 2 * 3
    frozen = Net()
    frozen.body.weight.requires_grad_(False)
    assert cost_of(frozen).token == 48


def test_tensorboard_is_written_beside_the_checkpoint_and_stays(nano_dir, data, tmp_path, monkeypatch):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", "")
    monkeypatch.delenv("TENSORBOARD_LOGGING_DIR")
    settings = one_step(arguments={"report_to": "tensorboard"})
    logs = []
    train(data, nano_dir, tmp_path / "out", settings, on_log=logs.append)
    events = EventAccumulator(str(tmp_path / "tensorboard" / "out"))
    events.Reload()
    [loss] = events.Scalars("train/loss")
    assert (loss.step, loss.value) == (1, pytest.approx(logs[0]["loss"]))
    assert {"train/loss_plain", "train/share_padding", "train/tokens_per_s"} <= set(events.Tags()["scalars"])
