"""What `rise serve` adds: `python benchmarks/serve.py`, two cores, about two minutes. One JSON object is printed.

The server is a process of its own with a scripted policy, so that nearly all it does is what serving adds; this process asks.
Each figure stands beside the same of /health, a route that does nothing: the ratio says more than either on a busy machine.

    latency     one connection, one request after another: median and 99th percentile, ms
    throughput  64 connections, requests/s, and what a request costs the server of a core (which a busy machine does not change)
    streams     1,000 streams at once for a minute, 2 s a turn: how many ended well, how many were lost, the server's memory

Beside each of the last two: how many cores others kept busy meanwhile (`others_cores`), and what asking cost (`client_cores`).

    python benchmarks/serve.py --engine models/smollm2 --dtype bfloat16        what is left of an engine's speed: serve_engine.py
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

QUESTION = "347*68"
REPLIES = [r"\boxed{23000}", r"\boxed{23596}", r"Again \boxed{23596}", r"\boxed{23,596}", r"\boxed{1}"]


def serve(seconds: float) -> None:
    """The server, each of its replies taking `seconds`."""
    from rise.judges.math import MathJudge
    from rise.play.prompt import Prompt
    from rise.policies.scripted import ScriptedPolicy
    from rise.policy import Reply, Request, Sampling
    from rise.serve.app import make_app
    from rise.serve.requests import Limits, Served
    from rise.serve.revise import Reviser
    from rise.serve.run import run

    class Slow(ScriptedPolicy):
        async def reply(self, request: Request) -> list[Reply]:
            if seconds:
                await asyncio.sleep(seconds)
            return await super().reply(request)

    policy = Slow(ScriptedPolicy.from_table({QUESTION: REPLIES}).script)
    served = Served("m", 5, "majority", Sampling())
    app = make_app(Reviser(policy, Prompt(), MathJudge()), served, Limits(n_active=2000, n_waiting=2000))
    run(app, served, host="127.0.0.1", port=0)


class Server:
    """The server's process and what it costs."""

    def __init__(self, seconds: float) -> None:
        command = [sys.executable, __file__, "--serve", str(seconds)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline().split("/v1;")[0].rpartition(":")[2])

    @property
    def cpu_s(self) -> float:
        """What the process has used so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def memory_mb(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *error: Any) -> None:
        self.process.terminate()
        self.process.wait(20)


class Beside:
    """Who used the processors meanwhile: this process, which asks, and everybody who is neither it nor the server."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.began, self.all, self.own, self.served = time.monotonic(), busy_s(), time.process_time(), server.cpu_s

    def cores(self) -> dict[str, float]:
        seconds = time.monotonic() - self.began
        own = time.process_time() - self.own
        others = busy_s() - self.all - own - (self.server.cpu_s - self.served)
        return {"client_cores": round(own / seconds, 2), "others_cores": round(max(0.0, others) / seconds, 2)}


def busy_s() -> float:
    """Seconds that all processors together have worked so far."""
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def request(path: str, body: dict[str, Any] | None) -> bytes:
    data = json.dumps(body).encode() if body else b""
    method = "POST" if body else "GET"
    head = f"{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n"
    return head.encode() + data


def chat(**more: Any) -> bytes:
    body = {"model": "m", "messages": [{"role": "user", "content": QUESTION}], **more}
    return request("/v1/chat/completions", body)


HEALTH = request("/health", None)


async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, data: bytes) -> bytes:
    """One request and its answer on a connection that stays. Few lines of our own: an HTTP library costs more than we measure."""
    writer.write(data)
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), head
    length = next(int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
    return await reader.readexactly(length)


async def latency(port: int, data: bytes, n: int) -> dict[str, float]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    taken = []
    for i in range(n + 20):
        began = time.perf_counter()
        await exchange(reader, writer, data)
        if i >= 20:
            taken.append((time.perf_counter() - began) * 1000)
    writer.close()
    return {"median_ms": round(statistics.median(taken), 3), "p99_ms": round(statistics.quantiles(taken, n=100)[98], 3)}


async def throughput(server: Server, data: bytes, seconds: float, n_connections: int = 64) -> dict[str, float]:
    done = 0
    used, beside = server.cpu_s, Beside(server)
    end = time.monotonic() + seconds

    async def one() -> None:
        nonlocal done
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        while time.monotonic() < end:
            await exchange(reader, writer, data)
            done += 1
        writer.close()

    began = time.monotonic()
    await asyncio.gather(*(one() for _ in range(n_connections)))
    per_s, cpu_s = done / (time.monotonic() - began), server.cpu_s - used
    return {"requests_per_s": round(per_s, 1), "server_cpu_ms_per_request": round(cpu_s / done * 1000, 3), **beside.cores()}


async def streams(server: Server, seconds: float, n_streams: int) -> dict[str, Any]:
    """`n_streams` at once, each begun anew when it ends, for so long."""
    data = chat(stream=True, stream_options={"include_usage": True})
    finished = lost = 0
    troubles: dict[str, int] = {}
    end = time.monotonic() + seconds
    memory: list[float] = []

    async def one(delay: float) -> None:
        nonlocal finished, lost
        await asyncio.sleep(delay)  # not all in the same instant: a listen queue is no measure of a server
        while time.monotonic() < end:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
                writer.write(data.replace(b"\r\nhost", b"\r\nconnection: close\r\nhost", 1))
                text = await reader.read(-1)
                writer.close()
            except OSError as error:
                text = type(error).__name__.encode()
            if text.count(b"reasoning_content") == 5 and b"data: [DONE]" in text and b'"usage": {"prompt_tokens"' in text:
                finished += 1
            else:
                lost += 1
                troubles[text[:60].decode("latin-1")] = troubles.get(text[:60].decode("latin-1"), 0) + 1

    async def watch() -> None:
        while time.monotonic() < end:
            await asyncio.sleep(seconds / 12)
            memory.append(round(server.memory_mb, 1))

    before, beside = round(server.memory_mb, 1), Beside(server)
    await asyncio.gather(watch(), *(one(5 * i / n_streams) for i in range(n_streams)))
    settled = memory[len(memory) // 3]  # the first third fills pools and caches
    return {
        "at_once": n_streams,
        "seconds": seconds,
        "finished": finished,
        "lost": lost,
        "troubles": troubles,
        "memory_before_mb": before,
        "memory_mb": memory,
        "memory_growth": round(max(memory[-3:]) / settled, 3),
        **beside.cores(),
    }


def ask(work: Coroutine[Any, Any, T]) -> T:
    """Run it on the event loop that the server uses too: what asking costs is not to be what is measured."""
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def measure(quick: bool) -> dict[str, Any]:
    out: dict[str, Any] = {"cores": len(os.sched_getaffinity(0)), "load_before": os.getloadavg()[0]}
    n, seconds = (200, 3.0) if quick else (1000, 10.0)
    with Server(0) as server:
        port = server.port
        out["latency"] = {
            "health": ask(latency(port, HEALTH, n)),
            "1_turn": ask(latency(port, chat(model="m@1"), n)),
            "5_turns": ask(latency(port, chat(), n)),
        }
        out["throughput"] = {
            "health": ask(throughput(server, HEALTH, seconds)),
            "1_turn": ask(throughput(server, chat(model="m@1"), seconds)),
            "5_turns": ask(throughput(server, chat(), seconds)),
        }
    rates = {name: figures["requests_per_s"] for name, figures in out["throughput"].items()}
    out["requests_per_health_request"] = {name: round(rates[name] / rates["health"], 3) for name in ("1_turn", "5_turns")}
    with Server(2.0) as server:
        out["streams"] = ask(streams(server, 12 if quick else 60, 100 if quick else 1000))
    out["load_after"] = os.getloadavg()[0]
    out["met"] = {
        "5 ms at the median": out["latency"]["5_turns"]["median_ms"] <= 5,
        "300 requests/s": rates["5_turns"] >= 300,
        "no stream lost": out["streams"]["lost"] == 0,
        "flat memory": out["streams"]["memory_growth"] <= 1.05,
    }
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a quarter of a minute: does it run at all?")
    parser.add_argument("--engine", type=Path, help="a model directory: vLLM asked through the server and directly, nothing else")
    parser.add_argument("--serve", type=float, help=argparse.SUPPRESS)
    arguments, more = parser.parse_known_args()
    if arguments.serve is not None:
        serve(arguments.serve)
    elif arguments.engine:
        import serve_engine

        serve_engine.main(["--model", str(arguments.engine), *more])
    elif more:
        parser.error(f"unknown: {' '.join(more)}")
    else:
        print(json.dumps(measure(arguments.quick), indent=1))


if __name__ == "__main__":
    main()
