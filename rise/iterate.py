"""THE METHOD: boost, then rollout → relabel → dataset → train → evaluate, round after round. Resumes wherever it was stopped.

RISE, arXiv 2407.18219, §4. Each part reads the files of the part before it and is skipped when its own last file is in
place, so a run that was killed continues by being started again.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

from rise.config import RunConfig, TrainConfig
from rise.context import check_context
from rise.dataset import Example, build_examples, read_examples, report, scaled, with_ids, without_repeats
from rise.errors import ConfigError, DataError, EmptyStageError
from rise.evaluate.held_out import read_held_out, write_held_out
from rise.evaluate.metrics import by_fields, measure, paired_stages
from rise.evaluate.protocol import evaluate
from rise.jsonl import dumps, write_jsonl, write_whole
from rise.judge import Judge
from rise.ledger import Ledger
from rise.policies import make_policy
from rise.policy import Policy, Sampling
from rise.preflight import preflight
from rise.prompt import Prompt, load_function
from rise.recipe import differences, load_recipe
from rise.relabel import relabel
from rise.render import Renderer
from rise.rollout import Player, Usage, play_out, rollout
from rise.run_dir import RunDir, StageDir, provenance
from rise.task import Problem, Task
from rise.tasks import make_task
from rise.trajectory import Relabelled, Trajectory, Verdict, read_relabelled, read_trajectories, to_json
from rise.weigh import reward_weight


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

    @property
    def sampling(self) -> Sampling:
        return Sampling(**self.config.sampling.model_dump())

    def player(self, policy: Policy, stage: str, part: str) -> Player:
        return make_player(
            self.config, policy, self.prompt, self.judge, self.ledger, purpose=f"{stage}/{part}", on_done=self.progress.advance
        )


def run(config: RunConfig, directory: Path, *, progress: Progress | None = None, command: list[str] | None = None) -> RunDir:
    """Run a recipe to its end, or continue it. Returns the run directory.

    Raises `RiseError` for whatever the user can put right; a bad reply never raises.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError(
            f"WORLD_SIZE = {os.environ['WORLD_SIZE']}, but a whole run is one process: only `rise train` runs under torchrun. "
            "Start `rise run` by itself."
        )
    fix_threads(config)
    task = check(config)
    preflight(config, task, lambda k: training_problems(config, task, k))
    run_dir = RunDir(directory)
    made = contents(config, task)
    with _locked(run_dir) as ledger:
        if run_dir.open(config, command=command, contents=made):
            now = provenance(config, command)
            run_dir.write_log(continued={name: now[name] for name in ("rise", "commit", "clean", "versions", "command")})
        it = Run(config, run_dir, task, task.judge(), make_prompt(config, task), ledger, progress or Silent())
        if config.boost.reuse:
            _reuse(it, RunDir(Path(config.boost.reuse)))
        base = _base_model(it)
        if not it.dir.stage("base").metrics.exists():
            _check_context(it, base)
        _evaluate(it, it.dir.stage("base"), base, n=config.evaluate.n_base)
        start = base
        if config.boost.enabled:
            start = _boost(it, base)
        previous = start
        for k in range(1, config.iterate.rounds + 1):
            trained_from = {"base": base, "boost": start, "previous": previous}[config.iterate.start]
            previous = _round(it, k, student=previous, start=trained_from)
    return run_dir


@contextmanager
def _locked(run_dir: RunDir) -> Iterator[Ledger]:
    """The ledger, whose lock keeps other processes out, before anything else is written. Leaves a stranger's folder as it was."""
    new = not run_dir.ledger.exists()
    with Ledger(run_dir.ledger) as ledger:
        try:
            yield ledger
        finally:
            if new and not run_dir.config.exists():
                run_dir.ledger.unlink()


def make_prompt(config: RunConfig, task: Task) -> Prompt:
    """What is shown at each turn, as the recipe and the task say."""
    state = config.state
    instructions = task.instructions if state.instructions is None else (state.instructions or None)
    return Prompt(instructions, state.feedback, state.feedback_text, None if state.window == "all" else state.window)


def check(config: RunConfig) -> Task:
    """Find impossible settings before hours are spent; returns the task. Raises `ConfigError` or `DataError`."""
    task = make_task(config.task.name, **config.task.settings)
    if config.model.nano and not hasattr(task, "alphabet"):
        raise ConfigError(
            f"model.nano needs a task with a fixed alphabet, which {config.task.name} has not. Use task.name = "
            '"arithmetic", or give a pretrained model: model.path.'
        )
    if ":" in config.state.feedback:
        load_function(config.state.feedback)
    if not training_problems(config, task) or not _held_out(config, task):
        raise EmptyStageError(f"task {config.task.name} has no problem.")
    return task


def contents(config: RunConfig, task: Task) -> dict[str, str]:
    """Hashes of what a recipe only names, so that a run is not continued on other problems or from another model."""
    problems = list(training_problems(config, task))
    if config.boost.enabled:
        problems += task.problems("train", _number(config.boost.n_problems))
    parts = {"training problems": problems, "held-out problems": _held_out(config, task)}
    out = {
        name: hashlib.sha256(dumps([[p.id, p.question, p.gold, p.solution] for p in part]).encode()).hexdigest()[:12]
        for name, part in parts.items()
    }
    if config.model.path and Path(config.model.path).is_dir():
        from rise.train.model import weights_hash

        out["model.path"] = weights_hash(config.model.path)
    return out


def make_player(
    config: RunConfig, policy: Policy, prompt: Prompt, judge: Judge, ledger: Ledger, *, purpose: str,
    on_done: Callable[[int, Usage], None] | None = None,
) -> Player:  # fmt: skip
    """A player with the recipe's sampling, rewards and seed."""
    return Player(
        policy, prompt, judge, Sampling(**config.sampling.model_dump()), ledger, purpose=purpose, seed=config.seed,
        rewards=config.reward, renderer=getattr(policy, "renderer", None), deterministic=config.deterministic, on_done=on_done,
    )  # fmt: skip


def training_problems(config: RunConfig, task: Task, number: int = 1) -> Sequence[Problem]:
    """Problems of round `number`. The first `boost.n_problems` are the boost's, the rounds take theirs behind them."""
    n = config.rollout.n_problems or _number(config.task.n_train)
    start = (_number(config.boost.n_problems) or 0) if config.boost.enabled and config.boost.disjoint else 0
    if config.rollout.problems == "fresh" and n is not None:
        start += (number - 1) * n
    return task.problems("train", n, start=start)


def student_turns(config: RunConfig, number: int) -> int:
    """How many turns the student takes in round `number` before the improver."""
    turns = number if config.rollout.turns == "round" else config.rollout.turns
    return max(1, turns + config.rollout.turns_offset)


def round_examples(
    config: RunConfig, prompt: Prompt, problems: Sequence[Problem], trajectories: Sequence[Trajectory],
    relabelled: Sequence[Relabelled],
) -> tuple[list[Example], Counter[str], Counter[str]]:  # fmt: skip
    """Keep and weigh, as the recipe says: (examples with raw weights, dropped by reason, other counts)."""
    by_id = {problem.id: problem for problem in problems}
    examples, dropped, counts = build_examples(
        trajectories, relabelled, lambda t, k: prompt.messages(by_id[t.problem_id], t.turns[:k]), rule=config.keep.rule,
        trained_turns=config.keep.trained_turns, temperature=config.weigh.temperature, centre=config.weigh.centre,
        clip=config.weigh.clip, drop_truncated=config.dataset.drop_truncated,
        deduplicate=config.dataset.deduplicate, per_problem=config.dataset.per_problem,
    )  # fmt: skip
    counts["states improved"] = len(relabelled)
    counts["states with a right improved reply"] = sum(r.reply.right for r in relabelled)
    return examples, dropped, counts


def _held_out(config: RunConfig, task: Task) -> Sequence[Problem]:
    split = config.evaluate.split
    return task.problems(split, _number(config.task.n_test if split == "test" else config.task.n_validation))


def _number(count: int | Literal["all"]) -> int | None:
    return None if count == "all" else count


# --- stages -----------------------------------------------------------------------------------------------------------


def _reuse(it: Run, other: RunDir) -> None:
    """Copy the base and the boost of a finished run. Raises `ConfigError` if they would have come out otherwise here."""
    if not other.config.exists():
        raise ConfigError(f'boost.reuse = "{other.path}" is no run directory: it holds no config.toml.')
    theirs = load_recipe(other.config).model_dump(mode="json")
    mine = it.config.model_dump(mode="json")
    for settings in (theirs, mine):
        settings["boost"].pop("reuse")
    parts = ("seed", "task", "model", "state", "sampling", "reward", "boost", "evaluate")
    changed = differences({key: theirs[key] for key in parts}, {key: mine[key] for key in parts})
    if changed:
        shown = "\n  ".join(changed)
        raise ConfigError(f'boost.reuse = "{other.path}", but that run\'s boost was made otherwise:\n  {shown}')
    last = "boost" if it.config.boost.multi_turn_share else "boost-one-turn"
    if not (other.stage(last).checkpoint.exists() and other.stage(last).metrics.exists()):
        raise ConfigError(f'boost.reuse = "{other.path}", but that run has not finished its boost. Let it end first.')
    for name in ("base", "boost-one-turn", "boost"):
        source, target = other.stage(name).path, it.dir.stage(name).path
        if source.exists() and not target.exists():
            partial = target.with_name(name + ".partial")
            shutil.rmtree(partial, ignore_errors=True)
            shutil.copytree(source, partial, ignore=shutil.ignore_patterns("training", "*.partial"))
            os.replace(partial, target)


def _base_model(it: Run) -> Path:
    """The untouched model: made, converted or found."""
    stage = it.dir.stage("base")
    model = it.config.model
    if model.nano:
        if not stage.checkpoint.exists():
            from rise.train.nano import make_nano

            alphabet = it.task.alphabet + _feedback_characters(it)  # type: ignore[attr-defined]
            make_nano(model.nano, alphabet, it.config.seed, stage.checkpoint, card=card(it.config, it.prompt, stage.name))
        path = stage.checkpoint
    elif model.gguf_file:
        if not stage.checkpoint.exists():
            from rise.train.model import convert_gguf

            convert_gguf(Path(model.path or ""), model.gguf_file, stage.checkpoint)
        path = stage.checkpoint
    else:
        path = Path(model.path or "")
    return path


def _check_context(it: Run, base: Path) -> None:
    """Every stage's longest state, before the first of them begins."""
    from rise.train.model import context_length

    limit = context_length(base)
    config = it.config
    problems = [*_held_out(config, it.task), *training_problems(config, it.task)]
    if config.boost.enabled:
        problems += it.task.problems("train", _number(config.boost.n_problems))
    # The improver stands where the student has taken its last turn.
    attempts = max(config.evaluate.turns - 1, *(student_turns(config, k) for k in range(1, config.iterate.rounds + 1)), 0)
    check_context(
        it.prompt, _renderer(it), problems, limit=limit, attempts=attempts,
        max_new_tokens=config.sampling.max_new_tokens,
    )  # fmt: skip


def _boost(it: Run, base: Path) -> Path:
    """Supervised training on worked solutions; then again with turns in which an attempt is shown and improved."""
    config = it.config.boost
    problems = it.task.problems("train", _number(config.n_problems))
    one_turn = it.dir.stage("boost-one-turn")
    if not one_turn.examples.exists():
        _write_examples(it, one_turn, _solutions(it, problems), Counter(), Counter(), config.train)
    _train(it, one_turn, base, config.train)
    if config.also_one_turn or config.multi_turn_share == 0:
        _evaluate(it, one_turn, one_turn.checkpoint)
    if config.multi_turn_share == 0:
        return one_turn.checkpoint

    stage = it.dir.stage("boost")
    if not stage.examples.exists():
        # As many multi-turn examples as the share asks for, at most one per problem.
        n_multi = round(len(problems) * config.multi_turn_share)
        chosen = list(problems)[:n_multi]
        policy = _policy(it, one_turn.checkpoint)
        with _Timed(it, stage, "rollout", len(chosen)) as timer:
            player = it.player(policy, "boost", "rollout")
            trajectories = play_out(player, rollout(player, chosen, n_turns=1, stop_when_right=False))
            timer.usage = player.usage
        right = [t for t in trajectories if t.turns[0].right]
        n_wrong = len(trajectories) - len(right)
        most = round(n_wrong * config.right_share / max(1e-9, 1 - config.right_share))
        shown = {t.problem_id for t in right[:most]} | {t.problem_id for t in trajectories if not t.turns[0].right}
        kept = [t for t in trajectories if t.problem_id in shown]
        relabelled = play_out(
            player, relabel(player, [p for p in chosen if p.id in shown], kept, improver="gold", relabel_right="keep")
        )
        by_id = {p.id: p for p in chosen}
        multi, dropped, counts = build_examples(
            kept,
            relabelled,
            lambda t, k: it.prompt.messages(by_id[t.problem_id], t.turns[:k]),
            trained_turns="last",
        )
        multi = [replace(e, weight=1.0) for e in multi]  # worked solutions all: nothing to weigh
        counts["multi-turn examples"] = len(multi)
        n_one = round(len(multi) * (1 - config.multi_turn_share) / config.multi_turn_share)
        singles = _solutions(it, problems)
        singles = random.Random(it.config.seed).sample(singles, min(len(singles), n_one))
        _write_examples(it, stage, [*singles, *multi], dropped, counts, config.train_multi_turn or config.train)
    _train(it, stage, one_turn.checkpoint if config.start == "one-turn" else base, config.train_multi_turn or config.train)
    _evaluate(it, stage, stage.checkpoint)
    return stage.checkpoint


def _round(it: Run, k: int, *, student: Path, start: Path) -> Path:
    """Round k of the method: the `student` is unrolled and improved, training begins at `start`. Returns the checkpoint."""
    config = it.config
    stage = it.dir.stage(f"round-{k}")
    if not stage.examples.exists():
        problems = training_problems(config, it.task, k)
        trajectories = _collect(it, stage, problems, student, k)
        relabelled = _improve(it, stage, problems, trajectories, student)
        _build(it, stage, k, problems, trajectories, relabelled)
    _train(it, stage, start, config.train)
    _evaluate(it, stage, stage.checkpoint)
    return stage.checkpoint


def _collect(it: Run, stage: StageDir, problems: Sequence[Problem], student: Path, k: int) -> list[Trajectory]:
    if not stage.trajectories.exists():
        n_turns, stop = student_turns(it.config, k), it.config.rollout.stop_when_right
        with _Timed(it, stage, "rollout", len(problems)) as timer:
            player = it.player(_policy(it, student), stage.name, "rollout")
            trajectories = play_out(player, rollout(player, problems, n_turns=n_turns, stop_when_right=stop))
            timer.usage = player.usage
        write_jsonl(stage.trajectories, (to_json(t) for t in sorted(trajectories, key=lambda t: t.problem_id)))
    return list(read_trajectories(stage.trajectories))


def _improve(
    it: Run, stage: StageDir, problems: Sequence[Problem], trajectories: Sequence[Trajectory], student: Path
) -> list[Relabelled]:
    if not stage.relabelled.exists():
        config = it.config.relabel
        with _Timed(it, stage, "relabel", len(problems)) as timer:
            improver = config.teacher if config.improver == "teacher" else str(student)
            player = it.player(_policy(it, improver or "", gold=config.improver == "gold"), stage.name, "relabel")
            relabelled = play_out(
                player,
                relabel(
                    player, problems, trajectories, improver=config.improver, n_samples=config.n_samples,
                    states=config.states, relabel_right=config.relabel_right, student=_renderer(it),
                )
            )  # fmt: skip
            timer.usage = player.usage
        write_jsonl(stage.relabelled, (to_json(r) for r in sorted(relabelled, key=lambda r: (r.problem_id, r.turn))))
    return list(read_relabelled(stage.relabelled))


def _build(
    it: Run,
    stage: StageDir,
    k: int,
    problems: Sequence[Problem],
    trajectories: Sequence[Trajectory],
    relabelled: Sequence[Relabelled],
) -> None:
    """Keep, weigh, mix in what the recipe asks for, and write examples.jsonl.

    Weights are scaled once, over what is left of every round that trains; only then come replayed solutions.
    """
    config = it.config
    examples, dropped, counts = round_examples(config, it.prompt, problems, trajectories, relabelled)
    if config.dataset.data == "aggregate":
        earlier = [e for j in range(1, k) for e in _earlier_round(it, j)]
        counts["examples of earlier rounds"] = len(earlier)
        examples = [*earlier, *examples]
        if config.dataset.deduplicate:
            examples = without_repeats(examples, dropped)
    examples = with_ids(examples, _renderer(it), max_length=config.train.max_length, dropped=dropped)
    examples = scaled(examples, config.weigh.scale)
    if config.dataset.replay_share > 0:
        solutions = list(read_examples(it.dir.stage("boost-one-turn").examples))
        n = round(len(examples) * config.dataset.replay_share / (1 - config.dataset.replay_share))
        replayed = random.Random(f"{config.seed}-{k}").sample(solutions, min(n, len(solutions)))
        counts["boost examples replayed"] = len(replayed)
        weight = _replay_weight(config)
        examples = [*examples, *(replace(e, weight=weight) for e in replayed)]
    _write_examples(it, stage, examples, dropped, counts, config.train)


def _earlier_round(it: Run, j: int) -> list[Example]:
    """Examples of round j with raw weights, from its own files: what its examples.jsonl holds was scaled for itself."""
    stage = it.dir.stage(f"round-{j}")
    trajectories, relabelled = list(read_trajectories(stage.trajectories)), list(read_relabelled(stage.relabelled))
    return round_examples(it.config, it.prompt, training_problems(it.config, it.task, j), trajectories, relabelled)[0]


def _replay_weight(config: RunConfig) -> float:
    """Of a worked solution: an example like the average one, or, where weights are raw, what a right reply weighs."""
    if config.weigh.scale == "mean-one":
        return 1.0
    # Centred, a problem with one reply is at its own mean.
    right = config.reward.right
    return reward_weight(right, config.weigh.temperature, baseline=right if config.weigh.centre else 0.0, clip=config.weigh.clip)


def _solutions(it: Run, problems: Sequence[Problem]) -> list[Example]:
    """One-turn examples: the task's worked solutions."""
    out = []
    for problem in problems:
        if problem.solution is None:
            raise DataError(
                f"boost trains on worked solutions, but problem {problem.id} of {it.config.task.name} has none. "
                "Set boost.enabled = false, or give problems a solution field."
            )
        messages = it.prompt.messages(problem, [])
        reward = it.config.reward.right
        out.append(Example(problem.id, 0, messages, problem.solution, "solution", reward, 1.0, (), (), verdict=Verdict.RIGHT))
    return out


def _write_examples(
    it: Run, stage: StageDir, examples: Sequence[Example], dropped: Counter[str], counts: Counter[str], config: TrainConfig
) -> None:
    """`config` is that of the training they are for: its max_length decides what is too long."""
    complete = with_ids(examples, _renderer(it), max_length=config.max_length, dropped=dropped)
    summary = report(complete, dropped, counts)
    write_whole(stage.dataset, json.dumps(summary.to_json(), indent=2) + "\n")
    write_jsonl(stage.examples, (to_json(e) for e in complete))


def _train(it: Run, stage: StageDir, start: Path, config: TrainConfig) -> None:
    if stage.checkpoint.exists():
        shutil.rmtree(stage.training, ignore_errors=True)  # left by a kill between the two
        return
    from rise.train import train

    examples = list(read_examples(stage.examples))
    with _Timed(it, stage, "train", len(examples)) as timer:

        def tell(logs: dict[str, Any]) -> None:
            it.dir.write_log(stage=stage.name, **{k: round(v, 6) if isinstance(v, float) else v for k, v in logs.items()})
            if timer.total != logs["steps"]:
                timer.restart(logs["steps"])
            it.progress.advance(logs["step"], note=f"loss {logs['loss']:.3f}")

        timer.facts = train(
            examples, start, stage.checkpoint, config, model=it.config.model, seed=it.config.seed,
            card=card(it.config, it.prompt, stage.name), work=stage.training, on_log=tell,
        )  # fmt: skip


def _evaluate(it: Run, stage: StageDir, path: Path, n: int | None = None) -> None:
    """Held-out records and metrics of one stage."""
    if stage.metrics.exists():
        return
    config = it.config
    problems = list(_held_out(config, it.task))[: n or None]
    if not stage.held_out.exists():
        last = config.iterate.rounds
        control = config.evaluate.controls == "all" or (config.evaluate.controls == "last" and stage.name == f"round-{last}")
        with _Timed(it, stage, "evaluate", len(problems)) as timer:
            player = it.player(_policy(it, str(path)), stage.name, "evaluate")
            records = play_out(
                player,
                evaluate(player, problems, n_turns=config.evaluate.turns, n_samples=config.evaluate.samples, control=control),
            )
            timer.usage = player.usage
        write_held_out(stage.held_out, records)
    records = list(read_held_out(stage.held_out))
    metrics = summarise(it, stage, records)
    write_whole(stage.metrics, json.dumps(metrics, indent=1) + "\n")
    it.progress.stage_done(stage)


def summarise(it: Run, stage: StageDir, records: Sequence[Any]) -> dict[str, Any]:
    """Everything in metrics.json."""
    truthful = it.prompt.feedback == "truthful"
    turns = it.config.evaluate.turns
    metrics = measure(records, it.judge.same, truthful=truthful, turns=turns)
    metrics["stage"] = stage.name
    metrics["by_field"] = by_fields(records, it.judge.same, truthful=truthful, turns=turns)
    # Those in front of it in order: a later one is on disk too where this one is measured again.
    before = [s for s in it.dir.stages() if _order(s) < _order(stage)]
    if before:
        previous = list(read_held_out(before[-1].held_out))
        metrics["paired"]["previous"] = paired_stages(previous, records, it.judge.same, truthful=truthful, turns=turns)
        metrics["previous"] = before[-1].name
    return metrics


def _order(stage: StageDir) -> int:
    """Position in a run."""
    first = ("base", "boost-one-turn", "boost")
    return first.index(stage.name) if stage.name in first else len(first) + int(stage.name.split("-")[1])


# --- helpers ----------------------------------------------------------------------------------------------------------


class _Timed:
    """A part of a stage: a bar while it runs, a line in metrics.jsonl when it ends."""

    def __init__(self, it: Run, stage: StageDir, part: str, total: int) -> None:
        self.it, self.stage, self.part, self.total = it, stage, part, total
        self.usage = Usage()
        self.facts: dict[str, Any] = {}

    def __enter__(self) -> _Timed:
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
            self.it.dir.write_log(stage=self.stage.name, part=self.part, seconds=seconds, **usage, **self.facts)


def _policy(it: Run, spec: str | Path, *, gold: bool = False) -> Policy:
    if gold:
        from rise.policies.scripted import ScriptedPolicy

        return ScriptedPolicy.from_table({}, name="gold")  # asked for nothing: the worked solutions are at hand
    return make_policy(str(spec), batch_size=it.config.batch_size, dtype=it.config.model.dtype)


def card(config: RunConfig, prompt: Prompt, stage: str) -> dict[str, Any]:
    """rise.json: what a checkpoint must know to be evaluated and served as it was trained."""
    number = re.fullmatch(r"round-(\d+)", stage)
    return {
        "task": config.task.name,
        "task_settings": config.task.settings,
        "instructions": prompt.instructions,
        "feedback": prompt.feedback,
        "feedback_text": prompt.feedback_text,
        "window": config.state.window,
        "sampling": config.sampling.model_dump(),
        "turns": config.evaluate.turns,
        "stage": stage,
        "round": int(number[1]) if number else 0,
    }


def _renderer(it: Run) -> Renderer:
    """The student's, which no training changes."""
    base = it.dir.stage("base").checkpoint
    return Renderer.load(base if base.exists() else Path(it.config.model.path or ""))


def _feedback_characters(it: Run) -> str:
    return (it.prompt.feedback_text or "") + (it.prompt.instructions or "") + "?"


def fix_threads(config: RunConfig) -> None:
    """Set the number of threads where the recipe asks for it: sums in another order are other sums."""
    if not (config.deterministic or config.threads):
        return
    import torch

    torch.set_num_threads(config.threads or 2)
    if config.deterministic:
        torch.use_deterministic_algorithms(True, warn_only=True)
