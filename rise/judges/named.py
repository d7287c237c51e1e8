"""A judge of your own: any object with `judge(problem, reply)` and `same(left, right)`. docs/own-judge.md has one."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

from rise.errors import ConfigError
from rise.judge import Judgement
from rise.recipe.own_code import load_named
from rise.task import Problem
from rise.trajectory import Verdict


class OwnJudge:
    """Somebody's judge, its results looked at: what is no judgement is said to be none, with its class and the problem."""

    def __init__(self, judge: Any) -> None:
        self._judge = judge
        self._name = f"{type(judge).__module__}.{type(judge).__qualname__}"

    def judge(self, problem: Problem, reply: str) -> Judgement:
        found = self._call("judge", f"problem {problem.id}", lambda: self._judge.judge(problem, reply))
        if not isinstance(found, Judgement):
            raise ConfigError(
                f"{self._name}.judge returned {found!r} for problem {problem.id}; expected "
                'rise.judge.Judgement(Verdict.RIGHT, "the answer").'
            )
        if not isinstance(found.verdict, Verdict) or not (found.answer is None or isinstance(found.answer, str)):
            raise ConfigError(
                f"{self._name}.judge returned {found!r} for problem {problem.id}; its verdict must be a rise.trajectory.Verdict "
                "and its answer text, or None where the reply holds none."
            )
        return found

    def same(self, left: str, right: str) -> bool:
        return bool(self._call("same", f"answers {left!r} and {right!r}", lambda: self._judge.same(left, right)))

    def _call(self, method: str, about: str, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            raise ConfigError(
                f"{self._name}.{method} raised {type(error).__name__} ({error}) at {place.filename}:{place.lineno} for {about}. "
                "A judge decides on whatever a model writes: return Verdict.UNPARSABLE or WRONG instead."
            ) from error


def load_judge(path: str) -> OwnJudge:
    """The judge at `module:name`: an object, or a class or function that makes one. Raises `ConfigError` if it is none."""
    found = load_named(path, "judge_path")
    if isinstance(found, type) or (callable(found) and not _is_judge(found)):
        try:
            found = found()
        except Exception as error:
            raise ConfigError(f'judge_path = "{path}": calling it fails with {type(error).__name__}: {error}.') from error
    if not _is_judge(found):
        raise ConfigError(f'judge_path = "{path}" is no judge: it needs judge(problem, reply) and same(left, right).')
    return OwnJudge(found)


def _is_judge(thing: Any) -> bool:
    return callable(getattr(thing, "judge", None)) and callable(getattr(thing, "same", None))
