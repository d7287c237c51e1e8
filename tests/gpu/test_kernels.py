"""What only a GPU can show, on whichever device is here: `cpu` cases run in every suite, `cuda` cases where there is one."""

import sys
from pathlib import Path

import pytest
import torch

for _name in ("policies", "training"):  # helpers there are used here, also when these tests run alone
    sys.path.append(str(Path(__file__).resolve().parents[1] / _name))

from test_captured import TEXTS, ask, ids, request  # noqa: E402
from test_packing import EXACT, made  # noqa: E402
from training import examples, loss_and_gradient, one_step, weights_of  # noqa: E402

from rise.policies import fused  # noqa: E402
from rise.policies.captured import CapturedBatch  # noqa: E402
from rise.policies.local import LocalPolicy  # noqa: E402
from rise.policies.slots import TRITON, best_way  # noqa: E402
from rise.training import train, varlen  # noqa: E402
from rise.training.model import load_model  # noqa: E402
from rise.training.trainer import Losses  # noqa: E402

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
DEVICES = ["cpu", pytest.param("cuda", marks=needs_gpu)]


def plain_step(**settings):
    """One step of transformers' own optimiser, where `one_step` has plain gradient descent."""
    step = one_step(**settings)
    step.arguments.pop("optim", None)
    return step


@pytest.fixture(scope="module")
def data(renderer):
    return examples(renderer)


@pytest.fixture(scope="module")
def halves(renderer, tmp_path_factory):
    """A tiny Llama whose heads are as wide as flash attention wants them: 16."""
    return made(*EXACT["llama"], renderer, tmp_path_factory.mktemp("wide") / "model")


def attention_of_rows(device, dtype, how):
    """(output, gradients) of attention over rows of 5, 40 and 19 tokens, 4 query heads on 2 of width 64."""
    torch.manual_seed(0)
    sizes = [(1, heads, 64, 64) for heads in (4, 2, 2)]
    q, k, v = (torch.randn(size).to(device, dtype).requires_grad_() for size in sizes)
    starts = torch.tensor([0, 5, 45, 64], dtype=torch.int32, device=device)
    if how == "rows":
        out, _ = varlen.attend(None, q, k, v, None, scaling=0.125, cu_seq_lens_q=starts, max_length_q=64)
    else:
        place = torch.bucketize(torch.arange(64, device=device), starts[1:].long(), right=True)
        mask = (place[:, None] == place[None]) & torch.ones(64, 64, dtype=torch.bool, device=device).tril()
        wide = [part.repeat_interleave(2, dim=1) for part in (k, v)]
        out = torch.nn.functional.scaled_dot_product_attention(q, *wide, attn_mask=mask, scale=0.125).transpose(1, 2)
    return [out.detach().float(), *torch.autograd.grad(out.float().square().sum(), (q, k, v))]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("device", DEVICES)
def test_attention_by_rows_is_attention_behind_a_mask_and_so_are_its_gradients(device, dtype):
    exact = attention_of_rows(device, torch.float32, "mask")
    own = attention_of_rows(device, dtype, "rows")
    allowed = 1e-5 if dtype == torch.float32 else 0.02
    assert all((a.float() - b).norm() <= allowed * b.norm() for a, b in zip(own, exact, strict=True))


@needs_gpu
def test_flash_attention_of_variable_length_is_there():
    """What `auto` takes on a GPU: torch's own kernel, tried and found right, for heads of 64 and 128."""
    assert [varlen.kernel(torch.device("cuda", 0), torch.bfloat16, width) for width in (64, 128)] != [None, None]
    assert varlen.kernel(torch.device("cuda", 0), torch.float32, 64) is None


OPTIONS = {
    "masters": {"masters": True},
    "autocast": {"arguments": {"bf16": True}},
    "checkpointing": {"masters": True, "arguments": {"gradient_checkpointing": True}},
    "compiled": {"masters": True, "compile": True},
    "sdpa": {"masters": True, "attention": "sdpa"},
}


@needs_gpu
@pytest.mark.parametrize("option", OPTIONS)
def test_half_precision_has_the_loss_of_float32_and_packs_exactly(option, data, halves, tmp_path):
    """The packing check of every training raises where a token's score depends on its neighbours."""
    loss, _ = loss_and_gradient(data, halves, tmp_path / "plain", line_length=512)
    logs = []
    settings = plain_step(line_length=512, **{**OPTIONS[option], "learning_rate": 1e-3})
    train(data, halves, tmp_path / "half", settings, on_log=logs.append)
    assert logs[0]["loss"] == pytest.approx(loss, rel=0.02)


@needs_gpu
def test_a_step_waits_for_the_device_nowhere(data, halves, tmp_path, monkeypatch):
    """A pass that asks the device and waits raises; what it logs is asked for afterwards."""
    from rise.training.trainer import WeightedTrainer

    real = WeightedTrainer.compute_loss

    def watched(self, *args, **kwargs):
        torch.cuda.set_sync_debug_mode("error")
        try:
            return real(self, *args, **kwargs)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    monkeypatch.setattr(WeightedTrainer, "compute_loss", watched)
    settings = plain_step(line_length=512, masters=True)
    assert train(data, halves, tmp_path / "out", settings)["n_steps"] == 1


@pytest.mark.parametrize("device", DEVICES)
def test_a_loss_that_is_no_number_stops_the_training_with_its_step(device):
    losses = Losses()
    losses.add(1, torch.tensor(2.0, device=device))
    with pytest.raises(Exception, match="became nan at step 2"):
        losses.add(2, torch.tensor(float("nan"), device=device))
        losses.settle()
    Losses().settle()


@needs_gpu
def test_training_goes_on_to_the_same_loss_after_it_was_stopped(data, halves, tmp_path):
    settings = {"max_steps": 4, "batch_size": 4, "epochs": 4, "masters": True, "save_steps": 2, "learning_rate": 1e-3}
    whole, rest = [], []

    def stop(line):
        if line["step"] == 3:
            raise KeyboardInterrupt

    train(data, halves, tmp_path / "a", plain_step(**settings), on_log=whole.append)
    with pytest.raises(KeyboardInterrupt):
        train(data, halves, tmp_path / "b", plain_step(**settings), on_log=stop)
    train(data, halves, tmp_path / "b", plain_step(**settings), on_log=rest.append)
    assert rest[0]["step"] == 3 and rest[-1]["loss"] == pytest.approx(whole[-1]["loss"], rel=1e-3)


@needs_gpu
def test_adapters_train_and_are_merged(data, halves, tmp_path):
    from rise.recipe.machines import LoraConfig, ModelConfig

    model = ModelConfig(path=str(halves), dtype="bfloat16", lora=LoraConfig(rank=4))
    assert train(data, halves, tmp_path / "out", plain_step(learning_rate=1e-3), model=model)["n_steps"] == 1


@needs_gpu
@pytest.mark.parametrize("captured", [False, True], ids=["plain", "captured"])
def test_replies_on_a_gpu_are_those_of_generate(captured, halves):
    """In float32, where no rounding decides a token."""
    policy = LocalPolicy.load(halves, fixed_batches=False, captured=captured, batch_size=4)
    requests = [request(policy, text, 3) for text in TEXTS]
    assert ids(ask(policy, requests)) == ids(policy.generate(requests))
    if captured:
        assert isinstance(policy.running, CapturedBatch) and policy.running.n_captured > 0


@needs_gpu
@pytest.mark.parametrize("width", [64, 128])
def test_attention_over_slots_has_a_kernel_of_its_own(width):
    """It was compared with SDPA before it was taken."""
    assert best_way(0, torch.bfloat16, width) == TRITON
    assert fused._kernels_agree(torch.device("cuda", 0), torch.bfloat16)


@needs_gpu
def test_log_probabilities_in_half_precision_are_those_of_a_plain_pass(halves):
    import asyncio

    policy = LocalPolicy.load(halves, dtype="bfloat16", fixed_batches=False, captured=True, batch_size=8)
    assert isinstance(policy.running, CapturedBatch) and policy.running.way == TRITON
    [[reply]] = ask(policy, [request(policy, "2+2", 1)])
    prompt = request(policy, "2+2", 1).prompt_ids
    [own] = asyncio.run(policy.score([prompt], [reply.ids]))
    net = load_model(halves)[0]
    with torch.no_grad():
        table = torch.log_softmax(net(torch.tensor([[*prompt, *reply.ids]])).logits[0], -1)
    assert own == pytest.approx([table[len(prompt) - 1 + i, t].item() for i, t in enumerate(reply.ids)], abs=0.1)


@needs_gpu
def test_memory_that_runs_out_halves_the_batch(halves):
    """All but 100 MiB of the allocator's share is taken: 64 rows do not fit, fewer do."""
    policy = LocalPolicy.load(halves, fixed_batches=False, captured=True, batch_size=4096)
    share = (torch.cuda.memory_reserved() + (64 << 20)) / torch.cuda.get_device_properties(0).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(share)
    try:
        [replies] = ask(policy, [request(policy, "2+2", 4096)])
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert len(replies) == 4096 and policy.running.n_halved >= 1


FSDP2 = {
    "ACCELERATE_USE_FSDP": "true",
    "ACCELERATE_MIXED_PRECISION": "bf16",
    "FSDP_VERSION": "2",
    "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
    "FSDP_RESHARD_AFTER_FORWARD": "true",
    "FSDP_STATE_DICT_TYPE": "FULL_STATE_DICT",
}
"""What `accelerate launch` makes of recipes/accelerate/fsdp2.yaml; it does not shard for one process, so torchrun starts it."""
ZERO3 = {"zero_optimization": {"stage": 3}, "bf16": {"enabled": True}, "train_micro_batch_size_per_gpu": 1}


@needs_gpu
@pytest.mark.parametrize("kind", ["fsdp2", "zero3"])
def test_sharded_training_in_one_process(kind, data, halves, tmp_path, monkeypatch):
    """The plain checkpoint that is written has weights that moved."""
    if kind == "zero3":
        pytest.importorskip("deepspeed")
    else:
        for name, value in FSDP2.items():
            monkeypatch.setenv(name, value)
    arguments = {"bf16": True, "logging_steps": 1} | ({"deepspeed": ZERO3} if kind == "zero3" else {})
    settings = plain_step(learning_rate=1e-2, launcher="torchrun --nproc-per-node 1", arguments=arguments)
    assert train(data, halves, tmp_path / "out", settings)["n_steps"] == 1
    before, after = weights_of(halves), weights_of(tmp_path / "out")
    assert any(bool((before[name] != after[name]).any()) for name in before)


@needs_gpu
def test_the_whole_method_on_a_gpu(tmp_path):
    from toys import toy_recipe

    from rise.method.iterate import run

    recipe = toy_recipe(deterministic=False, engine={"captured": True})
    run(recipe, tmp_path / "run", command=["rise", "run", "toy"])
    assert (tmp_path / "run/round-2/metrics.json").exists()
