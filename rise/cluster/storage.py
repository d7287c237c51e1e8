"""How models reach the nodes: in the run directory where every node sees it, else through shared storage."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rise.errors import ConfigError, DataError
from rise.training.weights import tokenizer_hash, weights_hash


@dataclass(frozen=True, slots=True)
class Model:
    """A model directory or hub name that any node can load."""

    path: str
    """Where the run has it; a hub name where that is no directory."""
    hash: str
    """Content hash of its weights (`rise.training.weights.weights_hash`)."""
    whole: str = ""
    """That and the tokenizer's: the name of its copies."""
    url: str | None = None
    """Its place in the storage; None where nodes read `path` itself."""

    def fetch(self) -> str:
        """A path on this machine, copied from the storage the first time. Raises `DataError` where the weights are others."""
        if self.url is None:
            return self.path
        place = private_folder(f"rise-models-{os.getuid()}") / self.whole
        if not place.exists():
            get_folder(self.url, place)
        if _whole(place) != self.whole:
            raise DataError(f"{self.url} holds weights and tokenizer {_whole(place)}, not {self.whole}: stale weights.")
        return str(place)


def publish(path: str | Path, storage: str | None) -> Model:
    """Make a model available to every node: copied to the storage, unless the run directory is shared or `path` a hub name."""
    own = weights_hash(path)
    if storage is None or not Path(path).is_dir():
        return Model(str(Path(path).absolute()) if Path(path).exists() else str(path), own)
    whole = _whole(path)
    url = f"{storage.rstrip('/')}/models/{whole}"
    put_folder(Path(path), url)
    return Model(str(path), own, whole, url)


def _whole(path: str | Path) -> str:
    return f"{weights_hash(path)}-{tokenizer_hash(path)}"


def private_folder(name: str) -> Path:
    """A folder of that name in this machine's temporary directory that nobody else can enter, made or found.

    Whoever knows the name could have made it before us: then another is made, which no later process finds again.
    """
    place = Path(tempfile.gettempdir()) / name
    with contextlib.suppress(FileExistsError):
        place.mkdir(mode=0o700)
    found = place.lstat()
    if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077:
        return place
    return Path(tempfile.mkdtemp(prefix=f"{name}-"))


def filesystem(url: str) -> tuple[Any, str]:
    """(fsspec filesystem, path in it). Raises `ConfigError` for a protocol that is not known or not installed."""
    import fsspec

    try:
        return fsspec.core.url_to_fs(url)
    except (ValueError, ImportError) as error:
        raise ConfigError(f'cluster.storage = "{url}": {error}') from error


DONE = ".complete"
"""Written last into a folder of the storage."""


def put_folder(path: Path, url: str) -> None:
    """Copy a folder to the storage, unless it is there complete."""
    files, there = filesystem(url)
    if files.exists(f"{there}/{DONE}"):
        return
    files.makedirs(there, exist_ok=True)
    for file in sorted(p for p in path.rglob("*") if p.is_file()):
        target = f"{there}/{file.relative_to(path).as_posix()}"
        files.makedirs(target.rsplit("/", 1)[0], exist_ok=True)
        files.put_file(str(file), target)
    files.pipe_file(f"{there}/{DONE}", b"")


def get_folder(url: str, path: Path) -> None:
    """Copy a folder from the storage beside `path`, then rename: several processes of a node may do so at once.

    Raises `DataError` where the storage does not hold it completely.
    """
    files, there = filesystem(url)
    if not files.exists(f"{there}/{DONE}"):
        raise DataError(f"{url} is not there or not whole. Do all nodes reach the storage, with the same rights?")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    for found in files.find(there):
        name = found.removeprefix(there.rstrip("/") + "/")
        if name != DONE:
            (partial / name).parent.mkdir(parents=True, exist_ok=True)
            files.get_file(found, str(partial / name))
    try:
        os.rename(partial, path)
    except OSError:
        shutil.rmtree(partial, ignore_errors=True)
        if not path.exists():
            raise
