"""The paper's three families in small: tokenizers of their kind, trained here, and models of their shape, with random weights.

Llama-2 and Mistral cut text as SentencePiece does (a word begins with "▁", bytes for the rest), Llama-3 and ChatML by bytes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

TEXT = [
    "Reason step by step, then give the final answer inside \\boxed{}. The question was: how many apples are left?",
    "Anna has 12 apples and gives 7 away. Step 1: 12 - 7 = 5. The answer is \\boxed{5}. Check your answer above.",
    "If it is right, give it again; if it is not, correct it. That answer is incorrect. Please try once more.",
]


def sentencepiece_like(n_words: int = 420) -> Any:
    """As Llama-2's and Mistral's: `<unk> <s> </s>`, 256 bytes, then pieces; white space is written as ▁ in front of a word."""
    from tokenizers import Tokenizer, decoders, models, normalizers, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    core.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    core.decoder = decoders.Sequence(steps)
    special = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=n_words, special_tokens=special, show_progress=False, max_token_length=12)
    core.train_from_iterator([word for line in TEXT for word in line.split()], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=core, unk_token="<unk>", bos_token="<s>", eos_token="</s>", clean_up_tokenization_spaces=False
    )


def byte_level(special: list[str], *, bos: str | None, eos: str, n_words: int = 330) -> Any:
    """As Llama-3's and the ChatML models': byte pairs, and the family's own marks."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=n_words, special_tokens=special, initial_alphabet=alphabet, show_progress=False)
    core.train_from_iterator(TEXT, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=core, bos_token=bos, eos_token=eos, clean_up_tokenization_spaces=False)


def tokenizer_of(chat_format: str) -> Any:
    """A tokenizer of the family, without a chat template, as base models come."""
    if chat_format in ("llama-2", "mistral"):
        return sentencepiece_like()
    if chat_format == "llama-3":
        marks = ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
        return byte_level(marks, bos=marks[0], eos=marks[1])
    return byte_level(["<|endoftext|>", "<|im_start|>", "<|im_end|>"], bos=None, eos="<|endoftext|>")


def model_of(chat_format: str, n_words: int) -> Any:
    """Random weights in the family's shape: all heads their own keys (Llama-2); grouped ones and stretched rotary angles
    (Llama-3); grouped ones and a sliding window shorter than the states (Mistral)."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM

    shape: dict[str, Any] = {
        "vocab_size": n_words,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 2048,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if chat_format == "llama-2":
            return LlamaForCausalLM(LlamaConfig(**shape, num_key_value_heads=4, rms_norm_eps=1e-5))
        if chat_format == "llama-3":
            stretched = {
                "rope_type": "llama3",
                "rope_theta": 500000.0,
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 256,
            }
            return LlamaForCausalLM(LlamaConfig(**shape | {"eos_token_id": 1}, num_key_value_heads=2, rope_parameters=stretched))
        return MistralForCausalLM(MistralConfig(**shape, num_key_value_heads=2, sliding_window=48))


def make_family(chat_format: str, path: Path) -> Path:
    """A model directory of that family, with random weights and no chat template."""
    tokenizer = tokenizer_of(chat_format)
    model_of(chat_format, len(tokenizer)).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path
