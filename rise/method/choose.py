"""Which of an improver's replies is taken at a state: by the reward, by a vote among them, or by a model that is asked."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from rise.evaluation.vote import Same, group, spokesman
from rise.play.player import Player
from rise.task import Problem
from rise.trajectory import Message, Relabelled, Turn

Select = Literal["oracle", "majority", "judge"]

CHOICE_TEXT = "Which of these replies answers the question rightly? Write its number alone."


def best(candidates: Sequence[Turn]) -> int:
    """The first with the highest reward, which knows the gold answer. RISE eq. 4.5 and the reference code.

    >>> best([Turn("a", reward=0.0), Turn("b", reward=1.0), Turn("c", reward=1.0)])
    1
    """
    rewards = [candidate.reward or 0.0 for candidate in candidates]
    return rewards.index(max(rewards))


def majority(candidates: Sequence[Turn], same: Same) -> int:
    """The first reply with the answer that most of them give, gold unseen; a tie goes to the answer that was given first.

    Replies without an answer do not vote; where none has one, the first reply is taken. One that its judge ran out of time on
    is taken only where all with that answer are.

    >>> [majority([Turn("", answer=a) for a in answers], lambda x, y: x == y) for answers in ("7557", "123", [None, "4"])]
    [0, 0, 1]
    """
    leaders = group([candidate.voted for candidate in candidates], same).leaders
    return spokesman(leaders[0], candidates) - 1 if leaders else 0  # the first of equals


def choice_text(question: str, replies: Sequence[str]) -> str:
    """What the model that chooses is asked: the question, the replies by number, and nothing of the gold answer."""
    shown = [f"Reply {i}:\n{reply}" for i, reply in enumerate(replies, 1)]
    return "\n\n".join([f"Question:\n{question}", *shown, CHOICE_TEXT])


def named(choice: str, n: int) -> int | None:
    """Index of the reply that a choice names: the last line with a number from 1 to `n`, its first such number.

    >>> named("Reply 2 is wrong.\\nSo: 3, since 4 + 5 = 9.", n=4), named("Reply 12", n=4), named("none", n=4)
    (2, None, None)
    """
    for line in reversed(choice.splitlines()):
        for number in re.findall(r"(?<![\d.])\d{1,6}(?!\.?\d)", line):
            if 1 <= int(number) <= n:
                return int(number) - 1
    return None


def chose(item: Relabelled) -> bool:
    """Whether the model that was asked named one of the replies; true where nobody was asked."""
    return item.choice is None or named(item.choice, len({turn.reply for turn in item.candidates})) is not None


@dataclass(frozen=True, slots=True)
class _State:
    """One improved state and its problem."""

    problem: Problem
    item: Relabelled

    @property
    def id(self) -> str:
        return f"{self.problem.id}/{self.item.sample}/{self.item.turn}"


async def choose(player: Player, problems: Sequence[Problem], relabelled: Sequence[Relabelled]) -> list[Relabelled]:
    """The same states with the candidate that `player.policy` names; where it names none, the first, and its words are kept.

    Equal texts are shown once, and states with one distinct reply are not sent to the model.
    """
    by_id = {problem.id: problem for problem in problems}

    async def one(state: _State) -> Relabelled:
        candidates = state.item.candidates
        first_of = {turn.reply: i for i, turn in reversed(list(enumerate(candidates)))}
        texts = list(dict.fromkeys(turn.reply for turn in candidates))
        messages = (Message("user", choice_text(state.problem.question, texts)),)
        [said] = await player.ask(state.problem, messages, attempts=state.item.turn, first=state.item.sample, judged=False)
        index = named(said.reply, len(texts))
        return replace(state.item, chosen=first_of[texts[index or 0]], choice=said.reply)

    open_states = [_State(by_id[r.problem_id], r) for r in relabelled if len({turn.reply for turn in r.candidates}) > 1]
    chosen = {state.id: item for state, item in zip(open_states, await player.play(open_states, one), strict=True)}
    return [chosen.get(_State(by_id[r.problem_id], r).id, r) for r in relabelled]
