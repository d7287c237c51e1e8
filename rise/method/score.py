"""Log-probabilities of what trains, as losses ask for them: under the model that drew it, and under the one it is held to."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rise.dataset.distil import gains
from rise.dataset.example import Example
from rise.dataset.losses import LOSSES
from rise.policies import make_policy, stop_engines
from rise.runs.context import RunContext

Logps = list[tuple[float, ...]]
"""Of each example, that of each token of its reply."""


def with_logps(context: RunContext, stage: str, examples: Sequence[Example], *, student: Path, start: Path) -> list[Example]:
    """The examples with what the round's loss needs to know of them; as they are where it needs nothing.

    `student` drew the replies, at temperature 1. `start` is where the round's training begins, the reference of what is held.
    Both are scored in this process, whichever engine drew the replies: the ratio is then 1 before the first step, whatever an
    engine rounds otherwise.
    """
    sampled = LOSSES[context.config.train.loss.name].needs_sampled
    held = any(example.kl for example in examples)
    if not examples or not (sampled or held or context.config.distil):
        return list(examples)
    stop_engines()  # they hold the memory
    if context.config.distil:
        return _taught(context, stage, examples, student)
    with context.timed(stage, "score", len(examples)):
        found = {
            model: _logps(context, model, examples) for model in {*([student] if sampled else []), *([start] if held else [])}
        }
    nothing: Logps = [()] * len(examples)
    own, reference = found[student] if sampled else nothing, found[start] if held else nothing
    return [
        replace(example, sampled_logps=drawn, reference_logps=near if example.kl else ())
        for example, drawn, near in zip(examples, own, reference, strict=True)
    ]


def _taught(context: RunContext, stage: str, examples: Sequence[Example], student: Path) -> list[Example]:
    """Each token weighed by how much likelier it is to its teacher, the same model that was shown more."""
    config = context.config
    assert config.distil is not None
    with context.timed(stage, "score", 2 * len(examples)):
        own = _logps(context, student, examples)
        told = _logps(context, student, [replace(e, prompt_ids=context.renderer.prompt_ids(e.teacher_prompt)) for e in examples])
    keeps = LOSSES[config.train.loss.name].needs_sampled
    return [
        replace(example, token_weights=gains(teacher, drawn, config.distil.clip), sampled_logps=drawn if keeps else ())
        for example, teacher, drawn in zip(examples, told, own, strict=True)
    ]


def _logps(context: RunContext, model: Path, examples: Sequence[Example]) -> Logps:
    config = context.config
    policy = make_policy(
        f"local:{model}",
        batch_size=config.batch_size,
        dtype=config.model.dtype,
        chat_format=config.model.chat_format,
        deterministic=config.deterministic,
    )

    async def scored() -> Logps:
        try:
            return await policy.score([example.prompt_ids for example in examples], [example.reply_ids for example in examples])
        finally:
            await policy.close()

    return asyncio.run(scored())
