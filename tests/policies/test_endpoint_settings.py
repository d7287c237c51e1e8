"""What an endpoint does not take: a refusal names it, and a client learns to leave it out. Real servers on loopback."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from asked_endpoint import ASK, WITH_SYSTEM, ask, policy_of
from odd_endpoint import Call, Say, chat, refusal

from rise.errors import PolicyError
from rise.policy import Sampling


def without(
    *names: str, words: str = "Unsupported parameter: '{name}' is not supported with this model.", status: int = 400
) -> Any:
    """An endpoint that refuses these parameters, one at a time, as hosted ones do."""

    def rule(call: Call) -> Say:
        for name in names:
            if name in call.body:
                return refusal(words.format(name=name), status, param=name, code="unsupported_parameter")
        return chat()

    return rule


NEW_NAME = without("max_tokens", words="Unsupported parameter: '{name}'. Use 'max_completion_tokens' instead.")


@pytest.mark.parametrize("n_each", [8, 3])
def test_the_other_name_of_max_tokens_is_learnt_by_all_that_are_under_way(endpoint: Any, n_each: int) -> None:
    server = endpoint(NEW_NAME)
    policy = policy_of(server, concurrency=n_each)
    replies = ask(policy, *[replace(ASK, seeds=(seed,)) for seed in range(8)])
    assert [reply.text for reply in replies] == ["\\boxed{3}"] * 8
    sent = Counter(body["seed"] for body in server.bodies)
    assert max(sent.values()) == 2
    assert policy.facts()["sent_again"] == {"another name for max_tokens": len(server.bodies) - 8}
    assert len(server.bodies) - 8 <= n_each  # those that still waited for a place knew better
    before = len(server.bodies)
    ask(policy, *[ASK] * 8)
    assert len(server.bodies) == before + 8
    assert all("max_tokens" not in body and body["max_completion_tokens"] == 8 for body in server.bodies[before:])


def test_sampling_that_says_nothing_is_left_out_where_it_is_refused(endpoint: Any, capsys: Any) -> None:
    server = endpoint(without("temperature", "top_p", status=422))
    policy = policy_of(server)
    assert len(ask(policy, *[replace(ASK, seeds=(seed,)) for seed in range(8)])) == 8
    assert max(Counter(body["seed"] for body in server.bodies).values()) == 2  # both at once, not one after the other
    assert policy.facts()["sent_again"] == {"without temperature and top_p": 8}
    assert "does not take temperature and top_p" in capsys.readouterr().err
    ask(policy)
    assert not {"temperature", "top_p"} & set(server.bodies[-1]) and server.bodies[-1]["seed"] == 1


def test_a_temperature_that_an_endpoint_does_not_take_is_an_error_that_says_so(endpoint: Any) -> None:
    words = "Unsupported value: '{name}' does not support 0.5 with this model. Only the default (1) value is supported."
    server = endpoint(without("temperature", words=words))
    half = replace(ASK, sampling=Sampling(temperature=0.5, max_new_tokens=8))
    with pytest.raises(PolicyError, match=r"sampling\.temperature = 0\.5 at 1 only.*http\.leave_out = \[\"temperature\"\]"):
        ask(policy_of(server), half)
    assert len(server.bodies) == 1
    assert ask(policy_of(server, leave_out=["temperature"]), half)[0].text == "\\boxed{3}"


def test_of_two_that_do_not_go_together_the_one_that_says_nothing_is_left_out(endpoint: Any) -> None:
    def rule(call: Call) -> Say:
        both = {"temperature", "top_p"} <= set(call.body)
        return refusal("`temperature` and `top_p` cannot both be specified for this model.") if both else chat()

    server = endpoint(rule)
    ask(policy_of(server), replace(ASK, sampling=Sampling(temperature=0.5, max_new_tokens=8)))
    assert server.bodies[-1]["temperature"] == 0.5 and "top_p" not in server.bodies[-1]


def test_an_endpoint_that_refuses_several_things_in_turn_is_understood(endpoint: Any) -> None:
    def rule(call: Call) -> Say:
        return NEW_NAME(call) if "max_tokens" in call.body else without("seed", "top_p")(call)

    server = endpoint(rule)
    policy = policy_of(server)
    assert len(ask(policy, *[replace(ASK, seeds=(k,)) for k in range(4)])) == 4
    ask(policy)
    assert set(server.bodies[-1]) == {"model", "messages", "max_completion_tokens"}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("max_tokens", "Unrecognized request argument supplied: max_tokens"),
        ("max_tokens", "max_tokens: Extra inputs are not permitted"),
        ("max_tokens", "The parameter 'max_tokens' is no longer supported."),
        ("top_p", "Top P is not supported by this model"),
        ("temperature", "`Temperature` is deprecated for this model."),
        ("seed", 'Unknown name "seed": Cannot find field.'),
        ("top_p", "Invalid argument: topP"),
    ],
)
def test_a_refusal_is_understood_in_other_words(endpoint: Any, name: str, words: str) -> None:
    server = endpoint(without(name, words=words))
    policy = policy_of(server)
    assert [reply.text for reply in ask(policy, ASK, ASK)] == ["\\boxed{3}"] * 2
    assert name not in server.bodies[-1] and server.bodies[-1].get("max_completion_tokens", 8) == 8


def test_a_temperature_of_1_is_not_left_out_because_a_top_p_of_1_is_refused(endpoint: Any) -> None:
    def rule(call: Call) -> Say:
        taken = call.body.get("top_p", 0.9) < 1
        return chat() if taken else refusal("Input validation error: `top_p` must be > 0.0 and < 1.0", 422)

    server = endpoint(rule)
    policy = policy_of(server)
    assert [reply.text for reply in ask(policy, ASK, ASK)] == ["\\boxed{3}"] * 2
    assert server.bodies[-1]["temperature"] == 1 and "top_p" not in server.bodies[-1]
    assert policy.dialect.left_out == {"top_p"}


@pytest.mark.parametrize(
    ("temperature", "words"),
    [
        (1.0, "temperature must be less than 1.0"),
        (1.0, "invalid temperature: only 0.6 is allowed for this model"),
        (1.5, "temperature: 1.5 is out of range [0, 1]"),
    ],
)
def test_a_temperature_whose_value_is_refused_is_told_and_never_left_out(endpoint: Any, temperature: float, words: str) -> None:
    server = endpoint(lambda call: refusal(words) if "temperature" in call.body else chat())
    policy = policy_of(server)
    with pytest.raises(
        PolicyError, match=rf"sampling\.temperature = {temperature:g}: set it .*http\.leave_out = \[\"temperature"
    ):
        ask(policy, replace(ASK, sampling=Sampling(temperature=temperature, max_new_tokens=8)))
    assert len(server.bodies) == 1 and policy.dialect.left_out == frozenset()


@pytest.mark.parametrize(
    ("name", "status", "words"),
    [
        ("seed", 500, "Unsupported parameter(s): `seed`"),
        ("seed", 404, "Unrecognized request argument supplied: seed"),
        ("top_p", 500, "generate() got an unexpected keyword argument 'top_p'"),
    ],
)
def test_a_parameter_is_refused_with_any_status(endpoint: Any, name: str, status: int, words: str) -> None:
    server = endpoint(without(name, words=words, status=status))
    policy = policy_of(server)
    assert [reply.text for reply in ask(policy, ASK, ASK)] == ["\\boxed{3}"] * 2
    assert name not in server.bodies[-1] and f"status {status}" not in policy.facts()["sent_again"]


@pytest.mark.parametrize(
    "words", ["The system failed on this message: seed 1", "Unexpected error at top_p", "Unknown model seed-oss"]
)
def test_a_server_in_trouble_teaches_nothing(endpoint: Any, words: str) -> None:
    server = endpoint(lambda call: refusal(words, 500) if call.number == 0 else chat())
    policy = policy_of(server)
    ask(policy, WITH_SYSTEM)
    assert policy.facts()["sent_again"] == {"status 500": 1} and server.bodies[0] == server.bodies[1]


def test_a_refusal_of_something_else_teaches_nothing(endpoint: Any) -> None:
    server = endpoint(lambda call: refusal("max_tokens or max_completion_tokens is too large: this model has 16 tokens."))
    policy = policy_of(server)
    with pytest.raises(PolicyError, match="too large"):
        ask(policy)
    assert len(server.bodies) == 2 and policy.dialect.limit == "max_tokens"


def test_a_limit_that_is_too_large_is_no_other_name(endpoint: Any) -> None:
    server = endpoint(lambda call: refusal("Unsupported value: 'max_tokens' must be at most 4."))
    with pytest.raises(PolicyError, match="at most 4"):
        ask(policy_of(server))
    assert len(server.bodies) == 1  # a server that overlooks the other name would never stop a reply


NOT_A_ROLE = {"loc": ["body", "messages", 0, "role"], "msg": "Input should be 'user' or 'assistant'", "input": "system"}


@pytest.mark.parametrize(
    "said",
    [
        refusal("System role not supported"),
        refusal("Unsupported value: 'messages[0].role' does not support 'system' with this model."),
        refusal("Developer instruction is not enabled for models/gemma-3-4b-it"),
        refusal("Conversation roles must alternate user/assistant/user/assistant/..."),
        refusal("Jinja Exception: System role not supported", 500),
        refusal("Jinja Exception: Conversation roles must alternate user/assistant/user/assistant/...", 500),
        refusal("The first message must have role 'user'"),
        refusal("TemplateError: Only user, assistant and tool roles are supported!"),
        Say(422, {"detail": [{"type": "literal_error", **NOT_A_ROLE}]}),
    ],
)
def test_without_a_system_role_its_text_heads_the_first_question_as_for_local_models(endpoint: Any, said: Say) -> None:
    server = endpoint(lambda call: said if call.body["messages"][0]["role"] == "system" else chat())
    policy = policy_of(server)
    assert len(ask(policy, *[replace(WITH_SYSTEM, seeds=(k,)) for k in range(8)])) == 8
    assert max(Counter(body["seed"] for body in server.bodies).values()) == 2
    assert policy.facts()["sent_again"] == {"without a system message": 8}
    ask(policy, WITH_SYSTEM)
    assert server.bodies[-1]["messages"] == [{"role": "user", "content": "Add up.\n\n1+2?"}]


@pytest.mark.parametrize("name", ["temperature", "top_p", "seed", "max_tokens"])
def test_what_leave_out_names_is_never_sent(endpoint: Any, name: str) -> None:
    server = endpoint(without(name))
    policy = policy_of(server, leave_out=[name])
    ask(policy)
    assert len(server.bodies) == 1 and name not in server.bodies[0] and policy.facts()["sent_again"] == {}
