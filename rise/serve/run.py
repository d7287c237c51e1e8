"""Start the server and print its address."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import uvicorn

from rise.serve.requests import Limits, Served
from rise.serve.web.connections import ConnectionLimits, protocol
from rise.serve.web.hosts import shown


class Announced(uvicorn.Server):
    """Prints the address once it listens: with port 0 the system chooses the port."""

    def __init__(self, config: uvicorn.Config, served: Served, ready: Callable[[str], None] | None = None) -> None:
        super().__init__(config)
        self.served = served
        self.ready = ready

    async def startup(self, *args: Any, **kwargs: Any) -> None:
        await super().startup(*args, **kwargs)
        if self.should_exit:
            return
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        where = f"http://{shown(host)}:{port}"
        one = "1 turn" if self.served.turns == 1 else f"{self.served.turns} turns, vote {self.served.rule}"
        print(f"{self.served.name} ({one}) at {where}/v1; {self.served.name}@1 for a single turn", flush=True)
        print(f"Playground: {where}/   Ctrl-C ends it.", flush=True)
        if self.ready is not None:
            self.ready(f"{where}/")


def run(app: Any, served: Served, *, host: str, port: int, ready: Callable[[str], None] | None = None) -> None:
    """Serve until interrupted. `ready` is told the playground's address when it answers."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("rise.serve").setLevel(logging.INFO)
    Announced(config_of(app, host=host, port=port), served, ready).run()


def config_of(app: Any, *, host: str, port: int) -> uvicorn.Config:
    """uvicorn's settings, also in tests: our log instead of uvicorn's, which would print paths as requested."""
    limits: Limits = getattr(app.state, "limits", None) or Limits()
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        http=protocol(ConnectionLimits(send_limit_s=limits.send_limit_s, head_limit_s=limits.head_limit_s)),
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="on",
        timeout_keep_alive=30,
        timeout_graceful_shutdown=10,
        backlog=2048,
    )
