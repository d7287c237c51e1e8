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
from rise.play import chat_template
from rise.play.chat_template import Shape, shape_of
from rise.play.formats import apply_format
from rise.play.marks import Marks
from rise.play.pretrained import check_files, loading, options
from rise.play.prompt import with_system_in_question
from rise.trajectory import Message


class Renderer:
    """One tokenizer and its chat template.

    `chat_format` is a name in `rise.play.formats`, in place of whatever template the tokenizer came with; None keeps its own.
    Special tokens that somebody typed are text: only the template's own are marks.

    Raises `ModelError` at once if there is no template, no end-of-turn token, or no token that the format needs, and if the
    template leaves out what is said, or ends or opens a reply in a way that training could not repeat.
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
        self.shape: Shape = shape_of(tokenizer, name)
        self.end_id: int = tokenizer.convert_tokens_to_ids(self.shape.end)
        """The token that the template ends an assistant's turn with."""
        self.eos_ids = frozenset([tokenizer.eos_token_id, self.end_id])
        """Tokens that end a reply: the tokenizer's, the template's, and those of the model's generation settings (`add_ends`)."""

    @classmethod
    def load(cls, path: str | Path, *, chat_format: str | None = None, **kwargs: Any) -> Renderer:
        """The renderer of a directory or hub name. Raises `ModelError` where it holds none."""
        from transformers import AutoConfig, AutoTokenizer, GenerationConfig

        with loading(path, "tokenizer"):
            given = options(path) | kwargs
            tokenizer = AutoTokenizer.from_pretrained(str(path), **given)  # nosec B615 # a directory, or what its user names
        renderer = cls(tokenizer, chat_format=chat_format)
        for source in (GenerationConfig, AutoConfig):  # the second where there is none of the first, as a loaded model does
            with contextlib.suppress(OSError, ValueError, TypeError):
                settings = source.from_pretrained(str(path), **options(path))
                break
            if source is GenerationConfig and (Path(path) / "generation_config.json").is_file():
                check_files(Path(path), str(path))
        else:
            return renderer
        renderer.add_ends(settings)
        return renderer

    def add_ends(self, generation: Any) -> None:
        """Also end replies where a model's `generation_config` does. Raises `ModelError` where that is no token."""
        given = getattr(generation, "eos_token_id", None)
        ends = given if isinstance(given, list | tuple) else [] if given is None else [given]
        if any(isinstance(end, bool) or not isinstance(end, int) or end < 0 for end in ends):
            raise ModelError(
                f"{self.tokenizer.name_or_path}: eos_token_id = {given!r} in generation_config.json or config.json is no number "
                f"of a token, nor a list of such. Set it to the token that ends a turn: {self.end_id} ({self.shape.end})."
            )
        self.eos_ids |= frozenset(ends)
        self.__dict__.pop("_marks", None)

    @cached_property
    def fingerprint(self) -> str:
        """Content hash of vocabulary and chat template: where it is the same, so are token ids and what they mean."""
        parts = [sorted(self.tokenizer.get_vocab().items()), self.tokenizer.chat_template, sorted(self.eos_ids)]
        return hashlib.sha256(dumps(parts).encode()).hexdigest()[:12]

    @property
    def takes_system(self) -> bool:
        """Whether the template shows a system message at every turn: some refuse it, and some leave it out without a word, or
        from the second turn on."""
        return self._system is not None

    @cached_property
    def _system(self) -> str | None:
        """What a system message's content has to be: "text", "parts", or None where the template shows none."""
        talks = [self.shape.plain(chat_template.talk(turns)) for turns in (1, 2, 3)]
        for kind in ("text", "parts"):
            head = {"role": "system", "content": chat_template.content("Instructions.", parts=kind == "parts")}
            with contextlib.suppress(Exception):  # jinja raises whatever the template raises
                shown = [chat_template.apply(self.tokenizer, [head, *talk], opens=True) for talk in talks]
                if all("Instructions." in text and chat_template.QUESTION in text for text in shown):
                    return kind
        return None

    @cached_property
    def _marks(self) -> Marks:
        return Marks(self.tokenizer, self.eos_ids, self.shape.written)

    def prompt_ids(self, messages: Sequence[Message]) -> tuple[int, ...]:
        """The state with the opening of the assistant's turn. Raises `ModelError` if the template refuses a message."""
        return self._ids(self._rendered(self._hidden(messages), opens=True))

    def reply_ids(self, messages: Sequence[Message], reply: str) -> tuple[int, ...]:
        """The ids of a reply that another model wrote, end-of-turn token included.

        Taken from the whole rendered conversation where that extends the prompt exactly; where the template rewrites
        replies (dropping thinking, say), the reply's own words stand in their place.
        """
        *hidden, answer = self._hidden([*messages, Message("assistant", reply)])
        prompt = self._rendered(hidden, opens=True)
        whole = self._rendered([*hidden, answer], opens=False)
        said, (before, behind) = answer.content.strip(), self.shape.around
        if not (whole.startswith(prompt) and whole[len(prompt) :].lstrip().startswith(said)):
            whole = f"{prompt}{before}{said}{behind}{self.shape.end}"
        prompt_ids, ids = self._ids(prompt), self._ids(whole)
        if ids[: len(prompt_ids)] == prompt_ids:
            for end in range(len(prompt_ids), len(ids)):
                if ids[end] in self.eos_ids:
                    return ids[len(prompt_ids) : end + 1]
        return (*self._ids(said), self.end_id)

    def text(self, ids: Sequence[int]) -> str:
        """What a sampled reply says: special tokens left out, outer white space stripped."""
        return self.tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False).strip()

    def unknown(self, text: str) -> str:
        """The characters of a text that the tokenizer has no token for, each once; a model is shown one mark for all of them."""
        mark = self.tokenizer.unk_token_id
        if mark is None or mark not in self._ids(text):
            return ""
        return "".join(sorted({character for character in text if mark in self._ids(character)}))

    def _hidden(self, messages: Sequence[Message]) -> list[Message]:
        """The messages, with what was typed in them and reads like a mark put as a number."""
        return [Message(m.role, self._marks.hidden(m.content, reply=m.role == "assistant")) for m in messages]

    def _ids(self, rendered: str) -> tuple[int, ...]:
        if self._marks.are_in(rendered):
            return tuple(self._marks.ids_of(rendered))
        cut = self.tokenizer(rendered, add_special_tokens=False, split_special_tokens=False)  # marks are marks, whatever is saved
        return tuple(cut["input_ids"])

    def _rendered(self, messages: Sequence[Message], *, opens: bool) -> str:
        if messages[0].role == "system" and not self.takes_system:
            messages = with_system_in_question(messages)
        plain = self.shape.plain(messages)
        if plain[0]["role"] == "system":
            plain[0]["content"] = chat_template.content(messages[0].content, parts=self._system == "parts")
        try:
            text = chat_template.apply(self.tokenizer, plain, opens=opens)
        except Exception as error:
            way_out = ". It wants a system text: set state.instructions" if self.shape.wants_system else ""
            raise ModelError(
                f"the chat template of {self.tokenizer.name_or_path} refuses the conversation: {error}{way_out}"
            ) from error
        return text + self.shape.opening if opens else text
