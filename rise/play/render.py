"""Messages → token ids, for collection, training, evaluation and serving alike: the chat template is applied here only."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from rise.errors import ModelError
from rise.jsonl import dumps
from rise.play.formats import apply_format
from rise.play.prompt import with_system_in_question
from rise.trajectory import Message


class Renderer:
    """One tokenizer and its chat template.

    `chat_format` is a name in `rise.play.formats`, in place of whatever template the tokenizer came with; None keeps its own.
    Raises `ModelError` at once if there is no template, no end-of-turn token, or no token that the format needs.
    """

    def __init__(self, tokenizer: Any, *, chat_format: str | None = None) -> None:
        self.tokenizer = tokenizer
        name = getattr(tokenizer, "name_or_path", "") or "the tokenizer"
        if chat_format is not None:
            apply_format(tokenizer, chat_format)
        if not getattr(tokenizer, "chat_template", None):
            raise ModelError(
                f"{name} has no chat template, so its turns cannot be rendered. Take the -instruct variant, name the format "
                "the model was trained with (model.chat_format), or set `tokenizer.chat_template` and save the tokenizer."
            )
        if tokenizer.eos_token_id is None:
            raise ModelError(f"{name} has no end-of-sequence token, so a reply could never end. Set `eos_token` and save it.")
        self.eos_ids = frozenset([tokenizer.eos_token_id])
        """Tokens that end a reply: the tokenizer's, and those of the model's generation settings (`add_ends`)."""

    @classmethod
    def load(cls, path: str | Path, *, chat_format: str | None = None, **kwargs: Any) -> Renderer:
        from transformers import AutoConfig, AutoTokenizer, GenerationConfig

        try:
            renderer = cls(AutoTokenizer.from_pretrained(str(path), **kwargs), chat_format=chat_format)
        except (OSError, ValueError) as error:
            raise ModelError(f"{path}: no tokenizer can be loaded from there ({str(error).splitlines()[0]}).") from error
        for source in (GenerationConfig, AutoConfig):  # the second where there is none of the first, as a loaded model does
            with contextlib.suppress(OSError, ValueError):
                renderer.add_ends(source.from_pretrained(str(path)))
                break
        return renderer

    def add_ends(self, generation: Any) -> None:
        """Also end replies where a model's `generation_config` does."""
        ends = getattr(generation, "eos_token_id", None)
        self.eos_ids |= frozenset([ends] if isinstance(ends, int) else ends or [])

    @cached_property
    def fingerprint(self) -> str:
        """Content hash of vocabulary and chat template: where it is the same, so are token ids and what they mean."""
        parts = [sorted(self.tokenizer.get_vocab().items()), self.tokenizer.chat_template, sorted(self.eos_ids)]
        return hashlib.sha256(dumps(parts).encode()).hexdigest()[:12]

    @cached_property
    def takes_system(self) -> bool:
        """Whether the template shows a system message: some refuse it, and some leave it out without a word."""
        text = "Instructions."
        probe = [{"role": "system", "content": text}, {"role": "user", "content": "Question?"}]
        try:
            return text in self.tokenizer.apply_chat_template(probe, add_generation_prompt=True, tokenize=False)
        except Exception:  # jinja raises whatever the template raises
            return False

    def prompt_ids(self, messages: Sequence[Message]) -> tuple[int, ...]:
        """The state with the opening of the assistant's turn. Raises `ModelError` if the template refuses a message."""
        return tuple(self._apply(messages, add_generation_prompt=True))

    def reply_ids(self, messages: Sequence[Message], reply: str) -> tuple[int, ...]:
        """The ids of a reply that another model wrote, end-of-turn token included.

        Taken from the whole rendered conversation where that extends the prompt exactly; templates that rewrite
        replies (dropping thinking, say) fall back to the reply's own tokens and the end-of-sequence token.
        """
        prompt = self.prompt_ids(messages)
        whole = tuple(self._apply([*messages, Message("assistant", reply)], add_generation_prompt=False))
        if whole[: len(prompt)] == prompt:
            for end in range(len(prompt), len(whole)):
                if whole[end] in self.eos_ids:
                    ids = whole[len(prompt) : end + 1]
                    if self.text(ids) == reply.strip():
                        return ids
                    break
        return (*self.tokenizer(reply, add_special_tokens=False)["input_ids"], self.tokenizer.eos_token_id)

    def text(self, ids: Sequence[int]) -> str:
        """What a sampled reply says: special tokens left out, outer white space stripped."""
        return self.tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False).strip()

    def _apply(self, messages: Sequence[Message], *, add_generation_prompt: bool) -> list[int]:
        if messages[0].role == "system" and not self.takes_system:
            messages = with_system_in_question(messages)
        plain = [{"role": m.role, "content": m.content} for m in messages]
        try:
            return self.tokenizer.apply_chat_template(
                plain, add_generation_prompt=add_generation_prompt, tokenize=True, return_dict=False
            )
        except Exception as error:
            raise ModelError(f"the chat template of {self.tokenizer.name_or_path} refuses the conversation: {error}") from error
