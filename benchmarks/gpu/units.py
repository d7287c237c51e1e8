"""One unit of the check: `units.py NAME --out FILE [--toy]`. What it finds is written to FILE as JSON, also in between."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import fcntl
import importlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import prepare
from shapes import BANDWIDTH, SHAPES, TOY, Shape, device, made, renderer
from trained import Profile, train

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "gpu"
KEPT = (
    "m1@t1",
    "m5@t1",
    "m1@t5",
    "t5",
    "p1@t5",
    "wrong_to_right",
    "right_to_wrong",
    "unparsable",
    "accuracy_by_turn",
    "paired",
    "controls",
    "own_check",
)
"""What is kept of a stage's metrics.json."""

IMPORTED = {
    "train": (
        "rise.recipe.config",
        "rise.training.finetune",
        "rise.training.throughput",
        "torch._inductor.compile_fx",
        "torch.profiler",
    ),
    "trl": ("trl", "datasets", "peft", "rise.training.throughput"),
    "generate": ("rise.policies.local", "torch.profiler"),
    "attend": ("rise.policies.slots",),
}
"""What a unit imports before its turn."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--toy", action="store_true")
    parser.add_argument("--turn", type=Path, help="a file to lock, so that one unit at a time is measured")
    given = parser.parse_args()
    part, *rest = given.name.replace(",", "").split()
    unit = {"tests": tests, "train": train, "generate": generate, "attend": attend, "real": real}[part]
    for module in IMPORTED.get("trl" if "trl" in rest else part, ()):
        importlib.import_module(module)
    partial = given.out.with_suffix(".partial")

    def put(found: dict[str, Any]) -> None:
        partial.write_text(json.dumps(found, indent=1), encoding="utf-8")
        partial.replace(given.out)

    with given.turn.open("w") if given.turn else contextlib.nullcontext() as turn:
        if turn:
            fcntl.flock(turn, fcntl.LOCK_EX)
        put({})
        put(unit(rest, given.toy, put))


# (a) tests


def tests(words: list[str], toy: bool, put: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """pytest on tests/gpu; how many passed, and what did not."""
    few = ["-k", "attention or number"] if toy else ["-n", "6", "--durations=8"]
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-vvrfEs", str(ROOT / "tests" / "gpu"), *few]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT)
    assert process.stdout
    found: dict[str, Any] = {}
    for line in process.stdout:
        print(line, end="", flush=True)
        if line.startswith(("FAILED", "ERROR", "SKIPPED")):
            found.setdefault("not passed", []).append(line.strip()[:300])
        found |= {f"n_{kind}": int(n) for n, kind in re.findall(r"(\d+) (passed|failed|skipped|error)", line)}
        put(found)
    if process.wait() not in (0, 1):  # 1: some failed, which stands above; else not all were run
        raise SystemExit(f"pytest ended with {process.returncode}: not every test was run")
    return found


# (c) generation


def generate(words: list[str], toy: bool, put: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    import random

    import torch

    from rise.policies.local import LocalPolicy
    from rise.policy import Request, Sampling

    name, how = words
    shape = (TOY if toy else SHAPES)[name]
    on_gpu = device() == "cuda"
    net = made(shape, device(), "bfloat16" if on_gpu else "float32")
    n_prompt, n_new = (8, 16) if toy else (128, 256)
    rng = random.Random(0)
    prompts = [tuple(rng.randrange(3, shape.vocabulary) for _ in range(n_prompt)) for _ in range(shape.rows)]
    if how == "transformers":
        return theirs(net, prompts, n_new, shape)
    net.generation_config.eos_token_id = None
    policy = LocalPolicy(
        net, Endless(renderer()), name="r", batch_size=shape.rows, fixed_batches=False, captured=how == "captured"
    )

    async def ask(n: int) -> list[Any]:
        sampling = Sampling(temperature=1.0, top_p=1.0, max_new_tokens=n)
        return await asyncio.gather(*(policy.reply(Request((), sampling, (i,), ids)) for i, ids in enumerate(prompts)))

    began = time.perf_counter()
    asyncio.run(ask(n_new))  # captures what the second will replay
    first = time.perf_counter() - began
    put({"first_s": round(first, 2)})
    began = time.perf_counter()
    replies = asyncio.run(ask(n_new))
    if on_gpu:
        torch.cuda.synchronize()
    seconds = time.perf_counter() - began
    n_tokens = sum(len(reply.ids) for some in replies for reply in some)
    peak = torch.cuda.max_memory_allocated() >> 20 if on_gpu else None
    found = {
        "way": type(policy.running).__name__,
        "attention": getattr(policy.running, "way", None),
        "facts": policy.facts(),
        "rows": shape.rows,
        "tokens_per_s": round(n_tokens / seconds),
        "first_s": round(first, 2),
        **bound(shape, n_prompt, n_new, n_tokens / seconds),
        "peak_MiB": peak,
    }
    put(found)
    return found | ({"kernels": kernels(lambda: asyncio.run(ask(32)))} if on_gpu else {})


def attend(words: list[str], toy: bool, put: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Microseconds of one layer's attention of a decoding step: each way that runs here, our kernel in several sizes."""
    import torch

    from rise.policies import slots

    shape = (TOY if toy else SHAPES)[words[0]]
    where, length = torch.device(device()), 64 if toy else 512
    n, width, dtype = shape.rows, shape.head_dim, torch.bfloat16 if device() == "cuda" else torch.float32
    torch.manual_seed(0)
    keys, values = (torch.randn((n, length, shape.kv_heads, width), device=where, dtype=dtype) for _ in range(2))
    query, *new = (torch.randn((n, h, 1, width), device=where, dtype=dtype) for h in (shape.heads, *[shape.kv_heads] * 2))
    used = torch.randint(length // 4, 3 * length // 4, (n,), device=where, dtype=torch.int32)
    ramp = torch.arange(n + 1, device=where, dtype=torch.int32)
    lengths = slots.Lengths(ramp, ramp * length, used, length)
    mask = (torch.arange(length, device=where)[None] < used[:, None])[:, None, None]
    read = 2 * int(used.sum()) * shape.kv_heads * width * keys.element_size()

    def once(way: str) -> None:
        layer = slots.SlotLayer(keys, values, (ramp[:n].long(), used.long() - 1), way == slots.TRITON)
        slots.attend(None, query, *layer.update(*new), mask, slots=lengths if way != slots.SDPA else True)

    found: dict[str, Any] = {
        "rows": n,
        "tokens": float(used.float().mean()),
        "way": slots.best_way(where.index or 0, dtype, width),
    }
    variants = [(64, 4, 3), (64, 4, 2), (64, 2, 3), (128, 4, 3), (128, 4, 2), (128, 8, 2), (32, 4, 3), (32, 2, 4)]
    for name, sizes in [(slots.SDPA, None), (slots.FLASH, None), *((slots.TRITON, sizes) for sizes in variants)]:
        if (device() != "cuda" and name != slots.SDPA) or (sizes and slots.kernels is None):
            continue
        if sizes:
            slots.kernels.BLOCK, slots.kernels.WARPS, slots.kernels.STAGES = sizes
        us = 1e6 * seconds_of(lambda way=name: once(way))
        found[f"{name} {sizes}" if sizes else name] = {"us": round(us, 1), "GB_per_s": round(read / us / 1e3)}
        put(found)
    return found


def seconds_of(call: Callable[[], Any], n: int = 50) -> float:
    """Of one call, by the device's clock where there is one; the calls are one graph there, so no launch is counted."""
    import torch

    if device() != "cuda":
        began = time.perf_counter()
        call()
        return time.perf_counter() - began
    call()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(n):
            call()
    graph.replay()
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    graph.replay()
    end.record()
    torch.cuda.synchronize()
    return float(start.elapsed_time(end)) / n / 1e3


def kernels(call: Callable[[], Any]) -> dict[str, Any]:
    """Seconds of a call by the clock and on the device, and the kernels that took most of them."""
    watched = Profile()
    watched.start()
    call()
    return watched.stop()


class Endless(SimpleNamespace):
    """A renderer under which no token ends a reply: all are equally long."""

    def __init__(self, own: Any) -> None:
        super().__init__(tokenizer=SimpleNamespace(pad_token_id=0), eos_ids=frozenset(), text=own.text, add_ends=own.add_ends)


def bound(shape: Shape, n_prompt: int, n_new: int, rate: float) -> dict[str, Any]:
    """Tokens a second if a step only read the weights, and keys and values of what is there; the share of it that was reached."""
    import torch

    if not torch.cuda.is_available():
        return {"bound_tokens_per_s": None, "share_of_bound": None}
    card = torch.cuda.get_device_name()
    bandwidth = next((value for part, value in BANDWIDTH.items() if part in card), None)
    if bandwidth is None:
        return {"bound_tokens_per_s": None, "share_of_bound": None}
    read = 2 * shape.n_parameters + shape.rows * (n_prompt + n_new / 2) * shape.kv_bytes
    most = shape.rows * bandwidth / read
    return {"bound_tokens_per_s": round(most), "share_of_bound": round(rate / most, 3)}


def theirs(net: Any, prompts: list[tuple[int, ...]], n_new: int, shape: Shape) -> dict[str, Any]:
    """transformers' own continuous batching, with its paged SDPA: what there is without flash-attn."""
    from transformers import GenerationConfig

    settings = GenerationConfig(max_new_tokens=n_new, do_sample=True, eos_token_id=-1, pad_token_id=0)
    began = time.perf_counter()
    out = net.generate_batch(inputs=[list(ids) for ids in prompts], generation_config=settings)
    seconds = time.perf_counter() - began
    n_tokens = sum(len(found.generated_tokens) for found in out.values())
    rate = n_tokens / seconds
    return {"tokens_per_s": round(rate), **bound(shape, len(prompts[0]), n_new, rate)}


# (d) a real model


def real(words: list[str], toy: bool, put: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """The recipe with this seed, then its control at the first turn; a run that was stopped goes on. Every stage's metrics."""
    name, seed = words
    recipe = ROOT / "recipes" / "gpu" / f"{name}.toml"
    with tempfile.TemporaryDirectory() as scratch:
        run = Path(scratch) / "run" if toy else BUILD / "runs" / f"{name}-{seed}"
        if toy:
            options = toy_settings(Path(scratch), name)
        else:
            if why := real_model(name):
                return {"skipped": why}
            options = []
        rise = [sys.executable, "-m", "rise.cli.main", "run"]
        made = [*rise, str(recipe), "--set", f"seed={seed}", "--out", str(run), *options]
        if (run / "config.toml").exists():
            made = [*rise, str(run)]  # as it was last opened: perhaps with the control, which cannot be undone
        for command in (made, [*rise, str(run), "--set", "evaluate.internalised=true"]):
            if "internalised" in command[-1] and toy:
                continue
            process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PYTHONUNBUFFERED": "1"})
            while process.poll() is None:
                time.sleep(0.5)
                put(stages(run))
            if process.returncode:
                raise SystemExit(f"{' '.join(command[3:])} ended with {process.returncode}")
        return stages(run)


def stages(run: Path) -> dict[str, Any]:
    found = {path.parent.name: json.loads(path.read_text()) for path in sorted(run.glob("*/metrics.json"))}
    return {"stages": {name: {key: values[key] for key in KEPT if key in values} for name, values in found.items()}}


def real_model(recipe: str) -> str:
    """Convert the model once; why that cannot be, or empty."""
    if recipe == "svamp" and not (BUILD / "data" / "svamp-train.jsonl").exists():
        return "no data: python benchmarks/gpu/prepare.py where they are, and carry build/gpu/data"
    with (BUILD / "lock").open("w") as lock:  # of several units at once, one converts and the others find it
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (BUILD / "smollm2" / "config.json").exists():
            return ""
        whole = prepare.join_model()
        if whole is None:
            return "the model's parts are not both here: carry build/gpu/model-1, then build/gpu/model-2"
        from rise.training.model import convert_gguf

        convert_gguf(whole.parent, whole.name, BUILD / "smollm2")
    return ""


def toy_settings(folder: Path, name: str) -> list[str]:
    """Eight problems and a model of characters, in place of a recipe's data and SmolLM2."""
    from rise.recipe.machines import NanoConfig
    from rise.training.nano import make_nano

    shape = NanoConfig(hidden=32, layers=2, heads=2, kv_heads=1, intermediate=64, max_length=1024)
    letters = "".join(map(chr, range(32, 127))) + "\n"
    make_nano(shape, letters, seed=0, path=folder / "model")
    chosen: dict[str, Any] = {"model.path": folder / "model"}
    if name == "svamp":
        rows = [
            {"question": f"Ann has {i} pens and buys {i % 7} more. How many?", "gold": str(i + i % 7)}
            | {"solution": f"{i} + {i % 7} = {i + i % 7}\n#### {i + i % 7}"}
            for i in range(60)
        ]
        for split, some in (("train", rows[:40]), ("validation", rows[40:50]), ("test", rows[50:])):
            (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in some), encoding="utf-8")
            chosen[f"task.settings.{split}_path"] = folder / f"{split}.jsonl"
    if device() == "cpu":
        chosen |= {"model.dtype": "float32"}
        chosen |= {f"{part}.masters": "false" for part in ("train", "boost.train", "boost.train_multi_turn")}
    return ["--scale", "toy", *(word for key, value in chosen.items() for word in ("--set", f"{key}={value}"))]


if __name__ == "__main__":
    main()
