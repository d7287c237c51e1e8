"""Any OpenAI-compatible chat endpoint: hosted models, vLLM, SGLang, llama.cpp. It renders for itself, so replies carry no ids.

Spec: `http://host:port/v1#model`, `https://…`, or several base URLs of the same model: `http://a/v1,http://b/v1#model`.
The key is read from the environment (`http.key` names the variable) and never written anywhere.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from rise.errors import PolicyError
from rise.policies.http_servers import Garbled, Patience, Refused, Servers
from rise.policies.rate_limit import Pace
from rise.policies.refusals import declined, filtered
from rise.policy import Policy, Reply, Request
from rise.recipe.machines import HttpConfig


class HttpPolicy(Policy):
    """Chat completions over HTTP, one request per reply, so that each carries its own seed."""

    splits = True

    def __init__(self, servers: Servers, model: str) -> None:
        self.servers = servers
        self.model = model
        self.name = f"http-{','.join(server.url for server in servers.servers)}#{model}"
        self.max_in_flight = servers.n_places
        self._limit = "max_tokens"
        """What the server calls the limit: newer hosted models refuse the old name."""

    @classmethod
    def from_spec(cls, spec: str, settings: HttpConfig | None = None) -> HttpPolicy:
        """Raises `PolicyError` where the spec names no model, or carries a password."""
        settings = settings or HttpConfig()
        urls, hash_, model = spec.partition("#")
        if not hash_ or not model:
            raise PolicyError(f'"{spec}" names no model. Write URL#MODEL, for example http://localhost:8000/v1#my-model.')
        for url in urls.split(","):
            parts = urlsplit(url)
            if parts.username or parts.password:
                raise PolicyError(
                    f"the URL of {parts.hostname} carries a name or password, which would end up in files. Put the key into "
                    f"the environment: ${settings.key}."
                )
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise PolicyError(f'"{url}" in "{spec}" is no base URL. Write http://host:port/v1, several divided by commas.')
        patience = Patience(attempts=settings.attempts, timeout_s=settings.timeout_s)
        pace = Pace(settings.requests_per_minute, settings.tokens_per_minute)
        key = os.environ.get(settings.key)
        return cls(Servers(urls.split(","), key=key, n_each=settings.concurrency, patience=patience, pace=pace), model)

    async def reply(self, request: Request) -> list[Reply]:
        if len(request.seeds) == 1:
            return [await self._one(request, request.seeds[0])]
        return list(await asyncio.gather(*(self._one(request, seed) for seed in request.seeds)))

    def facts(self) -> dict[str, Any]:
        return self.servers.facts()

    async def close(self) -> None:
        await self.servers.close()

    async def _one(self, request: Request, seed: int) -> Reply:
        body = {
            "model": self.model,
            "messages": [{"role": m.role, "content": m.content} for m in request.messages],
            "temperature": request.sampling.temperature,
            "top_p": request.sampling.top_p,
            "seed": seed % 2**31,  # several servers take no more than 32 signed bits
        }
        # About four characters a token, in most languages with Latin letters.
        n_tokens = sum(len(m.content) for m in request.messages) // 4 + request.sampling.max_new_tokens

        async def post() -> Reply:
            return await self.servers.post(
                "/chat/completions",
                body | {self._limit: request.sampling.max_new_tokens},
                read_reply,
                problem=request.problem,
                n_tokens=n_tokens,
                used=_used,
            )

        try:
            return await post()
        except Refused as error:
            if filtered(error.status, error.body):
                return Reply("", None, "refused", 0, 0)  # nothing was generated, so nothing is to be paid
            if error.status != 400 or "max_completion_tokens" not in error.body or self._limit == "max_completion_tokens":
                raise
            self._limit = "max_completion_tokens"
            self.servers.sent_again["another name for max_tokens"] += 1
            return await post()


def read_reply(data: Any) -> Reply:
    """The reply in a chat completion. Raises `Garbled` where there is none."""
    choice = first_choice(data)
    message = choice.get("message")
    if not isinstance(message, dict):
        raise Garbled("no message")
    # No content at all is a reply of nothing, which reasoning models give when the limit cuts their thinking.
    text = message.get("content") or ""
    if not isinstance(text, str):
        raise Garbled("content that is no text")
    finish = "length" if choice.get("finish_reason") == "length" else "stop"
    if (words := declined(choice)) is not None:
        text, finish = words, "refused"
    usage = data.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    return Reply(text.strip(), None, finish, _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens")))


def first_choice(data: Any) -> dict[str, Any]:
    """Choice 0 of a completion. Raises `Garbled` where there is none."""
    choices = data.get("choices") if isinstance(data, dict) else None
    if not isinstance(choices, Sequence) or isinstance(choices, str):
        raise Garbled("no completion")
    if not choices or not isinstance(choices[0], dict):
        raise Garbled("no choices")
    return choices[0]


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) else None


def _used(reply: Reply) -> int | None:
    if reply.n_prompt_tokens is None or reply.n_reply_tokens is None:
        return None
    return reply.n_prompt_tokens + reply.n_reply_tokens
