"""What is measured: shapes of models with random weights, and examples as RISE makes them, of random tokens."""

from __future__ import annotations

import random
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from rise.dataset.example import Example

BANDWIDTH = {"H200": 4.8e12, "H100": 3.35e12, "A100": 2.04e12}
"""Bytes a second of a card's memory, by a part of its name, from data sheets."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A Llama."""

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    intermediate: int
    vocabulary: int
    tied: bool
    lora: bool
    """Adapters of rank 16 on every linear layer, the base in bfloat16; else all weights, with float32 masters."""
    micro: int
    """Tokens of a forward pass in training."""
    rows: int
    """Replies under way in generation."""

    @property
    def head_dim(self) -> int:
        return self.hidden // self.heads

    @property
    def n_parameters(self) -> int:
        """
        >>> round(SHAPES["1b"].n_parameters / 1e9, 2), round(SHAPES["8b"].n_parameters / 1e9, 2)
        (1.24, 8.03)
        """
        attention = self.hidden * self.head_dim * (2 * self.heads + 2 * self.kv_heads)
        layer = attention + 3 * self.hidden * self.intermediate + 2 * self.hidden
        return self.layers * layer + self.hidden * (1 + self.vocabulary * (1 if self.tied else 2))

    @property
    def kv_bytes(self) -> int:
        """Keys and values of one token in bfloat16.

        >>> SHAPES["8b"].kv_bytes
        131072
        """
        return 2 * self.layers * self.kv_heads * self.head_dim * 2

    def config(self) -> Any:
        from transformers import LlamaConfig

        return LlamaConfig(
            vocab_size=self.vocabulary,
            hidden_size=self.hidden,
            intermediate_size=self.intermediate,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            num_key_value_heads=self.kv_heads,
            max_position_embeddings=4096,
            tie_word_embeddings=self.tied,
            pad_token_id=0,
            eos_token_id=2,
            bos_token_id=None,
        )


SHAPES = {
    "smollm2": Shape(30, 576, 9, 3, 1536, 49152, tied=True, lora=False, micro=32768, rows=512),
    "1b": Shape(16, 2048, 32, 8, 8192, 128256, tied=True, lora=False, micro=16384, rows=256),
    "8b": Shape(32, 4096, 32, 8, 14336, 128256, tied=False, lora=True, micro=4096, rows=128),
}
TOY = {name: Shape(2, 32, 4, 2, 64, 128, tied=shape.tied, lora=shape.lora, micro=512, rows=4) for name, shape in SHAPES.items()}


def made(shape: Shape, device: str, dtype: str) -> Any:
    """The model with random weights, made where it will be."""
    import torch
    from transformers import LlamaForCausalLM

    before = torch.get_default_dtype()
    torch.set_default_dtype(getattr(torch, dtype))
    try:
        torch.manual_seed(0)
        with torch.device(device):
            return LlamaForCausalLM(shape.config())
    finally:
        torch.set_default_dtype(before)


def renderer() -> Any:
    """Enough of one for a model without a tokenizer: what ends a reply, and a text that nobody reads."""
    tokenizer = SimpleNamespace(pad_token_id=0, eos_token_id=2)
    return SimpleNamespace(
        tokenizer=tokenizer, eos_ids={2}, add_ends=lambda generation_config: None, text=lambda ids: f"{len(ids)} tokens"
    )


def examples(n_tokens: int, vocabulary: int, *, longest: int = 2048, seed: int = 0) -> list[Example]:
    """Chains of three turns, about `n_tokens` tokens when those that continue one another are one row: a question of 60 to 240
    tokens, replies of 60 to 320, feedback of 20 between them. A scale of `longest` ÷ 2,048 is put on all."""
    rng = random.Random(seed)
    out: list[Example] = []
    total, number = 0, 0

    def some(low: int, high: int) -> tuple[int, ...]:
        n = max(2, rng.randint(low, high) * longest // 2048)
        return tuple(rng.randrange(3, vocabulary) for _ in range(n))

    while total < n_tokens:
        ids = some(60, 240)
        for turn in range(3):
            reply = some(60, 320)
            out.append(Example(f"p{number}", turn, (), "", "student", 1.0, 1.0, ids, reply))
            ids = (*ids, *reply, *some(20, 20))
        total += len(ids)
        number += 1
    return out


def device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
