"""The same server through the `openai` Python SDK, as anybody's program would use it: sync, async, streaming, cancelled."""

import asyncio

import httpx
import openai
import pytest
from serving import TABLE, Held, Slow, serving

from rise.serve.requests import Limits

ASK = {"model": "m", "messages": [{"role": "user", "content": "347*68"}]}


@pytest.fixture(scope="module")
def server():
    with serving(key="s3cret") as running:
        yield running


@pytest.fixture(scope="module")
def client(server):
    with httpx.Client(verify=False, trust_env=False) as plain:
        yield openai.OpenAI(base_url=f"{server.url}/v1", api_key="s3cret", http_client=plain, max_retries=0)


def asynchronous(server, key="s3cret"):
    plain = httpx.AsyncClient(verify=False, trust_env=False)
    return openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key=key, http_client=plain, max_retries=0)


def test_a_completion(client):
    done = client.chat.completions.create(**ASK)
    assert done.choices[0].message.content == TABLE["347*68"][1]
    assert done.choices[0].finish_reason == "stop"
    assert done.usage.total_tokens == done.usage.prompt_tokens + done.usage.completion_tokens > 0
    assert done.rise["vote"]["votes"] == 3


def test_what_is_ours_goes_into_extra_body(client):
    done = client.chat.completions.create(**ASK, n=2, extra_body={"rise": {"turns": 2, "vote": "last", "return_turns": True}})
    assert [choice.rise["turns"][0]["answer"] for choice in done.choices] == ["23000", "23000"]
    assert client.chat.completions.create(**{**ASK, "model": "m@1"}).choices[0].message.content == TABLE["347*68"][0]


def test_a_stream_and_its_usage(client):
    reasoning, content, last = "", "", None
    for chunk in client.chat.completions.create(**ASK, stream=True, stream_options={"include_usage": True}):
        if chunk.choices:
            delta = chunk.choices[0].delta
            reasoning += getattr(delta, "reasoning_content", None) or ""
            content += delta.content or ""
        last = chunk
    assert content == TABLE["347*68"][1]
    assert [reply in reasoning for reply in TABLE["347*68"]] == [True] * 5
    assert last.usage == client.chat.completions.create(**ASK).usage


def test_the_streaming_helper_puts_the_same_completion_together(client):
    with client.chat.completions.stream(**ASK) as stream:
        for _ in stream:
            pass
        done = stream.get_final_completion()
    assert done.choices[0].message.content == TABLE["347*68"][1]


def test_models(client):
    assert [model.id for model in client.models.list()] == ["m", "m@1"]
    assert client.models.retrieve("m").rise["max_turns"] == 16


@pytest.mark.parametrize(
    ("change", "error", "code"),
    [
        ({"model": "x"}, openai.NotFoundError, "model_not_found"),
        ({"messages": []}, openai.BadRequestError, "invalid_value"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, openai.BadRequestError, "unsupported_parameter"),
    ],
)
def test_errors_are_the_sdks_own(client, change, error, code):
    with pytest.raises(error) as caught:
        client.chat.completions.create(**{**ASK, **change})
    assert caught.value.code == code


def test_asynchronously_many_at_once_and_with_the_wrong_key(server):
    async def go():
        async with asynchronous(server) as client:
            done = await asyncio.gather(*(client.chat.completions.create(**ASK) for _ in range(20)))
        async with asynchronous(server, "wrong") as stranger:
            with pytest.raises(openai.AuthenticationError):
                await stranger.models.list()
        return done

    assert {one.choices[0].message.content for one in asyncio.run(go())} == {TABLE["347*68"][1]}


def test_closing_a_stream_or_cancelling_a_call_stops_the_engine():
    policy = Held(TABLE, quick=1)
    with serving(policy) as server:

        async def go():
            async with asynchronous(server) as client:
                stream = await client.chat.completions.create(**ASK, stream=True)
                async for chunk in stream:
                    if getattr(chunk.choices[0].delta, "reasoning_content", None):
                        break
                await stream.close()
                call = asyncio.create_task(client.chat.completions.create(**ASK))
                while policy.n_now < 1 or policy.n_cancelled < 1:
                    await asyncio.sleep(0.01)
                call.cancel()
                while policy.n_cancelled < 2:
                    await asyncio.sleep(0.01)

        asyncio.run(asyncio.wait_for(go(), 300))
        server.wait_until(lambda: server.app.state.gate.active == 0)
    assert policy.n_requests <= 3, "of ten turns"


def test_the_sdk_waits_and_tries_again_where_places_are_taken():
    policy = Slow({"347*68": [r"\boxed{1}"]}, 0.3)
    with serving(policy, turns=1, limits=Limits(n_active=1, n_waiting=0)) as server:

        async def go():
            async with asynchronous(server) as client:
                patient = client.with_options(max_retries=5)
                return await asyncio.gather(*(patient.chat.completions.create(**ASK) for _ in range(2)))

        done = asyncio.run(asyncio.wait_for(go(), 300))
    assert [one.choices[0].message.content for one in done] == [r"\boxed{1}"] * 2
    assert policy.most == 1
