"""SVAMP as a recipe's files: the one-step problems its authors train on with worked solutions made from their equations, and its
own 700 rows to test on. A solution ends in its own check, the calculation the other way round.

    python benchmarks/gpu/svamp.py ../shared/data/svamp build/gpu/data
"""

from __future__ import annotations

import json
import sys
from fractions import Fraction
from operator import add, mul, sub, truediv
from pathlib import Path

N_VALIDATION = 300
BACK = {"+": "-", "-": "+", "*": "/", "/": "*"}


def worked(equation: str, answer: str) -> str | None:
    """A solution in as many lines as the prefix equation has operators, its last step checked; None where the two differ.

    >>> print(worked("- 25000 * 1500 8", "13000"))
    1500 * 8 = 12000
    25000 - 12000 = 13000
    Check: 13000 + 12000 = 25000
    #### 13000
    >>> worked("* 3 4", "13") is None
    True
    """
    lines: list[str] = []
    words = equation.split()
    check = ""

    def value() -> Fraction:
        nonlocal check
        word = words.pop(0)
        if word not in BACK:
            return Fraction(word)
        left, right = value(), value()
        result = {"+": add, "-": sub, "*": mul, "/": truediv}[word](left, right)
        lines.append(f"{shown(left)} {word} {shown(right)} = {shown(result)}")
        check = f"Check: {shown(result)} {BACK[word]} {shown(right)} = {shown(left)}"
        return result

    try:
        total = value()
        if words or not lines or total != Fraction(answer):
            return None
    except (ValueError, IndexError, ZeroDivisionError):
        return None
    return "\n".join([*lines, check, f"#### {shown(total)}"])


def shown(number: Fraction) -> str:
    """
    >>> [shown(Fraction(n)) for n in ("12000", "5.25", "1/3")]
    ['12000', '5.25', '0.3333']
    """
    return str(number.numerator) if number.denominator == 1 else f"{float(number):.4f}".rstrip("0")


def write(source: Path, out: Path) -> dict[str, int]:
    """svamp-train.jsonl, svamp-validation.jsonl and svamp-test.jsonl; how many rows each has, and how many were left out."""
    rows, left_out = [], 0
    for line in (source / "train.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        solution = worked(row["equation"], row["answer"])
        left_out += solution is None
        if solution is not None:
            rows.append({"question": row["question"], "gold": row["answer"], "solution": solution})
    test = []
    for row in json.loads((source / "svamp.json").read_text(encoding="utf-8")):
        body, gold = row["Body"].strip(), Fraction(str(row["Answer"]))
        joint = " " if body[-1] in ".?!," else ", "
        test.append({"question": f"{body}{joint}{row['Question'].strip()}", "gold": shown(gold)})
    known = {row["question"] for row in test}
    rows = [row for row in rows if row["question"] not in known]
    splits = {"train": rows[:-N_VALIDATION], "validation": rows[-N_VALIDATION:], "test": test}
    out.mkdir(parents=True, exist_ok=True)
    for name, some in splits.items():
        (out / f"svamp-{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in some), encoding="utf-8")
    return {**{name: len(some) for name, some in splits.items()}, "left out": left_out}


if __name__ == "__main__":
    print(json.dumps(write(Path(sys.argv[1]), Path(sys.argv[2]))))
