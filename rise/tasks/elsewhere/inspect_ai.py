"""One of our tasks as an inspect_ai task.

from inspect_ai import task
from rise.tasks.elsewhere.inspect_ai import as_task

@task
def pairs():
    return as_task("pair", n=200)        # inspect eval my_evals.py@pairs --model …
"""

from __future__ import annotations

from typing import Any

from rise.task import Split
from rise.tasks import make_task
from rise.tasks.elsewhere.problems import some


def as_task(name: str, *, split: Split = "test", n: int | None = None, **settings: Any) -> Any:
    """An `inspect_ai.Task` of `n` problems: our instructions, their `generate()`, our judge as the scorer, its answer told.

    `n` must be given for a task without an end. `settings` are the task's own.
    """
    import inspect_ai
    from inspect_ai.dataset import MemoryDataset, Sample
    from inspect_ai.scorer import CORRECT, INCORRECT, NOANSWER, Score, Target, accuracy, scorer, stderr
    from inspect_ai.solver import TaskState, generate, system_message

    task = make_task(name, **settings)
    problems = {problem.id: problem for problem in some(task, split, n)}
    judge = task.judge()

    @scorer(metrics=[accuracy(), stderr()], name="rise_judge")
    def rise_judge() -> Any:
        async def score(state: TaskState, target: Target) -> Score:
            found = await judge.aside(problems[str(state.sample_id)], state.output.completion)
            value: Any = {"right": CORRECT, "unparsable": NOANSWER}.get(found.verdict.value, INCORRECT)
            if found.score is not None:
                value = found.score
            return Score(value=value, answer=found.answer, explanation=found.message or found.verdict.value)

        return score

    samples = [Sample(id=p.id, input=p.question, target=p.gold, metadata=dict(p.fields)) for p in problems.values()]
    # Their templates take {braces} for variables; ours are text.
    instructions = (task.instructions or "").replace("{", "{{").replace("}", "}}")
    solver = [*([system_message(instructions)] if instructions else []), generate()]
    return inspect_ai.Task(dataset=MemoryDataset(samples, name=task.name), solver=solver, scorer=rise_judge())
