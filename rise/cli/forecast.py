"""`rise forecast`: before any training, whether RISE will pay on these problems."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rise.cli.evaluate import BatchSizeOption, ChatFormatOption, DtypeOption, PolicyArgument, SeedOption, SetOption, TaskOption

if TYPE_CHECKING:
    from rise.evaluation.forecast import Forecast

RUNS = Path("runs/claims")


def forecast(
    policy: PolicyArgument,
    task: TaskOption = None,
    set_: SetOption = None,
    split: Annotated[
        str, typer.Option(help="Whose problems are asked: train or validation. Test problems are left alone.")
    ] = "train",
    n: Annotated[int, typer.Option("-n", min=10, help="Problems to ask.")] = 100,
    samples: Annotated[int, typer.Option(min=2, help="Replies sampled at one state (N).")] = 8,
    turns: Annotated[int, typer.Option(min=2, help="Turns that the gain is forecast for.")] = 5,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of the run that is priced.")] = 2,
    n_train: Annotated[int, typer.Option(min=1, help="Training problems of one round of it.")] = 800,
    price_prompt: Annotated[float, typer.Option(min=0, help="Of a million tokens read.")] = 0.0,
    price_reply: Annotated[float, typer.Option(min=0, help="Of a million tokens written.")] = 0.0,
    claims: Annotated[Path, typer.Option(help="A directory of rise claims, whose finished runs calibrate the forecast.")] = RUNS,
    seed: SeedOption = 0,
    batch_size: BatchSizeOption = 128,
    dtype: DtypeOption = None,
    chat_format: ChatFormatOption = None,
    out: Annotated[Path | None, typer.Option(help="Keep the ledger and forecast.json in this directory; continues it.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print the numbers as JSON.")] = False,
) -> None:
    """Say from a few hundred replies of the model as it is whether RISE will pay: gain over turns, improver, N, tokens, price.

    How far such forecasts are off is judged on finished runs of `rise claims`, one task left out at a time.
    """
    from typing import cast

    from rise.cli.progress import Bars
    from rise.evaluation.forecast import calibrate
    from rise.evaluation.forecast import forecast as make_forecast
    from rise.method.forecast import ask, trained_runs
    from rise.play.player import play_out
    from rise.runs.card import checkpoint_of, config_for, model_settings
    from rise.runs.checks import check_choice
    from rise.runs.context import Silent, open_context
    from rise.runs.preflight import preflight
    from rise.task import Split

    check_choice("--split", split, ("train", "validation"))
    policy = checkpoint_of(policy)
    model = model_settings(dtype, chat_format)
    measured = {"turns": 2, "samples": samples}
    settings: dict[str, Any] = {"seed": seed, "batch_size": batch_size, "model": model, "evaluate": measured}
    config = config_for(policy, task=task, settings=settings, overrides=set_ or [])
    ready = preflight(config, "measure", policy=policy, held_out=lambda task: task.problems(cast("Split", split), n))
    ledger = out / "ledger.jsonl" if out else None
    with (
        Bars() as bars,
        open_context(ready, ledger, directory=out or Path.cwd(), progress=Silent() if json_ else bars) as context,
    ):
        player = context.player(context.policy(policy), "forecast", measured=True)
        quantities = play_out(player, ask(player, list(ready.held_out), samples))
    run: dict[str, Any] = {"n_train": n_train, "rounds": rounds, "price_prompt": price_prompt, "price_reply": price_reply}
    found = make_forecast(quantities, calibrate(trained_runs(claims)), turns=turns, **run)
    _tell(found, out, json_=json_)


def _tell(found: Forecast, out: Path | None, *, json_: bool) -> None:
    """Into forecast.json of `out`, and on the terminal."""
    import json

    from rich.console import Console

    from rise.jsonl import write_whole

    if out is not None:
        write_whole(out / "forecast.json", json.dumps(found.to_json(), indent=1) + "\n")
    if json_:
        print(json.dumps(found.to_json()))
        return
    for line in lines(found):
        Console().print(line, highlight=False, soft_wrap=True, markup=False)


def lines(found: Forecast) -> list[str]:
    """The forecast in words, one line a number."""
    from rise.report.numbers import amount, number, percent, percent_interval, points, points_interval

    q, K, N = found.quantities, found.turns, found.quantities.n_samples
    shares = [
        ("accuracy", q.accuracy, "first replies right"),
        ("headroom", q.headroom, f"problems right in any of {N} first replies"),
        ("supply", q.supply, f"wrong attempts after which one of {N} replies is right"),
        ("ECR", q.ecr, "wrong replies whose next is right"),
        ("EIR", q.eir, "right replies whose next is wrong"),
        ("kept", q.kept, "right attempts shown, and the reply is right"),
        ("seen", q.seen, "attempts with a digit changed, not repeated"),
        ("AUC", q.auc, "a right first reply is more probable a token than a wrong one"),
    ]
    out = [f"{name:<10}{percent(e.value):>6} %  {f'[{percent_interval(e)}]':<14} {words}" for name, e, words in shares]
    out.append("")
    out.append(f"Gain over {K} turns, in points, turn {K} − turn 1:")
    out.append(f"  {points(found.floor.value):>6}  [{points_interval(found.floor)}] if nothing is learnt")
    out.append(
        f"  {points(found.ceiling.value):>6}  [{points_interval(found.ceiling)}] if it learns to keep what is right, and no more"
    )
    c = found.calibration
    if c.calibrated:
        out.append(
            f"  {points(found.gain.value):>6}  [{points_interval(found.gain)}] expected: finished runs of {len(c.tasks)} tasks"
        )
        miss = f"off by {points(c.error)}, at most {points(c.worst)}"
        out.append(f"          reached {percent(c.share)} % of the line above; a task left out is {miss}")
    else:
        tasks = f"finished runs of {', '.join(c.tasks)}" if c.tasks else "no finished runs of rise claims"
        out.append(f"  not calibrated: {tasks}, and four tasks are needed. Expect anything from {points_interval(found.gain)}.")
    if c.correlations:
        pairs = ", ".join(f"{name} {number(r)}" for name, r in sorted(c.correlations.items(), key=lambda item: -abs(item[1])))
        out.append(f"  goes with the gain over {len(c.tasks)} tasks (correlation): {pairs}")
    out.append("")
    out.append(f"Take: improver {found.improver}, N = {found.n_samples}, {found.rounds} rounds, {K} turns.")
    price = "" if found.price is None else f", price {number(found.price)}"
    out.append(
        f"Replies of the rounds: about {amount(found.tokens)} tokens read and written{price}; evaluation and training apart."
    )
    return out
