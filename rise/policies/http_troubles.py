"""What an endpoint's answer means where it is no reply: trouble that may pass, or a refusal that will not."""

from __future__ import annotations

import contextlib
import email.utils
import re
import time
from collections.abc import Mapping
from typing import Any

from rise.errors import PolicyError
from rise.recipe.endpoints import shown

PASSING = frozenset([408, 409, 423, 424, 425, 429, 498, 499])
"""Statuses below 500 that may pass by themselves: TGI says 424 for a generation that failed, Groq 498 where it is full."""
LASTING = frozenset([501, 505, 511])
"""Those from 500 on that do not: what the server cannot do, and a network that wants a login."""
UNANSWERABLE = frozenset([400, 413, 422])
"""Those that speak of what is in the request."""
LONGEST_REST_S = 300.0
"""A server that asks for a longer rest than this gets this one."""
SPENT = ("insufficient_quota", "billing_hard_limit", "billing_not_active", "exceeded your current quota", "insufficient_balance")
"""What hosted endpoints write into a 429 that waiting does not change: the account has no money."""
PER_MINUTE = "RESOURCE_EXHAUSTED"
"""What Gemini writes into one that waiting does change, though its words are those of an account without money."""
A_WHILE = re.compile(
    r"(?:retryDelay\W{1,8}|\b(?:retry|try again) (?:in|after) )"
    r"(?P<time>(?:\d[\d.]* ?(?:ms|sec\w*|s|min\w*|m|hours?|h)\b ?|\d[\d.]*[hm](?=\d))+)",
    re.IGNORECASE,
)
"""How a body says when to ask again."""

FULL = re.compile(
    r"context[ _-]?(?:length|window|size|limit)|(?:prompt|input|sequence)[ _-]length|too many (?:\w+ )?tokens"
    r"|\b(?:prompt|inputs?|conversation|messages?|content|string)\b[^.]{0,60}\btoo long\b"
    r"|\binputs?\b\W+(?:tokens?\b[^.]{0,60}(?:exceed|must be)|must have less than)",
    re.IGNORECASE,
)
"""What endpoints write where prompt and reply are longer than the model's context."""


class Garbled(Exception):
    """A status of 200 and a body that is none of what was asked for. The text is the reason that is counted."""


class Refused(PolicyError):
    """A status that trying again will not change."""

    def __init__(self, message: str, status: int, body: str) -> None:
        super().__init__(message)
        self.status, self.body = status, body
        """The body as it came: to be looked at, not to be shown."""


class Trouble(Exception):
    """A request came to nothing, and may come to something if sent again."""

    def __init__(self, reason: str, text: str, rest_s: float = 0.0) -> None:
        super().__init__(text)
        self.reason = reason
        """In a few words, for the counts."""
        self.rest_s = rest_s
        """How long the server asked to be spared."""


def passes(status: int, body: str) -> bool:
    """Whether the same request may be answered a little later.

    >>> [passes(status, "") for status in (529, 429, 503, 404, 501)], passes(429, '{"code": "insufficient_quota"}')
    ([True, True, True, False, False], False)
    """
    if status == 429:
        return PER_MINUTE in body or A_WHILE.search(body) is not None or not any(mark in body for mark in SPENT)
    return status in PASSING or (status >= 500 and status not in LASTING)


def fills_context(status: int, body: str) -> bool:
    """Whether a request was refused for its length: another try would not shorten it.

    >>> [fills_context(400, said) for said in ("context_length_exceeded", "prompt is too long: 9 > 8", "max_tokens is too large")]
    [True, True, False]
    """
    return status == 413 or (status in UNANSWERABLE and FULL.search(body) is not None)


def way_out(status: int, body: str, headers: Mapping[str, str]) -> str:
    """What to do about a refusal, in a sentence."""
    if 300 <= status < 400:
        place = headers.get("location", "")
        points = f"It points to {shown(place)[:200]}" if place else "It does not say where to"
        return f"{points}; a request is sent nowhere that was not named, since it carries your key. Give the final URL."
    if status in (401, 403):
        return (
            "Is the right key in the environment (http.key names the variable, by default $OPENAI_API_KEY; http.key_header the "
            "header that it is sent in)?"
        )
    if status == 404:
        return "Is the model called so there, and does the URL end before /chat/completions (usually in /v1)?"
    if fills_context(status, body):
        return (
            "The state and its reply are longer than the model's context. Serve the model with a longer one and run the same "
            "command again; or begin anew with a lower state.window, sampling.max_new_tokens or number of turns, or without such "
            "problems."
        )
    if status == 407:
        return "A proxy wants a login: look at $HTTPS_PROXY and $HTTP_PROXY, or exempt this host in $NO_PROXY."
    if status in (402, 429):
        return "The account has nothing left to spend, which waiting does not change. What is finished is on disk."
    return "Trying again would not help; what is finished is on disk."


def asked_rest(headers: Mapping[str, Any], body: str) -> float:
    """Seconds that the server wants to be left alone, as its headers say, else the words of its answer.

    >>> [asked_rest({}, said) for said in ("Please try again in 1m2.5s.", '"retryDelay": "34s"', "Retry in 450 ms", "in 5s")]
    [62.5, 34.0, 0.45, 0.0]
    """
    if (rest_s := retry_after(headers)) or not (found := A_WHILE.search(body)):
        return rest_s
    rest_s = 0.0
    for number, unit in re.findall(r"(\d[\d.]*) ?([a-z]+)", found["time"].lower()):
        with contextlib.suppress(ValueError):
            rest_s += float(number) * (0.001 if unit == "ms" else {"s": 1.0, "m": 60.0, "h": 3600.0}[unit[0]])
    return min(rest_s, LONGEST_REST_S)


def retry_after(headers: Mapping[str, Any]) -> float:
    """The same of the headers alone: a number, or a date."""
    text = headers.get("retry-after", "")
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(text).timestamp() - time.time()
        except (TypeError, ValueError, OverflowError):
            return 0.0
    return min(max(seconds, 0.0), LONGEST_REST_S) if seconds == seconds else 0.0
