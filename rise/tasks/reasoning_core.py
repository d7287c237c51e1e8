"""Procedural problems of the package reasoning-core, `reasoning-core:<generator>`: logic, planning, code, with its scorers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rise.judges.foreign import REASONING_CORE, python_of
from rise.judges.reasoning_gym import AnswerIn
from rise.tasks.reasoning_gym import ReasoningGym


class ReasoningCore(ReasoningGym):
    """Its generators through reasoning-gym's registry, in an environment of their own."""

    family = REASONING_CORE.name

    def __init__(
        self,
        generator: str,
        *,
        config: Mapping[str, Any] | None = None,
        pool: int = 2000,
        answer_in: AnswerIn = "tags",
        right_from: float = 1.0,
        bare_solutions: bool = False,
        instructions: str | None = None,
        seed: int = 0,
        python: str | None = None,
    ) -> None:
        """As `ReasoningGym`; `python`: of the environment that holds reasoning-core, by default
        `.venv-reasoning-core/bin/python`. Its scorers are not known to run answers, and the worker refuses to let them."""
        super().__init__(
            generator,
            config=config,
            pool=pool,
            answer_in=answer_in,
            right_from=right_from,
            bare_solutions=bare_solutions,
            instructions=instructions,
            seed=seed,
            python=python_of(REASONING_CORE, generator, python),
        )
