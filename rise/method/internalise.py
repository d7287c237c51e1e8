"""The control that tells introspection from more data: the improved replies of all rounds, trained at the first turn's state."""

from __future__ import annotations

from pathlib import Path

from rise.dataset.example import VERDICT, Example, read_examples
from rise.dataset.internalise import internalised
from rise.evaluation.held_out import read_held_out
from rise.method.examples import write_examples
from rise.method.train import fit
from rise.recipe.config import IterateConfig
from rise.runs.context import RunContext
from rise.runs.directory import StageDir
from rise.runs.stages import round_name
from rise.runs.takeover import trained_tokens
from rise.trajectory import Message


def train_internalised(context: RunContext, stage: StageDir, start: Path) -> Path:
    """Train `start`, from which the rounds began, on what they trained on, nothing shown before a reply, on as many tokens.

    One training over the examples of all rounds, where each round went on from the one before, else over the last's. Files
    are in `internalised/` of the last round's `stage`. Returns the checkpoint; skipped where it is there.
    """
    own = StageDir(stage.path / "internalised")
    if own.checkpoint.exists():
        return own.checkpoint
    rounds = trained_rounds(context.config.iterate)
    if not own.examples.exists():
        own.path.mkdir(parents=True, exist_ok=True)
        examples = [example for k in rounds for example in read_examples(context.dir.stage(round_name(k)).examples)]
        write_examples(context, own, at_first_turn(context, examples), config=context.config.train)
    n_tokens = trained_tokens(context.dir)
    config = context.config.train.model_copy(update={"trained_tokens": sum(n_tokens[k] for k in rounds)})
    examples = list(read_examples(own.examples))
    fit(context, stage.name, examples, start, own.checkpoint, config, work=own.training, part="internalise")
    return own.checkpoint


def has_internalised(stage: StageDir) -> bool:
    """Whether the stage was measured with the control."""
    return stage.held_out.exists() and any(record.internalised for record in read_held_out(stage.held_out))


def trained_rounds(iterate: IterateConfig) -> range:
    """The rounds whose training is in the last checkpoint: all of them, or the last where each starts afresh."""
    return range(1 if iterate.start == "previous" else iterate.rounds, iterate.rounds + 1)


def at_first_turn(context: RunContext, examples: list[Example]) -> list[Example]:
    """The examples with nothing shown before the reply; replayed solutions are so already, verdicts on an attempt cannot be."""
    ready = context.ready
    by_id = {problem.id: problem for k in range(1, context.config.iterate.rounds + 1) for problem in ready.problems(k)}
    examples = [example for example in examples if example.source != VERDICT]
    own = [example for example in examples if example.problem_id in by_id]

    def first(name: str) -> tuple[Message, ...]:
        return ready.prompt.messages(by_id[name], [])

    return [*internalised(own, first), *(example for example in examples if example.problem_id not in by_id)]
