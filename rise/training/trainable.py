"""Which examples train, and whether all is known of them that the loss needs."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from rise.dataset.example import TOKEN_COLUMNS, Example
from rise.dataset.losses import LOSSES
from rise.errors import DataError, EmptyStageError
from rise.recipe.config import TrainConfig
from rise.recipe.learning import LossConfig


def trainable(examples: Sequence[Example], config: TrainConfig, dropped: Counter[str]) -> list[Example]:
    """The examples that train; the others are counted. Raises for an impossible weight, and where nothing is left."""
    kept = []
    for example in examples:
        check_columns(example)
        check_known(example, config.loss)
        if not example.trains:
            dropped["weight 0"] += 1
        elif len(example.prompt_ids) + len(example.reply_ids) > config.max_length:
            dropped["too long"] += 1
        else:
            kept.append(example)
    if not kept:
        counts = ", ".join(f"{n} of {name}" if name == "weight 0" else f"{n} {name}" for name, n in dropped.items())
        raise EmptyStageError(f"no example to train on ({counts or 'none was given'}; train.max_length = {config.max_length}).")
    return kept


def check_known(example: Example, loss: LossConfig) -> None:
    """Raise `DataError` where a weight is impossible, or where an example lacks what the loss has to know of it."""
    place = f"the example of problem {example.problem_id}, turn {example.turn}"
    numbers = [example.weight, example.kl, *(value for name in TOKEN_COLUMNS for value in getattr(example, name))]
    if not all(map(math.isfinite, numbers)):
        wrong = next(value for value in numbers if not math.isfinite(value))
        raise DataError(
            f"{place} has weight {wrong}; expected a number." if wrong is example.weight else f"{place} holds {wrong}."
        )
    pushed = example.weight < 0 or any(weight < 0 for weight in example.token_weights)
    if pushed and loss.name == "likelihood" and loss.floor == 0:
        raise DataError(
            f"{place} has weight {example.weight}, and train.loss.floor = 0 would push it down for ever; expected 0 or more. "
            "Set train.loss.floor, the probability below which a token is pushed no further."
        )
    if LOSSES[loss.name].needs_sampled and example.weight != 0 and not example.sampled_logps:
        raise DataError(
            f'{place} has no log-probabilities of when it was drawn, which train.loss.name = "{loss.name}" needs. A round '
            'records them (rise run); for other examples set train.loss.name = "likelihood".'
        )
    if example.teacher_prompt and not example.token_weights:
        raise DataError(
            f"{place} has a teacher that was not asked ([distil]). A round asks it (rise run); a file by itself cannot."
        )
    if example.kl and not example.reference_logps:
        raise DataError(f"{place} is to be held to a reference (kl = {example.kl}), but has no log-probabilities under it.")


def check_columns(example: Example) -> None:
    """Raise `DataError` where a column of token values is not as long as the reply."""
    for name in TOKEN_COLUMNS:
        n, wanted = len(getattr(example, name)), len(example.reply_ids)
        if n not in (0, wanted):
            raise DataError(
                f"the example of problem {example.problem_id}, turn {example.turn} has {n} values in {name} for {wanted} reply "
                "tokens. Build the examples again (rise relabel --examples), or leave that field out."
            )
