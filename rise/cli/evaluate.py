"""`rise evaluate`: the five-turn table for any policy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, cast

import typer

PolicyArgument = Annotated[
    str,
    typer.Argument(
        help="A run (its last checkpoint), a checkpoint, a hub name, or a policy spec such as local:DIR or scripted:FILE."
    ),
]
TaskOption = Annotated[str | None, typer.Option(help="Task name; by default the one the checkpoint was trained on.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="Task setting, or state.…, sampling.…, http.…, engine.…: --set path=problems.jsonl."),
]
SplitOption = Annotated[str, typer.Option(help="train, validation or test.")]
NOption = Annotated[
    int | None, typer.Option("-n", min=1, help="Number of problems; by default 200, or all where a file has fewer.")
]
TurnsOption = Annotated[int | None, typer.Option(min=1, help="Turns per run; by default the checkpoint's, else 5.")]
SamplesOption = Annotated[int, typer.Option(min=1, help="Parallel turn-1 samples.")]
SeedOption = Annotated[int, typer.Option(help="Seed of the random streams.")]
BatchSizeOption = Annotated[int, typer.Option(min=1, help="Replies generated together by a local policy.")]
DtypeOption = Annotated[
    str | None,
    typer.Option(
        help="Of a local policy's weights: float32, bfloat16 or float16. By default as it was measured in its run, else float32."
    ),
]
ChatFormatOption = Annotated[
    str | None, typer.Option(help="Format of a local policy without a chat template: chatml, llama-2, llama-3 or mistral.")
]
ControlOption = Annotated[bool, typer.Option(help="Also show other problems' attempts, as a control.")]
PlayOnOption = Annotated[
    bool, typer.Option("--play-on", help="Also take the turns after the model's own stop (state.verify), as a control.")
]
GoldProbabilityOption = Annotated[
    bool, typer.Option("--gold-probability", help="Also score the worked solution at every turn: local policies only.")
]
ClusterOption = Annotated[
    str | None, typer.Option(help="Ask replicas on a Ray cluster: auto, local or HOST:PORT; more by --set cluster.replicas=4.")
]
PriceOption = Annotated[float, typer.Option(min=0, help="Of an endpoint, per million tokens; what the measurement cost is told.")]
OutOption = Annotated[Path | None, typer.Option(help="Keep records, ledger and metrics in this directory; continues it.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print metrics as JSON.")]


def evaluate(
    policy: PolicyArgument,
    task: TaskOption = None,
    set_: SetOption = None,
    split: SplitOption = "test",
    n: NOption = None,
    turns: TurnsOption = None,
    samples: SamplesOption = 5,
    seed: SeedOption = 0,
    batch_size: BatchSizeOption = 128,
    dtype: DtypeOption = None,
    chat_format: ChatFormatOption = None,
    control: ControlOption = True,
    play_on: PlayOnOption = False,
    gold_probability: GoldProbabilityOption = False,
    cluster: ClusterOption = None,
    price_prompt: PriceOption = 0.0,
    price_reply: PriceOption = 0.0,
    out: OutOption = None,
    json_: JsonOption = False,
) -> None:
    """Measure any policy over several turns: the same table for all.

    State and sampling come from the checkpoint's rise.json where there is one.
    """
    from rise.cli.lines import measured_lines
    from rise.cli.progress import Bars
    from rise.evaluation.held_out import write_held_out
    from rise.jsonl import write_whole
    from rise.method.evaluate import numbers, play_held_out
    from rise.recipe.problems import some_problems
    from rise.runs.card import checkpoint_of, config_for, model_settings
    from rise.runs.checks import check_choice
    from rise.runs.context import Silent, open_context
    from rise.runs.preflight import preflight
    from rise.task import SPLITS, Split

    check_choice("--split", split, SPLITS)
    policy = checkpoint_of(policy)
    measured: dict[str, Any] = {"samples": samples, **({"turns": turns} if turns else {})}
    measured |= {"play_on": play_on, "gold_probability": gold_probability}
    measured |= {"price_prompt": price_prompt, "price_reply": price_reply}
    settings = {"seed": seed, "batch_size": batch_size, "evaluate": measured, "model": model_settings(dtype, chat_format)}
    config = config_for(policy, task=task, **_with_cluster(policy, settings, cluster, set_ or []))
    ready = preflight(config, "measure", policy=policy, held_out=lambda task: some_problems(task, cast(Split, split), n))
    name, ledger = config.task.name, out / "ledger.jsonl" if out else None
    here = out or Path.cwd()
    with Bars() as bars, open_context(ready, ledger, directory=here, progress=Silent() if json_ else bars) as context:
        records = play_held_out(context, name, ready.held_out, policy, control=control, purpose="evaluate")
        metrics = {"policy": policy, "task": name, "split": split} | numbers(context, records)
    if out is not None:
        write_held_out(out / "held-out.jsonl", records)
        write_whole(out / "metrics.json", json.dumps(metrics, indent=1) + "\n")
    if json_:
        print(json.dumps(metrics))
        return
    for text, style in measured_lines(name, metrics):
        bars.console.print(text, style=style, highlight=False)


def _with_cluster(policy: str, settings: dict[str, Any], cluster: str | None, overrides: list[str]) -> dict[str, Any]:
    """Settings and overrides of the recipe. Raises `ConfigError` for a cluster where the policy is nothing that it could load."""
    from rise.errors import ConfigError
    from rise.recipe.endpoints import shown

    asked = [f"--cluster {cluster}"] if cluster else []
    asked += [f"--set {text}" for text in overrides if text.partition("=")[0].partition(".")[0].strip() == "cluster"]
    if asked and not is_ours(policy):
        raise ConfigError(
            f"{asked[0]}: a cluster holds models that it loads, and {shown(policy)} is asked from this machine. Leave it out."
        )
    return {"settings": settings | ({"cluster": {"address": cluster}} if cluster else {}), "overrides": overrides}


def is_ours(policy: str) -> bool:
    """Whether the policy is a model that this machine or its cluster loads, and not somebody else's server."""
    from rise.policies import parse_spec

    return parse_spec(policy).kind.on_cluster
