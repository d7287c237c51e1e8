"""What a chat endpoint takes, as far as its refusals have told: how requests are written, and what a refusal teaches.

A refusal is judged by the request that it answers, so that any number of requests under way learn the same thing at once.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from rise.play.prompt import with_system_in_question
from rise.policies.http_troubles import Refused
from rise.policy import Request, Sampling
from rise.trajectory import Message

OLD_LIMIT, NEW_LIMIT = "max_tokens", "max_completion_tokens"
SAMPLING = ("temperature", "top_p")
"""May be left out where they are 1, which says nothing: a model that takes neither samples so."""
VALUE = re.compile(
    r"too (?:large|small|high|low)|at (?:most|least)|(?:max|min)imum|(?:greater|less|larger|smaller|lower|higher) than|exceed"
    r"|(?:must|should|needs to|has to) be (?!omitted|removed|unset|left|absent|none|null)|between|\brange\b|\bonly [\d.]+ is"
    r"|[<>]=? ?\d",
    re.IGNORECASE,
)
"""What an endpoint says of a value that it does not take, where it takes the parameter."""
UNKNOWN = re.compile(
    r"unsupported|not support|unrecogni[sz]ed|unknown|unexpected|extra (inputs|fields|keys)|not (permitted|allowed|valid)|"
    r"deprecated|invalid (parameter|argument|field)|no longer",
    re.IGNORECASE,
)
"""What it says of a parameter that it does not know."""
NO_SYSTEM = re.compile(
    r"system[\w '\"`]{0,40}(role|message|prompt|instruction)|(role|message|instruction|developer)s?\b[^.]{0,60}\bsystem\b"
    r"|developer instruction|roles must alternate|only user\b[^.]{0,40}\broles|first message\b[^.]{0,40}\buser\b"
    r"|\brole\b.*\buser\b.*\bassistant\b.*\binput\W{1,8}system\b|\binput\W{1,8}system\b.*\brole\b",
    re.IGNORECASE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one endpoint wants to be asked."""

    limit: str = OLD_LIMIT
    """What it calls the limit of a reply: newer hosted models refuse the old name."""
    left_out: frozenset[str] = frozenset()
    """Parameters that it does not take."""
    system: bool = True
    """Whether it takes a system message; else that stands at the head of the first question."""

    def body(self, model: str, request: Request, seed: int) -> dict[str, Any]:
        """The JSON of one request."""
        messages: Sequence[Message] = request.messages if self.system else with_system_in_question(request.messages)
        sampling = request.sampling
        optional = {
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "seed": seed % 2**31,  # several servers take no more than 32 signed bits
            self.limit: sampling.max_new_tokens,
        }
        left_out = {self.limit if name == OLD_LIMIT else name for name in self.left_out}
        said = [{"role": m.role, "content": m.content} for m in messages]
        return {"model": model, "messages": said} | {name: value for name, value in optional.items() if name not in left_out}

    def also(self, other: Dialect) -> Dialect:
        """What both know: two requests may have learnt different things."""
        limit = other.limit if self.limit == OLD_LIMIT else self.limit
        return Dialect(limit, self.left_out | other.left_out, self.system and other.system)

    def after(self, refusal: Refused, request: Request) -> tuple[Dialect, str] | None:
        """(how to ask in place of this, the reason that is counted), as a refusal of a request in this dialect teaches.

        None where it teaches nothing.
        """
        said, plain = refusal.body, refusal.status in (400, 422)
        if not plain and refusal.status not in (404, 500):
            return None
        unknown = UNKNOWN.search(said) is not None and not VALUE.search(said)
        if plain or (unknown and re.search(r"\b(parameter|argument|field)", said, re.IGNORECASE)):
            new_name = _names(NEW_LIMIT, said) or (_names(OLD_LIMIT, said) and unknown)
            if self.limit == OLD_LIMIT and new_name:
                return replace(self, limit=NEW_LIMIT), "another name for max_tokens"
            if gone := self._refused(said, request.sampling):
                return replace(self, left_out=self.left_out | {*gone}), f"without {' and '.join(gone)}"
        # Of other statuses only what speaks of roles: a server in trouble may speak of its system.
        asked = self.system and request.messages[0].role == "system"
        if asked and NO_SYSTEM.search(said) and (plain or re.search(r"\broles?\b", said, re.IGNORECASE)):
            return replace(self, system=False), "without a system message"
        return None

    def _refused(self, said: str, sampling: Sampling) -> list[str]:
        """The parameters that a refusal names and that may be left out.

        Where it is the value that is refused, a temperature of 1 stays: left to the server, the replies would be drawn at
        another. A top_p of 1, which cuts nothing off, goes, and so does a seed.
        """
        named = [name for name in (*SAMPLING, "seed") if name not in self.left_out and _names(name, said)]
        if VALUE.search(said):
            return [name for name in named if name != "temperature" and _is_default(name, sampling)]
        # One of the two that is refused is a model with a distribution of its own: the other goes with it, not a request later.
        sampled = SAMPLING if any(name in SAMPLING for name in named) else ()
        found = dict.fromkeys(name for name in (*sampled, *named) if name not in self.left_out and _is_default(name, sampling))
        return [*found] if all(name in found or len(named) > 1 for name in named) else []

    def cannot(self, refusal: Refused, request: Request) -> str | None:
        """What to say where the refusal is of a value that the recipe sets; None where it is of something else."""
        if refusal.status not in (400, 422):
            return None
        of_value = VALUE.search(refusal.body) is not None
        set_ = {name: getattr(request.sampling, name) for name in SAMPLING if of_value or not _is_default(name, request.sampling)}
        named = [name for name in set_ if name not in self.left_out and _names(name, refusal.body)]
        if not named:
            return None
        values = " and ".join(f"sampling.{name} = {set_[name]:g}" for name in named)
        names, them = ", ".join(f'"{name}"' for name in named), "it" if len(named) == 1 else "them"
        takes = f"take {values} at 1 only: set {them} to 1" if not of_value else f"not take {values}: set {them} to what it takes"
        return f"This model may {takes}, or leave it to the server what it samples at: http.leave_out = [{names}]."


def _names(parameter: str, body: str) -> bool:
    """Whether a refusal speaks of a parameter, however it writes the name.

    >>> [_names("top_p", said) for said in ("`top_p` is", "Top P is", "topP: 1", "top_probs")]
    [True, True, True, False]
    """
    parameter = parameter.replace("_", "[_ -]?")
    return re.search(rf"(?<![A-Za-z0-9_]){parameter}(?![A-Za-z0-9_])", body, re.IGNORECASE) is not None


def _is_default(name: str, sampling: Sampling) -> bool:
    return name == "seed" or getattr(sampling, name) == 1
