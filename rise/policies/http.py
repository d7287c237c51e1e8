"""Any OpenAI-compatible chat endpoint: hosted models, vLLM, SGLang, llama.cpp. It renders for itself, so replies carry no ids.

Spec: `http://host:port/v1#model`, `https://…`, or several base URLs of the same model: `http://a/v1,http://b/v1#model`.
The key is read from the environment (`http.key` names the variable) and never written anywhere.
"""

from __future__ import annotations

import asyncio
import sys
from functools import cache
from typing import Any

from rise.errors import FullContext, PolicyError, Unanswerable
from rise.policies.http_dialect import Dialect
from rise.policies.http_key import Key
from rise.policies.http_replies import read_reply
from rise.policies.http_servers import Patience, Servers
from rise.policies.http_troubles import UNANSWERABLE, Refused, fills_context
from rise.policies.rate_limit import Pace
from rise.policies.refusals import filtered
from rise.policy import Policy, Reply, Request
from rise.recipe.endpoints import named, no_secret, shown
from rise.recipe.machines import HttpConfig


class HttpPolicy(Policy):
    """Chat completions over HTTP, one request per reply, so that each carries its own seed."""

    splits = True
    batched = False

    def __init__(self, servers: Servers, model: str, dialect: Dialect | None = None, given: frozenset[str] = frozenset()) -> None:
        """`given`: the settings of `[http]` that were set, whatever to."""
        self.servers, self.given = servers, given
        self.model = model
        self.name = named(f"{','.join(server.url for server in servers.servers)}#{model}")
        self.max_in_flight = servers.n_places
        self.dialect = dialect or Dialect()
        """What is known so far of what the endpoint takes."""

    @classmethod
    def from_spec(cls, spec: str, settings: HttpConfig | None = None) -> HttpPolicy:
        """Raises `PolicyError` where the spec names no model, or carries a key, and where the key will not do."""
        settings = settings or HttpConfig()
        urls, hash_, model = spec.partition("#")
        if trouble := no_secret(spec, "the URL", settings.key):
            raise PolicyError(f"{trouble}.")
        key = Key.read(settings.key, settings.key_header)
        if len(key.value) > 7 and key.value in spec:
            raise PolicyError(f"the URL carries the key of ${settings.key}, and would end up in files with it. Leave it out.")
        if not hash_ or not model:
            raise PolicyError(f'"{shown(spec)}" names no model. Write URL#MODEL, for example http://localhost:8000/v1#my-model.')
        patience = Patience(attempts=settings.attempts, timeout_s=settings.timeout_s)
        pace = Pace(settings.requests_per_minute, settings.tokens_per_minute)
        servers = Servers(urls.split(","), key=key, n_each=settings.concurrency, patience=patience, pace=pace)
        return cls(servers, model, Dialect(left_out=frozenset(settings.leave_out)), frozenset(settings.model_fields_set))

    async def reply(self, request: Request) -> list[Reply]:
        if len(request.seeds) == 1:
            return [await self._one(request, request.seeds[0])]
        return list(await asyncio.gather(*(self._one(request, seed) for seed in request.seeds)))

    def facts(self) -> dict[str, Any]:
        return self.servers.facts()

    async def close(self) -> None:
        await self.servers.close()

    async def _one(self, request: Request, seed: int) -> Reply:
        """One reply. What a refusal teaches is tried at once, and known to all others when it has helped."""
        learnt = asked = self.dialect
        first: Refused | None = None

        def write() -> dict[str, Any]:
            nonlocal asked
            asked = learnt.also(self.dialect)  # others may have learnt more while this waited for its place
            return asked.body(self.model, request, seed)

        while True:
            try:
                reply = await self._post(request, write, lambda refusal: asked.after(refusal, request) is not None)
                break
            except Refused as error:
                if filtered(error.status, error.body):
                    return Reply("", None, "refused", 0, 0)  # nothing was generated, so nothing is to be paid
                first = first or error
                better = None if fills_context(error.status, error.body) else asked.after(error, request)
                if better is None:
                    raise self._explained(asked, first, error, request) from None
                learnt, reason = better
                self.servers.sent_again[reason] += 1
        if learnt.also(self.dialect) != self.dialect:
            self._remember(learnt.also(self.dialect))
        return reply

    async def _post(self, request: Request, write: Any, teaches: Any) -> Reply:
        # About four characters a token, in most languages with Latin letters.
        n_tokens = sum(len(m.content) for m in request.messages) // 4 + request.sampling.max_new_tokens
        return await self.servers.post(
            "/chat/completions", write, read_reply, problem=request.problem, n_tokens=n_tokens, used=_used, teaches=teaches
        )

    def _remember(self, better: Dialect) -> None:
        known, self.dialect = self.dialect, better
        if gone := sorted(better.left_out - known.left_out):
            _notice(f"{self.model} does not take {' and '.join(gone)}: left out from now on.")
        if known.system and not better.system:
            _notice(f"{self.model} takes no system message: its text stands at the head of the first question.")

    def _explained(self, asked: Dialect, first: Refused, last: Refused, request: Request) -> PolicyError:
        """The refusal to tell: the first one, unless what was learnt of it led to one of a value that the recipe sets."""
        if fills_context(last.status, last.body):
            return FullContext(f"problem {request.problem}: {last}" if request.problem else str(last))
        for error in (last, first):
            if cannot := asked.cannot(error, request):
                return Unanswerable(f"{error} {cannot}")
        return Unanswerable(str(first)) if first.status in UNANSWERABLE else first


@cache
def _notice(text: str) -> None:
    """Once a process, on standard error."""
    print(f"rise: {text}", file=sys.stderr)


def _used(reply: Reply) -> int | None:
    if reply.n_prompt_tokens is None or reply.n_reply_tokens is None:
        return None
    return reply.n_prompt_tokens + reply.n_reply_tokens
