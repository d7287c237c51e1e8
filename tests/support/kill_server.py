"""A warm process that runs toy recipes in forks and kills them where it is told: the other end of tests/method/test_kill.py.

Reads one JSON request a line, answers one JSON line. torch is imported once and used by no one here, so that a fork
starts from a process with one thread and costs milliseconds instead of seconds.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft  # noqa: F401  (what a run would import, so that forks need not)
import torch
from toys import toy_recipe

import rise.method.iterate
import rise.policies.local
import rise.report
import rise.training.finetune

Write = tuple[str, str]


def watched(on_write: Callable[[Write, Callable[[], Any], Callable[[], Any]], Any]) -> None:
    """Every write that matters goes through `on_write(what, whole, half)`; `half` does part of it, as a kill would leave it."""
    real_write, real_replace, real_fsync = os.write, os.replace, os.fsync

    def write(file: int, data: bytes) -> int:
        return on_write(("ledger", ""), lambda: real_write(file, data), lambda: real_write(file, data[: len(data) // 2]))

    def replace(source: Any, target: Any) -> None:
        what = ("replace", f"{Path(target).parent.name}/{Path(target).name}")
        on_write(what, lambda: real_replace(source, target), lambda: None)

    def fsync(file: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{file}"))

        def half() -> None:
            if path.name != "ledger.jsonl":  # there, every line is in the file before this
                os.truncate(path, path.stat().st_size // 2)

        on_write(("fsync", f"{path.parent.name}/{path.name}"), lambda: real_fsync(file), half)

    os.write, os.replace, os.fsync = write, replace, fsync  # type: ignore[assignment]

    import safetensors.torch
    from transformers import modeling_utils

    real_save = safetensors.torch.save_file

    def save_file(tensors: Any, filename: Any, *args: Any, **kwargs: Any) -> Any:
        def half() -> None:
            real_save(tensors, filename, *args, **kwargs)
            os.truncate(filename, os.path.getsize(filename) // 2)

        return on_write(("weights", Path(filename).parent.name), lambda: real_save(tensors, filename, *args, **kwargs), half)

    modeling_utils.safe_save_file = save_file

    real_torch_save = torch.save

    def save(obj: Any, f: Any, *args: Any, **kwargs: Any) -> Any:
        def half() -> None:
            real_torch_save(obj, f, *args, **kwargs)
            os.truncate(f, os.path.getsize(f) // 2)

        return on_write(("optimizer", Path(str(f)).parent.name), lambda: real_torch_save(obj, f, *args, **kwargs), half)

    torch.save = save


def child(request: dict[str, Any]) -> None:
    """One run in this process: counts its writes, and at one of them dies, or gets another signal, if asked to."""
    seen: list[Write] = []

    def on_write(what: Write, whole: Callable[[], Any], half: Callable[[], Any]) -> Any:
        seen.append(what)
        if len(seen) - 1 == request.get("at"):
            done = {"before": lambda: None, "half": half, "after": whole}[request["when"]]()
            os.kill(os.getpid(), request.get("signal", signal.SIGKILL))
            return done
        return whole()

    watched(on_write)
    try:
        rise.method.iterate.run(toy_recipe(**request["overrides"]), Path(request["out"]))
    finally:
        Path(request["out"]).with_suffix(".writes.json").write_text(json.dumps(seen))


def serve(request: dict[str, Any]) -> dict[str, Any]:
    """Fork, run, perhaps send a signal after some seconds; says how it ended and how long it took."""
    began = time.monotonic()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.dup2(os.open(str(request["out"]) + ".log", os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            child(request)
            code = 0
        except KeyboardInterrupt:
            code = 130
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    after_s = request.get("after_s")
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return {"code": os.waitstatus_to_exitcode(status), "seconds": time.monotonic() - began}
        if after_s is not None and time.monotonic() - began > after_s:
            os.kill(pid, signal.SIGKILL)
            after_s = None
        time.sleep(0.005)


if __name__ == "__main__":
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(serve(json.loads(line))), flush=True)
