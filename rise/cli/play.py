"""`rise play`: type a problem, watch a model attempt it turn after turn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from rise.cli.evaluate import ChatFormatOption, DtypeOption
from rise.cli.serve import SetOption, TaskOption, TurnsOption, VoteOption

if TYPE_CHECKING:
    from rich.console import Console

    from rise.serve.requests import Served
    from rise.serve.revise import Ask, Outcome, Reviser
    from rise.trajectory import Turn

PolicyArgument = Annotated[
    str,
    typer.Argument(
        help="A run (its last checkpoint), a checkpoint, a hub name, an OpenAI-compatible server http://host/v1#model, or "
        "scripted:FILE."
    ),
]
SeedOption = Annotated[int, typer.Option(help="Seed of the first problem's replies; the next one's is one higher.")]


def play(
    policy: PolicyArgument,
    turns: TurnsOption = None,
    vote: VoteOption = "majority",
    task: TaskOption = None,
    set_: SetOption = None,
    seed: SeedOption = 0,
    dtype: DtypeOption = None,
    chat_format: ChatFormatOption = None,
) -> None:
    """Type problems and watch the turns: attempt, feedback, attempt, …, and the answer that wins the vote. Ctrl-D ends.

    State, sampling and turns come from the checkpoint's rise.json. Each line is a problem of its own.
    """
    import asyncio

    from rich.console import Console

    from rise.cli.serve import assemble
    from rise.policies import stop_engines
    from rise.serve.revise import Ask, TooLong, Unrenderable
    from rise.trajectory import Message

    reviser, served = assemble(policy, None, turns, vote, task, set_ or [], 1, dtype, chat_format, offer=False)
    console = Console(highlight=False)
    console.print(_heading(served), style="dim")
    try:
        with asyncio.Runner() as runner:
            while (question := _asked()) is not None:
                if not question:
                    continue
                ask = Ask((Message("user", question),), served.sampling, served.turns, served.rule, seed)
                try:
                    _told(console, runner.run(_watched(console, reviser, ask)))
                except (TooLong, Unrenderable) as error:
                    console.print(str(error), style="yellow", markup=False)
                seed += 1
            runner.run(reviser.close())
    finally:
        stop_engines()


def _heading(served: Served) -> str:
    turns = f"{served.turns} turn{'s' if served.turns > 1 else ''}"
    return f"{served.name}: {turns}, vote {served.rule}. Type a problem; Ctrl-D ends."


def _asked() -> str | None:
    """The next line that is typed or piped in; None at the end."""
    import sys

    try:
        return input("\n> " if sys.stdin.isatty() else "").strip()
    except EOFError:
        return None


async def _watched(console: Console, reviser: Reviser, ask: Ask) -> Outcome:
    def on_turn(turn: Turn, k: int) -> None:
        console.print(_shown(turn, k), soft_wrap=True)

    return await reviser.revise(ask, 0, on_turn)


def _shown(turn: Turn, k: int) -> Any:
    """A turn: its reply, the answer read in it, and what it is told next."""
    from rich.text import Text

    from rise.evaluation.outcomes import own_verdict_words, printable

    facts = [f"answer {turn.answer}" if turn.answer is not None else "no answer"]
    if turn.n_reply_tokens is not None:
        facts.append(f"{turn.n_reply_tokens} token{'s' if turn.n_reply_tokens != 1 else ''}")
    if turn.finish != "stop":
        facts.append("cut at the token limit" if turn.finish == "length" else turn.finish)
    text = Text(f"turn {k}  ", style="bold").append(printable(", ".join(facts)), style="not bold cyan")
    for line in turn.reply.split("\n"):
        text.append("\n│ ", style="not bold cyan").append(printable(line), style="not bold default")
    if said := own_verdict_words(turn):
        text.append(f"\n= {said}", style="not bold magenta")
    if turn.feedback is not None:
        text.append(printable(f"\n→ {turn.feedback}"), style="not bold italic dim")
    return text


def _told(console: Console, outcome: Outcome) -> None:
    """The answer that won the vote and the turns that gave it, beside that of the last reply."""
    from rich.text import Text

    from rise.evaluation.outcomes import printable

    last = outcome.turns[-1].answer
    words = [f"last reply: {'no answer' if last is None else last}"]
    if outcome.stopped == "verdict":
        words.append(f"called right at turn {len(outcome.turns)}")
    elif outcome.winner is not None and len(outcome.turns) > 1:
        turns = ", ".join(map(str, outcome.winner.turns))
        words.append(f"vote: {outcome.winner.answer} (turn{'s' if len(outcome.winner.turns) > 1 else ''} {turns})")
    console.print(Text(printable("   ".join(words)), "bold"), soft_wrap=True)
