r"""Reading an answer out of a reply. Pure text work: nothing a model wrote is ever evaluated.

What counts as the final answer
  strict    the last `\boxed{…}` or `\fbox{…}`; where there is no box, the rest of the last `####` line
  lenient   else what follows the last "the answer is", else the last number

The *last* box decides, well formed or not. A box that is empty, never closed (a reply cut at its limit) or has no argument
yields None in strict mode, and never an earlier box: that one held an intermediate result. Lenient mode goes on looking,
but only to the right of the broken box.
"""

from __future__ import annotations

import re
from collections import deque
from typing import Literal

from rise.judges.numbers import number

Mode = Literal["strict", "lenient"]

# Two backslashes too: models that saw JSON write \\boxed{5}. Not \\+, which a megabyte of backslashes makes quadratic.
_BOX = re.compile(r"\\{1,2}(?:boxed|fbox)(?![A-Za-z])\s{0,8}(\{)?")
_BRACES = re.compile(r"\\{1,2}(?:boxed|fbox)(?![A-Za-z])\s{0,8}\{|\\.|[{}]", re.DOTALL)
_BARE_ARGUMENT = re.compile(r"[-+]?\d[\d.,/]*|[A-Za-z](?![A-Za-z])")
_ANSWER_IS = re.compile(r"\banswer\s{0,4}(?:is\b|:|=)[\s:]{0,4}", re.IGNORECASE)
_DOLLARS = re.compile(r"\$([^$]{1,1000})\$")
_TOKEN = re.compile(r"(?<![\w.])[-−]?\$?\d[\d,]*(?:\.\d+)?(?:/\d+)?(?:\s?%)?")


def extract(reply: str, mode: Mode = "strict") -> str | None:
    r"""The final answer as written, or None where nothing is marked as one. Linear in the length of the reply.

    >>> extract(r"so \boxed{3}, no: \boxed{\frac{1}{2}}."), extract("2+2=4\n#### 4"), extract("It is 4.")
    ('\\frac{1}{2}', '4', None)
    >>> extract(r"first \boxed{3}, then \boxed{4"), extract("The answer is 4 apples.", mode="lenient")
    (None, '4 apples')
    """
    start = max(reply.rfind("\\boxed"), reply.rfind("\\fbox"))
    if start >= 0 and (box := _BOX.match(reply, start)):
        answer = _boxed(reply, start, box)
        if answer is not None or mode == "strict":
            return answer or None
        reply = reply[box.end() :]
    else:
        at = reply.rfind("####")
        if at >= 0:
            line = reply[at + 4 :].split("\n", 1)[0].strip()
            if line or mode == "strict":
                return line or None
    return None if mode == "strict" else _lenient(reply)


def _boxed(reply: str, start: int, box: re.Match[str]) -> str | None:
    r"""What the last box holds, "" if nothing; None if it is never closed. `\boxed{\boxed{5}}` holds 5."""
    if box[1] is None:
        argument = _BARE_ARGUMENT.match(reply, box.end())  # \boxed 3, as TeX reads it
        return argument[0].rstrip(".,") if argument else None
    close = reply.find("}", box.end())
    inside = reply[box.end() : close] if close >= 0 else None
    first = [at for marker in ("\\boxed", "\\fbox") if (at := reply.find(marker)) >= 0]
    if inside is not None and min(first) == start and "{" not in inside and "\\" not in inside:
        return inside.strip()  # the plain case, much the commonest, without the scan

    # One scan with a stack finds the partner of every brace, so a million open braces cost one pass, not a million.
    open_: list[int] = []  # where the content of each open brace starts; negative for a brace that is not a box
    found: tuple[int, int] | None = None
    for token in _BRACES.finditer(reply, max(min(first) - 1, 0)):
        text = token[0]
        if text == "}":
            if open_:
                begin = open_.pop()
                # The last marker's own box, then each box around it: the outermost closed one holds the answer.
                if begin >= 0 and (begin == box.end() or (found is not None and begin < found[0])):
                    found = (begin, token.start())
        elif text == "{":
            open_.append(-1)
        elif text.endswith("{") and len(text) > 2:
            open_.append(token.end())
    if found is None:
        return None
    inside = reply[found[0] : found[1]].strip()
    for _ in range(8):  # a box in a box and nothing else
        whole = _BOX.match(inside)
        if not (whole and whole[1] and inside.endswith("}") and _balanced(inside[whole.end() : -1])):
            break
        inside = inside[whole.end() : -1].strip()
    return inside


def _balanced(text: str) -> bool:
    """Whether every closing brace has its opening one before it: not so in what lies between two boxes side by side."""
    depth = 0
    for token in _BRACES.finditer(text):
        if token[0] == "}":
            depth -= 1
        elif token[0].endswith("{") and token[0] != r"\{":
            depth += 1
        if depth < 0:
            return False
    return True


def _lenient(text: str) -> str | None:
    said = _last(_ANSWER_IS, text)
    if said is not None:
        tail = text[said.end() : said.end() + 400].split("\n", 1)[0].strip().strip("*").strip()
        dollars = _DOLLARS.search(tail)
        sentence = re.split(r"\.(?:\s|$)", tail, maxsplit=1)[0].strip()
        if dollars and number(sentence) is None:
            return dollars[1].strip()
        if number(sentence) is None and (token := _TOKEN.search(sentence)):
            return token[0].rstrip(",")
        if sentence:
            return sentence
    token = _last(_TOKEN, text)
    return token[0].rstrip(",") if token else None


def _last(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    found = deque(pattern.finditer(text), maxlen=1)
    return found[0] if found else None
