"""THE METHOD: boost, then rollout → relabel → dataset → train → evaluate, round after round. Resumes wherever it was stopped.

RISE, arXiv 2407.18219, §4. Each part reads the files of the part before it and is skipped when its own last file is in
place, so a run that was killed continues by being started again.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from rise.dataset.build import Example, build_examples, read_examples, scaled, with_ids, without_repeats
from rise.dataset.weigh import reward_weight
from rise.errors import ConfigError
from rise.jsonl import write_jsonl
from rise.method.boost import boost
from rise.method.choose import choose, chose
from rise.method.relabel import SILENT, relabel
from rise.method.takeover import check_reuse, matched, reuse, reuse_collection
from rise.play.budget import Budget, paid
from rise.play.context_length import check_context
from rise.play.ledger import Ledger
from rise.play.player import play_out, rollout
from rise.play.prompt import Prompt, make_prompt
from rise.policies import stop_engines
from rise.recipe.config import RunConfig
from rise.recipe.problems import boost_problems, held_out_problems, student_turns, training_problems
from rise.runs.bench import (
    Progress,
    Run,
    Silent,
    Timed,
    card,
    evaluate_stage,
    join_cluster,
    nano_alphabet,
    policy_for,
    student_renderer,
    train_stage,
    write_examples,
)
from rise.runs.directory import RunDir, StageDir, provenance
from rise.runs.preflight import check, contents, preflight
from rise.task import Problem
from rise.training.threads import fix_threads
from rise.trajectory import Relabelled, Trajectory, read_relabelled, read_trajectories, to_json


def run(config: RunConfig, directory: Path, *, progress: Progress | None = None, command: list[str] | None = None) -> RunDir:
    """Run a recipe to its end, or continue it. Returns the run directory.

    Raises `RiseError` for whatever the user can put right; a bad reply never raises.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError(
            f"WORLD_SIZE = {os.environ['WORLD_SIZE']}, but a whole run is one process: only `rise train` runs under torchrun. "
            'Start `rise run` by itself; train.launcher = "torchrun --nproc-per-node 4" gives its trainings several GPUs.'
        )
    fix_threads(config)
    task = check(config)
    preflight(config, task, lambda k: training_problems(config, task, k))
    check_reuse(config)
    run_dir = RunDir(directory)
    made = contents(config, task)
    with _locked(run_dir) as ledger, join_cluster(config, directory) as cluster:
        if run_dir.open(config, command=command, contents=made):
            now = provenance(config, command)
            run_dir.write_log(continued={name: now[name] for name in ("rise", "commit", "clean", "versions", "command")})
        judge = cluster.judge(task.judge()) if cluster else task.judge()
        it = Run(config, run_dir, task, judge, make_prompt(config, task), ledger, progress or Silent(), cluster)
        if config.boost.reuse:
            reuse(it, RunDir(Path(config.boost.reuse)))
        base = _base_model(it)
        if not it.dir.stage("base").metrics.exists():
            _check_context(it, base)
        evaluate_stage(it, it.dir.stage("base"), base, n=config.evaluate.n_base)
        start = base
        if config.boost.enabled:
            start = boost(it, base)
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
            stop_engines()
            if new and not run_dir.config.exists():
                run_dir.ledger.unlink()


def _base_model(it: Run) -> Path:
    """The untouched model: made, converted or found."""
    stage = it.dir.stage("base")
    model = it.config.model
    if model.nano:
        if not stage.checkpoint.exists():
            from rise.training.nano import make_nano

            alphabet, about = nano_alphabet(it.task, it.prompt), card(it.config, it.prompt, stage.name)
            make_nano(model.nano, alphabet, it.config.seed, stage.checkpoint, card=about)
        path = stage.checkpoint
    elif model.gguf_file:
        if not stage.checkpoint.exists():
            from rise.training.model import convert_gguf

            about = card(it.config, it.prompt, stage.name)
            convert_gguf(Path(model.path or ""), model.gguf_file, stage.checkpoint, about, model.chat_format)
        path = stage.checkpoint
    else:
        path = Path(model.path or "")
    return path


def _check_context(it: Run, base: Path) -> None:
    """Every stage's longest state, before the first of them begins."""
    from rise.training.model import context_length

    limit = context_length(base)
    config = it.config
    problems = [*held_out_problems(config, it.task), *training_problems(config, it.task)]
    if config.boost.enabled:
        problems += boost_problems(config, it.task)
    # The improver stands where the student has taken its last turn; worked solutions are generated by nobody.
    behind = 1 if config.relabel.improver in SILENT else 0
    collected = [student_turns(config, k) - behind for k in range(1, config.iterate.rounds + 1)]
    for prompt, attempts in ((it.evaluated, config.evaluate.turns - 1), (it.prompt, max(collected, default=0))):
        check_context(
            prompt,
            student_renderer(it),
            problems,
            limit=limit,
            attempts=attempts,
            max_new_tokens=config.sampling.max_new_tokens,
        )


def _round(it: Run, k: int, *, student: Path, start: Path) -> Path:
    """Round k of the method: the `student` is unrolled and improved, training begins at `start`. Returns the checkpoint."""
    config = it.config
    stage = it.dir.stage(f"round-{k}")
    if not stage.examples.exists():
        problems = training_problems(config, it.task, k)
        if config.rollout.reuse:
            reuse_collection(it, stage)
        trajectories = _collect(it, stage, problems, student, k)
        relabelled = _improve(it, stage, problems, trajectories, student)
        _build(it, stage, k, problems, trajectories, relabelled)
    train_stage(it, stage, start, matched(config, k))
    evaluate_stage(it, stage, stage.checkpoint)
    return stage.checkpoint


def _collect(it: Run, stage: StageDir, problems: Sequence[Problem], student: Path, k: int) -> list[Trajectory]:
    if not stage.trajectories.exists():
        n_turns, stop, n = student_turns(it.config, k), it.config.rollout.stop_when_right, it.config.rollout.n_trajectories
        with Timed(it, stage, "rollout", len(problems) * n) as timer:
            player = it.player(policy_for(it, student), stage.name, "rollout")
            work = rollout(player, problems, n_turns=n_turns, stop_when_right=stop, n_trajectories=n)
            trajectories = play_out(player, work)
            timer.usage = player.usage
        write_jsonl(stage.trajectories, (to_json(t) for t in sorted(trajectories, key=lambda t: (t.problem_id, t.sample))))
    return list(read_trajectories(stage.trajectories))


def _improve(
    it: Run, stage: StageDir, problems: Sequence[Problem], trajectories: Sequence[Trajectory], student: Path
) -> list[Relabelled]:
    if not stage.relabelled.exists():
        config = it.config.relabel
        with Timed(it, stage, "relabel", len(trajectories)) as timer:
            improver = config.teacher if config.improver == "teacher" else str(student)
            player = it.player(policy_for(it, improver or "", silent=config.improver in SILENT), stage.name, "relabel")
            player.budget = _bill(it)
            before = player.budget.spent
            relabelled = play_out(
                player,
                relabel(
                    player,
                    problems,
                    trajectories,
                    improver=config.improver,
                    n_samples=config.n_samples,
                    select=config.select,
                    states=config.states,
                    relabel_right=config.relabel_right,
                    student=student_renderer(it),
                ),
            )
            timer.usage = player.usage
            if config.price_prompt or config.price_reply:
                timer.facts = {"price": round(player.budget.spent - before, 6), "price_so_far": round(player.budget.spent, 6)}
        if config.select == "judge" and config.improver not in SILENT:
            with Timed(it, stage, "select", len(relabelled)) as timer:
                judge = str(student) if config.judge == "self" else config.judge
                player = it.player(policy_for(it, judge or ""), stage.name, "select")
                relabelled = play_out(player, choose(player, problems, relabelled))
                timer.usage = player.usage
        relabelled = sorted(relabelled, key=lambda r: (r.problem_id, r.sample, r.turn))
        write_jsonl(stage.relabelled, (to_json(r) for r in relabelled))
    return list(read_relabelled(stage.relabelled))


def _bill(it: Run) -> Budget:
    """The teacher's bill with all that this run has paid already, whichever process it was."""
    config = it.config.relabel
    bill = Budget(config.price_prompt, config.price_reply, config.budget)
    if config.improver == "teacher" and (config.price_prompt or config.price_reply):
        bill.spent = paid(it.ledger.path, "/relabel", bill)
    return bill


def round_examples(
    config: RunConfig,
    prompt: Prompt,
    problems: Sequence[Problem],
    trajectories: Sequence[Trajectory],
    relabelled: Sequence[Relabelled],
) -> tuple[list[Example], Counter[str], Counter[str]]:
    """Keep and weigh, as the recipe says: (examples with raw weights, dropped by reason, other counts)."""
    by_id = {problem.id: problem for problem in problems}
    examples, dropped, counts = build_examples(
        trajectories,
        relabelled,
        lambda t, k: prompt.messages(by_id[t.problem_id], t.turns[:k]),
        rule=config.keep.rule,
        trained_turns=config.keep.trained_turns,
        weigh=config.weigh.rule,
        temperature=config.weigh.temperature,
        centre=config.weigh.centre,
        clip=config.weigh.clip,
        drop_truncated=config.dataset.drop_truncated,
        deduplicate=config.dataset.deduplicate,
        per_problem=config.dataset.per_problem,
    )
    counts["states improved"] = len(relabelled)
    counts["states with a right improved reply"] = sum(r.reply.right for r in relabelled)
    counts["choices that named no reply"] = sum(not chose(r) for r in relabelled)
    told = [turn for r in relabelled for turn in r.candidates if turn.source == "teacher"]
    counts["teacher: replies"] = len(told)
    counts["teacher: refused"] = sum(turn.finish == "refused" for turn in told)
    counts["teacher: empty"] = sum(turn.finish != "refused" and not turn.reply.strip() for turn in told)
    counts["teacher: no answer in it"] = sum(bool(turn.reply.strip()) and turn.answer is None for turn in told)
    return examples, dropped, counts


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
    examples = with_ids(examples, student_renderer(it), max_length=config.train.max_length, dropped=dropped)
    examples = scaled(examples, config.weigh.scale)
    if config.dataset.replay_share > 0:
        solutions = list(read_examples(it.dir.stage("boost-one-turn").examples))
        n = round(len(examples) * config.dataset.replay_share / (1 - config.dataset.replay_share))
        replayed = random.Random(f"{config.seed}-{k}").sample(solutions, min(n, len(solutions)))
        counts["boost examples replayed"] = len(replayed)
        weight = _replay_weight(config)
        examples = [*examples, *(replace(e, weight=weight) for e in replayed)]
    write_examples(it, stage, examples, dropped, counts, config.train)


def _earlier_round(it: Run, j: int) -> list[Example]:
    """Examples of round j with raw weights, from its own files: what its examples.jsonl holds was scaled for itself."""
    stage = it.dir.stage(f"round-{j}")
    trajectories, relabelled = list(read_trajectories(stage.trajectories)), list(read_relabelled(stage.relabelled))
    return round_examples(it.config, it.prompt, training_problems(it.config, it.task, j), trajectories, relabelled)[0]


def _replay_weight(config: RunConfig) -> float:
    """Of a worked solution: an example like the average one, or, where weights are raw, what a right reply weighs."""
    if config.weigh.scale == "mean-one" or config.weigh.rule == "equal":
        return 1.0
    # Centred, a problem with one reply is at its own mean.
    right = config.reward.right
    return reward_weight(right, config.weigh.temperature, baseline=right if config.weigh.centre else 0.0, clip=config.weigh.clip)
