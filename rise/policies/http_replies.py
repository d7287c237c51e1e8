"""The reply in a chat completion, in each of the forms that endpoints give it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from rise.policies.http_troubles import Garbled
from rise.policies.refusals import declined, filtered, finish_of
from rise.policy import Reply

AT_THE_LIMIT = ("length", "max_tokens", "max_length", "max_output_tokens", "model_length", "token_limit", "error_limit")
"""What endpoints write for the reason that a reply ended, where it was cut."""
FAILED = (
    "error",
    "abort",
    "cancel",
    "fail",
    "incomplete",
    "insufficient_system_resource",
    "network_error",
    "server_error",
    "timeout",
)
"""How that reason begins where the server broke the reply off: what came is no answer of the model's, and it is asked again."""
SILENT = ("thinking", "reasoning", "summary", "redacted", "refusal", "image", "audio", "video", "file", "tool", "function")
"""How the types of parts begin that are known to hold no words of a reply."""
MOST_TOKENS = 2**40
"""More than this no request has used; it is a mistake of the server's."""


def read_reply(data: Any) -> Reply:
    """The reply in a chat completion. Raises `Garbled` where there is none."""
    choice = first_choice(data)
    usage = data.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    counts = count(usage.get("prompt_tokens")), count(usage.get("completion_tokens"))
    if (words := _stopped(choice)) is not None:
        return Reply(words, None, "refused", *counts)
    finish = "length" if finish_of(choice) in AT_THE_LIMIT else "stop"
    message = choice.get("message")
    if message is None and finish == "length":
        message = {}  # the limit came before the first word
    if not isinstance(message, dict):
        raise Garbled("no message")
    # No content at all is a reply of nothing, which reasoning models give when the limit cuts their thinking.
    return Reply(text_of(message.get("content")).strip(), None, finish, *counts)


def _stopped(choice: dict[str, Any]) -> str | None:
    """As `declined`. Raises `Garbled` where the server failed in the middle of a reply, whatever was written by then."""
    if error := choice.get("error"):
        code = error.get("code") if isinstance(error, dict) else None
        if isinstance(code, int) and filtered(code, json.dumps(error)):
            return declined(choice) or ""
        raise Garbled(f"finish: error {code}" if isinstance(code, int) else "finish: error")
    words, finish = declined(choice), finish_of(choice)
    if words is None and finish not in AT_THE_LIMIT and (failed := next(filter(finish.startswith, FAILED), None)):
        raise Garbled(f"finish: {failed}")
    return words


def text_of(content: Any) -> str:
    """The words of a message's content: text, or parts of which some are text. Thinking is no part of a reply.

    Raises `Garbled` where no part is of a kind that is known: what the model said would be lost.

    >>> text_of([{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "It is "}, {"type": "text", "text": "4."}])
    'It is 4.'
    """
    if content is None or isinstance(content, str):
        return content or ""
    if isinstance(content, dict):
        content = [content]
    if not isinstance(content, list):
        raise Garbled("content that is no text")
    words = [_words_of(part) for part in content]
    if words and all(text is None for text in words):
        raise Garbled("content in parts that are no text")
    return "".join(text or "" for text in words)


def _words_of(part: Any) -> str | None:
    """What a part says, whatever its type is called; None where it is of no known kind."""
    if isinstance(part, str):
        return part
    if not isinstance(part, dict):
        return None
    if str(part.get("type")).lower().startswith(SILENT):
        return ""
    text = part.get("content") if part.get("text") is None else part["text"]
    text = text.get("value") if isinstance(text, dict) else text
    if text is None and part.get("type") in ("text", "output_text"):
        return ""
    return text if isinstance(text, str) else None


def first_choice(data: Any) -> dict[str, Any]:
    """Choice 0 of a completion, wherever it stands among others. Raises `Garbled` where there is none."""
    choices = data.get("choices") if isinstance(data, dict) else None
    if not isinstance(choices, Sequence) or isinstance(choices, str):
        raise Garbled("no completion")
    numbered = (choice for choice in choices if isinstance(choice, dict) and choice.get("index") == 0)
    choice = next(numbered, choices[0] if choices else None)
    if not isinstance(choice, dict):
        raise Garbled("no choices")
    return choice


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
