"""A model's weights without loading them: number formats, content hash. Needs no torch."""

from __future__ import annotations

import hashlib
from pathlib import Path

DTYPES = ("float32", "bfloat16", "float16")
"""Number formats that a model can be loaded in."""


def weights_hash(path: str | Path) -> str:
    """12 hexadecimal digits of the SHA-256 over the weights' files; over the name where `path` is no directory (a hub name)."""
    where = Path(path)
    digest = hashlib.sha256()
    if not where.is_dir():
        return hashlib.sha256(str(path).encode()).hexdigest()[:12]
    for file in sorted([*where.glob("*.safetensors"), *where.glob("*.bin"), *where.glob("*.gguf")]):
        digest.update(file.name.encode())
        with file.open("rb") as handle:
            while block := handle.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()[:12]
