"""`rise validate`: what is wrong with problems and golds, before money is spent on them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rise.play.prompt import Prompt
    from rise.recipe.config import RunConfig
    from rise.runs.validate import By, Length, Validation
    from rise.task import Task


def validate(
    what: Annotated[
        str, typer.Argument(help="A task (gsm8k), a file of problems (problems.jsonl, .csv, …, hub:NAME), or a recipe.")
    ],
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Task setting (judge=exact); of a recipe any setting (task.n_train=50).")
    ] = None,
    scale: Annotated[str | None, typer.Option(help="Of a recipe: override set under [scale.NAME].")] = None,
    n: Annotated[
        int | None, typer.Option("-n", min=1, help="Problems of each split; by default all, or 200 of a task that has no end.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="A model directory, whose context the questions must fit; by default the recipe's.")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print everything that was found as JSON.")] = False,
) -> None:
    """Try every gold on its own judge, and look for questions asked twice, shared by splits or too long for a model.

    Exit code 1 where a gold or worked solution is not right by its own judge or cannot be read, where one question has two golds,
    where splits share questions, and where a question leaves no room for a reply.
    """
    import json

    from rise.cli.output import alone_on_stdout
    from rise.runs.validate import validate as look

    with alone_on_stdout() as out:
        task, problems, notes, length = _asked(what, set_ or [], scale, n, model)
        found = look(task, problems, length, notes)
        if json_:
            out.write(json.dumps(found.to_json()) + "\n")
        else:
            out.write("\n".join(_lines(found)) + "\n")
    if not found.fit:
        raise typer.Exit(1)


def _asked(
    what: str, overrides: list[str], scale: str | None, n: int | None, model: str | None
) -> tuple[Task, By, list[str], Length | None]:
    """(the task, its problems, what it says of them, what their length is held against)."""
    from rise.errors import ConfigError
    from rise.play.prompt import Prompt, make_prompt
    from rise.recipe.config import SamplingConfig, StateConfig
    from rise.recipe.toml import load_recipe
    from rise.runs.card import divide
    from rise.runs.validate import recipe_problems, task_problems
    from rise.tasks import make_task

    of_task = _named_task(what)
    if of_task is None:
        config = load_recipe(what, scale=scale, overrides=overrides)
        task = make_task(config.task.name, **config.task.settings)
        problems, notes = recipe_problems(config, task)
        problems = problems if n is None else {split: some[:n] for split, some in problems.items()}
        prompt, reply = make_prompt(config, task), config.sampling.max_new_tokens
        length = _of_directory(model, prompt, reply) if model else _of_recipe(config, task, prompt)
        return task, problems, notes, length
    if scale is not None:
        raise ConfigError(f"--scale {scale}: {what} is no recipe, and only recipes have scales.")
    own, tables = divide(overrides)
    if tables:
        raise ConfigError(f"rise validate {what}: --set takes settings of the task only, such as mode=lenient or judge=exact.")
    name, settings = of_task
    task = make_task(name, **settings, **own)
    problems, notes = task_problems(task, n)
    prompt = Prompt.of(StateConfig(), task.instructions)
    return task, problems, notes, _of_directory(model, prompt, SamplingConfig().max_new_tokens) if model else None


def _named_task(what: str) -> tuple[str, dict[str, Any]] | None:
    """(task, settings) of the name of a task, or of a file of problems; None for anything else, which is to be a recipe."""
    from rise.tasks import is_task
    from rise.tasks.sources import HUB, is_file_of_problems

    if is_task(what):
        return what, {}
    if what.startswith(HUB) or is_file_of_problems(Path(what)):
        return "jsonl", {"path": what}
    return None


def _of_directory(model: str, prompt: Prompt, reply: int) -> Length:
    from rise.errors import ModelError
    from rise.play.render import Renderer
    from rise.runs.checks import check_directory
    from rise.runs.validate import Length
    from rise.training.model import context_length

    check_directory(Path(model), f"--model {model}")
    limit = context_length(model)
    if limit is None:
        raise ModelError(f"--model {model}: its config.json does not say how long its context is (max_position_embeddings).")
    return Length(prompt, Renderer.load(model), limit, reply)


def _of_recipe(config: RunConfig, task: Task, prompt: Prompt) -> Length | None:
    """What the recipe's own model says; None where it is not on this machine."""
    from rise.errors import NotHereError
    from rise.runs.checks import context_of, student_renderer
    from rise.runs.validate import Length

    limit = context_of(config)
    try:
        renderer = student_renderer(config, task, prompt, fetch=False)
    except NotHereError:
        return None
    if limit is None or renderer is None:
        return None
    return Length(prompt, renderer, limit, config.sampling.max_new_tokens)


def _lines(found: Validation) -> list[str]:
    """The table, examples of each trouble below it, and the verdict."""
    from rise.report.numbers import count

    splits = list(found.problems)
    width = max(len(check.says) for check in found.checks)
    out = [f"{found.task:<{width}}  " + "  ".join(f"{split:>10}" for split in splits)]
    out.append(f"{'problems':<{width}}  " + "  ".join(f"{count(found.problems[split]):>10}" for split in splits))
    for check in found.checks:
        numbers = "  ".join(f"{count(check.counts.get(split, 0)):>10}" for split in splits)
        out.append(f"{check.says:<{width}}  {numbers}{'  ✗' if check.fails and check.n else ''}")
    if found.length is not None:
        out.append(
            "longest first state: {longest} tokens; with a reply of {reply} in a context of {context}".format(**found.length)
        )
    for check in found.checks:
        for example in check.examples:
            question = " ".join(example["question"].split())
            out += ["", f"{check.name}, {example['split']}, problem {example['problem']}: {question[:90]}"]
            out.append(f"  {example['trouble']}")
    out += ["", *(f"note: {note}" for note in found.notes)] if found.notes else []
    wrong = [check.says for check in found.checks if check.fails and check.n]
    return [*out, "", f"not fit: {'; '.join(wrong)}" if wrong else "fit: nothing found that would spoil a run"]
