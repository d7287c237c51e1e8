"""Functions of the user's, called while serving: feedback, a vote, a judge. They may sleep, raise, or want to end Python."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from rise.errors import ConfigError, RiseError
from rise.judge import Judge
from rise.judges.named import FunctionOfReply, OwnJudge
from rise.play.prompt import Prompt
from rise.recipe.wordings import is_own_feedback
from rise.task import Problem
from rise.trajectory import Turn

T = TypeVar("T")

LIMIT_S = 30.0
"""For one call."""
N_AT_ONCE = 8


class OwnCodeError(RiseError):
    """A function of the user's raised, or did not come back."""


class Aside:
    """Calls functions beside the event loop, in threads that nothing waits for: one that sleeps stops neither other
    conversations nor the end of the server."""

    def __init__(self, limit_s: float = LIMIT_S) -> None:
        self.limit_s = limit_s
        self._places = asyncio.Semaphore(N_AT_ONCE)

    async def call(self, what: str, function: Callable[..., T], *arguments: Any) -> T:
        """What the function returns. Raises `OwnCodeError`, led by `what`, whatever it raises, also where it would end Python."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()

        def tell(set_: Callable[[Any], None], value: Any) -> None:
            if not done.done():
                set_(value)

        def work() -> None:
            try:
                found, set_ = function(*arguments), done.set_result
            except BaseException as error:
                found, set_ = _wrapped(what, error), done.set_exception  # type: ignore[assignment]
            with contextlib.suppress(RuntimeError):  # the server has ended meanwhile
                loop.call_soon_threadsafe(tell, set_, found)

        async with self._places:
            threading.Thread(target=work, name="rise-own-code", daemon=True).start()
            try:
                async with asyncio.timeout(self.limit_s):
                    return await done
            except TimeoutError:
                raise OwnCodeError(f"{what} took longer than {self.limit_s:g} s.") from None


def _wrapped(what: str, error: BaseException) -> BaseException:
    if isinstance(error, RiseError):
        return error
    wrapped = OwnCodeError(f"{what} raised {type(error).__name__}.")
    wrapped.__cause__ = error
    return wrapped


def is_own(judge: Judge) -> bool:
    """Whether a judge is code of the user's."""
    return isinstance(judge, OwnJudge | FunctionOfReply) or not type(judge).__module__.startswith("rise.")


TRIED = (None, "2", "def f(n):\n    return n + 1")
"""Answers on which what is to be served is tried."""


def try_out(prompt: Prompt, judge: Judge) -> None:
    """Try feedback and judge on what they are given while serving, where nobody knows the right answer.

    Raises `ConfigError` where one of them cannot do without.
    """
    problem = Problem("What is 1 + 1?", gold="", id="served")
    unknown = "cannot be served: nobody knows the right answer while serving, and"
    for answer in TRIED:
        turn = Turn(f"So it is:\n```python\n{answer}\n```" if answer else "I cannot say.", answer=answer)
        if is_own_feedback(prompt.feedback):
            try:
                prompt.feedback_for(problem, [turn])
            except (Exception, SystemExit) as error:
                raise ConfigError(
                    f'state.feedback = "{prompt.feedback}" {unknown} given a problem without gold and a verdict of None it '
                    f"raises {_said(error)}. Have it return a text there, or choose another: --set state.feedback=neutral."
                ) from error
        try:
            judge.answer(turn.reply, problem.question)
        except (Exception, SystemExit) as error:
            raise ConfigError(
                f"The task's judge {unknown} asked for the answer in a reply it raises {_said(error)}. Give it a method "
                "answer(reply), or serve with another judge: --task jsonl."
            ) from error


def _said(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
