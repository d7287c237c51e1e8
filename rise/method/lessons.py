"""Lessons in the skills of a nano base as training examples: what `recipes/bases/` train on."""

from __future__ import annotations

from collections.abc import Iterable

from rise.dataset.example import Example
from rise.play.prompt import Prompt
from rise.tasks.skills import Lesson
from rise.trajectory import Message, Turn, Verdict


def lesson_examples(lessons: Iterable[Lesson], prompt: Prompt) -> list[Example]:
    """Lessons as one training example each, all of weight 1."""
    out = []
    for lesson in lessons:
        problem = lesson.problem
        turns: list[Turn] = []
        for attempt in lesson.attempts:
            turns.append(Turn(attempt, feedback=prompt.feedback_for(problem, [*turns, Turn(attempt)])))
        messages = prompt.messages(problem, turns)
        if lesson.ask is not None:
            messages = (*messages[:-1], Message("user", lesson.ask))
        out.append(Example(problem.id, len(turns), messages, lesson.reply, "solution", 1.0, 1.0, (), (), verdict=Verdict.RIGHT))
    return out
