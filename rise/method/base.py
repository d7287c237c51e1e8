"""The untouched model: made from nothing, converted, or found."""

from __future__ import annotations

from pathlib import Path

from rise.runs.card import card
from rise.runs.checks import nano_alphabet
from rise.runs.context import RunContext
from rise.runs.preflight import check_contexts


def base_model(context: RunContext) -> Path:
    """Where the base model lies. A nano or GGUF model is written to base/checkpoint/ once."""
    stage, model = context.dir.stage("base"), context.config.model
    if not model.nano and not model.gguf_file:
        return Path(model.place)
    if not stage.checkpoint.exists():
        about = card(context.config, context.ready.prompt, stage.name)
        if model.nano:
            from rise.training.nano import make_nano

            alphabet = nano_alphabet(context.ready.task, context.ready.prompt, context.ready.evaluated)
            make_nano(model.nano, alphabet, context.config.seed, stage.checkpoint, card=about)
        else:
            from rise.training.model import context_length, convert_gguf

            convert_gguf(Path(model.place), model.gguf_file or "", stage.checkpoint, about, model.chat_format)
            check_contexts(context.ready, context.renderer, context_length(stage.checkpoint))
    return stage.checkpoint
