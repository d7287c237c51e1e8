"""Examples as a stage: keep, weigh, mix in what the recipe asks for. RISE eq. 4.6 and the recipe's [keep] [weigh] [dataset]."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rise.dataset.advantage import advantage_examples
from rise.dataset.build import State, build_examples, scaled, with_ids, without_repeats
from rise.dataset.distil import distilled
from rise.dataset.example import Example, read_examples
from rise.dataset.internalise import First, at_first_turn_too, internalised, mean_first_rewards
from rise.dataset.pairs import pair_examples
from rise.dataset.report import DatasetReport, dataset_report
from rise.dataset.verdicts import verdict_examples
from rise.dataset.weigh import raw_weight
from rise.errors import EmptyStageError
from rise.jsonl import write_jsonl, write_whole
from rise.method.choose import chose
from rise.method.score import with_logps
from rise.play.prompt import Prompt
from rise.recipe.config import RunConfig, TrainConfig
from rise.runs.alarms import Alarm, of_examples, teaches
from rise.runs.bench import Bench
from rise.runs.directory import StageDir
from rise.runs.stages import round_name
from rise.task import Problem
from rise.trajectory import Message, Relabelled, Trajectory, Turn, read_relabelled, read_trajectories, to_json


def examples_stage(
    bench: Bench,
    stage: StageDir,
    k: int,
    problems: Sequence[Problem],
    trajectories: Sequence[Trajectory],
    relabelled: Sequence[Relabelled],
    *,
    student: Path,
    start: Path,
) -> None:
    """examples.jsonl of round k, whose `student` drew the replies and whose training begins at `start`.

    Weights are scaled once, over what is left of every round that trains; only then come verdicts and replayed solutions.
    Raises `EmptyStageError` where no right reply of any round would train, unless `iterate.allow_no_right`.
    """
    config = bench.config
    examples, dropped, counts = round_examples(config, bench.ready.prompt, problems, trajectories, relabelled, k)
    alarms = of_examples(stage.name, examples, trajectories, relabelled, config)
    bench.sound(alarms)
    if config.dataset.data == "aggregate":
        earlier = [example for j in range(1, k) for example in _earlier_round(bench, j)]
        counts["examples of earlier rounds"] = len(earlier)
        examples = [*earlier, *examples]
        if config.dataset.deduplicate and config.dataset.internalise != "only" and config.advantage is None:
            examples = without_repeats(examples, dropped)
    if alarms and not config.iterate.allow_no_right:
        _refuse_without_right(alarms[0], examples, config)
    examples = with_logps(bench, stage.name, weighted(bench, examples, dropped), student=student, start=start)
    rounds = range(1 if config.dataset.data == "aggregate" else k, k)
    tried = [t for j in rounds for t in read_trajectories(bench.dir.stage(round_name(j)).trajectories)]
    examples += _verdicts(bench, [*tried, *trajectories], dropped, counts)
    if config.dataset.replay_share > 0:
        solutions = list(read_examples(bench.dir.stage("boost-one-turn").examples))
        n = round(len(examples) * config.dataset.replay_share / (1 - config.dataset.replay_share))
        replayed = random.Random(f"{config.seed}-{k}").sample(solutions, min(n, len(solutions)))
        counts["boost examples replayed"] = len(replayed)
        examples = [*examples, *(replace(example, weight=_replay_weight(config)) for example in replayed)]
    write_examples(bench, stage, examples, dropped, counts, config=config.train)


def _refuse_without_right(alarm: Alarm, examples: Sequence[Example], config: RunConfig) -> None:
    """Stop the run where no reply of this round or an earlier one would teach anything. An empty data set has its own words."""
    if examples and not any(teaches(example, config.reward) for example in examples):
        raise EmptyStageError(
            f"{alarm.stage}: {alarm.says} {alarm.way_out} "
            "Or train on wrong replies all the same: the same command with --set iterate.allow_no_right=true goes on from here."
        )


def examples_file(
    bench: Bench,
    out: Path,
    problems: Sequence[Problem],
    trajectories: Sequence[Trajectory],
    relabelled: Sequence[Relabelled],
) -> DatasetReport:
    """Weighted examples of one round as a file by itself, its counts beside it (`.json`)."""
    examples, dropped, counts = round_examples(bench.config, bench.ready.prompt, problems, trajectories, relabelled)
    complete = [*weighted(bench, examples, dropped), *_verdicts(bench, trajectories, dropped, counts)]
    summary = dataset_report(complete, dropped, counts)
    write_jsonl(out, (to_json(example) for example in complete))
    write_whole(out.with_suffix(".json"), json.dumps(summary.to_json(), indent=2) + "\n")
    return summary


def round_examples(
    config: RunConfig,
    prompt: Prompt,
    problems: Sequence[Problem],
    trajectories: Sequence[Trajectory],
    relabelled: Sequence[Relabelled],
    k: int = 1,
) -> tuple[list[Example], Counter[str], Counter[str]]:
    """Keep and weigh, as the recipe says for round k: (examples with raw weights, dropped by reason, other counts)."""
    by_id = {problem.id: problem for problem in problems}

    def state(trajectory: Trajectory, n: int) -> tuple[Message, ...]:
        return prompt.messages(by_id[trajectory.problem_id], trajectory.turns[:n])

    def feedback(trajectory: Trajectory, attempts: Sequence[Turn]) -> str:
        return prompt.feedback_for(by_id[trajectory.problem_id], attempts)

    if config.distil is not None:
        shown, cut = config.distil.shown, config.dataset.drop_truncated
        examples, dropped, counts = distilled(trajectories, relabelled, state, feedback, shown, drop_truncated=cut)
    else:
        examples, dropped, counts = _weighed(config, trajectories, relabelled, state, k)
    examples = _internalise(config, trajectories, examples, lambda name: prompt.messages(by_id[name], []), dropped, counts, k)
    counts["states improved"] = len(relabelled)
    counts["states with a right improved reply"] = sum(r.reply.right for r in relabelled)
    counts["choices that named no reply"] = sum(not chose(r) for r in relabelled)
    told = [turn for r in relabelled for turn in r.candidates if turn.source == "teacher"]
    counts["teacher: replies"] = len(told)
    counts["teacher: refused"] = sum(turn.finish == "refused" for turn in told)
    counts["teacher: empty"] = sum(turn.finish != "refused" and not turn.reply.strip() for turn in told)
    counts["teacher: no answer in it"] = sum(bool(turn.reply.strip()) and turn.answer is None for turn in told)
    return examples, dropped, counts


def _weighed(
    config: RunConfig, trajectories: Sequence[Trajectory], relabelled: Sequence[Relabelled], state: State, k: int
) -> tuple[list[Example], Counter[str], Counter[str]]:
    """Every reply by comparison, where the recipe has [advantage]; pairs, where it has [train.dpo]; else the replies that [keep]
    keeps, as [weigh] says."""
    if config.train.dpo is not None:
        return pair_examples(
            trajectories, relabelled, state, config.train.dpo.pairs, drop_truncated=config.dataset.drop_truncated
        )
    if config.advantage is not None:
        return advantage_examples(
            trajectories,
            relabelled,
            state,
            config.advantage.comparison,
            round_number=k,
            clip=config.weigh.clip,
            drop_truncated=config.dataset.drop_truncated,
        )
    return build_examples(
        trajectories,
        relabelled,
        state,
        rule=config.keep.rule,
        trained_turns=config.keep.trained_turns,
        weigh=config.weigh.rule,
        temperature=config.weigh.temperature,
        centre=config.weigh.centre,
        restate=config.weigh.restate,
        clip=config.weigh.clip,
        drop_truncated=config.dataset.drop_truncated,
        deduplicate=config.dataset.deduplicate,
        drop_repeated_answers=config.dataset.drop_repeated_answers,
        per_problem=config.dataset.per_problem,
    )


def _internalise(
    config: RunConfig,
    trajectories: Sequence[Trajectory],
    examples: list[Example],
    first: First,
    dropped: Counter[str],
    counts: Counter[str],
    k: int,
) -> list[Example]:
    """Replies at the first turn's state, as the recipe says: all of them there alone, or a share there too."""
    settings = config.dataset
    if settings.internalise == "only":
        return internalised(examples, first)
    if settings.internalise == "also":
        moved = at_first_turn_too(
            examples,
            first,
            mean_first_rewards(trajectories),
            share=settings.internalise_share,
            weight=settings.internalise_weight,
            seed=f"{config.seed}/{k}",
            mean_one=config.weigh.scale == "mean-one",
        )
        counts["later replies at the first turn too"] = len(moved)
        examples = [*examples, *moved]
        return without_repeats(examples, dropped) if settings.deduplicate and config.advantage is None else examples
    return examples


def _verdicts(bench: Bench, trajectories: Sequence[Trajectory], dropped: Counter[str], counts: Counter[str]) -> list[Example]:
    """A verdict on every attempt of these trajectories, with token ids; none where the recipe asks for none."""
    words, settings, prompt = bench.ready.prompt.verify, bench.config.dataset, bench.ready.prompt
    if words is None or not settings.verdict_weight:
        return []

    def asking(trajectory: Trajectory, k: int) -> tuple[Message, ...]:
        problem = Problem(trajectory.question, trajectory.gold, fields=trajectory.fields, id=trajectory.problem_id)
        return prompt.verify_messages(problem, trajectory.turns[:k])

    examples, left_out = verdict_examples(
        trajectories,
        asking,
        right=words.right,
        wrong=words.wrong,
        weight=settings.verdict_weight,
        balance=settings.verdict_balance,
        deduplicate=settings.deduplicate,
    )
    dropped.update(left_out)
    counts["verdicts"] = len(examples)
    return with_ids(examples, bench.renderer, max_length=bench.config.train.max_length, dropped=dropped)


def weighted(bench: Bench, examples: Sequence[Example], dropped: Counter[str]) -> list[Example]:
    """The same with token ids of the student, without those too long to train, weights scaled as the recipe says."""
    complete = with_ids(examples, bench.renderer, max_length=bench.config.train.max_length, dropped=dropped)
    return scaled(complete, bench.config.weigh.scale)


def write_examples(
    bench: Bench,
    stage: StageDir,
    examples: Sequence[Example],
    dropped: Counter[str] | None = None,
    counts: Counter[str] | None = None,
    *,
    config: TrainConfig,
) -> None:
    """dataset.json, then examples.jsonl. `config` is that of the training: its max_length decides what is too long."""
    dropped = Counter() if dropped is None else dropped
    complete = with_ids(examples, bench.renderer, max_length=config.max_length, dropped=dropped)
    summary = dataset_report(complete, dropped, counts or Counter())
    write_whole(stage.dataset, json.dumps(summary.to_json(), indent=2) + "\n")
    write_jsonl(stage.examples, (to_json(example) for example in complete))


def _earlier_round(bench: Bench, j: int) -> list[Example]:
    """Examples of round j with raw weights, from its own files: what its examples.jsonl holds was scaled for itself."""
    stage = bench.dir.stage(round_name(j))
    trajectories, relabelled = list(read_trajectories(stage.trajectories)), list(read_relabelled(stage.relabelled))
    return round_examples(bench.config, bench.ready.prompt, bench.ready.problems(j), trajectories, relabelled, j)[0]


def _replay_weight(config: RunConfig) -> float:
    """Of a worked solution: an example like the average one, or, where weights are raw, what a right reply weighs."""
    weigh, right = config.weigh, config.reward.right
    if weigh.scale == "mean-one":
        return 1.0
    # Centred, a problem with one reply is at its own mean.
    baseline = right if weigh.centre else 0.0
    return raw_weight(right, weigh.rule, temperature=weigh.temperature, baseline=baseline, clip=weigh.clip)
