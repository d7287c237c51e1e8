"""Contamination: measured problems that are trained on too, word for word, or up to numbers, or up to names.

A score on problems that were trained on says nothing of new ones. *Up to numbers* finds a question whose numbers were changed,
*up to names* one whose capitalised words were; both are suspects and no proof. Where a task makes questions of one form that
differ in numbers alone, all of them are alike up to numbers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from rise.task import Problem, Task

_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_NAME = re.compile(r"\b[A-Z][a-z]+\b")


def bare(question: str) -> str:
    """The question without what no reader would call a difference.

    >>> bare("  What is\\n 3 + 4? ")
    'what is 3 + 4?'
    """
    return " ".join(question.casefold().split())


def up_to_numbers(question: str) -> str:
    """
    >>> up_to_numbers("Ada has 5 pens at 1,200.50 each.")
    'ada has # pens at # each.'
    """
    return bare(_NUMBER.sub("#", question))


def up_to_names(question: str) -> str:
    """
    >>> up_to_names("Ada gives Bob 5 pens.") == up_to_names("Eve gives Carl 5 pens.")
    True
    """
    return bare(_NAME.sub("@", question))


LEVELS: dict[str, Callable[[Task, str], str]] = {
    "exact": lambda task, question: task.key(question),
    "by the task's own split": lambda task, question: task.skeleton(question),
    "up to names": lambda task, question: up_to_names(question),
    "up to numbers": lambda task, question: up_to_numbers(question),
}
"""From certain to suspicion: one question, one in whatever decides the split of questions, one but for names, but for numbers."""


def overlap(task: Task, training: Iterable[Sequence[Problem]], measured: Sequence[Problem]) -> dict[str, Any]:
    """How many of the measured problems have a trained-on problem alike, at each level, and the first of them.

    `{"n": measured, "n_training": trained on, "levels": {level: {"n": …, "first": question or None}}}`
    """
    trained = {problem.question for part in {id(part): part for part in training}.values() for problem in part}
    same = {task.key(question) for question in trained}
    levels: dict[str, Any] = {}
    for name, key in LEVELS.items():
        known = {key(task, question) for question in trained}
        alike = [q for q in (p.question for p in measured) if key(task, q) in known or task.key(q) in same]
        levels[name] = {"n": len(alike), "first": alike[0] if alike else None}
    return {"n": len(measured), "n_training": len(trained), "levels": levels}
