"""`rise rollout`, `rise relabel`, `rise train`: one stage at a time, files in, files out, by the functions of `rise run`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Recipe = Annotated[
    Path, typer.Argument(help="A recipe by name or path, or the config.toml of a run: task, state, sampling and settings.")
]
Overrides = Annotated[list[str] | None, typer.Option("--set", help="Override one setting: --set rollout.turns=2.")]
Scale = Annotated[str | None, typer.Option(help="Apply the recipe's [scale.NAME] table.")]


def rollout(
    recipe: Recipe,
    policy: Annotated[str, typer.Option(help="Who replies: a checkpoint, hub name or policy spec.")],
    out: Annotated[Path, typer.Option(help="File of trajectories to write; its ledger lies beside it.")],
    set_: Overrides = None,
    scale: Scale = None,
) -> None:
    """Play a policy on the training problems and write trajectories."""
    from rise.cli.progress import Bars
    from rise.jsonl import write_jsonl
    from rise.method.rollout import collect
    from rise.recipe.problems import student_turns
    from rise.recipe.toml import load_recipe
    from rise.runs.context import open_context
    from rise.runs.preflight import preflight
    from rise.trajectory import to_json

    config = load_recipe(recipe, scale=scale, overrides=set_ or [])
    ready = preflight(config, "collect", policy=policy)
    with Bars() as bars, open_context(ready, ledger_of(out), directory=out.parent, progress=bars) as context:
        turns = student_turns(config, 1)
        done = collect(context, out.name, ready.problems(1), policy, n_turns=turns, purpose="rollout")
    write_jsonl(out, (to_json(t) for t in done))
    print(f"{out}: {len(done)} trajectories, {sum(t.turns[-1].right for t in done)} end right")


def relabel(
    recipe: Recipe,
    trajectories: Annotated[Path, typer.Option(help="File that `rise rollout` wrote, or `rise serve --log`.")],
    policy: Annotated[
        str,
        typer.Option(
            help="Who improves: the student itself or a teacher. Where relabel.improver is gold, only its tokenizer is used."
        ),
    ],
    out: Annotated[Path, typer.Option(help="File of relabelled replies to write.")],
    examples: Annotated[Path | None, typer.Option(help="Also keep, weigh and write examples to this file.")] = None,
    set_: Overrides = None,
    scale: Scale = None,
) -> None:
    """Put a better reply at the states of trajectories; optionally build the weighted examples."""
    from rise.cli.progress import Bars
    from rise.errors import DataError
    from rise.jsonl import write_jsonl
    from rise.method.examples import examples_file
    from rise.method.relabel import improve
    from rise.method.served import judge_served, refuse_shared_names, served_problems
    from rise.recipe.toml import load_recipe
    from rise.runs.context import open_context
    from rise.runs.preflight import preflight
    from rise.trajectory import read_trajectories, to_json

    config = load_recipe(recipe, scale=scale, overrides=set_ or [])
    ready = preflight(config, "collect", policy=policy)
    records = list(read_trajectories(trajectories))
    refuse_shared_names(records, trajectories)
    wanted = {t.problem_id for t in records}
    asked = served_problems(records)
    problems = [*(p for p in ready.problems(1) if p.id in wanted - {a.id for a in asked}), *asked]
    if len(problems) < len(wanted):
        raise DataError(f"{trajectories}: {len(wanted) - len(problems)} of its problems are not in the recipe's task.")
    with Bars() as bars, open_context(ready, ledger_of(out), directory=out.parent, progress=bars) as context:
        records = judge_served(context, problems, records) if asked else records
        done = improve(context, out.name, problems, records, policy, teacher=policy, purpose="relabel")
        write_jsonl(out, (to_json(r) for r in done))
        print(f"{out}: {len(done)} states, {sum(r.reply.right for r in done)} with a right improved reply")
        if examples is not None:
            summary = examples_file(context, examples, problems, records, done)
            print(f"{examples}: {summary.n_examples} examples, effective sample size {summary.effective_sample_size:.0f}")


def train(
    recipe: Recipe,
    examples: Annotated[Path, typer.Option(help="File of weighted examples.")],
    start: Annotated[str, typer.Option(help="Model directory or hub name to fine-tune.")],
    out: Annotated[Path, typer.Option(help="Checkpoint directory to write.")],
    set_: Overrides = None,
    scale: Scale = None,
) -> None:
    """Fine-tune a model on weighted examples; settings from the recipe's [train].

    Also under a launcher, one process a device: torchrun --nproc-per-node 4 -m -- rise.cli.main train …
    """
    from rise.cli.progress import Bars
    from rise.dataset.example import read_examples
    from rise.errors import ConfigError
    from rise.method.train import fit
    from rise.recipe.toml import load_recipe
    from rise.runs.context import Silent, open_context
    from rise.runs.preflight import preflight
    from rise.training.ranks import first_rank

    config = load_recipe(recipe, scale=scale, overrides=set_ or [])
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise ConfigError(f"{out} is there already; give another --out.")
    ready = preflight(config, "train", policy=start)
    records = list(read_examples(examples))
    stage = out.parent.name if out.name == "checkpoint" else out.name
    first = first_rank()
    with Bars() as bars, open_context(ready, None, directory=out.parent, progress=bars if first else Silent()) as context:
        facts = fit(context, stage, records, start, out, config.train, work=out.with_name(out.name + ".training"))
    if not first:
        return
    names = {
        "n_weight_0": "of weight 0",
        "n_too_long": "too long",
        "n_truncated": "cut at the token limit and trained without an end",
    }
    told = "".join(f"; {facts[name]} {text}" for name, text in names.items() if facts[name])
    print(f"{out}: {facts['n_steps']} steps on {len(records)} examples in {facts['n_rows']} rows{told}")


def ledger_of(out: Path) -> Path:
    """The ledger of a stage that is done by itself lies beside its file."""
    return out.with_name(out.stem + ".ledger.jsonl")
