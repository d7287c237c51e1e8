"""Canned replies: what tests and documentation play instead of a model.

A script is a JSON object, question → list of replies by turn (the last one repeats), or a function of the messages.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

from rise.errors import DataError, PolicyError
from rise.jsonl import loads, read_text
from rise.policy import Policy, Reply, Request
from rise.trajectory import Message

Script = Callable[[Sequence[Message], int], str]
"""(messages, seed) → reply."""


class ScriptedPolicy(Policy):
    """Replies by a script. Counts one token per white-space separated word."""

    max_in_flight = 64

    def __init__(self, script: Script, name: str = "scripted") -> None:
        self.script = script
        self.name = name
        self.n_requests = 0

    @classmethod
    def load(cls, path: Path) -> ScriptedPolicy:
        try:
            text = read_text(path)
            table = loads(text)
        except (DataError, ValueError) as error:
            why = error.__cause__ if isinstance(error, DataError) else error
            raise PolicyError(f"scripted:{path}: {why}. The file maps each question to a list of replies.") from error
        if not isinstance(table, dict):
            raise PolicyError(f"scripted:{path}: it holds no object. The file maps each question to a list of replies.")
        return cls.from_table(table, name=f"scripted-{hashlib.sha256(text.encode()).hexdigest()[:12]}")

    @classmethod
    def from_table(cls, table: dict[str, list[str]], name: str = "scripted") -> ScriptedPolicy:
        """Reply k to a question is entry k of its list; the attempts are counted in the messages."""

        def script(messages: Sequence[Message], seed: int) -> str:
            question = next(m.content for m in messages if m.role == "user")
            turn = sum(m.role == "assistant" for m in messages)
            if not table.get(question):
                raise PolicyError(f"the script has no reply to {question!r}.")
            replies = table[question]
            return replies[min(turn, len(replies) - 1)]

        return cls(script, name)

    async def reply(self, request: Request) -> list[Reply]:
        self.n_requests += 1
        n_prompt = sum(len(m.content.split()) for m in request.messages)
        texts = [self.script(request.messages, seed) for seed in request.seeds]
        return [Reply(text, None, "stop", n_prompt, len(text.split())) for text in texts]
