"""The nano model: an untrained Llama of about a million parameters with a character tokenizer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers
from tokenizers.decoders import Fuse
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from transformers.utils import logging

from rise.recipe.machines import NanoConfig
from rise.training.model import save_checkpoint

ATOMS = ["####"]
"""Strings that are one token: the mark of a final answer."""

CHAT_TEMPLATE = (
    "{% for m in messages %}"
    "{% if m['role'] == 'assistant' %}<|a|>{{ m['content'] }}<|end|>"
    "{% elif m['role'] == 'system' %}<|s|>{{ m['content'] }}"
    "{% else %}<|u|>{{ m['content'] }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|a|>{% endif %}"
)


def make_tokenizer(alphabet: str) -> Any:
    """A `PreTrainedTokenizerFast` with one token per character of `alphabet`, chat marks and `<|unk|>` for the rest."""
    special = ["<|pad|>", "<|unk|>", "<|end|>", "<|u|>", "<|a|>", "<|s|>"]
    vocab = {token: i for i, token in enumerate([*special, *ATOMS, *sorted(set(alphabet))])}
    core = Tokenizer(models.WordLevel(vocab, unk_token="<|unk|>"))
    core.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    core.decoder = Fuse()
    core.add_tokens([AddedToken(atom, normalized=False) for atom in ATOMS])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token="<|pad|>",
        unk_token="<|unk|>",
        eos_token="<|end|>",
        additional_special_tokens=["<|u|>", "<|a|>", "<|s|>"],
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def nano_shape(config: NanoConfig, n_words: int, pad_id: int = 0, end_id: int = 2) -> Any:
    """transformers' configuration of a nano model."""
    return LlamaConfig(
        vocab_size=n_words,
        hidden_size=config.hidden,
        intermediate_size=config.intermediate,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        num_key_value_heads=config.kv_heads,
        max_position_embeddings=config.max_length,
        tie_word_embeddings=True,
        pad_token_id=pad_id,
        eos_token_id=end_id,
        bos_token_id=None,
    )


def make_nano(config: NanoConfig, alphabet: str, seed: int, path: Path, card: dict[str, Any] | None = None) -> None:
    """Write an untrained model and its tokenizer to `path`, as plain transformers files."""
    logging.disable_progress_bar()  # they would break into ours
    tokenizer = make_tokenizer(alphabet)
    shape = nano_shape(config, len(tokenizer), pad_id=tokenizer.pad_token_id, end_id=tokenizer.eos_token_id)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(shape)
    save_checkpoint(model, tokenizer, path, card)
