"""A taskset as users of verifiers write one."""

import verifiers.v1 as vf


class SumsConfig(vf.TasksetConfig):
    last: int = 40
    endless: bool = False


class SumData(vf.TaskData):
    answer: str


class SumTask(vf.Task[SumData]):
    @vf.reward(weight=0.75)
    async def right(self, trace) -> float:
        return float(trace.last_reply.split()[-1:] == [self.data.answer])

    @vf.reward(weight=0.25)
    async def short(self, trace) -> float:
        return float(len(trace.last_reply) < 20)


class Sums(vf.Taskset[SumTask, SumsConfig]):
    def load(self):
        for a in range(1, self.config.last + 1):
            yield SumTask(SumData(prompt=f"{a}+{a + 1}?", system_prompt="Add.", answer=str(2 * a + 1)), self.config.task)


__all__ = ["Sums"]
