"""The kernels of a decoding step, through Triton's interpreter where there is no GPU, and compiled for the cards they are for.

Triton comes with torch where there is a GPU; `make test-kernels` brings it along elsewhere, and runs these once with
TRITON_INTERPRET=1, which has to be there before Triton is imported, and once without.
"""

import os

import pytest
import torch

triton = pytest.importorskip("triton")

from rise.policies import fused, kernels, slots  # noqa: E402

CUDA = torch.cuda.is_available()
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = "cuda" if CUDA else "cpu"
DTYPES = [torch.float32, torch.float16, *([torch.bfloat16] if CUDA else [])]  # the interpreter multiplies no bfloat16
EXACT = {torch.float32: 2e-6, torch.float16: 2e-3, torch.bfloat16: 1e-2}
"""Of the norm of what float32 gives."""
runs = pytest.mark.skipif(not (CUDA or INTERPRETED), reason="needs a GPU, or TRITON_INTERPRET=1")


def some(*size, dtype):
    return torch.randn(size, device=DEVICE).to(dtype)


def close(ours, exact, dtype):
    assert ours.shape == exact.shape and ours.dtype == dtype
    return (ours.float() - exact).norm() <= EXACT[dtype] * exact.norm()


@runs
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("n_rows", "n_heads", "n_keys", "width"), [(3, 9, 3, 64), (2, 4, 2, 16), (1, 32, 8, 128), (5, 4, 4, 32)])
def test_attention_over_slots_writes_the_new_token_and_is_sdpas(n_rows, n_heads, n_keys, width, dtype):
    """Slots of 1 token, of all their room, and between; two slots of nobody behind them stay as they are."""
    torch.manual_seed(0)
    length = 200
    new = [some(n_rows, 1, n_keys, width, dtype=dtype).transpose(1, 2) for _ in range(2)]
    query = some(n_rows, 1, n_heads, width, dtype=dtype).transpose(1, 2)
    rooms = [some(n_rows + 2, length, n_keys, width, dtype=dtype) for _ in range(2)]
    used = torch.tensor([1, length, 64, 65, 130][:n_rows] if n_rows > 1 else [77], dtype=torch.int32, device=DEVICE)
    after = [room.clone() for room in rooms]
    for room, part in zip(after, new, strict=True):
        room[torch.arange(n_rows), used.long() - 1] = part[:, :, 0]
    mask = (torch.arange(length, device=DEVICE)[None] < used[:, None])[:, None, None]
    key, value = (room[:n_rows].transpose(1, 2).float() for room in after)
    exact, _ = slots.attend(None, query.float(), key, value, mask, 0.1, slots=True)
    assert close(kernels.attend(query, *new, *rooms, used, 0.1), exact, dtype)
    assert all(torch.equal(room, wanted) for room, wanted in zip(rooms, after, strict=True))


@runs
def test_attention_by_hand():
    """Keys of 0 weigh all alike: values 1 and 5 of before and the new 9 make 5, for each of two heads that share them."""
    keys, values = (torch.zeros(1, 4, 1, 16, device=DEVICE) for _ in range(2))
    values[0, :2, 0] = torch.tensor([1.0, 5.0], device=DEVICE)[:, None]
    new = torch.zeros(1, 1, 1, 16, device=DEVICE), torch.full((1, 1, 1, 16), 9.0, device=DEVICE)
    out = kernels.attend(torch.ones(1, 2, 1, 16, device=DEVICE), *new, keys, values, torch.tensor([3], device=DEVICE).int(), None)
    assert out.shape == (1, 1, 2, 16) and torch.allclose(out, torch.tensor(5.0, device=DEVICE))
    assert values[0, :, 0, 0].tolist() == [1, 5, 9, 0]


@runs
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("n_angles", "width"), [(1, 32), (5, 32), (5, 48)])
def test_a_rotation_is_that_of_five_kernels(n_angles, width, dtype):
    """Also of the first 32 dimensions of wider heads."""
    torch.manual_seed(0)
    q, k = (some(5, 1, n, width, dtype=dtype).transpose(1, 2)[..., :32] for n in (9, 3))
    angles = [some(n_angles, 1, 32, dtype=dtype) for _ in range(2)]
    exact = fused.rotate(q.float(), k.float(), *(part.float() for part in angles))
    assert all(close(ours, theirs, dtype) for ours, theirs in zip(kernels.rotate(q, k, *angles), exact, strict=True))


@runs
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_gate_is_silu_times_the_other(dtype):
    torch.manual_seed(0)
    gate, up = some(3, 1, 1500, dtype=dtype), some(3, 1, 1500, dtype=dtype)
    assert close(kernels.gated(gate, up), torch.nn.functional.silu(gate.float()) * up.float(), dtype)


@runs
@pytest.mark.parametrize("config", ["LlamaConfig", "Qwen3Config"])
def test_a_step_of_a_whole_model_through_them_passes_its_trial(config, monkeypatch):
    import transformers

    from rise.policies import captured

    sizes = {"vocab_size": 60, "hidden_size": 64, "intermediate_size": 48, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16}
    torch.manual_seed(0)
    net = transformers.AutoModelForCausalLM.from_config(getattr(transformers, config)(**sizes, **heads)).eval().to(DEVICE)
    calls = []
    for name in ("attend", "rotate", "gated"):
        own = getattr(kernels, name)
        monkeypatch.setattr(kernels, name, lambda *given, own=own, name=name: calls.append(name) or own(*given))
    monkeypatch.setattr(fused, "_has_kernels", lambda tensor: tensor.device.type == DEVICE)
    monkeypatch.setattr(captured, "best_way", lambda *given: slots.TRITON)
    with fused.fewer_kernels(net):
        calls.clear()
        assert captured.CapturedBatch.can(net)
    assert {name: calls.count(name) for name in ("attend", "rotate")} == {
        "attend": 2,
        "rotate": 2,
    } and "gated" in calls  # a layer each


@pytest.mark.skipif(CUDA or INTERPRETED, reason="the cases above compile them, or an interpreter is there")
@pytest.mark.parametrize("capability", [80, 90])
def test_they_compile_for_ampere_and_hopper_and_keep_what_they_sum_in_registers(capability):
    """At the shapes of SmolLM2 and of 8 billion; two blocks and more fit the shared memory of a multiprocessor."""
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    target, room = GPUTarget("cuda", capability, 32), {80: 164, 90: 228}[capability] << 10

    def shared(kernel, constants, **options):
        kinds = dict.fromkeys(("query", "new_key", "new_value", "keys", "values", "out", "q", "k", "cos", "sin"), "*bf16")
        kinds |= {"out_q": "*bf16", "out_k": "*bf16", "gate": "*bf16", "up": "*bf16", "used": "*i32", "scale": "fp32"}
        types = {name: "constexpr" if name in constants else kinds.get(name, "i32") for name in kernel.arg_names}
        round_ones = [i for i, (name, kind) in enumerate(types.items()) if kind[0] == "*" or (kind == "i32" and name != "n")]
        given = ASTSource(kernel, types, constants, {(i,): [["tt.divisibility", 16]] for i in round_ones})
        return triton.compile(given, target=target, options=options).metadata.shared

    sizes = {"num_warps": kernels.WARPS, "num_stages": kernels.STAGES}
    for n_shared, width in ((3, 64), (4, 128)):
        constants = {"N_SHARED": n_shared, "N_QUERIES": 16, "WIDTH": width, "BLOCK": kernels.BLOCK}
        assert 2 * shared(kernels._attend, constants, **sizes) <= room
    assert shared(kernels._rotate, {"N_Q": 9, "N_K": 3, "ROOM_Q": 16, "ROOM_K": 4, "HALF": 32}) == 0
    assert shared(kernels._gated, {"BLOCK": 1024}) == 0
