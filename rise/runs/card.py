"""rise.json: what a checkpoint must know to be evaluated and served as it was trained. Written and read here alone."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Set
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from rise.errors import ConfigError, DataError, ModelError
from rise.jsonl import loads, read_text, write_whole
from rise.play.pretrained import ALLOWS_CODE, check_files, trusts_code
from rise.play.prompt import Prompt
from rise.policies import check_spec, directory_of, parse_spec
from rise.recipe.config import RunConfig, StateConfig
from rise.recipe.own_code import is_own_code
from rise.recipe.toml import build_config, merged, parse_override
from rise.runs.checks import check_choice
from rise.runs.stages import is_stage, on_disk, round_number
from rise.training.weights import DTYPES, weights_hash

NAME = "rise.json"


def card(config: RunConfig, prompt: Prompt, stage: str) -> dict[str, Any]:
    """What `stage` of this recipe is. Every field of [state] is in it, so that none is lost on the way to evaluate and serve."""
    state = config.state.model_dump(exclude={"preset"})  # a preset is resolved into the other fields when it is read
    return {
        "task": config.task.name,
        "task_settings": config.task.settings,
        **state,
        "instructions": prompt.instructions,
        "sampling": config.sampling.model_dump(),
        "turns": config.evaluate.turns,
        "dtype": config.model.dtype,
        "stage": stage,
        "round": round_number(stage),
    }


def read_card(spec: str) -> dict[str, Any]:
    """The card of the checkpoint behind a policy spec; empty where the policy has none.

    Raises `ModelError` for a card that is no object of JSON.
    """
    directory = directory_of(spec)
    if directory is None or not (directory / NAME).exists():
        return {}
    path = directory / NAME
    try:
        found = loads(read_text(path))
        if not isinstance(found, dict):
            raise ValueError(f"it holds no object but {str(found)[:40]!r}")
        return found
    except (ValueError, DataError) as error:
        raise ModelError(f"{path}: not JSON ({error}). Take it from the run's checkpoint again, or remove it.") from error


def note_turns(checkpoint: Path, turns: int) -> None:
    """Write into a measured checkpoint's card after how many turns its accuracy stops rising (`rise.evaluation.chain`).

    A directory without a card is not ours and stays as it is. The weights, and so their hash, are not touched.
    """
    path = checkpoint / NAME
    if path.exists():
        write_whole(path, json.dumps({**read_card(str(checkpoint)), "turns_to_serve": turns}, indent=2) + "\n")


def measured_anew(checkpoint: Path, config: RunConfig) -> None:
    """Write into the card of a checkpoint that was taken over how this recipe measures it; what theirs found is taken out."""
    path = checkpoint / NAME
    if path.exists():
        known = {name: value for name, value in read_card(str(checkpoint)).items() if name != "turns_to_serve"}
        here = {"turns": config.evaluate.turns, "verify": config.state.model_dump()["verify"]}
        write_whole(path, json.dumps({**known, **here}, indent=2) + "\n")


def check_weights(checkpoint: Path) -> None:
    """Raise `ModelError` where a run's own checkpoint does not hold what was saved: cut short, damaged, exchanged."""
    check_files(checkpoint, str(checkpoint))
    saved = read_card(str(checkpoint)).get("weights")
    now = weights_hash(checkpoint)
    if saved not in (None, now):
        raise ModelError(
            f"{checkpoint}: its weights are not the ones that training saved (hash {saved} → {now}): a file was damaged or "
            f"exchanged. Remove {checkpoint}, and the same command makes it again; or give the other weights a run of their own."
        )


def turns_served(known: Mapping[str, Any]) -> int:
    """Turns per conversation that a card asks for: what its measurement found, else what it was measured with, else 5.

    >>> turns_served({"turns": 5, "turns_to_serve": 3}), turns_served({"turns": 4}), turns_served({})
    (3, 4, 5)
    """
    return int(known.get("turns_to_serve") or known.get("turns", 5))


GIVEN = "function:given"
"""The spec of a policy that is at hand as an object and has no name."""

SECTIONS = ("state", "sampling", "http", "engine", "cluster")
"""Tables of a recipe that `--set` reaches beside a policy; anything else is a setting of the task."""


def config_for(
    spec: str,
    *,
    task: str | None = None,
    overrides: Iterable[str] = (),
    settings: Mapping[str, Any] | None = None,
    without: Iterable[str] = (),
) -> RunConfig:
    """The recipe by which the policy behind `spec` is measured or served: its card, then `overrides`.

    `overrides` are texts of `--set`: `state.window=1`, `sampling.temperature=0`, `http.timeout_s=30`, or a setting of the
    task (`path=problems.jsonl`, the same as `task.settings.path=…`). `settings` are further tables of the recipe; settings of
    the task that are named in `without` are left out. Code that the card alone names is not run unasked.
    Raises `PolicyError` or `ModelError` for a spec that names nothing, `ConfigError` where no task is known.
    """
    if not spec.startswith(GIVEN):
        check_spec(spec)
    known = read_card(spec)
    name = task or known.get("task")
    if name is None:
        lacks = (
            f"{spec} carries no rise.json that names a task"
            if Path(spec).exists()
            else f"There is no {spec} here with a rise.json"
        )
        raise ConfigError(f"{lacks}. Mend the path, or give a task: --task gsm8k, for example.")
    own, tables = divide(overrides)
    same_task = name == known.get("task")
    said = {*own, *without, *merged(settings or {}, tables).get("state", {})}
    _ask_for_code(spec, known, said=said, same_task=same_task)
    state = {field: known[field] for field in StateConfig.model_fields if field in known and field != "preset"}
    # The card holds the system text that was shown: null is none at all, where a recipe's null is the task's own.
    state["instructions"] = (known.get("instructions") or "") if same_task else None
    of_task = {**(known.get("task_settings", {}) if same_task else {}), **own}
    data: dict[str, Any] = {
        "name": "policy",
        "task": {"name": name, "settings": {key: value for key, value in of_task.items() if key not in without}},
        "model": {"path": parse_spec(spec).rest or spec, **({"dtype": known["dtype"]} if "dtype" in known else {})},
        "state": state,
        "sampling": known.get("sampling", {}),
        "evaluate": {"turns": known.get("turns", 5)},
    }
    return build_config(merged(merged(data, settings or {}), tables), "--set")


def model_settings(dtype: str | None, chat_format: str | None) -> dict[str, Any]:
    """The table [model] that `--dtype` and `--chat-format` ask for; a dtype that is not given is the card's."""
    if dtype is None:
        return {"chat_format": chat_format}
    check_choice("--dtype", dtype, DTYPES)
    return {"dtype": dtype, "chat_format": chat_format}


OWN_CODE = ("judge", "judge_path")
"""Settings of a task that may name code of somebody's own, as `state.feedback` may."""


def _ask_for_code(spec: str, known: Mapping[str, Any], *, said: Set[str], same_task: bool) -> None:
    """Raise `ConfigError` for code that only the card of a checkpoint names: a model may be a stranger's, and so what it names.

    Named once more with `--set`, it is the user's own word; so it is where `RISE_TRUST_REMOTE_CODE=1`.
    """
    settings = (known.get("task_settings") or {}) if same_task else {}
    settings = {key: value for key, value in settings.items() if key not in said}
    code = named_code(settings, None if "feedback" in said else known.get("feedback"))
    if code and not trusts_code():
        raise ConfigError(
            f"the rise.json of {spec} names Python code, which would be run: {', '.join(code.values())}. Read it; then name it "
            f"yourself: {' '.join(set_options(code))} (or set {ALLOWS_CODE}=1)."
        )


def named_code(task_settings: Mapping[str, Any], feedback: str | None) -> dict[str, str]:
    """Setting → the code of somebody's own that it names.

    >>> named_code({"judge": "mine.py:right", "path": "a.jsonl"}, "neutral")
    {'task.settings.judge': 'mine.py:right'}
    """
    named = {f"task.settings.{key}": task_settings.get(key) for key in OWN_CODE} | {"state.feedback": feedback}
    return {name: str(value) for name, value in named.items() if is_own_code(value)}


def set_options(code: Mapping[str, str]) -> list[str]:
    """The options that name this code once more: `--set task.settings.judge=mine.py:right`."""
    return [f"--set {name}={value}" for name, value in code.items()]


def divide(overrides: Iterable[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """`--set` texts → (task settings, tables of a recipe). `task.settings.path=…` is `path=…`.

    >>> divide(["path=a", "task.settings.mode=lenient", "state.window=1"])
    ({'path': 'a', 'mode': 'lenient'}, {'state': {'window': 1}})
    """
    own: dict[str, Any] = {}
    tables: dict[str, Any] = {}
    for text in overrides:
        override = parse_override(text)
        for key, value in override.items():
            if (
                isinstance(value, Mapping)
                and key not in (*SECTIONS, "task")
                and (near := get_close_matches(key, SECTIONS, 1, 0.7))
            ):
                raise ConfigError(f'--set {key}.…: there is no table "{key}". Did you mean "{near[0]}"?')
            if key in SECTIONS and isinstance(value, Mapping):
                tables = merged(tables, {key: value})
            elif key == "task" and isinstance(value, Mapping):
                if not isinstance(value.get("settings"), Mapping):
                    raise ConfigError(
                        f"--set {text}: of a recipe's [task] only task.settings.… can be set here. "
                        "The task is named by --task, the number of problems by -n."
                    )
                own.update(value["settings"])
            else:
                own[key] = value
    return own, tables


def checkpoint_of(spec: str) -> str:
    """A run's last checkpoint, or a stage's own; anything else as it is. Raises `DataError` for a run without one."""
    parsed = parse_spec(spec)
    path = parsed.directory
    if path is None:
        return spec
    if is_stage(path.name) and (path / "checkpoint").is_dir():
        return parsed.at(path / "checkpoint")
    if not (path / "config.toml").exists():
        return spec
    found = [path / name / "checkpoint" for name in on_disk(path) if (path / name / "checkpoint").is_dir()]
    if not found:
        raise DataError(f"{path} is a run without a checkpoint yet: rise run {path / 'config.toml'} --out {path} continues it.")
    return parsed.at(found[-1])
