"""Endpoints as they come: what replies, statuses and answers look like, and what a reply costs. Real servers on loopback."""

from __future__ import annotations

import gzip
import json
import time
import zlib
from dataclasses import replace
from typing import Any

import pytest
from asked_endpoint import ASK, ask, policy_of
from odd_endpoint import Call, Say, chat, refusal
from toys import problem

from rise.errors import PolicyError
from rise.method.rollout import rollout
from rise.play.memory_ledger import MemoryLedger
from rise.play.player import Player, play_out
from rise.play.prompt import NOTHING, Prompt
from rise.policies.http import HttpPolicy
from rise.policies.http_client import _Unpacked
from rise.policy import Sampling

# ---- B08, B09, B10, B34: what a reply looks like -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (
            [{"type": "thinking", "thinking": [{"type": "text", "text": "9?"}]}, {"type": "text", "text": "\\boxed{3}"}],
            "\\boxed{3}",
        ),
        ([{"type": "text", "text": "\\boxed"}, {"type": "text", "text": "{3}"}], "\\boxed{3}"),
        ([{"type": "reasoning", "text": "9"}, {"type": "image_url", "image_url": {"url": "x"}}], ""),
        ([], ""),
        ({"type": "text", "text": "3"}, "3"),
        (["3", {"text": "!"}], "3!"),
        ([{"type": None, "text": "3"}], "3"),
        ([{"type": "text", "content": "3"}], "3"),
        ([{"type": "markdown", "text": "3"}, {"type": "summary_text", "text": "Hm."}], "3"),
        ([{"type": "text", "text": None}], ""),
    ],
)
def test_content_in_parts_is_the_text_of_its_parts(endpoint: Any, content: Any, text: str) -> None:
    server = endpoint(lambda call: chat(content))
    [reply] = ask(policy_of(server))
    assert (reply.text, reply.finish, len(server.bodies)) == (text, "stop", 1)


@pytest.mark.parametrize("finish", ["length", "max_tokens", "MAX_TOKENS", "model_length", {"type": "length", "length": 16}])
def test_a_reply_that_was_cut_is_so_by_any_name(endpoint: Any, finish: Any) -> None:
    server = endpoint(lambda call: chat("so \\boxed{", finish))
    assert [reply.finish for reply in ask(policy_of(server))] == ["length"]


@pytest.mark.parametrize(
    ("choice", "reason"),
    [
        ({"error": {"code": 502, "message": "Upstream"}, "finish_reason": "error", "message": {"content": ""}}, "error 502"),
        ({"error": {"code": 502, "message": "Upstream"}, "finish_reason": "stop", "message": {"content": "4"}}, "error 502"),
        ({"error": "gone", "message": {"content": "4"}}, "error"),
        *(
            ({"finish_reason": finish, "message": {"content": "It is \\boxed{"}}, finish.lower())
            for finish in ("error", "ABORT", "insufficient_system_resource", "network_error", "incomplete")
        ),
    ],
)
def test_what_a_server_broke_off_is_no_answer_of_the_model(endpoint: Any, choice: Any, reason: str) -> None:
    server = endpoint(lambda call: Say(body={"choices": [choice]}) if call.number == 0 else chat())
    policy = policy_of(server)
    assert ask(policy)[0].text == "\\boxed{3}"
    assert policy.facts()["sent_again"] == {f"finish: {reason}": 1}


def test_the_first_choice_is_the_one_numbered_so(endpoint: Any) -> None:
    choices = [{"index": k, "message": {"content": text}, "finish_reason": "stop"} for k, text in ((1, "second"), (0, "first"))]
    assert ask(policy_of(endpoint(lambda call: Say(body={"choices": choices}))))[0].text == "first"


@pytest.mark.parametrize(
    ("choice", "text"),
    [
        *(
            ({"message": {"content": "It"}, "finish_reason": finish}, "It")
            for finish in ("sensitive", "guardrail_intervened", "SPII", {"type": "content_filter"})
        ),
        ({"error": {"code": 403, "message": "Your input was flagged."}, "finish_reason": "error"}, ""),
        ({"index": 0, "message": None, "finish_reason": "content_filter"}, ""),
        ({"index": 0, "finish_reason": "content_filter"}, ""),
        ({"index": 0, "message": None, "finish_reason": "content_filter: PROHIBITED_CONTENT"}, ""),
        ({"message": {"content": [{"type": "refusal", "refusal": "I must not."}]}, "finish_reason": "stop"}, "I must not."),
        ({"message": {"content": "No", "refusal": None}, "finish_reason": "refusal"}, "No"),
    ],
)
def test_a_refusal_in_any_form_is_data(endpoint: Any, choice: Any, text: str) -> None:
    server = endpoint(lambda call: Say(body={"choices": [choice]}))
    [reply] = ask(policy_of(server))
    assert (reply.text, reply.finish, len(server.bodies)) == (text, "refused", 1)


def play(policy: Any, judge: Any, n_turns: int, prompt: Prompt | None = None) -> Any:
    player = Player(policy, prompt or Prompt(feedback_text="Again."), judge, Sampling(), MemoryLedger(), "x")
    return player, play_out(player, rollout(player, [problem("p")], n_turns=n_turns, stop_when_right=False))


def test_an_attempt_of_nothing_is_shown_as_something(endpoint: Any, judge: Any) -> None:
    """Several endpoints refuse a message without content, and the run goes on."""

    def rule(call: Call) -> Say:
        if any(not message["content"].strip() for message in call.body["messages"]):
            return refusal("messages: text content blocks must be non-empty")
        return chat(None, "length") if call.number == 0 else chat("4")

    server = endpoint(rule)
    _, [trajectory] = play(policy_of(server), judge, 2)
    assert [turn.reply for turn in trajectory.turns] == ["", "4"]
    assert [m["content"] for m in server.bodies[1]["messages"]] == ["2+2", NOTHING, "Again."]


@pytest.mark.parametrize("feedback", ["always-wrong", "self-refine"])
def test_no_state_of_any_policy_holds_an_empty_message(feedback: str) -> None:
    from rise.trajectory import Turn

    turns = [Turn("", feedback="", critique=Turn(" ")), Turn("7", feedback="\n")]
    prompt = Prompt(feedback=feedback, window=None)
    states = [prompt.messages(problem("p"), turns), prompt.critique_messages(problem("p"), [*turns, Turn("")])]
    assert [m.content for m in states[0]].count(NOTHING) == 4
    assert all(m.content.strip() for state in states for m in state)


def test_replies_of_nothing_but_thinking_are_counted(endpoint: Any, judge: Any) -> None:
    server = endpoint(lambda call: chat(None, reasoning_content="It is 4."))
    player, _ = play(policy_of(server), judge, 3)
    assert player.usage.n_empty == 3 and len(server.bodies) == 3


# ---- B12, B13, B35, B36: addresses and statuses ------------------------------------------------------------------------


def test_a_query_of_the_base_url_stays_behind_the_path(endpoint: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_KEY", "abc-def-123")
    server = endpoint()
    spec = f"{server.root}/openai/deployments/gpt/?api-version=2024-10-21#gpt"
    policy = policy_of(server, spec, key="AZURE_KEY", key_header="api-key")
    ask(policy)
    [call] = server.calls
    assert call.path == "/openai/deployments/gpt/chat/completions?api-version=2024-10-21"
    assert call.headers["api-key"] == "abc-def-123" and "authorization" not in call.headers
    policy.servers.move(f"{server.root}/v2?x=1")
    ask(policy)
    assert server.calls[-1].path == "/v2/chat/completions?x=1"


@pytest.mark.parametrize("status", [529, 520, 524, 599, 500, 408, 423, 424, 498, 499])
def test_statuses_that_pass_are_tried_again(endpoint: Any, status: int) -> None:
    server = endpoint(lambda call: refusal("busy", status) if call.number == 0 else chat())
    policy = policy_of(server)
    assert ask(policy)[0].text and policy.facts()["sent_again"] == {f"status {status}": 1}


@pytest.mark.parametrize("status", [501, 505, 402, 413])
def test_statuses_that_last_are_not(endpoint: Any, status: int) -> None:
    server = endpoint(lambda call: refusal("no", status))
    with pytest.raises(PolicyError, match=f"status {status}"):
        ask(policy_of(server))
    assert len(server.calls) == 1


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed_and_its_place_is_said(endpoint: Any, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret-1")
    other = endpoint()
    place = f"http://me:word@127.0.0.1:{other.server_port}/v1/chat/completions?token=sk-very-secret-1"
    server = endpoint(lambda call: Say(status, "", {"location": place}))
    with pytest.raises(
        PolicyError, match=rf"It points to http://…@127.0.0.1:{other.server_port}/v1/chat/completions.*final URL"
    ) as error:
        ask(policy_of(server))
    assert "word" not in str(error.value) and "secret" not in str(error.value) and other.calls == []


def test_an_account_that_is_spent_is_not_waited_for(endpoint: Any) -> None:
    server = endpoint(lambda call: refusal("You exceeded your current quota", 429, code="insufficient_quota"))
    with pytest.raises(PolicyError, match="nothing left to spend"):
        ask(policy_of(server))
    assert len(server.calls) == 1


GEMINI = """You exceeded your current quota, please check your plan and billing details. For more information head to:
https://ai.google.dev/gemini-api/docs/rate-limits. * Quota exceeded for metric: generate_content_free_tier_requests, limit: 10"""


@pytest.mark.parametrize(
    "error",
    [
        {"message": f"{GEMINI} Please retry in 0.31s.", "status": "RESOURCE_EXHAUSTED"},
        {"message": GEMINI, "details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "0.31s"}]},
        {"message": "Rate limit reached: Limit 200000, Used 199000. Please try again in 310ms."},
    ],
)
def test_a_limit_of_so_many_a_minute_passes_after_the_rest_that_is_asked_for(endpoint: Any, error: Any) -> None:
    server = endpoint(lambda call: Say(429, {"error": error}) if call.number == 0 else chat())
    policy = policy_of(server)
    begun = time.monotonic()
    assert ask(policy)[0].text == "\\boxed{3}" and policy.facts()["sent_again"] == {"status 429": 1}
    assert time.monotonic() - begun >= 0.31  # its own patience would have waited 0.01 s


@pytest.mark.parametrize(
    ("status", "words", "code"),
    [
        (400, "Invalid prompt: your prompt was flagged as potentially violating our usage policy.", "invalid_prompt"),
        (400, "Content Exists Risk", "invalid_request_error"),
        (400, "Input data may contain inappropriate content.", "data_inspection_failed"),
        (403, 'Your chosen model requires moderation and your input was flagged for "violence"', None),
        (403, "Content violates usage guidelines. Failed check: SAFETY_CHECK_TYPE", None),
    ],
)
def test_a_filter_of_any_house_is_data(endpoint: Any, status: int, words: str, code: Any) -> None:
    server = endpoint(lambda call: refusal(words, status, code=code))
    assert [(reply.text, reply.finish) for reply in ask(policy_of(server))] == [("", "refused")]
    assert len(server.calls) == 1


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (403, "Your account was flagged for content that violates our usage policy."),
        (400, "The request's content type is unknown."),
    ],
)
def test_what_stops_whoever_asks_stops_the_run(endpoint: Any, status: int, words: str) -> None:
    with pytest.raises(PolicyError, match=f"status {status}"):
        ask(policy_of(endpoint(lambda call: refusal(words, status))))


# ---- S07: answers that are none ----------------------------------------------------------------------------------------


GOOD = json.dumps(chat().body).encode()


def packed(data: bytes, encoding: str = "gzip") -> Say:
    return Say(200, data, {"content-encoding": encoding})


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (packed(b"\x1f\x8bnonsense"), "packed and broken"),
        (packed(gzip.compress(GOOD)[:-12]), "packed and broken"),
        (packed(GOOD), "packed and broken"),
        (packed(gzip.compress(b" " * 300_000_000, 9)), "too large"),
        (packed(GOOD, "br"), "packed in an unknown way"),
        (Say(200, b"[" * 200_000), "not JSON"),
        (Say(200, b'{"choices": ' + b"9" * 5000 + b"}"), "not JSON"),
        (Say(200, b"\xff\xfe\x00"), "not JSON"),
        (Say(200, b" " * 20_000_000), "too large"),
        (Say(200, b'{"choices": [{"message": {"content": 5}}]}'), "content that is no text"),
        (Say(200, b'{"choices": [null]}'), "no choices"),
        (chat([{"type": "card", "body": "3"}]), "content in parts that are no text"),
        (packed(gzip.compress(GOOD[:40]) + gzip.compress(GOOD[40:])[:-9]), "packed and broken"),
    ],
)
def test_an_answer_that_is_none_is_counted_and_asked_for_again(endpoint: Any, said: Say, reason: str) -> None:
    server = endpoint(lambda call: said if call.number == 0 else chat())
    policy = policy_of(server)
    assert ask(policy)[0].text == "\\boxed{3}"
    assert policy.facts() == {"n_requests": 2, "sent_again": {reason: 1}}


@pytest.mark.parametrize(
    "data",
    [
        packed(gzip.compress(GOOD)),
        packed(gzip.compress(GOOD[:40]) + gzip.compress(b"") + gzip.compress(GOOD[40:])),
        packed(gzip.compress(GOOD) + b"junk"),
        packed(zlib.compress(GOOD), "deflate"),
        packed(zlib.compress(GOOD)[2:-4], "deflate"),
    ],
)
def test_an_answer_that_is_packed_though_nobody_asked_is_read(endpoint: Any, data: Say) -> None:
    assert ask(policy_of(endpoint(lambda call: data)))[0].text == "\\boxed{3}"


@pytest.mark.parametrize("n", [1, 7, 10_000])
def test_several_members_of_gzip_are_one_text_however_they_arrive(n: int) -> None:
    data, unpacked = gzip.compress(b"one ") + gzip.compress(b"two"), _Unpacked("gzip")
    assert b"".join(unpacked.add(data[k : k + n], 99) for k in range(0, len(data), n)) == b"one two"
    unpacked.end()


@pytest.mark.parametrize(
    "usage", [{"prompt_tokens": -5, "completion_tokens": True}, {"prompt_tokens": 1e300, "completion_tokens": "3"}, [], 7]
)
def test_a_usage_that_is_impossible_is_unknown(endpoint: Any, usage: Any) -> None:
    server = endpoint(lambda call: Say(body={**chat().body, "usage": usage}))  # type: ignore[dict-item]
    [reply] = ask(policy_of(server))
    assert (reply.n_prompt_tokens, reply.n_reply_tokens) == (None, None)


@pytest.mark.parametrize(
    "spec",
    [
        "http://host:99999/v1#m",
        "http://host:0/v1#m",
        "http://host:x/v1#m",
        "http://[::1/v1#m",
        "http://ho st/v1#m",
        "http:///v1#m",
    ],
)
def test_an_address_that_is_none_is_one_message(spec: str) -> None:
    with pytest.raises(PolicyError, match="is no base URL"):
        HttpPolicy.from_spec(spec)


# ---- S11: what a reply costs -------------------------------------------------------------------------------------------


def test_a_place_keeps_its_connection(endpoint: Any) -> None:
    """Nothing is looked up among connections: 24 requests over 3 places need 3 of them."""
    server = endpoint()
    accepted: list[Any] = []
    take = server.get_request
    server.get_request = lambda: accepted.append(take()) or accepted[-1]
    ask(policy_of(server, concurrency=3), *[replace(ASK, seeds=(k,)) for k in range(24)])
    assert len(server.calls) == 24 and len(accepted) == 3


def test_two_thousand_that_wait_for_a_place_are_woken_one_at_a_time(endpoint: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    server = endpoint()
    policy = policy_of(server, concurrency=4)
    n_looks = 0
    real = type(policy.servers)._wait

    async def counted(self: Any, *args: Any) -> None:
        nonlocal n_looks
        n_looks += 1
        await real(self, *args)

    monkeypatch.setattr(type(policy.servers), "_wait", counted)
    assert len(ask(policy, *[ASK] * 300)) == 300
    assert n_looks < 700  # all 300 at every reply would be 45,000
