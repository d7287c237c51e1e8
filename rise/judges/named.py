"""A judge of your own: a function `right(reply, gold)`, or an object with `judge(problem, reply)` and `same(left, right)`."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable
from typing import Any

from rise.errors import ConfigError
from rise.judge import Judge, Judgement
from rise.judges.plain import marked, one_spacing
from rise.recipe.own_code import load_named
from rise.task import Problem
from rise.trajectory import Verdict


class OwnJudge(Judge):
    """A judge of yours with its results checked: an error names its class and the problem. It need not inherit from `Judge`."""

    def __init__(self, judge: Any) -> None:
        self._judge = judge
        self._name = f"{type(judge).__module__}.{type(judge).__qualname__}"
        found = getattr(judge, "answer", None)  # of a judge that inherits it, the default asks `judge` anyway
        self._answer: Callable[[str], Any] | None = found if callable(found) and not isinstance(judge, Judge) else None

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
        if found.score is not None and not (_is_number(found.score) and 0 <= found.score <= 1):
            raise ConfigError(
                f"{self._name}.judge returned {found!r} for problem {problem.id}; its score must be a number from 0 "
                "to 1, or None."
            )
        if not all(text is None or isinstance(text, str) for text in (found.message, found.brief)):
            raise ConfigError(
                f"{self._name}.judge returned {found!r} for problem {problem.id}; its message and brief must be text, or None."
            )
        return found

    def same(self, left: str, right: str) -> bool:
        return bool(self._call("same", f"answers {left!r} and {right!r}", lambda: self._judge.same(left, right)))

    def answer(self, reply: str, question: str = "") -> str | None:
        if isinstance(self._judge, Judge):
            own: Judge = self._judge
            found = self._call("answer", "a reply", lambda: own.answer(reply, question))
        elif self._answer is not None:
            read = self._answer
            found = self._call("answer", "a reply", lambda: read(reply))
        else:
            return super().answer(reply, question)
        if not (found is None or isinstance(found, str)):
            raise ConfigError(f"{self._name}.answer returned {found!r}; expected text, or None where the reply holds no answer.")
        return found

    def _call(self, method: str, about: str, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            raise ConfigError(
                f"{self._name}.{method} raised {type(error).__name__} ({error}) at {place.filename}:{place.lineno} for {about}. "
                "A judge decides on whatever a model writes: return Verdict.UNPARSABLE or WRONG instead."
            ) from error


def load_judge(path: str, setting: str = "judge_path", **settings: Any) -> Judge:
    """The judge at `module:name`: a function of (reply, gold), an object, or what makes one when called with `settings`.

    Raises `ConfigError`, led by `setting`, if it is none.
    """
    found = load_named(path, setting)
    if _takes_reply_and_gold(found) and not settings:
        return FunctionOfGold(found)
    if isinstance(found, type) or (callable(found) and not _is_judge(found)):
        try:
            found = found(**settings)
        except Exception as error:
            raise ConfigError(f'{setting} = "{path}": calling it fails with {type(error).__name__}: {error}.') from error
    elif settings:
        raise ConfigError(f'{setting} = "{path}" is a finished judge, which takes no settings: {", ".join(settings)}.')
    if not _is_judge(found):
        raise ConfigError(f'{setting} = "{path}" is no judge: it needs judge(problem, reply) and same(left, right).')
    return OwnJudge(found)


def as_judge(thing: Any) -> Judge:
    """An object with `judge` and `same`, or a function of (reply, gold) or (problem, reply), as a `Judge`.

    Raises `ConfigError` for others.
    """
    if isinstance(thing, Judge):
        return thing
    if not isinstance(thing, type) and _is_judge(thing):
        return OwnJudge(thing)
    if _takes_reply_and_gold(thing):
        return FunctionOfGold(thing)
    if callable(thing) and not isinstance(thing, type):
        return FunctionOfReply(thing)
    raise ConfigError(f"{thing!r} is no judge: it needs judge(problem, reply) and same(left, right).")


class FunctionOfReply(Judge):
    """A function (problem, reply) → bool as a judge: the whole reply is the answer. A number from 0 to 1 is a score."""

    def __init__(self, function: Callable[[Problem, str], Any]) -> None:
        self._function = function

    def judge(self, problem: Problem, reply: str) -> Judgement:
        return _judged(self._function, self._function(problem, reply), problem, reply.strip() or None)

    def same(self, left: str, right: str) -> bool:
        return left == right

    def answer(self, reply: str, question: str = "") -> str | None:
        return reply.strip() or None


class FunctionOfGold(Judge):
    """A function `right(reply, gold)` → bool, or a score from 0 to 1, as a judge.

    Votes count what replies mark as their answer, else their last lines. A reply with nothing in it is unparsable.
    """

    def __init__(self, function: Callable[[str, str], Any]) -> None:
        self._function = function

    def judge(self, problem: Problem, reply: str) -> Judgement:
        answer = marked(reply)
        if answer is None:
            return Judgement(Verdict.UNPARSABLE, None)
        try:
            found = self._function(reply, problem.gold)
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            raise ConfigError(
                f"the judge {self._function.__name__} raised {type(error).__name__} ({error}) at {place.filename}:{place.lineno} "
                f"for problem {problem.id}. It decides on whatever a model writes: return False instead."
            ) from error
        return _judged(self._function, found, problem, answer)

    def same(self, left: str, right: str) -> bool:
        return one_spacing(left) == one_spacing(right)

    def answer(self, reply: str, question: str = "") -> str | None:
        return marked(reply)


def _judged(function: Callable[..., Any], found: Any, problem: Problem, answer: str | None) -> Judgement:
    """What a judging function has returned, as a judgement."""
    if isinstance(found, bool):
        return Judgement(Verdict.RIGHT if found else Verdict.WRONG, answer)
    if _is_number(found) and 0 <= found <= 1:
        return Judgement(Verdict.RIGHT if found == 1 else Verdict.WRONG, answer, score=float(found))
    raise ConfigError(
        f"the judge {function!r} returned {found!r} for problem {problem.id}; expected True, False or a score from 0 to 1."
    )


def _takes_reply_and_gold(thing: Any) -> bool:
    return inspect.isfunction(thing) and list(inspect.signature(thing).parameters) == ["reply", "gold"]


def _is_judge(thing: Any) -> bool:
    return callable(getattr(thing, "judge", None)) and callable(getattr(thing, "same", None))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
