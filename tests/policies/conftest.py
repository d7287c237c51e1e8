"""An endpoint with ways of its own, and a model whose replies differ."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from odd_endpoint import OddEndpoint, chat


@pytest.fixture
def endpoint() -> Iterator[Any]:
    made: list[OddEndpoint] = []

    def start(rule: Any = lambda call: chat()) -> OddEndpoint:
        made.append(OddEndpoint(rule))
        return made[-1]

    yield start
    for server in made:
        server.stop()


@pytest.fixture(scope="module")
def steep(nano_dir: Any) -> Any:
    """Logits steeper than an untrained model's: replies end at different lengths, and a distribution has a shape to be tested."""
    import torch

    from rise.policies.local import LocalPolicy

    policy = LocalPolicy.load(nano_dir, batch_size=64)
    with torch.no_grad():
        policy.model.model.norm.weight *= 6.0
    return policy
