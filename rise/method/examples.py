"""Examples as a stage: keep, weigh, mix in what the recipe asks for. RISE eq. 4.6 and the recipe's [keep] [weigh] [dataset]."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rise.dataset.build import build_examples, scaled, with_ids, without_repeats
from rise.dataset.example import Example
from rise.dataset.report import DatasetReport, dataset_report
from rise.errors import EmptyStageError
from rise.jsonl import write_jsonl, write_whole
from rise.method.beyond import at_first_turn, other_examples, replayed, verdicts
from rise.method.choose import chose
from rise.method.score import with_logps
from rise.play.prompt import Prompt
from rise.recipe.config import RunConfig, TrainConfig
from rise.runs.alarms import Alarm, of_examples, teaches
from rise.runs.context import RunContext
from rise.runs.directory import StageDir
from rise.runs.stages import round_name
from rise.task import Problem
from rise.trajectory import Message, Relabelled, Trajectory, Turn, read_relabelled, read_trajectories, to_json


def examples_stage(
    context: RunContext,
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
    config = context.config
    examples, dropped, counts = round_examples(config, context.ready.prompt, problems, trajectories, relabelled, k)
    alarms = of_examples(stage.name, examples, trajectories, relabelled, config)
    context.report_alarms(alarms)
    if config.dataset.data == "aggregate":
        earlier = [example for j in range(1, k) for example in _earlier_round(context, j)]
        counts["examples of earlier rounds"] = len(earlier)
        examples = [*earlier, *examples]
        if config.dataset.deduplicate and config.dataset.internalise != "only" and config.advantage is None:
            examples = without_repeats(examples, dropped)
    if alarms and not config.iterate.allow_no_right:
        _refuse_without_right(alarms[0], examples, config)
    examples = with_logps(context, stage.name, weighted(context, examples, dropped), student=student, start=start)
    rounds = range(1 if config.dataset.data == "aggregate" else k, k)
    tried = [t for j in rounds for t in read_trajectories(context.dir.stage(round_name(j)).trajectories)]
    examples += verdicts(context, [*tried, *trajectories], dropped, counts)
    examples += replayed(context, k, len(examples), counts)
    write_examples(context, stage, examples, dropped, counts, config=config.train)


def _refuse_without_right(alarm: Alarm, examples: Sequence[Example], config: RunConfig) -> None:
    """Stop the run where no reply of this round or an earlier one would teach anything. An empty data set has its own words."""
    if examples and not any(teaches(example, config.reward) for example in examples):
        raise EmptyStageError(
            f"{alarm.stage}: {alarm.says} {alarm.way_out} "
            "Or train on wrong replies all the same: the same command with --set iterate.allow_no_right=true goes on from here."
        )


def examples_file(
    context: RunContext,
    out: Path,
    problems: Sequence[Problem],
    trajectories: Sequence[Trajectory],
    relabelled: Sequence[Relabelled],
) -> DatasetReport:
    """Weighted examples of one round as a file by itself, its counts beside it (`.json`)."""
    examples, dropped, counts = round_examples(context.config, context.ready.prompt, problems, trajectories, relabelled)
    complete = [*weighted(context, examples, dropped), *verdicts(context, trajectories, dropped, counts)]
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

    if other := other_examples(config, trajectories, relabelled, state, feedback, k):
        examples, dropped, counts = other
    else:
        examples, dropped, counts = build_examples(
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
    examples = at_first_turn(config, trajectories, examples, lambda name: prompt.messages(by_id[name], []), dropped, counts, k)
    counts.update(_of_relabelling(relabelled))
    return examples, dropped, counts


def _of_relabelling(relabelled: Sequence[Relabelled]) -> dict[str, int]:
    """How many states were improved and how many rightly; what a teacher sent that cannot teach."""
    told = [turn for r in relabelled for turn in r.candidates if turn.source == "teacher"]
    return {
        "states improved": len(relabelled),
        "states with a right improved reply": sum(r.reply.right for r in relabelled),
        "choices that named no reply": sum(not chose(r) for r in relabelled),
        "teacher: replies": len(told),
        "teacher: refused": sum(turn.finish == "refused" for turn in told),
        "teacher: empty": sum(turn.finish != "refused" and not turn.reply.strip() for turn in told),
        "teacher: no answer in it": sum(bool(turn.reply.strip()) and turn.answer is None for turn in told),
    }


def weighted(context: RunContext, examples: Sequence[Example], dropped: Counter[str]) -> list[Example]:
    """The same with token ids of the student, without those too long to train, weights scaled as the recipe says."""
    complete = with_ids(examples, context.renderer, max_length=context.config.train.max_length, dropped=dropped)
    return scaled(complete, context.config.weigh.scale)


def write_examples(
    context: RunContext,
    stage: StageDir,
    examples: Sequence[Example],
    dropped: Counter[str] | None = None,
    counts: Counter[str] | None = None,
    *,
    config: TrainConfig,
) -> None:
    """dataset.json, then examples.jsonl. `config` is that of the training: its max_length decides what is too long."""
    dropped = Counter() if dropped is None else dropped
    complete = with_ids(examples, context.renderer, max_length=config.max_length, dropped=dropped)
    summary = dataset_report(complete, dropped, counts or Counter())
    write_whole(stage.dataset, json.dumps(summary.to_json(), indent=2) + "\n")
    write_jsonl(stage.examples, (to_json(example) for example in complete))


def _earlier_round(context: RunContext, j: int) -> list[Example]:
    """Examples of round j with raw weights, from its own files: what its examples.jsonl holds was scaled for itself."""
    stage = context.dir.stage(round_name(j))
    trajectories, relabelled = list(read_trajectories(stage.trajectories)), list(read_relabelled(stage.relabelled))
    return round_examples(context.config, context.ready.prompt, context.ready.problems(j), trajectories, relabelled, j)[0]
