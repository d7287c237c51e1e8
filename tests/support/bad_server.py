"""A real HTTP server on loopback that does what it is told to: refuse, hang, break off, answer nonsense, or answer."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Act = str
"""A status, or one of: answer, cut, null, null cut, garbage, empty, list, close, hang (until the server stops),
held (until `gate` is set), gone (close without a word)."""


class BadServer(ThreadingHTTPServer):
    """Plays `script`, one act a request, then answers properly; or asks `choose(body, number of the request)`."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, script: list[Act] | None = None, choose: Callable[[dict[str, Any], int], Act] | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.script = list(script or [])
        self.choose = choose or (lambda body, n: self.script.pop(0) if self.script else "answer")
        self.retry_after = "0.05"
        self.text = "#### 4"
        self.seen: list[dict[str, Any]] = []
        self.headers_seen: list[Any] = []
        self.n_answered = 0
        self.n_now = self.most_at_once = 0
        self.n_broken_pipes = 0
        self.gate, self.stopped = threading.Event(), threading.Event()
        self.lock = threading.Lock()
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def stop(self) -> None:
        self.stopped.set()
        self.gate.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        self.n_broken_pipes += 1


class _Handler(BaseHTTPRequestHandler):
    server: BadServer

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        server = self.server
        with server.lock:
            server.seen.append(body)
            server.headers_seen.append(self.headers)
            act = server.choose(body, len(server.seen) - 1)
            server.n_now += 1
            server.most_at_once = max(server.most_at_once, server.n_now)
        try:
            self.act(act)
        finally:
            with server.lock:
                server.n_now -= 1

    def act(self, act: Act) -> None:
        if act.partition(" ")[0].isdigit():
            status, _, said = act.partition(" ")
            headers = {"retry-after": self.server.retry_after} if status == "429" else {}
            self.say(said or '{"error": "no"}', int(status), headers)
        elif act == "hang":
            self.server.stopped.wait(600)
        elif act == "gone":
            self.close_connection = True
        elif act == "close":
            self.send_response(200)
            self.send_header("content-length", "500")
            self.end_headers()
            self.wfile.write(b'{"choices": [')
            self.close_connection = True
        else:
            if act == "held":
                self.server.gate.wait(600)
            own = self.server.text
            nonsense = {"garbage": "<html>", "empty": json.dumps({"choices": []}), "list": "[1]"}
            nonsense |= {"null": completion(None), "null cut": completion(None, "length")}
            self.server.n_answered += act not in ("garbage", "empty", "list")  # before whoever asked knows
            self.say(nonsense.get(act) or completion(own, "length" if act == "cut" else "stop"))

    def say(self, text: str, status: int = 200, headers: dict[str, str] | None = None) -> None:
        payload = text.encode()
        self.send_response(status)
        for name, value in {"content-length": str(len(payload)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def completion(text: str | None, finish: str = "stop") -> str:
    choice = {"message": {"role": "assistant", "content": text}, "finish_reason": finish}
    return json.dumps({"choices": [choice], "usage": {"prompt_tokens": 5, "completion_tokens": 3}})
