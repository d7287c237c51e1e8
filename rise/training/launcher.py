"""Training under a launcher (torchrun, accelerate launch), started from a process outside it.

`rise run` is one process; with `train.launcher` it starts this module on every device for each training. The first rank prints
each log line, and at the end the counts, as JSON.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rise.dataset.example import Example, read_examples
from rise.errors import ConfigError, RiseError
from rise.jsonl import write_jsonl
from rise.recipe.config import TrainConfig
from rise.recipe.machines import ModelConfig
from rise.training.ranks import first_rank
from rise.trajectory import to_json

MARK = "rise-train: "
OURS = {"torchrun": "torch.distributed.run", "accelerate": "accelerate.commands.accelerate_cli"}
"""Launchers started as modules of this environment, so that the PATH does not matter."""


def launch(
    examples: Sequence[Example],
    start: Path | str,
    out: Path,
    config: TrainConfig,
    *,
    model: ModelConfig | None,
    seed: int,
    card: dict[str, Any] | None,
    work: Path,
    on_log: Callable[[dict[str, Any]], None] | None,
) -> dict[str, Any]:
    """See `rise.training.train`. Raises `RiseError` with the last lines of the ranks' output if they fail."""
    assert config.launcher
    with tempfile.TemporaryDirectory(prefix="rise-train-") as scratch:
        request = Path(scratch) / "request.json"
        write_jsonl(Path(scratch) / "examples.jsonl", (to_json(e) for e in examples))
        own = config.model_dump(mode="json") | {"launcher": None}
        asked = {
            "start": str(start),
            "out": str(out),
            "work": str(work),
            "train": own,
            "seed": seed,
            "card": card,
            "model": model.model_dump(mode="json") if model else None,
            "parent": os.getpid(),
            "deterministic": "torch" in sys.modules and sys.modules["torch"].are_deterministic_algorithms_enabled(),
        }
        request.write_text(json.dumps(asked), encoding="utf-8")
        command = [*launcher(config.launcher), "-m", "rise.training.launcher", str(request)]
        try:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        except OSError as error:
            raise ConfigError(f'train.launcher = "{config.launcher}" cannot be started: {error}.') from error
        facts: dict[str, Any] = {}
        said: deque[str] = deque(maxlen=30)
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if not line.startswith(MARK):
                    said.append(line)
                    continue
                event = json.loads(line.removeprefix(MARK))
                if "log" in event and on_log:
                    on_log(event["log"])
                facts = event.get("facts", facts)
        finally:
            if process.poll() is None and sys.exc_info()[0] is not None:
                process.terminate()
            code = process.wait()
    if code or not facts:
        raise RiseError(f'training under train.launcher = "{config.launcher}" ended with code {code}:\n{"".join(said).rstrip()}')
    return facts


def launcher(words: str) -> list[str]:
    """The words of a command line.

    >>> launcher("torchrun --nproc-per-node 2")[1:]
    ['-m', 'torch.distributed.run', '--nproc-per-node', '2']
    """
    first, *rest = shlex.split(words) or [""]
    if not first:
        raise ConfigError('train.launcher is empty. Leave it out, or give a command such as "torchrun --nproc-per-node 4".')
    return [sys.executable, "-m", OURS[first], *rest] if first in OURS else [first, *rest]


def main(file: str) -> None:
    """Entry point of a training rank. `file` is the request that `launch` wrote; examples.jsonl lies beside it."""
    import torch

    from rise.training.finetune import finetune

    asked = json.loads(Path(file).read_text(encoding="utf-8"))
    threading.Thread(target=_end_with, args=(asked["parent"],), daemon=True).start()
    first = first_rank()
    if asked["deterministic"]:
        torch.use_deterministic_algorithms(True, warn_only=True)

    def tell(**event: Any) -> None:
        if first:
            print(MARK + json.dumps(event), flush=True)

    try:
        facts = finetune(
            list(read_examples(Path(file).with_name("examples.jsonl"))),
            asked["start"],
            Path(asked["out"]),
            TrainConfig(**asked["train"]),
            model=ModelConfig(**asked["model"]) if asked["model"] else None,
            seed=asked["seed"],
            card=asked["card"],
            work=Path(asked["work"]),
            on_log=lambda log: tell(log=log),
        )
    except RiseError as error:
        print(error, flush=True)
        sys.exit(1)
    tell(facts=facts)


def _end_with(parent: int) -> None:
    """End this rank when `parent` is gone: the run that continues it writes to the same files."""
    while True:
        time.sleep(1)
        try:
            os.kill(parent, 0)
        except OSError:
            os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1])
