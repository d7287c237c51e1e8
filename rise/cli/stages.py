"""`rise rollout`, `rise relabel`, `rise train`: one stage at a time, files in, files out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rise.cluster.cluster import Cluster
    from rise.play.player import Player
    from rise.recipe.config import RunConfig
    from rise.task import Task

Recipe = Annotated[Path, typer.Argument(help="A recipe, or the config.toml of a run: task, state, sampling and settings.")]
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

    from rise.jsonl import write_jsonl
    from rise.play.player import play_out
    from rise.play.player import rollout as unroll
    from rise.recipe.problems import student_turns, training_problems
    from rise.recipe.toml import load_recipe
    from rise.trajectory import to_json

    config = load_recipe(recipe, scale=scale, overrides=set_ or [])
    with _at_work(config, policy, out, "rollout") as (player, task, _):
        problems = training_problems(config, task)
        turns = student_turns(config, 1)
        stop, n = config.rollout.stop_when_right, config.rollout.n_trajectories
        done = play_out(player, unroll(player, problems, n_turns=turns, stop_when_right=stop, n_trajectories=n))
    write_jsonl(out, (to_json(t) for t in done))
    print(f"{out}: {len(done)} trajectories, {sum(t.turns[-1].right for t in done)} end right")


def relabel(
    recipe: Recipe,
    trajectories: Annotated[Path, typer.Option(help="File that `rise rollout` wrote.")],
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
    import json

    from rise.dataset.build import report, scaled, with_ids
    from rise.errors import ConfigError, DataError
    from rise.jsonl import write_jsonl, write_whole
    from rise.method.choose import choose
    from rise.method.iterate import round_examples
    from rise.method.relabel import SILENT
    from rise.method.relabel import relabel as improve
    from rise.play.player import play_out
    from rise.recipe.problems import training_problems
    from rise.recipe.toml import load_recipe
    from rise.runs.bench import base_renderer, make_player, open_policy, with_engine
    from rise.trajectory import read_trajectories, to_json

    config = load_recipe(recipe, scale=scale, overrides=set_ or [])
    records = list(read_trajectories(trajectories))
    with _at_work(config, policy, out, "relabel") as (player, task, cluster):
        wanted = {t.problem_id for t in records}
        problems = [p for p in training_problems(config, task) if p.id in wanted]
        if len(problems) < len(wanted):
            raise DataError(f"{trajectories}: {len(wanted) - len(problems)} of its problems are not in the recipe's task.")
        settings = config.relabel
        teacher = settings.improver == "teacher"
        student = base_renderer(config, task, player.prompt) if teacher else player.renderer
        done = play_out(
            player,
            improve(
                player,
                problems,
                records,
                improver=settings.improver,
                n_samples=settings.n_samples,
                select=settings.select,
                states=settings.states,
                relabel_right=settings.relabel_right,
                student=student,
            ),
        )
        if settings.select == "judge" and settings.improver not in SILENT:
            spec = policy if settings.judge == "self" else settings.judge or ""
            own = config.model.chat_format if settings.judge == "self" else None
            asked = open_policy(with_engine(spec, config), config, chat_format=own, cluster=cluster)
            chooser = make_player(config, asked, player.prompt, player.judge, player.ledger, purpose="select")
            done = play_out(chooser, choose(chooser, problems, done))
    write_jsonl(out, (to_json(r) for r in done))
    print(f"{out}: {len(done)} states, {sum(r.reply.right for r in done)} with a right improved reply")
    if examples is not None:
        if student is None:
            raise ConfigError("--examples needs token ids, so --policy must be a local: model.")
        built, dropped, counts = round_examples(config, player.prompt, problems, records, done)
        complete = with_ids(built, student, max_length=config.train.max_length, dropped=dropped)
        complete = scaled(complete, config.weigh.scale)
        summary = report(complete, dropped, counts)
        write_jsonl(examples, (to_json(e) for e in complete))
        write_whole(examples.with_suffix(".json"), json.dumps(summary.to_json(), indent=2) + "\n")
        print(f"{examples}: {len(complete)} examples, effective sample size {summary.effective_sample_size:.0f}")


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
    import os
    from functools import partial

    from rise.cli.progress import Bars
    from rise.dataset.build import read_examples
    from rise.errors import ConfigError
    from rise.play.prompt import make_prompt
    from rise.recipe.toml import load_recipe
    from rise.runs.bench import card, join_cluster
    from rise.runs.preflight import check_place
    from rise.tasks import make_task
    from rise.training import train as fit
    from rise.training.arguments import check_arguments
    from rise.training.threads import fix_threads

    config = load_recipe(recipe, scale=scale, overrides=set_ or [])
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise ConfigError(f"{out} is there already; give another --out.")
    check_place(start, f"--start {start}")
    check_arguments(config.train)
    stage = out.parent.name if out.name == "checkpoint" else out.name
    facts_for_use = card(config, make_prompt(config, make_task(config.task.name, **config.task.settings)), stage)
    records = list(read_examples(examples))
    fix_threads(config)
    first = os.environ.get("RANK", "0") == "0"
    with Bars() as bars:
        if first:
            bars.begin(out.name, "train", 1)

        def tell(logs: dict[str, Any]) -> None:
            if bars.total != logs["steps"]:
                bars.begin(out.name, "train", logs["steps"])
            bars.advance(logs["step"], note=f"loss {logs['loss']:.3f}")

        with join_cluster(config, out.parent) as cluster:
            work = out.with_name(out.name + ".training")
            run = cluster.train if cluster else partial(fit, model=config.model, seed=config.seed)
            facts = run(records, start, out, config.train, card=facts_for_use, work=work, on_log=tell)
    if not first:
        return
    names = {
        "n_weight_0": "of weight 0",
        "n_too_long": "too long",
        "n_truncated": "cut at the token limit and trained without an end",
    }
    told = "".join(f"; {facts[name]} {text}" for name, text in names.items() if facts[name])
    print(f"{out}: {facts['n_steps']} steps on {len(records)} examples in {facts['n_rows']} rows{told}")


@contextmanager
def _at_work(config: RunConfig, spec: str, out: Path, part: str) -> Iterator[tuple[Player, Task, Cluster | None]]:
    """A player with its policy, ledger and bar, on the recipe's cluster if it has one; closes all whatever happens."""
    from rise.cli.progress import Bars
    from rise.play.ledger import Ledger
    from rise.play.prompt import make_prompt
    from rise.recipe.problems import training_problems
    from rise.runs.bench import join_cluster, make_player, open_policy, with_engine
    from rise.runs.preflight import check, check_spec
    from rise.training.threads import fix_threads

    fix_threads(config)
    task = check(config)
    check_spec(spec, "--policy")
    # A teacher has a format of its own.
    teacher = part == "relabel" and config.relabel.improver == "teacher"
    chat_format = None if teacher else config.model.chat_format
    with join_cluster(config, out.parent) as cluster, Ledger(out.with_name(out.stem + ".ledger.jsonl")) as ledger, Bars() as bars:
        judge = cluster.judge(task.judge()) if cluster else task.judge()  # its places come before those of replicas
        policy = open_policy(with_engine(spec, config), config, chat_format=chat_format, cluster=cluster)
        bars.begin(out.name, part, len(training_problems(config, task)))
        prompt = make_prompt(config, task)
        yield make_player(config, policy, prompt, judge, ledger, purpose=part, on_done=bars.advance), task, cluster
