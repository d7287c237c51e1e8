"""Stands in for `python -m vllm.entrypoints.cli.main serve MODEL …`: a real process with a child, on a real port.

What it does wrong is told by the JSON in $FAKE_VLLM: `fail` (lines to print before it ends), `hang` (never answers), `name`
(serves under another name), `die_at` (kills itself with -9 at that request, once, or `always`), `scores` (log-probabilities
of any prompt). `$FAKE_VLLM_OUT` is a folder for what it saw: pids, its words, its requests.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

TOLD = json.loads(os.environ.get("FAKE_VLLM", "{}"))
OUT = Path(os.environ.get("FAKE_VLLM_OUT", "."))
LOCK = threading.Lock()
SEEN = {"n": 0, "prompt_tokens": 0, "generated": 0}


def word(name: str) -> str:
    return sys.argv[sys.argv.index(name) + 1]


def name() -> str:
    return TOLD.get("name") or (
        word("--lora-modules").partition("=")[0] if "--lora-modules" in sys.argv else word("--served-model-name")
    )


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/v1/models":
            self.say(json.dumps({"data": [{"id": name(), "max_model_len": 192}]}))
        elif self.path == "/metrics":
            lines = [
                "# HELP x",
                f'vllm:num_requests_running{{engine="0"}} {3.0}',
                f'vllm:num_requests_waiting{{engine="0"}} {1.0}',
            ]
            lines += [f'vllm:generation_tokens_total{{engine="0"}} {float(SEEN["generated"])}']
            lines += [f'vllm:prefix_cache_queries_total{{engine="0"}} {float(SEEN["prompt_tokens"])}']
            self.say("\n".join(lines))
        else:
            self.say("")

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        choice: dict[str, Any] = {"index": 0, "text": "", "finish_reason": "stop"}
        if "prompt_logprobs" in body:
            scores = TOLD["scores"]
            rows = [{str(token): {"logprob": score}} for token, score in zip(body["prompt"][1:], scores, strict=True)]
            choice["prompt_logprobs"] = [None, *rows]
        else:
            with LOCK:
                SEEN["n"] += 1
                SEEN["prompt_tokens"] += len(body["prompt"])
                with (OUT / "requests.jsonl").open("a") as file:
                    file.write(json.dumps(body) + "\n")
                marker = OUT / "died"
                if SEEN["n"] == TOLD.get("die_at") and (TOLD.get("always") or not marker.exists()):
                    marker.touch()
                    os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(0.01)
            sampled = [5 + body["seed"] % 7, 5, body["stop_token_ids"][0]][: body["max_tokens"]]
            choice |= {"token_ids": sampled, "finish_reason": "stop" if len(sampled) == 3 else "length"}
            SEEN["generated"] += len(sampled)
        self.say(json.dumps({"model": name(), "choices": [choice], "usage": {}}))

    def say(self, text: str) -> None:
        payload = text.encode()
        self.send_response(200)
        self.send_header("content-length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def main() -> None:
    if TOLD.get("fail"):
        print(TOLD["fail"], flush=True)
        sys.exit(3)
    # An engine core that does not care about being asked to end, in a process group of its own.
    core = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('core', flush=True); time.sleep(600)"
    child = subprocess.Popen([sys.executable, "-c", core], start_new_session=True, stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    with (OUT / "pids").open("a") as file:
        file.write(f"{os.getpid()} {child.pid}\n")
    (OUT / "words.json").write_text(json.dumps(sys.argv[1:]))
    (OUT / "environment.json").write_text(json.dumps(dict(os.environ)))
    if TOLD.get("hang"):
        time.sleep(600)
    Server(("127.0.0.1", int(word("--port"))), Handler).serve_forever()


if __name__ == "__main__":
    main()
