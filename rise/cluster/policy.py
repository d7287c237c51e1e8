"""The policy whose replies come from replicas on the cluster. To the run it is one policy like any other.

A problem stays with its replica, which still holds the keys and values of the turns before; another serves it where that one
is full or gone. What a lost replica had under way is asked again of another: what was finished is in the ledger already.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from rise.cluster.replicas import Replicas, Slot, as_ours, reason_of
from rise.errors import PolicyError
from rise.play.render import Renderer
from rise.play.schedule import GROUP
from rise.policies.batching import Gathering, answer
from rise.policy import Policy, Reply, Request


class ClusterPolicy(Policy):
    """Requests go to replicas, `n_each` at once to each; where batches are fixed, one batch at once."""

    takes_ids = True
    scores = True

    def __init__(self, replicas: Replicas, renderer: Renderer) -> None:
        first = replicas.reference
        assert first is not None
        self.replicas, self.renderer = replicas, renderer
        self.name = first.name
        self.max_length = first.max_length
        self.fixed_batches = replicas.order.fixed_batches
        self.splits = replicas.order.kind == "vllm"
        self.batched = not self.splits
        self.n_each = 1 if self.fixed_batches else first.max_in_flight
        self.lanes = replicas.n if self.fixed_batches else 1
        self.max_in_flight = first.max_in_flight if self.fixed_batches else first.max_in_flight * replicas.n
        self.n_spilled = 0
        replicas.begin_part()
        self._home: dict[str, Slot] = {}
        self._batches: dict[int, Gathering] = {}
        self._freed = asyncio.Condition()
        self._watching: dict[int, asyncio.Task[None]] = {}
        self._trouble: BaseException | None = None
        self._serving: set[asyncio.Task[None]] = set()

    def enter(self) -> None:
        if self.fixed_batches:
            self._batches.setdefault(GROUP.get(), Gathering()).n_in_flight += 1

    def leave(self) -> None:
        if self.fixed_batches:
            batch = self._batches[GROUP.get()]
            batch.n_in_flight -= 1
            self._serve_if_ready(batch)

    async def reply(self, request: Request) -> list[Reply]:
        if not self.fixed_batches:
            [replies] = await self._ask([request], request.problem)
            return replies
        batch = self._batches.setdefault(GROUP.get(), Gathering())
        future = batch.wait(request)
        self._serve_if_ready(batch)
        return await future

    async def score(self, prompts: Sequence[Sequence[int]], replies: Sequence[Sequence[int]]) -> list[tuple[float, ...]]:
        """Natural log-probability of each token of each reply after its prompt, at temperature 1: one tuple a pair."""
        return await self._on_one("", lambda actor: actor.score.remote(prompts, replies))

    def facts(self) -> dict[str, Any]:
        return self.replicas.facts() | ({"n_spilled": self.n_spilled} if self.n_spilled else {})

    async def close(self) -> None:
        """Stop waiting for replies; the replicas stay for the next part that uses the same weights."""
        tasks = [*self._watching.values(), *self._serving]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._watching = {}

    def _serve_if_ready(self, batch: Gathering) -> None:
        if not (served := batch.take()):
            return
        asked = self._ask([request for request, _ in served], f"group {GROUP.get()}")
        task = asyncio.get_running_loop().create_task(answer(served, asked))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _ask(self, requests: Sequence[Request], home: str) -> list[list[Reply]]:
        def send(actor: Any) -> Any:
            return actor.batch.remote(requests) if self.fixed_batches else actor.reply.remote(requests[0])

        done = await self._on_one(home, send)
        return done if self.fixed_batches else [done]

    async def _on_one(self, home: str, send: Any) -> Any:
        """What one replica answers: asked again of another where it is lost. Raises what the policy itself raises."""
        from ray.exceptions import RayError, RayTaskError

        while True:
            slot = await self._place(home)
            try:
                done = await send(slot.actor)
                self._count(slot, done)
                return done
            except RayTaskError as error:
                raise as_ours(error) from None
            except RayError as error:
                self.replicas.asked_again[reason_of(error)] += 1
                slot.up = False
                self._watch()
            finally:
                slot.n_under_way -= 1
                async with self._freed:
                    self._freed.notify()

    def _count(self, slot: Slot, done: Any) -> None:
        replies = [reply for part in done for reply in (part if isinstance(part, list) else [part]) if isinstance(reply, Reply)]
        slot.n_replies += len(replies)
        slot.n_reply_tokens += sum(reply.n_reply_tokens or 0 for reply in replies)

    async def _place(self, home: str) -> Slot:
        """A replica with a place free: the problem's own, else the least busy."""
        self._watch()
        waited = self.replicas.settings.wait_s
        async with self._freed:
            while True:
                if self._trouble:
                    raise self._trouble
                slots = self.replicas.slots
                if slots and all(slot.dead for slot in slots):
                    raise PolicyError(
                        f"every replica is lost. {slots[0].dead} What is finished is on disk: run the same command."
                    )
                free = [slot for slot in slots if slot.up and slot.n_under_way < self.n_each]
                if free:
                    own = self._home.get(home)
                    chosen = own if own in free else min(free, key=lambda slot: slot.n_under_way)
                    assert chosen is not None
                    self.n_spilled += own is not None and chosen is not own
                    if home:
                        self._home[home] = chosen
                    chosen.n_under_way += 1
                    return chosen
                all_down = not any(slot.up for slot in slots)
                try:
                    async with asyncio.timeout(waited if all_down else None):
                        await self._freed.wait()
                except TimeoutError:
                    raise PolicyError(
                        f"no replica came back within cluster.wait_s = {waited:g} s. What is finished is on disk: run the same "
                        "command when the cluster has room again (`ray status`)."
                    ) from None

    def _watch(self) -> None:
        """Watch the replicas that are not up, to use them when they are."""
        for slot in self.replicas.slots:
            if not slot.up and not slot.dead and slot.number not in self._watching:
                self._watching[slot.number] = asyncio.get_running_loop().create_task(self._comes_back(slot))

    async def _comes_back(self, slot: Slot) -> None:
        try:
            await self.replicas.comes_back(slot)
        except Exception as error:
            self._trouble = error
        self._watching.pop(slot.number, None)
        async with self._freed:
            self._freed.notify_all()
