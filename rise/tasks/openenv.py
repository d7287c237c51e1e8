"""An OpenEnv environment behind its server, `openenv:URL` or `openenv:URL#ENV`: its observations are the feedback."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rise.errors import ConfigError, DataError
from rise.jsonl import dumps
from rise.judges.environment import ActionIn, EnvironmentJudge
from rise.judges.foreign import AT_ONCE, LOAD_LIMIT_S, OPENENV, Foreign
from rise.judges.reasoning_gym import MARKS
from rise.task import ANY, SPLITS, Problem, Split, Task, check_asked, fewer, problem_id
from rise.tasks.generated import split_of, whole

_ALSO = {"val": "validation", "dev": "validation", "eval": "validation"}


class OpenEnvTask(Task):
    """Each problem is a reset: of a split, with OpenEnv's Task API; without, seed 0, 1, 2, …, by the hash of its question.

    Nothing of an environment is stored: the state before a turn is the reset and the replies before it, played again.
    """

    def __init__(
        self,
        url: str,
        *,
        splits: Mapping[Split, str] | None = None,
        action_field: str | None = None,
        observation_field: str | None = None,
        action_in: ActionIn = "whole",
        worst: float = 0.0,
        best: float = 1.0,
        right_from: float = 1.0,
        pool: int = 20_000,
        instructions: str | None = None,
        python: str | None = None,
    ) -> None:
        """`splits`: what the environment calls ours, where it names them otherwise. `action_field`, `observation_field`: which of
        several texts takes the reply and tells the state. `action_in`: the whole reply, or what stands in `tags` or a `box`.

        Rewards from `worst` to `best` become scores from 0 to 1, of which `right_from` is right. `pool`: how many seeds the
        three splits are drawn from. `python`: of the environment that holds openenv, by default `.venv-openenv/bin/python`.
        """
        self.name = f"openenv:{url}"
        address, _, env = url.partition("#")
        if not re.match(r"https?://\w", address):
            raise ConfigError(f"task {self.name}: write openenv:http://HOST:PORT, or openenv:http://HOST:PORT#NAME.")
        fields = {"action": action_field, "observation": observation_field}
        self._foreign = Foreign(OPENENV, url, python, url=address.rstrip("/"), env=env, fields=fields)
        about = self._foreign.describe()
        fields["action"] = about["action"]
        self.pool = whole("pool", pool, 1, 10**7)
        self.instructions = instructions or MARKS.get(action_in)
        self._named = None if about["splits"] is None else self._ours(about["splits"], splits or {})
        self.endless = self._named is None
        self.splits = SPLITS if self._named is None else tuple(split for split in SPLITS if split in self._named)
        self._judge = EnvironmentJudge(self._foreign, action_in, (worst, best), right_from)
        self._made: dict[str, list[Problem]] = {split: [] for split in SPLITS}
        self._seen: set[str] = set()
        self._next = dict.fromkeys(SPLITS, 0)
        self._lock = threading.Lock()

    def _ours(self, theirs: Mapping[str, int], named: Mapping[Split, str]) -> dict[Split, tuple[str, int]]:
        """Our split → (its name there, how many problems)."""
        found: dict[Split, tuple[str, int]] = {}
        for name, n in theirs.items():
            split = next((ours for ours, said in named.items() if said == name), _ALSO.get(name, name))
            if split in SPLITS:
                found[split] = name, n
        if missing := [name for name in named.values() if name not in theirs]:
            raise ConfigError(f"task {self.name}: task.settings.splits names {missing[0]!r}; it has {', '.join(theirs)}.")
        if not found:
            raise ConfigError(
                f"task {self.name}: its splits are {', '.join(theirs)}; say which is ours: "
                'task.settings.splits = { test = "…" }.'
            )
        return found

    def judge(self) -> EnvironmentJudge:
        return self._judge

    def problems(self, split: Split, n: int | None = None, *, start: int = 0) -> Sequence[Problem]:
        check_asked(self.name, split, n, start)
        if self._named is not None:
            if split not in self._named:
                raise DataError(f"task {self.name} has no {split} split; it has {', '.join(self._named)}.")
            n = max(0, self._named[split][1] - start) if n is None else n
        elif n is None:
            raise DataError(f"task {self.name} has no list of tasks: say how many (n) you want of {split}.")
        with self._lock:
            while len(self._made[split]) < start + n:
                self._extend(split, start + n)
            return self._made[split][start : start + n]

    def _extend(self, split: Split, n: int) -> None:
        resets = list(self._resets(split, n))
        if not resets:
            had = len(self._made[split])
            raise DataError(
                f"task {self.name}: {had} different {split} problems, of {n} asked for. Ask for fewer: {fewer(split)}"
                f"{', or raise task.settings.pool' if self._named is None else ''}."
            )
        said = self._foreign.ask("make", LOAD_LIMIT_S, resets=resets)
        if said is None:
            raise DataError(f"task {self.name}: {len(resets)} resets took over {LOAD_LIMIT_S:.0f} s, or their process ended.")
        for reset, question in zip(resets, said["problems"], strict=True):
            if question not in self._seen or self._named is not None:
                self._seen.add(question)
                where = split if self._named is not None else split_of(question)
                # Tasks of a list may all begin with the same words: what tells them apart is the reset.
                name = "" if self._named is None else problem_id(question, dumps(reset))
                self._made[where].append(Problem(question, ANY, fields={"reset": reset}, id=name))

    def _resets(self, split: Split, n: int) -> Iterator[dict[str, Any]]:
        """The next ones to be tried for a split."""
        counted = split if self._named is not None else "train"  # seeds are the same sequence for all
        start = self._next[counted]
        if self._named is None:
            stop = min(start + AT_ONCE, self.pool)
            yield from ({"seed": seed} for seed in range(start, stop))
        else:
            name, there = self._named[split]
            stop = min(start + AT_ONCE, n, there)
            yield from ({"split": name, "index": index} for index in range(start, stop))
        self._next[counted] = stop
