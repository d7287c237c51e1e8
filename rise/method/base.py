"""The untouched model: made from nothing, converted, or found."""

from __future__ import annotations

from pathlib import Path

from rise.runs.bench import Bench
from rise.runs.card import card
from rise.runs.checks import nano_alphabet
from rise.runs.preflight import check_contexts


def base_model(bench: Bench) -> Path:
    """Where the base model lies. A nano or GGUF model is written to base/checkpoint/ once."""
    stage, model = bench.dir.stage("base"), bench.config.model
    if not model.nano and not model.gguf_file:
        return Path(model.place)
    if not stage.checkpoint.exists():
        about = card(bench.config, bench.ready.prompt, stage.name)
        if model.nano:
            from rise.training.nano import make_nano

            alphabet = nano_alphabet(bench.ready.task, bench.ready.prompt, bench.ready.evaluated)
            make_nano(model.nano, alphabet, bench.config.seed, stage.checkpoint, card=about)
        else:
            from rise.training.model import context_length, convert_gguf

            convert_gguf(Path(model.place), model.gguf_file or "", stage.checkpoint, about, model.chat_format)
            check_contexts(bench.ready, bench.renderer, context_length(stage.checkpoint))
    return stage.checkpoint
