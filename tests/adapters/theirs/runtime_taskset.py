"""A taskset whose reward needs a runtime: `Task.score` would leave it out without a word."""

import verifiers.v1 as vf


class NeedsRuntime(vf.Task[vf.TaskData]):
    @vf.reward
    async def passes(self, trace, runtime) -> float:
        return 1.0


class Runs(vf.Taskset[NeedsRuntime, vf.TasksetConfig]):
    def load(self):
        yield NeedsRuntime(vf.TaskData(prompt="?"), self.config.task)


__all__ = ["Runs"]
