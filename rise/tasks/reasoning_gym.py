"""Procedural problems of the package reasoning-gym, `reasoning-gym:<generator>`: over a hundred kinds, with their own scorers."""

from __future__ import annotations

import string
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from rise.errors import ConfigError, DataError, did_you_mean
from rise.judge import Judge
from rise.judges import make_judge
from rise.judges.reasoning_gym import MARKS, AnswerIn, Gym
from rise.task import ANY, SPLITS, Problem, Split, Task, check_asked, fewer
from rise.tasks.generated import split_of, whole

_CHUNK = 64


class ReasoningGym(Task):
    """Problems 0, 1, 2, … of one seeded generator, each in the split that its question's own hash says: no two splits meet."""

    endless = True
    family = "reasoning-gym"

    def __init__(
        self,
        generator: str,
        *,
        config: Mapping[str, Any] | None = None,
        pool: int = 20_000,
        answer_in: AnswerIn = "tags",
        right_from: float = 1.0,
        allow_unsafe_scorer: bool = False,
        bare_solutions: bool = False,
        instructions: str | None = None,
        seed: int = 0,
        python: str | None = None,
    ) -> None:
        """`config`: the generator's own settings. `pool`: how many of its problems the three splits are drawn from.

        `answer_in`: where the answer stands, <answer> tags or a box. `right_from`: the score from which an answer is right.
        `bare_solutions` gives each problem its marked answer as worked solution, for a boost that teaches the format. `python`:
        of another environment (`reasoning-core:…`).
        """
        self.name = f"{self.family}:{generator}"
        self.pool = whole("pool", pool, 1, 10**7)
        self.seed = whole("seed", seed, low=0)
        self._gym = Gym(generator, config or {}, self.seed, self.pool, python)
        self._judge = make_judge(
            "reasoning-gym", gym=self._gym, answer_in=answer_in, right_from=right_from, allow_unsafe_scorer=allow_unsafe_scorer
        )
        self._check(config or {})
        self.instructions = MARKS[answer_in] if instructions is None else instructions or None
        self.mark = ("<answer>{}</answer>" if answer_in == "tags" else "\\boxed{{{}}}") if bare_solutions else None
        self._made: dict[str, list[Problem]] = {split: [] for split in SPLITS}
        self._seen: set[str] = set()
        self._next = 0
        self._lock = threading.Lock()

    @property
    def alphabet(self) -> str:
        """Printable ASCII and the line break; a nano model reads anything else as one unknown character."""
        return "".join(sorted({*string.printable[:95], "\n"}))

    def problems(self, split: Split, n: int | None = None, *, start: int = 0) -> Sequence[Problem]:
        check_asked(self.name, split, n, start)
        if n is None:
            raise DataError(f"task {self.name} is generated: say how many problems (n) you want of {split}.")
        with self._lock:
            while len(self._made[split]) < start + n:
                self._extend(split, start + n)
            return self._made[split][start : start + n]

    def judge(self) -> Judge:
        return self._judge

    def _extend(self, split: Split, n: int) -> None:
        if self._next >= self.pool:
            raise DataError(
                f"task {self.name}: {len(self._made[split])} different {split} problems among the first {self.pool}, of {n} "
                f"asked for. Raise task.settings.pool, choose harder settings, or ask for fewer: {fewer(split)}."
            )
        for index, question, answer in self._gym.make(self._next, _CHUNK):
            if question not in self._seen:
                self._seen.add(question)
                gold = ANY if answer is None else answer
                solution = self.mark.format(answer) if self.mark is not None and answer is not None else None
                problem = Problem(question, gold, solution=solution, fields={"index": index})
                self._made[split_of(question)].append(problem)
        self._next += _CHUNK

    def _check(self, config: Mapping[str, Any]) -> None:
        about = self._gym.ask("describe", 10.0) or {"names": [], "settings": []}
        if self._gym.name not in about["names"]:
            raise ConfigError(f"unknown generator in {self.name!r}. {did_you_mean(self._gym.name, about['names'])}")
        for setting in config:
            if setting not in about["settings"]:
                raise ConfigError(f"task {self.name}: config has {setting!r}. {did_you_mean(setting, about['settings'])}")
