"""`rise serve` in front of an endpoint: what is made of its refusals."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from odd_endpoint import Call, OddEndpoint, Say, chat, refusal
from serving import Running, assembled, serving

from rise.cli.serve import suit
from rise.serve.requests import Limits

FULL = refusal("This model's maximum context length is 64 tokens.", code="context_length_exceeded")


@pytest.fixture
def front() -> Iterator[Any]:
    """A server with three turns in front of an endpoint with ways of its own."""
    made: list[Any] = []

    def start(rule: Any) -> tuple[Running, OddEndpoint]:
        endpoint = OddEndpoint(rule)
        reviser, served = assembled(endpoint.spec, turns=3)
        suit(reviser.policy, Limits(n_active=4))
        context = serving(reviser.policy, prompt=reviser.prompt, turns=served.turns)
        made.append((context, endpoint))
        return context.__enter__(), endpoint

    yield start
    for context, endpoint in made:
        context.__exit__(None, None, None)
        endpoint.stop()


def n_attempts(call: Call) -> int:
    return sum(message["role"] == "assistant" for message in call.body["messages"])


@pytest.mark.parametrize("stream", [False, True])
def test_a_conversation_that_the_engine_cannot_read_is_the_client_s_to_shorten(front: Any, stream: bool) -> None:
    server, endpoint = front(lambda call: FULL)
    answer = server.ask("long", stream=stream)
    error = answer.json()["error"]
    assert answer.status_code == 400
    assert (error["code"], error["param"], error["type"]) == ("context_length_exceeded", "messages", "invalid_request_error")
    assert len(endpoint.calls) == 1


def test_turns_that_fill_the_engine_s_context_end_there_and_the_vote_is_over_what_is_there(front: Any) -> None:
    """Attempts 1 and 2 agree, and the state after them is refused."""
    server, endpoint = front(lambda call: FULL if n_attempts(call) == 2 else chat())
    data = server.ask("1+2").json()
    assert (data["rise"]["stopped"], data["rise"]["n_turns"], data["rise"]["vote"]["votes"]) == ("context", 2, 2)
    assert data["choices"][0]["message"]["content"] == "\\boxed{3}" and data["usage"]["completion_tokens"] == 6
    assert len(endpoint.calls) == 3


@pytest.mark.parametrize(
    ("status", "heard", "code"), [(400, 400, "engine_refused"), (422, 400, "engine_refused"), (403, 502, "engine_error")]
)
def test_a_refusal_of_what_is_asked_is_nothing_to_try_again(front: Any, status: int, heard: int, code: str) -> None:
    server, _ = front(lambda call: Say(status, {"error": "secret words"}))
    answer = server.ask("1+2")
    assert (answer.status_code, answer.json()["error"]["code"]) == (heard, code)
    assert "secret words" not in answer.text


@pytest.mark.parametrize(
    ("overrides", "n_active", "n_each", "attempts"),
    [
        ([], 64, 32, 3),
        ([], 5, 3, 3),  # 2 and a half to each of two
        (["http.concurrency=4"], 8, 4, 3),
        (["http.concurrency=4"], 100, 4, 3),
        (["http.concurrency=32", "http.attempts=8"], 8, 32, 8),  # the defaults, said
        (["http.attempts=2"], 64, 32, 2),
    ],
)
def test_what_is_set_of_http_goes_before_what_suits_a_server(
    overrides: list[str], n_active: int, n_each: int, attempts: int
) -> None:
    reviser, _ = assembled("http://a/v1,http://b/v1#m", overrides=overrides)
    suit(reviser.policy, Limits(n_active=n_active))
    assert (reviser.policy.servers.n_each, reviser.policy.servers.patience.attempts) == (n_each, attempts)
