"""Any OpenAI-compatible chat endpoint: hosted models, vLLM, SGLang, llama.cpp. It renders for itself, so replies carry no ids.

Spec: `http://host:port/v1#model` or `https://…`. The key is read from $OPENAI_API_KEY and never written anywhere.
"""

from __future__ import annotations

import asyncio
import os
import random
from dataclasses import dataclass
from typing import Any

import httpx

from rise.errors import PolicyError
from rise.policies.refusals import declined, filtered
from rise.policy import Reply, Request

RETRIED = frozenset([408, 409, 425, 429, 500, 502, 503, 504])
"""Statuses that may pass by themselves."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How often and how long to try again."""

    attempts: int = 6
    first_wait_s: float = 0.5
    longest_wait_s: float = 30.0
    timeout_s: float = 120.0
    """For one request from sending to the last byte."""


class HttpPolicy:
    """Chat completions over HTTP, one request per reply, so that each carries its own seed."""

    takes_ids = False

    def __init__(
        self, base_url: str, model: str, *, max_in_flight: int = 32, patience: Patience | None = None, key: str | None = None
    ) -> None:
        self.url = base_url.rstrip("/") + "/chat/completions"
        self.model = model
        self.name = f"http-{base_url}#{model}"
        self.max_in_flight = max_in_flight
        self.patience = patience or Patience()
        self.n_retries = 0
        """Requests sent again, for whatever reason."""
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._client: httpx.AsyncClient | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._places: asyncio.Semaphore | None = None

    @classmethod
    def from_spec(cls, spec: str) -> HttpPolicy:
        url, hash_, model = spec.partition("#")
        if not hash_ or not model:
            raise PolicyError(f'"{spec}" names no model. Write URL#MODEL, for example http://localhost:8000/v1#my-model.')
        return cls(url, model, key=os.environ.get("OPENAI_API_KEY"))

    async def reply(self, request: Request) -> list[Reply]:
        return list(await asyncio.gather(*(self._one(request, seed) for seed in request.seeds)))

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def _one(self, request: Request, seed: int) -> Reply:
        body = {
            "model": self.model,
            "messages": [{"role": m.role, "content": m.content} for m in request.messages],
            "temperature": request.sampling.temperature,
            "top_p": request.sampling.top_p,
            "max_tokens": request.sampling.max_new_tokens,
            "seed": seed % 2**31,  # several servers take no more than 32 signed bits
        }
        client, places = self._connected()
        trouble = "no attempt was made"
        for attempt in range(self.patience.attempts):
            if attempt:
                self.n_retries += 1
            wait = min(self.patience.longest_wait_s, self.patience.first_wait_s * 2**attempt) * random.uniform(0.5, 1.0)
            try:
                async with places, asyncio.timeout(self.patience.timeout_s):
                    answer = await client.post(self.url, json=body)
            except (httpx.TransportError, TimeoutError) as error:
                trouble = f"{type(error).__name__} {error}".strip()
            else:
                if answer.status_code == 200:
                    reply = _read(answer)
                    if reply is not None:
                        return reply
                    trouble = f"an answer that is no chat completion: {answer.text[:200]!r}"
                elif answer.status_code in RETRIED:
                    trouble = f"status {answer.status_code}: {answer.text[:200]!r}"
                    wait = max(wait, _retry_after(answer))
                elif filtered(answer.status_code, answer.text):
                    return Reply("", None, "refused", 0, 0)  # nothing was generated, so nothing is to be paid
                else:
                    raise PolicyError(
                        f"{self.url} refuses the request with status {answer.status_code}: {answer.text[:300]!r}. "
                        f'Is the model called "{self.model}" there, and is $OPENAI_API_KEY set if it wants a key?'
                    )
            if attempt + 1 < self.patience.attempts:
                await asyncio.sleep(wait)
        raise PolicyError(
            f"{self.url} gave no reply in {self.patience.attempts} attempts; the last trouble was {trouble}. What is finished is "
            "on disk: run the same command again when the server is back."
        )

    def _connected(self) -> tuple[httpx.AsyncClient, asyncio.Semaphore]:
        """The client of the running loop: each stage has a loop of its own."""
        loop = asyncio.get_running_loop()
        if self._client is None or self._places is None or self._loop is not loop:
            limits = httpx.Limits(max_connections=self.max_in_flight, max_keepalive_connections=self.max_in_flight)
            self._client = httpx.AsyncClient(headers=self._headers, limits=limits, timeout=self.patience.timeout_s)
            self._places = asyncio.Semaphore(self.max_in_flight)
            self._loop = loop
        return self._client, self._places


def _read(answer: httpx.Response) -> Reply | None:
    """The reply in a chat completion; None where it is none."""
    try:
        data: Any = answer.json()
        choice = data["choices"][0]
        # No content at all is a reply of nothing, which reasoning models give when the limit cuts their thinking.
        text = choice["message"].get("content") or ""
        usage = data.get("usage") or {}
        if (words := declined(choice)) is not None:
            return Reply(words, None, "refused", usage.get("prompt_tokens"), usage.get("completion_tokens"))
        finish = "length" if choice.get("finish_reason") == "length" else "stop"
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        return None
    if not isinstance(text, str):
        return None
    return Reply(text.strip(), None, finish, usage.get("prompt_tokens"), usage.get("completion_tokens"))


def _retry_after(answer: httpx.Response) -> float:
    try:
        return min(float(answer.headers.get("retry-after", "0")), 300.0)
    except ValueError:
        return 0.0  # a date: our own wait will do
