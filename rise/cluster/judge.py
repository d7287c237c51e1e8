"""Judging on the cluster: actors that each hold the task's judge, for verdicts that take longer than a turn may wait."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterator
from typing import Any

from rise.errors import RiseError
from rise.judge import Judge, Judgement
from rise.recipe.config import TaskConfig
from rise.task import Problem


class JudgeWorker:
    """The actor."""

    def __init__(self, task: TaskConfig, directory: str) -> None:
        from rise.tasks import make_task

        with contextlib.suppress(OSError):
            os.chdir(directory)
        self._judge: Judge = make_task(task.name, **task.settings).judge()

    def judge(self, problem: Problem, reply: str) -> Judgement:
        return self._judge.judge(problem, reply)

    def pid(self) -> int:
        return os.getpid()


class ClusterJudge(Judge):
    """The judge of a run whose verdicts come from `n` processes on the cluster, in turn. Equality of answers is judged here."""

    def __init__(self, own: Judge, task: TaskConfig, n: int) -> None:
        self.own, self.task, self.n = own, task, n
        self.workers: list[Any] = []
        self._turn: Iterator[int] = itertools.cycle(range(n))

    elsewhere = True

    def same(self, left: str, right: str) -> bool:
        return self.own.same(left, right)

    def answer(self, reply: str, question: str = "") -> str | None:
        return self.own.answer(reply, question)

    def start(self) -> None:
        """Take their places on the cluster, before replicas do. Raises `RiseError` where one does not start."""
        import ray
        from ray.exceptions import RayError

        if self.workers:
            return
        worker = ray.remote(JudgeWorker).options(num_cpus=1, max_restarts=-1, max_task_retries=0)
        self.workers = [worker.remote(self.task, os.getcwd()) for _ in range(self.n)]
        try:
            ray.get([worker.pid.remote() for worker in self.workers])
        except RayError as error:
            self.stop()
            raise RiseError(f"a judge on the cluster does not start: {str(error).strip().splitlines()[-1]}") from None

    def judge(self, problem: Problem, reply: str) -> Judgement:
        return self.own.judge(problem, reply)

    async def aside(self, problem: Problem, reply: str) -> Judgement:
        """A verdict of the next worker; of another where that one is lost, and of this process where all are."""
        from ray.exceptions import RayError, RayTaskError

        for _ in self.workers:
            worker = self.workers[next(self._turn)]
            try:
                return await worker.judge.remote(problem, reply)
            except RayTaskError as error:
                raise error.cause if isinstance(error.cause, RiseError) else error from None
            except RayError:  # Ray starts it again
                continue
        return self.judge(problem, reply)

    def stop(self) -> None:
        """Give their places back; `start` takes them again."""
        import ray
        from ray.exceptions import RayError

        for worker in self.workers:
            with contextlib.suppress(RayError):
                ray.kill(worker)
        self.workers = []
