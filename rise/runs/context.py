"""What the stages of a method share: a checked recipe, its judge, the ledger, the cluster, and who is told how it goes."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from rise.judge import Judge
from rise.judges.by_model import ModelJudge
from rise.play.ledger import Ledger
from rise.play.memory_ledger import MemoryLedger
from rise.play.player import Player, Usage
from rise.play.render import Renderer
from rise.policies import directory_of, make_policy, parse_spec, stop_engines
from rise.policies.scripted import ScriptedPolicy
from rise.policy import Policy, Sampling
from rise.recipe.config import RunConfig
from rise.recipe.endpoints import named, same_model
from rise.runs.alarms import Alarm, read_alarms, to_event
from rise.runs.card import check_weights
from rise.runs.checks import with_engine
from rise.runs.continuing import first_value
from rise.runs.directory import RunDir, StageDir
from rise.runs.model_judge import JudgeClient, judge_client, judging
from rise.runs.preflight import Ready
from rise.training.ranks import under_launcher

if TYPE_CHECKING:
    from rise.cluster.cluster import Cluster


class Progress(Protocol):
    """Who is told how it goes: the command line draws bars, tests listen."""

    def start(self, ready: Ready) -> None: ...
    def begin(self, stage: str, part: str, total: int) -> None: ...
    def advance(self, done: int, usage: Usage | None = None, note: str = "") -> None: ...
    def end(self) -> None: ...
    def stage_done(self, stage: StageDir) -> None: ...
    def alarm(self, alarm: Alarm) -> None: ...


class Silent:
    """Tells nobody."""

    def start(self, ready: Ready) -> None: ...
    def begin(self, stage: str, part: str, total: int) -> None: ...
    def advance(self, done: int, usage: Usage | None = None, note: str = "") -> None: ...
    def end(self) -> None: ...
    def stage_done(self, stage: StageDir) -> None: ...
    def alarm(self, alarm: Alarm) -> None: ...


@dataclass
class RunContext:
    """Everything the stages share."""

    ready: Ready
    judge: Judge
    ledger: Ledger
    progress: Progress
    cluster: Cluster | None = None
    """Where replies are drawn and training runs; None: in this process."""
    run_dir: RunDir | None = None
    """None where one stage is done by itself, from files to a file."""
    judge_client: JudgeClient | None = None
    """Who asks the model that judges; None where no model does."""

    @property
    def config(self) -> RunConfig:
        return self.ready.config

    @property
    def dir(self) -> RunDir:
        """The run directory of a whole recipe."""
        assert self.run_dir is not None, "a stage by itself has no run directory"
        return self.run_dir

    @cached_property
    def renderer(self) -> Renderer:
        """The student's renderer, which no training changes."""
        if self.ready.renderer is not None:
            return self.ready.renderer
        model = self.config.model
        converted = self.run_dir.stage("base").checkpoint if self.run_dir is not None else None
        if converted is not None and converted.exists():
            return Renderer.load(converted, chat_format=model.chat_format)
        return Renderer.load(model.place, chat_format=model.chat_format, gguf_file=model.gguf_file)

    def policy(self, spec: str | Path | Policy) -> Policy:
        """The policy behind a spec, with the recipe's settings: on the cluster's replicas where there is one."""
        if isinstance(spec, Policy):
            return spec
        self.check_own(spec)
        policy = open_policy(self.config, spec, self.cluster)
        self._keep_name(policy, str(spec))
        return policy

    def check_own(self, model: str | Path) -> None:
        """Raise `ModelError` where a checkpoint that this run has made is not what it was when it was saved."""
        directory = directory_of(str(model))
        if self.run_dir is not None and directory and self.run_dir.path in directory.parents and directory.is_dir():
            check_weights(directory)

    def _keep_name(self, policy: Policy, spec: str) -> None:
        """An endpoint that has moved since the run began is filed under the name it had: its replies are there already."""
        relabel = self.config.relabel
        for name, now in (("relabel.teacher", relabel.teacher), ("relabel.judge", relabel.judge)):
            first = first_value(self.run_dir.read_log(), name) if now == spec and self.run_dir is not None else None
            if first and same_model(first, spec):
                policy.name = named(first)

    def player(self, policy: Policy | None, purpose: str, *, measured: bool = False) -> Player:
        """A player with the recipe's sampling, rewards and seed.

        `purpose` names stage and part; it is in the seed of each random stream. `measured` shows what evaluation shows.
        No policy is needed where nothing is generated.
        """
        config = self.config
        policy = policy or ScriptedPolicy.from_table({}, name="nobody")
        self.progress.advance(0)  # its engine has started: from here the work takes time
        return Player(
            policy,
            self.ready.evaluated if measured else self.ready.prompt,
            self.judge,
            Sampling(**config.sampling.model_dump()),
            self.ledger,
            purpose=purpose,
            seed=config.seed,
            rewards=config.reward,
            renderer=policy.renderer,
            deterministic=config.deterministic,
            on_done=self.progress.advance,
        )

    def report_alarms(self, alarms: Iterable[Alarm]) -> None:
        """Tell alarms at once, and keep them for the report: once, however often a run is continued."""
        for alarm in alarms:
            if self.run_dir is not None and alarm not in read_alarms(self.run_dir.read_log()):
                self.run_dir.write_log(**to_event(alarm))
            self.progress.alarm(alarm)

    @contextmanager
    def timed(self, stage: str, part: str, total: int) -> Iterator[Timer]:
        """A part of a stage: a bar while it runs, a line in metrics.jsonl when it ends without an error."""
        timer = Timer(self, stage, part, total)
        judged = self.judge_client.counts() if self.judge_client else {}
        self.progress.begin(stage, part, total)
        began = time.perf_counter()
        try:
            yield timer
        finally:
            self.progress.end()
        seconds = round(time.perf_counter() - began, 3)
        if self.run_dir is not None:
            usage = {name: getattr(timer.usage, name) for name in ("n_replies", "n_prompt_tokens", "n_reply_tokens", "n_reused")}
            facts = timer.usage.facts | timer.facts | ({"n_empty": timer.usage.n_empty} if timer.usage.n_empty else {})
            facts |= judging(judged, self.judge_client)
            if price := facts.get("judge", {}).get("price"):
                facts["price"] = round(facts.get("price", 0.0) + price, 6)
            self.run_dir.write_log(stage=stage, part=part, seconds=seconds, **usage, **facts)


class Timer:
    """What is known of a part when it ends."""

    def __init__(self, context: RunContext, stage: str, part: str, total: int) -> None:
        self.context, self.stage, self.part, self.total = context, stage, part, total
        self.usage = Usage()
        self.facts: dict[str, Any] = {}

    def record(self, player: Player) -> None:
        """What the player generated, and what it cost where it has a bill."""
        self.usage = player.usage
        if player.budget is not None and (player.budget.price_prompt or player.budget.price_reply):
            self.facts = {"price": round(player.budget.spent, 6)}

    def restart(self, total: int) -> None:
        """The number of steps has become known."""
        if total != self.total:
            self.total = total
            self.context.progress.begin(self.stage, self.part, total)


@contextmanager
def open_context(
    ready: Ready,
    ledger: Path | None,
    *,
    directory: Path,
    progress: Progress | None = None,
    run_dir: RunDir | None = None,
    judge: Judge | None = None,
) -> Iterator[RunContext]:
    """A run context with its ledger locked and its cluster joined; engines are stopped and all is closed whatever happens.

    `ledger` is the file of replies; None keeps them in memory. `directory` is what a cluster's nodes must see. `judge` is
    another one than the task's.
    """
    config = ready.config
    with Ledger(ledger) if ledger else MemoryLedger() as book:
        try:
            with join_cluster(config, directory) as cluster:
                judge = judge or ready.task.judge()
                if cluster and not isinstance(judge, ModelJudge):  # a model is asked from here
                    judge = cluster.judge(judge)  # its places come before those of replicas
                with judge_client(judge, lambda spec: open_policy(config, spec, own_format=True), ledger, config.seed) as client:
                    yield RunContext(ready, judge, book, progress or Silent(), cluster, run_dir, client)
        finally:
            stop_engines()


def join_cluster(config: RunConfig, directory: Path) -> AbstractContextManager[Cluster | None]:
    """The cluster that the recipe names, found to be there and large enough before work starts; None where it names none."""
    if config.cluster is None or under_launcher():  # a rank of somebody's launcher stays where it was put
        return nullcontext()
    from rise.cluster.cluster import joined

    return joined(config, directory)


def open_policy(config: RunConfig, spec: str | Path, cluster: Cluster | None = None, *, own_format: bool = False) -> Policy:
    """The policy behind a spec, with the recipe's settings: on the cluster's replicas where there is one.

    `own_format` keeps the chat format of a model that is not the recipe's.
    """
    text = with_engine(str(spec), config)
    # A teacher and a model that chooses have chat formats of their own.
    others = (config.relabel.teacher, config.relabel.judge)
    chat_format = None if own_format or str(spec) in others else config.model.chat_format
    if cluster and parse_spec(text).kind.on_cluster:
        return cluster.policy(text, chat_format=chat_format)
    return make_policy(
        text,
        batch_size=config.batch_size,
        dtype=config.model.dtype,
        chat_format=chat_format,
        deterministic=config.deterministic,
        engine=config.engine,
        http=config.http,
    )
