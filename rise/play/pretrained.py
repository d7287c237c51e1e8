"""Reading other people's models and tokenizers: what is asked of the hub, whose code may run, what goes wrong, in a sentence."""

from __future__ import annotations

import contextlib
import json
import os
import re
import struct
import zipfile
from collections.abc import Iterator
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


def check_no_file(path: str, named: str) -> None:
    """Raise `ModelError` for one file of a model in place of its folder."""
    if Path(path).is_file():
        gguf = f', and set model.gguf_file = "{Path(path).name}"' if path.endswith(".gguf") else ""
        raise ModelError(
            f"{named} is a file, and a model is read from the folder with all its files: give {Path(path).parent}{gguf}."
        )


@lru_cache
def find(name: str) -> bool:
    """Look for a model that is no directory here, once: True where what was fetched before has to do.

    Raises `ModelError` where the hub does not know it, or does not answer and it was never fetched.
    """
    import httpx
    from huggingface_hub import constants

    check_no_file(name, name)
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


@contextlib.contextmanager
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
    said = _said(error)
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


def _said(error: Exception) -> str:
    """The first sentence of what a reader raised."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    if isinstance(error, KeyError):
        return f"a field is missing: {lines[0]}"
    if "ignore_mismatched_sizes" in lines[0]:
        return "its weights have other shapes than its config.json says, so one of the two is another model's"
    if "weights_only" in str(error):
        return "its .bin file holds more than weights, and what it holds could run code: take safetensors"
    return " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]


def _remedy(where: Path) -> str:
    """What to do about a damaged file of a model directory."""
    if (where / "rise.json").exists():
        return f"It is a checkpoint of rise: remove {where}, and the command that made it (rise run on the run) makes it again."
    return "Fetch it again."


def check_files(where: Path, named: str) -> None:
    """Raise `ModelError` for files of a model directory that are not what their names say: pointers, or cut short.

    Of weights it reads the first bytes and the lengths only, so that it costs nothing before a run.
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
        if file.suffix == ".bin" and head.startswith(b"PK") and not zipfile.is_zipfile(file):
            raise ModelError(f"{named}: {file.name} ({file.stat().st_size:,} bytes) was cut short. {_remedy(file.parent)}")
        if file.suffix == ".safetensors":
            _check_safetensors(file, named)
        elif file.name in _DESCRIPTIONS:
            _check_description(file, named)
    _check_weights(where, named)
    check_formats(where, named)


def folder_of(path: str | Path) -> Path | None:
    """Where the files of a directory or of a fetched model of the hub lie; None where nobody can tell."""
    if Path(path).is_dir():
        return Path(path)
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(str(path), "config.json")
    except HFValidationError:
        return None
    return Path(found).parent if isinstance(found, str) else None


def check_formats(where: Path, named: str) -> None:
    """Raise `ModelError` where weights are stored in eight bits or fewer, or as whole numbers, and the config says nothing of it:
    transformers would read them as they stand, without their scales."""
    config = where / "config.json"
    with contextlib.suppress(ValueError, OSError, TypeError):
        if {"quantization_config", "compression_config"} & {k for k, v in json.loads(config.read_bytes()).items() if v}:
            return
    for file in sorted(where.glob("model*.safetensors")):
        header: dict[str, Any] = {}
        with contextlib.suppress(ValueError, OSError, struct.error):  # `check_files` says what it is
            header = _header(file)
        for name, entry in header.items():
            kind = str(entry.get("dtype", "")) if name != "__metadata__" else ""
            if kind.startswith(("F8", "F6", "F4")) or (kind.startswith(("I", "U")) and name.endswith("weight")):
                raise ModelError(
                    f"{named}: {file.name} holds {name} as {kind}, which is quantised, but config.json has no "
                    "quantization_config that says how. Fetch the config.json that belongs to these weights, or take the model's "
                    "plain weights."
                )


WHOLE = ("model.safetensors", "pytorch_model.bin")
"""The names that weights in one file go by; in several, an index has `.index.json` behind it. The first that is there is read."""
_DESCRIPTIONS = (
    *("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"),
    *("special_tokens_map.json", "added_tokens.json"),
)


def _check_description(file: Path, named: str) -> None:
    """A file that describes the model or its tokenizer is one JSON object."""
    try:
        if isinstance(json.loads(file.read_bytes().decode()), dict):
            return
        why = "it holds no object"
    except ValueError as error:
        why = str(error)
    raise ModelError(f"{named}: {file.name} is no JSON file in UTF-8 ({why}). {_remedy(file.parent)}")


def _check_weights(where: Path, named: str) -> None:
    """The file of weights, or all the files that their index names, are there."""
    for name in WHOLE:
        file, index = where / name, where / f"{name}.index.json"
        if file.is_file():
            if not file.stat().st_size:
                raise ModelError(f"{named}: {name} is empty. {_remedy(where)}")
            return
        if not index.is_file():
            continue
        try:
            wanted = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise ModelError(f"{named}: {index.name} is no index of weights. {_remedy(where)}") from error
        lacking = sorted(name for name in wanted if not (where / name).exists())
        if lacking:
            some = f"{len(lacking)} of {len(wanted)} weight files are missing, such as {lacking[0]}"
            raise ModelError(f"{named}: {some}. Fetch them.")
        return
    if (where / "config.json").exists() and not any(where.glob("*.gguf")):
        raise ModelError(f"{named} holds no weights that a model is read from ({' or '.join(WHOLE)}).{_other_weights(where)}")


def _other_weights(where: Path) -> str:
    """What a directory holds in place of a model's weights, as the end of a message."""
    for link in (where / name for name in WHOLE):
        if link.is_symlink():
            return f" {link.name} is a link to {os.readlink(link)}, which is not there. Fetch it again."
    if (where / "adapter_config.json").exists():
        return f" {ADAPTERS}"
    pieces = sorted(file.name for pattern in ("*.safetensors", "*.bin") for file in where.glob(pattern))
    if any(re.search(r"-\d+-of-\d+\.", name) for name in pieces):
        return " It holds pieces of some without their index (model.safetensors.index.json). Fetch that too."
    return f" It holds {', '.join(pieces[:3])}: save the model by save_pretrained, or fetch it again." if pieces else ""


ADAPTERS = (
    "It holds adapters (adapter_config.json) for a model that is elsewhere. Merge them into it, and give the folder of that: "
    "`merge_and_unload` of peft, then `save_pretrained` of model and tokenizer."
)


def _check_safetensors(file: Path, named: str) -> None:
    """The header of a safetensors file says how long the file is."""
    size = file.stat().st_size
    try:
        header = _header(file)
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        with file.open("rb") as handle:
            wanted = 8 + int.from_bytes(handle.read(8), "little") + max(ends, default=0)
    except (struct.error, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{named}: {file.name} ({size:,} bytes) is no safetensors file. {_remedy(file.parent)}") from error
    if size < wanted:
        raise ModelError(f"{named}: {file.name} has {size:,} of {wanted:,} bytes: it was cut short. {_remedy(file.parent)}")


def _header(file: Path) -> dict[str, Any]:
    """What a safetensors file says of its tensors. Raises what `_check_safetensors` says in a sentence."""
    with file.open("rb") as handle:
        (length,) = struct.unpack("<Q", handle.read(8))
        if length > file.stat().st_size:
            raise ValueError(length)
        header: dict[str, Any] = json.loads(handle.read(length))
    return header
