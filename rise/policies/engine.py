"""One `vllm serve` of ours: started on a free port, waited for, its log at hand, stopped with all its children."""

from __future__ import annotations

import atexit
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

from rise.errors import PolicyError
from rise.recipe.machines import EngineConfig
from rise.recipe.shipped import vllm_environment

KEEPER = Path(__file__).with_name("reaper.py")
LOOK_EVERY_S = 0.25
PLAIN: dict[str, Any] = {"verify": False, "trust_env": False}
"""Loopback, no TLS and no proxy: reading the certificates would take 16 ms of a core each time, which the engine could use."""
N_LAST_LINES = 20

GAUGES = {"running": "vllm:num_requests_running", "waiting": "vllm:num_requests_waiting"}
COUNTERS = {
    "prefix_tokens_asked": "vllm:prefix_cache_queries",
    "prefix_tokens_hit": "vllm:prefix_cache_hits",
    "generated_tokens": "vllm:generation_tokens",
}
"""What we call them → what the engine calls them; a counter's name there ends in `_total` as well."""

WAYS_OUT = (
    (r"No module named '?vllm", "`{python}` has no vLLM: run `{make}`, or let engine.python name a Python that has it."),
    (r"address already in use", "Another process took the port in that moment: run the same command again."),
    (
        r"(KV cache|kv_cache).*(larger|not enough|memory)|max_model_len|max seq len|No available memory",
        'Give it less to hold: engine.args = ["--max-model-len", "1024"]; on a CPU also VLLM_CPU_KVCACHE_SPACE=8 (GiB).',
    ),
    (
        r"out of memory|less than desired GPU memory|Cannot allocate memory",
        'Leave it more memory, or let it take less: engine.args = ["--gpu-memory-utilization", "0.7"].',
    ),
    (r"unrecognized arguments|invalid choice", "engine.args holds a word that this vLLM does not know."),
    (r"not supported|Unsupported", 'vLLM may not know this architecture: set engine.kind = "local".'),
)
"""What stands in a log → what to do."""


class Engine:
    """A running server. `Engine(...)` returns when it answers; raises `PolicyError` with its last lines if it does not."""

    def __init__(self, command: Sequence[str], settings: EngineConfig, what: str) -> None:
        self.settings, self.what = settings, what
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}/v1"
        handle, log = tempfile.mkstemp(prefix="rise-engine-", suffix=".log")
        os.close(handle)
        self.log = Path(log)
        self.pid = 0
        """Of the server itself; the keeper is its parent."""
        words = [str(sys.executable), str(KEEPER), log, *command, "--host", "127.0.0.1", "--port", str(self.port)]
        self._keeper = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment(settings), start_new_session=True
        )
        _ALIVE.append(self)
        try:
            assert self._keeper.stdout is not None
            self.pid = int((self._keeper.stdout.readline().split() or ["", "0"])[1])
            self._wait()
        except BaseException:
            self.stop(keep_log=True)
            raise

    @property
    def alive(self) -> bool:
        return self._keeper.poll() is None

    def healthy(self) -> bool:
        """Whether requests are answered; one that is only slow to say so counts as healthy."""
        try:
            return self.alive and httpx.get(self._root + "/health", timeout=10.0, **PLAIN).status_code == 200
        except httpx.TimeoutException:
            return self.alive
        except httpx.TransportError:
            return False

    def served(self) -> dict[str, int | None]:
        """Names of the models it serves, and how many tokens each takes."""
        models = httpx.get(self.url + "/models", timeout=30.0, **PLAIN).json()["data"]
        return {model["id"]: model.get("max_model_len") for model in models}

    def metrics(self) -> dict[str, float]:
        """What the engine says of itself, by our names; empty where it says nothing."""
        try:
            text = httpx.get(self._root + "/metrics", timeout=5.0, **PLAIN).text
        except httpx.TransportError:
            return {}
        return read_metrics(text)

    def last_lines(self) -> str:
        with contextlib.suppress(OSError), self.log.open(encoding="utf-8", errors="replace") as file:
            return "".join(deque(file, N_LAST_LINES)).rstrip()
        return ""

    def stop(self, *, keep_log: bool = False) -> None:
        """End it and whatever it started; returns when all are gone."""
        if self._keeper.stdin is not None:
            with contextlib.suppress(OSError):
                self._keeper.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._keeper.wait(60.0)
        if self.alive:
            self._keeper.send_signal(signal.SIGKILL)  # the engine gets its own from the kernel then
            self._keeper.wait()
        if self._keeper.stdout is not None:
            self._keeper.stdout.close()
        if self in _ALIVE:
            _ALIVE.remove(self)
        if not keep_log or not self.last_lines():
            self.log.unlink(missing_ok=True)

    @property
    def _root(self) -> str:
        return self.url.removesuffix("/v1")

    def _wait(self) -> None:
        began = time.monotonic()
        while True:
            if not self.alive:
                raise self._failed("ended before it answered")
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(self._root + "/health", timeout=5.0, **PLAIN).status_code == 200:
                    return
            if time.monotonic() - began > self.settings.start_timeout_s:
                raise self._failed(f"did not answer within engine.start_timeout_s = {self.settings.start_timeout_s:g} s")
            time.sleep(LOOK_EVERY_S)

    def _failed(self, how: str) -> PolicyError:
        lines = self.last_lines()
        with contextlib.suppress(OSError):
            whole = self.log.read_text(encoding="utf-8", errors="replace")
            lines = lines or whole
            way_out = next((out for pattern, out in WAYS_OUT if re.search(pattern, whole, re.IGNORECASE)), "")
        way_out = (
            way_out.replace("{python}", self.settings.python).replace("{make}", vllm_environment())
            or 'Or generate in this process: engine.kind = "local".'
        )
        return PolicyError(f"{self.what}: the engine {how}. Its last lines (all of them: {self.log}):\n{lines}\n{way_out}")


_ALIVE: list[Engine] = []


def stop_all() -> None:
    """Stop every engine of this process."""
    for engine in list(_ALIVE):
        engine.stop()


atexit.register(stop_all)


def on_a_cpu(settings: EngineConfig) -> bool:
    """Whether the environment of the engine holds vLLM for a CPU."""
    return any(Path(settings.python).parent.parent.glob("lib/python*/site-packages/vllm_cpu-*.dist-info"))


def environment(settings: EngineConfig) -> dict[str, str]:
    """Ours for the engine: without what is meant for our own Python, without keys, with settings that a CPU needs."""
    left_out = ("PYTHONPATH", "PYTHONHOME", "OMP_NUM_THREADS", "OPENAI_API_KEY", "VLLM_API_KEY")
    out = {name: value for name, value in os.environ.items() if name not in left_out}
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))
    ours = {
        "VLLM_CPU_OMP_THREADS_BIND": ",".join(map(str, cores)),
        "VLLM_CPU_NUM_OF_RESERVED_CPU": "0",  # it would keep a core for itself, of two
        "VLLM_CPU_KVCACHE_SPACE": "4",  # GiB
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
    }
    if on_a_cpu(settings):
        # vLLM 0.32.0 writes what it compiled ahead of time and cannot read it back ("no attribute 'finalize_loading'"), so every
        # start compiles anew: 4 minutes in place of 40 s.
        ours["VLLM_USE_AOT_COMPILE"] = "0"
    return ours | out


def read_metrics(text: str) -> dict[str, float]:
    """Prometheus' text form → numbers by our names, summed over labels.

    >>> read_metrics('# HELP x\\nvllm:num_requests_running{engine="0"} 3.0\\nvllm:prefix_cache_hits_total{engine="0"} 128.0')
    {'running': 3.0, 'prefix_tokens_hit': 128.0}
    """
    names = {theirs: ours for ours, theirs in {**GAUGES, **COUNTERS}.items()}
    out: dict[str, float] = {}
    for line in text.splitlines():
        name = re.split(r"[{ ]", line, maxsplit=1)[0].removesuffix("_total")
        if name in names:
            out[names[name]] = out.get(names[name], 0.0) + float(line.rsplit(" ", 1)[1])
    return out


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]
