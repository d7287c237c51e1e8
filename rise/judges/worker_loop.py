"""The loop of a process that works for another project's tasks: "ready" first, then a line of JSON for each line of JSON.

It imports nothing of ours, which its environment does not have; nor is its folder on the path, where files have
names of the standard library's modules. So the worker's script runs this file, by its place:

    runpy.run_path(str(Path(__file__).with_name("worker_loop.py")))["serve"](begin, answer, Refused, "inspect_ai says")
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable, Coroutine
from typing import Any

LONGEST = 800
"""Characters of what their code says when it fails."""


def serve(
    begin: Callable[[], Any],
    answer: Callable[[Any, dict[str, Any]], Coroutine[Any, Any, dict[str, Any]]],
    refused: type[Exception],
    who: str,
) -> None:
    """Answer until the input ends.

    `begin` imports the package; what it returns is given to `answer` with each request. What `answer` refuses, by raising
    `refused`, or what else goes wrong in it, said by `who`, is answered with {"refused": "why"}.
    """
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what their code prints is no answer
    try:
        package = begin()
    except ImportError as error:
        answers.write(" ".join(str(error).split()) + "\n")
        return
    answers.write("ready\n")
    with asyncio.Runner() as runner:
        for line in sys.stdin:
            request = json.loads(line)
            try:
                said = runner.run(answer(package, request))
            except refused as error:
                said = {"refused": str(error)}
            except Exception as error:  # their code, on their settings
                said = {"refused": f"{who} {type(error).__name__}: {error}"[:LONGEST]}
            answers.write(json.dumps(said) + "\n")
