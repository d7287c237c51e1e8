"""What every stage does with the files of a run: write examples, train, evaluate, each skipped when its last file is there."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from rise.recipe.config import RunConfig, TrainConfig
from rise.dataset.build import Example, read_examples, report, with_ids
from rise.evaluation.analyses import analyse, with_gold_scores
from rise.evaluation.held_out import HeldOut, read_held_out, write_held_out
from rise.evaluation.metrics import by_fields, measure, paired_stages
from rise.evaluation.evaluate import evaluate
from rise.jsonl import write_jsonl, write_whole
from rise.judge import Judge
from rise.play.ledger import Ledger
from rise.recipe.problems import held_out_problems
from rise.play.prompt import make_prompt
from rise.policies import is_bare, make_policy, split_spec, stop_engines
from rise.policy import Policy, Sampling
from rise.play.prompt import Prompt
from rise.play.render import Renderer
from rise.play.player import Player, Usage, play_out
from rise.runs.directory import RunDir, StageDir
from rise.task import Problem, Task
from rise.trajectory import to_json

if TYPE_CHECKING:
    from rise.cluster.cluster import Cluster


class Progress(Protocol):
    """Who is told how it goes: the command line draws bars, tests listen."""

    def begin(self, stage: str, part: str, total: int) -> None: ...
    def advance(self, done: int, usage: Usage | None = None, note: str = "") -> None: ...
    def end(self) -> None: ...
    def stage_done(self, stage: StageDir) -> None: ...


class Silent:
    """Tells nobody."""

    def begin(self, stage: str, part: str, total: int) -> None: ...
    def advance(self, done: int, usage: Usage | None = None, note: str = "") -> None: ...
    def end(self) -> None: ...
    def stage_done(self, stage: StageDir) -> None: ...


@dataclass
class Run:
    """Everything the stages share."""

    config: RunConfig
    dir: RunDir
    task: Task
    judge: Judge
    prompt: Prompt
    ledger: Ledger
    progress: Progress
    cluster: Cluster | None = None
    """Where replies are drawn and training runs; None: in this process."""

    @property
    def sampling(self) -> Sampling:
        return Sampling(**self.config.sampling.model_dump())

    @property
    def evaluated(self) -> Prompt:
        """What is shown in evaluation."""
        if self.config.evaluate.state is None:
            return self.prompt
        return make_prompt(self.config, self.task, evaluation=True)

    def player(self, policy: Policy, stage: str, part: str) -> Player:
        prompt = self.evaluated if part == "evaluate" else self.prompt
        return make_player(
            self.config, policy, prompt, self.judge, self.ledger, purpose=f"{stage}/{part}", on_done=self.progress.advance
        )


def join_cluster(config: RunConfig, directory: Path) -> AbstractContextManager[Cluster | None]:
    """The cluster that the recipe names, found to be there and large enough before work starts; None where it names none."""
    if config.cluster is None or "RANK" in os.environ:  # a rank of somebody's launcher stays where it was put
        return nullcontext()
    from rise.cluster.cluster import joined

    return joined(config, directory)


def make_player(
    config: RunConfig, policy: Policy, prompt: Prompt, judge: Judge, ledger: Ledger, *, purpose: str,
    on_done: Callable[[int, Usage], None] | None = None,
) -> Player:
    """A player with the recipe's sampling, rewards and seed."""
    return Player(
        policy, prompt, judge, Sampling(**config.sampling.model_dump()), ledger, purpose=purpose, seed=config.seed,
        rewards=config.reward, renderer=getattr(policy, "renderer", None), deterministic=config.deterministic, on_done=on_done,
    )


def write_examples(
    it: Run, stage: StageDir, examples: Sequence[Example], dropped: Counter[str], counts: Counter[str], config: TrainConfig
) -> None:
    """`config` is that of the training they are for: its max_length decides what is too long."""
    complete = with_ids(examples, student_renderer(it), max_length=config.max_length, dropped=dropped)
    summary = report(complete, dropped, counts)
    write_whole(stage.dataset, json.dumps(summary.to_json(), indent=2) + "\n")
    write_jsonl(stage.examples, (to_json(e) for e in complete))


def train_stage(it: Run, stage: StageDir, start: Path, config: TrainConfig) -> None:
    if stage.checkpoint.exists():
        shutil.rmtree(stage.training, ignore_errors=True)  # left by a kill between the two
        return
    from rise.training import train

    stop_engines()  # training wants the memory, and after it the weights are others
    examples = list(read_examples(stage.examples))
    with Timed(it, stage, "train", len(examples)) as timer:

        def tell(logs: dict[str, Any]) -> None:
            it.dir.write_log(stage=stage.name, **{k: round(v, 6) if isinstance(v, float) else v for k, v in logs.items()})
            if timer.total != logs["steps"]:
                timer.restart(logs["steps"])
            it.progress.advance(logs["step"], note=f"loss {logs['loss']:.3f}")

        about = card(it.config, it.prompt, stage.name)
        if it.cluster:
            fit = it.cluster.train
        else:
            fit = partial(train, model=it.config.model, seed=it.config.seed)
        timer.facts = fit(examples, start, stage.checkpoint, config, card=about, work=stage.training, on_log=tell)


def evaluate_stage(it: Run, stage: StageDir, path: Path, n: int | None = None) -> None:
    """Held-out records and metrics of one stage."""
    if stage.metrics.exists():
        return
    config = it.config
    problems = list(held_out_problems(config, it.task))[: n or None]
    if not stage.held_out.exists():
        last = config.iterate.rounds
        control = config.evaluate.controls == "all" or (config.evaluate.controls == "last" and stage.name == f"round-{last}")
        with Timed(it, stage, "evaluate", len(problems)) as timer:
            player = it.player(policy_for(it, str(path)), stage.name, "evaluate")
            records = play_out(
                player,
                _measured(config, player, problems, control),
            )
            timer.usage = player.usage
        write_held_out(stage.held_out, records)
    records = list(read_held_out(stage.held_out))
    metrics = summarise(it, stage, records)
    write_whole(stage.metrics, json.dumps(metrics, indent=1) + "\n")
    it.progress.stage_done(stage)


async def _measured(config: RunConfig, player: Player, problems: Sequence[Problem], control: bool) -> list[HeldOut]:
    settings = config.evaluate
    records = await evaluate(player, problems, n_turns=settings.turns, n_samples=settings.samples, control=control)
    return await with_gold_scores(player, problems, records) if settings.gold_probability else records


def summarise(it: Run, stage: StageDir, records: Sequence[Any]) -> dict[str, Any]:
    """Everything in metrics.json."""
    truthful = it.evaluated.feedback == "truthful"
    turns = it.config.evaluate.turns
    metrics = measure(records, it.judge.same, truthful=truthful, turns=turns)
    metrics |= analyse(records, turns)
    metrics["stage"] = stage.name
    metrics["by_field"] = by_fields(records, it.judge.same, truthful=truthful, turns=turns)
    # Those in front of it in order: a later one is on disk too where this one is measured again.
    before = [s for s in it.dir.stages() if _order(s) < _order(stage)]
    if before:
        previous = list(read_held_out(before[-1].held_out))
        metrics["paired"]["previous"] = paired_stages(previous, records, it.judge.same, truthful=truthful, turns=turns)
        metrics["previous"] = before[-1].name
    # What the rounds began from: one-turn ability before and after them.
    start = next((s for s in reversed(before) if not s.name.startswith("round-")), None)
    if start is not None and stage.name.startswith("round-"):
        began = list(read_held_out(start.held_out))
        metrics["paired"]["before_rounds"] = paired_stages(began, records, it.judge.same, truthful=truthful, turns=turns)
        metrics["before_rounds"] = start.name
    return metrics


def _order(stage: StageDir) -> int:
    """Position in a run."""
    first = ("base", "boost-one-turn", "boost")
    return first.index(stage.name) if stage.name in first else len(first) + int(stage.name.split("-")[1])


class Timed:
    """A part of a stage: a bar while it runs, a line in metrics.jsonl when it ends."""

    def __init__(self, it: Run, stage: StageDir, part: str, total: int) -> None:
        self.it, self.stage, self.part, self.total = it, stage, part, total
        self.usage = Usage()
        self.facts: dict[str, Any] = {}

    def __enter__(self) -> Timed:
        self.began = time.perf_counter()
        self.it.progress.begin(self.stage.name, self.part, self.total)
        return self

    def restart(self, total: int) -> None:
        self.total = total
        self.it.progress.begin(self.stage.name, self.part, total)

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self.it.progress.end()
        if error is None:
            usage = {name: getattr(self.usage, name) for name in ("n_replies", "n_prompt_tokens", "n_reply_tokens", "n_reused")}
            seconds = round(time.perf_counter() - self.began, 3)
            facts = self.usage.facts | self.facts
            self.it.dir.write_log(stage=self.stage.name, part=self.part, seconds=seconds, **usage, **facts)


def policy_for(it: Run, spec: str | Path, *, silent: bool = False) -> Policy:
    if silent:
        from rise.policies.scripted import ScriptedPolicy

        return ScriptedPolicy.from_table({}, name="nobody")  # asked for nothing: the replies are at hand
    config = it.config
    named = with_engine(str(spec), config)
    # A teacher and a model that chooses have formats of their own.
    chat_format = None if str(spec) in (config.relabel.teacher, config.relabel.judge) else config.model.chat_format
    return open_policy(named, config, chat_format=chat_format, cluster=it.cluster)


def open_policy(spec: str, config: RunConfig, *, chat_format: str | None, cluster: Cluster | None = None) -> Policy:
    """The policy behind a spec, with the recipe's settings: a model on the cluster's replicas where there is one."""
    if cluster and split_spec(spec)[0] in ("local", "vllm"):
        return cluster.policy(spec, chat_format=chat_format)
    return make_policy(
        spec, batch_size=config.batch_size, dtype=config.model.dtype, chat_format=chat_format,
        deterministic=config.deterministic, engine=config.engine, http=config.http,
    )


def with_engine(spec: str, config: RunConfig) -> str:
    """A bare directory or hub name with the kind of policy that `engine.kind` chooses; any other spec as it is."""
    if not is_bare(spec):
        return spec
    kind = config.engine.kind
    if kind == "auto":
        missing = not Path(config.engine.python).exists()
        kind = "local" if missing or config.deterministic else "vllm"
        if kind == "local":
            why = f"there is no {config.engine.python} (make venv-vllm)" if missing else "deterministic = true fixes batches"
            _notice(f'engine.kind = "auto": generating with transformers in this process, since {why}.')
    return f"{kind}:{spec}"


@cache
def _notice(text: str) -> None:
    """Once a process, on standard error."""
    print(f"rise: {text}", file=sys.stderr)


def card(config: RunConfig, prompt: Prompt, stage: str) -> dict[str, Any]:
    """rise.json: what a checkpoint must know to be evaluated and served as it was trained."""
    number = re.fullmatch(r"round-(\d+)", stage)
    return {
        "task": config.task.name,
        "task_settings": config.task.settings,
        "instructions": prompt.instructions,
        "demonstration": prompt.demonstration.model_dump() if prompt.demonstration else False,
        "feedback": prompt.feedback,
        "feedback_text": prompt.feedback_text,
        **({"critique_text": prompt.critique_text} if prompt.critique_text is not None else {}),
        "window": config.state.window,
        "sampling": config.sampling.model_dump(),
        "turns": config.evaluate.turns,
        "stage": stage,
        "round": int(number[1]) if number else 0,
    }


def student_renderer(it: Run) -> Renderer:
    """The student's, which no training changes."""
    base = it.dir.stage("base").checkpoint
    model = it.config.model
    return Renderer.load(base if base.exists() else model.path or "", chat_format=model.chat_format)


def base_renderer(config: RunConfig, task: Task, prompt: Prompt) -> Renderer:
    """The same without a run directory: from the recipe's model, or made as that of a nano model is."""
    if config.model.nano is None:
        extra = {"gguf_file": config.model.gguf_file} if config.model.gguf_file else {}
        return Renderer.load(config.model.path or "", chat_format=config.model.chat_format, **extra)
    from rise.training.nano import make_tokenizer

    return Renderer(make_tokenizer(nano_alphabet(task, prompt)))


def nano_alphabet(task: Task, prompt: Prompt) -> str:
    """Every character that a nano model may be shown."""
    example = "".join(prompt.demonstration.model_dump().values()) if prompt.demonstration else ""
    own = (prompt.feedback_text or "") + (prompt.critique_text or "") + (prompt.instructions or "") + example
    return task.alphabet + own + "?"  # type: ignore[attr-defined]
