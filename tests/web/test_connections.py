"""Clients that only cost: endless headers, silence, half requests, slow readers. Real sockets to both servers."""

import json
import os
import resource
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
import uvicorn
from serving import serving
from view_run import write_viewed

from rise.play.prompt import Prompt
from rise.policies.scripted import ScriptedPolicy
from rise.serve.requests import Limits
from rise.serve.web.connections import ConnectionLimits, affordable, protocol
from rise.view.library import Library
from rise.view.server import make_app

LIMITS = ConnectionLimits(head_limit_s=0.6, linger_s=0.4, send_limit_s=0.6, max_connections=12)


@pytest.fixture(scope="module")
def viewer(tmp_path_factory):
    """The viewer with short limits; `rise serve` has the same protocol."""
    app = make_app(Library([write_viewed(tmp_path_factory.mktemp("runs") / "run").path]))

    @app.get("/large")
    def large(n: int) -> object:
        from fastapi import Response

        return Response(b"x" * n)

    config = uvicorn.Config(app, port=0, http=protocol(LIMITS), ws="none", log_level="critical", timeout_keep_alive=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield server
    server.should_exit = True
    thread.join(300)


@pytest.fixture(scope="module")
def address(viewer):
    return viewer.servers[0].sockets[0].getsockname()


HEAD = b"GET /api/stamp HTTP/1.1\r\nHost: localhost\r\n"


def ends(connection, seconds=300.0):
    """What is said until the other side closes."""
    connection.settimeout(seconds)
    said = b""
    try:
        while piece := connection.recv(65536):
            said += piece
    except ConnectionError:
        pass
    return said


def answers(address):
    with socket.create_connection(address, timeout=300) as connection:
        connection.sendall(HEAD + b"Connection: close\r\n\r\n")
        return ends(connection).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "begin",
    [
        HEAD + b"X: " + b"a" * 200_000,
        HEAD + b"X: 1\r\n" * 40_000,
        HEAD + b"X" * 200_000,
        b"GET /" + b"a" * 200_000,
        b"GET /?" + b"a=b&" * 40_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        HEAD + b"X: " + b"a" * 100_000 + b"\r\n\r\n",
        b"POST /large HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"X: 1\r\n" * 40_000,
        b"POST /large HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1;" + b"a" * 200_000,
    ],
)
def test_headers_are_bounded(address, begin):
    with socket.create_connection(address, timeout=300) as connection:
        try:
            connection.sendall(begin)
        except ConnectionError:
            return
        said = ends(connection)
        # 408: on a busy machine the time for a head is over before its size is seen.
        assert said == b"" or said.split()[1] in (b"431", b"405", b"400", b"408"), said[:200]
    assert answers(address)


def test_headers_without_an_end_take_no_memory():
    """400 MB on two connections to a server that asks for a key; none of them knows it."""
    with serving(key="s3cret") as server:
        host, port = server.url.removeprefix("http://").split(":")
        before = _memory()

        def flood():
            with socket.create_connection((host, int(port)), timeout=300) as connection:
                try:
                    connection.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n")
                    for k in range(200):
                        connection.sendall(b"X-%d: " % k + b"a" * 1_000_000 + b"\r\n")
                except OSError:
                    return

        threads = [threading.Thread(target=flood) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(300)
        assert _memory() - before < 60e6
        assert server.client.get("/health").status_code == 200


def _memory():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize(
    "begin",
    [
        b"",
        b"G",
        b"\r\n",
        HEAD,
        HEAD + b"X: a",
        HEAD + b"\r\n" + HEAD,  # one request, then half of another
    ],
)
def test_who_does_not_end_its_headers_is_closed(address, begin):
    with socket.create_connection(address, timeout=300) as connection:
        connection.sendall(begin)
        began = time.monotonic()
        said = ends(connection)
        assert time.monotonic() - began < 120
        if begin and b"\r\n\r\n" not in begin and begin.strip():
            assert said.startswith(b"HTTP/1.1 408")


def test_a_byte_now_and_then_does_not_keep_a_connection(address):
    with socket.create_connection(address, timeout=300) as connection:
        connection.sendall(HEAD)
        began, closed = time.monotonic(), False
        while not closed and time.monotonic() - began < 120:
            try:
                connection.sendall(b"X")
                time.sleep(0.1)
                connection.setblocking(False)
                try:
                    said, closed = connection.recv(999), True
                    assert said == b"" or said.startswith(b"HTTP/1.1 408 ")
                except BlockingIOError:
                    closed = False
                finally:
                    connection.setblocking(True)
            except ConnectionError:
                closed = True
        assert closed


def test_a_body_that_nobody_reads_is_not_waited_for(address):
    """The answer is there; what is still sent is no reason to stay."""
    with socket.create_connection(address, timeout=300) as connection:
        connection.sendall(b"POST /api/stamp HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n")
        assert connection.recv(999).startswith(b"HTTP/1.1 405 ")
        began = time.monotonic()
        with pytest.raises(OSError):
            while time.monotonic() - began < 120:
                connection.sendall(b"x" * 1000)
                time.sleep(0.02)
        assert time.monotonic() - began < 120


def test_idle_connections_make_room_for_new_ones(address):
    """More than there is room for, all silent: who comes to ask is answered."""
    idle = [socket.create_connection(address, timeout=300) for _ in range(40)]
    try:
        for connection in idle[::2]:
            connection.sendall(b"GET /api/st")
        for _ in range(3):
            assert answers(address)
    finally:
        for connection in idle:
            connection.close()


def test_a_reader_who_does_not_read_a_whole_answer_is_closed(viewer, address):
    with socket.create_connection(address, timeout=300) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(b"GET /large?n=20000000 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        end = time.monotonic() + 300
        while viewer.server_state.connections:
            assert time.monotonic() < end
            time.sleep(0.05)
    assert answers(address)


def test_a_reader_who_is_slow_but_reads_gets_all_of_it(viewer, address, monkeypatch):
    """Longer than the limit in all, and never that long without reading."""
    limits = replace(LIMITS, send_limit_s=3.0)  # a busy machine may keep the reader from reading for a second
    monkeypatch.setattr(viewer.config.http_protocol_class, "limits", limits)
    with socket.create_connection(address, timeout=300) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        connection.sendall(b"GET /large?n=12000000 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        n, began = 0, time.monotonic()
        while piece := connection.recv(1 << 20):
            n += len(piece)
            time.sleep(max(0.0, began + 4.0 * n / 12_000_000 - time.monotonic()))
        assert n > 12_000_000 and time.monotonic() - began > limits.send_limit_s


def test_an_upgrade_is_no_way_around(address):
    with socket.create_connection(address, timeout=300) as connection:
        connection.sendall(
            HEAD + b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==\r\n\r\n"
        )
        assert connection.recv(999).startswith(b"HTTP/1.1 200 ")  # not 101; the stamp in its body may hold any digits
    assert answers(address)


def test_readers_who_do_not_read_hold_no_memory_of_a_server(caplog):
    """Eight plain requests and eight streams of twelve megabytes, nobody reads: all are closed, and no error is logged."""
    long = ScriptedPolicy.from_table({"hello": ["x" * 1_000_000]})
    limits = Limits(send_limit_s=0.5, max_answer_bytes=1 << 30)
    with serving(long, prompt=Prompt(window=0), turns=12, limits=limits) as server:
        host, port = server.url.removeprefix("http://").split(":")
        readers = []
        for k in range(16):
            options = {"return_turns": True}
            body = {"model": "m", "messages": [{"role": "user", "content": "hello"}], "stream": bool(k % 2), "rise": options}
            data = json.dumps(body).encode()
            head = "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
            connection = socket.create_connection((host, int(port)), timeout=300)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.sendall(f"{head}content-length: {len(data)}\r\n\r\n".encode() + data)
            readers.append(connection)
        connections = server.connections
        server.wait_until(lambda: len(connections) >= 16)
        server.wait_until(lambda: len(connections) <= 1)
        for connection in readers:
            connection.close()
        assert server.ask("hello", model="m@1").status_code == 200
    assert "without completing response" not in caplog.text


def test_no_more_connections_than_descriptors(tmp_path):
    """At 220 descriptors, 260 silent connections: `rise serve` still answers."""
    replies = tmp_path / "replies.json"
    replies.write_text(json.dumps({"1+1": ["2"]}))
    program = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (220, 220)); from rise.cli.main import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", program, "serve", f"scripted:{replies}", "--port", "0"], stdout=subprocess.PIPE, text=True
    )
    try:
        url = process.stdout.readline().partition(" at ")[2].partition("/v1")[0]
        host, port = url.removeprefix("http://").split(":")
        idle = [socket.create_connection((host, int(port)), timeout=300) for _ in range(260)]
        with httpx.Client(base_url=url, verify=False, trust_env=False, timeout=300) as client:
            assert client.get("/health").json()["status"] == "ok"
        for connection in idle:
            connection.close()
    finally:
        process.kill()
        process.wait()


def test_as_many_connections_as_there_can_be():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 200), hard))
        assert affordable(4096) == (4096 if hard >= 5526 else (hard - 64) * 3 // 4)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_connections_that_are_used_are_left_alone(address):
    with httpx.Client(base_url=f"http://localhost:{address[1]}", verify=False, trust_env=False) as client:
        for _ in range(4):
            assert client.get("/api/stamp").status_code == 200
            time.sleep(0.3)
