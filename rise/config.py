"""A recipe: one settings record per stage, read from TOML, overridden by dotted names, written back in full."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from rise.errors import ConfigError, did_you_mean


class Settings(BaseModel):
    """Base of all settings: unknown keys are refused, values are not silently converted (a whole number may be a fraction)."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, validate_default=True, allow_inf_nan=False)


Record = TypeVar("Record", bound=BaseModel)
Count = Annotated[int, Field(ge=1)] | Literal["all"]


class TaskConfig(Settings):
    """Where problems come from."""

    name: str = "arithmetic"
    """A name in `rise.tasks`."""
    settings: dict[str, Any] = {}
    """What that task takes: kinds, digits, path, …"""
    n_train: Count = 6000
    """How many problems; `all` takes every one there is, which generated tasks, having no end, refuse."""
    n_validation: Count = 500
    n_test: Count = 2000


class NanoConfig(Settings):
    """A Llama of about a million parameters with a character tokenizer, made from nothing."""

    hidden: int = Field(128, ge=8)
    layers: int = Field(4, ge=1)
    heads: int = Field(4, ge=1)
    kv_heads: int = Field(4, ge=1)
    intermediate: int = Field(384, ge=8)
    max_length: int = Field(512, ge=32)


class LoraConfig(Settings):
    """Low-rank adapters; the checkpoint written is the merged model."""

    rank: int = Field(16, ge=1)
    alpha: float = Field(32.0, gt=0)
    dropout: float = Field(0.0, ge=0, lt=1)
    target_modules: str | list[str] = "all-linear"


class ModelConfig(Settings):
    """The base model: a directory or hub name, a GGUF file, or a nano model from nothing."""

    path: str | None = None
    gguf_file: str | None = None
    """File name inside `path`, for models that come as GGUF."""
    nano: NanoConfig | None = None
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of generation, and of the weights in training when `train.masters` keeps float32 copies."""
    lora: LoraConfig | None = None
    """None trains all weights."""

    @model_validator(mode="after")
    def _one_source(self) -> ModelConfig:
        if (self.path is None) == (self.nano is None):
            raise ValueError("give exactly one of model.path (a directory or hub name) and [model.nano]")
        return self


class RewardConfig(Settings):
    """Verdict → reward. Binary as in the paper §4.1; the reference code's GSM8K uses -1 for unparsable."""

    right: float = 1.0
    wrong: float = 0.0
    unparsable: float = 0.0
    timed_out: float = 0.0


class SamplingConfig(Settings):
    temperature: float = Field(1.0, ge=0)
    top_p: float = Field(1.0, gt=0, le=1)
    max_new_tokens: int = Field(512, ge=1)


class StateConfig(Settings):
    """What the model is shown (`rise.prompt.Prompt`)."""

    instructions: str | None = None
    """System text; None takes the task's own. An empty string means none at all."""
    feedback: str = "always-wrong"
    """`always-wrong` (as published), `neutral`, `truthful`, or `module:function`."""
    feedback_text: str | None = None
    window: int | Literal["all"] = "all"
    """Number of most recent attempts shown."""

    @model_validator(mode="after")
    def _known_mode(self) -> StateConfig:
        if self.feedback not in ("always-wrong", "neutral", "truthful") and ":" not in self.feedback:
            raise ValueError(
                f'state.feedback = "{self.feedback}" is no mode. Use always-wrong, neutral, truthful or module:function'
            )
        if self.window != "all" and self.window < 0:
            raise ValueError(f'state.window = {self.window}: use 0 (no attempt shown), a count, or "all"')
        return self


class TrainConfig(Settings):
    """One fine-tuning run."""

    epochs: float = Field(2.0, gt=0)
    max_steps: int | None = Field(None, ge=1)
    """Stops earlier than `epochs` if set."""
    batch_size: int = Field(64, ge=1)
    """Examples per optimiser step over all devices; accumulation follows from it."""
    learning_rate: float = Field(1e-5, gt=0)
    warmup_ratio: float = Field(0.04, ge=0, lt=1)
    schedule: str = "cosine"
    weight_decay: float = Field(0.0, ge=0)
    max_grad_norm: float = Field(1.0, ge=0)
    per: Literal["token", "sequence"] = "token"
    """What the loss is divided by: trained tokens (the paper's sum of log-probabilities) or examples (the reference code)."""
    max_length: int = Field(2048, ge=8)
    """Longer examples are dropped and counted."""
    line_length: int = Field(512, ge=8)
    """Rows are packed into lines of about this many tokens; a longer row gets a line of its own length."""
    micro_batch_tokens: int = Field(8192, ge=8)
    """Tokens in one forward pass on one device."""
    merge: bool = True
    """Examples whose prompt extends an earlier one exactly become one row."""
    masters: bool = False
    """Train bfloat16 weights with float32 master copies in the optimiser."""
    save_steps: int = Field(0, ge=0)
    """Write a checkpoint to continue from every so many steps; 0 redoes an interrupted training from its start."""
    arguments: dict[str, Any] = {}
    """Any other field of `transformers.TrainingArguments`."""


class BoostConfig(Settings):
    """Supervised training that teaches a weak base the format and the task before the rounds (paper §4.4)."""

    enabled: bool = True
    reuse: str | None = None
    """A finished run whose base and boost are copied instead of made again: improvers are compared from one start."""
    also_one_turn: bool = True
    """Also train and report a boost without multi-turn examples, since a model that never saw the format is no baseline."""
    n_problems: Count = 20000
    """`all` takes every training problem there is, and then `disjoint` must be off."""
    multi_turn_share: float = Field(0.3, ge=0, lt=1)
    """Share of examples that show a wrong (or right) attempt and the improver's reply after it."""
    disjoint: bool = True
    """The rounds use other training problems than the boost. Turn it off where problems are few."""
    right_share: float = Field(0.3, ge=0, le=1)
    """At most this share of the multi-turn examples shows an attempt that was right already."""
    start: Literal["base", "one-turn"] = "one-turn"
    """What the boost with multi-turn examples is trained from."""
    train: TrainConfig = TrainConfig()
    train_multi_turn: TrainConfig | None = None
    """Training of the boost with multi-turn examples; None uses `train`."""


class RolloutConfig(Settings):
    """Collection: the student's own turns on the training problems."""

    turns: int | Literal["round"] = "round"
    """Student turns before the improver: `round` = k in round k, as the shipped commands; a number fixes it."""
    turns_offset: int = 0
    """-1 with turns = "round" gives k - 1, as two readers state the paper."""
    stop_when_right: bool = True
    problems: Literal["same", "fresh"] = "same"
    n_problems: int | None = Field(None, ge=1)
    """None uses all of task.n_train."""


class RelabelConfig(Settings):
    """The improver: who writes a better reply at the states the student reached (paper eq. 4.4, 4.5)."""

    improver: Literal["self", "teacher", "gold"] = "self"
    n_samples: int = Field(8, ge=1)
    """Replies sampled per state; the first with the highest reward is chosen."""
    teacher: str | None = None
    """Policy spec of the teacher, e.g. `local:runs/teacher/boost/checkpoint`."""
    states: Literal["last", "every"] = "last"
    """Improve the last state reached (as published) or every state."""
    relabel_right: Literal["skip", "keep", "restate"] = "skip"
    """At a state whose last attempt was right: nothing, the improver as elsewhere, or the attempt itself again."""

    @model_validator(mode="after")
    def _possible(self) -> RelabelConfig:
        if self.improver == "self" and self.n_samples < 2:
            raise ValueError(
                f"relabel.n_samples = {self.n_samples}, but best-of-n has nothing to choose from below 2. "
                'Raise it, or set relabel.improver = "teacher"'
            )
        if self.improver == "teacher" and not self.teacher:
            raise ValueError(
                'relabel.improver = "teacher" needs relabel.teacher, a policy spec such as '
                '"local:DIRECTORY" or "http://host/v1#model"'
            )
        return self


class KeepConfig(Settings):
    """Which replies become examples (reference code `--criteria`)."""

    rule: Literal["all", "better", "best", "success"] = "all"
    trained_turns: Literal["all", "last"] = "all"


class WeighConfig(Settings):
    """exp(reward / temperature), paper eq. 4.6."""

    temperature: float = Field(0.4, gt=0)
    centre: bool = False
    """Subtract the mean reward of all judged replies to the same problem in the round."""
    clip: float | None = Field(None, gt=0)
    """Largest raw weight."""
    scale: Literal["mean-one", "raw"] = "mean-one"


class DatasetConfig(Settings):
    """What the round trains on."""

    data: Literal["latest", "aggregate"] = "latest"
    replay_share: float = Field(0.0, ge=0, lt=1)
    """Share of one-turn boost examples (worked solutions) mixed in."""
    drop_truncated: bool = True
    """Replies cut at the token limit are dropped and counted; otherwise they train without an end."""
    deduplicate: bool = True
    """Drop exact repeats of (state, reply)."""
    per_problem: int | None = Field(None, ge=1)
    """At most this many examples a problem and round; None for no limit."""


class EvaluateConfig(Settings):
    """Held-out measurement."""

    turns: int = Field(5, ge=1)
    samples: int = Field(5, ge=1)
    """Parallel turn-1 samples; the first is turn 1 of the run."""
    split: Literal["test", "validation"] = "test"
    n_base: int | None = Field(None, ge=1)
    """Problems for the untouched base; None for all. A base that cannot do the format at all needs few."""
    controls: Literal["all", "last", "none"] = "all"
    """Stages that also get the control with another problem's attempt shown."""


class IterateConfig(Settings):
    rounds: int = Field(2, ge=0)
    start: Literal["base", "boost", "previous"] = "previous"
    """What each round's training starts from."""


class RunConfig(Settings):
    """A whole recipe."""

    name: str = "run"
    seed: int = 0
    deterministic: bool = False
    """Fixed batches, one random stream per reply, fixed threads: byte-equal stage files after any kill."""
    threads: int | None = Field(None, ge=1)
    task: TaskConfig = TaskConfig()
    model: ModelConfig
    state: StateConfig = StateConfig()
    sampling: SamplingConfig = SamplingConfig()
    batch_size: int = Field(128, ge=1)
    """Replies generated together by a `local:` policy."""
    reward: RewardConfig = RewardConfig()
    boost: BoostConfig = BoostConfig(enabled=False)
    rollout: RolloutConfig = RolloutConfig()
    relabel: RelabelConfig = RelabelConfig()
    keep: KeepConfig = KeepConfig()
    weigh: WeighConfig = WeighConfig()
    dataset: DatasetConfig = DatasetConfig()
    train: TrainConfig = TrainConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    iterate: IterateConfig = IterateConfig()

    @model_validator(mode="after")
    def _consistent(self) -> RunConfig:
        if self.relabel.relabel_right != "skip" and self.keep.rule in ("better", "best"):
            raise ValueError(
                f'keep.rule = "{self.keep.rule}" drops every reply that is no better than an earlier one, so what '
                f'relabel.relabel_right = "{self.relabel.relabel_right}" writes after a right attempt would never train. '
                'Use keep.rule = "all" or "success", or relabel.relabel_right = "skip"'
            )
        if self.relabel.relabel_right != "skip" and self.state.feedback == "truthful":
            raise ValueError(
                'state.feedback = "truthful" ends an episode once the reply is right, so relabel.relabel_right has no '
                'state to work on. Set relabel.relabel_right = "skip"'
            )
        if self.dataset.replay_share > 0 and not self.boost.enabled:
            raise ValueError(
                "dataset.replay_share needs boost examples to replay, but boost.enabled = false. "
                "Set dataset.replay_share = 0, or enable the boost"
            )
        if self.boost.enabled and self.boost.disjoint and self.boost.n_problems == "all":
            raise ValueError(
                'boost.n_problems = "all" leaves no problem for the rounds while boost.disjoint = true. '
                "Set boost.disjoint = false, or give boost.n_problems a number"
            )
        if self.rollout.problems == "fresh" and self.task.n_train == "all" and self.rollout.n_problems is None:
            raise ValueError(
                'rollout.problems = "fresh" needs to know how many problems a round takes, but task.n_train = "all". '
                'Set rollout.n_problems, or rollout.problems = "same"'
            )
        if self.model.nano and self.model.nano.max_length > self.train.max_length:
            raise ValueError(
                f"model.nano.max_length = {self.model.nano.max_length} is above train.max_length = {self.train.max_length}"
            )
        return self


def load_recipe(path: Path, *, scale: str | None = None, overrides: Iterable[str] = ()) -> RunConfig:
    """A recipe file, with the overrides of one of its `[scale.NAME]` tables and of `a.b=c` texts.

    Raises `ConfigError` for what is unknown (with the nearest valid name), of the wrong type or impossible.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such recipe. Recipes that come with rise are in recipes/.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}).") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not TOML: {error}.") from error
    scales = data.pop("scale", {})
    if scale is not None:
        if scale not in scales:
            raise ConfigError(f'{path} has no scale "{scale}". {did_you_mean(scale, scales)}')
        data = _merge(data, scales[scale])
    for override in overrides:
        data = _replace(data, parse_override(override))
    return build_config(data, str(path))


def build_config(data: Mapping[str, Any], source: str = "settings") -> RunConfig:
    """`RunConfig` from plain data, pydantic's errors said in one readable text."""
    return validated(RunConfig, data, source)


def validated(model: type[Record], data: Mapping[str, Any], source: str) -> Record:
    """One settings record from plain data, with the same errors as a recipe's."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise ConfigError(f"{source}: {_explain(error.errors(), model)}") from None


def to_toml(config: RunConfig) -> str:
    """The resolved recipe; `rise run` on the text repeats the run."""
    lines: list[str] = []
    _write_table(config.model_dump(mode="json", exclude_none=True), (), lines)
    return "\n".join(lines).strip() + "\n"


def differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Dotted names whose values differ, as `name: old → new`."""
    found = []
    for key in sorted(set(old) | set(new)):
        name = f"{prefix}{key}"
        a, b = old.get(key), new.get(key)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            found += differences(a, b, name + ".")
        elif a != b:
            found.append(f"{name}: {json.dumps(a)} → {json.dumps(b)}")
    return found


def _merge(base: Mapping[str, Any], top: Mapping[str, Any]) -> dict[str, Any]:
    out = dict(base)
    for key, value in top.items():
        old = out.get(key)
        out[key] = _merge(old, value) if isinstance(value, Mapping) and isinstance(old, Mapping) else value
    return out


def _replace(base: Mapping[str, Any], top: Any) -> dict[str, Any]:
    """Like `_merge` down the named path, but what stands at its end replaces: kinds={sum=1} means sums only."""
    [(key, value)] = top.items()
    if isinstance(value, _Path):
        old = base.get(key)
        return {**base, key: _replace(old if isinstance(old, Mapping) else {}, value)}
    return {**base, key: value}


class _Path(dict[str, Any]):
    """A step of a dotted name, as told from a table given as a value."""


def parse_override(text: str) -> dict[str, Any]:
    """`a.b=c` as nested plain data; the value is read as TOML, a bare word as a string.

    >>> parse_override("relabel.n_samples=16"), parse_override("name=my-run")
    ({'relabel': {'n_samples': 16}}, {'name': 'my-run'})
    """
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise ConfigError(f"--set {text}: write it as name=value, for example --set relabel.n_samples=16.")
    try:
        parsed = tomllib.loads(f"v = {value.strip()}")["v"]
    except tomllib.TOMLDecodeError:
        parsed = value.strip()  # a bare word is a string, so that nobody has to quote inside quotes
    nested: Any = parsed
    for part in reversed(name.strip().split(".")):
        nested = _Path({part: nested})
    return nested


def _explain(errors: Iterable[Any], root: type[BaseModel]) -> str:
    """One line a setting; what its alternatives object to (a number, or "all") is joined with `or`."""
    messages: dict[str, list[str]] = {}
    for item in errors:
        where, model = _place(item["loc"], root)
        name = ".".join(where)
        if item["type"] == "extra_forbidden":
            wrong = str(item["loc"][-1])
            messages[f"unknown setting {'.'.join([*where, wrong])}. {did_you_mean(wrong, model.model_fields)}"] = []
            continue
        shown = "" if item["type"] == "value_error" or isinstance(item["input"], dict) else f" = {item['input']!r}"
        messages.setdefault(f"{name}{shown}: " if name else "", []).append(item["msg"].removeprefix("Value error, "))
    return "\n".join(head + ", or ".join(texts) + ("." if texts else "") for head, texts in messages.items())


def _place(loc: Iterable[Any], root: type[BaseModel]) -> tuple[list[str], Any]:
    """Field names of an error's place, and the record they lead into; pydantic's names for alternatives left out."""
    where: list[str] = []
    model: Any = root
    for part in map(str, loc):
        if model is None or part not in model.model_fields:
            break
        where.append(part)
        annotation = model.model_fields[part].annotation
        options = [annotation, *getattr(annotation, "__args__", ())]
        model = next((o for o in options if isinstance(o, type) and issubclass(o, BaseModel)), None)
    return where, model


def _write_table(data: Mapping[str, Any], path: tuple[str, ...], lines: list[str]) -> None:
    plain = {k: v for k, v in data.items() if not isinstance(v, Mapping)}
    tables = {k: v for k, v in data.items() if isinstance(v, Mapping)}
    if path and (plain or not tables):
        lines.append(f"\n[{'.'.join(map(_key, path))}]")
    lines += [f"{_key(key)} = {_value(value)}" for key, value in plain.items()]
    for key, table in tables.items():
        _write_table(table, (*path, key), lines)


def _key(key: str) -> str:
    bare = key.isascii() and key.replace("_", "").replace("-", "").isalnum()
    return key if bare else _value(key)


def _value(value: Any) -> str:
    if value is None:
        raise ConfigError('a setting is None, but TOML has no null. Leave it out for the default, or say what you mean: "" or 0.')
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items()) + " }"
    # TOML's basic strings, numbers and booleans are JSON's, but for one character.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
