"""Half characters, large answers, engines that ask to be spared, an end in mid-stream: each has its own answer."""

import asyncio
import json
import logging
import threading
import time

import pytest
from busy import within
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from serving import TABLE, Held, serving

from rise.errors import Busy
from rise.play.prompt import Prompt
from rise.policies.http import HttpPolicy
from rise.policies.http_servers import Patience
from rise.policies.scripted import ScriptedPolicy
from rise.policy import Request, Sampling
from rise.serve.requests import Limits
from rise.task import Problem
from rise.trajectory import Message

CHAT = "/v1/chat/completions"
USER = [{"role": "user", "content": "hello"}]
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def server():
    table = {**TABLE, "half": ["\ud83d \\boxed{3}", "\\boxed{\udc00}"]}
    with serving(ScriptedPolicy.from_table(table), problems=(Problem("q", gold="1", id="p"),)) as running:
        yield running


# --- S06 ----------------------------------------------------------------------------------------------------------------

HALVES = st.sampled_from(["\ud800", "\udfff", "a\ud83d", "\ude00\ud83d"])
ODD = st.recursive(
    HALVES | st.none() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(HALVES | st.text(max_size=6), inner, max_size=3),
    max_leaves=5,
)
PARAMETERS = [
    "model",
    "messages",
    "temperature",
    "n",
    "stop",
    "rise",
    "stream_options",
    "tools",
    "user",
    "seed",
    "response_format",
]


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.dictionaries(st.sampled_from(PARAMETERS) | HALVES, ODD, min_size=1, max_size=4))
def test_half_a_character_anywhere_in_a_request_is_an_error_that_can_be_sent(server, changes):
    body = json.dumps({"model": "m", "messages": USER} | changes).encode()
    response = server.client.post(CHAT, content=body, headers=JSON)
    assert response.status_code in (200, 400, 404), response.text
    response.content.decode("utf-8")
    json.loads(response.content)


@pytest.mark.parametrize(
    "body",
    [
        {"\ud800": 1},
        {"a\ud800b": 1},
        {"model": "\ud800"},
        {"model": "m@\ud800"},
        {"messages": [{"role": "\ud800", "content": "hi"}]},
        {"messages": [{"role": "user", "content": [{"type": "\ud800"}]}]},
        {"rise": {"\ud800": 1}},
        {"rise": {"vote": "\ud800"}},
        {"stop": ["\ud800"]},
    ],
)
def test_each_of_these_was_a_server_error(server, body):
    content = json.dumps({"model": "m", "messages": USER} | body).encode()
    response = server.client.post(CHAT, content=content, headers=JSON)
    assert response.status_code in (400, 404) and set(response.json()["error"]) == {"message", "type", "param", "code"}
    assert "\ud800" not in response.text


@pytest.mark.parametrize("stream", [False, True])
def test_half_a_character_in_a_reply_is_sent_as_a_sign_that_stands_for_it(server, stream):
    if stream:
        chunks = server.events("half", rise={"return_turns": True})
        assert chunks[-1] == "[DONE]" and "\ufffd" in json.dumps(chunks, ensure_ascii=False)
    else:
        response = server.ask("half", rise={"return_turns": True})
        assert response.status_code == 200 and "\ufffd" in response.content.decode("utf-8")


def test_half_a_character_in_other_routes(server):
    response = server.client.post("/v1/rise/problems/p", content=b'{"replies": ["\\ud800", "\\\\boxed{\\ud83d}"]}', headers=JSON)
    assert response.status_code == 200
    for path in ("/v1/models/%ed%a0%80", "/v1/rise/problems/%ff%fe", "/%ed%a0%80", "/v1/models/" + "%f0%9f%98%80" * 40):
        assert server.client.get(path).status_code in (404, 405)


@pytest.mark.parametrize("code", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1"])
def test_a_body_in_another_encoding_is_refused(server, code):
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hellö"}]}, ensure_ascii=False).encode(code)
    response = server.client.post(CHAT, content=body, headers=JSON)
    assert (response.status_code, response.json()["error"]["code"]) == (400, "invalid_json")
    again = server.client.post("/v1/rise/problems/p", content='{"replies": ["ö"]}'.encode(code), headers=JSON)
    assert again.status_code == 400


def test_a_byte_order_mark_is_no_other_encoding(server):
    body = json.dumps({"model": "m", "messages": USER}).encode("utf-8-sig")
    assert server.client.post(CHAT, content=body, headers=JSON).status_code == 200


# --- S10 and the size of answers -----------------------------------------------------------------------------------------


def error_of(response):
    error = response.json()["error"]
    return response.status_code, error["code"], error["param"]


def test_a_long_question_that_every_turn_repeats_is_refused_before_it_is_played():
    policy = ScriptedPolicy(lambda messages, seed: "5")
    with serving(policy) as server:
        question = "x" * 1_000_000
        response = server.ask(question, n=8, rise={"turns": 16, "return_turns": True})
        assert error_of(response) == (400, "answer_too_large", "messages")
        assert policy.n_requests == 0
        assert server.ask(question, rise={"turns": 5, "return_turns": True}).status_code == 200
    with serving(policy, prompt=Prompt(feedback="neutral")) as server:
        assert server.ask(question, n=8, rise={"turns": 16, "return_turns": True}).status_code == 200


@pytest.mark.parametrize("stream", [False, True])
def test_replies_that_add_up_to_too_much_end_the_request(stream):
    policy = ScriptedPolicy(lambda messages, seed: "x" * 100_000)
    limits = Limits(max_answer_bytes=1_000_000)
    with serving(policy, prompt=Prompt(feedback="neutral"), limits=limits) as server:
        if stream:
            assert server.events("q", n=8)[-1]["error"]["code"] == "answer_too_large"
        else:
            assert error_of(server.ask("q", n=8)) == (400, "answer_too_large", None)
        assert server.ask("q").status_code == 200
        server.wait_until(lambda: server.app.state.gate.active == 0)


def test_more_choices_than_there_are_places_and_waiting_are_refused_for_good():
    """429 would have the client ask for ever."""
    with serving(limits=Limits(n_active=1, n_waiting=1)) as server:
        assert error_of(server.ask("hello", n=3)) == (400, "invalid_value", "n")
        assert server.ask("hello", n=2).status_code == 200


# --- S09 ----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def resting_engine():
    """An endpoint that answers 429 and asks for a rest of a billion seconds."""
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    class Handler(BaseHTTPRequestHandler):
        n = 0
        rest = "1e9"

        def do_POST(self):
            type(self).n += 1
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(429)
            self.send_header("Retry-After", type(self).rest)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *words):
            pass

    found = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=found.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{found.server_address[1]}/v1#m", Handler
    found.shutdown()
    found.server_close()


def front(spec):
    from rise.cli.serve import suit

    policy = HttpPolicy.from_spec(spec)
    suit(policy, Limits(n_active=8))
    return policy


@pytest.mark.parametrize("rest", ["1e9", "300", "61"])
def test_an_engine_that_asks_for_a_long_rest_is_said_to_at_once_and_to_everybody(resting_engine, rest):
    spec, handler = resting_engine
    handler.rest = rest
    with serving(front(spec)) as server:
        began, answers = time.perf_counter(), []
        threads = [threading.Thread(target=lambda: answers.append(server.ask("hello"))) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(600)
        assert within(began, 20)
        assert {(a.status_code, a.json()["error"]["code"]) for a in answers} == {(503, "engine_busy")}
        assert all(1 <= int(a.headers["retry-after"]) <= 300 for a in answers)
        n = handler.n
        assert server.ask("hello").status_code == 503 and handler.n == n  # it is spared, as it asked
        assert server.ask("hello", stream=True).status_code == 503


def test_a_run_still_waits_for_as_long_as_it_is_asked_to(resting_engine):
    spec, handler = resting_engine
    policy = HttpPolicy.from_spec(spec)
    assert policy.servers.patience == Patience() and Patience().longest_rest_s == 300.0
    policy.servers.patience = Patience(longest_rest_s=1.0)
    request = Request((Message("user", "hello"),), Sampling(), (0,))
    with pytest.raises(Busy) as caught:
        asyncio.run(policy.reply(request))
    assert 290 < caught.value.rest_s <= 300 and handler.n == 1


# --- its end ------------------------------------------------------------------------------------------------------------


def test_the_end_of_the_server_in_a_long_stream_is_said_in_it(caplog):
    policy = Held({"hello": ["Hello!", "Hello again!", "x", "y"]}, quick=1)
    with serving(policy, turns=4) as server, caplog.at_level(logging.INFO):
        server.server.config.timeout_graceful_shutdown = 1
        said = []

        def read():
            with server.client.stream("POST", CHAT, json={"model": "m", "messages": USER, "stream": True}) as response:
                for line in response.iter_lines():
                    said.append(line)

        reading = threading.Thread(target=read)
        reading.start()
        server.wait_until(lambda: any("Turn 1" in line for line in said))
        whole = []
        asking = threading.Thread(target=lambda: whole.append(server.ask("hello", model="m@1")))
        asking.start()
        server.wait_until(lambda: server.app.state.gate.active == 2)
        server.stop()  # what SIGTERM does
        reading.join(300)
        asking.join(300)
    [*_, last] = [json.loads(line.removeprefix("data: ")) for line in said if line.startswith("data: {")]
    assert last["error"]["code"] == "server_ending"
    assert (whole[0].status_code, whole[0].json()["error"]["code"]) == (503, "server_ending")
