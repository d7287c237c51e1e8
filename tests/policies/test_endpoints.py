"""Endpoints as they come: what they refuse, how they say it, and what a client learns of it. Real servers on loopback."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from odd_endpoint import Call, OddEndpoint, Say, chat, refusal
from toys import problem

from rise.errors import PolicyError
from rise.method.rollout import rollout
from rise.play.memory_ledger import MemoryLedger
from rise.play.player import Player, play_out
from rise.play.prompt import NOTHING, Prompt
from rise.policies.http import HttpPolicy
from rise.policies.http_servers import Patience
from rise.policy import Reply, Request, Sampling
from rise.recipe.machines import HttpConfig
from rise.trajectory import Message

ASK = Request((Message("user", "1+2?"),), Sampling(max_new_tokens=8), seeds=(1,))
WITH_SYSTEM = replace(ASK, messages=(Message("system", "Add up."), *ASK.messages))


@pytest.fixture
def endpoint() -> Iterator[Any]:
    made: list[OddEndpoint] = []

    def start(rule: Any = lambda call: chat()) -> OddEndpoint:
        made.append(OddEndpoint(rule))
        return made[-1]

    yield start
    for server in made:
        server.stop()


def policy_of(server: OddEndpoint, spec: str = "", **settings: Any) -> HttpPolicy:
    policy = HttpPolicy.from_spec(spec or server.spec, HttpConfig(**settings))
    policy.servers.patience = Patience(settings.get("attempts", 4), first_wait_s=0.01, longest_wait_s=0.02, timeout_s=300.0)
    return policy


def ask(policy: HttpPolicy, *requests: Request) -> list[Reply]:
    async def go() -> list[Reply]:
        try:
            return [reply for replies in await asyncio.gather(*map(policy.reply, requests or [ASK])) for reply in replies]
        finally:
            await policy.close()

    return asyncio.run(go())


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


# ---- B01, B02, B11: what a refusal teaches -----------------------------------------------------------------------------


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


def test_a_refusal_of_something_else_teaches_nothing(endpoint: Any) -> None:
    server = endpoint(lambda call: refusal("max_tokens or max_completion_tokens is too large: this model has 16 tokens."))
    policy = policy_of(server)
    with pytest.raises(PolicyError, match="too large"):
        ask(policy)
    assert len(server.bodies) == 2 and policy.dialect.limit == "max_tokens"


@pytest.mark.parametrize(
    "words",
    [
        "System role not supported",
        "Unsupported value: 'messages[0].role' does not support 'system' with this model.",
        "Developer instruction is not enabled for models/gemma-3-4b-it",
        "Conversation roles must alternate user/assistant/user/assistant/...",
    ],
)
def test_without_a_system_role_its_text_heads_the_first_question_as_for_local_models(endpoint: Any, words: str) -> None:
    server = endpoint(lambda call: refusal(words) if call.body["messages"][0]["role"] == "system" else chat())
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
    ],
)
def test_content_in_parts_is_the_text_of_its_parts(endpoint: Any, content: Any, text: str) -> None:
    server = endpoint(lambda call: chat(content))
    [reply] = ask(policy_of(server))
    assert (reply.text, reply.finish, len(server.bodies)) == (text, "stop", 1)


@pytest.mark.parametrize(
    ("choice", "text"),
    [
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


@pytest.mark.parametrize("status", [529, 520, 524, 599, 500, 408])
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


# ---- B03, S08: keys ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("raw", ["sk-secret-abc\n", "sk-secret-abc\r\n", "  sk-secret-abc\t", "\ufeffsk-secret-abc"])
def test_white_space_around_a_key_is_left_out(endpoint: Any, raw: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", raw)
    server = endpoint()
    ask(policy_of(server))
    assert server.calls[0].headers["authorization"] == "Bearer sk-secret-abc"


@pytest.mark.parametrize(
    "raw", ["sk-secret\nabc", "sk-secret\x00abc".replace("\x00", "\x01"), "sk-secret abc", "sk–secret–abc", "é-secret-abc"]
)
def test_a_key_that_cannot_be_sent_is_refused_at_once_and_not_shown(
    endpoint: Any, raw: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", raw)
    server = endpoint()
    with pytest.raises(PolicyError, match=r"\$MY_KEY holds no key") as error:
        ask(policy_of(server, key="MY_KEY"))
    assert server.calls == []
    assert "secret" not in str(error.value)


KEY = 'sk-se"cret/a+b=c\\d'


@pytest.mark.parametrize(
    "form",
    [
        lambda key: key,
        repr,
        json.dumps,
        lambda key: key.upper(),
        lambda key: __import__("urllib.parse").parse.quote(key),
        lambda key: __import__("urllib.parse").parse.quote(key, safe=""),
        lambda key: __import__("base64").b64encode(f"Bearer {key}".encode()).decode(),
        lambda key: __import__("html").escape(key),
        lambda key: "x" * 180 + key,  # the message is cut in the middle of it
        lambda key: "x" * 280 + key,
        lambda key: key[:-3] + "***",
    ],
)
@pytest.mark.parametrize("status", [401, 503, 200])
def test_a_key_is_shown_in_no_form_that_a_server_says_it_back_in(
    endpoint: Any, form: Any, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    server = endpoint(lambda call: Say(status, f"not good: {form(KEY)} is wrong"))
    with pytest.raises(PolicyError) as error:
        ask(policy_of(server, attempts=2))
    said = str(error.value)
    assert "[key]" in said or "xxx" in said
    for piece in (KEY, KEY.upper(), form(KEY)[-40:], KEY[:10], "cret%2Fa", "cret/a+b"):
        assert piece not in said


@pytest.mark.parametrize(
    "spec",
    [
        "http://host/v1?api_key=SECRET#m",
        "http://host/v1?api%5Fkey=SECRET#m",
        "http://host/v1?api-version=2&subscription-key=SECRET#m",
        "http://host/v1?x=1;access_token=SECRET#m",
        "http://host/v1?code=SECRET#m",
        "http://host/v1?v=SECRETa1b2c3d4e5f6g7#m",
        "http://host/sk-SECRET123456/v1#m",
        "http://me:SECRET@host/v1#m",
        "http://SECRET@host/v1#m",
        "http://me:SEC#RET@host/v1#m",
        "http://me:SEC/RET@host/v1#m",
        "http://a/v1,http://host/v1?sig=SECRET#m",
        "HTTP://me:SECRET@host/v1#m",
        "htp://me:SECRET@host/v1?key=SECRET#m",
        "http://host:bad/v1?key=SECRET",
    ],
)
def test_a_url_that_holds_a_key_is_refused_and_not_shown(spec: str) -> None:
    from rise.errors import ConfigError
    from rise.policies import check_spec
    from rise.recipe.toml import build_config

    with pytest.raises(PolicyError) as error:
        check_spec(spec)
    assert "SEC" not in str(error.value) and "RET" not in str(error.value)
    if spec.startswith("http:") and "bad" not in spec and "/RET" not in spec:
        # Named in a recipe it is refused too, whether the recipe uses it or not: recipes are written into run directories.
        with pytest.raises(ConfigError) as refused:
            build_config({"model": {"path": "m"}, "relabel": {"teacher": spec}})
        assert "SEC" not in str(refused.value)


@pytest.mark.parametrize(
    "spec",
    [
        "https://host/openai/deployments/gpt-4o-mini/?api-version=2024-12-01-preview#gpt",
        "https://api.cloudflare.com/client/v4/accounts/023e105f4ecef8ad9ca31a8372d0c353/ai/v1#@cf/meta/llama",
        "https://router.huggingface.co/hf-inference/models/xai-org/v1#org/model@main",
        "http://[::1]:8000/v1#m",
        "http://localhost:8000#m@2",
    ],
)
def test_an_address_without_a_key_is_taken(spec: str) -> None:
    assert HttpPolicy.from_spec(spec).model == spec.partition("#")[2]


@pytest.mark.parametrize("value", ["sk-proj-abcdefghijkl", "sk_live_abcdefghijkl", "abcdef1234567890abcdef12345"])
def test_a_key_written_where_its_variable_is_named_is_refused_and_not_shown(value: str) -> None:
    from rise.errors import ConfigError
    from rise.recipe.toml import build_config

    with pytest.raises(ConfigError, match="is the name of an environment variable") as error:
        build_config({"model": {"path": "m"}, "http": {"key": value}})
    assert value not in str(error.value)


# ---- B04: proxies and certificates -------------------------------------------------------------------------------------


@pytest.mark.parametrize("variable", ["ALL_PROXY", "HTTP_PROXY", "all_proxy"])
@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1", "http://127.0.0.1:1", "nonsense://x"])
def test_loopback_needs_no_proxy(endpoint: Any, variable: str, proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, proxy)
    assert ask(policy_of(endpoint()))[0].text == "\\boxed{3}"


@pytest.mark.parametrize(
    ("proxy", "words"),
    [
        ("socks5://me:word@127.0.0.1:1080", r"\$ALL_PROXY names a SOCKS proxy.*pip install 'httpx\[socks\]'.*NO_PROXY"),
        ("nonsense://me:word@x", r"\$ALL_PROXY names no proxy"),
        ("http://me:word@host:99999", r"\$ALL_PROXY names no proxy"),
    ],
)
def test_a_proxy_that_will_not_do_is_named_before_anything_is_asked(
    proxy: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)
    for name in ("NO_PROXY", "no_proxy", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(PolicyError, match=words) as error:
        HttpPolicy.from_spec("https://example.org/v1#m")
    assert "word" not in str(error.value).replace("password", "")
    monkeypatch.setenv("NO_PROXY", "example.org")
    HttpPolicy.from_spec("https://example.org/v1#m")


def test_certificates_that_cannot_be_read_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    from rise.policies.http_client import trusted

    trusted.cache_clear()
    (tmp_path / "bad.pem").write_text("no certificate")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "bad.pem"))
    with pytest.raises(PolicyError, match="SSL_CERT_FILE"):
        HttpPolicy.from_spec("https://example.org/v1#m")
    trusted.cache_clear()


def test_a_server_without_tls_behind_https_is_refused_at_once(endpoint: Any) -> None:
    server = endpoint()
    policy = policy_of(server, f"https://127.0.0.1:{server.server_port}/v1#m")
    with pytest.raises(PolicyError, match="does not speak TLS"):
        ask(policy)


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
    ],
)
def test_an_answer_that_is_none_is_counted_and_asked_for_again(endpoint: Any, said: Say, reason: str) -> None:
    server = endpoint(lambda call: said if call.number == 0 else chat())
    policy = policy_of(server)
    assert ask(policy)[0].text == "\\boxed{3}"
    assert policy.facts() == {"n_requests": 2, "sent_again": {reason: 1}}


@pytest.mark.parametrize(
    "data", [packed(gzip.compress(GOOD)), packed(zlib.compress(GOOD), "deflate"), packed(zlib.compress(GOOD)[2:-4], "deflate")]
)
def test_an_answer_that_is_packed_though_nobody_asked_is_read(endpoint: Any, data: Say) -> None:
    assert ask(policy_of(endpoint(lambda call: data)))[0].text == "\\boxed{3}"


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
