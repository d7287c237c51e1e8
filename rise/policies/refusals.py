"""When an endpoint or its model declines to answer: that is data, not trouble, and the run goes on without it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

MARKS = re.compile(
    r"content[ _-]?filter|content_policy|content management policy|ResponsibleAIPolicyViolation|content exists risk"
    r"|data_?inspection_?failed|\b(prompt|input|content|messages?|text|data|request|output)\b[^.]{0,80}"
    r"(\bflagged\b|\binappropriate (content|language)\b(?!.type)|\bviolat\w+\b[^.]{0,60}\b(polic|guideline|terms))",
    re.IGNORECASE,
)
"""What hosted endpoints write into a 400 or 403 when the request's own words, a student's reply among them, were stopped."""

WHO_ASKS = re.compile(r"\b(account|organi[sz]ation|key)\b[^.]{0,80}\b(flagged|violat|suspended|banned|blocked)", re.IGNORECASE)
"""What they write when they stop not the words but whoever asks: no other words would be answered."""

FINISHES = (
    *("content_filter", "safety", "refusal", "prohibited_content", "block", "recitation"),
    *("sensitive", "spii", "guardrail", "moderation", "image_safety", "error_toxic"),
)
"""How the reason for the end of a reply begins where a filter or the model stopped it."""


def finish_of(choice: Mapping[str, Any]) -> str:
    """Why a reply ended, in small letters; "" where nothing is said.

    >>> [finish_of({"finish_reason": given}) for given in ("STOP", {"type": "length", "length": 16}, None)]
    ['stop', 'length', '']
    """
    given = choice.get("finish_reason")
    given = given.get("type") if isinstance(given, Mapping) else given
    return given.strip().lower() if isinstance(given, str) else ""


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
    if finish_of(choice).startswith(FINISHES):
        return "".join(
            text for text in (content, *(p.get("text") for p in parts if isinstance(p, Mapping))) if isinstance(text, str)
        ).strip()
    return None


def filtered(status: int, body: str) -> bool:
    """Whether a request was refused for what it says: another try, model or key would not change that.

    >>> filtered(400, '{"error": {"code": "content_filter"}}'), filtered(400, "no such model"), filtered(500, "content_filter")
    (True, False, False)
    >>> filtered(403, "Content violates usage guidelines."), filtered(403, "Your account was flagged for content.")
    (True, False)
    """
    return status in (400, 403) and MARKS.search(body) is not None and WHO_ASKS.search(body) is None
