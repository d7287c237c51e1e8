"""Chat formats by name: how a family of models was taught to read a conversation, as its makers published it.

The templates beside this file are our own. They are for models whose tokenizer has none, or another than it was trained
with. The renderer applies them (`rise/play/render.py`); nothing else knows that there are several.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from typing import Any

from rise.errors import ConfigError, ModelError, did_you_mean


@dataclass(frozen=True, slots=True)
class Format:
    """One family's way of writing a conversation down."""

    name: str
    end: str
    """The token that ends an assistant's turn; a reply ends where it is sampled."""
    marks: tuple[str, ...]
    """Tokens the family's tokenizer has for it. Without them the template would be spelt out in ordinary letters."""

    @property
    def template(self) -> str:
        """The Jinja template, as `tokenizer.chat_template` takes it."""
        return resources.files(__name__).joinpath(f"{self.name}.jinja").read_text(encoding="utf-8")


FORMATS = {
    f.name: f
    for f in (
        Format("chatml", "<|im_end|>", ("<|im_start|>", "<|im_end|>")),
        Format("llama-2", "</s>", ("<s>", "</s>")),
        Format("llama-3", "<|eot_id|>", ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")),
        Format("mistral", "</s>", ("<s>", "</s>")),
    )
}
"""What `model.chat_format` may be."""


def find_format(name: str) -> Format:
    """Raises `ConfigError` with the nearest name where there is none of that name."""
    if name not in FORMATS:
        raise ConfigError(f'model.chat_format = "{name}" is no format. {did_you_mean(name, FORMATS)}')
    return FORMATS[name]


def apply_format(tokenizer: Any, name: str) -> None:
    """Give a tokenizer the template and the end of turn of a format; both are saved with it.

    Raises `ModelError` where its vocabulary lacks one of the format's marks.
    """
    chosen = find_format(name)
    vocabulary = tokenizer.get_vocab()
    lacking = [mark for mark in chosen.marks if mark not in vocabulary]
    if lacking:
        raise ModelError(
            f'model.chat_format = "{name}" needs the token{"s" if len(lacking) > 1 else ""} {", ".join(lacking)}, which '
            f"{getattr(tokenizer, 'name_or_path', '') or 'the tokenizer'} has not. Take the format of its own family, or add "
            "the tokens to tokenizer and model first."
        )
    instruction = "[INST]"
    if instruction in chosen.template and instruction in vocabulary:
        raise ModelError(
            f'model.chat_format = "{name}" spells {instruction} out in letters, but {getattr(tokenizer, "name_or_path", "")} has '
            "a token for it and was trained with that (Mistral v0.3 and later). Leave model.chat_format out: its own template."
        )
    template = chosen.template
    if instruction in template and _puts_space(tokenizer, chosen.marks[0], instruction):
        template = template.replace(f" {instruction}", instruction)
    tokenizer.chat_template = template
    if tokenizer.eos_token != chosen.end:
        tokenizer.eos_token = chosen.end


def _puts_space(tokenizer: Any, mark: str, word: str) -> bool:
    """Whether the tokenizer puts the space before the first word behind a mark by itself, as the makers' did: one is enough.

    Tokenizers of one vocabulary differ in it by the file and the version that they were read from.
    """
    ids = tokenizer(f"{mark}{word}", add_special_tokens=False)["input_ids"]
    spaced = tokenizer(f"{mark} {word}", add_special_tokens=False)["input_ids"]
    first = "".join(tokenizer.convert_ids_to_tokens(ids)[1:])
    return ids != spaced and first.startswith("▁")
