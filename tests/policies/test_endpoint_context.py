"""A state that is longer than an endpoint's model can read: known by what the endpoint says, and told with what to do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from asked_endpoint import ASK, ask, policy_of
from odd_endpoint import Say, refusal

from rise.errors import FullContext, PolicyError, Unanswerable

VLLM = "This model's maximum context length is 4096 tokens and your request has 4000 input tokens (1024 > 4096 - 4000)."


@pytest.mark.parametrize(
    "said",
    [
        refusal("Your input is over the limit.", code="context_length_exceeded"),
        refusal("This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens."),
        refusal("Your input exceeds the context window of this model. Please adjust your input and try again."),
        refusal("Input tokens exceed the configured limit of 272000 tokens. Your messages resulted in 300000 tokens."),
        refusal(f"'max_tokens' or 'max_completion_tokens' is too large: 1024. {VLLM}"),
        refusal("The input (5000 tokens) is longer than the model's context length (4096 tokens)."),
        refusal("the request exceeds the available context size, try increasing it", type="exceed_context_size_error"),
        refusal("prompt is too long: 210000 tokens > 200000 maximum"),
        refusal("input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000"),
        refusal("The input token count (1048577) exceeds the maximum number of tokens allowed (1048576)."),
        refusal("Input validation error: `inputs` tokens + `max_new_tokens` must be <= 2048. Given: 2100 and 8", 422),
        refusal("Input validation error: `inputs` must have less than 1024 tokens. Given: 1500", 422),
        refusal("This model's maximum prompt length is 131072 but the request contains 150000 tokens."),
        refusal("too many tokens: total number of tokens in the prompt cannot exceed 4081"),
        refusal("Input is too long for requested model."),
        Say(413, "<html>Request Entity Too Large</html>"),
    ],
)
def test_a_full_context_is_known_in_any_house_s_words_and_the_remedy_is_named(endpoint: Any, said: Say) -> None:
    server = endpoint(lambda call: said)
    with pytest.raises(FullContext, match=rf"problem p7: .*status {said.status}.*lower state\.window, sampling\.max_new_tokens"):
        ask(policy_of(server), replace(ASK, problem="p7"))
    assert len(server.calls) == 1


@pytest.mark.parametrize(
    "said",
    [
        refusal("max_tokens is too large: 100000. This model supports at most 16384 completion tokens.", 422),
        refusal("temperature must be at most 1"),
        refusal("Invalid model name passed in model=m"),
    ],
)
def test_another_refusal_is_of_what_is_asked_and_not_of_its_length(endpoint: Any, said: Say) -> None:
    with pytest.raises(Unanswerable):
        ask(policy_of(endpoint(lambda call: said)))


@pytest.mark.parametrize("status", [401, 403, 404, 501])
def test_what_the_endpoint_has_against_whoever_asks_is_neither(endpoint: Any, status: int) -> None:
    with pytest.raises(PolicyError) as caught:
        ask(policy_of(endpoint(lambda call: refusal("the context length is not the trouble", status))))
    assert not isinstance(caught.value, FullContext | Unanswerable)
