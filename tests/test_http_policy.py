"""The HTTP policy against a real server on loopback that misbehaves in every way it is told to."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from rise.errors import PolicyError
from rise.policies.http import HttpPolicy, Patience
from rise.policy import Request, Sampling
from rise.trajectory import Message

ASK = Request((Message("user", "2+2?"),), Sampling(max_new_tokens=8), seeds=(1,))
QUICK = Patience(attempts=4, first_wait_s=0.01, longest_wait_s=0.02, timeout_s=1.0)


class Server(ThreadingHTTPServer):
    """Does what `script` says, one entry a request; then answers properly."""

    daemon_threads = True

    def __init__(self, script: list[str]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script = script
        self.seen: list[dict[str, Any]] = []
        self.headers_seen: list[Any] = []


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.seen.append(body)
        self.server.headers_seen.append(self.headers)
        act = self.server.script.pop(0) if self.server.script else "answer"
        if act.isdigit():
            self.send_response(int(act))
            if act == "429":
                self.send_header("retry-after", "0.05")
            self.end_headers()
            self.wfile.write(b'{"error": "no"}')
        elif act == "hang":
            threading.Event().wait(2)
        elif act == "close":
            self.send_response(200)
            self.send_header("content-length", "500")
            self.end_headers()
            self.wfile.write(b'{"choices": [')
        else:
            texts = {"garbage": "<html>", "empty": json.dumps({"choices": []})}
            texts |= {"null": completion(None), "null cut": completion(None, "length")}
            payload = texts.get(act, completion("#### 4", "length" if act == "cut" else "stop")).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def completion(text: str | None, finish: str = "stop") -> str:
    choice = {"message": {"role": "assistant", "content": text}, "finish_reason": finish}
    return json.dumps({"choices": [choice], "usage": {"prompt_tokens": 5, "completion_tokens": 3}})


@pytest.fixture
def serve() -> Iterator[Any]:
    servers: list[Server] = []

    def start(*script: str) -> tuple[Server, HttpPolicy]:
        server = Server(list(script))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        policy = HttpPolicy(f"http://127.0.0.1:{server.server_port}/v1", "m", patience=QUICK, key="secret")
        return server, policy

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def ask(policy: HttpPolicy, request: Request = ASK) -> Any:
    async def go() -> Any:
        try:
            return await policy.reply(request)
        finally:
            await policy.close()

    return asyncio.run(go())


def test_a_reply_carries_text_usage_and_how_it_ended(serve: Any) -> None:
    server, policy = serve("answer", "cut")
    [reply] = ask(policy)
    assert (reply.text, reply.ids, reply.finish, reply.n_prompt_tokens, reply.n_reply_tokens) == ("#### 4", None, "stop", 5, 3)
    assert ask(policy)[0].finish == "length"
    assert server.seen[0]["messages"] == [{"role": "user", "content": "2+2?"}]
    assert server.headers_seen[0]["authorization"] == "Bearer secret"
    assert "secret" not in policy.name


def test_a_reply_without_content_is_data_not_trouble(serve: Any) -> None:
    server, policy = serve("null", "null cut")
    assert [(r.text, r.finish) for r in (*ask(policy), *ask(policy))] == [("", "stop"), ("", "length")]
    assert (len(server.seen), policy.n_retries) == (2, 0)


@pytest.mark.parametrize("trouble", ["429", "500", "502", "close", "garbage", "empty", "hang"])
def test_trouble_that_may_pass_is_tried_again(serve: Any, trouble: str) -> None:
    server, policy = serve(trouble, "answer")
    [reply] = ask(policy)
    assert reply.text == "#### 4"
    assert (len(server.seen), policy.n_retries) == (2, 1)


def test_attempts_are_bounded_and_the_last_trouble_is_named(serve: Any) -> None:
    server, policy = serve(*["503"] * 9)
    with pytest.raises(PolicyError, match=r"4 attempts.*status 503"):
        ask(policy)
    assert len(server.seen) == 4


def test_a_refusal_is_not_tried_again(serve: Any) -> None:
    server, policy = serve("404")
    with pytest.raises(PolicyError, match='called "m"'):
        ask(policy)
    assert len(server.seen) == 1


def test_each_sample_has_its_own_seed(serve: Any) -> None:
    server, policy = serve()
    replies = ask(policy, Request(ASK.messages, ASK.sampling, seeds=(1, 2, 3)))
    assert len(replies) == 3
    assert sorted(body["seed"] for body in server.seen) == [1, 2, 3]


def test_a_spec_without_a_model_says_how_to_write_it() -> None:
    with pytest.raises(PolicyError, match="URL#MODEL"):
        HttpPolicy.from_spec("http://localhost:8000/v1")
