"""A taskset of verifiers' v1 API whose tasks end in one reply, `verifiers:PACKAGE`: its prompts and its rewards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rise.judges.foreign import VERIFIERS
from rise.tasks.foreign import ForeignTask
from rise.tasks.generated import whole


class VerifiersTask(ForeignTask):
    """The weighted sum of its rewards is the score. It tells no answer, so votes count what replies mark, else last lines."""

    def __init__(
        self,
        taskset: str,
        *,
        args: Mapping[str, Any] | None = None,
        reward: str | None = None,
        right_from: float = 1.0,
        pool: int = 2000,
        shares: Mapping[str, float] | Sequence[float] = (0.8, 0.1, 0.1),
        python: str | None = None,
    ) -> None:
        """`args` of the taskset's config; `reward`: the one that counts, in place of the sum; `right_from`: the score from which
        a reply is right; `pool`: how many tasks are taken of a taskset without an end.

        `shares` of train, validation and test. `python`: of the environment that holds verifiers and the taskset's package, by
        default `.venv-verifiers/bin/python`.
        """
        about = {"args": dict(args or {}), "pool": whole("pool", pool, 1, 10**6), "reward": reward}
        super().__init__(VERIFIERS, taskset, shares, right_from, python, **about)
