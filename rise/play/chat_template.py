"""A tokenizer's chat template applied to messages, and what can be known of it: it is tried once on a conversation of its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import product
from typing import Any

from rise.errors import ModelError
from rise.trajectory import Message

TODAY = datetime(2024, 7, 26)
"""The day on which every template is applied, for some show it: with the clock's, a run continued after midnight would show
other prompts, and ask everything again. It is the one that Llama 3.1's own template falls back on."""

SYSTEM, QUESTION, ANSWER, FEEDBACK = "rise-system", "rise-question", "rise-answer", "rise-feedback"
"""A conversation of words that no template holds."""


def apply(tokenizer: Any, messages: Sequence[dict[str, Any]], *, opens: bool) -> str:
    """The text of a conversation, with the assistant's turn opened or not. Raises whatever the template raises."""
    from transformers.utils.chat_template_utils import _compile_jinja_template

    # Not by `apply_chat_template`: from transformers 5.2x on it hands a template nothing that can be called.
    template = _compile_jinja_template(tokenizer.get_chat_template())
    return template.render(
        messages=messages,
        tools=None,
        documents=None,
        add_generation_prompt=opens,
        strftime_now=TODAY.strftime,
        **tokenizer.special_tokens_map,
    )


def talk(turns: int) -> list[Message]:
    """What is asked at a turn of that conversation.

    >>> [m.content for m in talk(2)]
    ['rise-question', 'rise-answer', 'rise-feedback']
    """
    again = [Message("assistant", ANSWER), Message("user", FEEDBACK)]
    return [Message("user", QUESTION), *again * (turns - 1)]


@dataclass(frozen=True, slots=True)
class Shape:
    """How a template writes a conversation down."""

    parts: frozenset[str]
    """Roles whose content it wants as parts, `[{"type": "text", "text": …}]`, and leaves out as a string."""
    opening: str
    """What stands before every reply though the template does not write it when it is asked to open a turn."""
    around: tuple[str, str]
    """White space that stands before a reply and behind it: Llama-2 writes " 5 "."""
    end: str
    """The token that ends an assistant's turn."""
    written: tuple[str, ...]
    """Tokens around questions and replies: nobody else may write them."""
    wants_system: bool
    """Whether it refuses a conversation without a system text."""

    def plain(self, messages: Iterable[Message]) -> list[dict[str, Any]]:
        """Messages as the template wants them."""
        return [{"role": m.role, "content": content(m.content, parts=m.role in self.parts)} for m in messages]


def content(text: str, *, parts: bool) -> str | list[dict[str, str]]:
    """A message's text as a template takes it."""
    return [{"type": "text", "text": text}] if parts else text


def shape_of(tokenizer: Any, name: str) -> Shape:
    """Try the tokenizer's template on a question, an answer and feedback.

    Raises `ModelError` where it refuses them or leaves one out, then or some turns later, where an answer ends in no token, and
    where it opens a turn in another way than it shows one.
    """
    talk, parts, led = _talk(tokenizer, name)
    asked = [*_lead(led, parts="user" in parts), {"role": "user", "content": content(QUESTION, parts="user" in parts)}]
    before, rest = talk.split(ANSWER, 1)
    between = rest.split(FEEDBACK, 1)[0]
    tokens = sorted({*tokenizer.get_added_vocab(), *map(str, tokenizer.all_special_tokens)} - {""}, key=lambda t: -len(t))
    end = next((token for token in tokens if between.lstrip().startswith(token)), None)
    if end is None:
        raise ModelError(
            f"the chat template of {name} writes {between[:40]!r} behind a reply, which begins with none of its tokens, so no "
            f"reply would end where the template ends it (the tokenizer's end is {tokenizer.eos_token}). Take the template of "
            "the model's family (model.chat_format), or mend it and save the tokenizer."
        )
    opened = apply(tokenizer, asked, opens=True)
    opening = _opening(opened, before, name)
    space = before.removeprefix(opened + opening)
    around = ("" if space.strip() else space, between[: between.index(end)])
    written = tuple(token for token in tokens if not token.isspace() and token in before + between)
    shape = Shape(parts, opening, around, end, written, led)
    _check_long(tokenizer, shape, name)
    return shape


def _check_long(tokenizer: Any, shape: Shape, name: str) -> None:
    """Some templates show the last few messages only: a question that is gone at turn 4 cannot be answered there."""
    turns = 6
    messages = [*_lead(shape.wants_system, parts="user" in shape.parts), *shape.plain(talk(turns))]
    try:
        text = apply(tokenizer, messages, opens=True)
    except Exception as error:  # jinja raises whatever the template raises
        raise ModelError(f"the chat template of {name} refuses a conversation of {turns} turns: {error}") from error
    if any(text.count(word) < wanted for word, wanted in ((QUESTION, 1), (ANSWER, turns - 1), (FEEDBACK, turns - 1))):
        raise ModelError(
            f"the chat template of {name} leaves out what is said: at turn {turns} not every question, answer and feedback is in "
            "the prompt. Take the template of the model's family (model.chat_format), or mend it and save the tokenizer."
        )


def _lead(led: bool, *, parts: bool) -> list[dict[str, Any]]:
    return [{"role": "system", "content": content(SYSTEM, parts=parts)}] if led else []


def _talk(tokenizer: Any, name: str) -> tuple[str, frozenset[str], bool]:
    """A conversation with all its words in it, the roles whose content had to be parts, and whether it wants a system text."""
    refused: Exception | None = None
    for led, user, assistant in product((False, True), repeat=3):
        if led and refused is None:
            break
        messages = [
            *_lead(led, parts=user),
            {"role": "user", "content": content(QUESTION, parts=user)},
            {"role": "assistant", "content": content(ANSWER, parts=assistant)},
            {"role": "user", "content": content(FEEDBACK, parts=user)},
        ]
        try:
            text = apply(tokenizer, messages, opens=True)
        except Exception as error:  # jinja raises whatever the template raises
            if not (led or user or assistant):
                refused = error
            continue
        places = [text.find(word) for word in (QUESTION, ANSWER, FEEDBACK)]
        if -1 not in places and places == sorted(places):
            return text, frozenset(role for role, given in (("user", user), ("assistant", assistant)) if given), led
    if refused is not None:
        raise ModelError(f"the chat template of {name} refuses the conversation: {refused}") from refused
    raise ModelError(
        f"the chat template of {name} leaves out what is said: of a question, an answer and feedback not all are in the prompt. "
        "Take the template of the model's family (model.chat_format), or mend it and save the tokenizer."
    )


def _opening(opened: str, shown: str, name: str) -> str:
    """What stands between a prompt and the reply in a conversation. White space is the reply's own: Llama-2 writes " 5"."""
    if opened.startswith(shown) or opened.rstrip() == shown.rstrip():  # a prompt may open more, such as <think>
        return ""
    if shown.startswith(opened):
        return shown[len(opened) :].rstrip(" ")
    raise ModelError(
        f"the chat template of {name} opens a reply with {opened[-40:]!r} and shows one behind {shown[-40:]!r}, so a trained "
        "reply would not be what later turns show. Take the template of the model's family (model.chat_format), or mend it."
    )
