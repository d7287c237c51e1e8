"""Low-rank adapters: put on, and merged into plain weights again. QLoRA keeps the base in few bits while they train."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from rise.errors import ConfigError
from rise.recipe.config import LoraConfig


def check_quantize(lora: LoraConfig) -> None:
    """Raises `ConfigError` where a base in few bits cannot be had."""
    if lora.quantize is None:
        return
    import torch

    if importlib.util.find_spec("bitsandbytes") is None:
        raise ConfigError(
            f'model.lora.quantize = "{lora.quantize}" needs the package bitsandbytes: pip install bitsandbytes. '
            "Or leave it out: a LoRA base is kept in model.dtype then."
        )
    if not torch.cuda.is_available():
        raise ConfigError(
            f'model.lora.quantize = "{lora.quantize}" needs a GPU, and none is visible. Leave it out on this machine: '
            'plain LoRA, with model.dtype = "bfloat16" where memory is short.'
        )


def quantization(lora: LoraConfig | None, compute: Any) -> Any:
    """What transformers loads the base with; None for plain weights. `compute` is the type that products are made in."""
    if lora is None or lora.quantize is None:
        return None
    check_quantize(lora)
    from transformers import BitsAndBytesConfig

    if lora.quantize == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=compute
    )


def add_adapters(net: Any, lora: LoraConfig) -> Any:
    """The model with trainable adapters; everything else stands still."""
    from peft import LoraConfig as PeftLora
    from peft import get_peft_model

    return get_peft_model(
        net,
        PeftLora(
            r=lora.rank,
            lora_alpha=lora.alpha,
            lora_dropout=lora.dropout,
            target_modules=lora.target_modules,
            task_type="CAUSAL_LM",
        ),
    )


def merged_on(start: Path | str, lora: LoraConfig, trained: dict[str, Any], dtype: str) -> Any:
    """The adapters in `trained` (a state dict of the model they trained on) merged into the weights at `start`.

    For a base that trained in few bits, or in pieces on several devices: what is merged into is the base itself, not
    its quantised values.
    """
    from rise.training.model import load_model

    net = add_adapters(load_model(start, dtype=dtype)[0], lora)
    own = {name: value for name, value in trained.items() if "lora_" in name}
    missing = {name for name in net.state_dict() if "lora_" in name} - set(own)
    if missing or not own:
        raise ConfigError(
            f"{start}: the trained adapters do not fit it; {len(missing)} are missing, such as {min(missing or ['all'])}."
        )
    net.load_state_dict(own, strict=False)
    return net.merge_and_unload()
