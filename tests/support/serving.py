"""A real server on loopback, in a thread of this process, with a policy that tests can follow by eye."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import httpx
import uvicorn

from rise.judges.math import MathJudge
from rise.play.prompt import Prompt
from rise.policies.scripted import ScriptedPolicy
from rise.policy import Reply, Request, Sampling
from rise.serve.app import make_app
from rise.serve.requests import Limits, Served
from rise.serve.revise import Reviser
from rise.serve.run import config_of
from rise.task import Problem

TABLE = {
    "347*68": [r"A guess: \boxed{23000}", r"In steps: \boxed{23596}", r"Again \boxed{23596}", r"\boxed{23,596}", "No idea."],
    "hello": ["Hello!", "Hello again!"],
    "tie": [r"\boxed{1}", r"\boxed{2}"],
    "stop": [r"one END two \boxed{1}", r"\boxed{2} END"],
}
"""Question → replies by turn."""


class Slow(ScriptedPolicy):
    """Scripted, but each reply takes `seconds`; counts who is being replied to and who was given up."""

    def __init__(self, table: dict[str, list[str]], seconds: float) -> None:
        super().__init__(ScriptedPolicy.from_table(table).script, "slow")
        self.seconds = seconds
        self.n_now = self.most = self.n_cancelled = 0

    async def reply(self, request: Request) -> list[Reply]:
        self.n_now += 1
        self.most = max(self.most, self.n_now)
        try:
            await asyncio.sleep(self.seconds)
            return await super().reply(request)
        except asyncio.CancelledError:
            self.n_cancelled += 1
            raise
        finally:
            self.n_now -= 1


class Held(Slow):
    """Scripted: the first `quick` replies come at once, the others once `go` is set. Nothing is over before a test says so."""

    def __init__(self, table: dict[str, list[str]], quick: int = 0) -> None:
        super().__init__(table, 0.0)
        self.quick = quick
        self.go = threading.Event()

    async def reply(self, request: Request) -> list[Reply]:
        if self.n_requests >= self.quick:
            self.n_now += 1
            self.most = max(self.most, self.n_now)
            try:
                while not self.go.is_set():
                    await asyncio.sleep(0.005)
            except asyncio.CancelledError:
                self.n_cancelled += 1
                raise
            finally:
                self.n_now -= 1
        return await super().reply(request)


class Recording(ScriptedPolicy):
    """Keeps every request it was given."""

    def __init__(self, table: dict[str, list[str]] | None = None) -> None:
        super().__init__(ScriptedPolicy.from_table(table or TABLE).script, "recording")
        self.asked: list[Request] = []

    async def reply(self, request: Request) -> list[Reply]:
        self.asked.append(request)
        return await super().reply(request)


class Running:
    """A server under way."""

    def __init__(self, url: str, app: Any, policy: Any, stop: Any) -> None:
        self.url, self.app, self.policy, self.stop = url, app, policy, stop
        self.server: Any = None
        self.connections: set[Any] = set()
        # No TLS here: reading the certificates would take longer than most tests.
        self.client = httpx.Client(base_url=url, timeout=60, verify=False, trust_env=False)

    def ask(self, content: Any = "347*68", *, headers: dict[str, str] | None = None, **body: Any) -> httpx.Response:
        messages = [{"role": "user", "content": content}]
        return self.client.post("/v1/chat/completions", json={"model": "m", "messages": messages} | body, headers=headers)

    def events(self, content: str = "347*68", **body: Any) -> list[Any]:
        """The data of a stream, parsed; the last is `[DONE]` where it ended well."""
        found = []
        messages = [{"role": "user", "content": content}]
        body = {"model": "m", "messages": messages, "stream": True} | body
        with self.client.stream("POST", "/v1/chat/completions", json=body) as response:
            assert response.headers["content-type"].startswith("text/event-stream"), response.read()
            for line in response.iter_lines():
                if line.startswith("data: "):
                    text = line.removeprefix("data: ")
                    found.append(text if text == "[DONE]" else json.loads(text))
        return found

    def wait_until(self, reached: Any, seconds: float = 300.0) -> None:
        end = time.monotonic() + seconds
        while not reached():
            assert time.monotonic() < end, "it never came to that"
            time.sleep(0.01)


def assembled(spec: Any, **given: Any) -> Any:
    """What `rise serve SPEC` puts together with these options."""
    from rise.cli.serve import assemble

    options = {
        "name": None,
        "turns": None,
        "vote": "majority",
        "task": None,
        "overrides": [],
        "batch_size": 8,
        "dtype": "float32",
    }
    return assemble(str(spec), **(options | given))


@contextmanager
def serving(
    policy: Any = None,
    *,
    prompt: Prompt | None = None,
    judge: Any = None,
    choose: Any = None,
    turns: int = 5,
    rule: str = "majority",
    limits: Limits | None = None,
    key: str | None = None,
    log_text: bool = False,
    problems: tuple[Problem, ...] = (),
    keeper: Any = None,
) -> Iterator[Running]:
    """A server with `policy` (the script above by default) as model `m`."""
    policy = policy or ScriptedPolicy.from_table(TABLE)
    reviser = Reviser(policy, prompt or Prompt(), judge or MathJudge(), choose)
    served = Served("m", turns, rule, Sampling(max_new_tokens=64), judged_by_function=choose is not None, problems=problems)
    app = make_app(reviser, served, limits, key=key, log_text=log_text, keeper=keeper)
    server = uvicorn.Server(config_of(app, host="127.0.0.1", port=0))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.005)
    port = server.servers[0].sockets[0].getsockname()[1]

    def stop() -> None:
        server.should_exit = True
        thread.join(300)
        assert not thread.is_alive()

    running = Running(f"http://127.0.0.1:{port}", app, policy, stop)
    running.server, running.connections = server, server.server_state.connections
    try:
        yield running
    finally:
        running.client.close()
        stop()


def texts(chunks: Sequence[Any], name: str) -> str:
    """One kind of text in a stream, put together."""
    return "".join(c["choices"][0]["delta"].get(name, "") for c in chunks if isinstance(c, dict) and c.get("choices"))
