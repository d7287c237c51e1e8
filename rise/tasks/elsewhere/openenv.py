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

    class Attempt(Action):
        text: str

    class Said(Observation):
        text: str
        verdict: str | None = None

    class Turns(Environment):
        SUPPORTS_CONCURRENT_SESSIONS = True

        def __init__(self) -> None:
            super().__init__()
            self._problem = problems[next(iter(problems))][0]
            self._state = State(episode_id=None, step_count=0)

        def list_splits(self) -> list[str]:
            return list(problems)

        def num_tasks(self, split: str) -> int:
            return len(problems[split])  # type: ignore[index]

        def get_task(self, split: str, index: int) -> dict[str, Any]:
            problem = problems[split][index]  # type: ignore[index]
            return {"id": problem.id, "index": index, "question": problem.question}

        def reset(self, seed: int | None = None, episode_id: str | None = None, **kwargs: Any) -> Said:
            there, index = problems[kwargs.get("split") or next(iter(problems))], kwargs.get("index")
            self._problem = there[(seed or 0) % len(there) if index is None else index]
            self._state = State(episode_id=episode_id, step_count=0)
            return Said(text=f"{task.instructions}\n\n{self._problem.question}" if task.instructions else self._problem.question)

        def step(self, action: Attempt, timeout_s: float | None = None, **kwargs: Any) -> Said:
            found = judge.judge(self._problem, action.text)
            self._state.step_count += 1
            right = found.verdict.value == "right"
            reward = float(right) if found.score is None else found.score
            text = found.message or FEEDBACK["truthful" if right else "neutral"].right_text or FEEDBACK["neutral"].text
            return Said(text=text, verdict=found.verdict.value, reward=reward, done=right or self._state.step_count >= turns)

        @property
        def state(self) -> State:
            return self._state

    return create_fastapi_app(Turns, Attempt, Said, max_concurrent_envs=64, env_name=env_name)
