"""Wordings by name: what `state.preset` stands for, and the worked example that `state.demonstration = true` shows.

The published prompts have four parts: instructions, one worked example as an exchange, a lead from it to the problem, and a
feedback that always calls the attempt wrong. The feedback is the published sentence; of the other parts we know what they
say and not their words, so the words are ours.
"""

from __future__ import annotations

from typing import Any

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

_SAYS_WRONG = ("always-wrong", "truthful")


def with_preset(state: dict[str, Any]) -> dict[str, Any]:
    """A recipe's [state] with what its preset says of the fields it does not set.

    The preset's feedback text calls an attempt wrong, so it is left out where another feedback is chosen.

    >>> sorted(with_preset({"preset": "paper", "feedback": "neutral", "demonstration": False}))
    ['demonstration', 'feedback', 'instructions', 'preset']
    """
    out = {**PRESETS.get(str(state.get("preset")), {}), **state}
    if "feedback_text" not in state and out.get("feedback", "always-wrong") not in _SAYS_WRONG:
        out.pop("feedback_text", None)
    if out.get("demonstration") is True:
        out["demonstration"] = DEMONSTRATION
    return out
