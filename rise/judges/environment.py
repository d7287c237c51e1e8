"""The judge of environments: a reply is an action behind those before it, its reward the score, the observation what is found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from rise.errors import ConfigError, DataError
from rise.judge import Judge, Judgement
from rise.judges.foreign import SCORE_LIMIT_S, Foreign
from rise.judges.plain import marked
from rise.judges.reasoning_gym import read_marked, same_words
from rise.task import Problem
from rise.trajectory import Turn, Verdict

ActionIn = Literal["whole", "tags", "box"]
OVER = "The episode is over."
NO_ACTION = "There is no action in that reply."


class EnvironmentJudge(Judge):
    """Plays the environment again from its reset for every verdict, so that none depends on what is alive in a process.

    An environment that does not say again what it said is refused.
    """

    looks_back = True

    def __init__(self, foreign: Foreign, action_in: ActionIn, rewards: tuple[float, float], right_from: float) -> None:
        """`rewards`: the worst and the best, which become scores 0 and 1."""
        if action_in not in ("whole", "tags", "box"):
            raise ConfigError(f'task {foreign.name}: action_in = {action_in!r}, but only "whole", "tags" and "box" exist.')
        if not rewards[0] < rewards[1] or not 0 < right_from <= 1:
            raise ConfigError(
                f"task {foreign.name}: worst = {rewards[0]}, best = {rewards[1]}, right_from = {right_from}; worst is below "
                "best, and right_from a score above 0 and at most 1."
            )
        self.foreign, self.action_in, self.rewards, self.right_from = foreign, action_in, rewards, right_from

    def judge(self, problem: Problem, reply: str) -> Judgement:
        return self.after(problem, (), reply)

    def after(self, problem: Problem, earlier: Sequence[Turn], reply: str) -> Judgement:
        action = self.action(reply)
        if action is None:
            return Judgement(Verdict.UNPARSABLE, None, message=NO_ACTION)
        if "reset" not in problem.fields:
            raise DataError(f"problem {problem.id} has no field reset, by which {self.foreign.name} sets it up.")
        played = [(said, turn.message) for turn in earlier if (said := self.action(turn.reply)) is not None]
        if any(message == OVER for _, message in played):
            return Judgement(Verdict.WRONG, marked(action), message=OVER)
        told = self.foreign.ask(
            "play",
            SCORE_LIMIT_S,
            reset=problem.fields["reset"],
            question=problem.question,
            actions=[*(before for before, _ in played), action],
            said=[message or "" for _, message in played],
        )
        if told is None:  # no verdict: under it a resumed run would not say the same
            raise DataError(
                f"task {self.foreign.name}: {len(played) + 1} steps of problem {problem.id} took over {SCORE_LIMIT_S:.0f} s, or "
                "their process ended. What is finished is on disk: the same command continues."
            )
        return self._judgement(told, action)

    def _judgement(self, said: dict[str, Any], action: str) -> Judgement:
        if said["over"]:
            return Judgement(Verdict.WRONG, marked(action), message=OVER)
        worst, best = self.rewards
        score = (said["score"] - worst) / (best - worst)
        if not 0 <= score <= 1:
            raise ConfigError(
                f"task {self.foreign.name}: it gave the reward {said['score']}, outside {worst} … {best}: set "
                "task.settings.worst and task.settings.best to the rewards that it can give."
            )
        verdict = Verdict.RIGHT if score >= self.right_from else Verdict.WRONG
        return Judgement(
            verdict, marked(action), score=None if score in (0.0, 1.0) else score, message=said["observation"] or None
        )

    def action(self, reply: str) -> str | None:
        """What of a reply is played; None where nothing is."""
        return (reply.strip() or None) if self.action_in == "whole" else read_marked(reply, self.action_in)

    def answer(self, reply: str, question: str = "") -> str | None:
        action = self.action(reply)
        return None if action is None else marked(action)

    def same(self, left: str, right: str) -> bool:
        return same_words(left, right)
