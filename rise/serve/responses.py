"""What is sent: a whole completion, or the chunks of a stream. Usage sums all turns, also those that are not shown."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from rise.serve.revise import Ask, Outcome
from rise.trajectory import Turn


@dataclass(slots=True)
class Completion:
    """What all chunks of one completion share."""

    model: str
    ask: Ask
    return_turns: bool
    id: str = field(default_factory=lambda: f"chatcmpl-{uuid.uuid4().hex}")
    created: int = field(default_factory=lambda: int(time.time()))

    @property
    def shows_turns(self) -> bool:
        """Whether attempts go into reasoning_content; a single turn is the content itself."""
        return self.ask.turns > 1

    def whole(self, outcomes: Sequence[Outcome]) -> dict[str, Any]:
        choices = []
        for index, outcome in enumerate(outcomes):
            message = {"role": "assistant", "content": outcome.reply.reply, "refusal": None}
            if self.shows_turns:
                message["reasoning_content"] = "".join(attempt(turn, k) for k, turn in enumerate(outcome.turns, 1))
            choices.append(
                {
                    "index": index,
                    "message": message,
                    "finish_reason": finish_reason(outcome.reply),
                    "logprobs": None,
                    "rise": verdict(outcome, self.return_turns),
                }
            )
        return {
            **self._head("chat.completion"),
            "choices": choices,
            "usage": usage(outcomes),
            "rise": choices[0]["rise"],
        }

    def begin(self, choice: int) -> dict[str, Any]:
        return self._chunk(choice, {"role": "assistant", "content": ""})

    def turn(self, choice: int, turn: Turn, number: int) -> dict[str, Any] | None:
        """The chunk of a turn; None where there is nothing to show."""
        delta = {"reasoning_content": attempt(turn, number)} if self.shows_turns else {}
        if self.return_turns:
            return self._chunk(choice, delta, rise={"turn": shown(turn, number)})
        return self._chunk(choice, delta) if delta else None

    def end(self, choice: int, outcome: Outcome) -> list[dict[str, Any]]:
        return [
            self._chunk(choice, {"content": outcome.reply.reply}),
            self._chunk(choice, {}, finish=finish_reason(outcome.reply), rise=verdict(outcome, False)),
        ]

    def summed(self, outcomes: Sequence[Outcome]) -> dict[str, Any]:
        """The last chunk where usage was asked for."""
        return {**self._head("chat.completion.chunk"), "choices": [], "usage": usage(outcomes)}

    def _chunk(self, choice: int, delta: dict[str, Any], finish: str | None = None, **extra: Any) -> dict[str, Any]:
        one = {"index": choice, "delta": delta, "finish_reason": finish, "logprobs": None, **extra}
        return {**self._head("chat.completion.chunk"), "choices": [one]}

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}


def finish_reason(turn: Turn) -> str:
    """How a reply ended, in the API's words."""
    return "content_filter" if turn.finish == "refused" else turn.finish


def attempt(turn: Turn, number: int) -> str:
    """One turn in `reasoning_content`."""
    return f"Turn {number}:\n{turn.reply}\n\n"


def shown(turn: Turn, number: int) -> dict[str, Any]:
    """One turn under `return_turns`; unknown values are null."""
    critique = {"critique": turn.critique.reply} if turn.critique else {}
    verdict = turn.own_verdict.verdict if turn.own_verdict else None
    own = {"own_verdict": verdict.value} if verdict else {}
    return {
        "turn": number,
        "reply": turn.reply,
        "answer": turn.answer,
        **own,
        **critique,
        "feedback": turn.feedback,
        "finish_reason": finish_reason(turn),
        "prompt_tokens": turn.n_prompt_tokens,
        "completion_tokens": turn.n_reply_tokens,
    }


def verdict(outcome: Outcome, return_turns: bool) -> dict[str, Any]:
    """`rise` of a choice: how its content was chosen."""
    vote = None
    if outcome.winner is not None:
        groups = sorted(outcome.groups, key=lambda g: (-len(g.turns), g.turns[0]))
        vote = {
            "answer": outcome.winner.answer,
            "votes": len(outcome.winner.turns),
            "answers": [{"answer": g.answer, "turns": list(g.turns)} for g in groups],
        }
    out: dict[str, Any] = {
        "n_turns": len(outcome.turns),
        "chosen_turn": outcome.chosen,
        "stopped": outcome.stopped,
        "vote": vote,
    }
    if return_turns:
        out["turns"] = [shown(turn, k) for k, turn in enumerate(outcome.turns, 1)]
    return out


def usage(outcomes: Sequence[Outcome]) -> dict[str, Any] | None:
    """Tokens of all turns (critiques and verdicts too) of all choices; None where the engine does not say.

    Reasoning is what is not the content.
    """
    turns = [drawn for outcome in outcomes for turn in outcome.turns for drawn in (turn, *turn.beside)]
    if any(turn.n_prompt_tokens is None or turn.n_reply_tokens is None for turn in turns):
        return None
    prompt = sum(turn.n_prompt_tokens or 0 for turn in turns)
    completion = sum(turn.n_reply_tokens or 0 for turn in turns)
    content = sum(outcome.reply.n_reply_tokens or 0 for outcome in outcomes)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "completion_tokens_details": {"reasoning_tokens": completion - content},
    }
