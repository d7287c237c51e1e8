"""The reply in a chat completion, in each of the forms that endpoints give it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from rise.policies.http_troubles import Garbled
from rise.policies.refusals import declined
from rise.policy import Reply

AT_THE_LIMIT = ("length", "max_tokens", "max_length", "max_output_tokens", "model_length", "token_limit")
"""What endpoints write for the reason that a reply ended, where it was cut."""
MOST_TOKENS = 2**40
"""More than this no request has used; it is a mistake of the server's."""


def read_reply(data: Any) -> Reply:
    """The reply in a chat completion. Raises `Garbled` where there is none."""
    choice = first_choice(data)
    usage = data.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    counts = count(usage.get("prompt_tokens")), count(usage.get("completion_tokens"))
    if (words := declined(choice)) is not None:
        return Reply(words, None, "refused", *counts)
    finish = "length" if str(choice.get("finish_reason")).lower() in AT_THE_LIMIT else "stop"
    message = choice.get("message")
    if message is None and finish == "length":
        message = {}  # the limit came before the first word
    if not isinstance(message, dict):
        raise Garbled("no message")
    # No content at all is a reply of nothing, which reasoning models give when the limit cuts their thinking.
    return Reply(text_of(message.get("content")).strip(), None, finish, *counts)


def text_of(content: Any) -> str:
    """The words of a message's content: text, or parts of which some are text. Thinking is no part of a reply.

    >>> text_of([{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "It is "}, {"type": "text", "text": "4."}])
    'It is 4.'
    """
    if content is None or isinstance(content, str):
        return content or ""
    if isinstance(content, dict):
        content = [content]
    if not isinstance(content, list):
        raise Garbled("content that is no text")
    words = []
    for part in content:
        if isinstance(part, str):
            words.append(part)
        elif isinstance(part, dict) and part.get("type", "text") in ("text", "output_text"):
            text = part.get("text")
            text = text.get("value") if isinstance(text, dict) else text
            words.append(text if isinstance(text, str) else "")
    return "".join(words)


def first_choice(data: Any) -> dict[str, Any]:
    """Choice 0 of a completion. Raises `Garbled` where there is none."""
    choices = data.get("choices") if isinstance(data, dict) else None
    if not isinstance(choices, Sequence) or isinstance(choices, str):
        raise Garbled("no completion")
    if not choices or not isinstance(choices[0], dict):
        raise Garbled("no choices")
    return choices[0]


def read_json(body: bytes) -> Any:
    """The JSON of an answer. Raises `Garbled` for what is none, or nests too deeply to be read."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:  # no JSON, no UTF-8, numbers of thousands of digits
        raise Garbled("not JSON") from error


def count(value: Any) -> int | None:
    """A number of tokens; None for what can be none.

    >>> [count(value) for value in (5, 0, 7.0, -5, True, None, "5", 1e300)]
    [5, 0, 7, None, None, None, None, None]
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MOST_TOKENS else None
