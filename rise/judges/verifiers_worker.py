"""The process that loads a taskset of verifiers' v1 API and scores replies to it. Run by the Python of `.venv-verifiers`.

It imports nothing of ours. Speaks lines of JSON: "ready", then one answer a request, each with "what" (the taskset's package),
"args" (of its config), "pool" (how many of an endless one) and "reward" (the one that counts, or null for their weighted sum):

{"do": "describe"}                                     {"n": 200, "system": "…" or null, "versions": {"verifiers": "0.4.0"}}
{"do": "make", "start": 0, "n": 32}                    {"problems": [{"index", "question", "gold", "fields"}, …]}
{"do": "score", "index": 3, "question": …, "reply": …} {"score": 0.5, "answer": null, "unanswered": false}

What the taskset wants and one reply cannot give (a container, tools, a runtime to score in, a judging model) is
{"refused": "why"}.
"""

from __future__ import annotations

import importlib.metadata
import inspect
import json
import os
import runpy
import sys
from pathlib import Path
from typing import Any


class Refused(Exception):
    """A taskset that is no problem with one reply."""


def begin() -> Any:
    sys.path.insert(0, os.getcwd())  # a taskset of your own lies there
    import verifiers.v1 as vf

    return vf


_loaded: dict[str, Loaded] = {}


async def answer(vf: Any, request: dict[str, Any]) -> dict[str, Any]:
    key = json.dumps([request[name] for name in ("what", "args", "pool", "reward")], sort_keys=True)
    if key not in _loaded:
        _loaded[key] = load(vf, request)
    said: dict[str, Any] = await getattr(_loaded[key], request["do"])(request)
    return said


def load(vf: Any, request: dict[str, Any]) -> Loaded:
    config = vf.taskset_config_type(request["what"])(id=request["what"], **request["args"])
    taskset = vf.load_taskset(config)
    if type(taskset).toolsets(config):
        raise Refused("it gives the model tools, and only tasks that end in one reply are taken.")
    tasks = list(taskset if taskset.bounded else taskset.take(request["pool"]))
    if tasks:
        check(tasks[0])
    return Loaded(vf, tasks, request["reward"])


def check(task: Any) -> None:
    """What cannot be known from a reply alone is refused: `Task.score` would leave it out without a word."""
    if task.NEEDS_CONTAINER or task.data.image:
        raise Refused("its tasks work in a container, and only tasks that end in one reply are taken.")
    if type(task).toolsets(task.config):
        raise Refused("its tasks give the model tools, and only tasks that end in one reply are taken.")
    if task.plugged_judges():
        raise Refused("another model judges its replies.")
    for reward in task.hooks("reward"):
        wanted = inspect.signature(reward).parameters.get("runtime")
        if wanted is not None and wanted.default is inspect.Parameter.empty:
            raise Refused(f"its reward {reward.__name__} is worked out in a runtime of theirs, which there is none of here.")


class Loaded:
    """The tasks of a taskset."""

    def __init__(self, vf: Any, tasks: list[Any], reward: str | None) -> None:
        self.vf, self.tasks, self.reward = vf, tasks, reward
        systems = {task.data.system_prompt for task in tasks}
        self.system = systems.pop() if len(systems) == 1 else None

    async def describe(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"n": len(self.tasks), "system": self.system, "versions": {"verifiers": importlib.metadata.version("verifiers")}}

    def question(self, index: int) -> str:
        data = self.tasks[index].data
        if not isinstance(data.prompt, str) and [message.role for message in data.prompt or []] != ["user"]:
            raise Refused(f"task {index} shows no single question.")
        own = data.system_prompt
        return data.prompt_text if own is None or own == self.system else f"{own}\n\n{data.prompt_text}"

    async def make(self, request: dict[str, Any]) -> dict[str, Any]:
        indices = range(request["start"], min(request["start"] + request["n"], len(self.tasks)))
        return {"problems": [self._row(index) for index in indices]}

    def _row(self, index: int) -> dict[str, Any]:
        task = self.tasks[index]
        gold = getattr(task.data, "answer", None)
        gold = str(gold) if isinstance(gold, str | int | float) and str(gold).strip() else None
        return {"index": index, "question": self.question(index), "gold": gold, "fields": {"index": index, "key": task.key}}

    async def score(self, request: dict[str, Any]) -> dict[str, Any]:
        index = request["index"]
        if not 0 <= index < len(self.tasks) or self.question(index) != request["question"]:
            return {"changed": f"task {index} is another one now: the taskset, its version or its config changed."}
        task, vf = self.tasks[index], self.vf
        from verifiers.v1.trace import AgentInfo, TraceTask

        trace = vf.Trace(
            task=TraceTask(type=type(task).__name__, data=task.data, key=task.key),
            agent=AgentInfo(config=vf.AgentConfig()),
            nodes=[
                vf.MessageNode(message=vf.UserMessage(content=task.data.prompt_text)),
                vf.MessageNode(parent=0, message=vf.AssistantMessage(content=request["reply"]), sampled=True),
            ],
        )
        await task.score(trace)
        rewards = {name: value for name, value in trace.rewards.items() if value is not None}
        if not rewards:
            raise Refused("it gives no reward.")
        if self.reward is not None and self.reward not in rewards:
            raise Refused(f'task.settings.reward = "{self.reward}"; it gives {", ".join(rewards)}.')
        score = trace.reward if self.reward is None else rewards[self.reward].score
        return {"score": float(score), "answer": None, "unanswered": False}


if __name__ == "__main__":
    runpy.run_path(str(Path(__file__).with_name("worker_loop.py")))["serve"](begin, answer, Refused, "verifiers says")
