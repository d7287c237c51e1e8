"""A file that will be sent, and the look at everything before anything is."""

from __future__ import annotations

import getpass
import hashlib
import json
import os
import re
import socket
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rise.errors import ConfigError
from rise.recipe.endpoints import key_in

_SECRET_NAME = re.compile(r"key|token|secret|passw|credential", re.IGNORECASE)
_COMMON = {"root", "user", "admin", "ubuntu", "runner", "localhost", "test", "home"}
"""Names of accounts and machines that are words, and tell nothing."""
LEAST = 4
"""Characters of a name or path that is looked for: shorter ones occur by chance."""


@dataclass(frozen=True, slots=True)
class Sent:
    """One file as it will lie in the repository."""

    path: str
    """There, with slashes."""
    data: bytes | Path
    """What it holds, or a file here that is sent as it is: weights."""
    text: str | None = None
    """What it says, for the look before it is sent; None for weights, which say nothing."""
    ours: bool = True
    """Whether rise wrote the words. What people and models wrote may hold a word that is also somebody's name."""

    @property
    def size(self) -> int:
        """Unit: bytes."""
        return len(self.data) if isinstance(self.data, bytes) else self.data.stat().st_size

    @property
    def sha256(self) -> str:
        if isinstance(self.data, bytes):
            return hashlib.sha256(self.data).hexdigest()
        with self.data.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


def text_file(path: str, text: str, *, ours: bool = True) -> Sent:
    """A text as a file."""
    return Sent(path, text.encode(), text, ours)


def check_public(files: Sequence[Sent], places: Iterable[Path] = ()) -> None:
    """Raise `ConfigError` where a file holds a key, a path of this machine (`places` among them), its name or its user's."""
    troubles = [f"{file.path}: {what}" for file in files for what in _found(file, list(places))]
    if troubles:
        shown = "\n  ".join(troubles[:10])
        raise ConfigError(
            f"nothing was sent, since it would tell others what is this machine's own:\n  {shown}\n"
            "Take it out of the recipe or the data (what a recipe says is in its checkpoints too), and push again."
        )


def _found(file: Sent, places: Sequence[Path]) -> Iterator[str]:
    """What in a file is nobody else's, in words and without the secret itself."""
    text = file.text
    if text is None:
        return
    for name, value in os.environ.items():
        if _SECRET_NAME.search(name) and len(value) >= 8 and any(form in text for form in _written(value)):
            yield f"the value of the environment variable {name}"
    if (start := key_in(text)) is not None:
        yield f"what looks like a key ({start})"
    for path in dict.fromkeys(str(place) for place in (Path.home(), Path.cwd(), *places)):
        if len(path) > LEAST and any(re.search(re.escape(form) + r"(?![\w-])", text) for form in _written(path)):
            yield f"a path of this machine ({path})"
    if file.ours:
        for what, name in (("the name of this machine", socket.gethostname()), ("your user name", _user())):
            if len(name) >= LEAST and name.lower() not in _COMMON and re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text):
                yield f"{what} ({name})"


def _written(value: str) -> set[str]:
    """How a text may stand in a file: as it is, or with the escapes of JSON and TOML."""
    return {value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]}


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user without a name, as in some containers
        return ""
