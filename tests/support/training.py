"""What the training tests share, and, run as a script, one rank of a training on two."""

from __future__ import annotations

import json
import os
import random
import sys
from dataclasses import replace
from pathlib import Path

from rise.dataset.example import Example
from rise.recipe.config import TrainConfig
from rise.trajectory import Message

LEARNING_RATE = 1.0


def examples(renderer, n_problems=7, n_turns=2, seed=0):
    """Chains of turns of different lengths with weights 1 … 12, some branching, as the dataset stage would hand them on."""
    rng = random.Random(seed)
    out = []
    for p in range(n_problems):
        messages = [Message("user", f"{rng.randrange(10 ** (1 + p % 4))}+{rng.randrange(10)}")]
        for k in range(n_turns):
            reply = "".join(rng.choice("0123456789+=\n") for _ in range(rng.randint(1, 9)))
            prompt_ids = renderer.prompt_ids(messages)
            ids = renderer.reply_ids(messages, reply)
            out.append(Example(f"p{p}", k, tuple(messages), reply, "student", 1.0, float(rng.randint(1, 12)), prompt_ids, ids))
            if p % 3:  # every third problem branches: its second state does not extend the first reply
                messages += [Message("assistant", reply), Message("user", "?")]
            else:
                messages += [Message("assistant", "1"), Message("user", "?")]
    return out


def known(examples, seed=0):
    """The same with all that any loss may ask for: weights of both signs, also token by token, and three columns of numbers."""
    rng = random.Random(seed)

    def column(n, low, high):
        return tuple(rng.uniform(low, high) for _ in range(n))

    out = []
    for i, e in enumerate(examples):
        n = len(e.reply_ids)
        columns = {"sampled_logps": column(n, -5, -2), "reference_logps": column(n, -5, -2)}
        if i % 2:
            columns["token_weights"] = column(n, -1, 1)
        out.append(replace(e, weight=e.weight - 6.0, kl=0.3 * (i % 3), **columns))
    return out


def one_step(**overrides):
    """Settings under which one plain SGD step with learning rate 1 moves the weights by minus the gradient exactly."""
    own = {"optim": "sgd", "logging_steps": 1, **overrides.pop("arguments", {})}
    return TrainConfig(
        **{
            "epochs": 1,
            "max_steps": 1,
            "batch_size": 1000,
            "learning_rate": LEARNING_RATE,
            "schedule": "constant",
            "warmup_ratio": 0.0,
            "max_grad_norm": 0.0,
            "arguments": own,
            **overrides,
        }
    )


def weights_of(path):
    from safetensors.torch import load_file

    return load_file(Path(path) / "model.safetensors")


def loss_and_gradient(data, start, out, **overrides):
    """(loss as logged, name → gradient) of one optimiser step over all of `data`."""
    from rise.training import train

    logs = []
    train(data, start, Path(out), one_step(**overrides), on_log=logs.append)
    before, after = weights_of(start), weights_of(out)
    return logs[0]["loss"], {name: (before[name] - after[name]) / LEARNING_RATE for name in before}


def close(left, right, tolerance=1e-5):
    return left.keys() == right.keys() and all((left[name] - right[name]).abs().max() < tolerance for name in left)


def _one_rank(start: str, out: Path, runs: list[dict]) -> None:
    from rise.play.render import Renderer
    from rise.training import train

    plain = examples(Renderer.load(start))
    for number, settings in enumerate(runs):
        logs: list[dict] = []
        data = known(plain) if settings.pop("known", False) else plain
        facts = train(data, start, out / str(number), one_step(**settings), on_log=logs.append)
        if os.environ["RANK"] == "0":
            (out / str(number) / "facts.json").write_text(json.dumps({**facts, **logs[0]}))


if __name__ == "__main__":  # torchrun tests/training.py START OUT RUNS
    _one_rank(sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3]))
