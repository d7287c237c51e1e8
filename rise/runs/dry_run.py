"""What a recipe would do, in sentences, without doing any of it: no network, no GPU, no weights."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from rise.recipe.config import ClusterConfig, RunConfig
from rise.errors import NotHereError
from rise.recipe.problems import boost_problems, held_out_problems, student_turns, training_problems
from rise.runs.preflight import check, preflight
from rise.task import Problem

def dry_run(config: RunConfig) -> tuple[list[str], list[str]]:
    """(what would be done, what has to be there first), a sentence each.

    Raises what the run would raise for a setting that is wrong. Data, weights and keys that are merely not here yet are
    listed: whoever looks at a recipe on a laptop has none of them.
    """
    needs = _models(config)
    if config.relabel.improver == "teacher" and (config.relabel.teacher or "").startswith("https:"):
        needs += [] if os.environ.get("OPENAI_API_KEY") else ["$OPENAI_API_KEY for the teacher, if it wants a key"]
    held_out: Sequence[Problem] | None = None
    train: Sequence[Problem] | None = None
    boost: Sequence[Problem] | None = None
    try:
        task = check(config)
        preflight(config, task, lambda k: training_problems(config, task, k))
        held_out, train = held_out_problems(config, task), training_problems(config, task)
        boost = boost_problems(config, task) if config.boost.enabled else None
    except NotHereError as error:
        needs.append(str(error))
    return _sentences(config, held_out, train, boost), needs


def _models(config: RunConfig) -> list[str]:
    path = config.model.path
    if path is None or Path(path).exists():
        return []
    cached = Path(os.environ.get("HF_HOME", Path.home() / ".cache/huggingface")) / "hub" / f"models--{path.replace('/', '--')}"
    return (
        [] if cached.exists() else [f"{path}: not on this machine; fetched from the hub when the run begins, or give a directory"]
    )


def _sentences(
    config: RunConfig, held_out: Sequence[Problem] | None, train: Sequence[Problem] | None, boost: Sequence[Problem] | None
) -> list[str]:
    model, task, settings = config.model, config.task.name, config.evaluate
    name = model.path or "a nano model made from nothing"
    chat_format = f", chat format {model.chat_format}" if model.chat_format else ""
    adapters = f"adapters of rank {model.lora.rank}" if model.lora else "all weights"
    out = [
        f"model      {name}{chat_format}, {model.dtype}; {adapters} train",
        f"problems   {task}: {_n(train)} to train on, {_n(held_out)} of {settings.split} to measure on",
        f"measure    every stage: {settings.samples} samples and {settings.turns} turns a problem, "
        f"{_times(held_out, settings.samples + settings.turns - 1)} replies"
        + {"all": ", and the control", "last": "; in the last round the control too", "none": ""}[settings.controls],
    ]
    if config.boost.enabled:
        share = config.boost.multi_turn_share
        again = f", then again with {share:.0%} of examples behind an attempt" if share else ""
        out.append(f"boost      supervised on the worked solutions of {_n(boost)} problems{again}")
    if config.cluster:
        out += [f"cluster    {config.cluster.address}; {line}" for line in _cluster(config.cluster)]
    relabel = config.relabel
    improver = {
        "self": f"the best of {relabel.n_samples} replies of its own",
        "teacher": f"{_replies(relabel.n_samples)} of {relabel.teacher}",
        "gold": "the worked solution",
    }.get(relabel.improver, relabel.improver)
    for k in range(1, config.iterate.rounds + 1):
        n = student_turns(config, k)
        where = "behind the last attempt" if relabel.states == "last" else "behind every attempt"
        wrong = " if it was wrong" if relabel.relabel_right == "skip" else ""
        start = {"previous": "what it has become", "base": "the base", "boost": "the boost"}[config.iterate.start]
        out.append(
            f"round {k}    {n} turn{'s' if n > 1 else ''} on each training problem; {improver} {where}{wrong}; "
            f"{config.train.epochs:g} epochs of at most {_times(train, n + 1)} examples, {config.train.batch_size} a step, "
            f"from {start}"
        )
    return out


def _cluster(settings: ClusterConfig) -> list[str]:
    from rise.cluster.needs import needs

    return [need.sentence() for part in needs(settings) for need in part]


def _replies(n: int) -> str:
    return "one reply" if n == 1 else f"the best of {n} replies"


def _n(problems: Sequence[Problem] | None) -> str:
    return "?" if problems is None else f"{len(problems):,}"


def _times(problems: Sequence[Problem] | None, n: int) -> str:
    return f"{n} × ?" if problems is None else f"{n * len(problems):,}"
