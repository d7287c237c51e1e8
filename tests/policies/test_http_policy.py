"""The HTTP policy against real servers on loopback that misbehave in every way they are told to."""

from __future__ import annotations

import asyncio
import email.utils
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from bad_server import BadServer
from toys import problem

from rise.errors import PolicyError
from rise.method.rollout import rollout
from rise.play.ledger import Ledger
from rise.play.player import Player, play_out
from rise.play.prompt import Prompt
from rise.policies.http import HttpPolicy
from rise.policies.http_servers import Patience, Servers
from rise.policies.rate_limit import Pace
from rise.policy import Request, Sampling
from rise.recipe.machines import HttpConfig
from rise.trajectory import Message

ASK = Request((Message("user", "2+2?"),), Sampling(max_new_tokens=8), seeds=(1,))
QUICK = Patience(attempts=4, first_wait_s=0.01, longest_wait_s=0.02, timeout_s=300.0)
IMPATIENT = replace(QUICK, timeout_s=3.0)


@pytest.fixture
def serve() -> Iterator[Any]:
    servers: list[BadServer] = []

    def start(*script: str, **settings: Any) -> tuple[BadServer, HttpPolicy]:
        servers.append(BadServer(list(script)))
        return servers[-1], asking(servers[-1], **settings)

    yield start
    for server in servers:
        server.stop()


def asking(*servers: BadServer, patience: Patience = QUICK, **settings: Any) -> HttpPolicy:
    return HttpPolicy(Servers([server.url for server in servers], key="secret", patience=patience, **settings), "m")


def ask(policy: HttpPolicy, *requests: Request) -> Any:
    async def go() -> Any:
        try:
            return [r for replies in await asyncio.gather(*map(policy.reply, requests or [ASK])) for r in replies]
        finally:
            await policy.close()

    return asyncio.run(go())


def test_a_reply_carries_text_usage_and_how_it_ended(serve: Any) -> None:
    server, policy = serve("answer", "cut")
    [reply] = ask(policy)
    assert (reply.text, reply.ids, reply.finish, reply.n_prompt_tokens, reply.n_reply_tokens) == ("#### 4", None, "stop", 5, 3)
    assert ask(policy)[0].finish == "length"
    assert server.seen[0]["messages"] == [{"role": "user", "content": "2+2?"}]
    assert server.headers_seen[0]["authorization"] == "Bearer secret"
    assert "secret" not in policy.name


def test_a_reply_without_content_is_data_not_trouble(serve: Any) -> None:
    _, policy = serve("null", "null cut")
    assert [(r.text, r.finish) for r in (*ask(policy), *ask(policy))] == [("", "stop"), ("", "length")]
    assert policy.facts() == {"n_requests": 2, "sent_again": {}}


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        ("429", "status 429"),
        ("500", "status 500"),
        ("502", "status 502"),
        ("close", "broken off"),
        ("gone", "broken off"),
        ("garbage", "not JSON"),
        ("list", "no completion"),
        ("empty", "no choices"),
        ("hang", "timed out"),
    ],
)
def test_trouble_that_may_pass_is_tried_again_and_counted_by_reason(serve: Any, trouble: str, reason: str) -> None:
    server, policy = serve(trouble, "answer", patience=IMPATIENT)
    [reply] = ask(policy)
    assert reply.text == "#### 4"
    assert (len(server.seen), server.n_answered) == (2, 1)
    assert policy.facts() == {"n_requests": 2, "sent_again": {reason: 1}}


def test_a_slow_server_is_waited_for(serve: Any) -> None:
    server, policy = serve("held")
    threading.Timer(0.2, server.gate.set).start()
    assert ask(policy)[0].text == "#### 4" and len(server.seen) == 1


def test_attempts_are_bounded_and_the_last_trouble_is_named(serve: Any) -> None:
    server, policy = serve(*["503"] * 9)
    with pytest.raises(PolicyError, match=r"4 attempts.*status 503"):
        ask(policy)
    assert len(server.seen) == 4 and policy.facts()["sent_again"] == {"status 503": 3}


def test_a_server_that_asks_for_rest_gets_it_from_everybody(serve: Any) -> None:
    for as_a_date in (False, True):
        server, policy = serve("429", n_each=1)
        began = time.monotonic()
        server.retry_after = email.utils.formatdate(time.time() + 2, usegmt=True) if as_a_date else "0.4"
        assert len(ask(policy, ASK, ASK)) == 2
        assert time.monotonic() - began > 0.3
        assert len(server.seen) == 3  # the one that was refused, and no other before the rest was over


def test_a_refusal_is_not_tried_again_and_says_what_may_be_wrong(serve: Any) -> None:
    for status, words in (("404", "Is the model called so"), ("401", r"\$OPENAI_API_KEY"), ("400", "status 400.*too long")):
        server, policy = serve(f"{status} too long")
        with pytest.raises(PolicyError, match=words):
            ask(policy)
        assert len(server.seen) == 1


def test_a_key_that_a_server_says_back_is_not_shown(serve: Any) -> None:
    _, policy = serve("401 your key secret is wrong")
    with pytest.raises(PolicyError, match=r"your key \[key\] is wrong"):
        ask(policy)


def test_newer_models_have_another_name_for_the_limit(serve: Any) -> None:
    server, policy = serve("400 use max_completion_tokens instead")
    ask(policy)
    ask(policy)
    assert [sorted(k for k in body if "max" in k) for body in server.seen] == [["max_tokens"], *[["max_completion_tokens"]] * 2]


def test_each_sample_has_its_own_seed(serve: Any) -> None:
    server, policy = serve()
    assert len(ask(policy, Request(ASK.messages, ASK.sampling, seeds=(1, 2, 2**40 + 3)))) == 3
    assert sorted(body["seed"] for body in server.seen) == [1, 2, 3]


def test_no_more_requests_at_once_than_allowed(serve: Any) -> None:
    server, policy = serve(n_each=3)
    server.choose = lambda body, n: "held" if n < 2 else server.gate.set() or "answer"  # the third is there while two wait
    assert len(ask(policy, *[ASK] * 9)) == 9
    assert server.most_at_once == 3


def test_a_problem_stays_with_its_server_and_goes_to_the_next_when_that_is_full(serve: Any) -> None:
    (left, _), (right, _) = serve(), serve()
    policy = asking(left, right, n_each=4)
    one = Request(ASK.messages, ASK.sampling, (1,), problem="p")
    for _ in range(5):
        ask(policy, one)
    assert sorted((len(left.seen), len(right.seen))) == [0, 5]
    both = Request(ASK.messages, ASK.sampling, (1,), problem="p")
    for server in (left, right):
        server.seen.clear()
        server.choose = lambda body, n: "held"

    def both_full() -> None:
        while len(left.seen) + len(right.seen) < 6:
            time.sleep(0.005)
        left.gate.set()
        right.gate.set()

    threading.Thread(target=both_full, daemon=True).start()
    ask(policy, *[both] * 6)
    assert sorted((len(left.seen), len(right.seen))) == [2, 4]
    assert policy.facts()["n_spilled"] == 2


def test_many_problems_are_spread_over_the_servers(serve: Any) -> None:
    (left, _), (right, _) = serve(), serve()
    ask(asking(left, right), *[Request(ASK.messages, ASK.sampling, (1,), problem=f"p{i}") for i in range(40)])
    assert min(len(left.seen), len(right.seen)) >= 8  # 40 coins: fewer than 8 heads or tails once in 100,000


def test_a_dead_server_s_problems_are_answered_by_the_others(serve: Any) -> None:
    (dead, _), (alive, _) = serve(), serve()
    policy = asking(dead, alive)
    dead.stop()
    requests = [Request(ASK.messages, ASK.sampling, (1,), problem=f"p{i}") for i in range(12)]
    assert len(ask(policy, *requests)) == 12 and len(alive.seen) == 12
    assert set(policy.facts()["sent_again"]) == {"no connection"}


def test_what_is_cancelled_ends_at_the_server_too(serve: Any) -> None:
    server, policy = serve("held", "held", "held", n_each=1)

    async def go() -> int:
        tasks = [asyncio.create_task(policy.reply(ASK)) for _ in range(3)]
        while not server.seen:
            await asyncio.sleep(0.01)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        server.gate.set()
        [reply] = await policy.reply(ASK)  # the place of the cancelled one is free again
        await policy.close()
        return len(server.seen) if reply.text else 0

    assert asyncio.run(go()) == 2  # two were never sent


def test_pace_keeps_every_window_within_its_limits() -> None:
    async def times(pace: Pace, costs: list[int]) -> list[float]:
        out: list[float] = []

        async def one(cost: int) -> None:
            sent = await pace.take(cost)
            out.append(sent.at_s)
            pace.settle(sent, cost)

        await asyncio.gather(*map(one, costs))
        return out

    def most_in_a_window(at: list[float], window_s: float) -> int:
        return max(sum(start <= t < start + window_s for t in at) for start in at)

    by_requests = asyncio.run(times(Pace(requests=3, window_s=0.2), [1] * 8))
    assert most_in_a_window(by_requests, 0.19) == 3 and by_requests[-1] - by_requests[0] >= 0.39
    by_tokens = asyncio.run(times(Pace(tokens=100, window_s=0.2), [50] * 6))
    assert most_in_a_window(by_tokens, 0.19) == 2
    assert len(asyncio.run(times(Pace(tokens=10, window_s=0.05), [50, 50]))) == 2  # above the limit alone: one at a time


def test_pace_gives_back_what_a_guess_was_too_high() -> None:
    async def go() -> float:
        pace = Pace(tokens=100, window_s=5.0)
        pace.settle(await pace.take(90), 10)
        began = asyncio.get_running_loop().time()
        await pace.take(90)
        return asyncio.get_running_loop().time() - began

    assert asyncio.run(go()) < 4.0  # else it would have waited for the end of the window, 5 s


def test_a_limit_is_of_each_server(serve: Any) -> None:
    """One request a minute to each of two: both of one problem go at once, the second to the server that is not its own."""
    (left, _), (right, _) = serve(), serve()
    policy = asking(left, right, n_each=1, pace=Pace(requests=1))
    for server in (left, right):
        server.choose = lambda body, n: "held"

    def both_there() -> None:
        while not (left.seen and right.seen):
            time.sleep(0.005)
        left.gate.set()
        right.gate.set()

    threading.Thread(target=both_there, daemon=True).start()
    began = time.monotonic()
    assert len(ask(policy, *[replace(ASK, problem="p")] * 2)) == 2 and time.monotonic() - began < 50


def test_who_waits_for_the_pace_of_a_server_gives_it_the_rest_that_it_asks_for(serve: Any) -> None:
    """One request in 0.3 s: the second could go after that, but by then the first has been told to wait for 1.5 s."""
    server, policy = serve(pace=Pace(requests=1, window_s=0.3))
    server.retry_after, at = "1.5", []
    server.choose = lambda body, n: at.append(time.monotonic()) or ("429" if n == 0 else "answer")
    assert len(ask(policy, ASK, ASK)) == 2
    assert len(at) == 3 and at[1] - at[0] > 1.4


def test_who_gives_up_waiting_for_the_pace_leaves_its_place(serve: Any) -> None:
    _, policy = serve(n_each=2, pace=Pace(requests=1))

    async def go() -> int:
        await policy.reply(ASK)
        waiting = asyncio.create_task(policy.reply(ASK))
        [server] = policy.servers.servers
        while not server.n_under_way:
            await asyncio.sleep(0.01)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await policy.close()
        return server.n_under_way

    assert asyncio.run(go()) == 0


BAD_LUCK = ["429", "500", "502", "hang", "close", "gone", "garbage", "empty", "list"]


def test_a_rollout_through_bad_luck_loses_nothing_and_counts_nothing_twice(serve: Any, judge: Any, tmp_path: Any) -> None:
    """30 problems × 3 turns; every third request meets with bad luck of some kind."""
    server, policy = serve(n_each=8, patience=replace(IMPATIENT, attempts=20))
    server.choose = lambda body, n: BAD_LUCK[n // 3 % len(BAD_LUCK)] if n % 3 == 0 else ("cut" if n % 11 == 1 else "answer")
    with Ledger(tmp_path / "ledger.jsonl") as ledger:
        player = Player(policy, Prompt(feedback_text="no"), judge, Sampling(), ledger, "x")
        done = play_out(player, rollout(player, [problem(f"p{i}") for i in range(30)], n_turns=3, stop_when_right=False))
    assert [len(t.turns) for t in done] == [3] * 30
    lines = [json.loads(line) for line in (tmp_path / "ledger.jsonl").read_text().splitlines()]
    filed = Counter((line["problem"], line["attempts"]) for line in lines)
    assert filed == {(f"p{i}", k): 1 for i in range(30) for k in range(3)}
    facts = player.usage.facts
    assert (player.usage.n_replies, player.usage.n_reply_tokens) == (90, 270)
    assert sum(facts["sent_again"].values()) == facts["n_requests"] - 90 == len(server.seen) - 90 > 27
    assert set(facts["sent_again"]) == {
        *("status 429", "status 500", "status 502", "timed out", "broken off", "not JSON", "no choices", "no completion")
    }
    n_cut = sum(turn.finish == "length" for t in done for turn in t.turns)
    assert n_cut == sum(n % 11 == 1 and n % 3 != 0 for n in range(len(server.seen)))


def test_of_n_samples_those_that_arrived_are_kept_when_one_fails_for_good(serve: Any, judge: Any, tmp_path: Any) -> None:
    server, policy = serve(n_each=1)
    server.choose = lambda body, n: "404" if n == 3 else "answer"

    def five(ledger: Ledger) -> None:
        player = Player(policy, Prompt(), judge, Sampling(), ledger, "x")
        play_out(player, player.play([problem("p")], lambda p: player.turns(p, [], n=5)))

    with Ledger(tmp_path / "ledger.jsonl") as ledger, pytest.raises(PolicyError, match="404"):
        five(ledger)
    with Ledger(tmp_path / "ledger.jsonl") as ledger:
        assert len(ledger) == 3
        five(ledger)
        assert len(ledger) == 5
    assert len(server.seen) == 4 + 2


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("http://localhost:8000/v1", "URL#MODEL"),
        ("http://me:word@localhost/v1#m", r"Put the key into the environment: \$OPENAI_API_KEY"),
        ("http://localhost/v1,localhost:2#m", '"localhost:2".*is no base URL'),
    ],
)
def test_a_spec_that_will_not_do_says_how_to_write_it(spec: str, words: str) -> None:
    with pytest.raises(PolicyError, match=words) as error:
        HttpPolicy.from_spec(spec)
    assert "word@" not in str(error.value)


def test_a_spec_with_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "k")
    settings = HttpConfig(key="MY_KEY", concurrency=5, requests_per_minute=7, attempts=2)
    policy = HttpPolicy.from_spec("http://a/v1,http://b/v1#m", settings)
    assert policy.max_in_flight == 10 and policy.servers.patience.attempts == 2
    assert [server.pace.requests for server in policy.servers.servers] == [7, 7]
    assert policy.name == "http-http://a/v1,http://b/v1#m"
