"""Whatever an endpoint answers is a reply of text or trouble with a name; the same words in another form are the same reply."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from rise.policies.http_replies import read_json, read_reply
from rise.policies.http_troubles import Garbled

NAMES = [
    "choices",
    "message",
    "content",
    "finish_reason",
    "refusal",
    "usage",
    "prompt_tokens",
    "completion_tokens",
    "type",
    "text",
]
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["text", "stop", "length"])
)
ANY = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)
WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


def read(body):
    """The reply in the bytes of an answer; None where it is trouble with a name. Anything else raised is a fault of ours."""
    try:
        return read_reply(read_json(body))
    except Garbled as trouble:
        assert str(trouble)
        return None


def answer(message, finish="stop", usage=None):
    return json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": finish}], "usage": usage}).encode()


def sound(reply):
    assert isinstance(reply.text, str) and reply.finish in ("stop", "length", "refused")
    for n in (reply.n_prompt_tokens, reply.n_reply_tokens):
        assert n is None or (type(n) is int and n >= 0)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=40) | ANY.map(lambda data: json.dumps(data).encode()))
def test_any_bytes_are_a_reply_or_trouble_with_a_name(body):
    reply = read(body)
    if reply is not None:
        sound(reply)


@settings(max_examples=300, deadline=None)
@given(message=ANY, finish=ANY, usage=ANY)
def test_any_message_is_a_reply_or_trouble_with_a_name(message, finish, usage):
    reply = read(answer(message, finish, usage))
    if reply is not None:
        sound(reply)
    else:
        assert not isinstance(message, dict) or not isinstance(message.get("content"), str | None)


PART = st.one_of(
    st.tuples(st.just(True), WORDS.map(lambda t: {"type": "text", "text": t})),
    st.tuples(st.just(True), WORDS.map(lambda t: {"type": "output_text", "text": {"value": t}})),
    st.tuples(st.just(True), WORDS),
    st.tuples(st.just(False), WORDS.map(lambda t: {"type": "thinking", "thinking": [{"type": "text", "text": t}]})),
    st.tuples(
        st.just(False), st.sampled_from([{"type": "image_url", "image_url": "x"}, {"type": "reasoning", "text": "Hm."}, 5, None])
    ),
)


@given(st.lists(PART, max_size=6), st.sampled_from(["stop", "length"]))
def test_text_in_parts_is_the_text_in_one_piece_and_what_was_thought_is_none_of_it(parts, finish):
    said = "".join(p if isinstance(p, str) else _text(p["text"]) for is_text, p in parts if is_text)
    in_parts = read(answer({"role": "assistant", "content": [part for _, part in parts]}, finish))
    if parts and all(part in (5, None) for _, part in parts):
        assert in_parts is None  # of no known kind: whatever was said would be lost
        return
    in_one = read(answer({"role": "assistant", "content": said}, finish))
    assert in_parts == in_one and in_one.text == said.strip() and in_one.finish == finish


def _text(found):
    return found["value"] if isinstance(found, dict) else found


@given(WORDS, ANY, st.integers(0, 10**9), st.integers(0, 10**9))
def test_what_else_stands_in_an_answer_changes_no_reply(text, more, n_read, n_written):
    usage = {"prompt_tokens": n_read, "completion_tokens": n_written}
    plain = read(answer({"content": text}, "stop", usage))
    data = json.loads(answer({"content": text, "refusal": None, "tool_calls": more, "reasoning_content": "Hm."}, "stop", usage))
    data |= {"id": more, "system_fingerprint": more}
    data["choices"] += [{"message": {"content": "another"}}]
    assert read(json.dumps(data).encode()) == plain
    assert (plain.text, plain.n_prompt_tokens, plain.n_reply_tokens) == (text.strip(), n_read, n_written)


@given(WORDS.filter(str.strip), st.sampled_from([None, "", "I"]))
def test_a_refusal_is_data_wherever_it_stands(words, content):
    wanted = words.strip()
    for message in (
        {"content": content, "refusal": words},
        {"content": [{"type": "refusal", "refusal": words}], "refusal": None},
    ):
        reply = read(answer(message))
        assert (reply.text, reply.finish) == (wanted, "refused")
    assert read(answer({"content": words}, "content_filter")).finish == "refused"
