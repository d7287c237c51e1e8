"""Whatever is sent, the status and the error object are right, and the server answers the next request."""

import json
import logging
import socket
import threading
import time

import httpx
import pytest
from busy import within
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from serving import TABLE, Held, Running, serving

from rise.errors import PolicyError
from rise.play.prompt import Prompt
from rise.policies.scripted import ScriptedPolicy
from rise.policy import Sampling
from rise.serve.requests import ApiError, ChatRequest, Limits, Served, read_request, to_ask

USER = [{"role": "user", "content": "hello"}]
CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def server():
    with serving(limits=Limits(max_body_bytes=20_000)) as running:
        yield running
        assert running.ask().status_code == 200, "still up after all of it"


def refused(response, status, code, param=None):
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (status, code, param), error
    assert set(error) == {"message", "type", "param", "code"}
    assert response.headers["content-type"] == "application/json"
    return error["message"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"\xff\xfe{",
        b'{"model": "\xff"}',
        b"[" * 9000,
        b'{"a":' * 3000 + b"1" + b"}" * 3000,
        b'{"model":"m","messages":[{"role":"user","content":"hi"}],"temperature":NaN}',
        b'{"model":"m","messages":[{"role":"user","content":"hi"}],"seed":' + b"9" * 5000 + b"}",
    ],
)
def test_what_is_not_json_is_said_to_be_none(server: Running, body):
    response = server.client.post(CHAT, content=body, headers={"content-type": "application/json"})
    assert response.status_code == 400
    assert response.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("change", "code", "param"),
    [
        ({"messages": []}, "invalid_value", "messages"),
        ({"messages": None}, "invalid_value", "messages"),
        ({"messages": "hi"}, "invalid_value", "messages"),
        ({"messages": [1]}, "invalid_value", "messages[0]"),
        ({"messages": [{"role": "user"}]}, "invalid_value", "messages[0].content"),
        ({"messages": [{"role": "king", "content": "hi"}]}, "invalid_value", "messages[0].role"),
        ({"messages": [{"role": "user", "content": 3}]}, "invalid_value", "messages[0].content"),
        ({"messages": [{"role": "user", "content": " "}]}, "invalid_value", "messages"),
        ({"messages": [*USER, {"role": "assistant", "content": "hi"}]}, "invalid_value", "messages"),
        ({"messages": [{"role": "user", "content": "\ud800"}]}, "invalid_value", None),
        ({"messages": [{"role": "tool", "content": "3"}, *USER]}, "unsupported_parameter", "messages[0]"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
            "unsupported_content",
            "messages[0].content[0]",
        ),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "invalid_value", "messages[0].content[0].text"),
        ({"temperature": 2.1}, "invalid_value", "temperature"),
        ({"temperature": -1}, "invalid_value", "temperature"),
        ({"temperature": "hot"}, "invalid_value", "temperature"),
        ({"temperature": 1e308 * 10}, "invalid_json", None),
        ({"top_p": 0}, "invalid_value", "top_p"),
        ({"n": 0}, "invalid_value", "n"),
        ({"n": 10**6}, "invalid_value", "n"),
        ({"n": True}, "invalid_value", "n"),
        ({"max_tokens": 0}, "invalid_value", "max_tokens"),
        ({"max_tokens": 10**12}, "invalid_value", "max_tokens"),
        ({"max_completion_tokens": 10**12}, "invalid_value", "max_completion_tokens"),
        ({"seed": 2**63}, "invalid_value", "seed"),
        ({"stop": ["a"] * 5}, "invalid_value", "stop"),
        ({"stop": ""}, "invalid_value", "stop"),
        ({"stream_options": {"include_usage": True}}, "invalid_value", "stream_options"),
        ({"rise": {"turns": 0}}, "invalid_value", "rise.turns"),
        ({"rise": {"turns": 1000}}, "invalid_value", "rise.turns"),
        ({"rise": {"turn": 2}}, "invalid_value", "rise"),
        ({"rise": {"vote": "judge"}}, "invalid_value", "rise.vote"),
        ({"rise": {"vote": "os:system"}}, "invalid_value", "rise.vote"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "unsupported_parameter", "tools"),
        ({"tool_choice": "required"}, "unsupported_parameter", "tool_choice"),
        ({"logprobs": True}, "unsupported_parameter", "logprobs"),
        ({"top_logprobs": 3}, "unsupported_parameter", "top_logprobs"),
        ({"response_format": {"type": "json_object"}}, "unsupported_parameter", "response_format"),
        ({"modalities": ["text", "audio"]}, "unsupported_parameter", "modalities"),
        ({"logit_bias": {"5": 1}}, "unsupported_parameter", "logit_bias"),
        ({"presence_penalty": 0.5}, "unsupported_parameter", "presence_penalty"),
        ({"temprature": 1}, "unknown_parameter", "temprature"),
    ],
)
def test_a_bad_parameter_is_named(server: Running, change, code, param):
    body = {"model": "m", "messages": USER} | change
    response = server.client.post(CHAT, content=json.dumps(body), headers={"content-type": "application/json"})
    message = refused(response, 400, code, param)
    assert message
    if param == "temprature":
        assert 'Did you mean "temperature"' in message


def test_parameters_that_ask_for_nothing_are_let_pass(server: Running):
    quiet = {
        "frequency_penalty": 0,
        "functions": None,
        "logit_bias": {},
        "logprobs": False,
        "metadata": {"a": "b"},
        "n": None,
        "modalities": ["text"],
        "parallel_tool_calls": True,
        "presence_penalty": 0.0,
        "response_format": {"type": "text"},
        "seed": -5,
        "stop": [],
        "store": False,
        "stream": False,
        "tool_choice": "auto",
        "tools": [],
        "user": "me",
    }
    assert server.ask("hello", **quiet).status_code == 200
    back = {"role": "assistant", "content": "hi", "reasoning_content": "x", "refusal": None, "tool_calls": None}
    assert server.ask(messages=[*USER, back, *USER]).status_code == 200


@pytest.mark.parametrize("model", ["gpt-4", "m@0", "m@99", "m@x", "m@", "@1", "m@1@1", "m@٣", "M"])
def test_a_model_that_is_not_here(server: Running, model):
    message = refused(server.ask("hello", model=model), 404, "model_not_found", "model")
    assert "m" in message


def test_too_large_by_its_own_account_or_in_truth(server: Running):
    refused(server.ask("x" * 30_000), 413, "body_too_large")
    pieces = (b'{"model": "' + b"x" * 5000 for _ in range(10))  # chunked: no length is given
    response = server.client.post(CHAT, content=pieces, headers={"content-type": "application/json"})
    refused(response, 413, "body_too_large")


def test_another_sites_page_cannot_post_without_asking(server: Running):
    """A browser sends a form or plain text across sites unasked; JSON it must ask for, and nobody answers that."""
    body = json.dumps({"model": "m", "messages": USER})
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        refused(server.client.post(CHAT, content=body, headers={"content-type": kind}), 415, "unsupported_media_type")
    asked = server.client.options(CHAT, headers={"origin": "http://evil.example", "access-control-request-method": "POST"})
    assert asked.status_code == 405 and "access-control-allow-origin" not in asked.headers


@pytest.mark.parametrize(("method", "path", "status"), [("GET", CHAT, 405), ("POST", "/v1/models", 405), ("GET", "/v1/x", 404)])
def test_other_routes_and_methods(server: Running, method, path, status):
    response = server.client.request(method, path)
    assert response.status_code == status
    assert response.json()["error"]["type"] == "invalid_request_error"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
SERVED = Served("m", 5, "majority", Sampling())
NAMES = [*ChatRequest.model_fields, "tools", "modalities"]


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=12), JSON, max_size=4))
def test_any_request_becomes_a_conversation_or_an_error_that_can_be_sent(changes):
    """`make test-clients` does the same over HTTP, from the server's own OpenAPI page."""
    try:
        ask = to_ask(read_request(json.dumps({"model": "m", "messages": USER} | changes).encode()), SERVED, Limits())
    except ApiError as error:
        assert error.status in (400, 404)
        json.dumps(error.error, ensure_ascii=False).encode()
    else:
        assert 1 <= ask.turns <= Limits().max_turns and ask.messages[-1].content.strip()


def raw(server: Running, data: bytes, *, read: bool = True) -> bytes:
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=300) as connection:
        connection.sendall(data)
        return connection.recv(4000) if read else b""


def test_what_is_not_http_and_who_leaves_in_the_middle(server: Running):
    assert raw(server, b"\x16\x03\x01 hello\r\n\r\n").startswith(b"HTTP/1.1 400 ")
    head = (
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n"
    )
    raw(server, head + b'{"model"', read=False)
    assert server.ask("hello").status_code == 200


def test_a_body_that_does_not_arrive_is_given_up():
    head = (
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n"
    )
    with serving(limits=Limits(body_limit_s=0.1)) as server:
        assert raw(server, head + b'{"model"').startswith(b"HTTP/1.1 408 ")


# ---- engines -------------------------------------------------------------------------------------------------------------


class Dying(ScriptedPolicy):
    """Replies once to each question, then not at all."""

    def __init__(self, error: Exception) -> None:
        super().__init__(ScriptedPolicy.from_table(TABLE).script, "dying")
        self.error = error

    async def reply(self, request):
        if any(m.role == "assistant" for m in request.messages):
            raise self.error
        return await super().reply(request)


@pytest.mark.parametrize(
    ("error", "status", "code"), [(PolicyError("secret words"), 502, "engine_error"), (RuntimeError("secret words"), 500, None)]
)
def test_an_engine_that_dies_between_turns(error, status, code, caplog):
    with serving(Dying(error)) as server, caplog.at_level(logging.INFO, "rise.serve"):
        assert server.ask("hello", model="m@1").status_code == 200
        message = refused(server.ask("hello"), status, code)
        assert "secret" not in message
        chunks = server.events("hello")
        assert chunks[-1]["error"]["code"] == code, "an error object where [DONE] would stand"
        assert chunks[1]["choices"][0]["delta"]["reasoning_content"] == "Turn 1:\nHello!\n\n"
        assert server.ask("hello", model="m@1").status_code == 200
        assert server.app.state.gate.active == server.app.state.gate.waiting == 0
    assert "secret" not in caplog.text and type(error).__name__ in caplog.text


def test_trouble_before_the_first_turn_of_a_stream_has_its_own_status():
    class Dead(ScriptedPolicy):
        async def reply(self, request):
            raise PolicyError("gone")

    with serving(Dead(lambda m, s: "")) as server:
        refused(server.ask("hello", stream=True), 502, "engine_error")


# ---- disconnects, places, slow readers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [True, False])
def test_who_goes_away_is_not_generated_for(stream):
    policy = Held(TABLE)
    with serving(policy) as server:
        body = json.dumps({"model": "m", "messages": USER, "stream": stream, "n": 2}).encode()
        head = f"POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        host, port = server.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=300) as connection:
            connection.sendall(head.encode() + body)
            server.wait_until(lambda: policy.n_now == 2)
        server.wait_until(lambda: policy.n_cancelled == 2)
        server.wait_until(lambda: server.app.state.gate.active == 0)
        assert policy.n_requests < 10, "five turns of two choices were never asked for"
        server.wait_until(lambda: "rise_cancelled_total 1.0" in server.client.get("/metrics").text)


def test_places_are_bounded_and_the_queue_too():
    """One place, one to wait in: the third of three is told to come back, and the second is served when the first is done."""
    policy = Held({"hello": ["Hello!"]})
    with serving(policy, turns=1, limits=Limits(n_active=1, n_waiting=1)) as server:
        done = []
        threads = [threading.Thread(target=lambda: done.append(server.ask("hello").status_code)) for _ in range(2)]
        for thread in threads:
            thread.start()
        gate = server.app.state.gate
        server.wait_until(lambda: (gate.active, gate.waiting) == (1, 1))
        third = server.ask("hello")
        message = refused(third, 429, "overloaded")
        assert third.json()["error"]["type"] == "rate_limit_error"
        assert 1 <= int(third.headers["retry-after"]) <= 60 and "Try again" in message
        refused(server.ask("hello", n=2), 429, "overloaded")
        policy.go.set()
        for thread in threads:
            thread.join(300)
        assert done == [200, 200]
        assert policy.most == 1
        assert (gate.active, gate.waiting) == (0, 0)


def test_who_goes_away_while_waiting_gives_the_place_back():
    policy = Held({"hello": ["Hello!"]})
    with serving(policy, turns=1, limits=Limits(n_active=1, n_waiting=1)) as server:
        first = threading.Thread(target=server.ask, args=("hello",))
        first.start()
        gate = server.app.state.gate
        server.wait_until(lambda: gate.active == 1)
        with pytest.raises(httpx.ReadTimeout):
            server.client.post(CHAT, json={"model": "m", "messages": USER}, timeout=httpx.Timeout(300, read=0.1))
        server.wait_until(lambda: gate.waiting == 0)
        policy.go.set()
        first.join(300)
        assert policy.n_requests == 1


def test_a_reader_who_does_not_read_holds_no_place_and_is_given_up():
    long = {"hello": ["x" * 1_000_000]}  # a megabyte a turn: more than the sockets' buffers take
    limits = Limits(n_active=1, send_limit_s=0.3)
    with serving(ScriptedPolicy.from_table(long), prompt=Prompt(window=0), turns=12, limits=limits) as server:
        body = json.dumps({"model": "m", "messages": USER, "stream": True}).encode()
        head = f"POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        host, port = server.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=300) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.sendall(head.encode() + body)
            server.wait_until(lambda: "rise_cancelled_total 1.0" in server.client.get("/metrics").text)
            assert server.app.state.gate.active == 0


# ---- keys and logs -------------------------------------------------------------------------------------------------------


def test_a_key_is_asked_for_where_one_is_set():
    with serving(key="s3cret") as server:
        for given_ in (None, {"authorization": "Bearer wrong"}, {"authorization": "s3cret"}, {"authorization": "Basic s3cret"}):
            response = server.ask("hello", headers=given_)
            refused(response, 401, "invalid_api_key")
            assert response.headers["www-authenticate"] == "Bearer"
        assert server.client.get("/metrics").status_code == server.client.get("/v1/models").status_code == 401
        assert server.client.get("/openapi.json").status_code == 401
        assert server.ask("hello", headers={"authorization": "Bearer s3cret"}).status_code == 200
        assert server.client.get("/health").status_code == server.client.get("/").status_code == 200


def test_nothing_that_was_asked_or_replied_is_logged_unless_asked_for(caplog):
    with serving() as server, caplog.at_level(logging.DEBUG):
        server.ask("347*68")
        server.client.get("/v1/private-path")
    ours = "".join(r.getMessage() for r in caplog.records if r.name == "rise.serve")
    assert "347*68" not in ours and "guess" not in ours and "private" not in ours
    assert "POST /v1/chat/completions 200" in ours
    caplog.clear()
    with serving(log_text=True) as server, caplog.at_level(logging.INFO, "rise.serve"):
        server.ask("347*68")
    assert "347*68" in caplog.text and "A guess" in caplog.text


def test_hostile_text_is_handed_on_as_text_and_the_page_may_load_nothing_from_elsewhere():
    evil = "<script>alert(1)</script><img src=x onerror=alert(2)>"
    with serving(ScriptedPolicy.from_table({evil: [evil]})) as server:
        response = server.ask(evil)
        assert response.json()["choices"][0]["message"]["content"] == evil
        assert response.headers["content-type"] == "application/json"
        assert response.headers["x-content-type-options"] == "nosniff"
        policy = server.client.get("/").headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy


def test_it_stays_quick_while_a_hundred_wait(server: Running):
    began = time.perf_counter()
    threads = [threading.Thread(target=server.ask, args=("hello",)) for _ in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    assert within(began, 20)
    assert server.app.state.gate.active == 0
