"""What a route returns as JSON."""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse

from rise.serve.web.plain_json import plain_json


class Json(JSONResponse):
    """JSON that any client can read."""

    def render(self, content: Any) -> bytes:
        return plain_json(content).encode()
