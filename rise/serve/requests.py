"""What requests look like, and how one becomes an `Ask`. Parameters are those of chat completions, and `rise`."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rise.errors import did_you_mean
from rise.policy import Sampling
from rise.serve.revise import Ask
from rise.serve.vote import RULES
from rise.task import Problem
from rise.trajectory import Message


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one server."""

    n_active: int = 32
    """Choices that run at once."""
    n_waiting: int = 256
    """Choices that may wait for a place; beyond that, requests get status 429."""
    max_turns: int = 16
    max_choices: int = 8
    max_tokens: int = 4096
    """Tokens of one reply."""
    max_body_bytes: int = 1 << 20
    max_answer_bytes: int = 16 << 20
    """Of all turns of all choices of one request, feedback included, since all of it is kept until the end."""
    body_limit_s: float = 30.0
    """Seconds for the request's body to arrive."""
    head_limit_s: float = 20.0
    """Seconds for the request's headers to arrive."""
    send_limit_s: float = 60.0
    """Seconds in which a slow client must read something of what waits for it."""
    first_limit_s: float = 5.0
    """Seconds that a stream's headers wait for its first turn, so that an early failure has a status of its own."""
    heartbeat_s: float = 15.0
    """Seconds between comments on an idle stream."""


@dataclass(frozen=True, slots=True)
class Served:
    """The served model's name, and the defaults of a request."""

    name: str
    turns: int
    rule: str
    sampling: Sampling
    judged_by_function: bool = False
    """Whether `vote = "judge"` may be asked for."""
    about: dict[str, Any] = field(default_factory=dict)
    """Shown with the model: task, feedback, window."""
    problems: tuple[Problem, ...] = ()
    """Of the task's test split, for the playground to offer."""


class ApiError(Exception):
    """An HTTP status and the API's error object."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        kind: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.headers = status, headers or {}
        kind = kind or ("invalid_request_error" if status < 500 else "server_error")
        self.error = {"message": message, "type": kind, "param": param, "code": code}


def ending() -> ApiError:
    """What a request hears that the end of the server cuts short."""
    return ApiError(
        503,
        "The server is ending. Ask again when it is back.",
        code="server_ending",
        kind="server_error",
        headers={"retry-after": "5"},
    )


Piece = Annotated[str, Field(min_length=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class TextPart(BaseModel):
    """A piece of a message. Images, audio and files are refused."""

    model_config = ConfigDict(strict=True)
    type: Literal["text"]
    text: str


class ChatMessage(BaseModel):
    """One message. Other fields that clients send back with a reply (reasoning_content, refusal) are passed over."""

    model_config = ConfigDict(strict=True)
    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextPart]

    def message(self) -> Message:
        text = self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)
        return Message("system" if self.role == "developer" else self.role, text)


if TYPE_CHECKING:
    Vote = str
else:
    Vote = Literal[(*RULES, "judge")]
    """How a request may have the reply chosen."""


class RiseOptions(_Strict):
    """`extra_body={"rise": {…}}`: what is ours."""

    turns: int | None = Field(None, ge=1, description="Turns to take; the server's by default.")
    vote: Vote | None = Field(None, description="How the reply is chosen.")
    return_turns: bool = Field(False, description="Send every turn with its answer and feedback.")


class StreamOptions(_Strict):
    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class ChatRequest(_Strict):
    """The parameters we support. Others of the API that would change the reply are refused by name."""

    model: str = Field(min_length=1, max_length=300)
    messages: list[ChatMessage] = Field(min_length=1)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    max_tokens: int | None = Field(None, ge=1, description="Of each turn's reply.")
    max_completion_tokens: int | None = Field(None, ge=1, description="Of all turns of one choice together.")
    n: int | None = Field(None, ge=1)
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    stop: Piece | Annotated[list[Piece], Field(max_length=4)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    rise: RiseOptions | None = None


PASSED_OVER = frozenset(
    (
        "metadata",
        "parallel_tool_calls",
        "prompt_cache_key",
        "prompt_cache_retention",
        "reasoning_effort",
        "safety_identifier",
        "service_tier",
        "store",
        "user",
        "verbosity",
    )
)
"""Parameters of the API that are ignored: they do not change the reply of an engine like ours."""

NEUTRAL: dict[str, tuple[Any, ...]] = {
    "audio": (),
    "frequency_penalty": (0,),
    "function_call": ("none",),
    "functions": ([],),
    "logit_bias": ({},),
    "logprobs": (False,),
    "modalities": (["text"],),
    "moderation": (),
    "prediction": (),
    "presence_penalty": (0,),
    "response_format": ({"type": "text"},),
    "tool_choice": ("none", "auto"),
    "tools": ([],),
    "top_logprobs": (0,),
    "web_search_options": (),
}
"""Parameters of the API that are not supported, with the values (besides null) that have no effect."""


def read_request(body: bytes) -> ChatRequest:
    """A request from its bytes. Raises `ApiError` 400 naming the parameter at fault."""
    data = read_json(body)
    if not isinstance(data, dict):
        raise ApiError(400, "The body must be a JSON object.", code="invalid_json")
    _refuse_unsupported(data)
    try:
        # Read anew from the text: a value read as JSON may be a number for a float, which one read as Python may not.
        return ChatRequest.model_validate_json(json.dumps(data, allow_nan=False))
    except ValidationError as error:
        raise _said(error) from None
    except (ValueError, RecursionError):
        raise ApiError(400, "NaN and Infinity are no JSON numbers.", code="invalid_json") from None


def read_json(body: bytes) -> Any:
    """A body as JSON. Raises `ApiError` 400 for anything but UTF-8, which alone JSON is sent in."""
    try:
        return json.loads(body.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:  # not UTF-8 is a ValueError too
        raise ApiError(400, f"The body is not JSON in UTF-8 ({_short(error)}).", code="invalid_json") from None


def _refuse_unsupported(data: dict[str, Any]) -> None:
    for name in list(data):
        if name in ChatRequest.model_fields:
            continue
        if name in NEUTRAL:
            if data[name] is not None and data[name] not in NEUTRAL[name]:
                what = "Images and audio are" if name == "modalities" else f"{name} is"
                raise ApiError(400, f"{what} not supported by this server.", param=name, code="unsupported_parameter")
        elif name not in PASSED_OVER:
            raise ApiError(
                400,
                f"Unknown parameter {name[:80]!r}. {did_you_mean(name[:80], ChatRequest.model_fields)}",
                param=name[:80],
                code="unknown_parameter",
            )
        del data[name]
    messages = data.get("messages")
    for i, message in enumerate(messages if isinstance(messages, list) else []):
        if not isinstance(message, dict):
            continue
        where = f"messages[{i}]"
        if message.get("role") in ("tool", "function") or message.get("tool_calls") or message.get("function_call"):
            raise ApiError(400, f"{where}: tools are not supported.", param=where, code="unsupported_parameter")
        parts = message.get("content")
        for j, part in enumerate(parts if isinstance(parts, list) else []):
            kind = part.get("type") if isinstance(part, dict) else None
            if isinstance(kind, str) and kind != "text":
                where = f"{where}.content[{j}]"
                raise ApiError(
                    400, f"{where}: only text is supported, not {kind[:40]!r}.", param=where, code="unsupported_content"
                )


def _said(error: ValidationError) -> ApiError:
    # Of the branches of a union, the deepest error belongs to the one that was meant.
    worst = max(error.errors(include_url=False, include_input=False, include_context=False), key=lambda e: len(e["loc"]))
    param = ""
    for part in worst["loc"]:
        if isinstance(part, int):
            param += f"[{part}]"
        elif part in _KNOWN:
            param += f".{part}" if param else part
    message = worst["msg"]
    if worst["type"] == "extra_forbidden":
        message = f"unknown. {did_you_mean(str(worst['loc'][-1])[:80], RiseOptions.model_fields)}"
    return ApiError(400, f"{param or 'The body'}: {message}", param=param or None, code="invalid_value")


_KNOWN = {name for model in (ChatRequest, ChatMessage, TextPart, RiseOptions, StreamOptions) for name in model.model_fields}
"""Names of parameters; the other names in pydantic's locations are branches of unions."""


def _short(error: Exception) -> str:
    return type(error).__name__ if isinstance(error, RecursionError) else str(error)[:120]


def to_ask(request: ChatRequest, served: Served, limits: Limits) -> Ask:
    """The request with defaults filled in. Raises `ApiError` for an unknown model and for values above the server's limits."""
    options = request.rise or RiseOptions()
    turns, messages = options.turns or turns_of(request.model, served, limits), tuple(m.message() for m in request.messages)
    rule = options.vote or served.rule
    if messages[-1].role != "user":
        raise ApiError(400, "The last message must be the user's: it is the question.", param="messages", code="invalid_value")
    if not messages[-1].content.strip():
        raise ApiError(400, "The last message is empty.", param="messages", code="invalid_value")
    if rule == "judge" and not served.judged_by_function:
        raise ApiError(
            400,
            f"This server has no judge: use {', '.join([*RULES][:-1])} or {[*RULES][-1]}.",
            param="rise.vote",
            code="invalid_value",
        )
    if request.stream_options is not None and not request.stream:
        raise ApiError(400, "stream_options needs stream = true.", param="stream_options", code="invalid_value")
    most = served.sampling.max_new_tokens if request.max_tokens is None else request.max_tokens
    asked = (
        ("rise.turns", turns, limits.max_turns),
        ("n", request.n or 1, min(limits.max_choices, limits.n_active + limits.n_waiting)),
        ("max_tokens", most, limits.max_tokens),
        ("max_completion_tokens", request.max_completion_tokens or 1, limits.max_tokens * limits.max_turns),
    )
    for name, value, bound in asked:
        if value > bound:
            raise ApiError(400, f"{name} = {value}, but this server gives at most {bound}.", param=name, code="invalid_value")
    sampling = Sampling(
        temperature=served.sampling.temperature if request.temperature is None else request.temperature,
        top_p=served.sampling.top_p if request.top_p is None else request.top_p,
        max_new_tokens=most,
    )
    stop = (request.stop,) if isinstance(request.stop, str) else tuple(request.stop or ())
    seed = random.getrandbits(63) if request.seed is None else request.seed
    return Ask(messages, sampling, turns, rule, seed, stop, request.max_completion_tokens)


def turns_of(model: str, served: Served, limits: Limits) -> int:
    """Turns that a model name asks for: `name`, or `name@K`. Raises `ApiError` 404 for another name."""
    name, at, turns = model.rpartition("@")
    if model == served.name:
        return served.turns
    if at and name == served.name and turns.isascii() and turns.isdecimal() and len(turns) < 4:
        if 1 <= int(turns) <= limits.max_turns:
            return int(turns)
        raise ApiError(404, f"{name} is served with 1 to {limits.max_turns} turns.", param="model", code="model_not_found")
    raise ApiError(
        404,
        f"There is no model {model!r} here. Use {served.name!r}, or {served.name + '@1'!r} for a single turn.",
        param="model",
        code="model_not_found",
    )
