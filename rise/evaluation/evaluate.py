"""Play a policy on held-out problems: five parallel first replies, one unstopped run, and the control. RISE §4.3, §5."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rise.evaluation.held_out import HeldOut
from rise.play.player import Player
from rise.task import Problem
from rise.trajectory import Turn


async def evaluate(
    player: Player,
    problems: Sequence[Problem],
    *,
    n_turns: int = 5,
    n_samples: int = 5,
    control: bool = True,
    play_on: bool = False,
) -> list[HeldOut]:
    """One record per problem. Unless the feedback stops a run when right, all read-outs come from the same replies.

    The control shows, from turn 2 on, the attempts that the next problem in the list got in its own run. It is left out where
    runs end early: an oracle's words about another problem's attempts would tell what they are, and a run that its own verdict
    ended has too few to lend. `play_on` also takes the turns after such an end, a control of its own.
    """
    player.check_context(problems, n_turns - 1)

    async def one(problem: Problem) -> HeldOut:
        first = await player.turns(problem, [], n=n_samples)
        run = await _run(player, problem, first[0], n_turns)
        beyond: list[Turn] = []
        if play_on and run[-1].called_right:
            run, beyond = await _played_on(player, problem, run, n_turns)
        about = (problem.id, problem.question, problem.gold)
        return HeldOut(*about, tuple(run), tuple(first[1:]), fields=problem.fields, beyond=tuple(beyond))

    records = await player.play(problems, one)
    stops = player.prompt.stops_when_right or player.prompt.verify is not None
    if not control or len(problems) < 2 or n_turns < 2 or player.prompt.window == 0 or stops:
        return records
    donors = {problems[i].id: records[(i + 1) % len(records)] for i in range(len(problems))}
    # Its own random streams, or the control would be the run itself with other words in front.
    control_player = replace(player, purpose=f"{player.purpose}/other")

    async def swapped(problem: Problem) -> tuple[Turn, ...]:
        shown: list[Turn] = []
        out = []
        for attempt in donors[problem.id].run[: n_turns - 1]:
            other = replace(attempt, feedback=None, critique=None)
            if player.prompt.uses_oracle:  # what a judge finds in that attempt as one at this problem
                other = await control_player.judged_aside(problem, other, shown)
            shown.append(await control_player.answered(problem, shown, other))
            out += await control_player.turns(problem, shown)
        return tuple(out)

    others = await control_player.play(problems, swapped)
    return [replace(record, other=other) for record, other in zip(records, others, strict=True)]


async def _run(player: Player, problem: Problem, first: Turn, n_turns: int) -> list[Turn]:
    """The turns from `first` on: `n_turns`, or fewer where the model calls one right (`state.verify`) or an oracle tells."""
    run: list[Turn] = []
    turn = first
    for _ in range(1, n_turns):
        if player.prompt.verify is not None:
            turn = await player.verified(problem, run, turn)
            if turn.called_right:
                return [*run, turn]
        run.append(await player.answered(problem, run, turn))
        if player.prompt.stops_when_right and turn.right:
            return run
        [turn] = await player.turns(problem, run)
    return [*run, turn]


async def _played_on(player: Player, problem: Problem, run: list[Turn], n_turns: int) -> tuple[list[Turn], list[Turn]]:
    """The run, and the turns after its last up to `n_turns`, no verdict asked: those that a run without a stop would have had.

    What the model wrote about its last attempt before it went on stands at that attempt: its price is the next turn's.
    """
    *before, last = run
    shown = [*before, await player.answered(problem, before, last)]
    critique = shown[-1].critique
    for k in range(len(run) + 1, n_turns + 1):
        [turn] = await player.turns(problem, shown)
        shown.append(await player.answered(problem, shown, turn) if k < n_turns else turn)
    return [*before, replace(last, critique=critique)], shown[len(run) :]


async def with_internalised(player: Player, problems: Sequence[Problem], records: Sequence[HeldOut], n: int) -> list[HeldOut]:
    """The records with `n` first replies of another policy, the player's: the control that trained without introspection."""

    async def firsts(problem: Problem) -> tuple[Turn, ...]:
        return tuple(await player.turns(problem, [], n=n))

    replies = await player.play(problems, firsts)
    return [replace(record, internalised=own) for record, own in zip(records, replies, strict=True)]
