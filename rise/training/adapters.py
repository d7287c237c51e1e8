"""Low-rank adapters (LoRA): added, and merged into plain weights again. QLoRA keeps the base in 4 or 8 bits meanwhile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import BitsAndBytesConfig

from rise.errors import ConfigError
from rise.recipe.machines import LoraConfig
from rise.training.arguments import check_quantize
from rise.training.model import load_model


def quantization(lora: LoraConfig | None, compute: Any) -> Any:
    """transformers' quantisation settings for the base; None for plain weights. `compute` is the dtype of matrix products."""
    if lora is None or lora.quantize is None:
        return None
    check_quantize(lora)
    if lora.quantize == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=compute
    )


def prepared_for_few_bits(net: Any) -> Any:
    """A quantised base made ready for adapters, by peft."""
    from peft import prepare_model_for_kbit_training

    return prepare_model_for_kbit_training(net, use_gradient_checkpointing=False)


def add_adapters(net: Any, lora: LoraConfig) -> Any:
    """The model with trainable adapters; all other weights are frozen."""
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

    For a base that was quantised or sharded while the adapters trained: they are merged into the base itself, not into its
    quantised values. Raises `ConfigError` where `trained` lacks adapters of this model.
    """
    net = add_adapters(load_model(start, dtype=dtype)[0], lora)
    own = {name: value for name, value in trained.items() if "lora_" in name}
    missing = {name for name in net.state_dict() if "lora_" in name} - set(own)
    if missing or not own:
        raise ConfigError(
            f"{start}: the trained adapters do not fit it; {len(missing)} are missing, such as {min(missing or ['all'])}."
        )
    net.load_state_dict(own, strict=False)
    return net.merge_and_unload()
