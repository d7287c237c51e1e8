"""Load a model and its tokenizer, save a checkpoint."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterable, Set
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.utils import logging

from rise.errors import ConfigError, ModelError
from rise.play.pretrained import ADAPTERS, check_formats, folder_of, loading, options
from rise.play.render import Renderer
from rise.training.disk_space import room_for, tensor_bytes
from rise.training.weights import weights_hash


def load_model(
    path: str | Path,
    *,
    dtype: str = "float32",
    gguf_file: str | None = None,
    chat_format: str | None = None,
    attention: str | None = None,
    quantization: Any = None,
) -> tuple[Any, Renderer]:
    """(causal language model, renderer) from a directory or hub name. Raises `ModelError` that names what is missing, what has no
    place in the model, and what is no number.

    `attention` is a name of transformers, None its default; `quantization` one of its quantisation settings.
    """
    _quiet()
    if gguf_file is None:
        check_directory(path)
        check_quantised(path, str(path))
    extra = {"gguf_file": gguf_file} if gguf_file else {}
    chosen = {"attn_implementation": attention, "quantization_config": quantization}
    chosen = {name: value for name, value in chosen.items() if value is not None}
    with loading(path, "model"):
        model, found = AutoModelForCausalLM.from_pretrained(  # nosec B615 # a directory, or what its user names
            str(path), dtype=getattr(torch, dtype), output_loading_info=True, **options(path), **extra, **chosen
        )
    _check_whole(path, found, model)
    if gguf_file is None and (folder := folder_of(path)) is not None:
        check_formats(folder, str(path))
    _check_finite(path, model)
    renderer = Renderer.load(path, chat_format=chat_format, **extra)
    check_vocabulary(renderer.tokenizer, n_embeddings(model), str(path))
    return model, renderer


def _check_whole(path: str | Path, found: dict[str, Any], model: Any) -> None:
    """transformers fills what is missing with random numbers, leaves out what has no place, and only warns."""
    missing = sorted(found.get("missing_keys") or [])
    if missing:
        some = f", {missing[1]}" if len(missing) > 1 else ""
        raise ModelError(
            f"{path}: {len(missing)} of the model's weights are not in its files: {missing[0]}{some}"
            f"{' …' if len(missing) > 2 else ''}. Fetch or save it again; with config.json of another model it is neither."
        )

    unexpected = found.get("unexpected_keys") or []
    if getattr(model.config, "quantization_config", None) is not None:
        unexpected = [name for name in unexpected if not name.endswith("scale")]  # of activations, which nobody here quantises
    left_out = _left_out(unexpected, {name for name, _ in model.named_parameters()})
    if left_out:
        raise ModelError(
            f"{path}: {len(left_out)} weights in its files have no place in the model of its config.json, and would be left out: "
            f"{left_out[0]}{' …' if len(left_out) > 1 else ''}. "
            + (
                "Merge the adapters into it first."
                if ".lora_" in left_out[0]
                else "Fetch the config.json that belongs to these weights."
            )
        )


def _check_finite(path: str | Path, model: Any) -> None:
    """A weight that is no number makes every reply mean nothing, and nothing else would say so."""
    for name, weight in model.named_parameters():
        if weight.dtype not in (torch.float64, torch.float32, torch.bfloat16, torch.float16) or weight.is_meta:
            continue
        if weight.numel() and not all(bool(torch.isfinite(end)) for end in torch.aminmax(weight.detach())):
            raise ModelError(
                f"{path}: {name} holds what is no finite number in {str(weight.dtype).removeprefix('torch.')}, so no reply of "
                "this model would mean anything. Fetch or save it again, or load it in another dtype (model.dtype)."
            )


def check_quantised(path: str | Path, named: str) -> None:
    """Raise `ModelError` for quantised weights that cannot be read here: transformers warns of some, and reads them as plain."""
    stored = getattr(config_of(path), "quantization_config", None)
    if stored is None:
        return
    from transformers.quantizers import AutoHfQuantizer

    try:
        AutoHfQuantizer.from_config(stored, pre_quantized=True).validate_environment()
    except (ImportError, ValueError, RuntimeError) as error:
        why = str(error).splitlines()[0].partition(" - supported types")[0]
        raise ModelError(
            f"{named}: its weights are quantised, and cannot be read here ({why}). Install what is missing, or take the model's "
            "plain weights."
        ) from error


def check_places(path: Path) -> None:
    """Raise `ModelError` where the names in a directory's weights are not those of its model, as `load_model` does, without
    reading the weights. What cannot be told so is left to it."""
    said = logging.get_verbosity()
    _quiet()
    logging.set_verbosity(logging.CRITICAL)
    try:
        model, found = AutoModelForCausalLM.from_pretrained(  # nosec B615 # a directory
            str(path), device_map="meta", output_loading_info=True, **options(path)
        )
    except Exception:  # whatever a reader raises, it raises again when the model is loaded
        return
    finally:
        logging.set_verbosity(said)
    _check_whole(path, found, model)


NO_WEIGHTS = re.compile(
    r"rotary|(inv_freq|masks?|masked_bias|position_ids|cos_cached|sin_cached|num_batches_tracked|steps?|counter)$"
)
"""What files hold of a layer that it computes by itself."""


def _left_out(unexpected: Iterable[str], own: Set[str]) -> list[str]:
    """Of the names in the files that a model has no place for, those without which it computes something else: whatever belongs
    to a layer that it has, and further layers of its own kind. Heads, counters and layers of other kinds are of no use to it.

    >>> own = {"l.0.w", "l.0.b", "l.1.w", "l.1.b", "v.weight"}
    >>> _left_out(["l.2.w", "l.2.b", "l.0.rotary.inv_freq", "l.0.attn.bias", "l.0.norm.weight", "v.bias", "l.7.other"], own)
    ['l.2.b', 'l.2.w', 'l.0.norm.weight', 'v.bias']
    """
    inner, layers = [], dict[str, list[str]]()
    had = {found[1] for name in own if (found := re.match(r"(.*?\.\d+)\.", name))}
    for name in sorted(unexpected):
        found = re.match(r"(.*?\.\d+)\.", name)
        above = name.split(".")
        of_own = any(f"{'.'.join(above[:n])}.weight" in own for n in range(1, len(above)))
        if of_own or (found and found[1] in had):
            # The mask of GPT-2's attention is called a bias, of which there is no weight.
            if of_own or not (NO_WEIGHTS.search(name) or name.endswith(".bias")):
                inner.append(name)
        elif found:
            layers.setdefault(found[1], []).append(name)
    further = [
        name
        for layer, names in layers.items()
        if all(re.sub(r"\.\d+$", ".0", layer) + name.removeprefix(layer) in own for name in names)
        for name in names
    ]
    return further + inner


def n_embeddings(model: Any) -> int:
    """Rows of the embedding, however it is spread over devices."""
    layer = model.get_input_embeddings()
    return int(getattr(layer, "num_embeddings", layer.weight.shape[0]))


def check_vocabulary(tokenizer: Any, n_words: int | None, named: str) -> None:
    """Raise `ModelError` where a tokenizer has ids for which the model has no embedding. More embeddings than ids are padding."""
    largest = max(tokenizer.get_vocab().values(), default=-1)
    if n_words is not None and largest >= n_words:
        raise ModelError(
            f"{named}: its tokenizer has {largest + 1:,} tokens, the last {tokenizer.convert_ids_to_tokens(largest)}, but the "
            f"model has {n_words:,} embeddings. Resize the model (model.resize_token_embeddings) and save it, "
            "or take the tokenizer it was trained with."
        )


def config_of(path: str | Path) -> Any:
    """The configuration of the model at `path`. Raises `ModelError`."""
    check_directory(path)
    with loading(path, "configuration"):
        return AutoConfig.from_pretrained(str(path), **options(path))  # nosec B615 # a directory, or what its user names


def context_length(path: str | Path) -> int | None:
    """Longest sequence, in tokens, that the model at `path` was built for; None where its config does not say."""
    return getattr(config_of(path), "max_position_embeddings", None)


def check_directory(path: str | Path) -> None:
    """Raise `ModelError` for a directory that holds no model."""
    if Path(path).is_dir() and not (Path(path) / "config.json").exists():
        what = ADAPTERS if (Path(path) / "adapter_config.json").exists() else "Give the folder with the weights."
        raise ModelError(f"{path} holds no config.json, so it is no model directory. {what}")


def convert_gguf(
    directory: Path, gguf_file: str, out: Path, card: dict[str, Any] | None = None, chat_format: str | None = None
) -> None:
    """Write a GGUF file as plain safetensors with its tokenizer (the quantised values, de-quantised)."""
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
    """Write beside the target, then rename: a `checkpoint/` that exists is complete.

    `card` becomes rise.json; `state` replaces the model's own weights. Raises `ConfigError` where `path` holds something else,
    and `RiseError` where the disk has no room.
    """
    check_free(path)
    _quiet()
    partial = path.with_name(path.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    with room_for(f"the checkpoint {path}", partial, lambda: tensor_bytes(model.state_dict() if state is None else state)):
        model.save_pretrained(partial, **({} if state is None else {"state_dict": state}))
        tokenizer.save_pretrained(partial)
        if card is not None:
            card = {**card, "weights": weights_hash(partial)}
            (partial / "rise.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
        mode = (partial / "config.json").stat().st_mode & 0o777
        for file in (p for p in partial.rglob("*") if p.is_file()):
            file.chmod(mode)  # safetensors keeps weights from all others, who may have to serve them
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
    """Turn off transformers' progress bars, one for every load and save: they would break into ours."""
    logging.disable_progress_bar()
