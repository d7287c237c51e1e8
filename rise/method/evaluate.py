"""Evaluation as a stage: held-out problems played over five turns, and everything in metrics.json. RISE §4.3, §5."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rise.evaluation.analyses import analyse, with_gold_scores
from rise.evaluation.chain import chain
from rise.evaluation.evaluate import evaluate, with_internalised
from rise.evaluation.held_out import REPLIES, HeldOut, read_held_out, write_held_out
from rise.evaluation.metrics import by_fields, measure, paired_stages
from rise.jsonl import write_whole
from rise.play.budget import Budget
from rise.play.player import Player, play_out
from rise.policy import Policy
from rise.runs import stages
from rise.runs.alarms import of_replies
from rise.runs.card import note_turns
from rise.runs.context import RunContext
from rise.runs.continuing import wants_control
from rise.runs.directory import StageDir
from rise.runs.model_card import about_stage, write_model_card
from rise.task import Problem


def evaluate_stage(
    context: RunContext, name: str, model: Path, n: int | None = None, *, internalised: Path | None = None
) -> None:
    """Held-out records and metrics of one stage; `n` takes the first n problems.

    `internalised` is the model that learnt the same replies at the first turn's state, to be asked for as many samples; also of a
    stage that was measured without it.
    """
    stage = context.dir.stage(name)
    if stage.metrics.exists() and internalised is None:
        return
    problems = list(context.ready.held_out)[: n or None]
    if not stage.held_out.exists():
        records = play_held_out(context, name, problems, model, control=wants_control(context.config, name))
        if internalised is not None:
            records = _play_internalised(context, name, problems, records, internalised)
        write_held_out(stage.held_out, records)
    elif internalised is not None:  # wanted since: the numbers without it are no longer this stage's
        by_id = {problem.id: problem for problem in problems}
        records = list(read_held_out(stage.held_out))
        records = _play_internalised(context, name, [by_id[record.problem_id] for record in records], records, internalised)
        stage.metrics.unlink(missing_ok=True)
        write_held_out(stage.held_out, records)
    records = list(read_held_out(stage.held_out))
    metrics = {**numbers(context, records), "stage": name}
    if context.ready.rates and not metrics["truthful"] and not metrics["own_stop"]:
        metrics["chain"] = _chain(context, stage, model)
    compare_stages(context, stage, records, metrics)
    if metrics["chain"]:
        note_turns(stage.checkpoint, metrics["chain"]["turns_to_serve"])  # before the file that proves the stage done
    write_model_card(stage.checkpoint, about_stage(context.config, context.ready.prompt.instructions, stage, metrics))
    write_whole(stage.metrics, json.dumps(metrics, indent=1) + "\n")
    context.progress.stage_done(stage)


def play_held_out(
    context: RunContext, stage: str, problems: Sequence[Problem], model: Path | str | Policy, *, control: bool, purpose: str = ""
) -> list[HeldOut]:
    """Play the policy on held-out problems as `[evaluate]` says. `control` also shows other problems' attempts."""
    with context.timed(stage, "evaluate", len(problems)) as timer:
        player = _priced(context, context.player(context.policy(model), purpose or f"{stage}/evaluate", measured=True))
        records = play_out(player, _played(context, player, problems, control))
        timer.record(player)
    context.report_alarms(of_replies(stage, "evaluate", (turn for r in records for turn in (*r.run, *r.samples)), context.config))
    return records


def _chain(context: RunContext, stage: StageDir, model: Path) -> dict[str, Any] | None:
    """The chain with the rates of validation problems, which says nothing that the measured problems had to say."""
    if not stage.rates.exists():
        problems = context.ready.rates
        with context.timed(stage.name, "evaluate", len(problems)) as timer:
            player = _priced(context, context.player(context.policy(model), f"{stage.name}/rates", measured=True))
            records = play_out(player, evaluate(player, problems, n_turns=2, n_samples=1, control=False))
            timer.record(player)
        write_held_out(stage.rates, records)
    return predicted(read_held_out(stage.rates), context.config.evaluate.turns)


def predicted(rates: Iterable[HeldOut], n_turns: int) -> dict[str, Any] | None:
    """The chain with the rates of two turns on validation problems, as metrics.json holds it."""
    right = [[float(turn.right) for turn in record.run] for record in rates]
    found = chain([r[0] for r in right], [r[1] for r in right], n_turns)
    return {**found.to_json(), "split": "validation"} if found else None


def _priced(context: RunContext, player: Player) -> Player:
    """The player with the bill of evaluation, where the recipe gives prices."""
    settings = context.config.evaluate
    if settings.price_prompt or settings.price_reply:
        player.budget = Budget(settings.price_prompt, settings.price_reply)
    return player


def price_of(records: Iterable[HeldOut], price_prompt: float, price_reply: float) -> float:
    """What all replies of these records cost, whoever asked for them and when."""
    bill = Budget(price_prompt, price_reply)
    for record in records:
        for turn in (turn for field in REPLIES for turn in getattr(record, field)):
            bill.pay(turn.n_prompt_tokens, turn.n_reply_tokens)
            for other in turn.beside:
                bill.pay(other.n_prompt_tokens, other.n_reply_tokens)
    return bill.spent


def _play_internalised(
    context: RunContext, stage: str, problems: Sequence[Problem], records: Sequence[HeldOut], model: Path
) -> list[HeldOut]:
    with context.timed(stage, "evaluate", len(problems)) as timer:
        player = _priced(context, context.player(context.policy(model), f"{stage}/evaluate/internalised", measured=True))
        out = play_out(player, with_internalised(player, problems, records, context.config.evaluate.samples))
        timer.record(player)
    return out


async def _played(context: RunContext, player: Player, problems: Sequence[Problem], control: bool) -> list[HeldOut]:
    settings = context.config.evaluate
    how = {"n_turns": settings.turns, "n_samples": settings.samples}
    records = await evaluate(player, problems, **how, control=control, play_on=settings.play_on)
    return await with_gold_scores(player, problems, records) if settings.gold_probability else records


def numbers(context: RunContext, records: Sequence[HeldOut]) -> dict[str, Any]:
    """What metrics.json says of one set of records: the headline metrics, analyses, and each field of the problems."""
    truthful, turns = context.ready.evaluated.stops_when_right, context.config.evaluate.turns
    metrics = measure(records, context.judge.same, truthful=truthful, turns=turns)
    metrics |= analyse(records, turns, truthful)
    metrics["by_field"] = by_fields(records, context.judge.same, truthful=truthful, turns=turns)
    prices = context.config.evaluate.price_prompt, context.config.evaluate.price_reply
    if any(prices):
        metrics["price"] = round(price_of(records, *prices), 6)
    return metrics


def compare_stages(context: RunContext, stage: StageDir, records: Sequence[HeldOut], metrics: dict[str, Any]) -> None:
    """Differences, problem by problem, from the stage before, and of a round also from the model that the rounds began from."""
    truthful, turns = context.ready.evaluated.stops_when_right, context.config.evaluate.turns

    def against(other: StageDir, name: str) -> None:
        theirs = list(read_held_out(other.held_out))
        metrics["paired"][name] = paired_stages(theirs, records, context.judge.same, truthful=truthful, turns=turns)
        metrics[name] = other.name

    # Those in front of it in order: a later one is on disk too where this one is measured again.
    before = [other for other in context.dir.stages() if stages.order(other.name) < stages.order(stage.name)]
    if before:
        against(before[-1], "previous")
    began = stages.began_from((other.name for other in before), context.config.iterate.start)
    if began is not None and stages.round_number(stage.name):
        against(context.dir.stage(began), "before_rounds")
