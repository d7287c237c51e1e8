"""`rise evaluate`: the five-turn table for any policy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rise.recipe.config import RunConfig
    from rise.task import Problem, Task


def evaluate(
    policy: Annotated[str, typer.Argument(help="A checkpoint, a hub name, or a policy spec such as local:DIR or scripted:FILE.")],
    task: Annotated[str | None, typer.Option(help="Task name; by default the one the checkpoint was trained on.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Task setting, or state.…/sampling.…: --set path=problems.jsonl.")
    ] = None,
    split: Annotated[str, typer.Option(help="train, validation or test.")] = "test",
    n: Annotated[
        int | None, typer.Option("-n", min=1, help="Number of problems; by default 200, or all where a file has fewer.")
    ] = None,
    turns: Annotated[int | None, typer.Option(min=1, help="Turns per run; by default the checkpoint's, else 5.")] = None,
    samples: Annotated[int, typer.Option(min=1, help="Parallel turn-1 samples.")] = 5,
    seed: Annotated[int, typer.Option(help="Seed of the random streams.")] = 0,
    batch_size: Annotated[int, typer.Option(min=1, help="Replies generated together by a local policy.")] = 128,
    dtype: Annotated[str, typer.Option(help="Of a local policy's weights: float32, bfloat16 or float16.")] = "float32",
    chat_format: Annotated[
        str | None, typer.Option(help="Format of a local policy without a chat template: chatml, llama-2, llama-3 or mistral.")
    ] = None,
    control: Annotated[bool, typer.Option(help="Also show other problems' attempts, as a control.")] = True,
    gold_probability: Annotated[
        bool, typer.Option("--gold-probability", help="Also score the worked solution at every turn: local policies only.")
    ] = False,
    cluster: Annotated[
        str | None,
        typer.Option(help="Ask replicas on a Ray cluster: auto, local or HOST:PORT; more by --set cluster.replicas=4."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Keep records, ledger and metrics in this directory; continues it.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print metrics as JSON.")] = False,
) -> None:
    """Measure any policy over several turns: the same table for all.

    State and sampling come from the checkpoint's rise.json where there is one.
    """
    import json
    import tempfile
    from contextlib import ExitStack

    from rise.cli.progress import Bars, stage_line
    from rise.errors import ConfigError
    from rise.evaluation.analyses import analyse, with_gold_scores
    from rise.evaluation.evaluate import evaluate as play
    from rise.evaluation.held_out import HeldOut, write_held_out
    from rise.evaluation.metrics import by_fields, measure
    from rise.jsonl import write_whole
    from rise.play.ledger import Ledger
    from rise.play.player import Player, play_out
    from rise.policies import make_policy
    from rise.runs.bench import join_cluster, open_policy
    from rise.runs.preflight import check_spec
    from rise.tasks import make_task
    from rise.training.model import DTYPES

    if split not in ("train", "validation", "test"):
        raise ConfigError(f"--split {split}: use train, validation or test.")
    if dtype not in DTYPES:
        raise ConfigError(f"--dtype {dtype}: use {', '.join(DTYPES[:-1])} or {DTYPES[-1]}.")
    check_spec(policy)
    card = read_card(policy)
    on_cluster = [text for text in set_ or [] if text.startswith("cluster.")]
    settings, state, sampling = divide([text for text in set_ or [] if text not in on_cluster])
    name = task or card.get("task")
    if name is None:
        raise ConfigError(f"{policy} carries no rise.json that names a task. Give one: --task gsm8k, for example.")
    if task is None or task == card.get("task"):
        settings = {**card.get("task_settings", {}), **settings}
    the_task = make_task(name, **settings)
    prompt, draw = build_state(state, sampling, card, the_task)
    turns = card.get("turns", 5) if turns is None else turns
    problems = held_out(the_task, split, n)
    judge = the_task.judge()
    with tempfile.TemporaryDirectory() as scratch, Bars() as bars, ExitStack() as stack:
        where = out or Path(scratch)
        if cluster:
            config = _on_cluster(cluster, on_cluster, policy, batch_size, dtype)
            joined = stack.enter_context(join_cluster(config, where))
            player_policy = open_policy(policy, config, chat_format=chat_format, cluster=joined)
        else:
            player_policy = make_policy(policy, batch_size=batch_size, dtype=dtype, chat_format=chat_format)
        ledger = Ledger(where / "ledger.jsonl")
        if not json_:
            bars.begin(name, "evaluate", len(problems))
        player = Player(
            player_policy,
            prompt,
            judge,
            draw,
            ledger,
            purpose="evaluate",
            seed=seed,
            renderer=getattr(player_policy, "renderer", None),
            on_done=bars.advance,
        )

        async def measured() -> list[HeldOut]:
            records = await play(player, problems, n_turns=turns, n_samples=samples, control=control)
            return await with_gold_scores(player, problems, records) if gold_probability else records

        records = play_out(player, measured())
        ledger.close()
        truthful = prompt.feedback == "truthful"
        metrics = {"policy": policy, "task": name, "split": split} | measure(records, judge.same, truthful=truthful, turns=turns)
        metrics |= analyse(records, turns)
        metrics["by_field"] = by_fields(records, judge.same, truthful=truthful, turns=turns)
        if out is not None:
            write_held_out(out / "held-out.jsonl", records)
            write_whole(out / "metrics.json", json.dumps(metrics, indent=1) + "\n")
    if json_:
        print(json.dumps(metrics))
    else:
        bars.console.print(stage_line(name, metrics), highlight=False)


def _on_cluster(address: str, overrides: list[str], policy: str, batch_size: int, dtype: str) -> RunConfig:
    """The settings by which replicas of a policy are asked; no cluster where somebody else's server replies."""
    from rise.policies import split_spec
    from rise.recipe.toml import build_config, merged, parse_override

    kind, path = split_spec(policy)
    data: dict[str, Any] = {"model": {"path": path, "dtype": dtype}, "batch_size": batch_size}
    if kind in ("local", "vllm"):
        data["cluster"] = {"address": address}
    for text in overrides:
        data = merged(data, parse_override(text))
    return build_config(data, "--cluster")


def read_card(policy: str) -> dict[str, Any]:
    """The checkpoint's rise.json; empty where the policy is none of ours."""
    import json

    path = Path(policy.removeprefix("local:").removeprefix("vllm:")) / "rise.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def held_out(task: Task, split: str, n: int | None, most: int = 200) -> Sequence[Problem]:
    """The problems to ask: `n`, or by default the first `most`, or all where there are fewer."""
    if n is None and not getattr(task, "endless", False):
        return task.problems(split)[:most]  # type: ignore[arg-type]
    return task.problems(split, n or most)  # type: ignore[arg-type]


def divide(overrides: list[str]) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """`--set` texts → (task settings, state settings, sampling settings). `task.settings.path=…` is `path=…`.

    >>> divide(["path=a", "task.settings.mode=lenient", "state.window=1"])
    ({'path': 'a', 'mode': 'lenient'}, {'window': 1}, {})
    """
    from rise.errors import ConfigError
    from rise.recipe.toml import parse_override

    parts: tuple[dict[str, Any], dict[str, Any], dict[str, Any]] = ({}, {}, {})
    for text in overrides:
        for key, value in parse_override(text).items():
            if key in ("state", "sampling") and isinstance(value, dict):
                parts[1 if key == "state" else 2].update(value)
            elif key == "task" and isinstance(value, dict):
                if not isinstance(value.get("settings"), dict):
                    raise ConfigError(
                        f"--set {text}: of a recipe's [task] only task.settings.… can be set here. "
                        "The task is named by --task, the number of problems by -n."
                    )
                parts[0].update(value["settings"])
            else:
                parts[0][key] = value
    return parts


def build_state(state: dict[str, Any], sampling: dict[str, Any], card: dict[str, Any], task: Any) -> tuple[Any, Any]:
    """(Prompt, Sampling): the card's, with overrides; the task's instructions where the card names another task."""
    from rise.play.prompt import Prompt
    from rise.policy import Sampling
    from rise.recipe.config import SamplingConfig, StateConfig
    from rise.recipe.toml import validated

    own = {
        key: card[key]
        for key in ("demonstration", "feedback", "feedback_text", "critique_text", "window")
        if card.get(key) is not None
    }
    config = validated(StateConfig, {**own, **state}, "--set state")
    draw = validated(SamplingConfig, {**card.get("sampling", {}), **sampling}, "--set sampling")
    same_task = card.get("task") == task.name
    instructions = card.get("instructions") if same_task else task.instructions
    return Prompt.of(config, instructions), Sampling(**draw.model_dump())
