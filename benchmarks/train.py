r"""Trained tokens a second and peak memory: ours, TRL's SFTTrainer, and the reference recipe's way. Prints JSON; one core.

    make models/smollm2
    S="--set boost.enabled=false --set rollout.n_problems=32 --set rollout.turns=2 --set relabel.improver=gold \
       --set sampling.max_new_tokens=160 --set state.window=all --set dataset.replay_share=0"
    rise rollout recipes/smol.toml --policy models/smollm2 --out trajectories.jsonl $S
    rise relabel recipes/smol.toml --policy models/smollm2 --trajectories trajectories.jsonl --out relabelled.jsonl \
        --examples examples.jsonl $S
    pip install trl
    OMP_NUM_THREADS=1 python benchmarks/train.py examples.jsonl --start models/smollm2

Every side trains the same examples, each once, all of them in one optimiser step (AdamW), in a process of its own, from the
same weights, in the same precision. What is timed is `Trainer.train`: no loading, no saving. `tokens_per_cpu_s` divides
trained (reply) tokens by the processor time of the one thread, which another process on the machine does not stretch;
`tokens_per_s` by the clock. Ours compares packed with single rows before its first step; that is `check_s`, left out of both.

    ours             one row an example, as the others have it: packing, the loss at trained positions in chunks
    ours, merged     examples that continue one another as one row: the same sum, fewer tokens
    …, varlen        attention of each row by itself (train.attention = "varlen") in place of SDPA with a mask over the line
    trl              SFTTrainer(packing=True, completion_only_loss=True), without activation checkpointing; no weights
    reference        every sample alone, padded to 2,048, logits everywhere; the first `--reference` examples only
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path
from typing import Any

from rise.dataset.example import Example, read_examples

SIDES = ("ours", "ours, varlen", "ours, merged", "ours, merged, varlen", "trl", "reference")
PRECISIONS = ("float32", "autocast", "bfloat16")
LINE, BATCH = 512, 1024
"""Tokens of a packed line, and of a forward pass, on both sides."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("examples", type=Path)
    parser.add_argument("--start", type=Path, required=True)
    parser.add_argument("--n", type=int, default=24, help="examples of each side")
    parser.add_argument("--reference", type=int, default=2, help="examples of the reference's way, which is slow")
    parser.add_argument("--precision", nargs="+", choices=PRECISIONS, default=["float32"])
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES))
    parser.add_argument("--side", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        examples = chosen(given.examples, given.n)[: given.reference if given.side == "reference" else None]
        print("RESULT " + json.dumps(measure(given.side, examples, given.start, given.precision[0])))
        return
    result: dict[str, Any] = {
        "machine": machine(),
        "start": given.start.name,
        "data": shape(chosen(given.examples, given.n)),
        "sides": {},
    }
    for precision in given.precision:
        for side in given.sides:
            own = ["--side", side, "--precision", precision, "--n", str(given.n), "--reference", str(given.reference)]
            done = subprocess.run(
                [sys.executable, __file__, str(given.examples), "--start", str(given.start), *own],
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                stdout=subprocess.PIPE,
                text=True,
            )
            found = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
            name = f"{side}, {precision}"
            result["sides"][name] = json.loads(found[0].removeprefix("RESULT ")) if found else {"failed": done.returncode}
            print(name, result["sides"][name], file=sys.stderr)
    print(json.dumps(result, indent=1))


def chosen(file: Path, n: int) -> list[Example]:
    """Whole problems, in order, until there are `n` examples or more."""
    out: list[Example] = []
    for example in read_examples(file):
        if len(out) >= n and example.problem_id != out[-1].problem_id:
            break
        out.append(example)
    return out


def shape(examples: list[Example]) -> dict[str, float]:
    lengths = [len(e.prompt_ids) + len(e.reply_ids) for e in examples]
    return {
        "n_examples": len(examples),
        "n_problems": len({e.problem_id for e in examples}),
        "n_tokens": sum(lengths),
        "n_trained": sum(len(e.reply_ids) for e in examples),
        "longest": max(lengths),
        **shared(examples),
    }


def shared(examples: list[Example]) -> dict[str, float]:
    """Tokens of all rows ÷ distinct prefixes of a problem: the most that computing shared prefixes once could save."""
    from rise.training.rows import make_rows

    out = {}
    by_problem: dict[str, list[Example]] = {}
    for example in examples:
        by_problem.setdefault(example.problem_id, []).append(example)
    for name, merge in (("", False), (", merged", True)):
        n_tokens = n_distinct = 0
        for own in by_problem.values():
            nodes: dict[tuple[int, int], int] = {}  # a trie: (node, token) → node
            for row in make_rows(own, per="token", merge=merge):
                node = 0
                for token in row.ids:
                    node = nodes.setdefault((node, token), len(nodes) + 1)
                n_tokens += len(row.ids)
            n_distinct += len(nodes)
        out[f"tokens per distinct prefix{name}"] = round(n_tokens / n_distinct, 3)
    return out


def measure(side: str, examples: list[Example], start: Path, precision: str) -> dict[str, float]:
    import torch
    import transformers

    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    found: dict[str, float] = {}
    real = transformers.Trainer.train

    def train(self: Any, *args: Any, **kwargs: Any) -> Any:
        wall, cpu = time.perf_counter(), time.process_time()
        out = real(self, *args, **kwargs)
        found.update(wall_s=time.perf_counter() - wall, cpu_s=time.process_time() - cpu)
        found["peak_MiB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        found["n_steps"] = self.state.global_step
        return out

    transformers.Trainer.train = train
    with tempfile.TemporaryDirectory() as scratch:
        how = {"trl": with_trl, "reference": with_reference}.get(side)
        if how:
            how(examples, start, precision, Path(scratch))
        else:
            with_ours(examples, start, precision, Path(scratch), side=side, found=found)
    wall, cpu = found["wall_s"] - found.get("check_s", 0), found["cpu_s"] - found.get("check_cpu_s", 0)
    n = sum(len(e.reply_ids) for e in examples)
    speed = {"n_trained": n, "tokens_per_cpu_s": round(n / cpu, 1), "tokens_per_s": round(n / wall, 1)}
    return {name: round(value, 2) for name, value in {**speed, **found}.items()}


def with_ours(examples: list[Example], start: Path, precision: str, scratch: Path, *, side: str, found: dict[str, float]) -> None:
    from rise.recipe.config import TrainConfig
    from rise.training import finetune, train

    real = finetune.check_exact

    def check(*args: Any, **kwargs: Any) -> None:
        wall, cpu = time.perf_counter(), time.process_time()
        real(*args, **kwargs)
        found.update(check_s=time.perf_counter() - wall, check_cpu_s=time.process_time() - cpu)

    finetune.check_exact = check
    settings = TrainConfig(
        max_steps=1,
        batch_size=len(examples),
        learning_rate=1e-5,
        schedule="constant",
        warmup_ratio=0,
        merge="merged" in side,
        attention="varlen" if "varlen" in side else "auto",
        line_length=LINE,
        micro_batch_tokens=BATCH,
        masters=precision == "bfloat16",
        arguments={"bf16": True} if precision == "autocast" else {},
    )
    train(examples, start, scratch / "out", settings)


def common(scratch: Path, precision: str, accumulation: int) -> dict[str, Any]:
    return {
        "output_dir": str(scratch),
        "use_cpu": True,
        "num_train_epochs": 1,
        "learning_rate": 1e-5,
        "weight_decay": 0.0,
        "lr_scheduler_type": "constant",
        "report_to": "none",
        "disable_tqdm": True,
        "save_strategy": "no",
        "logging_steps": 1,
        "bf16": precision == "autocast",
        "gradient_accumulation_steps": accumulation,
        "gradient_checkpointing": False,
    }


def load(start: Path, precision: str) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(start, dtype=torch.bfloat16 if precision == "bfloat16" else torch.float32)


def with_trl(examples: list[Example], start: Path, precision: str, scratch: Path) -> None:
    from datasets import Dataset
    from transformers import AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    rows = [
        {"input_ids": [*e.prompt_ids, *e.reply_ids], "completion_mask": [0] * len(e.prompt_ids) + [1] * len(e.reply_ids)}
        for e in examples
    ]
    longest = max(len(row["input_ids"]) for row in rows)
    settings = common(scratch, precision, accumulation=1000) | {
        "per_device_train_batch_size": BATCH // LINE,
        "packing": True,
        "completion_only_loss": True,
        "max_length": max(LINE, longest),
    }
    trainer = SFTTrainer(
        load(start, precision),
        SFTConfig(**settings),
        train_dataset=Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(start),
    )
    trainer.train()


def with_reference(examples: list[Example], start: Path, precision: str, scratch: Path) -> None:
    """Mean loss of each sample times its weight, samples one by one at full length."""
    import torch
    from transformers import Trainer, TrainingArguments

    length = 2048

    def padded(e: Example) -> dict[str, Any]:
        ids = torch.zeros(length, dtype=torch.long)
        labels, mask = torch.full((length,), -100), torch.zeros(length, dtype=torch.long)
        n, m = len(e.prompt_ids), len(e.prompt_ids) + len(e.reply_ids)
        ids[:m], labels[n:m], mask[:m] = torch.tensor([*e.prompt_ids, *e.reply_ids]), torch.tensor(e.reply_ids), 1
        return {"input_ids": ids, "labels": labels, "attention_mask": mask, "weight": torch.tensor(e.weight)}

    class Alone(Trainer):
        def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
            weight = inputs.pop("weight")
            return model(**inputs).loss * weight.squeeze()

    settings = common(scratch, precision, accumulation=len(examples)) | {
        "per_device_train_batch_size": 1,
        "remove_unused_columns": False,
    }
    Alone(load(start, precision), TrainingArguments(**settings), train_dataset=[padded(e) for e in examples]).train()


def machine() -> dict[str, Any]:
    name = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line), ""
    )
    versions = {package: metadata.version(package) for package in ("torch", "transformers", "trl")}
    return {"processor": name, "python": platform.python_version(), "threads": 1, **versions}


if __name__ == "__main__":
    main()
