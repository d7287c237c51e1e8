"""Who asks a model that judges: an event loop in a thread of its own, so that judging works from any thread, and a ledger of its
own, so that a run that is continued asks nothing twice."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rise.judge import Judge
from rise.judges.by_model import ModelJudge
from rise.play.budget import Budget
from rise.play.ledger import Ledger
from rise.play.memory_ledger import MemoryLedger
from rise.play.player import Player
from rise.play.prompt import Prompt
from rise.policy import Policy, Sampling
from rise.task import Problem
from rise.trajectory import Message

BEFORE = "judge-"
"""Leads the name of the ledger beside which it lies: judge-ledger.jsonl holds every verdict in the judge's own words."""


class JudgeClient:
    """The model of a `ModelJudge` at work. `usage` counts what was asked in this process, `bill` what it cost."""

    def __init__(self, judge: ModelJudge, policy: Policy, ledger: Path | None, seed: int) -> None:
        self.bill = Budget(judge.price_prompt, judge.price_reply)
        self._ledger: Any = Ledger(ledger) if ledger else MemoryLedger()
        sampling = Sampling(temperature=judge.temperature, max_new_tokens=judge.max_new_tokens)
        self._player = Player(policy, Prompt(), judge, sampling, self._ledger, purpose="judge", seed=seed, budget=self.bill)
        self._loop = asyncio.new_event_loop()
        self._flying: dict[tuple[str, str, int], asyncio.Task[Any]] = {}
        """What is being asked: the same reply to the same problem is asked about once."""
        self._thread = threading.Thread(target=self._loop.run_forever, name="rise-judge", daemon=True)
        self._thread.start()
        judge.asker = self

    def ask(self, problem: Problem, text: str, attempt: int) -> Future[str]:
        return asyncio.run_coroutine_threadsafe(self._ask(problem, text, attempt), self._loop)

    async def _ask(self, problem: Problem, text: str, attempt: int) -> str:
        asked = (problem.id, text, attempt)
        if asked not in self._flying:
            messages = (Message("user", text),)
            work = self._player.ask(problem, messages, attempts=0, first=attempt, judged=False)
            self._flying[asked] = asyncio.ensure_future(work)
            self._flying[asked].add_done_callback(lambda _: self._flying.pop(asked, None))
        [said] = await asyncio.shield(self._flying[asked])
        return str(said.reply)

    def counts(self) -> dict[str, float]:
        """Replies, tokens, replies read back from the ledger, and price so far."""
        usage = self._player.usage
        names = ("n_replies", "n_prompt_tokens", "n_reply_tokens", "n_reused")
        return {**{name: getattr(usage, name) for name in names}, "price": self.bill.spent}

    def close(self) -> None:
        """Stop the thread, close the policy and the ledger."""
        asyncio.run_coroutine_threadsafe(self._player.policy.close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._ledger.close()


def judging(before: dict[str, float], client: JudgeClient | None) -> dict[str, Any]:
    """What judging took since `before`, for the log of a part; empty where no model judged."""
    if client is None:
        return {}
    took = {name: value - before.get(name, 0) for name, value in client.counts().items()}
    whole = {name: int(value) for name, value in took.items() if name != "price"}
    price = round(took["price"], 6)
    return {"judge": {**whole, **({"price": price} if client.bill.price_prompt or client.bill.price_reply else {})}}


@contextmanager
def judge_client(
    judge: Judge, opened: Callable[[str], Policy], ledger: Path | None, seed: int = 0
) -> Iterator[JudgeClient | None]:
    """A judge that asks a model may be used within; nothing happens for any other. `opened` makes the policy of a spec.

    `ledger` is that of the work's replies, beside which the judge has its own; None keeps it in memory.
    """
    if not isinstance(judge, ModelJudge):
        yield None
        return
    own = ledger.with_name(BEFORE + ledger.name) if ledger else None
    client = JudgeClient(judge, opened(judge.policy), own, seed)
    try:
        yield client
    finally:
        client.close()
