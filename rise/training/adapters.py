"""Low-rank adapters (LoRA): added, and merged into plain weights again. QLoRA keeps the base in 4 or 8 bits meanwhile."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

from rise.errors import ConfigError, RiseError
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
    """The model with trainable adapters; all other weights are frozen.

    Where an adapter stands on one of two layers that share their weights (an output layer tied to the embedding), they share
    them no longer, and the configuration says so: merged, the adapter would change both. Raises `ConfigError` where
    `target_modules` names no layer, or one that is tied otherwise.
    """
    from peft import LoraConfig as PeftLora
    from peft import get_peft_model

    tied = _tied(net)
    settings = PeftLora(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=lora.target_modules,
        task_type="CAUSAL_LM",
    )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of tied weights, which are refused here
            net = get_peft_model(net, settings)
    except ValueError as error:
        raise ConfigError(
            f"model.lora.target_modules = {json.dumps(lora.target_modules)}: {str(error).splitlines()[0]} Name layers of this "
            'model, or write "all-linear".'
        ) from error
    ends = {id(net.get_input_embeddings()), id(net.get_output_embeddings())}
    for name, layer in list(net.named_modules()):
        own = name.removeprefix("base_model.model.")
        if own not in tied or not hasattr(layer, "lora_A"):
            continue
        if id(layer) not in ends:
            raise ConfigError(
                f"model.lora.target_modules = {json.dumps(lora.target_modules)} adapts {own}, whose weights are also those of "
                f'{tied[own]}. Merged, its adapter would change both. Leave {own} out, or write "all-linear".'
            )
        layer.base_layer.weight = torch.nn.Parameter(layer.base_layer.weight.detach().clone(), requires_grad=False)
        for shape in (net.config, net.config.get_text_config()):
            shape.tie_word_embeddings = False
    return net


def check_targets(shape: Any, lora: LoraConfig) -> None:
    """Raise what `add_adapters` would for a model of this configuration (transformers'), without its weights."""
    with torch.device("meta"):
        add_adapters(AutoModelForCausalLM.from_config(shape), lora)


def _tied(net: Any) -> dict[str, str]:
    """Layer → another layer with the very same weights."""
    holders: dict[int, list[str]] = {}
    for name, layer in net.named_modules():
        weight = getattr(layer, "weight", None)
        if isinstance(weight, torch.nn.Parameter):
            holders.setdefault(id(weight), []).append(name)
    return {own: next(n for n in names if n != own) for names in holders.values() if len(names) > 1 for own in names}


def merged(net: Any, probe: Any, *, half: bool) -> Any:
    """Adapters merged into the weights they stand beside. The model's logits on `probe`, ids [1, T], have to stay what they are.

    Raises `RiseError` where they change, since what would be saved is then another model than the trained one.
    """
    training = net.training
    net.eval()
    with torch.no_grad():
        before = net(input_ids=probe, use_cache=False).logits.float()
        plain = net.merge_and_unload()
        after = plain(input_ids=probe, use_cache=False).logits.float()
    plain.train(training)
    difference = float((before - after).abs().max())
    # In half precision the sum of weight and adapter is rounded once more.
    allowed = (0.1 if half else 1e-3) * max(1.0, float(before.abs().max()))
    if not difference <= allowed:
        raise RiseError(
            f"merging the adapters changed the model: logits differ by up to {difference:.3g}, {allowed:.3g} would be rounding. "
            'Nothing was saved. Adapt fewer layers (model.lora.target_modules = "all-linear").'
        )
    return plain


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
