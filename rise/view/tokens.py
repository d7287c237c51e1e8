"""Token ids back into text, token by token, with the tokenizer of the run's own checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path


class Tokens:
    """The tokenizer that turns ids back into text, looked for only when an example is shown."""

    def __init__(self, path: Path, name: str | None = None) -> None:
        """`path`: the file of examples. `name`: a tokenizer, in place of the one in the nearest checkpoint."""
        self.path = path
        self.name = name
        self.trouble = ""
        self._decode_ids: Callable[[list[int]], str] | None = None
        self._looked = False
        self._decode = lru_cache(maxsize=65536)(self._decode_now)  # states of one problem share most of their windows

    def pieces(self, *id_lists: Sequence[int]) -> list[list[str]] | None:
        """Text of every token; None without ids or without a tokenizer, and then `trouble` says why."""
        if not all(id_lists):
            self.trouble = "This example carries no token ids; colours mark text."
            return None
        if not self._looked:
            self._looked = True
            self._decode_ids = self._load()
        return None if self._decode_ids is None else [self._split(tuple(ids)) for ids in id_lists]

    def _load(self) -> Callable[[list[int]], str] | None:
        from rise.errors import ModelError
        from rise.play.pretrained import options

        beside = self.path.resolve().parent
        places = [beside / "checkpoint", *sorted(beside.parent.glob("*/checkpoint"))]
        # Of a run's own checkpoint this file alone, which is read as data: transformers follows what the others name.
        found = [place / "tokenizer.json" for place in places if (place / "tokenizer.json").is_file()]
        if not (self.name or found):
            self.trouble = (
                "No checkpoint beside this file, or none with a tokenizer.json, so colours mark text, not tokens. "
                "--tokenizer names one."
            )
            return None
        try:
            if not self.name:
                from tokenizers import Tokenizer

                plain = Tokenizer.from_file(str(found[0]))
                return lambda ids: plain.decode(ids, skip_special_tokens=False)
            from transformers import AutoTokenizer

            given = options(self.name) | {"trust_remote_code": False}
            whole = AutoTokenizer.from_pretrained(self.name, **given)  # nosec B615 # the user's --tokenizer
            return lambda ids: whole.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        except (ModelError, KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # tokenizers raises bare Exception for a file that is none, or panics
            if self.name:
                raise ModelError(f"{self.name}: no tokenizer can be loaded from there ({str(error).splitlines()[0]}).") from error
            self.trouble = f"The tokenizer of the checkpoint cannot be loaded ({type(error).__name__}); colours mark text."
            return None

    def _split(self, ids: tuple[int, ...], n_before: int = 6) -> list[str]:
        """Each token's own text. Decoded behind its neighbours, since many tokenizers drop a leading space on a lone token."""
        out = []
        for i in range(len(ids)):
            start = max(0, i - n_before)
            before, whole = self._decode(ids[start:i]), self._decode(ids[start : i + 1])
            piece = whole[len(before) :] if before and whole.startswith(before) else self._decode(ids[i : i + 1])
            out.append(piece or f"⟨{ids[i]}⟩")
        return out

    def _decode_now(self, ids: tuple[int, ...]) -> str:
        return self._decode_ids(list(ids)) if ids and self._decode_ids else ""
