"""A game as users of OpenEnv write one: guess a number from 1 to 20, told whether it is more or less.

python guess_env.py PORT [dice | list | list-dice]: with a number that no seed decides; with a list of tasks.
"""

import random
import sys

import uvicorn
from openenv.core.env_server.http_server import create_fastapi_app
from openenv.core.env_server.interfaces import Environment
from openenv.core.env_server.types import Action, Observation, State

KIND = sys.argv[2] if len(sys.argv) > 2 else ""


class Guess(Action):
    message: str


class Said(Observation):
    text: str


class Game(Environment):
    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self):
        super().__init__()
        self.number, self.left, self._state = 0, 0, State(episode_id=None, step_count=0)

    def reset(self, seed=None, episode_id=None, **kwargs):
        seed = kwargs.get("index", seed)
        dice = random.Random(None if KIND.endswith("dice") else seed)
        self.number, self.left = dice.randint(1, 20), 4
        shown = self.number if KIND == "dice" else seed
        return Said(text=f"Game {shown}: guess my number from 1 to 20.")

    def step(self, action, timeout_s=None, **kwargs):
        self.left -= 1
        if not action.message.isdigit():
            return Said(text="A number, please.", reward=-1.0, done=not self.left)
        guess = int(action.message)
        if guess == self.number:
            return Said(text="Yes.", reward=1.0, done=True)
        return Said(text="More." if guess < self.number else "Less.", reward=0.0, done=not self.left)

    @property
    def state(self):
        return self._state


class Listed(Game):
    def list_splits(self):
        return ["train", "dev", "test"]

    def num_tasks(self, split):
        return {"train": 40, "dev": 5, "test": 10}[split]

    def list_tasks(self, split):
        return [self.get_task(split, index) for index in range(self.num_tasks(split))]

    def get_task(self, split, index):
        return {"id": f"{split}-{index}", "index": index}

    def get_task_range(self, split, start=None, stop=None):
        return self.list_tasks(split)[start:stop]

    def reset(self, seed=None, episode_id=None, **kwargs):
        offset = {"train": 0, "dev": 100, "test": 200}[kwargs["split"]]
        return super().reset(index=offset + kwargs["index"])


if __name__ == "__main__":
    game = Listed if KIND.startswith("list") else Game
    app = create_fastapi_app(game, Guess, Said, max_concurrent_envs=64, env_name="guess")
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
