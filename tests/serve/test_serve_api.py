"""The endpoint over HTTP: what a conversation becomes, turn by turn, and how the reply is chosen and counted."""

from dataclasses import replace

import pytest
from serving import TABLE, Recording, Running, Slow, serving, texts
from toys import LastNumber

from rise.play.prompt import Prompt
from rise.policies.scripted import ScriptedPolicy
from rise.recipe.wordings import FEEDBACK
from rise.serve.requests import Limits


@pytest.fixture(scope="module")
def server():
    with serving() as running:
        yield running


def test_the_content_is_the_earliest_reply_with_the_winning_answer(server: Running):
    data = server.ask().json()
    [choice] = data["choices"]
    assert choice["message"]["content"] == TABLE["347*68"][1]
    assert choice["finish_reason"] == "stop"
    assert (data["object"], data["model"]) == ("chat.completion", "m")
    assert (
        choice["rise"]
        == data["rise"]
        == {
            "n_turns": 5,
            "chosen_turn": 2,
            "stopped": "turns",
            "vote": {
                "answer": "23596",
                "votes": 3,
                "answers": [{"answer": "23596", "turns": [2, 3, 4]}, {"answer": "23000", "turns": [1]}],
            },
        }
    )


def test_without_any_answer_the_last_reply_is_the_content_and_the_vote_is_null(server: Running):
    data = server.ask("hello").json()
    assert data["choices"][0]["message"]["content"] == "Hello again!"
    assert data["rise"]["vote"] is None


def test_turns_by_name_by_body_and_the_body_goes_before_the_name(server: Running):
    assert server.ask(model="m@1").json()["choices"][0]["message"]["content"] == TABLE["347*68"][0]
    assert server.ask(rise={"turns": 3}).json()["rise"]["n_turns"] == 3
    assert server.ask(model="m@1", rise={"turns": 2}).json()["rise"]["n_turns"] == 2
    assert server.ask(model="m@4").json()["rise"]["n_turns"] == 4


def test_the_vote_can_be_chosen_for_a_request(server: Running):
    assert server.ask("tie", rise={"turns": 2, "vote": "last"}).json()["rise"]["chosen_turn"] == 2
    agree = server.ask(rise={"vote": "agree"}).json()
    assert (agree["rise"]["n_turns"], agree["rise"]["stopped"]) == (3, "agree")  # turns 2 and 3 agree
    assert agree["choices"][0]["message"]["content"] == TABLE["347*68"][1]


def test_returned_turns_carry_reply_answer_and_the_feedback_that_followed(server: Running):
    data = server.ask(rise={"turns": 2, "return_turns": True}).json()
    feedback = FEEDBACK["always-wrong"].text.replace("{question}", "347*68")
    assert [(t["turn"], t["reply"], t["answer"], t["feedback"]) for t in data["rise"]["turns"]] == [
        (1, TABLE["347*68"][0], "23000", feedback),
        (2, TABLE["347*68"][1], "23596", None),
    ]


def test_usage_sums_every_hidden_turn(server: Running):
    """Words are tokens here. Turn 1 reads 1 and writes 3; its feedback has 12, so turn 2 reads 1+3+12 and writes 3."""
    assert len(FEEDBACK["always-wrong"].text.split()) == 12
    data = server.ask(rise={"turns": 2}).json()
    assert data["usage"] == {
        "prompt_tokens": 1 + 16,
        "completion_tokens": 6,
        "total_tokens": 23,
        "completion_tokens_details": {"reasoning_tokens": 3},
    }
    twice = server.ask(rise={"turns": 2}, n=2).json()
    assert twice["usage"]["total_tokens"] == 46


def test_a_stream_shows_turns_as_reasoning_and_then_the_content(server: Running):
    chunks = server.events(rise={"turns": 2})
    assert chunks[-1] == "[DONE]"
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert texts(chunks, "reasoning_content") == f"Turn 1:\n{TABLE['347*68'][0]}\n\nTurn 2:\n{TABLE['347*68'][1]}\n\n"
    assert texts(chunks, "content") == TABLE["347*68"][1]
    assert chunks[-2]["choices"][0]["finish_reason"] == "stop"
    assert chunks[-2]["choices"][0]["rise"]["chosen_turn"] == 2
    assert len({c["id"] for c in chunks[:-1]}) == 1
    assert not any("usage" in c for c in chunks[:-1])


def test_a_stream_of_a_single_turn_has_no_reasoning(server: Running):
    chunks = server.events(model="m@1")
    assert texts(chunks, "reasoning_content") == ""
    assert texts(chunks, "content") == TABLE["347*68"][0]


def test_usage_in_a_stream_is_that_of_the_whole(server: Running):
    chunks = server.events(rise={"turns": 2}, stream_options={"include_usage": True})
    *rest, last, done = chunks
    assert done == "[DONE]"
    assert (last["choices"], last["usage"]) == ([], server.ask(rise={"turns": 2}).json()["usage"])
    assert all(chunk["usage"] is None for chunk in rest)


def test_a_stream_can_return_turns_as_they_come_in(server: Running):
    chunks = server.events(rise={"turns": 2, "return_turns": True})
    turns = [c["choices"][0]["rise"]["turn"] for c in chunks[:-1] if "turn" in c["choices"][0].get("rise", {})]
    assert turns == server.ask(rise={"turns": 2, "return_turns": True}).json()["rise"]["turns"]


def test_several_choices_keep_apart(server: Running):
    data = server.ask(n=3).json()
    assert [c["index"] for c in data["choices"]] == [0, 1, 2]
    chunks = server.events(n=2, rise={"turns": 2})
    for index in (0, 1):
        own = [c for c in chunks[:-1] if c["choices"][0]["index"] == index]
        assert texts(own, "content") == TABLE["347*68"][1]


def test_a_stop_text_ends_every_reply(server: Running):
    data = server.ask("stop", stop=" END", rise={"turns": 2, "return_turns": True}).json()
    assert [t["reply"] for t in data["rise"]["turns"]] == ["one", r"\boxed{2}"]
    assert data["choices"][0]["message"]["content"] == r"\boxed{2}"
    first = server.ask("stop", model="m@1", stop=["two", "END"]).json()["choices"][0]
    assert (first["message"]["content"], first["finish_reason"]) == ("one", "stop")


def test_sampling_and_seed_reach_the_policy_and_defaults_are_the_servers():
    policy = Recording()
    with serving(policy) as server:
        server.ask(temperature=0.3, top_p=0.9, max_tokens=7, seed=11, n=2, rise={"turns": 2})
        first = [(r.sampling.temperature, r.sampling.top_p, r.sampling.max_new_tokens) for r in policy.asked]
        assert first == [(0.3, 0.9, 7)] * 4
        seeds = [r.seeds for r in policy.asked]
        assert len(set(seeds)) == 4, "each choice and turn has its own random stream"
        policy.asked.clear()
        server.ask(temperature=0.3, seed=11, n=2, rise={"turns": 2})
        assert sorted(r.seeds for r in policy.asked) == sorted(seeds)
        policy.asked.clear()
        server.ask()
        server.ask()
        assert {(r.sampling.temperature, r.sampling.max_new_tokens) for r in policy.asked} == {(1.0, 64)}
        assert len({r.seeds for r in policy.asked}) == 10, "no seed asked for: new ones each time"


def test_max_completion_tokens_bounds_all_turns_of_a_choice_together():
    """Replies of 3 words: with 7 tokens, turns 1 and 2 leave 1 for turn 3, which is the last."""
    policy = Recording({"q": ["a b c"]})
    with serving(policy) as server:
        data = server.ask("q", max_completion_tokens=7).json()
    assert [r.sampling.max_new_tokens for r in policy.asked] == [7, 4, 1]
    assert (data["rise"]["n_turns"], data["rise"]["stopped"]) == (3, "budget")


class Uncounted(Recording):
    """An engine that sends no usage."""

    async def reply(self, request):
        return [replace(reply, n_prompt_tokens=None, n_reply_tokens=None) for reply in await super().reply(request)]


def test_a_reply_that_nobody_counted_takes_all_that_it_was_allowed():
    """64 tokens a reply: of 100, turn 1 is taken for 64 and leaves 36 for turn 2, which is the last."""
    policy = Uncounted({"q": ["a b c"]})
    with serving(policy) as server:
        data = server.ask("q", max_completion_tokens=100).json()
        unbounded = server.ask("q").json()
    assert [r.sampling.max_new_tokens for r in policy.asked[:2]] == [64, 36]
    assert (data["rise"]["n_turns"], data["rise"]["stopped"], data["usage"]) == (2, "budget", None)
    assert unbounded["rise"]["n_turns"] == 5


def state(request):
    return [(m.role, m.content) for m in request.messages]


def test_the_conversation_as_sent_is_the_first_state():
    policy = Recording()
    sent = [("user", "hi"), ("assistant", "yes?"), ("user", "347*68")]
    table = {"hi": TABLE["347*68"]}
    policy.script = ScriptedPolicy.from_table(table).script
    with serving(policy, prompt=Prompt("Box it.", feedback="neutral", feedback_text="Again: {question}", window=1)) as server:
        server.ask(messages=[{"role": role, "content": text} for role, text in sent], rise={"turns": 3})
    first, second, third = map(state, policy.asked)
    assert first == [("system", "Box it."), *sent]
    reply = second[-2][1]
    assert second == [*first, ("assistant", reply), ("user", "Again: 347*68")]
    assert third[:-2] == first, "the window cuts our attempts, never what was sent"


def test_a_system_message_of_the_clients_takes_the_place_of_the_checkpoints():
    policy = Recording()
    with serving(policy, prompt=Prompt("Box it."), turns=1) as server:
        for role in ("system", "developer"):
            server.ask(messages=[{"role": role, "content": "Mine."}, {"role": "user", "content": "hello"}])
        server.ask([{"type": "text", "text": "hel"}, {"type": "text", "text": "lo"}])
    assert [state(r) for r in policy.asked] == [
        [("system", "Mine."), ("user", "hello")],
        [("system", "Mine."), ("user", "hello")],
        [("system", "Box it."), ("user", "hello")],
    ]


def test_a_function_of_your_own_chooses_and_may_choose_nothing():
    seen = []

    def choose(messages, turns):
        seen.append((messages[-1].content, [t.answer for t in turns]))
        return 0 if messages[-1].content == "tie" else None

    with serving(choose=choose, rule="judge", turns=2) as server:
        data = server.ask("tie").json()
        assert (data["rise"]["chosen_turn"], data["rise"]["vote"]["answer"]) == (1, "1")
        data = server.ask("347*68").json()
        assert (data["rise"]["chosen_turn"], data["rise"]["vote"]) == (2, None)
        assert server.ask("tie", rise={"vote": "majority"}).json()["rise"]["chosen_turn"] == 2
    assert seen == [("tie", ["1", "2"]), ("347*68", ["23000", "23596"])]


def test_a_judge_of_another_kind_reads_and_compares_without_gold():
    words = {"q": ["it is five", "it is six", "really SIX"]}

    class AnyCase(LastNumber):
        def same(self, left, right):
            return left.lower() == right.lower()

    with serving(ScriptedPolicy.from_table(words), judge=AnyCase(), turns=3) as server:
        data = server.ask("q").json()
    assert data["rise"]["vote"]["answers"] == [{"answer": "six", "turns": [2, 3]}, {"answer": "five", "turns": [1]}]
    assert data["choices"][0]["message"]["content"] == "it is six"


def test_a_reply_that_the_engine_declined_to_give_is_no_attempt():
    class Declining(ScriptedPolicy):
        async def reply(self, request):
            return [replace(r, finish="refused") for r in await super().reply(request)]

    with serving(Declining(ScriptedPolicy.from_table(TABLE).script), turns=2) as server:
        data = server.ask().json()
    assert (data["choices"][0]["finish_reason"], data["rise"]["vote"]) == ("content_filter", None)


def test_an_engine_that_does_not_count_leaves_usage_unknown_not_zero():
    class Silent(ScriptedPolicy):
        async def reply(self, request):
            return [replace(r, n_prompt_tokens=None) for r in await super().reply(request)]

    with serving(Silent(ScriptedPolicy.from_table(TABLE).script)) as server:
        assert server.ask().json()["usage"] is None


def test_models_and_health(server: Running):
    listed = server.client.get("/v1/models").json()
    assert [m["id"] for m in listed["data"]] == ["m", "m@1"]
    assert [m["rise"]["turns"] for m in listed["data"]] == [5, 1]
    assert server.client.get("/v1/models/m@1").json()["id"] == "m@1"
    assert server.client.get("/v1/models/x").status_code == 404
    assert server.client.get("/health").json() == {"status": "ok", "model": "m", "active": 0, "waiting": 0}


def test_metrics_count_turns_tokens_and_votes():
    with serving() as server:
        server.ask(rise={"turns": 2})
        server.ask("hello", rise={"turns": 2})
        text = server.client.get("/metrics").text
    lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert float(lines["rise_turns_total"]) == 4
    assert float(lines['rise_choices_total{vote="divided"}']) == 1
    assert float(lines['rise_choices_total{vote="none"}']) == 1
    assert float(lines['rise_requests_total{route="/v1/chat/completions",status="200"}']) == 2
    assert float(lines['rise_tokens_total{kind="completion"}']) == 3 + 3 + 1 + 2


def test_a_stream_waits_in_silence_no_longer_than_its_heartbeat():
    policy = Slow(TABLE, 0.25)
    limits = Limits(first_limit_s=0.05, heartbeat_s=0.1)
    with serving(policy, turns=1, limits=limits) as server:
        body = {"model": "m", "messages": [{"role": "user", "content": "hello"}], "stream": True}
        with server.client.stream("POST", "/v1/chat/completions", json=body) as response:
            lines = [line for line in response.iter_lines() if line]
    assert lines[0] == ": working"
    assert lines[-1] == "data: [DONE]"


def test_under_self_refine_a_critique_stands_between_turns_and_is_counted():
    policy = Recording()
    policy.script = lambda messages, seed: "too big" if messages[-1].content == "Why?" else r"\boxed{5}"
    with serving(policy, prompt=Prompt(feedback="self-refine", feedback_text="Again.", critique_text="Why?"), turns=2) as server:
        data = server.ask("q", rise={"return_turns": True}).json()
    assert [state(r)[1:] for r in policy.asked] == [
        [],
        [("assistant", r"\boxed{5}"), ("user", "Why?")],
        [("assistant", r"\boxed{5}"), ("user", "Why?"), ("assistant", "too big"), ("user", "Again.")],
    ]
    assert [turn.get("critique") for turn in data["rise"]["turns"]] == ["too big", None]
    assert data["usage"]["prompt_tokens"] == 1 + 3 + 6
    assert data["usage"]["completion_tokens"] == 1 + 2 + 1
