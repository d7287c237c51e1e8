"""What /openapi.json says of requests and errors: bodies are read in requests.py, so FastAPI cannot know them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rise.serve.requests import ChatRequest

ERROR: dict[str, Any] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}

REASONS = {
    400: "What was sent cannot be answered; `param` names the parameter.",
    401: "A key is needed.",
    404: "No such model.",
    408: "The body was too slow.",
    413: "The body is too large.",
    415: "Not JSON.",
    429: "All places are taken; Retry-After says when to come back.",
    502: "The engine gave no reply.",
    503: "The engine asks to be spared, or the server is ending; Retry-After says when to come back.",
}


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """`responses` of a route: the errors with these statuses, and 401."""
    body = {"application/json": {"schema": ERROR}}
    return {status: {"description": REASONS[status], "content": body} for status in (401, *statuses)}


def _inlined(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema without `$defs`, which have no place in the middle of an OpenAPI document."""
    definitions = schema.pop("$defs", {})

    def inline(node: Any) -> Any:
        if isinstance(node, list):
            return [inline(item) for item in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:
            return inline(definitions[node["$ref"].rpartition("/")[2]])
        return {key: inline(value) for key, value in node.items()}

    return inline(schema)


_OBJECT = {"type": "object"}
_COMPLETION: dict[str, Any] = {
    "type": "object",
    "required": ["id", "object", "created", "model", "choices", "usage", "rise"],
    "properties": {
        "id": {"type": "string"},
        "object": {"const": "chat.completion"},
        "created": {"type": "integer"},
        "model": {"type": "string"},
        "choices": {
            "type": "array",
            "minItems": 1,
            "items": {**_OBJECT, "required": ["index", "message", "finish_reason", "rise"]},
        },
        "usage": {"type": ["object", "null"]},
        "rise": {**_OBJECT, "required": ["n_turns", "chosen_turn", "stopped", "vote"]},
    },
}


def chat(names: Sequence[str]) -> dict[str, Any]:
    """The chat route of a server with models of these names. (`name@K` is taken too, for any K up to the server's most.)"""
    body = _inlined(ChatRequest.model_json_schema())
    body["properties"]["model"]["enum"] = list(names)
    example = {"model": names[0], "messages": [{"role": "user", "content": "What is 347 * 68?"}]}
    return {
        "requestBody": {"required": True, "content": {"application/json": {"schema": body, "example": example}}},
        "responses": {
            "200": {
                "description": "The completion, or its chunks.",
                "content": {"application/json": {"schema": _COMPLETION}, "text/event-stream": {"schema": {"type": "string"}}},
            }
        },
    }


MODELS: dict[str, Any] = {
    "responses": {
        "200": {
            "description": "The models.",
            "content": {"application/json": {"schema": {**_OBJECT, "required": ["object", "data"]}}},
        }
    }
}
METRICS: dict[str, Any] = {
    "responses": {"200": {"description": "For Prometheus.", "content": {"text/plain": {"schema": {"type": "string"}}}}}
}
