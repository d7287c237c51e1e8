"""When an endpoint or its model declines to answer: that is data, not trouble, and the run goes on without it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MARKS = ("content_filter", "content_policy", "ResponsibleAIPolicyViolation")
"""What hosted endpoints write into a status 400 when the request's own words, a student's reply among them, were stopped."""


def declined(choice: Mapping[str, Any]) -> str | None:
    """The words of a refusal in one choice of a chat completion, "" where it has none; None where the model answered.

    >>> declined({"message": {"content": None, "refusal": "I can't help."}, "finish_reason": "stop"})
    "I can't help."
    >>> declined({"message": {"content": "The"}, "finish_reason": "content_filter"})
    'The'
    >>> declined({"message": {"content": "4", "refusal": None}, "finish_reason": "stop"}) is None
    True
    """
    message = choice.get("message")
    message = message if isinstance(message, Mapping) else {}
    refusal, content = message.get("refusal"), message.get("content")
    if isinstance(refusal, str) and refusal.strip():
        return refusal.strip()
    if choice.get("finish_reason") == "content_filter":
        return content.strip() if isinstance(content, str) else ""
    return None


def filtered(status: int, body: str) -> bool:
    """Whether a request was refused for what it says: another try, model or key would not change that.

    >>> filtered(400, '{"error": {"code": "content_filter"}}'), filtered(400, "no such model"), filtered(500, "content_filter")
    (True, False, False)
    """
    return status in (400, 403) and any(mark in body for mark in MARKS)
