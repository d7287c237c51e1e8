"""Code that wants to be judged right, or to get out, and knows nothing of what is expected. `f` is called with 2, 3 and 11.

TARGET stands for a file of the user's that holds the right solution.
"""

import re
from pathlib import Path

LOOT = r'''
import gc, re, sys

_SAID = re.compile(r'"int", "(0x[0-9a-f]+)"')
_n = [0]


def numbers_in(thing, depth=0, seen=None):
    """Values of an earlier reply, as the sandbox speaks of them, wherever they stand in a thing."""
    seen = set() if seen is None else seen
    if depth > 6 or id(thing) in seen:
        return []
    seen.add(id(thing))
    if isinstance(thing, (bytes, bytearray)):
        return [int(x, 16) for x in _SAID.findall(bytes(thing).decode("latin-1"))]
    if isinstance(thing, str):
        return [int(x, 16) for x in _SAID.findall(thing)]
    if isinstance(thing, dict):
        thing = list(thing.values())
    if isinstance(thing, (list, tuple)):
        if len(thing) == 2 and thing[0] == "int" and isinstance(thing[1], str):
            return [int(thing[1], 16)]
        return [x for item in list(thing)[:1000] for x in numbers_in(item, depth + 1, seen)]
    return []


def give(found):
    _n[0] += 1
    return found[_n[0] - 1]
'''
"""What those use that look for an earlier reply's values."""

ATTACKS = Path(__file__).with_suffix(".txt").read_text(encoding="utf-8")

KNOWING_NOTHING = {
    "deep code": "def f(n): return " + "(" * 5000 + "1" + ")" * 5000,
    "null bytes": "def f(n): return 5\x00",
}
for _name, _loot, _code in re.findall(r"^#### (.+?)( \(with LOOT\))?\n((?:(?!####).*\n)*)", ATTACKS, re.MULTILINE):
    KNOWING_NOTHING[_name] = (LOOT if _loot else "") + _code
