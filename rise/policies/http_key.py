"""The key of an endpoint: read from the environment, sent in one header, taken out of every text that is shown."""

from __future__ import annotations

import base64
import html
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote, quote_plus

from rise.errors import PolicyError

HIDDEN = "[key]"
_SECRET = 6
"""Characters: shorter ones, such as "none" for a server that wants any, are no secret unless they stand by themselves."""


@dataclass(frozen=True, slots=True, repr=False)
class Key:
    """A key that can be sent. White space around it is left out: files of secrets end in a newline."""

    value: str = ""
    """Empty where there is none."""
    header: str = "Authorization"

    @classmethod
    def read(cls, variable: str, header: str = "Authorization") -> Key:
        """Raises `PolicyError`, naming the variable and not its value, for what no header can carry."""
        value = os.environ.get(variable, "").strip().strip("\ufeff\u200b").strip()
        if bad := next((i for i, character in enumerate(value) if not "!" <= character <= "~"), None):
            raise PolicyError(
                f"${variable} holds no key: character {bad + 1} of {len(value)} is white space, a control character or no ASCII, "
                "and cannot be sent in a header. Set it again, without line breaks or quotes of a word processor."
            )
        if value and not "!" <= value[0] <= "~":
            raise PolicyError(f"${variable} holds no key: its first character cannot be sent in a header. Set it again.")
        return cls(value, header)

    @property
    def headers(self) -> dict[str, str]:
        if not self.value:
            return {}
        return {self.header: f"Bearer {self.value}" if self.header.lower() == "authorization" else self.value}

    def hidden(self, text: str, most: int | None = None) -> str:
        """`text` without the key in any form a server may say it back in; then cut to `most` characters.

        A piece of it at either end, where a text was cut before, is taken out too.

        >>> Key("sk-secret+abc").hidden("no: 'sk-secret%2Babc', sk-secret")
        "no: '[key]', [key]"
        """
        if not self.value:
            return text[:most]
        if most is not None:
            text = text[: most + 4 * len(self.value) + 40]
        for form in self._forms():
            text = re.sub(re.escape(form), HIDDEN, text, flags=re.I) if len(form) >= _SECRET else _alone(form, text)
        for n in range(len(self.value) - 1, 7, -1):  # what an earlier cut, or a server that shortens, left of it
            text = text.replace(self.value[:n], HIDDEN).replace(self.value[-n:], HIDDEN)
        return text[:most]

    def _forms(self) -> Iterator[str]:
        key = self.value
        said = {key, quote(key), quote(key, safe=""), quote_plus(key), html.escape(key), json.dumps(key)[1:-1], repr(key)[1:-1]}
        said |= {key.replace("/", "\\/"), key[::-1]}
        if len(key) >= _SECRET:
            said |= {base64.b64encode(f"{before}{key}".encode()).decode().rstrip("=") for before in ("", "Bearer ")}
            said |= {key.encode().hex()}
        yield from sorted(said, key=len, reverse=True)


def _alone(form: str, text: str) -> str:
    return re.sub(rf"(?<![\w-]){re.escape(form)}(?![\w-])", HIDDEN, text)
