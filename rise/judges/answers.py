r"""Reading an answer out of a reply. Pure text work: nothing a model wrote is ever evaluated.

What counts as the final answer, in what follows the thinking
  strict    the last `\boxed{…}` or `\fbox{…}`; where there is no box, the rest of the last `####` line, or the line below it
  lenient   else what follows the last "the answer is", else the last formula or number (`unmarked.py`)

The *last* box decides, well formed or not. A box that is empty, never closed (a reply cut at its limit) or has no argument
yields None in strict mode, and never an earlier box: that one held an intermediate result. Lenient mode goes on looking,
but only to the right of the broken box.
"""

from __future__ import annotations

import re
from typing import Literal

from rise.judges.spelling import LABEL
from rise.judges.unmarked import is_read, last_match, lenient

Mode = Literal["strict", "lenient"]

# Two backslashes too: models that saw JSON write \\boxed{5}. Not \\+, which a megabyte of backslashes makes quadratic.
_BOX = re.compile(r"\\{1,2}(?:boxed|fbox)(?![A-Za-z])\s{0,8}(\{)?")
_BRACES = re.compile(r"\\{1,2}(?:boxed|fbox)(?![A-Za-z])\s{0,8}\{|\\.|[{}]", re.DOTALL)
_BARE_ARGUMENT = re.compile(r"[-+]?\d[\d.,/]*|[A-Za-z](?![A-Za-z])")
_THINK = re.compile(
    r"<\s?(?P<end>/)?\s?\|?(?P<end2>/)?(?i:(?:seed:)?think(?:ing)?|thoughts?|reasoning|scratchpad|analysis|inner_(?:thoughts?|monologue))"
    r"(?:\s[^<>]{0,80})?\|?>|\[(?P<end3>/)?THINK\]|◁(?P<end4>/)?think▷|"
    r"<\|(?i:begin|start|(?P<end5>end))_(?i:of_)?(?i:think(?:ing)?|thought|reasoning)\|>|<\|channel>|(?P<end6><channel\|>)"
)
_CHANNEL = re.compile(r"<\|channel\|>\s*(\w{1,40})[^<]{0,80}<\|message\|>")
_FEW_WORDS = re.compile(r"(?!(?:so|then|we|hence|thus|therefore)\b)[^\W\d_]+(?: [^\W\d_]+){0,2}", re.IGNORECASE)
_HEADING = re.compile(
    r"(?:step|part|case|phase|solution|explanation|conclusion|verification|check|summary|calculations?|reasoning|method|approach|notes?|"
    r"given|hint|analysis|proof|example|question|problem|overview|setup|recap)\b|\d+\s*[.)]\s+[^\W\d_]{2,}",
    re.IGNORECASE,
)
_NUMBERED = re.compile(r"^\d\)\s+(?=[-−$\\\d(])")
_NOTHING = re.compile(r"[?？.…_*\s–—-]*")  # between the marks, no answer


def extract(reply: str, mode: Mode = "strict") -> str | None:
    r"""The final answer as written, or None where nothing is marked as one. Linear in the length of the reply.

    >>> extract(r"so \boxed{3}, no: \boxed{\frac{1}{2}}."), extract("2+2=4\n#### 4"), extract("It is 4.")
    ('\\frac{1}{2}', '4', None)
    >>> extract(r"first \boxed{3}, then \boxed{4"), extract("The answer is 4 apples.", mode="lenient")
    (None, '4 apples')
    >>> extract(r"<think>\boxed{3}</think> \boxed{4}"), extract(r"<think> so \boxed{4}")
    ('4', None)
    """
    said = after_thinking(reply)
    if said is None:
        return None
    answer = _marked(said, mode)
    return None if answer is None or _NOTHING.fullmatch(answer) else answer


def after_thinking(reply: str) -> str | None:
    """What a reply says once it has thought; None where it never ends to think; all of it where it has no such tags.

    >>> after_thinking("<think>7?</think> 8"), after_thinking("7? </think> 8"), after_thinking("<think>7?"), after_thinking("8")
    (' 8', ' 8', None, '8')
    """
    if not ("<" in reply or "THINK]" in reply or "◁" in reply):
        return reply
    last = last_match(_THINK, reply)
    if last is not None:
        return reply[last.end() :] if any(last.groups()) else None
    channel = last_match(_CHANNEL, reply) if "<|channel|>" in reply else None
    if channel is None:
        return reply
    return reply[channel.end() :] if channel[1] == "final" else None


def _marked(reply: str, mode: Mode) -> str | None:
    start = max(reply.rfind("\\boxed"), reply.rfind("\\fbox"))
    if start >= 0 and (box := _BOX.match(reply, start)):
        answer = _boxed(reply, start, box)
        if answer is not None or mode == "strict":
            return answer or None
        reply = reply[box.end() :]
    elif "####" in reply:
        line = _marked_line(reply)
        if line or mode == "strict":
            return line or None
    return None if mode == "strict" else lenient(reply)


def _marked_line(reply: str) -> str | None:
    """What stands on the last `####` line that is no heading, or below it where it stands empty."""
    end = len(reply)
    for _ in range(16):
        at = reply.rfind("####", 0, end)
        if at < 0:
            return None
        line, _, below = reply[at + 4 : end].partition("\n")
        said = line.strip()
        said = _NUMBERED.sub("", said)
        label = LABEL.match(said)
        called = label is not None and label["name"] and (label["sign"] or not label["quantity"])
        answer = said[label.end() :].strip() if label and called else said.lstrip(":：*_= ")
        if answer and not _is_heading(answer):
            return answer.strip("*").strip() or None
        if not answer:
            first = next((text.strip() for text in below.split("\n", 3)[:3] if text.strip()), "")
            if first and (is_read(first) or _FEW_WORDS.fullmatch(first)):
                return first.strip("*").strip() or None
        end = at
        while end > 0 and reply[end - 1] == "#":
            end -= 1
    return None


def _is_heading(line: str) -> bool:
    """`Step 3: add them`, `2. Add them`, `Explanation:` say what comes, not what came out."""
    return line.endswith((":", "：")) or _HEADING.match(line.lstrip("*_ ")) is not None


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
