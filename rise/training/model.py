"""Load a base model and its tokenizer, save a checkpoint, name its weights."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

from rise.errors import ConfigError, ModelError
from rise.play.render import Renderer

DTYPES = ("float32", "bfloat16", "float16")


def load_model(
    path: str | Path,
    *,
    dtype: str = "float32",
    gguf_file: str | None = None,
    chat_format: str | None = None,
    attention: str | None = None,
    quantization: Any = None,
) -> tuple[Any, Renderer]:
    """(causal language model, renderer) from a directory or hub name. Raises `ModelError` naming what is missing.

    `attention` is a name of transformers, None its default; `quantization` one of its quantisation settings.
    """
    import torch
    from transformers import AutoModelForCausalLM

    _quiet()
    if gguf_file is None:
        _check_directory(path)
    extra = {"gguf_file": gguf_file} if gguf_file else {}
    options = {"attn_implementation": attention, "quantization_config": quantization}
    options = {name: value for name, value in options.items() if value is not None}
    try:
        model = AutoModelForCausalLM.from_pretrained(str(path), dtype=getattr(torch, dtype), **extra, **options)
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{path}: no model can be loaded from there ({str(error).splitlines()[0]}). "
            "Give a directory with config.json and safetensors, or a hub name while online."
        ) from error
    return model, Renderer.load(path, chat_format=chat_format, **extra)


def context_length(path: str | Path) -> int | None:
    """How many tokens the model at `path` was built for; None where its config does not say."""
    from transformers import AutoConfig

    _check_directory(path)
    try:
        return getattr(AutoConfig.from_pretrained(str(path)), "max_position_embeddings", None)
    except (OSError, ValueError):
        return None  # loading it will say what is missing


def _check_directory(path: str | Path) -> None:
    if Path(path).is_dir() and not (Path(path) / "config.json").exists():
        raise ModelError(f"{path} holds no config.json, so it is no model directory. Give the folder with the weights.")


def convert_gguf(
    directory: Path, gguf_file: str, out: Path, card: dict[str, Any] | None = None, chat_format: str | None = None
) -> None:
    """A GGUF file as plain safetensors with its tokenizer (the quantised values, de-quantised)."""
    import torch
    from transformers import AutoModelForCausalLM

    model, renderer = load_model(directory, gguf_file=gguf_file, chat_format=chat_format)
    config = model.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config  # a model that claims to be quantised cannot be saved plainly
    plain = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    plain.load_state_dict(model.state_dict())
    save_checkpoint(plain, renderer.tokenizer, out, card)


def save_checkpoint(
    model: Any, tokenizer: Any, path: Path, card: dict[str, Any] | None = None, *, state: dict[str, Any] | None = None
) -> None:
    """Write beside the target, then rename: a `checkpoint/` that exists is complete. `state` replaces the model's own weights."""
    check_free(path)
    _quiet()
    partial = path.with_name(path.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        model.save_pretrained(partial, **({} if state is None else {"state_dict": state}))
        tokenizer.save_pretrained(partial)
    except Exception as error:
        if "os error 28" in str(error):  # safetensors has an error of its own for a full disk
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(partial)) from error
        raise
    if card is not None:
        card = {**card, "weights": weights_hash(partial)}
        (partial / "rise.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    for file in (p for p in partial.rglob("*") if p.is_file()):
        with file.open("rb") as handle:
            os.fsync(handle.fileno())
    if path.exists():
        shutil.rmtree(path)
    os.replace(partial, path)


def check_free(path: Path) -> None:
    """Raise `ConfigError` if `path` holds anything but a checkpoint, since a checkpoint written there would replace it."""
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    if (path / "rise.json").exists() or ((path / "config.json").exists() and any(path.glob("*.safetensors"))):
        return
    raise ConfigError(f"{path} exists and is no checkpoint (no rise.json, no config.json with weights). Give another --out.")


def _quiet() -> None:
    """No bar of transformers' own for every load and save: it would stand between ours."""
    from transformers.utils import logging

    logging.disable_progress_bar()


def weights_hash(path: str | Path) -> str:
    """Content hash of a checkpoint's weights, 12 hexadecimal digits; of the name where it is no directory."""
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
