"""One of our tasks as a taskset of verifiers' v1 API.

from rise.tasks.elsewhere.verifiers import taskset

Pairs = taskset("pair", split="train", n=1000)
__all__ = ["Pairs"]                      # saved as my_pairs.py, its id is my-pairs
"""

from __future__ import annotations

from typing import Any

from rise.task import Problem, Split
from rise.tasks import make_task
from rise.tasks.elsewhere.problems import some


def taskset(name: str, *, split: Split = "train", n: int | None = None, **settings: Any) -> type:
    """A `verifiers.v1.Taskset` of `n` problems, whose one reward is our judge's: its score, else 1 for right and 0 otherwise.

    `n` must be given for a task without an end. `settings` are the task's own.
    """
    import verifiers.v1 as vf

    ours = make_task(name, **settings)
    judge = ours.judge()

    class Data(vf.TaskData):
        answer: str
        fields: dict[str, Any]
        problem: str

    class RiseTask(vf.Task[Data]):
        @property
        def key(self) -> str:
            return str(self.data.problem)

        @vf.reward
        async def right(self, trace: Any) -> float:
            data = self.data
            problem = Problem(data.prompt, data.answer, fields=data.fields, id=data.problem)
            found = await judge.aside(problem, trace.last_reply)
            return found.score if found.score is not None else float(found.verdict.value == "right")

    class RiseTaskset(vf.Taskset[RiseTask, vf.TasksetConfig]):
        def load(self) -> Any:
            for p in some(ours, split, n):
                data = Data(prompt=p.question, system_prompt=ours.instructions, answer=p.gold, fields=p.fields, problem=p.id)
                yield RiseTask(data, self.config.task)

    return RiseTaskset
