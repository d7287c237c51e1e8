"""Play a policy on problems, turn after turn. One loop serves collection, improvement and evaluation.

One task per problem, no barrier between turns, at most `policy.max_in_flight` problems at once; every judged reply is in
the ledger before the next turn is asked for. With `deterministic`, problems are played in fixed groups instead, and a
group that was interrupted is played again whole, so that every batch holds the same rows as in an uninterrupted run.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar

from rise.errors import RiseError
from rise.judge import Judge, Judgement
from rise.play.budget import Budget
from rise.play.context_length import check_context
from rise.play.ledger import Ledger
from rise.play.prompt import Prompt
from rise.policy import GROUP, Policy, Request, Sampling, request_key, stream_seed
from rise.recipe.config import RewardConfig
from rise.task import Problem
from rise.trajectory import Message, Trajectory, Turn, to_json, turn_from_json

Record = TypeVar("Record")

SLOW_JUDGE_S = 0.02
"""A judge that once takes longer works in threads from then on, or generation would wait for it. A thread for each of
thousands of verdicts of 0.1 ms would cost more than the verdicts."""


class Named(Protocol):
    """What can be played: a problem, or one of several trajectories of a problem."""

    @property
    def id(self) -> str: ...


Item = TypeVar("Item", bound=Named)


@dataclass(frozen=True, slots=True)
class Episode:
    """One of the independent trajectories of a problem."""

    problem: Problem
    sample: int = 0
    shown: Trajectory | None = None
    """The trajectory itself, once the student has taken its turns."""

    @property
    def id(self) -> str:
        return f"{self.problem.id}/{self.sample}" if self.sample else self.problem.id


@dataclass(frozen=True, slots=True)
class Episodes(Sequence[Episode]):
    """`n` episodes of each problem, made when they are asked for: there may be a million."""

    problems: Sequence[Problem]
    n: int = 1

    def __len__(self) -> int:
        return len(self.problems) * self.n

    def __getitem__(self, index: int) -> Episode:  # type: ignore[override]
        return Episode(self.problems[index // self.n], index % self.n)


@dataclass(slots=True)
class Usage:
    """What was generated in this process; replies read back from the ledger are counted apart."""

    n_replies: int = 0
    n_prompt_tokens: int = 0
    n_reply_tokens: int = 0
    n_reused: int = 0
    facts: dict[str, Any] = field(default_factory=dict)
    """What the policy reports of its work: requests sent again by reason, what its engine says of itself."""


Each = Callable[[int, Record], None] | None


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
    """Needed where the policy takes ids."""
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

    async def turns(
        self,
        problem: Problem,
        shown: Sequence[Turn],
        *,
        n: int = 1,
        first: int = 0,
        source: str = "student",
        trust_ledger: bool = True,
    ) -> list[Turn]:
        """`n` judged replies at the state after `shown`, those in the ledger not asked for again.

        They are samples `first`, `first` + 1, … of that many attempts: each number has its own random stream.
        """
        messages = self.prompt.messages(problem, shown)
        return await self.ask(problem, messages, attempts=len(shown), n=n, first=first, source=source, trust_ledger=trust_ledger)

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
        trust_ledger: bool = True,
    ) -> list[Turn]:
        """`n` replies to `messages`, in the ledger before they are returned; `judged` unless they are no attempts.

        `part` tells what is asked there apart from attempts, in the random streams and in the ledger.
        """
        purpose = self.purpose + part
        prompt_ids = self.renderer.prompt_ids(messages) if self.policy.takes_ids else None
        seeds = [stream_seed(self.seed, purpose, problem.id, attempts, first + sample) for sample in range(n)]
        whole = Request(messages, self.sampling, tuple(seeds), prompt_ids, problem.id)
        keys = [request_key(self.policy.name, whole, seed) for seed in seeds]
        found: dict[str, Turn] = {}
        if trust_ledger:
            for key in keys:
                if key in self.ledger:
                    # Judged anew: the judge or the rewards may have been mended since the reply was filed.
                    filed = replace(turn_from_json(self.ledger.get(key)["turn"]), prompt_ids=prompt_ids)
                    found[key] = await self._judged_aside(problem, filed) if judged else filed
            self.usage.n_reused += len(found)
        missing = {key: seed for key, seed in zip(keys, seeds, strict=True) if key not in found}
        if missing:
            parts = [{key: seed} for key, seed in missing.items()] if getattr(self.policy, "splits", False) else [missing]
            about = {"purpose": purpose, "problem": problem.id, "attempts": attempts}
            for turns in await _all(self._draw(problem, whole, some, about, source, judged) for some in parts):
                found |= turns
        return [found[key] for key in keys]

    async def _draw(
        self, problem: Problem, whole: Request, wanted: dict[str, int], about: dict[str, Any], source: str, judged: bool
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
            turns = await _all(self._judged_aside(problem, turn) for turn in turns)
        found = dict(zip(wanted, turns, strict=True))
        lines = [(key, {**about, "turn": to_json(replace(turn, prompt_ids=None))}) for key, turn in found.items()]
        self.ledger.append(lines, n_in_flight=self.n_in_flight)
        self.n_in_flight -= len(wanted)
        self.usage.n_replies += len(replies)
        self.usage.n_prompt_tokens += sum(reply.n_prompt_tokens or 0 for reply in replies)
        self.usage.n_reply_tokens += sum(reply.n_reply_tokens or 0 for reply in replies)
        if self.budget:  # in the ledger first: what is paid for is kept even where the bill cannot be added up
            for reply in replies:
                self.budget.pay(reply.n_prompt_tokens, reply.n_reply_tokens)
        return found

    async def _judged_aside(self, problem: Problem, turn: Turn) -> Turn:
        """`judged`, in a thread where the judge is slow, so that requests and other problems go on meanwhile."""
        aside = getattr(self.judge, "aside", None)
        if aside is not None:
            return self._with(turn, await aside(problem, turn.reply))
        if self.slow_judge:
            return await asyncio.to_thread(self.judged, problem, turn)
        began = time.perf_counter()
        done = self.judged(problem, turn)
        self.slow_judge = time.perf_counter() - began > SLOW_JUDGE_S
        return done

    def judged(self, problem: Problem, turn: Turn) -> Turn:
        """The turn with verdict, answer and reward."""
        return self._with(turn, self.judge.judge(problem, turn.reply))

    def _with(self, turn: Turn, judgement: Judgement) -> Turn:
        reward = getattr(self.rewards, judgement.verdict.value)
        return replace(turn, verdict=judgement.verdict, answer=judgement.answer, reward=reward)

    def check_context(self, problems: Sequence[Problem], attempts: int) -> None:
        """Raise `ConfigError` where a reply after so many attempts may not fit the policy's context."""
        check_context(
            self.prompt,
            self.renderer,
            problems,
            limit=getattr(self.policy, "max_length", None),
            attempts=attempts,
            max_new_tokens=self.sampling.max_new_tokens,
        )

    async def answered(
        self, problem: Problem, turns: Sequence[Turn], turn: Turn, *, sample: int = 0, trust_ledger: bool = True
    ) -> Turn:
        """The turn with the feedback that will follow it; under `self-refine` the model first criticises it."""
        if self.prompt.refines:
            messages = self.prompt.critique_messages(problem, [*turns, turn])
            [critique] = await self.ask(
                problem,
                messages,
                attempts=len(turns) + 1,
                first=sample,
                judged=False,
                part="/critique",
                trust_ledger=trust_ledger,
            )
            turn = replace(turn, critique=replace(critique, prompt_ids=None, reply_ids=None))
        return replace(turn, feedback=self.prompt.feedback_for(problem, [*turns, turn]))

    async def play(
        self, problems: Sequence[Item], one: Callable[[Item, bool], Awaitable[Record]], *, each: Each[Record] = None
    ) -> list[Record]:
        """`one(problem, trust_ledger)` for every problem (or episode), in bounded concurrency. Results in their order.

        With `each`, every result is handed to it (index, record) when it is there, none is kept, and the list is empty.
        The first error stops all: nothing more is asked for, and that error is raised.
        """
        self.n_in_flight = 0
        try:
            return await self._play(problems, one, each)
        except BaseExceptionGroup as group:
            raise _first(group) from None
        finally:
            self.ledger.flush()

    def _check_budget(self, n_done: int, n_all: int) -> None:
        if self.budget and self.budget.exhausted:
            raise self.budget.stop(n_done, n_all)

    async def _play(
        self, problems: Sequence[Item], one: Callable[[Item, bool], Awaitable[Record]], each: Each[Record]
    ) -> list[Record]:
        enter = getattr(self.policy, "enter", lambda: None)
        leave = getattr(self.policy, "leave", lambda: None)
        results: dict[int, Record] = {}
        n_done = 0

        async def play_one(index: int, trust: bool) -> None:
            nonlocal n_done
            record = await one(problems[index], trust)
            if each:
                each(index, record)
            else:
                results[index] = record
            n_done += 1
            if self.on_done:
                self.on_done(n_done, self.usage)

        if self.deterministic:
            size = self.policy.max_in_flight
            starts = iter(range(0, len(problems), size))

            async def play_group(start: int) -> None:
                GROUP.set(start)
                group = range(start, min(start + size, len(problems)))
                names = "\x1f".join(problems[i].id for i in group)
                marker = hashlib.sha256(f"{self.policy.name}\x1f{self.purpose}\x1f{names}".encode()).hexdigest()[:24]

                async def once(index: int, trust: bool) -> None:
                    try:
                        await play_one(index, trust)
                    finally:
                        leave()

                for _ in group:
                    enter()
                async with asyncio.TaskGroup() as tasks:
                    for index in group:
                        tasks.create_task(once(index, marker in self.ledger))
                self.ledger.append([(marker, {"purpose": self.purpose, "group": start})])

            async def lane() -> None:
                for start in starts:
                    self._check_budget(n_done, len(problems))
                    await play_group(start)

            async with asyncio.TaskGroup() as tasks:
                for _ in range(getattr(self.policy, "lanes", 1)):
                    tasks.create_task(lane())
        else:
            waiting = iter(range(len(problems)))

            async def worker() -> None:
                try:
                    for index in waiting:
                        if self.budget and self.budget.exhausted:
                            break  # those under way end as they would: what they asked for is paid for
                        await play_one(index, True)
                finally:
                    leave()

            n_workers = min(self.policy.max_in_flight, len(problems))
            for _ in range(n_workers):  # all at once, or the first to ask would be served alone
                enter()
            async with asyncio.TaskGroup() as tasks:
                for _ in range(n_workers):
                    tasks.create_task(worker())
            if n_done < len(problems):
                self._check_budget(n_done, len(problems))
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
    """Run `work` in an event loop of its own and let go of the player's policy afterwards, whatever happened."""

    async def closing() -> Record:
        try:
            return await work
        finally:
            player.usage.facts = getattr(player.policy, "facts", dict)()
            await player.policy.close()

    return asyncio.run(closing())


async def rollout(
    player: Player,
    problems: Sequence[Problem],
    *,
    n_turns: int,
    stop_when_right: bool,
    n_trajectories: int = 1,
    each: Each[Trajectory] = None,
) -> list[Trajectory]:
    """The student's own turns on each problem: the states that the improver will work on.

    `n_trajectories` of them a problem, independent of each other, in the order of the problems, then of the samples.
    Truthful feedback ends a run at the first right reply in any case, as in evaluation: it has told that it is right.
    """
    player.check_context(problems, n_turns - 1)
    stop = stop_when_right or player.prompt.feedback == "truthful"

    async def one(episode: Episode, trust: bool) -> Trajectory:
        problem, sample = episode.problem, episode.sample
        turns: list[Turn] = []
        for _ in range(n_turns):
            [turn] = await player.turns(problem, turns, first=sample, trust_ledger=trust)
            turns.append(await player.answered(problem, turns, turn, sample=sample, trust_ledger=trust))
            if turn.right and stop:
                break
        return Trajectory(problem.id, problem.question, problem.gold, tuple(turns), problem.fields, sample)

    return await player.play(Episodes(problems, n_trajectories), one, each=each)
