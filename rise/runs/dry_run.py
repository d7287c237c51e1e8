"""What a recipe would do, in sentences, without doing any of it: no network, no GPU, no weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rise.recipe.config import RunConfig
from rise.recipe.improvers import IMPROVERS
from rise.recipe.machines import ClusterConfig
from rise.recipe.problems import student_turns
from rise.recipe.verify import VerifyConfig
from rise.recipe.wordings import feedback_words
from rise.runs.continuing import begun
from rise.runs.directory import RunDir
from rise.runs.preflight import Ready, preflight
from rise.task import Problem


def dry_run(config: RunConfig, out: Path | None = None) -> tuple[list[str], list[str]]:
    """(what would be done, what has to be there first), a sentence each. `out` is the directory that would be written.

    Raises what the run would raise for a setting that is wrong. Data, weights, engines and keys that are merely not here
    yet are listed: whoever looks at a recipe on a laptop has none of them.
    """
    ready = preflight(config, list_missing=True)
    return [*sentences(ready), *_continued(ready, out)], [*ready.missing]


def _continued(ready: Ready, out: Path | None) -> list[str]:
    """That a run is there and would go on, and with which changes. Raises `ResumeError` where it would not."""
    if out is None or not RunDir(out).config.exists() or (RunDir(out).ledger.exists() and not begun(out)):
        return []
    changes = RunDir(out).may_continue(ready.config, dict(ready.contents))
    return [f"would continue {out}{', with ' if changes else ''}{'; '.join(changes)}"]


def sentences(ready: Ready) -> list[str]:
    """What a checked recipe will do, a line each, its first word in a column of its own."""
    train = ready.rounds[0] if ready.rounds else None
    return _sentences(ready.config, ready.held_out or None, train, ready.boost or None)


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
        f"feedback   {config.state.feedback}: {feedback_words(config.state.feedback, config.state.feedback_text)}",
        *_verifies(config),
        f"measure    every stage: {settings.samples} samples and {settings.turns} turns a problem, "
        f"{_times(held_out, settings.samples + settings.turns - 1)} replies"
        + {"all": ", and the control", "last": "; in the last round the control too", "none": ""}[settings.controls]
        + ("; at last the same replies trained at turn 1" if settings.internalised else ""),
    ]
    if config.boost.enabled:
        share = config.boost.multi_turn_share
        again = f", then again with {share:.0%} of examples behind an attempt" if share else ""
        out.append(f"boost      supervised on the worked solutions of {_n(boost)} problems{again}")
    if config.cluster:
        out += [f"cluster    {config.cluster.address}; {line}" for line in _cluster(config.cluster)]
    relabel = config.relabel
    improver = IMPROVERS[relabel.improver].words.format(replies=_replies(relabel.n_samples), teacher=relabel.teacher)
    taken = f" of {config.rollout.policy}" if config.rollout.policy else ""
    for k in range(1, config.iterate.rounds + 1):
        n = student_turns(config, k)
        where = "behind the last attempt" if relabel.states == "last" else "behind every attempt"
        wrong = " if it was wrong" if relabel.relabel_right == "skip" else ""
        start = {"previous": "what it has become", "base": "the base", "boost": "the boost"}[config.iterate.start]
        out.append(
            f"round {k}    {n} turn{'s' if n > 1 else ''}{taken} on each training problem; {improver} {where}{wrong}; "
            f"{_s(config.train.epochs, 'epoch')} of at most {_times(train, n + 1)} examples, {config.train.batch_size} a step, "
            f"from {start}"
        )
    return out


def _verifies(config: RunConfig) -> list[str]:
    verify = config.state.verify
    if not isinstance(verify, VerifyConfig):
        return []
    trains = f", trained with weight {config.dataset.verdict_weight:g}" if config.dataset.verdict_weight else ""
    return [f"verdict    asked {verify.ask!r} after each attempt but the last, and ends a run with {verify.right!r}{trains}"]


def _cluster(settings: ClusterConfig) -> list[str]:
    from rise.cluster.needs import needs

    return [need.sentence() for part in needs(settings) for need in part]


def _s(n: float, thing: str) -> str:
    return f"{n:g} {thing}{'' if n == 1 else 's'}"


def _replies(n: int) -> str:
    return "one reply" if n == 1 else f"the best of {n} replies"


def _n(problems: Sequence[Problem] | None) -> str:
    return "?" if problems is None else f"{len(problems):,}"


def _times(problems: Sequence[Problem] | None, n: int) -> str:
    return f"{n} × ?" if problems is None else f"{n * len(problems):,}"
