"""One conversation over several turns: reply, feedback, reply, …, then the vote. The state is built as in training."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from rise.errors import FullContext, RiseError
from rise.evaluation.vote import Ballot, Group
from rise.jsonl import whole_text
from rise.judge import Judge, Judgement
from rise.judges.math import MathJudge
from rise.judges.numbers import MAX_NUMBER_CHARS, number
from rise.play.keys import stream_seed
from rise.play.prompt import Prompt
from rise.policy import Policy, Reply, Request, Sampling
from rise.recipe.wordings import is_own_feedback
from rise.serve.own_code import Aside, is_own
from rise.serve.vote import Choose, stops, winner
from rise.task import Problem
from rise.trajectory import Message, Turn

LONG_CHARS = 20_000
"""Longer texts are rendered and searched for answers in a thread, not in the event loop."""


class TooLong(RiseError):
    """The conversation leaves no room for a reply."""


class Unrenderable(RiseError):
    """The chat template refuses the conversation."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One request: what is asked of each of its choices."""

    messages: tuple[Message, ...]
    """The conversation of the request, which is the first state; its last message is the question."""
    sampling: Sampling
    turns: int
    rule: str
    seed: int
    stop: tuple[str, ...] = ()
    """Each reply ends before the first of these."""
    budget: int | None = None
    """Tokens that all turns of one choice may generate together; None for no limit."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one choice."""

    turns: tuple[Turn, ...]
    groups: tuple[Group, ...]
    winner: Group | None
    """None where no reply holds an answer."""
    chosen: int
    """Number of the turn that is returned, from 1: the one that the model called right, else the earliest with the winning
    answer, else the last."""
    stopped: str
    """Why there is no further turn: `turns`, `verdict` (the model called its attempt right), `agree`, `budget` or `context`."""

    @property
    def reply(self) -> Turn:
        return self.turns[self.chosen - 1]


@dataclass(slots=True)
class _Drawn:
    """What one choice has sampled from the policy so far."""

    ask: Ask
    choice: int
    n: int = 0
    n_tokens: int = 0

    @property
    def left(self) -> int | None:
        """Tokens left of the budget; None without one."""
        return None if self.ask.budget is None else self.ask.budget - self.n_tokens

    @property
    def spent(self) -> bool:
        return self.left is not None and self.left <= 0

    @property
    def sampling(self) -> Sampling:
        return self.within_budget(self.ask.sampling)

    def within_budget(self, sampling: Sampling) -> Sampling:
        return sampling if self.left is None else replace(sampling, max_new_tokens=min(sampling.max_new_tokens, self.left))

    def seed(self) -> int:
        return stream_seed(self.ask.seed, self.choice, self.n)

    def count(self, reply: Reply, allowed: int) -> None:
        """A reply whose length nobody counted took all that it was allowed, or a budget would bound nothing."""
        self.n += 1
        self.n_tokens += allowed if reply.n_reply_tokens is None else reply.n_reply_tokens


OnTurn = Callable[[Turn, int], None]
"""Called with each turn and its number."""


class Reviser:
    """A policy with the state, judge and vote it is served with."""

    def __init__(self, policy: Policy, prompt: Prompt, judge: Judge, choose: Choose | None = None) -> None:
        self.policy, self.prompt, self.judge, self.choose = policy, prompt, judge, choose
        self.renderer: Any = policy.renderer
        self.max_length: int | None = policy.max_length
        self.aside = Aside()
        # Comparing formulas may take seconds in a worker process; its threads are not those that `local:` generates in.
        self._threads = ThreadPoolExecutor(max_workers=4, thread_name_prefix="rise-vote")

    @property
    def repeats_question(self) -> bool:
        """Whether what is said after an attempt holds the question again."""
        own = is_own_feedback(self.prompt.feedback)
        return not own and "{question}" in (self.prompt.feedback_text or self.prompt.mode.text)

    async def revise(self, ask: Ask, choice: int, on_turn: OnTurn) -> Outcome:
        """Play one choice to its end. Raises `TooLong` or `Unrenderable` for what no engine could answer, `PolicyError` for an
        engine that cannot."""
        first = self.prompt.opened(ask.messages)
        problem = Problem(ask.messages[-1].content, gold="", id="served")
        turns: list[Turn] = []
        ballot = Ballot(self.judge.same)
        drawn = _Drawn(ask, choice)
        stopped = ""
        while not stopped:
            reply = await self._reply(drawn, self.prompt.continued(first, turns), begun=bool(turns))
            if reply is None:
                stopped = "context"
                break
            turn = await self._read(problem, cut(reply, ask.stop))
            await self._cast(ballot, turn.voted)
            stopped = self._stop(ask, ballot, len(turns) + 1, drawn.left)
            if not stopped and self.prompt.verify is not None:
                turn, stopped = await self._verified(drawn, first, turns, turn)
            if not stopped and self.prompt.refines:
                critique = await self._reply(drawn, self.prompt.criticised(first, [*turns, turn]), begun=True)
                if critique is not None:
                    turn = replace(turn, critique=_unjudged(critique))
                stopped = "context" if critique is None else "budget" if drawn.spent else ""
            if not stopped:
                turn = replace(turn, feedback=await self._feedback(problem, [*turns, turn]))
            turns.append(turn)
            on_turn(turn, len(turns))
        return await self._outcome(ask, turns, ballot, stopped)

    async def _verified(self, drawn: _Drawn, first: tuple[Message, ...], turns: list[Turn], turn: Turn) -> tuple[Turn, str]:
        """The turn with what the model says of it, and why no other follows; empty where one does."""
        verify = self.prompt.verify
        assert verify is not None
        state = self.prompt.verified(first, [*turns, turn])
        reply = await self._reply(drawn, state, begun=True, sampling=drawn.within_budget(verify.sampling))
        if reply is None:
            return turn, "context"
        turn = replace(turn, own_verdict=replace(_unjudged(reply), verdict=verify.read(reply.text)))
        return turn, "verdict" if turn.called_right else "budget" if drawn.spent else ""

    async def _reply(
        self, drawn: _Drawn, state: tuple[Message, ...], *, begun: bool, sampling: Sampling | None = None
    ) -> Reply | None:
        """The next reply of a choice; None where attempts have left no room for one."""
        prompt_ids = await self._rendered(state, begun=begun)
        if prompt_ids is None and self.policy.takes_ids:
            return None
        sampling = sampling or drawn.sampling
        try:
            [reply] = await self.policy.reply(Request(state, sampling, (drawn.seed(),), prompt_ids))
        except FullContext as error:
            if begun:
                return None
            raise TooLong(
                "the conversation and a reply to it are longer than the model's context: shorten it, or ask for shorter replies."
            ) from error
        drawn.count(reply, sampling.max_new_tokens)
        return replace(reply, text=whole_text(reply.text))

    async def _feedback(self, problem: Problem, turns: list[Turn]) -> str:
        if is_own_feedback(self.prompt.feedback):
            return await self.aside.call("the feedback function", self.prompt.feedback_for, problem, turns)
        return self.prompt.feedback_for(problem, turns)

    async def judged(self, problem: Problem, reply: str) -> Judgement:
        """The judge's verdict on a reply to a problem whose gold answer is known."""
        if is_own(self.judge):
            return await self.aside.call("the judge", self.judge.judge, problem, reply)
        return await self.judge.aside(problem, reply)

    @staticmethod
    def _stop(ask: Ask, ballot: Ballot, n: int, left: int | None) -> str:
        """Why turn `n` was the last one; empty where another follows."""
        if stops(ballot, ask.rule):
            return "agree"
        if n >= ask.turns:
            return "turns"
        return "budget" if left is not None and left <= 0 else ""

    async def _rendered(self, state: tuple[Message, ...], *, begun: bool) -> tuple[int, ...] | None:
        """Token ids of the state; None where the engine renders for itself, or where attempts have filled the context."""
        if not self.policy.takes_ids:
            return None
        try:
            if sum(len(message.content) for message in state) > LONG_CHARS:
                ids = await asyncio.get_running_loop().run_in_executor(self._threads, self.renderer.prompt_ids, state)
            else:
                ids = self.renderer.prompt_ids(state)
        except RiseError as error:
            raise Unrenderable(str(error)) from error
        if self.max_length is None or len(ids) < self.max_length:
            return tuple(ids)
        if begun:
            return None
        raise TooLong(
            f"the conversation has {len(ids)} tokens, but the model was built for {self.max_length} with the reply: shorten it."
        )

    async def _read(self, problem: Problem, reply: Reply) -> Turn:
        """The turn with the answer that the judge reads in it."""
        if reply.finish == "refused":
            return _unjudged(reply)  # the engine declined, so the text is no attempt
        if is_own(self.judge):
            answer = await self.aside.call("the judge", self.judge.answer, reply.text, problem.question)
        elif len(reply.text) > LONG_CHARS:
            loop = asyncio.get_running_loop()
            answer = await loop.run_in_executor(self._threads, self.judge.answer, reply.text, problem.question)
        else:
            answer = self.judge.answer(reply.text, problem.question)
        return _unjudged(reply, answer)

    async def _cast(self, ballot: Ballot, answer: str | None) -> None:
        if answer is None or not ballot.groups or self._at_once(ballot, answer):
            ballot.cast(answer)
        elif is_own(self.judge):
            await self.aside.call("the judge", ballot.cast, answer)
        else:
            await asyncio.get_running_loop().run_in_executor(self._threads, ballot.cast, answer)

    def _at_once(self, ballot: Ballot, answer: str) -> bool:
        """Whether comparing takes no time worth a thread, which costs more than all else a turn costs us: equal texts or
        numbers, where the judge is the one of mathematics."""
        if not isinstance(self.judge, MathJudge) or len(answer) > MAX_NUMBER_CHARS:
            return False
        numeric = number(answer) is not None
        return all(group.answer == answer or (numeric and number(group.answer) is not None) for group in ballot.groups)

    async def _outcome(self, ask: Ask, turns: list[Turn], ballot: Ballot, stopped: str) -> Outcome:
        if ask.rule == "judge" and self.choose is not None:
            index = await self.aside.call("--vote's function", self.choose, ask.messages, tuple(turns))
            if index is not None and not (isinstance(index, int) and 0 <= index < len(turns)):
                raise RiseError(
                    f"--vote's function returned {index!r} for {len(turns)} turns; expected None or 0 … {len(turns) - 1}."
                )
            # It has named a turn, so that one is returned, not an earlier one with the same answer.
            won, chosen = (None, len(turns)) if index is None else (ballot.last[index], index + 1)
        elif stopped == "verdict":
            won, chosen = ballot.last[-1], len(turns)
        else:
            won = winner(ballot, ask.rule)
            chosen = won.turns[0] if won else len(turns)
        return Outcome(tuple(turns), tuple(ballot.groups), won, chosen, stopped)

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        await self.policy.close()


def _unjudged(reply: Reply, answer: str | None = None) -> Turn:
    return Turn(
        reply.text, answer=answer, finish=reply.finish, n_prompt_tokens=reply.n_prompt_tokens, n_reply_tokens=reply.n_reply_tokens
    )


def cut(reply: Reply, stop: Sequence[str]) -> Reply:
    """The reply up to the first of the stop texts in it.

    >>> cut(Reply("a. b. c", None, "length", 1, 7), ["c", ". b"]).text
    'a'
    """
    ends = [at for text in stop if (at := reply.text.find(text)) >= 0]
    return replace(reply, text=reply.text[: min(ends)].rstrip(), finish="stop") if ends else reply
