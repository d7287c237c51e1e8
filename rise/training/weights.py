"""A model's weights without loading them: number formats, content hash. Needs no torch."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

DTYPES = ("float32", "bfloat16", "float16")
"""Number formats that a model can be loaded in."""


def weights_hash(path: str | Path) -> str:
    """12 hexadecimal digits of the SHA-256 over the weights' files; over the name where `path` is no directory (a hub name)."""
    where = Path(path)
    if not where.is_dir():
        return hashlib.sha256(str(path).encode()).hexdigest()[:12]
    return _hash_of(sorted([*where.glob("*.safetensors"), *where.glob("*.bin"), *where.glob("*.gguf")]))


TOKENIZER = (
    *("tokenizer*.json", "tokenizer.model", "vocab.*", "merges.txt", "added_tokens.json", "special_tokens_map.json"),
    *("chat_template*", "chat_templates/*", "generation_config.json"),
)
"""Files that decide which token ids a text becomes, which text they become, and where a reply ends."""


def tokenizer_hash(path: str | Path) -> str:
    """The same over the files of `TOKENIZER`: with other ones, the same weights are another policy."""
    where = Path(path)
    return _hash_of(sorted(file for pattern in TOKENIZER for file in where.glob(pattern) if file.is_file()))


def _hash_of(files: Sequence[Path]) -> str:
    facts = [(file, file.stat()) for file in files]
    return _digest(tuple((str(file), found.st_size, found.st_mtime_ns, found.st_ino) for file, found in facts))


@lru_cache(maxsize=64)
def _digest(files: tuple[tuple[str, int, int, int], ...]) -> str:
    """Of names and contents; files that have not changed since are not read again."""
    digest = hashlib.sha256()
    for name, *_ in files:
        digest.update(Path(name).name.encode())
        with Path(name).open("rb") as handle:
            while block := handle.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()[:12]
