"""Wordings by name: the feedback modes, what `state.preset` stands for, and the worked example of `state.demonstration = true`.

The published prompts have four parts: instructions, one worked example as an exchange, a lead from it to the problem, and a
feedback that always calls the attempt wrong. The feedback is the published sentence; of the other parts we know what they
say and not their words, so the words are ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rise.errors import did_you_mean


@dataclass(frozen=True, slots=True)
class Feedback:
    """A feedback mode: what is said after an attempt, and what that says of the truth."""

    text: str
    """`{question}` stands for the question. `state.feedback_text` in a recipe replaces it."""
    about: str
    """One sentence for the documentation and `rise run --dry-run`."""
    right_text: str | None = None
    """Said after right attempts in place of `text`; None: the same after all."""
    says_wrong: bool = False
    """Whether `text` calls the attempt wrong, as the feedback text of a preset does."""
    knows_truth: bool = False
    """Whether what is said may depend on the gold answer: then an evaluation is not one of introspection."""
    stops_when_right: bool = False
    """Whether an episode ends at its first right reply, since the model has been told that it is right."""
    quotes_judge: bool = False
    """Whether what the judge found is said (`Judgement.message`), and `text` only where it found nothing to say."""
    asks_critique: bool = False
    """Whether the model first says what is wrong with its attempt."""


_WRONG = "That answer is incorrect. Please try once more. The question was: {question}"

FEEDBACK = {
    "always-wrong": Feedback(_WRONG, "calls every attempt wrong, as published", says_wrong=True),
    "neutral": Feedback(
        "Check your answer above step by step. If it is right, give it again; if it is not, correct it.",
        "asks to check every attempt",
    ),
    "truthful": Feedback(
        _WRONG,
        "says whether the attempt is right (an oracle), and ends an episode at its first right reply",
        right_text="That answer is correct.",
        says_wrong=True,
        knows_truth=True,
        stops_when_right=True,
    ),
    "self-refine": Feedback(
        "Now answer again, mending whatever you found wrong. The question was: {question}",
        "has the model criticise its attempt first, then asks for another",
        asks_critique=True,
    ),
    "environment": Feedback(
        "Try again.",
        "says what the judge found, such as an environment's observation, and ends an episode at its first right reply",
        knows_truth=True,
        stops_when_right=True,
        quotes_judge=True,
    ),
}
"""Mode → what it says. The only list: recipes, prompts, evaluation and reports read it. A mode may be added on import."""

OWN_FEEDBACK = Feedback("", "says what your function returns, which may know the gold answer", knows_truth=True)
"""What is assumed of a function of yours, `module:function`."""

CRITIQUE_TEXT = "Go through your answer above step by step and say what is wrong with it. Do not answer again yet."
"""What asks for a critique. Self-Refine (Madaan et al. 2023) in our own words."""


def is_own_feedback(name: str) -> bool:
    """Whether `state.feedback` names a function, `module:function`, and no mode."""
    return ":" in name and name not in FEEDBACK


def feedback_mode(name: str) -> Feedback:
    """The mode of that name, or `OWN_FEEDBACK` for `module:function`. Raises `ValueError` with the nearest valid name.

    >>> feedback_mode("truthful").stops_when_right, feedback_mode("my_module:say").knows_truth
    (True, True)
    """
    if is_own_feedback(name):
        return OWN_FEEDBACK
    if name not in FEEDBACK:
        raise ValueError(
            f'state.feedback = "{name}" is no mode. Use {", ".join(FEEDBACK)} or module:function. {did_you_mean(name, FEEDBACK)}'
        )
    return FEEDBACK[name]


def feedback_words(name: str, text: str | None) -> str:
    """What the feedback does, from its verb on: the mode's own sentence, or what `state.feedback_text` puts in its place.

    >>> feedback_words("neutral", "{question}"), feedback_words("neutral", "Sure?"), feedback_words("always-wrong", None)
    ('asks the question again', 'says "Sure?"', 'calls every attempt wrong, as published')
    """
    mode = feedback_mode(name)
    if not text or mode.asks_critique:
        return mode.about
    said = "asks the question again" if text.strip() == "{question}" else f'says "{" ".join(text.split())}"'
    return f"{mode.about}; of a wrong attempt it {said}" if mode.knows_truth else said


def told(state: Mapping[str, Any]) -> str:
    """What the feedback of a [state] as written knows: nothing (""), the truth ("stops": a run ends when right), or "may know".

    A mode that is not loaded here, as in a run made with a module of yours, may know.
    """
    mode = FEEDBACK.get(str(state.get("feedback") or "always-wrong"), OWN_FEEDBACK)
    return "stops" if mode.stops_when_right else "may know" if mode.knows_truth else ""


DEMONSTRATION = {
    "question": "A bakery bakes 9 trays of 6 rolls each and sells 31 of the rolls in the morning. How many rolls are left?",
    "reply": "Step 1: The bakery bakes 9 * 6 = 54 rolls.\nStep 2: After the morning 54 - 31 = 23 rolls are left.\n"
    "Answer: \\boxed{23}",
    "lead": "Well done, that is the right answer. Now to the next problem. {question}",
}
"""A small word problem, solved in numbered steps with the answer in a box."""

PRESETS: dict[str, dict[str, Any]] = {
    "paper": {
        "instructions": "You are an expert in mathematics. Solve the problem step by step and give the final answer inside "
        "\\boxed{}. An example comes first.",
        "demonstration": DEMONSTRATION,
        "feedback": "always-wrong",
        "feedback_text": "The answer is incorrect. Please try again. Here's the question: {question}",
    }
}
"""Preset → fields of [state]; what a recipe sets itself goes before."""


def with_preset(state: dict[str, Any]) -> dict[str, Any]:
    """A recipe's [state] with what its preset says of the fields it does not set.

    The preset's feedback text calls an attempt wrong, so it is left out where another feedback is chosen.

    >>> sorted(with_preset({"preset": "paper", "feedback": "neutral", "demonstration": False}))
    ['demonstration', 'feedback', 'instructions', 'preset']
    """
    out = {**PRESETS.get(str(state.get("preset")), {}), **state}
    mode = FEEDBACK.get(str(out.get("feedback", "always-wrong")))
    if "feedback_text" not in state and not (mode and mode.says_wrong):
        out.pop("feedback_text", None)
    if out.get("demonstration") is True:
        out["demonstration"] = DEMONSTRATION
    return out
