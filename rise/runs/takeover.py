"""What a run takes over from a finished one: the start, the data, the amount of training. How baselines are kept equal."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rise.errors import ConfigError
from rise.jsonl import read_jsonl
from rise.recipe.config import RunConfig, TrainConfig
from rise.recipe.toml import differences, load_recipe
from rise.runs import stages
from rise.runs.card import measured_anew
from rise.runs.directory import RunDir, StageDir

MADE_BY = ("seed", "task", "model", "state", "sampling", "reward", "boost")
"""Parts of a recipe that decide what base and boost come out."""


def take_start(config: RunConfig, mine: RunDir, other: RunDir) -> None:
    """Copy the base and the boost of a finished run. Raises `ConfigError` if they would have come out otherwise here.

    Where this recipe evaluates otherwise, their measurements are left behind and made again, the rates of the chain too.
    """
    theirs = _same(config, other, MADE_BY, "boost was made")
    last = [name for name in stages.expected(config.model_dump()) if not stages.round_number(name)][-1]
    made = other.stage(last)
    if not made.metrics.exists() or (config.boost.enabled and not made.checkpoint.exists()):
        raise ConfigError(f'boost.reuse = "{other.path}", but that run has not finished its boost. Let it end first.')
    left = ["training", "*.partial"]
    anew = theirs.evaluate != config.evaluate or theirs.state.verify != config.state.verify
    if anew:
        left += [made.held_out.name, made.metrics.name, made.rates.name, made.temperature.name]
    for name in (stage.name for stage in stages.BEFORE_ROUNDS):
        source, target = other.stage(name).path, mine.stage(name).path
        if source.exists() and not target.exists():
            partial = target.with_name(name + ".partial")
            shutil.rmtree(partial, ignore_errors=True)
            shutil.copytree(source, partial, ignore=shutil.ignore_patterns(*left))
            if anew:
                measured_anew(StageDir(partial).checkpoint, config)
            os.replace(partial, target)


def takes_collection(config: RunConfig, k: int) -> bool:
    """Whether round k trains on the other run's trajectories and improved replies."""
    return config.rollout.reuse is True or (config.rollout.reuse == "first" and k == 1)


def take_collection(config: RunConfig, stage: StageDir) -> None:
    """Copy a round's trajectories and improved replies: RISE's own data, for another training on them."""
    other = _named(config)
    _same(config, other, ("seed", "task", "model", "state", "sampling", "reward", "rollout", "relabel"), "data were collected")
    for name in ("trajectories", "relabelled"):
        source, target = getattr(other.stage(stage.name), name), getattr(stage, name)
        if target.exists():
            continue
        if not source.exists():
            raise ConfigError(
                f"rollout.reuse = {_shown(config)}, but {source} is not there. Let that run finish {stage.name}, or lower "
                "iterate.rounds."
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(target.name + ".partial")
        shutil.copyfile(source, partial)
        os.replace(partial, target)


def matched(config: RunConfig, k: int) -> TrainConfig:
    """The training of round k, on as many tokens as the same round of the run that `boost.reuse` names.

    The last round trains on all that is left, so that two runs of unequal length end with equal training.
    """
    if not config.iterate.match_tokens:
        return config.train
    other = _named(config)
    theirs = trained_tokens(other)
    last = k == config.iterate.rounds
    wanted = sum(n for j, n in theirs.items() if j == k or (last and j > k))
    if not wanted:
        raise ConfigError(
            f"iterate.match_tokens = true, but {other.path} holds no finished training of round {k}. Let that run end, or lower "
            "iterate.rounds."
        )
    return config.train.model_copy(update={"trained_tokens": wanted})


def trained_tokens(run: RunDir) -> dict[int, int]:
    """Round → target tokens its training went through, epochs counted."""
    found = {}
    train = load_recipe(run.config).train
    for event in run.read_log():
        number = stages.round_number(str(event.get("stage", "")))
        if event.get("part") == "train" and number:
            # Runs of before this was logged had no way to train on anything but whole epochs' shares.
            total = event.get("n_trained_tokens") or round(event.get("n_trained_tokens_per_epoch", 0) * train.epochs)
            found[number] = int(total)
    return found


@dataclass(frozen=True, slots=True)
class Sampled:
    """What the rounds' data cost to draw: student turns and improved replies."""

    replies: int = 0
    tokens: int = 0
    """Written, not read."""


def sampled(run: RunDir, last: int | None = None) -> Sampled:
    """Of the rounds up to `last`, by default all. As the ledger has it, so that each reply counts once, however often the run
    was stopped.

    What was taken over from another run counts as it did there: this run trains on it as that one does.
    """
    config = load_recipe(run.config)
    rounds = range(1, (config.iterate.rounds if last is None else last) + 1)
    taken = [k for k in rounds if config.boost.reuse and takes_collection(config, k)]
    found = _drawn(run, [k for k in rounds if k not in taken])
    if not taken:
        return found
    theirs = _drawn(_named(config), taken)
    return Sampled(found.replies + theirs.replies, found.tokens + theirs.tokens)


def _drawn(run: RunDir, rounds: Sequence[int]) -> Sampled:
    wanted = {f"{stages.round_name(k)}/{part}" for k in rounds for part in ("rollout", "relabel")}
    replies = tokens = 0
    for _, line in read_jsonl(run.ledger) if run.ledger.exists() else ():
        if "turn" in line and line.get("purpose") in wanted:
            replies += 1
            tokens += line["turn"].get("n_reply_tokens") or 0
    return Sampled(replies, tokens)


def check_takeover(config: RunConfig) -> None:
    """Raise `ConfigError` where a recipe takes over what no run is named for, before anything starts."""
    if config.boost.reuse and not RunDir(Path(config.boost.reuse)).config.exists():
        raise ConfigError(f'boost.reuse = "{config.boost.reuse}" is no run directory: it holds no config.toml.')
    asked = {"rollout.reuse": config.rollout.reuse, "iterate.match_tokens": config.iterate.match_tokens}
    wants = [name for name, wanted in asked.items() if wanted]
    if wants:
        other = _named(config, wants[0])
        if config.rollout.reuse:
            parts: Sequence[str] = ("seed", "task", "rollout", "relabel")
            _same(config, other, parts, "data were collected")
        for k in range(1, config.iterate.rounds + 1):
            matched(config, k)


def _shown(config: RunConfig) -> str:
    return '"first"' if config.rollout.reuse == "first" else "true"


def _named(config: RunConfig, setting: str = "rollout.reuse") -> RunDir:
    if not config.boost.reuse:
        value = _shown(config) if setting == "rollout.reuse" else "true"
        raise ConfigError(
            f"{setting} = {value} takes over what another run did, but boost.reuse names none. "
            "Give one: --set boost.reuse=runs/multiplication-full, a finished run of the recipe it is compared with."
        )
    other = RunDir(Path(config.boost.reuse))
    if not other.config.exists():
        raise ConfigError(f'boost.reuse = "{other.path}" is no run directory: it holds no config.toml.')
    return other


def _same(config: RunConfig, other: RunDir, parts: Sequence[str], what: str) -> RunConfig:
    """The other run's recipe, which must not differ in `parts`."""
    if not other.config.exists():
        raise ConfigError(f'boost.reuse = "{other.path}" is no run directory: it holds no config.toml.')
    recipe = load_recipe(other.config)
    theirs, mine = recipe.model_dump(mode="json"), config.model_dump(mode="json")
    for settings in (theirs, mine):
        settings["boost"].pop("reuse")
        settings["rollout"].pop("reuse")
        settings["state"].pop("verify")  # asking for verdicts changes neither attempts nor what is shown before them
    changed = differences({key: theirs[key] for key in parts}, {key: mine[key] for key in parts})
    if changed:
        shown = "\n  ".join(changed)
        raise ConfigError(f'boost.reuse = "{other.path}", but that run\'s {what} otherwise:\n  {shown}')
    return recipe
