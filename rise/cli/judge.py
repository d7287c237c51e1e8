"""`rise judge`: verdicts on replies in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def judge(
    file: Annotated[Path, typer.Argument(help="JSON lines with `gold`, as the task stores it, and `reply`.")],
    task: Annotated[str, typer.Option(help="Task whose judge decides.")],
) -> None:
    """Print each line with its verdict: right, wrong, unparsable or timed_out. Other fields are kept."""
    import sys

    from rise.errors import DataError
    from rise.jsonl import dumps, read_jsonl
    from rise.task import Problem
    from rise.tasks import make_task

    decide = make_task(task).judge()
    for number, line in read_jsonl(file):
        for name in ("gold", "reply"):
            if not isinstance(line.get(name), str):
                raise DataError(f'{file}, line {number}: "{name}" is missing or no text. Each line needs "gold" and "reply".')
        problem = Problem(str(line.get("id", number)), str(line.get("question", "")), line["gold"])
        sys.stdout.write(dumps({**line, "verdict": decide.judge(problem, line["reply"]).verdict.value}) + "\n")
