"""A policy is anything that replies: conversations in, replies out, asynchronously. The kinds we have are in `policies/`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rise.errors import PolicyError
from rise.jsonl import whole_text
from rise.trajectory import Message


@dataclass(frozen=True, slots=True)
class Sampling:
    """How replies are drawn. The defaults are the reference code's: temperature 1, no truncation of the distribution."""

    temperature: float = 1.0
    """0 is greedy."""
    top_p: float = 1.0
    max_new_tokens: int = 512


@dataclass(frozen=True, slots=True)
class Request:
    """One state, and how many replies are wanted at it."""

    messages: tuple[Message, ...]
    sampling: Sampling
    seeds: tuple[int, ...]
    """One per wanted reply: each (problem, turn, sample) has its own random stream."""
    prompt_ids: tuple[int, ...] | None = None
    """The same state as token ids, for policies that take ids."""
    problem: str = ""
    """Id of the problem: its requests go to the same server, which still holds the keys and values of the turns before."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a policy wrote."""

    text: str
    ids: tuple[int, ...] | None
    """Token ids as sampled, the end-of-turn token included when `finish` is `stop`; None where unknown."""
    finish: str
    """`stop`, `length`, or `refused`: the endpoint or its model declined, which never trains and is counted."""
    n_prompt_tokens: int | None
    n_reply_tokens: int | None

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", whole_text(self.text))  # what no file can hold would be lost with all around it


class Policy(ABC):
    """Anything that replies. `name` and `reply` are required; everything else has a default."""

    name: str
    """Content hash or served name: part of every ledger key, so a new model never reuses an old reply."""
    takes_ids: bool = False
    """Whether `Request.prompt_ids` must be given; then there is a `renderer`."""
    renderer: Any = None
    """The `rise.play.render.Renderer` that turns messages into this policy's token ids; None where an endpoint renders."""
    max_in_flight: int = 32
    """How many problems may be under way at once."""
    max_length: int | None = None
    """Tokens of prompt and reply together that the model was built for; None where unknown."""
    splits: bool = False
    """Whether N replies are better asked for by N requests: each is then filed as soon as it arrives."""
    batched: bool = True
    """Whether what is asked at once is generated in one batch of ours, whose rows a deterministic run keeps together. False: a
    reply stands alone, and one that is in the ledger is never asked for, or paid for, again."""
    lanes: int = 1
    """How many fixed groups of problems may be under way at once (`rise.play.schedule.GROUP` names the group)."""
    scores: bool = False
    """Whether `score` works."""

    @abstractmethod
    async def reply(self, request: Request) -> list[Reply]:
        """`len(request.seeds)` replies, in the order of the seeds. Raises `PolicyError` when it cannot."""

    async def score(self, prompts: Sequence[Sequence[int]], replies: Sequence[Sequence[int]]) -> list[tuple[float, ...]]:
        """Natural log-probability of each token of each reply after its prompt, at temperature 1: one tuple a pair."""
        raise PolicyError(f"{self.name} gives no log-probabilities of a given reply.")

    def enter(self) -> None:  # noqa: B027
        """Called when a problem is begun."""

    def leave(self) -> None:  # noqa: B027
        """Called when a problem is ended."""

    def facts(self) -> dict[str, Any]:
        """What happened on the way, for the run's log, such as requests sent again, by reason."""
        return {}

    async def close(self) -> None:  # noqa: B027
        """Free connections and memory."""
