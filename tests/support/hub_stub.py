"""A model hub on loopback: as much of its HTTP API as huggingface_hub needs to make a repository and commit files to it."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Repository:
    """What the stub keeps of one repository."""

    kind: str
    visibility: str | None
    files: dict[str, bytes] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)


class Hub(ThreadingHTTPServer):
    """`refuse` is a status that everything is answered with."""

    daemon_threads = True

    def __init__(self, refuse: int | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.refuse = refuse
        self.repositories: dict[str, Repository] = {}
        self.objects: dict[str, bytes] = {}
        self.heard: list[tuple[str, str, dict[str, str], bytes]] = []
        """Every request: method, path, headers, body."""
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def stop(self) -> None:
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"
    timeout = 30

    def do_POST(self) -> None:
        body = self._body()
        parts = self.path.partition("?")[0].strip("/").split("/")
        if self.server.refuse:
            self._say({"error": "Invalid credentials"}, self.server.refuse)
        elif parts == ["api", "repos", "create"]:
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}"
            kind = asked.get("type", "model")
            self.server.repositories.setdefault(name, Repository(kind, asked.get("visibility") or str(asked.get("private"))))
            self._say({"url": f"{self.server.url}/{'datasets/' if kind == 'dataset' else ''}{name}", "name": name})
        elif parts == ["api", "validate-yaml"]:
            self._say({"errors": [], "warnings": []})
        elif "preupload" in parts:
            files = [
                {"path": f["path"], "uploadMode": "lfs" if f["path"].endswith((".safetensors", ".parquet")) else "regular"}
                for f in json.loads(body)["files"]
            ]
            self._say({"files": [{**file, "shouldIgnore": False} for file in files]})
        elif parts[-2:] == ["objects", "batch"]:
            objects = json.loads(body)["objects"]
            hrefs = {o["oid"]: {"upload": {"href": f"{self.server.url}/store/{o['oid']}"}} for o in objects}
            self._say({"objects": [{"oid": o["oid"], "size": o["size"], "actions": hrefs[o["oid"]]} for o in objects]})
        elif "commit" in parts:
            self._commit("/".join(parts[2:4]), body)
        else:
            self._say({"error": f"no route {self.path}"}, 404)

    def do_PUT(self) -> None:
        body = self._body()
        oid = self.path.rpartition("/")[2]
        assert hashlib.sha256(body).hexdigest() == oid
        self.server.objects[oid] = body
        self._say({})

    def do_GET(self) -> None:
        self._body()
        self._say({"error": f"no route {self.path}"}, 404)

    def _commit(self, name: str, body: bytes) -> None:
        repository = self.server.repositories[name]
        for line in map(json.loads, body.splitlines()):
            value: Any = line["value"]
            if line["key"] == "header":
                repository.messages.append(value["summary"])
            elif line["key"] == "file":
                repository.files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                repository.files[value["path"]] = self.server.objects[value["oid"]]
        self._say({"commitUrl": f"{self.server.url}/{name}/commit/{'0' * 40}", "commitOid": "0" * 40})

    def _body(self) -> bytes:
        if "chunked" in self.headers.get("transfer-encoding", ""):
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
        self.server.heard.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body))
        return body

    def _say(self, answer: dict[str, Any], status: int = 200) -> None:
        payload = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, format: str, *args: Any) -> None: ...
