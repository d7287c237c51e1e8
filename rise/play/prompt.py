"""What the model is shown at each turn: instructions, the attempts so far, and the feedback between them.

The state of the multi-turn decision process (RISE §3, §4.1): s' = concat(s, reply, feedback), cut to the last `window` attempts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from rise.errors import ConfigError
from rise.jsonl import whole_text
from rise.recipe.config import Demonstration, RunConfig, StateConfig
from rise.recipe.own_code import load_named
from rise.recipe.verify import VerifyConfig
from rise.recipe.wordings import CRITIQUE_TEXT, Feedback, feedback_mode, is_own_feedback
from rise.task import Problem, Task
from rise.trajectory import Message, Role, Trajectory, Turn, Verdict

FeedbackFunction = Callable[[Problem, Trajectory, Verdict | None], str]

NOTHING = "?"
"""What stands for an attempt of nothing, and for a feedback of nothing: several endpoints refuse a message without content. One
character that every nano model has a token for."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """How a problem and its attempts become the messages a policy is shown."""

    instructions: str | None = None
    """System text; None for none."""
    feedback: str = "always-wrong"
    """A mode of `rise.recipe.wordings.FEEDBACK`, or `module:function`."""
    feedback_text: str | None = None
    """Own wording for the mode; `{question}` stands for the question."""
    window: int | None = None
    """How many of the most recent attempts are shown; None shows all, 0 none."""
    demonstration: Demonstration | None = None
    """A worked example before the problem, in every state; no window cuts it."""

    critique_text: str | None = None
    """Own wording of what asks for a critique under `self-refine`."""
    verify: VerifyConfig | None = None
    """How the model is asked whether its attempt is right; None where it is not. No later state shows question or word: a run
    that goes on was called wrong."""

    @classmethod
    def of(cls, state: StateConfig, instructions: str | None) -> Prompt:
        """As a recipe's [state] says. `instructions` are the task's own, for where it says nothing of them."""
        shown = None if state.window == "all" else state.window
        system = (instructions if state.instructions is None else state.instructions) or None
        demonstration = state.demonstration if isinstance(state.demonstration, Demonstration) else None
        verify = state.verify if isinstance(state.verify, VerifyConfig) else None
        return cls(system, state.feedback, state.feedback_text, shown, demonstration, state.critique_text, verify)

    @property
    def mode(self) -> Feedback:
        return feedback_mode(self.feedback)

    @property
    def uses_oracle(self) -> bool:
        """Whether the feedback may know the truth, which decides what an evaluation under it measures."""
        return self.mode.knows_truth

    @property
    def stops_when_right(self) -> bool:
        """Whether an episode ends at its first right reply."""
        return self.mode.stops_when_right

    @property
    def refines(self) -> bool:
        """Whether the model criticises each attempt before it tries again; with nothing shown there is nothing to criticise."""
        return self.mode.asks_critique and self.window != 0

    def words(self, *, asks_again: bool = True) -> dict[str, str]:
        """What the recipe itself says, by its setting in [state]; without `asks_again`, of the first turn alone.

        What a judge or a function of yours says is not known beforehand.

        >>> Prompt(feedback="neutral", feedback_text="{question}").words()
        {'feedback_text': '{question}'}
        """
        found = {"instructions": self.instructions or ""}
        if self.demonstration:
            found["demonstration"] = " ".join(self.demonstration.model_dump().values())
        if asks_again and not is_own_feedback(self.feedback):
            right = "" if self.stops_when_right else self.mode.right_text or ""  # nobody reads what an episode ends in
            found["feedback_text"] = (self.feedback_text or self.mode.text) + right
        if asks_again and self.refines:
            found["critique_text"] = self._critique_text
        if asks_again and self.verify is not None:
            ask = self.verify.ask.replace("{attempt}", "0123456789")
            found["verify"] = f"{ask} {self.verify.right} {self.verify.wrong}"
        return {name: text for name, text in found.items() if text}

    def feedback_for(self, problem: Problem, turns: Sequence[Turn]) -> str:
        """The text that follows the last of `turns`. Raises `ConfigError` where a function of yours returns no text."""
        if is_own_feedback(self.feedback):
            trajectory = Trajectory(problem.id, problem.question, problem.gold, tuple(turns), problem.fields)
            text = load_function(self.feedback)(problem, trajectory, turns[-1].verdict)
            if not isinstance(text, str):
                raise ConfigError(
                    f'state.feedback = "{self.feedback}" returned {text!r} for problem {problem.id}; expected text.'
                )
            return whole_text(text)
        if self.mode.quotes_judge and turns[-1].message:
            return turns[-1].message
        if self.mode.right_text is not None and turns[-1].right:
            return self.mode.right_text
        return (self.feedback_text or self.mode.text).replace("{question}", problem.question)

    def messages(self, problem: Problem, turns: Sequence[Turn]) -> tuple[Message, ...]:
        """The state after `turns`. Each of them needs its `feedback`.

        >>> p = Problem("2*3", gold="6")
        >>> t = [Turn("5", feedback="?"), Turn("7", feedback="?")]
        >>> [m.content for m in Prompt(window=1).messages(p, t)]
        ['2*3', '7', '?']
        >>> [m.content for m in Prompt(window=0).messages(p, t)]
        ['2*3']
        """
        return self.continued(self.opened([Message("user", problem.question)]), turns)

    def opened(self, sent: Sequence[Message]) -> tuple[Message, ...]:
        """The first state of a conversation that ends in the question: system text, unless it brings its own, and worked
        example before it."""
        system = [message for message in sent if message.role == "system"]
        if not system and self.instructions:
            sent = [Message("system", self.instructions), *sent]
        if not self.demonstration:
            return tuple(sent)
        n = next(i for i, message in enumerate(sent) if message.role != "system")
        shown = [Message("user", self.demonstration.question), Message("assistant", self.demonstration.reply)]
        question = self.demonstration.lead.replace("{question}", sent[-1].content)
        return (*sent[:n], *shown, *sent[n:-1], Message("user", question))

    def continued(self, first: Sequence[Message], turns: Sequence[Turn]) -> tuple[Message, ...]:
        """The state after `turns` on whatever `first` says, which is always shown whole: the window is one of attempts."""
        messages = list(first)
        for turn in self._shown(turns):
            assert turn.feedback is not None, "feedback is set when a turn is recorded"
            messages.append(_message("assistant", turn.reply))
            if turn.critique is not None:
                messages += [Message("user", self._critique_text), _message("assistant", turn.critique.reply)]
            messages.append(_message("user", turn.feedback))
        return tuple(messages)

    def critique_messages(self, problem: Problem, turns: Sequence[Turn]) -> tuple[Message, ...]:
        """What asks the model for a critique of the last of `turns`, the earlier ones shown as ever.

        >>> p = Problem("2*3", gold="6")
        >>> [m.content for m in Prompt(feedback="self-refine", critique_text="Why?").critique_messages(p, [Turn("5")])]
        ['2*3', '5', 'Why?']
        """
        return self.criticised(self.opened([Message("user", problem.question)]), turns)

    def criticised(self, first: Sequence[Message], turns: Sequence[Turn]) -> tuple[Message, ...]:
        """The same on whatever `first` says."""
        return self._asked(first, self._shown(turns), self._critique_text)

    def verify_messages(self, problem: Problem, turns: Sequence[Turn]) -> tuple[Message, ...]:
        """What asks the model whether the last of `turns` is right, the earlier ones shown as ever; that one always is.

        >>> p, t = Problem("2*3", gold="6"), [Turn("5", feedback="?"), Turn("6")]
        >>> [m.content for m in Prompt(verify=VerifyConfig(ask="hit {attempt}")).verify_messages(p, t)]
        ['2*3', '5', '?', '6', 'hit 2']
        """
        return self.verified(self.opened([Message("user", problem.question)]), turns)

    def verified(self, first: Sequence[Message], turns: Sequence[Turn]) -> tuple[Message, ...]:
        """The same on whatever `first` says."""
        assert self.verify is not None, "the recipe asks for verdicts"
        shown = self._shown(turns) or turns[-1:]
        return self._asked(first, shown, self.verify.ask.replace("{attempt}", str(len(shown))))

    def _asked(self, first: Sequence[Message], shown: Sequence[Turn], ask: str) -> tuple[Message, ...]:
        """The attempts, and a question about the last of them."""
        *earlier, last = shown
        before = replace(self, window=None).continued(first, earlier)
        return (*before, _message("assistant", last.reply), Message("user", ask))

    @property
    def _critique_text(self) -> str:
        return CRITIQUE_TEXT if self.critique_text is None else self.critique_text

    def _shown(self, turns: Sequence[Turn]) -> Sequence[Turn]:
        return turns if self.window is None else turns[max(0, len(turns) - self.window) :]


def _message(role: Role, text: str) -> Message:
    return Message(role, text if text.strip() else NOTHING)


def with_system_in_question(messages: Sequence[Message]) -> tuple[Message, ...]:
    r"""For models without a system role: its text once, at the head of the first question. No word is lost, and it stands in the
    same place in every stage.

    >>> [m.content for m in with_system_in_question([Message("system", "Add."), Message("user", "1+1?")])]
    ['Add.\n\n1+1?']
    """
    if len(messages) > 1 and messages[0].role == "system":
        system, question, *rest = messages
        return (replace(question, content=f"{system.content}\n\n{question.content}"), *rest)
    return tuple(messages)


def make_prompt(config: RunConfig, task: Task, *, evaluation: bool = False) -> Prompt:
    """What is shown at each turn, as the recipe and the task say; `evaluate.state` where that differs in evaluation."""
    return Prompt.of((config.evaluate.state or config.state) if evaluation else config.state, task.instructions)


def load_function(path: str) -> FeedbackFunction:
    """The feedback function behind `module:name`. Raises `ConfigError` where there is none."""
    found = load_named(path, "state.feedback")
    if not callable(found):
        raise ConfigError(f'state.feedback = "{path}" is no function: it is called with (problem, trajectory, verdict).')
    return found
