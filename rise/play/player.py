"""Play a policy on problems, turn after turn. One loop serves collection, improvement and evaluation.

One task per problem, no barrier between turns, at most `policy.max_in_flight` problems at once; every judged reply is in
the ledger before the next turn is asked for. With `deterministic`, a policy that makes batches plays fixed groups instead, and
a group that was interrupted is played again whole, so that every batch holds the same rows as in an uninterrupted run.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from rise.errors import ResumeError, RiseError
from rise.judge import Judge, Judgement
from rise.play.budget import Budget
from rise.play.context_length import check_context
from rise.play.keys import request_key, stream_seed
from rise.play.ledger import Ledger
from rise.play.prompt import NOTHING, Prompt
from rise.play.reward import reward_of
from rise.play.schedule import REDRAW, Named, Schedule
from rise.policy import Policy, Request, Sampling
from rise.recipe.config import RewardConfig
from rise.task import Problem
from rise.trajectory import Message, Turn, to_json, turn_from_json

Record = TypeVar("Record")
Item = TypeVar("Item", bound=Named)

SLOW_JUDGE_S = 0.02
"""A judge that once takes longer works in threads from then on, or generation would wait for it. A thread for each of
thousands of verdicts of 0.1 ms would cost more than the verdicts."""


@dataclass(slots=True)
class Usage:
    """What was generated in this process; replies read back from the ledger are counted apart."""

    n_replies: int = 0
    n_prompt_tokens: int = 0
    n_reply_tokens: int = 0
    n_reused: int = 0
    n_empty: int = 0
    """Replies that ended by themselves and hold nothing: one is data, all of them are a server that was set up wrongly."""
    facts: dict[str, Any] = field(default_factory=dict)
    """What the policy reports of its work: requests sent again by reason, what its engine says of itself."""


@dataclass(slots=True)
class Player:
    """A policy at work: states in, judged turns out, everything in the ledger."""

    policy: Policy
    prompt: Prompt
    judge: Judge
    sampling: Sampling
    ledger: Ledger
    purpose: str
    """Name of the stage and its part; part of each random stream's seed."""
    seed: int = 0
    rewards: RewardConfig = field(default_factory=RewardConfig)
    renderer: Any = None
    """Turns messages into token ids where the policy takes ids; None: the policy's own."""
    deterministic: bool = False
    on_done: Callable[[int, Usage], None] | None = None
    """Called with the number of problems done and the usage so far."""
    usage: Usage = field(default_factory=Usage)
    budget: Budget | None = None
    """What replies may cost; those read back from the ledger were paid for before."""
    n_in_flight: int = 0
    """Replies asked for and not in the ledger yet."""
    slow_judge: bool = False
    """Whether a verdict has taken longer than `SLOW_JUDGE_S`."""

    def __post_init__(self) -> None:
        if self.renderer is None:
            self.renderer = self.policy.renderer

    @property
    def name(self) -> str:
        """What replies are filed under: the policy, and where it takes ids the tokenizer, template and ends it has them by."""
        return f"{self.policy.name}/{self.renderer.fingerprint}" if self.policy.takes_ids else self.policy.name

    async def turns(
        self,
        problem: Problem,
        shown: Sequence[Turn],
        *,
        n: int = 1,
        first: int = 0,
        source: str = "student",
    ) -> list[Turn]:
        """`n` judged replies at the state after `shown`, those in the ledger not asked for again.

        They are samples `first`, `first` + 1, … of that many attempts: each number has its own random stream.
        """
        messages = self.prompt.messages(problem, shown)
        return await self.ask(problem, messages, attempts=len(shown), n=n, first=first, source=source, earlier=shown)

    async def ask(
        self,
        problem: Problem,
        messages: tuple[Message, ...],
        *,
        attempts: int,
        n: int = 1,
        first: int = 0,
        source: str = "student",
        judged: bool = True,
        part: str = "",
        earlier: Sequence[Turn] = (),
        sampling: Sampling | None = None,
    ) -> list[Turn]:
        """`n` replies to `messages`, in the ledger before they are returned; `judged` unless they are no attempts.

        `part` tells what is asked there apart from attempts, in the random streams and in the ledger. `earlier` are the turns
        before, for a judge that looks back. `sampling` is the player's unless given.
        """
        purpose = self.purpose + part
        prompt_ids = self.renderer.prompt_ids(messages) if self.policy.takes_ids else None
        seeds = [stream_seed(self.seed, purpose, problem.id, attempts, first + sample) for sample in range(n)]
        whole = Request(messages, sampling or self.sampling, tuple(seeds), prompt_ids, problem.id)
        keys = [request_key(self.name, whole, seed) for seed in seeds]
        found: dict[str, Turn] = {}
        if not REDRAW.get():
            for key in keys:
                if key in self.ledger:
                    # Judged anew: the judge or the rewards may have been mended since the reply was filed.
                    filed = replace(turn_from_json(self.ledger.get(key)["turn"]), prompt_ids=prompt_ids)
                    found[key] = await self._again(problem, filed, earlier) if judged else filed
            for key, filed in self._as_before(whole, seeds, keys).items():
                found[key] = await self._again(problem, filed, earlier) if judged else filed
            self.usage.n_reused += len(found)
        missing = {key: seed for key, seed in zip(keys, seeds, strict=True) if key not in found}
        if missing:
            parts = [{key: seed} for key, seed in missing.items()] if self.policy.splits else [missing]
            about = {"purpose": purpose, "problem": problem.id, "attempts": attempts}
            how = (about, source, judged, earlier)
            for turns in await _all(self._draw(problem, whole, some, *how) for some in parts):
                found |= turns
        return [found[key] for key in keys]

    def _as_before(self, whole: Request, seeds: Sequence[int], keys: Sequence[str]) -> dict[str, Turn]:
        """Replies that version 0.1.0 filed at the same state: by the weights alone, an attempt of nothing shown as nothing."""
        formers = [whole] if self.policy.takes_ids else []
        if any(m.role == "assistant" and m.content == NOTHING for m in whole.messages):
            shown = tuple(replace(m, content="") if m.role == "assistant" and m.content == NOTHING else m for m in whole.messages)
            ids = self.renderer.prompt_ids(shown) if self.policy.takes_ids else None
            formers.append(replace(whole, messages=shown, prompt_ids=ids))
        found: dict[str, Turn] = {}
        for key, seed in zip(keys, seeds, strict=True):
            for former in formers:
                was = request_key(self.policy.name, former, seed)
                if key not in self.ledger and key not in found and was in self.ledger:
                    found[key] = replace(turn_from_json(self.ledger.get(was)["turn"]), prompt_ids=former.prompt_ids)
        return found

    async def _draw(
        self,
        problem: Problem,
        whole: Request,
        wanted: dict[str, int],
        about: dict[str, Any],
        source: str,
        judged: bool,
        earlier: Sequence[Turn],
    ) -> dict[str, Turn]:
        """Replies for the `wanted` seeds by ledger key: asked for, judged, filed with what the line is `about`."""
        self.n_in_flight += len(wanted)
        replies = await self.policy.reply(replace(whole, seeds=tuple(wanted.values())))
        turns = [
            Turn(
                reply=reply.text,
                source=source,
                prompt_ids=whole.prompt_ids,
                reply_ids=reply.ids,
                finish=reply.finish,
                n_prompt_tokens=reply.n_prompt_tokens,
                n_reply_tokens=reply.n_reply_tokens,
            )
            for reply in replies
        ]
        if judged:
            turns = await _all(self.judged_aside(problem, turn, earlier) for turn in turns)
        found = dict(zip(wanted, turns, strict=True))
        lines = [(key, {**about, "turn": to_json(replace(turn, prompt_ids=None))}) for key, turn in found.items()]
        self.ledger.append(lines, n_in_flight=self.n_in_flight)
        self.n_in_flight -= len(wanted)
        self.usage.n_replies += len(replies)
        self.usage.n_empty += sum(reply.finish == "stop" and not reply.text for reply in replies)
        self.usage.n_prompt_tokens += sum(reply.n_prompt_tokens or 0 for reply in replies)
        self.usage.n_reply_tokens += sum(reply.n_reply_tokens or 0 for reply in replies)
        if self.budget:  # in the ledger first: what is paid for is kept even where the bill cannot be added up
            for reply in replies:
                self.budget.pay(reply.n_prompt_tokens, reply.n_reply_tokens)
        return found

    async def _again(self, problem: Problem, filed: Turn, earlier: Sequence[Turn]) -> Turn:
        """A turn from the ledger, judged anew. Raises `ResumeError` where an environment says something else than it did then."""
        found = await self.judged_aside(problem, filed, earlier)
        if self.judge.looks_back and filed.verdict is not None and found.message != filed.message:
            raise ResumeError(
                f"problem {problem.id}: played again, reply {filed.reply[:60]!r} is answered with {found.message!r}, where it "
                f"was {filed.message!r}. An environment whose replay differs cannot be resumed; give another --out."
            )
        return found

    async def judged_aside(self, problem: Problem, turn: Turn, earlier: Sequence[Turn] = ()) -> Turn:
        """`judged`, but where the judge is slow, requests and other problems go on meanwhile."""
        if self.judge.looks_back:
            return self._with(turn, await asyncio.to_thread(self.judge.after, problem, earlier, turn.reply))
        if self.judge.elsewhere or self.slow_judge:
            return self._with(turn, await self.judge.aside(problem, turn.reply))
        began = time.perf_counter()
        done = self.judged(problem, turn)
        self.slow_judge = time.perf_counter() - began > SLOW_JUDGE_S
        return done

    def judged(self, problem: Problem, turn: Turn) -> Turn:
        """The turn with what the judge finds in it, and its reward."""
        return self._with(turn, self.judge.judge(problem, turn.reply))

    def _with(self, turn: Turn, found: Judgement) -> Turn:
        return replace(
            turn,
            verdict=found.verdict,
            answer=found.answer,
            reward=reward_of(found, self.rewards),
            score=found.score,
            message=found.message,
            brief=found.brief,
            own_check=found.own_check,
        )

    def check_context(self, problems: Sequence[Problem], attempts: int) -> None:
        """Raise `ConfigError` where a reply after so many attempts may not fit the policy's context."""
        check_context(
            self.prompt,
            self.renderer,
            problems,
            limit=self.policy.max_length,
            attempts=attempts,
            max_new_tokens=self.sampling.max_new_tokens,
        )

    async def answered(self, problem: Problem, turns: Sequence[Turn], turn: Turn, *, sample: int = 0) -> Turn:
        """The turn with the feedback that will follow it; under `self-refine` the model first criticises it."""
        if self.prompt.refines:
            messages = self.prompt.critique_messages(problem, [*turns, turn])
            [critique] = await self.ask(problem, messages, attempts=len(turns) + 1, first=sample, judged=False, part="/critique")
            turn = replace(turn, critique=replace(critique, prompt_ids=None, reply_ids=None))
        return replace(turn, feedback=self.prompt.feedback_for(problem, [*turns, turn]))

    async def verified(self, problem: Problem, turns: Sequence[Turn], turn: Turn) -> Turn:
        """The turn with what the model says of it: whether it is right (`state.verify`)."""
        assert self.prompt.verify is not None, "the recipe asks for verdicts"
        messages, sampling = self.prompt.verify_messages(problem, [*turns, turn]), self.prompt.verify.sampling
        [said] = await self.ask(problem, messages, attempts=len(turns) + 1, judged=False, part="/verify", sampling=sampling)
        said = replace(said, verdict=self.prompt.verify.read(said.reply), prompt_ids=None, reply_ids=None)
        return replace(turn, own_verdict=said)

    async def play(
        self,
        problems: Sequence[Item],
        one: Callable[[Item], Awaitable[Record]],
        *,
        on_record: Callable[[int, Record], None] | None = None,
    ) -> list[Record]:
        """`one(problem)` for every problem (or episode), in bounded concurrency. Results in their order.

        With `on_record`, every result is handed to it (index, record) when it is there, none is kept, and the list is empty.
        The first error stops all: nothing more is asked for, and that error is raised.
        """
        self.n_in_flight = 0
        results: dict[int, Record] = {}

        async def play_one(index: int) -> None:
            record = await one(problems[index])
            if on_record:
                on_record(index, record)
            else:
                results[index] = record
            if self.on_done:
                self.on_done(schedule.n_done + 1, self.usage)

        schedule = Schedule(self.policy, self.ledger, self.purpose, problems, play_one, self.budget, self.name)
        try:
            await (schedule.in_groups() if self.deterministic and self.policy.batched else schedule.free())
        except BaseExceptionGroup as group:
            raise _first(group) from None
        finally:
            self.ledger.flush()
        return [results[index] for index in sorted(results)]


def _first(error: BaseException) -> BaseException:
    """The error a task group wraps, ours before others."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    return _first((error.subgroup(RiseError) or error).exceptions[0])


async def _all(work: Iterable[Coroutine[Any, Any, Record]]) -> list[Record]:
    """Results in order; the first error cancels the rest, which `asyncio.gather` would leave running."""
    todo = list(work)
    if len(todo) == 1:
        return [await todo[0]]
    async with asyncio.TaskGroup() as tasks:
        started = [tasks.create_task(coroutine) for coroutine in todo]
    return [task.result() for task in started]


def play_out(player: Player, work: Coroutine[Any, Any, Record]) -> Record:
    """Run `work` in a new event loop, and close the player's policy afterwards, whatever happened."""

    async def closing() -> Record:
        try:
            return await work
        finally:
            player.usage.facts = player.policy.facts()
            await player.policy.close()

    return asyncio.run(closing())
