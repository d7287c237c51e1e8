"""What a data set holds and what was left out of it: the contents of dataset.json."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rise.dataset.example import Example
from rise.dataset.weigh import effective_sample_size
from rise.errors import EmptyStageError


@dataclass(frozen=True, slots=True)
class DatasetReport:
    """What a data set holds and what it does not; written as dataset.json."""

    n_examples: int
    dropped: dict[str, int]
    """Replies left out, by reason."""
    by_source: dict[str, int]
    """Examples by who wrote the reply, and whether it is right."""
    rewards: list[tuple[float, int]]
    """(reward, number of examples), ascending."""
    weights: list[tuple[float, int]]
    """(weight, number of examples), ascending."""
    effective_sample_size: float
    n_trained_tokens: int
    """Tokens of all replies together, once."""
    counts: dict[str, int]
    """Whatever else the stage counted, by name."""

    def to_json(self) -> dict[str, Any]:
        return {
            "n_examples": self.n_examples,
            "n_trained_tokens": self.n_trained_tokens,
            "dropped": self.dropped,
            "by_source": self.by_source,
            "rewards": [list(pair) for pair in self.rewards],
            "weights": {
                "n": self.n_examples,
                "effective_sample_size": self.effective_sample_size,
                "values": [list(pair) for pair in self.weights],
            },
            "counts": self.counts,
        }


def dataset_report(examples: Sequence[Example], dropped: Counter[str], counts: Counter[str]) -> DatasetReport:
    """The contents of dataset.json. Raises `EmptyStageError` if nothing is left to train on."""
    if not examples:
        reasons = ", ".join(f"{n} by {name}" for name, n in dropped.items() if n) or "none was offered"
        raise EmptyStageError(
            f"no example is left to train on ({reasons}). Loosen keep.rule, raise rollout.n_problems or relabel.n_samples, "
            "or raise sampling.max_new_tokens if replies were cut."
        )
    weights = [example.weight for example in examples]
    said = Counter(f"says of itself: {'right' if e.own_check else 'wrong'}" for e in examples if e.own_check is not None)
    return DatasetReport(
        n_examples=len(examples),
        dropped={name: n for name, n in sorted(dropped.items()) if n},
        by_source=dict(sorted(Counter(f"{e.source}, {'right' if e.right else 'not right'}" for e in examples).items())),
        rewards=sorted(Counter(example.reward for example in examples).items()),
        weights=sorted(Counter(round(weight, 6) for weight in weights).items()),
        effective_sample_size=round(effective_sample_size(weights), 2),
        n_trained_tokens=sum(len(example.reply_ids) + len(example.rejected_ids) for example in examples),
        counts={name: n for name, n in sorted((counts + said).items()) if n},
    )
