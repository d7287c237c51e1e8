"""When an endpoint or its model declines to answer: that is data, not trouble, and the run goes on without it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MARKS = ("content_filter", "content_policy", "ResponsibleAIPolicyViolation")
"""What hosted endpoints write into a status 400 when the request's own words, a student's reply among them, were stopped."""

FINISHES = ("content_filter", "safety", "refusal", "prohibited_content", "blocklist", "recitation")
"""What they write for the reason that a reply ended, where a filter or the model stopped it."""


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
    parts = content if isinstance(content, list) else []
    said = [refusal, *(part.get("refusal") for part in parts if isinstance(part, Mapping))]
    if words := " ".join(text.strip() for text in said if isinstance(text, str) and text.strip()):
        return words
    finish = choice.get("finish_reason")
    if isinstance(finish, str) and finish.lower().startswith(FINISHES):
        return "".join(
            text for text in (content, *(p.get("text") for p in parts if isinstance(p, Mapping))) if isinstance(text, str)
        ).strip()
    return None


def filtered(status: int, body: str) -> bool:
    """Whether a request was refused for what it says: another try, model or key would not change that.

    >>> filtered(400, '{"error": {"code": "content_filter"}}'), filtered(400, "no such model"), filtered(500, "content_filter")
    (True, False, False)
    """
    return status in (400, 403) and any(mark in body for mark in MARKS)
