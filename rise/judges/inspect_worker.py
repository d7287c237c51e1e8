"""The process that loads an inspect_ai task and scores replies to it. Run by the Python of `.venv-inspect`.

It imports nothing of ours. Speaks lines of JSON: "ready", then one answer a request, each with "what" (FILE.py@TASK or
PACKAGE/TASK), "args", "scorer" and "part":

{"do": "describe"}                                     {"n": 200, "system": "…" or null, "versions": {"inspect_ai": "0.3.285"}}
{"do": "make", "start": 0, "n": 32}                    {"problems": [{"index", "question", "gold", "fields"}, …]}
{"do": "score", "index": 3, "question": …, "reply": …} {"score": 0.5, "answer": "…" or null, "unanswered": false}

What the task wants and one reply cannot give (tools, a sandbox, another model, a second reply) is {"refused": "why"}.
"""

from __future__ import annotations

import importlib.metadata
import json
import runpy
from pathlib import Path
from typing import Any


class Refused(Exception):
    """A task that is no problem with one reply."""


class Asked(BaseException):
    """The solver has asked for a reply: its messages are the prompt. No `except Exception` of a solver's own catches it."""


def begin() -> Any:
    """The loader of tasks. It takes some seconds, which are not held against a request."""
    from inspect_ai._eval.loader import load_tasks

    return load_tasks


_loaded: dict[str, Loaded] = {}


async def answer(load_tasks: Any, request: dict[str, Any]) -> dict[str, Any]:
    key = json.dumps([request[name] for name in ("what", "args", "scorer", "part")], sort_keys=True)
    try:
        if key not in _loaded:
            _loaded[key] = await load(load_tasks, request)
        said: dict[str, Any] = await getattr(_loaded[key], request["do"])(request)
    except Exception as error:
        if "No model specified" in str(error):
            raise Refused("it asks another model, to solve or to score, and only the one reply is given here.") from error
        raise
    return said


async def load(load_tasks: Any, request: dict[str, Any]) -> Loaded:
    tasks = load_tasks([request["what"]], request["args"])
    if len(tasks) != 1:
        raise Refused(f"{len(tasks)} tasks go by that name. Write FILE.py@TASK, or PACKAGE/TASK as `inspect list tasks` has it.")
    [task] = tasks
    if task.sandbox is not None:
        raise Refused("it works in a sandbox, and only tasks that end in one reply are taken.")
    found = Loaded(task, _scorer(task, request["scorer"]), request["part"])
    found.prompts = [await found.prompt(sample) for sample in found.samples]
    if found.samples:  # what cannot be is known before the first reply is paid for
        await found.scored(found.samples[0], "?")
    return found


def _scorer(task: Any, wanted: str | None) -> Any:
    from inspect_ai._util.registry import registry_info

    scorers = {registry_info(scorer).name.rpartition("/")[2]: scorer for scorer in task.scorer or []}
    if not scorers:
        raise Refused("it has no scorer.")
    if wanted is None and len(scorers) > 1:
        raise Refused(f"it has several scorers: {', '.join(scorers)}. Name one: task.settings.scorer.")
    if wanted is not None and wanted not in scorers:
        raise Refused(f'task.settings.scorer = "{wanted}"; it has {", ".join(scorers)}.')
    return scorers[wanted] if wanted else next(iter(scorers.values()))


class Loaded:
    """A task, its samples, and what the solver makes of each."""

    def __init__(self, task: Any, scorer: Any, part: str | None) -> None:
        self.task, self.scorer, self.part = task, scorer, part
        self.samples = list(task.dataset)
        self.prompts: list[tuple[str | None, str]] = []
        """(system text, question) of each sample."""

    async def describe(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"n": len(self.samples), "system": self.system, "versions": versions("inspect_ai", "inspect_evals")}

    @property
    def system(self) -> str | None:
        """The system text, where it is the same for all."""
        systems = {system for system, _ in self.prompts}
        return systems.pop() if len(systems) == 1 else None

    def question(self, index: int) -> str:
        system, question = self.prompts[index]
        return question if system is None or system == self.system else f"{system}\n\n{question}"

    async def make(self, request: dict[str, Any]) -> dict[str, Any]:
        indices = range(request["start"], min(request["start"] + request["n"], len(self.samples)))
        return {"problems": [self._row(index) for index in indices]}

    def _row(self, index: int) -> dict[str, Any]:
        sample = self.samples[index]
        targets = [sample.target] if isinstance(sample.target, str) else list(sample.target)
        gold = next((target for target in targets if target.strip()), None)
        fields = {"index": index, "sample": sample.id, **({"targets": targets} if len(targets) > 1 else {})}
        return {"index": index, "question": self.question(index), "gold": gold, "fields": fields}

    async def score(self, request: dict[str, Any]) -> dict[str, Any]:
        index = request["index"]
        if not 0 <= index < len(self.samples) or self.question(index) != request["question"]:
            return {"changed": f"sample {index} is another one now: its file changed, or the task shuffles anew each time."}
        return await self.scored(self.samples[index], request["reply"])

    async def prompt(self, sample: Any) -> tuple[str | None, str]:
        """What the model is shown: the messages when the solver first asks for a reply."""
        try:
            await self.played(sample, None)
        except Asked as asked:
            messages = asked.args[0]
        else:
            raise Refused(f"the solver asks for no reply to sample {sample.id}.")
        if any(message.role not in ("system", "user") for message in messages) or not messages:
            raise Refused(f"sample {sample.id} shows a conversation; only system text and one question are taken.")
        if any(not isinstance(message.content, str) and message.text == "" for message in messages):
            raise Refused(f"sample {sample.id} shows something that is no text.")
        users = [message.text for message in messages if message.role == "user"]
        if len(users) != 1:
            raise Refused(f"sample {sample.id} shows {len(users)} user messages; one is taken.")
        return "\n\n".join(message.text for message in messages if message.role == "system") or None, users[0]

    async def played(self, sample: Any, reply: str | None) -> Any:
        """The state once the solver has ended, the model having said `reply`; None raises `Asked` in its place."""
        from inspect_ai.model import ChatMessageAssistant, ChatMessageUser, ModelName, ModelOutput
        from inspect_ai.scorer import Target
        from inspect_ai.solver import TaskState, chain

        if sample.sandbox is not None or sample.files:
            raise Refused(f"sample {sample.id} works on files in a sandbox, and only tasks that end in one reply are taken.")
        messages = [ChatMessageUser(content=sample.input)] if isinstance(sample.input, str) else list(sample.input)
        state = TaskState(
            model=ModelName("none/none"),
            sample_id=sample.id or 0,
            epoch=1,
            input=sample.input,
            messages=[message.model_copy(deep=True) for message in messages],
            target=Target(sample.target),
            choices=sample.choices,
            metadata=dict(sample.metadata or {}),
        )
        n_asked = 0

        async def generate(state: Any, *args: Any, **kwargs: Any) -> Any:
            nonlocal n_asked
            n_asked += 1
            if n_asked > 1:
                raise Refused("its solver asks for more than one reply.")
            if state.tools:
                raise Refused("its solver gives the model tools.")
            if reply is None:
                raise Asked(list(state.messages))
            state.messages.append(ChatMessageAssistant(content=reply))
            state.output = ModelOutput.from_content("none/none", reply)
            return state

        solvers = [solver for solver in (self.task.setup, self.task.solver) if solver is not None]
        state = await chain(*solvers)(state, generate)
        state.completed = True
        return state

    async def scored(self, sample: Any, reply: str) -> dict[str, Any]:
        from inspect_ai.scorer import NOANSWER, Target, value_to_float

        score = await self.scorer(await self.played(sample, reply), Target(sample.target))
        if score is None:
            raise Refused(f"its scorer gives sample {sample.id} no score.")
        value = score.value
        if isinstance(value, dict):
            if self.part not in value:
                raise Refused(f"its scorer gives {', '.join(value)}. Name one that counts: task.settings.part.")
            value = value[self.part]
        if isinstance(value, list | tuple):
            raise Refused("its scorer gives a list of values; one is needed.")
        return {"score": value_to_float()(value), "answer": score.answer or None, "unanswered": value == NOANSWER}


def versions(*packages: str) -> dict[str, str]:
    """Of those packages that are installed."""
    found = {}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


if __name__ == "__main__":
    runpy.run_path(str(Path(__file__).with_name("worker_loop.py")))["serve"](begin, answer, Refused, "inspect_ai says")
