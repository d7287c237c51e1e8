"""`rise view`: the page and its data over HTTP, on this machine."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rise.errors import ConfigError, installing
from rise.serve.web.hosts import LOOPBACK, Hosts, shown
from rise.view.library import Library

if TYPE_CHECKING:
    import uvicorn
    from fastapi import FastAPI


def make_app(library: Library, hosts: Hosts | None = None) -> FastAPI:
    """The application. `hosts`: names by which it may be called; by default those of this machine, and of a test client.

    Raises `ConfigError` where the extra is not installed.
    """
    try:
        from rise.view.app import build_app
    except ImportError as error:
        raise ConfigError(
            f"rise view needs FastAPI: {installing('serve')}. Or look at a copy without a server: --export DIR."
        ) from error
    return build_app(library, hosts or Hosts(LOOPBACK | {"testserver"}))


def serve(library: Library, host: str, port: int, names: Sequence[str] = ()) -> None:
    """Answer until interrupted, by `names` as well. Raises `ConfigError` where the port is taken or the extra not installed."""
    app = make_app(library, Hosts.of(host, names))
    with _listening(host, port) as listener:
        print(f"{_address(host, listener)}   (Ctrl-C ends it)", flush=True)
        _server(app).run(sockets=[listener])


@contextmanager
def running(library: Library, port: int = 0) -> Iterator[str]:
    """Answer on this machine while the block runs; gives the address. Raises what `serve` does."""
    app = make_app(library, Hosts.of("127.0.0.1"))
    with _listening("127.0.0.1", port) as listener:
        server = _server(app)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            yield _address("127.0.0.1", listener)
        finally:
            server.should_exit = True
            thread.join(5)


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen()  # before its address is said: who reads it may come at once
        except OSError as error:
            raise ConfigError(
                f"--host {host} --port {port}: {error.strerror}. Give another --port, or 0 for any free one."
            ) from error
        yield listener


def _address(host: str, listener: socket.socket) -> str:
    return f"http://{'localhost' if host == '127.0.0.1' else shown(host)}:{listener.getsockname()[1]}/"


def _server(app: FastAPI) -> uvicorn.Server:
    import uvicorn

    from rise.serve.web.connections import ConnectionLimits, protocol

    return uvicorn.Server(
        uvicorn.Config(
            app,
            http=protocol(ConnectionLimits()),
            ws="none",
            log_level="warning",
            timeout_graceful_shutdown=1,
            server_header=False,
        )
    )
