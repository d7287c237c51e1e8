"""Only the template writes marks. A mark that somebody typed, in a question or a reply, is cut into tokens as the text it is."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

from rise.errors import ModelError

OPEN, CLOSE = "\ufdd0", "\ufdd1"
"""Around the number of a typed mark while the template is applied: code points that Unicode keeps out of every text."""


class Marks:
    """The marks of one tokenizer: its special tokens, those that end a reply, and, in questions, all the template writes."""

    def __init__(self, tokenizer: Any, ends: Iterable[int] = (), written: Iterable[str] = ()) -> None:
        """`written` are tokens that open and close turns though the tokenizer does not call them special."""
        self.tokenizer = tokenizer
        added = tokenizer.get_added_vocab()
        # An end that is an ordinary word is left alone: no text could be written without it.
        ended = [token for token in tokenizer.convert_ids_to_tokens(sorted(ends)) if token in added]
        replied = [token for token in dict.fromkeys([*_special(tokenizer), *ended]) if token and not token.isspace()]
        self.ids = {token: tokenizer.convert_tokens_to_ids(token) for token in dict.fromkeys([*replied, *written])}
        self._numbered = list(self.ids)
        self._marks = _any(self.ids)
        # A token outside the reply's (`<think>`, often) may be part of one, and is the same token there.
        self._typed = {True: _any([OPEN, *replied]), False: _any([OPEN, *self.ids])}

    def hidden(self, text: str, *, reply: bool) -> str:
        """A message in which each mark is a number, for the template to be applied to."""
        numbers = {OPEN: -1, **{token: n for n, token in enumerate(self._numbered)}}
        return self._typed[reply].sub(lambda found: f"{OPEN}{numbers[found[0]]}{CLOSE}", text)

    def ids_of(self, rendered: str) -> list[int]:
        """Token ids of what a template made of hidden messages. Raises `ModelError` where the tokenizer takes text for a mark."""
        marks = self._marks.findall(rendered)
        pieces = [self._shown(piece) for piece in self._marks.split(rendered)]
        core = self._apart
        if core is not None:
            parts = [pieces[0], *(self._name(mark) + piece for mark, piece in zip(marks, pieces[1:], strict=True))]
            ids = core.encode("".join(parts), add_special_tokens=False).ids
        else:  # no fast tokenizer: it cuts what stands between marks piece by piece anyway
            ids = self._text_ids(pieces[0])
            for mark, piece in zip(marks, pieces[1:], strict=True):
                ids += [self.ids[mark], *self._text_ids(piece)]
        unknown = self.tokenizer.unk_token_id
        known = {*self.ids.values()} - {unknown}
        if [i for i in ids if i in known] != [self.ids[mark] for mark in marks if self.ids[mark] != unknown]:
            raise ModelError(
                f"{self.tokenizer.name_or_path}: its tokenizer cannot tell a special token that was typed in a question or a "
                f"reply from one of the chat template: …{''.join(pieces)[-200:]!r}. Leave that problem out, or take a model "
                "with a fast tokenizer (tokenizer.json)."
            )
        return ids

    @staticmethod
    def are_in(rendered: str) -> bool:
        """Whether a mark was hidden in it: everything else is cut into tokens as ever."""
        return OPEN in rendered

    def _shown(self, text: str) -> str:
        return re.sub(f"{OPEN}(-?[0-9]+){CLOSE}", lambda found: OPEN if found[1] == "-1" else self._numbered[int(found[1])], text)

    def _text_ids(self, text: str) -> list[int]:
        if not text:
            return []
        return list(self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"])

    @cached_property
    def _secret(self) -> str:
        """Part of the marks' other names, so that nobody can type one."""
        return secrets.token_hex(8)

    def _name(self, mark: str) -> str:
        return f"\ufdd2{self._secret}{self.ids[mark]}\ufdd3"

    @cached_property
    def _apart(self) -> Any:
        """The tokenizer with every mark under another name, so that the text of a mark is text to it; None where it has no
        description that could be changed."""
        from tokenizers import Tokenizer

        backend = getattr(self.tokenizer, "backend_tokenizer", None)
        if not isinstance(backend, Tokenizer):
            return None
        described = json.loads(backend.to_str())
        described |= {"post_processor": None, "decoder": None, "truncation": None, "padding": None}
        names = {mark: self._name(mark) for mark in self.ids}
        for added in described["added_tokens"]:
            added["content"] = names.get(added["content"], added["content"])
        _rename(described["model"], names)
        return Tokenizer.from_str(json.dumps(described))


def _special(tokenizer: Any) -> list[str]:
    added = [token.content for token in tokenizer.added_tokens_decoder.values() if token.special]
    every = dict.fromkeys([*map(str, tokenizer.all_special_tokens), *added])
    # Bytes are what unknown letters are written with, whatever a tokenizer calls them.
    return [token for token in every if not re.fullmatch("<0x[0-9A-F]{2}>", token)]


def _any(tokens: Iterable[str]) -> re.Pattern[str]:
    """The longest first, since one mark may begin as another does."""
    return re.compile("|".join(map(re.escape, sorted(tokens, key=lambda token: (-len(token), token)))) or "(?!)")


def _rename(model: dict[str, Any], names: dict[str, str]) -> None:
    """Give tokens other names in the vocabulary of a tokenizer's description."""
    vocabulary = model["vocab"]
    if isinstance(vocabulary, dict):
        model["vocab"] = {names.get(token, token): number for token, number in vocabulary.items()}
    else:  # unigram: pairs of piece and score
        model["vocab"] = [[names.get(token, token), score] for token, score in vocabulary]
    if model.get("unk_token") in names:
        model["unk_token"] = names[model["unk_token"]]
    if "merges" in model:
        model["merges"] = [pair for pair in model["merges"] if not _touches(pair, names)]


def _touches(pair: str | Sequence[str], names: dict[str, str]) -> bool:
    """Whether a merge takes or makes one of the tokens."""
    left, right = pair.split(" ", 1) if isinstance(pair, str) else pair
    return left in names or right in names or left + right in names
