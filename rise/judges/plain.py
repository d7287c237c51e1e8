r"""Judges of answers that are not mathematics: the same text, a letter of a choice, what a pattern finds, a number, JSON.

All but `regex` read the answer that a reply marks, `\boxed{…}`, `#### …` or `Answer: …`, else its last line.
"""

from __future__ import annotations

import json
import re
from abc import abstractmethod
from fractions import Fraction
from typing import Any

from rise.errors import ConfigError
from rise.judge import Judge, Judgement
from rise.judges.answers import extract
from rise.task import Problem
from rise.trajectory import Verdict

LONGEST = 20_000
"""Characters at the end of a reply that patterns are looked for in: a pattern may take long on a long text."""

_ANSWER = re.compile(r"\banswer\s{0,4}(?:is\b|:|=)[\s:*]{0,8}([^\n]*)", re.IGNORECASE)
_NUMBER = re.compile(r"(?<![\w.])[-−]?\d[\d,]*(?:\.\d+)?(?:/\d+)?(?:[eE][-+]?\d{1,3})?")
_FENCED = re.compile(r"```(?:json)?\s*\n(.*?)```", re.DOTALL)


def marked(reply: str) -> str | None:
    r"""The answer that a reply marks, else its last line; None for an empty reply.

    >>> marked("Let me see.\n**Answer:** dark red."), marked(r"So \boxed{B}."), marked("One.\nTwo.\n"), marked(" ")
    ('dark red', 'B', 'Two', None)
    """
    found = extract(reply)
    if found is None and (lines := _ANSWER.findall(reply[-LONGEST:])):
        found = lines[-1]
    if found is None:
        found = reply.strip().rpartition("\n")[2]
    return found.strip().strip("*`\"'").rstrip(".").strip() or None


def one_spacing(text: str) -> str:
    """Small letters, and one space for any."""
    return " ".join(text.casefold().split())


class ByAnswer(Judge):
    """Reads an answer and compares it with gold: `answer` and `same` say all."""

    def judge(self, problem: Problem, reply: str) -> Judgement:
        answer = self.answer(reply, problem.question)
        if answer is None:
            return Judgement(Verdict.UNPARSABLE, None)
        return Judgement(Verdict.RIGHT if self.right(answer, problem.gold) else Verdict.WRONG, answer)

    def right(self, answer: str, gold: str) -> bool:
        return self.same(answer, gold)

    @abstractmethod
    def answer(self, reply: str, question: str = "") -> str | None: ...


class Exact(ByAnswer):
    """The same text as gold, but for spaces, capitals and a full stop.

    >>> Exact().judge(Problem("Colour?", "dark red"), "Answer: Dark  red.").verdict.value
    'right'
    """

    def __init__(self, *, case: bool = False) -> None:
        """`case`: capitals are another letter than small ones."""
        self._case = case

    def answer(self, reply: str, question: str = "") -> str | None:
        return marked(reply)

    def same(self, left: str, right: str) -> bool:
        left, right = left.rstrip(".").strip(), right.rstrip(".").strip()
        return left.split() == right.split() if self._case else one_spacing(left) == one_spacing(right)


class Choice(ByAnswer):
    """The letter of a choice, however it is bracketed: `B`, `(B)`, `B) blue`. Gold is written in any of these ways.

    >>> choice = Choice()
    >>> [choice.answer(text) for text in ("Answer: (B) blue", "It is C.", "I choose (D), not (A) dog", "A dog")]
    ['B', 'C', 'A', None]
    """

    def __init__(self, *, letters: str = "ABCDEFGHIJ") -> None:
        """`letters` that there are to choose from."""
        if not letters.isalpha():
            raise ConfigError(f'judge choice: letters = "{letters}". Write the letters there are, such as "ABCD".')
        self._first = re.compile(rf"\(?([{letters}])(?:[).:,]|$)")
        self._last = re.compile(rf"\(([{letters}])\)|\b([{letters}])[.)]?\s*$")

    def answer(self, reply: str, question: str = "") -> str | None:
        text = marked(reply) or ""
        if found := self._first.match(text):
            return found[1]
        every = self._last.findall(text[-LONGEST:])
        return (every[-1][0] or every[-1][1]) if every else None

    def right(self, answer: str, gold: str) -> bool:
        return answer == self.answer(gold)

    def same(self, left: str, right: str) -> bool:
        return left == right


class Regex(ByAnswer):
    r"""What a pattern finds last: its first group, or all of it. Compared as `exact` does.

    >>> Regex(pattern=r"colou?r is (\w+)").answer("The colour is red, no: the color is blue.")
    'blue'
    """

    def __init__(self, *, pattern: str) -> None:
        try:
            self._pattern = re.compile(pattern)
        except re.error as error:
            raise ConfigError(f"judge regex: pattern = {pattern!r} is no regular expression: {error}.") from error

    def answer(self, reply: str, question: str = "") -> str | None:
        found = None
        for match in self._pattern.finditer(reply[-LONGEST:]):
            found = match
        return (found[1] if found.re.groups else found[0]) if found else None

    def same(self, left: str, right: str) -> bool:
        return one_spacing(left) == one_spacing(right)


class Number(ByAnswer):
    """The last number of the marked answer, within a tolerance.

    >>> number_ = Number(relative=0.01)
    >>> [number_.judge(Problem("How far?", "100 km"), text).verdict.value for text in ("About 101 km.", "102", "far")]
    ['right', 'wrong', 'unparsable']
    """

    def __init__(self, *, tolerance: float = 0.0, relative: float = 0.0) -> None:
        """`tolerance`: how far off an answer may be; `relative`: the same as a share of gold. The wider one holds."""
        if min(tolerance, relative) < 0:
            raise ConfigError(f"judge number: tolerance = {tolerance}, relative = {relative}: neither can be below 0.")
        self._tolerance, self._relative = Fraction(str(tolerance)), Fraction(str(relative))

    def answer(self, reply: str, question: str = "") -> str | None:
        found = _NUMBER.findall((marked(reply) or "")[-LONGEST:])
        return found[-1] if found else None

    def same(self, left: str, right: str) -> bool:
        a, b = (_value(text) for text in (left, right))
        return a is not None and b is not None and abs(a - b) <= max(self._tolerance, self._relative * abs(b))


def _value(text: str) -> Fraction | None:
    """The last number in a text, exactly."""
    found = _NUMBER.findall(text[-LONGEST:])
    if not found:
        return None
    plain = found[-1].replace(",", "").replace("−", "-")
    try:
        return Fraction(plain)
    except (ValueError, ZeroDivisionError):
        return None


class Json(ByAnswer):
    r"""The last JSON value of a reply, in a fence or not, equal to gold's: the order of keys does not matter.

    >>> Json().judge(Problem("?", '{"a": 1, "b": [2]}'), 'Here:\n```json\n{"b": [2], "a": 1.0}\n```').verdict.value
    'right'
    """

    def answer(self, reply: str, question: str = "") -> str | None:
        found = _last_json(reply)
        return None if found is None else json.dumps(found[0], sort_keys=True, ensure_ascii=False)

    def right(self, answer: str, gold: str) -> bool:
        wanted = self.answer(gold)
        if wanted is None:
            raise ConfigError(f"judge json: the gold answer {gold[:60]!r} is no JSON.")
        return self.same(answer, wanted)

    def same(self, left: str, right: str) -> bool:
        return bool(json.loads(left) == json.loads(right))


def _last_json(text: str) -> tuple[Any] | None:
    """(the value): what is fenced last, the whole text, or the last line or bracket from which it can be read."""
    fenced = _FENCED.findall(text[-LONGEST:])
    for whole in ([fenced[-1]] if fenced else []) + [text.strip()]:
        try:
            return (json.loads(whole),)
        except (ValueError, RecursionError):
            continue
    decoder, end, found = json.JSONDecoder(), 0, None
    short = text[-LONGEST:]
    for opening in re.finditer(r"[{\[]", short):
        if opening.start() < end:
            continue  # inside a value that has been read
        try:
            value, end = decoder.raw_decode(short, opening.start())
            found = (value,)
        except ValueError:
            continue
        except RecursionError:  # brackets by the thousand: each of them would be tried as slowly
            break
    return found
