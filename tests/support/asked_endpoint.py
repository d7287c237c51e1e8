"""A policy of an odd endpoint, and what it is asked."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from odd_endpoint import OddEndpoint

from rise.policies.http import HttpPolicy
from rise.policies.http_servers import Patience
from rise.policy import Reply, Request, Sampling
from rise.recipe.machines import HttpConfig
from rise.trajectory import Message

ASK = Request((Message("user", "1+2?"),), Sampling(max_new_tokens=8), seeds=(1,))
WITH_SYSTEM = replace(ASK, messages=(Message("system", "Add up."), *ASK.messages))


def policy_of(server: OddEndpoint, spec: str = "", **settings: Any) -> HttpPolicy:
    policy = HttpPolicy.from_spec(spec or server.spec, HttpConfig(**settings))
    policy.servers.patience = Patience(settings.get("attempts", 4), first_wait_s=0.01, longest_wait_s=0.02, timeout_s=300.0)
    return policy


def ask(policy: HttpPolicy, *requests: Request) -> list[Reply]:
    async def go() -> list[Reply]:
        try:
            return [reply for replies in await asyncio.gather(*map(policy.reply, requests or [ASK])) for reply in replies]
        finally:
            await policy.close()

    return asyncio.run(go())
