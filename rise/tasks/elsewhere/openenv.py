"""One of our tasks as an OpenEnv environment of several turns, served by their own server.

from rise.tasks.elsewhere.openenv import app_of

app = app_of("python-functions", n={"train": 1000, "test": 200})      # uvicorn my_env:app --port 8000
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rise.errors import ConfigError
from rise.recipe.wordings import FEEDBACK
from rise.task import Split
from rise.tasks import make_task
from rise.tasks.elsewhere.problems import some


def app_of(name: str, *, n: Mapping[Split, int], turns: int = 5, env_name: str = "rise", **settings: Any) -> Any:
    """A FastAPI app. `reset(split=, index=)` tells instructions and question; `step({"text": reply})` what our judge found.

    An episode ends with the first right reply, or after `turns`. `n`: problems of each split. `settings` are the task's own.
    """
    from openenv.core.env_server.http_server import create_fastapi_app
    from openenv.core.env_server.interfaces import Environment
    from openenv.core.env_server.types import Action, Observation, State

    if not n or turns < 1:
        raise ConfigError(f"n = {dict(n)}, turns = {turns}: name a split, and at least one turn.")
    task = make_task(name, **settings)
    judge, problems = task.judge(), {split: some(task, split, count) for split, count in n.items()}

    class Attempt(Action):  # type: ignore[misc]
        text: str

    class Said(Observation):  # type: ignore[misc]
        text: str
        verdict: str | None = None

    class Turns(Environment):  # type: ignore[misc]
        SUPPORTS_CONCURRENT_SESSIONS = True

        def __init__(self) -> None:
            super().__init__()
            self._problem = problems[next(iter(problems))][0]
            self._state = State(episode_id=None, step_count=0)

        def list_splits(self) -> list[str]:
            return list(problems)

        def num_tasks(self, split: str) -> int:
            return len(problems[split])  # type: ignore[index]

        def list_tasks(self, split: str) -> list[dict[str, Any]]:
            return [self.get_task(split, index) for index in range(self.num_tasks(split))]

        def get_task(self, split: str, index: int) -> dict[str, Any]:
            problem = problems[split][index]  # type: ignore[index]
            return {"id": problem.id, "index": index, "question": problem.question}

        def get_task_range(self, split: str, start: int | None = None, stop: int | None = None) -> list[dict[str, Any]]:
            return self.list_tasks(split)[start:stop]

        def reset(self, seed: int | None = None, episode_id: str | None = None, **kwargs: Any) -> Said:
            split = kwargs.get("split") or next(iter(problems))
            index = kwargs.get("index")
            there = problems[split]
            self._problem = there[(seed or 0) % len(there) if index is None else index]
            self._state = State(episode_id=episode_id, step_count=0)
            return Said(text="\n\n".join(text for text in (task.instructions, self._problem.question) if text))

        def step(self, action: Attempt, timeout_s: float | None = None, **kwargs: Any) -> Said:
            found = judge.judge(self._problem, action.text)
            self._state.step_count += 1
            right = found.verdict.value == "right"
            reward = found.score if found.score is not None else float(right)
            text = found.message or FEEDBACK["truthful" if right else "neutral"].right_text or FEEDBACK["neutral"].text
            return Said(text=text, verdict=found.verdict.value, reward=reward, done=right or self._state.step_count >= turns)

        @property
        def state(self) -> State:
            return self._state

    return create_fastapi_app(Turns, Attempt, Said, max_concurrent_envs=64, env_name=env_name)
