"""A real chat endpoint on loopback with ways of its own: `rule(call)` says what each request gets."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Call:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    number: int


@dataclass(frozen=True)
class Say:
    """What is answered: a status and the bytes of the body."""

    status: int = 200
    body: bytes | str | dict[str, Any] = ""
    headers: dict[str, str] = field(default_factory=dict)


def chat(content: Any = "\\boxed{3}", finish: str = "stop", **message: Any) -> Say:
    choice = {"index": 0, "message": {"role": "assistant", "content": content, **message}, "finish_reason": finish}
    return Say(body={"choices": [choice], "usage": {"prompt_tokens": 5, "completion_tokens": 3}})


def refusal(message: str, status: int = 400, **error: Any) -> Say:
    return Say(status, {"error": {"message": message, "type": "invalid_request_error", **error}})


class OddEndpoint(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, rule: Callable[[Call], Say] = lambda call: chat()) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.rule = rule
        self.calls: list[Call] = []
        self.lock = threading.Lock()
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def spec(self) -> str:
        return f"{self.root}/v1#m"

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [call.body for call in self.calls]

    def stop(self) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None: ...


class _Handler(BaseHTTPRequestHandler):
    server: OddEndpoint
    protocol_version = "HTTP/1.1"
    timeout = 30

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        headers = {name.lower(): value for name, value in self.headers.items()}
        with self.server.lock:
            call = Call(self.path, headers, body, len(self.server.calls))
            self.server.calls.append(call)
        said = self.server.rule(call)
        payload = json.dumps(said.body).encode() if isinstance(said.body, dict) else said.body
        payload = payload.encode() if isinstance(payload, str) else payload
        self.send_response(said.status)
        for name, value in {"content-length": str(len(payload)), **said.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, format: str, *args: Any) -> None: ...
