"""Reading other people's models and tokenizers: what is asked of the hub, whose code may run, what goes wrong, in a sentence."""

from __future__ import annotations

import json
import os
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from rise.errors import ModelError

ALLOWS_CODE = "RISE_TRUST_REMOTE_CODE"
"""Environment variable: 1 lets a model's own Python code run. Not a setting, since a recipe may be a stranger's."""
HUB_TIMEOUT_S = 5.0
"""How long the hub may take to answer whether it has a model."""
POINTER = b"version https://git-lfs"
"""How a file begins that Git LFS left in place of a large one."""


def trusts_code() -> bool:
    """Whether the user lets code run that came with a model, or that a checkpoint's card names."""
    return os.environ.get(ALLOWS_CODE, "").lower() in ("1", "true", "yes")


def options(path: str | Path) -> dict[str, Any]:
    """What every `from_pretrained` is given: no code of the model's own, and no second look at a hub that does not answer.

    Raises `ModelError` at once where there is neither a directory nor a model of the hub.
    """
    offline = not Path(path).is_dir() and find(str(path))
    return {"trust_remote_code": trusts_code()} | ({"local_files_only": True} if offline else {})


HUB_NAMES = "a model of the hub has its owner before its name, as openai-community/gpt2 has"


def may_be_on_the_hub(name: str) -> bool:
    """Whether a name has the form that names of the hub have.

    >>> [may_be_on_the_hub(name) for name in ("owner/name", "my-model", "models/m/checkpoint", "./m")]
    [True, False, False, False]
    """
    return re.fullmatch(r"[A-Za-z0-9][\w-]*/[\w][\w.-]*", name) is not None


def is_cached(name: str) -> bool:
    """Whether a model of the hub was fetched to this machine before."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        return isinstance(try_to_load_from_cache(name, "config.json"), str)
    except HFValidationError:
        return False


@lru_cache
def find(name: str) -> bool:
    """Look for a model that is no directory here, once: True where what was fetched before has to do.

    Raises `ModelError` where the hub does not know it, or does not answer and it was never fetched.
    """
    import httpx
    from huggingface_hub import constants

    nowhere = f"{name}: no model can be loaded from there: there is no such directory ({Path(name).absolute()})"
    if is_cached(name) and constants.HF_HUB_OFFLINE:
        return True
    if not (is_cached(name) or may_be_on_the_hub(name)):
        raise ModelError(f"{nowhere}. Mend the path; {HUB_NAMES}.")
    if constants.HF_HUB_OFFLINE:
        raise ModelError(f"{nowhere}, and the hub may not be asked (HF_HUB_OFFLINE). Mend the path, or unset the variable.")
    try:
        url = f"{constants.ENDPOINT}/{name}/resolve/main/config.json"
        answer = httpx.head(url, timeout=HUB_TIMEOUT_S, headers=_login(), follow_redirects=False)
    except Exception as error:  # no network, no such host, a proxy that is none
        if is_cached(name):
            return True
        raise ModelError(
            f"{nowhere}, and the hub ({constants.ENDPOINT}) cannot be asked for a model of that name: "
            f"{str(error) or type(error).__name__}. Mend the path, or try again when there is a network."
        ) from error
    if answer.status_code in (401, 403, 404) and not is_cached(name):
        raise ModelError(
            f"{nowhere}, and the hub has no model of that name that could be read (status {answer.status_code}). Mend the "
            "path or the name; for one with an access list, set HF_TOKEN."
        )
    return answer.status_code >= 500 and is_cached(name)


def _login() -> dict[str, str]:
    from huggingface_hub import get_token

    token = get_token()
    return {"Authorization": f"Bearer {token.strip()}"} if token else {}


@contextmanager
def loading(path: str | Path, what: str) -> Iterator[None]:
    """Say in one `ModelError` why `what` (a model, a tokenizer) cannot be read from `path`, whatever the reader raised."""
    try:
        yield
    except ModelError:
        raise
    except MemoryError:
        raise
    except Exception as error:
        if type(error).__name__ == "OutOfMemoryError":
            raise
        raise ModelError(_trouble(path, what, error)) from error


def _trouble(path: str | Path, what: str, error: Exception) -> str:
    if Path(path).is_dir():
        try:
            check_files(Path(path), str(path))
        except ModelError as found:
            return str(found)
    said = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    if "trust_remote_code" in str(error):
        return (
            f"{path}: its {what} needs Python code that comes with it, and code of other people is not run unasked. Read it; "
            f"then set {ALLOWS_CODE}=1 in the environment, or take a model that transformers knows."
        )
    if isinstance(error, ImportError):
        return f"{path}: its {what} needs a package that is not installed ({said})."
    return (
        f"{path}: no {what} can be loaded from there ({said}). "
        "Give a directory with config.json and safetensors, or a hub name while online."
    )


def _remedy(where: Path) -> str:
    """What to do about a damaged file of a model directory."""
    if (where / "rise.json").exists():
        return f"It is a checkpoint of rise: remove {where}, and the command that made it (rise run on the run) makes it again."
    return "Fetch it again."


def check_files(where: Path, named: str) -> None:
    """Raise `ModelError` for files of a model directory that are not what their names say: pointers, or cut short.

    Reads the first bytes of each and the lengths only, so that it costs nothing before a run.
    """
    for file in sorted(path for path in where.iterdir() if path.is_file()):
        if file.suffix not in (".safetensors", ".bin", ".gguf", ".model", ".json"):
            continue
        with file.open("rb") as handle:
            head = handle.read(len(POINTER))
        if head == POINTER:
            raise ModelError(
                f"{named}: {file.name} is a pointer of Git LFS, not the file itself. Fetch it: `git lfs pull` in that directory."
            )
        if file.suffix == ".safetensors":
            _check_safetensors(file, named)
    for index in where.glob("*.safetensors.index.json"):
        try:
            wanted = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        except (ValueError, KeyError, AttributeError, UnicodeDecodeError) as error:
            raise ModelError(f"{named}: {index.name} is no index of weights. {_remedy(where)}") from error
        lacking = sorted(name for name in wanted if not (where / name).exists())
        if lacking:
            some = f"{len(lacking)} of {len(wanted)} weight files are missing, such as {lacking[0]}"
            raise ModelError(f"{named}: {some}. Fetch them.")


def _check_safetensors(file: Path, named: str) -> None:
    """The header of a safetensors file says how long the file is."""
    size = file.stat().st_size
    try:
        with file.open("rb") as handle:
            (length,) = struct.unpack("<Q", handle.read(8))
            if length > size:
                raise ValueError(length)
            header = json.loads(handle.read(length))
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        wanted = 8 + length + max(ends, default=0)
    except (struct.error, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{named}: {file.name} ({size:,} bytes) is no safetensors file. {_remedy(file.parent)}") from error
    if size < wanted:
        raise ModelError(f"{named}: {file.name} has {size:,} of {wanted:,} bytes: it was cut short. {_remedy(file.parent)}")
