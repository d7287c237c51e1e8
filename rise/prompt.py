"""What the model is shown at each turn: instructions, the attempts so far, and the feedback between them.

The state of the multi-turn decision process (RISE §3, §4.1): s' = concat(s, reply, feedback), cut to the last `window` attempts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rise.by_name import load_named
from rise.config import Demonstration, StateConfig
from rise.errors import ConfigError
from rise.task import Problem
from rise.trajectory import Message, Trajectory, Turn, Verdict

FEEDBACK_TEXTS = {
    "always-wrong": "That answer is incorrect. Please try once more. The question was: {question}",
    "neutral": "Check your answer above step by step. If it is right, give it again; if it is not, correct it.",
    "truthful": "That answer is correct.",
}
"""What is said after an attempt. `truthful` says this only after right replies, and the always-wrong text after others."""

FeedbackFunction = Callable[[Problem, Trajectory, Verdict | None], str]


@dataclass(frozen=True, slots=True)
class Prompt:
    """How a problem and its attempts become the messages a policy is shown."""

    instructions: str | None = None
    """System text; None for none."""
    feedback: str = "always-wrong"
    """`always-wrong` (as published), `neutral`, `truthful` (an oracle), or `module:function`."""
    feedback_text: str | None = None
    """Own wording for the mode; `{question}` stands for the question."""
    window: int | None = None
    """How many of the most recent attempts are shown; None shows all, 0 none."""
    demonstration: Demonstration | None = None
    """A worked example before the problem, in every state; no window cuts it."""

    @classmethod
    def of(cls, state: StateConfig, instructions: str | None) -> Prompt:
        """As a recipe's [state] says. `instructions` are the task's own, for where it says nothing of them."""
        shown = None if state.window == "all" else state.window
        system = (instructions if state.instructions is None else state.instructions) or None
        demonstration = state.demonstration if isinstance(state.demonstration, Demonstration) else None
        return cls(system, state.feedback, state.feedback_text, shown, demonstration)

    @property
    def uses_oracle(self) -> bool:
        """Whether the feedback may know the truth, which decides what an evaluation under it measures."""
        return self.feedback not in ("always-wrong", "neutral")

    def feedback_for(self, problem: Problem, turns: Sequence[Turn]) -> str:
        """The text that follows the last of `turns`."""
        if ":" in self.feedback:
            trajectory = Trajectory(problem.id, problem.question, problem.gold, tuple(turns), problem.fields)
            text = load_function(self.feedback)(problem, trajectory, turns[-1].verdict)
            if not isinstance(text, str):
                raise ConfigError(
                    f'state.feedback = "{self.feedback}" returned {text!r} for problem {problem.id}; expected text.'
                )
            return text
        if self.feedback == "truthful":
            if turns[-1].right:
                return FEEDBACK_TEXTS["truthful"]
            text = self.feedback_text or FEEDBACK_TEXTS["always-wrong"]
        else:
            text = self.feedback_text or FEEDBACK_TEXTS[self.feedback]
        return text.replace("{question}", problem.question)

    def messages(self, problem: Problem, turns: Sequence[Turn]) -> tuple[Message, ...]:
        """The state after `turns`. Each of them needs its `feedback`.

        >>> p = Problem("id", "2*3", "6")
        >>> t = [Turn("5", feedback="?"), Turn("7", feedback="?")]
        >>> [m.content for m in Prompt(window=1).messages(p, t)]
        ['2*3', '7', '?']
        >>> [m.content for m in Prompt(window=0).messages(p, t)]
        ['2*3']
        """
        first = [Message("system", self.instructions)] if self.instructions else []
        question = problem.question
        if self.demonstration:
            first += [Message("user", self.demonstration.question), Message("assistant", self.demonstration.reply)]
            question = self.demonstration.lead.replace("{question}", question)
        return self.continued([*first, Message("user", question)], turns)

    def continued(self, first: Sequence[Message], turns: Sequence[Turn]) -> tuple[Message, ...]:
        """The state after `turns` on whatever `first` says, which is always shown whole: the window is one of attempts."""
        shown = turns if self.window is None else turns[max(0, len(turns) - self.window) :]
        messages = list(first)
        for turn in shown:
            assert turn.feedback is not None, "feedback is set when a turn is recorded"
            messages += [Message("assistant", turn.reply), Message("user", turn.feedback)]
        return tuple(messages)


def load_function(path: str) -> FeedbackFunction:
    """The feedback function behind `module:name`. Raises `ConfigError` where there is none."""
    found = load_named(path, "state.feedback")
    if not callable(found):
        raise ConfigError(f'state.feedback = "{path}" is no function: it is called with (problem, trajectory, verdict).')
    return found
