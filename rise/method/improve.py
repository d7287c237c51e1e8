"""Relabelling as a stage: the improver's replies at the states reached, and who chooses among them. RISE eq. 4.4, 4.5."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rise.jsonl import write_jsonl
from rise.method.choose import choose
from rise.method.relabel import relabel
from rise.play.budget import Budget, paid
from rise.play.player import play_out
from rise.policy import Policy
from rise.recipe.improvers import IMPROVERS
from rise.runs.alarms import of_replies
from rise.runs.bench import Bench
from rise.runs.directory import StageDir
from rise.task import Problem
from rise.trajectory import Relabelled, Trajectory, read_relabelled, to_json


def relabel_stage(
    bench: Bench, stage: StageDir, problems: Sequence[Problem], trajectories: Sequence[Trajectory], student: Path
) -> list[Relabelled]:
    """relabelled.jsonl, made by `improve` unless it is there."""
    if not stage.relabelled.exists():
        found = improve(bench, stage.name, problems, trajectories, student, purpose=f"{stage.name}/relabel")
        write_jsonl(stage.relabelled, (to_json(item) for item in found))
    return list(read_relabelled(stage.relabelled))


def improve(
    bench: Bench,
    stage: str,
    problems: Sequence[Problem],
    trajectories: Sequence[Trajectory],
    student: Path | str | Policy,
    *,
    teacher: str | Policy | None = None,
    purpose: str,
) -> list[Relabelled]:
    """Improved replies at the states of `trajectories`, as [relabel] says, sorted by problem, sample and turn.

    `student` is the model that took the turns; `teacher` replaces the recipe's. Raises `BudgetError` when the money is spent.
    """
    config = bench.config.relabel
    asks = IMPROVERS[config.improver].asks
    with bench.timed(stage, "relabel", len(trajectories)) as timer:
        spec = {"student": student, "teacher": teacher or config.teacher or "", None: None}[asks]
        player = bench.player(None if spec is None else bench.policy(spec), purpose)
        player.budget = _bill(bench)
        before = player.budget.spent
        work = relabel(
            player,
            problems,
            trajectories,
            improver=config.improver,
            n_samples=config.n_samples,
            select=config.select,
            states=config.states,
            relabel_right=config.relabel_right,
            student=bench.renderer if asks == "teacher" else None,
        )
        relabelled = play_out(player, work)
        timer.of(player)
        if config.price_prompt or config.price_reply:
            timer.facts = {"price": round(player.budget.spent - before, 6), "price_so_far": round(player.budget.spent, 6)}
    if asks is not None:
        bench.sound(of_replies(stage, "relabel", (turn for item in relabelled for turn in item.candidates), bench.config))
    if config.select == "judge" and asks is not None:
        with bench.timed(stage, "select", len(relabelled)) as timer:
            judge = student if config.judge == "self" else config.judge or ""
            player = bench.player(bench.policy(judge), purpose.removesuffix("relabel") + "select")
            player.budget = Budget(config.judge_price_prompt, config.judge_price_reply)
            relabelled = play_out(player, choose(player, problems, relabelled))
            timer.of(player)
    return sorted(relabelled, key=lambda item: (item.problem_id, item.sample, item.turn))


def _bill(bench: Bench) -> Budget:
    """The teacher's bill with all that this ledger's replies have cost already, whichever process asked for them."""
    config = bench.config.relabel
    bill = Budget(config.price_prompt, config.price_reply, config.budget)
    if IMPROVERS[config.improver].asks == "teacher" and (config.price_prompt or config.price_reply) and bench.ledger.on_disk:
        bill.spent = paid(bench.ledger.path, "relabel", bill)
    return bill
