"""`rise judge`: verdicts on replies in a file."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer


def judge(
    file: Annotated[Path, typer.Argument(help="JSON lines with `gold`, as the task stores it, and `reply`.")],
    task: Annotated[str, typer.Option(help="Task whose judge decides.")],
    set_: Annotated[list[str] | None, typer.Option("--set", help="Task setting: --set judge=my_judge:Judge.")] = None,
) -> None:
    """Print each line with its verdict: right, wrong, unparsable or timed_out; null where its gold cannot be read.

    Other fields are kept. Exit code 1 where a gold could not be read.
    """
    from rise.cli.output import alone_on_stdout
    from rise.errors import ConfigError, DataError
    from rise.jsonl import dumps, read_jsonl
    from rise.policies import make_policy
    from rise.runs.card import divide
    from rise.runs.model_judge import judge_client
    from rise.task import Problem
    from rise.tasks import make_task
    from rise.tasks.sources import text_of

    settings, tables = divide(set_ or [])
    if tables:
        raise ConfigError("rise judge: --set takes settings of the task only, such as mode=lenient or judge=my_judge:Judge.")
    troubles: list[str] = []
    known = {"id", "question", "gold", "reply"}
    with alone_on_stdout() as out, ExitStack() as stack:
        decide = make_task(task, **settings).judge()  # an own judge may print when it is imported
        stack.enter_context(judge_client(decide, make_policy, None))
        for number, line in read_jsonl(file):
            place = f"{file}, line {number}"
            if not isinstance(line.get("reply"), str):
                raise DataError(f'{place}: "reply" is missing or no text. Each line needs "gold" and "reply".')
            gold = text_of(line, ["gold"], place)
            fields = {name: value for name, value in line.items() if name not in known}
            problem = Problem(str(line.get("question", "")), gold, fields=fields, id=str(line.get("id", number)))
            try:
                said: dict[str, Any] = {"verdict": decide.judge(problem, line["reply"]).verdict.value}
            except DataError as error:  # this gold cannot be read, and the others can
                troubles.append(f"{place}: {error}")
                said = {"verdict": None, "trouble": str(error)}
            out.write(dumps({**line, **said}) + "\n")
    if troubles:
        many = "1 gold" if len(troubles) == 1 else f"{len(troubles)} golds"
        raise DataError(f"{many} could not be read, and has no verdict. The first: {troubles[0]}")
