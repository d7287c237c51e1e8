"""Closing lines of several pytest runs on standard input, added up to one of the same form.

>>> added(["3 passed, 1 skipped in 1.50s", "== 1 failed, 2 passed, 7 warnings in 61.00s (0:01:01) =="])
'1 failed, 5 passed, 1 skipped in 62.50s'
"""

import re
import sys
from collections import Counter
from collections.abc import Iterable

ORDER = ("failed", "passed", "skipped", "xfailed", "xpassed", "error")
"""What one suite deselects, another runs."""


def added(lines: Iterable[str]) -> str:
    counts: Counter[str] = Counter()
    seconds = 0.0
    for line in lines:
        for number, word in re.findall(r"(\d+) ([a-z]+)", line):
            counts[word.replace("errors", "error")] += int(number)
        seconds += sum(map(float, re.findall(r" in ([\d.]+)s", line)))
    return f"{', '.join(f'{counts[word]} {word}' for word in ORDER if counts[word])} in {seconds:.2f}s"


if __name__ == "__main__":
    print(added(sys.stdin))
