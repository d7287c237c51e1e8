"""The method from Python, in ten lines: tasks, policies and the stages as plain functions. They work in a running loop too.

    task = rise.load_task("gsm8k")
    student = rise.load_policy("Qwen/Qwen2.5-0.5B-Instruct")
    attempts = rise.rollout(student, task, n=200)
    improved = rise.relabel(student, task, attempts, n_samples=8)
    examples = rise.build_examples(task, attempts, improved, temperature=0.4)
    student = rise.train(student, examples, out="round-1")
    print(rise.evaluate(student, task, n=200).table())

Each function builds a recipe from its arguments and calls the stage that `rise run` calls. Replies are kept in memory, unless
`ledger` names a file: then none is ever asked for twice, in this process or the next.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from rise.dataset.example import Example
from rise.errors import ConfigError, did_you_mean
from rise.evaluation.held_out import HeldOut
from rise.method.evaluate import numbers, play_held_out
from rise.method.examples import round_examples, weighted
from rise.method.iterate import run as run_recipe
from rise.method.relabel import improve
from rise.method.rollout import collect
from rise.method.seeds import run_seeds
from rise.method.train import fit
from rise.play.prompt import make_prompt
from rise.policies import check_spec
from rise.policies.function import FunctionPolicy
from rise.policy import Policy
from rise.recipe.config import RunConfig, SamplingConfig, StateConfig
from rise.recipe.problems import some_problems
from rise.recipe.toml import build_config, load_recipe, merged
from rise.report import write_public_report
from rise.report.load import LoadedRun, load
from rise.report.measured import measured_table
from rise.runs.card import GIVEN, OWN_CODE, config_for
from rise.runs.context import RunContext, open_context
from rise.runs.preflight import Ready
from rise.task import Problem, Split, Task
from rise.tasks import make_task
from rise.tasks.plain import PlainTask
from rise.trajectory import Relabelled, Trajectory

Result = TypeVar("Result")

# ---- tasks and policies --------------------------------------------------------------------------------------------------


def load_task(problems: str | Iterable[Problem | Mapping[str, Any]] | Mapping[str, Any], **settings: Any) -> Task:
    """A task by name (`"gsm8k"`, `"jsonl"` with `path=…`), or one made of a list of problems.

    A list holds `rise.Problem`s or mappings with `question` and `gold`; a mapping of lists gives the splits. `judge` is a
    name (`"math"`), `module:name`, an object with `judge` and `same`, or a function `(problem, reply) -> bool`.
    Raises `ConfigError` or `DataError` with the way out.
    """
    if isinstance(problems, str):
        return make_task(problems, **settings)
    return PlainTask(problems, **settings)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Model:
    """A policy by its spec. It is opened when it replies or trains, and let go of afterwards."""

    spec: str
    """A directory, a hub name, `http://host/v1#model`, `vllm:DIRECTORY`, …"""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """`batch_size`, `dtype`, `chat_format`, and tables of a recipe such as `http` or `engine`."""

    @property
    def name(self) -> str:
        return self.spec


Student = Model | Policy


def load_policy(
    policy: str | Path | Callable[..., Any] | Policy,
    *,
    batch_size: int = 128,
    dtype: str = "float32",
    chat_format: str | None = None,
    **tables: Any,
) -> Student:
    """A policy from a directory, a hub name, a URL with `#model`, any other spec, or a function `messages -> text`.

    A function is called with `[{"role": …, "content": …}, …]` and returns the text, or an awaitable of it. `tables` are
    further tables of a recipe: `http={"timeout_s": 30}`. Raises `PolicyError` or `ModelError` for what is not there.
    """
    if isinstance(policy, Policy):
        return policy
    if callable(policy):
        return FunctionPolicy(policy)
    check_spec(str(policy))
    model = {"dtype": dtype, "chat_format": chat_format}
    return Model(str(policy), {"batch_size": batch_size, "model": model, **tables})


# ---- stages --------------------------------------------------------------------------------------------------------------


class Examples(list[Example]):
    """What `build_examples` returns: examples, their task, and what the student was shown, for the checkpoint's card."""

    def __init__(self, examples: Iterable[Example], task: Task, shown: Mapping[str, Any]) -> None:
        super().__init__(examples)
        self.task = task
        self.shown = dict(shown)


class Attempts(list[Trajectory]):
    """What `rollout` returns: trajectories, the problems they are of, and what the student was shown."""

    def __init__(self, trajectories: Iterable[Trajectory], problems: Sequence[Problem], shown: Mapping[str, Any]) -> None:
        super().__init__(trajectories)
        self.problems = list(problems)
        self.shown = dict(shown)


def rollout(
    student: Student,
    task: Task,
    *,
    n: int | None = None,
    split: Split = "train",
    turns: int = 1,
    n_trajectories: int = 1,
    stop_when_right: bool = True,
    ledger: str | Path | None = None,
    **shown: Any,
) -> Attempts:
    """The student's own `turns` on `n` problems (200 by default, or all where there are fewer). RISE §4.1.

    `shown` are fields of [state] and [sampling] and the seed: `feedback="neutral"`, `window=1`, `temperature=0.7`,
    `max_new_tokens=256`, `seed=1`. A checkpoint of ours brings its own.
    """
    settings = {"rollout": {"stop_when_right": stop_when_right, "n_trajectories": n_trajectories}}
    problems = some_problems(task, split, n)
    with _bench(student, task, ledger, shown, settings) as context:
        found = _apart(collect, context, "rollout", problems, _spec(student), n_turns=turns, purpose="rollout")
    return Attempts(found, problems, shown)


def relabel(
    improver: Student,
    task: Task,
    attempts: Sequence[Trajectory],
    *,
    student: Student | None = None,
    ledger: str | Path | None = None,
    **settings: Any,
) -> list[Relabelled]:
    """A better reply at each state the student reached: the best of `n_samples` replies of `improver`. RISE eq. 4.4, 4.5.

    With `student` named, `improver` is a teacher. `settings` are those of [relabel] (`n_samples`, `states`, `relabel_right`,
    `improver="gold"` for worked solutions, `budget`, …), and what the improver is shown where that differs from `attempts`.
    """
    own, shown = _split(settings, "relabel", RunConfig.model_fields["relabel"].annotation)
    own.setdefault("improver", "self" if student is None else "teacher")
    if own["improver"] == "teacher":
        own.setdefault("teacher", _name(improver))
    shown = {**(attempts.shown if isinstance(attempts, Attempts) else {}), **shown}
    with _bench(student or improver, task, ledger, shown, {"relabel": own}) as context:
        problems = _problems(task, attempts)
        spec = _spec(improver)
        return _apart(improve, context, "relabel", problems, attempts, spec, teacher=spec, purpose="relabel")


def build_examples(
    task: Task,
    attempts: Sequence[Trajectory],
    improved: Sequence[Relabelled],
    *,
    temperature: float = 0.4,
    keep: str = "all",
    trained_turns: str = "all",
    **settings: Any,
) -> Examples:
    """Weighted examples, exp(reward / `temperature`) each (RISE eq. 4.6); weights are scaled to mean 1 when they train.

    `settings` are further ones of [weigh] and [dataset]: `centre=True`, `deduplicate=False`, …
    """
    weigh, rest = _split(settings, "weigh", RunConfig.model_fields["weigh"].annotation)
    dataset, shown = _split(rest, "dataset", RunConfig.model_fields["dataset"].annotation)
    shown = {**(attempts.shown if isinstance(attempts, Attempts) else {}), **shown}
    tables = {
        "keep": {"rule": keep, "trained_turns": trained_turns},
        "weigh": {"temperature": temperature, **weigh},
        "dataset": dataset,
    }
    config = _config(None, task, shown, tables)
    examples, _, _ = round_examples(config, make_prompt(config, task), _problems(task, attempts), attempts, improved)
    return Examples(examples, task, shown)


def train(student: Model, examples: Sequence[Example], out: str | Path, *, seed: int = 0, **settings: Any) -> Model:
    """Fine-tune the student on weighted examples and write a plain transformers checkpoint to `out`; returns its policy.

    `settings` are those of [train]: `epochs=1`, `learning_rate=1e-5`, `batch_size=32`, …
    Raises `ConfigError` where `student` is no model whose weights are at hand.
    """
    if not isinstance(student, Model):
        raise ConfigError(f"{_name(student)} has no weights to train. Give a model: rise.load_policy(DIRECTORY or hub name).")
    own, unknown = _split(settings, "train", RunConfig.model_fields["train"].annotation)
    if unknown:
        raise ConfigError(f"train has no setting {min(unknown)!r}. It takes those of [train] in a recipe, and seed.")
    task, shown = (examples.task, examples.shown) if isinstance(examples, Examples) else (PlainTask([Problem("?", "?")]), {})
    with _bench(student, task, None, {**shown, "seed": seed}, {"train": own}) as context:
        ready = weighted(context, examples, dropped=Counter())
        target = Path(out)
        start = context.config.model.place
        _apart(
            fit,
            context,
            target.name,
            ready,
            start,
            target,
            context.config.train,
            work=target.with_name(target.name + ".training"),
        )
    return replace(student, spec=str(target))


@dataclass(frozen=True)
class Evaluation:
    """A measurement: what was played, and its numbers with 95 % intervals (docs/metrics.md)."""

    records: list[HeldOut]
    metrics: dict[str, Any]
    """As in metrics.json."""

    def table(self) -> str:
        """The headline metrics and differences, one a line: what `rise evaluate` prints."""
        return measured_table(self.metrics)

    def __str__(self) -> str:
        return self.table()


def evaluate(
    policy: Student,
    task: Task,
    *,
    n: int | None = None,
    split: Split = "test",
    turns: int | None = None,
    samples: int = 5,
    control: bool = True,
    ledger: str | Path | None = None,
    **shown: Any,
) -> Evaluation:
    """Play `n` problems over `turns` turns beside `samples` parallel first replies, and measure. RISE §4.3, §5.

    `turns` are by default the checkpoint's, else 5. `control` also shows other problems' attempts. `shown`: as in `rollout`.
    """
    settings = {"evaluate": {"samples": samples, **({"turns": turns} if turns else {})}}
    problems = some_problems(task, split, n)
    with _bench(policy, task, ledger, shown, settings) as context:
        records = _apart(play_held_out, context, "evaluate", problems, _spec(policy), control=control, purpose="evaluate")
        return Evaluation(records, numbers(context, records))


def run(
    recipe: str | Path | RunConfig,
    *,
    out: str | Path | None = None,
    scale: str | None = None,
    seeds: Sequence[int] | None = None,
    **settings: Any,
) -> LoadedRun:
    """Run a whole recipe, or continue it, and return the run to be read: `rise.run("nano", scale="toy").turns()`.

    `recipe` is a path, the name of one that comes with rise or lies in `recipes/` here, or a `RunConfig`. `settings` override
    tables or fields: `seed=1`, `iterate={"rounds": 1}`. `out` is by default `runs/NAME`, or `runs/NAME-SCALE`. With
    `seeds=[0, 1, 2]` it is trained once for each, one after the other, and `.turns()`, `.metrics()`, `.over_seeds()` are of
    all (`LoadedSeeds`).
    """
    if isinstance(recipe, RunConfig):
        config = recipe
    else:
        config = load_recipe(recipe, scale=scale)
    if settings:
        config = build_config(merged(config.model_dump(), settings), "rise.run")
    target = Path(out) if out is not None else Path("runs") / (f"{config.name}-{scale}" if scale else config.name)
    page = write_public_report
    done = _apart(run_seeds, config, target, seeds, page) if seeds else _apart(run_recipe, config, target, report=page)
    return load(done.path)


# ---- how a call becomes a recipe -----------------------------------------------------------------------------------------


@contextmanager
def _bench(
    student: Student, task: Task, ledger: str | Path | None, shown: Mapping[str, Any], settings: Mapping[str, Any]
) -> Iterator[RunContext]:
    config = _config(student, task, shown, settings)
    prompt = make_prompt(config, task)
    ready = Ready(config, task, prompt, prompt)
    with open_context(ready, Path(ledger) if ledger else None, directory=Path.cwd()) as context:
        yield context


def _config(student: Student | None, task: Task, shown: Mapping[str, Any], settings: Mapping[str, Any]) -> RunConfig:
    """The recipe of a call. The task is at hand already, so the recipe only names it."""
    state, rest = _split(shown, "state", StateConfig)
    sampling, rest = _split(rest, "sampling", SamplingConfig)
    seed = rest.pop("seed", 0)
    if rest:
        valid = [*StateConfig.model_fields, *SamplingConfig.model_fields, "seed"]
        raise ConfigError(f"unknown setting {min(rest)!r}. {did_you_mean(min(rest), valid)}")
    own: Mapping[str, Any] = student.settings if isinstance(student, Model) else {}
    spec = student.spec if isinstance(student, Model) else GIVEN
    tables = merged({"seed": seed, "state": state, "sampling": sampling}, merged(own, settings))
    return config_for(spec, task=task.name, settings=tables, without=OWN_CODE)  # its judge is at hand as well


def _split(settings: Mapping[str, Any], table: str, record: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """(fields of that record, the rest)."""
    mine = {key: value for key, value in settings.items() if key in record.model_fields}
    return mine, {key: value for key, value in settings.items() if key not in mine}


def _spec(policy: Student) -> Any:
    return policy.spec if isinstance(policy, Model) else policy


def _name(policy: Student) -> str:
    return policy.spec if isinstance(policy, Model) else policy.name


def _problems(task: Task, attempts: Sequence[Trajectory]) -> list[Problem]:
    """The problems of these trajectories; of trajectories from a file, as far as they tell."""
    if isinstance(attempts, Attempts):
        return attempts.problems
    seen = {t.problem_id: Problem(t.question, t.gold, fields=t.fields, id=t.problem_id) for t in attempts}
    return list(seen.values())


def _apart(function: Callable[..., Result], *args: Any, **kwargs: Any) -> Result:
    """The result of `function`, which starts an event loop: in a thread where one is running already, as in a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return function(*args, **kwargs)
    found: list[Result] = []
    raised: list[BaseException] = []

    def call() -> None:
        try:
            found.append(function(*args, **kwargs))
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=call, name="rise")
    thread.start()
    thread.join()
    if raised:
        raise raised[0]
    return found[0]
