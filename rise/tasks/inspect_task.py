"""An inspect_ai task that ends in one reply, `inspect:FILE.py@TASK` or `inspect:PACKAGE/TASK`: its samples, prompt and scorer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rise.judges.foreign import INSPECT
from rise.tasks.foreign import ForeignTask


class InspectTask(ForeignTask):
    """What the solver shows is the question, what the scorer says the verdict, the answer it reads the vote."""

    def __init__(
        self,
        task: str,
        *,
        args: Mapping[str, Any] | None = None,
        scorer: str | None = None,
        part: str | None = None,
        right_from: float = 1.0,
        shares: Mapping[str, float] | Sequence[float] = (0.0, 0.0, 1.0),
        python: str | None = None,
    ) -> None:
        """`args` of the task; `scorer`, where it has several; `part` of its value, where that has names; `right_from`: the score
        from which a reply is right.

        `shares` of train, validation and test: an evaluation is all test unless you say otherwise. `python`: of the environment
        that holds inspect_ai, by default `.venv-inspect/bin/python`.
        """
        super().__init__(INSPECT, task, shares, right_from, python, args=dict(args or {}), scorer=scorer, part=part)
