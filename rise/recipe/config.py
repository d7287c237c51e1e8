"""A recipe: one settings record per stage, and `RunConfig` that holds them all. `toml.py` reads it and writes it back.

Every field has a sentence below it, which ends in its unit where it has one; `docs/settings.md` is made from them.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from rise.recipe.examples import IterateConfig, KeepConfig, WeighConfig
from rise.recipe.improvers import IMPROVERS
from rise.recipe.learning import AdvantageConfig, DatasetConfig, DistilConfig, DpoConfig, LossConfig
from rise.recipe.machines import ClusterConfig, EngineConfig, HttpConfig, ModelConfig, TrackConfig
from rise.recipe.rules import RELABEL, RUN, check
from rise.recipe.settings import Settings, one_of
from rise.recipe.verify import VerifyConfig
from rise.recipe.wordings import feedback_mode, with_preset

Count = Annotated[int, Field(ge=1)] | Literal["all"]


class FilterConfig(Settings):
    """Training problems by difficulty: how often a model was right on each, as a run or an evaluation found."""

    pass_rate: list[float] = Field(min_length=2, max_length=2)
    """The least and the largest share of replies that were right; both ends count. Unit: share."""
    rates: str
    """Where the shares come from: a run, a stage, what `rise evaluate --split train --out` wrote, or a .jsonl of `id` and
    `pass_rate`."""

    @model_validator(mode="after")
    def _in_order(self) -> FilterConfig:
        low, high = self.pass_rate
        if not 0 <= low <= high <= 1:
            raise ValueError(f"task.filter.pass_rate = [{low:g}, {high:g}]: write two shares from 0 to 1, the smaller one first")
        return self


class TaskConfig(Settings):
    """Where problems come from."""

    name: str = "arithmetic"
    """A task's name: `gsm8k`, `math`, `jsonl`, … (docs/tasks.md)."""
    settings: dict[str, Any] = Field({})
    """That task's own settings: kinds, digits, path, … (docs/tasks.md)."""
    n_train: Count = 6000
    """Training problems; `all` takes every one there is. Generated tasks have no end and refuse `all`. The default counts of
    these three mean at most: a file that holds fewer gives all it has. Any other number must be there. Unit: problems."""
    n_validation: Count = 500
    """Validation problems, for choosing settings; no round trains on them. Unit: problems."""
    n_test: Count = 2000
    """Test problems, on which every stage is measured. Unit: problems."""
    filter: FilterConfig | None = None
    """Train on the problems of a difficulty alone; None: on all."""


class RewardConfig(Settings):
    """Verdict → reward. Binary as in the paper §4.1; the reference code's GSM8K uses -1 for unparsable."""

    right: float = 1.0
    """Reward of a reply that the judge calls right."""
    wrong: float = 0.0
    """Reward of a reply whose answer is wrong."""
    unparsable: float = 0.0
    """Reward of a reply in which the judge finds no answer."""
    timed_out: float = 0.0
    """Reward of a reply that took the judge too long."""


class SamplingConfig(Settings):
    """How replies are drawn, in collection and in evaluation."""

    temperature: float = Field(1.0, ge=0)
    """Divides the logits before sampling; 0 takes the most probable token."""
    top_p: float = Field(1.0, gt=0, le=1)
    """Samples from the smallest set of tokens that has this much probability. Unit: probability."""
    max_new_tokens: int = Field(512, ge=1)
    """Longest reply; longer ones are cut. Unit: tokens."""


class Demonstration(Settings):
    """One worked example, shown as an exchange before every problem: the one-shot prompt of the paper."""

    question: str
    """The example's question."""
    reply: str
    """The example's worked reply, in the format that the instructions ask for."""
    lead: str = "{question}"
    """The user message that leads from the example to the problem; `{question}` stands for the problem."""

    @model_validator(mode="after")
    def _leads_to_the_problem(self) -> Demonstration:
        if "{question}" not in self.lead:
            raise ValueError("lead must hold {question}, or the problem would never be shown")
        return self


class StateConfig(Settings):
    """What the model is shown (`rise.play.prompt.Prompt`)."""

    preset: Literal["paper"] | None = None
    """`paper`: the published wording for each field below that is not set (`rise.recipe.wordings`)."""
    demonstration: Demonstration | bool = False
    """A worked example before every problem; true takes the built-in one in mathematics. False: none."""
    instructions: str | None = None
    """System text; None takes the task's. An empty string means none at all."""
    feedback: str = "always-wrong"
    """`always-wrong` (as published), `neutral`, `truthful`, `self-refine` (the model criticises its attempt), `environment`
    (what the judge found: an observation, the first test that fails), or `module:function`."""
    feedback_text: str | None = None
    """Wording of the feedback in place of the mode's; `{question}` stands for the question."""
    critique_text: str | None = None
    """What asks for the critique under `self-refine`; None takes the built-in text."""
    window: int | Literal["all"] = "all"
    """Number of most recent attempts shown; 0 shows none. Unit: attempts."""
    verify: VerifyConfig | bool = False
    """Section [state.verify]: the model says whether its attempt is right, and a run ends when it says so; true takes the
    built-in words. False: it is not asked."""

    @model_validator(mode="before")
    @classmethod
    def _preset(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        return with_preset({**data, "verify": {}} if data.get("verify") is True else data)

    @model_validator(mode="after")
    def _known_mode(self) -> StateConfig:
        feedback_mode(self.feedback)
        if self.window != "all" and self.window < 0:
            raise ValueError(f'state.window = {self.window}: use 0 (no attempt shown), a count, or "all"')
        return self


class TrainConfig(Settings):
    """One fine-tuning run."""

    epochs: float = Field(2.0, gt=0)
    """Passes over the examples. Unit: epochs."""
    max_steps: int | None = Field(None, ge=1)
    """Stops earlier than `epochs` if set. Unit: optimiser steps."""
    trained_tokens: int | None = Field(None, ge=1)
    """Trains on this many target tokens, counted over epochs, in place of `epochs`. Unit: tokens."""
    batch_size: int = Field(64, ge=1)
    """Examples per optimiser step over all devices; gradient accumulation follows from it. Unit: examples."""
    learning_rate: float = Field(1e-5, gt=0)
    """Peak learning rate, after the warm-up."""
    warmup_ratio: float = Field(0.04, ge=0, lt=1)
    """Share of all steps in which the learning rate rises to its peak. With n such steps the first has 1/(n + 1) of it: none has
    0."""
    schedule: str = "cosine"
    """Learning rate schedule, as transformers names it (`cosine`, `linear`, `constant`, …)."""
    weight_decay: float = Field(0.0, ge=0)
    """Decoupled weight decay of every weight that trains, norms and biases too, with every optimiser."""
    max_grad_norm: float = Field(1.0, ge=0)
    """Gradients are clipped to this norm; 0 clips nothing."""
    per: Literal["token", "sequence"] = "token"
    """What the loss is divided by: trained tokens (the paper's sum of log-probabilities) or examples (the reference
    code)."""
    max_length: int = Field(2048, ge=8)
    """Examples longer than this, prompt and reply, are dropped and counted. Unit: tokens."""
    line_length: int = Field(512, ge=8)
    """Rows are packed into lines of about this length; a longer row gets a line to itself. Unit: tokens."""
    micro_batch_tokens: int = Field(8192, ge=8)
    """Most tokens in one forward pass on one device. Unit: tokens."""
    merge: bool = True
    """Examples whose prompt extends an earlier one exactly become one row."""
    optimizer: Literal["adamw", "muon"] = "adamw"
    """`muon` is for models trained from random weights (`rise.training.optimizers`); adapters, masters and shards go with
    `adamw`."""
    attention: Literal["auto", "sdpa", "eager", "flex", "flash", "varlen"] = "auto"
    """Attention kernel. `auto`: flash attention of variable length on a GPU in half precision (flash-attn's where that is
    installed, else torch's own, `varlen`), else SDPA. `varlen` elsewhere: each row by itself, without a mask."""
    compile: bool = False
    """Compile each decoder layer, and what is computed of a chunk's logits (torch.compile); the first steps wait for it."""
    launcher: str | None = None
    """Start training under this on several devices, e.g. `torchrun --nproc-per-node 4`; None trains in this process."""
    masters: bool = False
    """Train bfloat16 weights with float32 master copies in the optimiser."""
    save_steps: int = Field(0, ge=0)
    """Write a checkpoint to resume from every so many steps; 0 restarts an interrupted training. Unit: optimiser steps."""
    loss: LossConfig = LossConfig()
    """Section [train.loss]."""
    dpo: DpoConfig | None = None
    """Section [train.dpo]: train on preference pairs, through TRL, in place of weighted replies."""
    arguments: dict[str, Any] = Field({})
    """Any other field of `transformers.TrainingArguments`, such as { report_to = "wandb" }."""

    @property
    def whole_matrices(self) -> bool:
        """Whether the optimiser needs whole float32 matrices: no adapters, no float32 masters, no shards."""
        return self.optimizer == "muon"

    @model_validator(mode="after")
    def _optimizer_possible(self) -> TrainConfig:
        if self.whole_matrices and self.masters:
            raise ValueError('train.optimizer = "muon" keeps no float32 copies. Set train.masters = false, or use "adamw"')
        return self


class BoostConfig(Settings):
    """Supervised training that teaches a weak base the format and the task before the rounds (paper §4.4)."""

    enabled: bool = True
    """Train the boost before the rounds; it needs worked solutions."""
    reuse: str | None = None
    """A finished run whose base and boost are copied instead of trained again, to compare improvers from one start."""
    also_one_turn: bool = True
    """Also train and report a boost without multi-turn examples, since a model that never saw the format is no baseline."""
    n_problems: Count = 20000
    """Training problems of the boost; `all` takes every one, and then `disjoint` must be off. Unit: problems."""
    multi_turn_share: float = Field(0.3, ge=0, lt=1)
    """Share of examples that show an attempt and the worked solution after it."""
    disjoint: bool = True
    """The rounds use other training problems than the boost. Turn it off where problems are few."""
    right_share: float = Field(0.3, ge=0, le=1)
    """At most this share of the multi-turn examples shows an attempt that was already right."""
    start: Literal["base", "one-turn"] = "one-turn"
    """What the boost with multi-turn examples is trained from."""
    material: Literal["solutions", "skills"] = "solutions"
    """What the one-turn boost trains on: worked solutions, or the task's `skills` (`rise.tasks.skills`), which make a nano
    base."""
    train: TrainConfig = TrainConfig()
    """Training of the boost; the fields of [train]."""
    train_multi_turn: TrainConfig | None = None
    """Training of the boost with multi-turn examples; None uses `train`."""


class RolloutConfig(Settings):
    """Collection: the student's own turns on the training problems."""

    turns: int | Literal["round"] = "round"
    """Student turns before the improver: `round` = k in round k, where the published commands have 1 in both; a number
    fixes it. Unit: turns."""
    turns_offset: int = 0
    """Added to `turns`; -1 with turns = "round" gives k - 1, at least 1. Unit: turns."""
    stop_when_right: bool = True
    """An episode ends at its first right reply."""
    problems: Literal["same", "fresh"] = "same"
    """`same`: every round uses the same problems; `fresh`: each round takes the next ones."""
    n_problems: int | None = Field(None, ge=1)
    """Training problems of one round; None uses all of task.n_train. Unit: problems."""
    n_trajectories: int = Field(1, ge=1)
    """Independent trajectories per problem; the paper has one. Unit: trajectories."""
    policy: str | None = None
    """Who takes the turns in place of the student, which makes the data off-policy: a policy spec, or `injected` for worked
    solutions with one digit changed (errors that nobody made; arXiv 2512.02389). None: the student."""
    reuse: bool | Literal["first"] = False
    """Take each round's trajectories and improved replies from the run that `boost.reuse` names, instead of collecting. `first`:
    the first round's alone, which this run would draw too since both have one start; what is later drawn is its own."""


class RelabelConfig(Settings):
    """The improver: who writes a better reply at the states the student reached (paper eq. 4.4, 4.5)."""

    improver: Annotated[str, one_of(IMPROVERS)] = "self"
    """Who writes the better reply: `self` (best of N samples of the student), `teacher`, `gold` (the worked solution),
    `pair` (a right first reply of the same round behind a wrong one: pair-SFT) or `none` (the student's turns alone:
    STaR)."""
    n_samples: int = Field(8, ge=1)
    """Replies sampled per state, of which `select` takes one. Unit: replies."""
    select: Literal["oracle", "majority", "judge"] = "oracle"
    """`oracle`: the first reply with the highest reward; `majority`: the first with the commonest answer, without gold;
    `judge`: the one that the model in `judge` names."""
    judge: str | None = None
    """Policy spec of the model that chooses under select = "judge"; `self` is the student."""
    teacher: str | None = None
    """Policy spec of the teacher, e.g. `local:runs/teacher/boost/checkpoint` or `https://host/v1#model`."""
    price_prompt: float = Field(0.0, ge=0)
    """What the teacher costs for prompts. Unit: currency per million tokens."""
    price_reply: float = Field(0.0, ge=0)
    """What the teacher costs for replies. Unit: currency per million tokens."""
    budget: float | None = Field(None, gt=0)
    """No further problem is begun once the teacher's replies have cost this much in the run. May be changed when a run is
    continued. Unit: the currency of the prices."""
    states: Literal["last", "every"] = "last"
    """Improve the last state reached (as published) or every state."""
    judge_price_prompt: float = Field(0.0, ge=0)
    """What the model in `judge` costs for prompts. Unit: currency per million tokens."""
    judge_price_reply: float = Field(0.0, ge=0)
    """What it costs for replies. Unit: currency per million tokens."""
    relabel_right: Literal["skip", "keep", "restate"] = "skip"
    """At a state whose last attempt was right: do nothing, ask the improver as elsewhere, or train the attempt itself
    again."""

    @model_validator(mode="after")
    def _possible(self) -> RelabelConfig:
        return check(self, RELABEL)


class EvaluateConfig(Settings):
    """Held-out measurement."""

    turns: int = Field(5, ge=1)
    """Turns of each evaluation run (K). Unit: turns."""
    samples: int = Field(5, ge=1)
    """Parallel turn-1 samples per problem (S); the first is turn 1 of the run. Unit: replies."""
    split: Literal["test", "validation"] = "test"
    """The problems that every stage is measured on."""
    n_base: int | None = Field(None, ge=1)
    """Problems for the untrained base; None for all. A base that cannot do the format needs few. Unit: problems."""
    controls: Literal["all", "last", "none"] = "all"
    """Stages that also get the control with another problem's attempt shown."""
    internalised: bool = False
    """After the last round, also train the improved replies of all rounds at the first turn's state, from where the rounds began
    and on as many tokens, and measure its first replies: what the same data buy without introspection."""
    n_rates: int = Field(0, ge=0)
    """Validation problems that every stage also plays for two turns: the chain (docs/metrics.md) takes its rates from them, so
    that it predicts the test problems. 0, or split = "validation": from the measured problems themselves. Unit: problems."""
    state: StateConfig | None = None
    """What the model is shown in evaluation; None: the same as in collection. Set Self-Refine prompting here."""
    play_on: bool = False
    """Under `state.verify`, also take the turns after the model's own stop, as a control: what they would have cost and found."""
    price_prompt: float = Field(0.0, ge=0)
    """What the measured policy costs for prompts, where it is an endpoint's. Unit: currency per million tokens."""
    price_reply: float = Field(0.0, ge=0)
    """What it costs for replies. Unit: currency per million tokens."""
    gold_probability: bool = False
    """Also score the worked solution at every turn's state: one more forward pass a turn, by a `local:` policy."""


class RunConfig(Settings):
    """A whole recipe."""

    name: str = "run"
    """The run's name; its directory is runs/NAME unless `--out` says otherwise."""
    seed: int = 0
    """Seed of problems, sampling and training."""
    deterministic: bool = False
    """Fixed batches, one random stream per reply, fixed threads: byte-equal stage files after any kill."""
    threads: int | None = Field(None, ge=1)
    """CPU threads of torch; None leaves it to torch, or 2 when `deterministic`. Unit: threads."""
    task: TaskConfig = TaskConfig()
    """Section [task]."""
    model: ModelConfig
    """Section [model]."""
    state: StateConfig = StateConfig()
    """Section [state]."""
    sampling: SamplingConfig = SamplingConfig()
    """Section [sampling]."""
    batch_size: int = Field(128, ge=1)
    """Replies generated together by a `local:` policy. Unit: replies."""
    engine: EngineConfig = EngineConfig()
    """Section [engine]."""
    http: HttpConfig = HttpConfig()
    """Section [http]."""
    cluster: ClusterConfig | None = None
    """Section [cluster]: draw replies and train on a Ray cluster; None: on this machine."""
    reward: RewardConfig = RewardConfig()
    """Section [reward]."""
    boost: BoostConfig = BoostConfig(enabled=False)
    """Section [boost]; without it there is no boost."""
    rollout: RolloutConfig = RolloutConfig()
    """Section [rollout]."""
    relabel: RelabelConfig = RelabelConfig()
    """Section [relabel]."""
    keep: KeepConfig = KeepConfig()
    """Section [keep]."""
    weigh: WeighConfig = WeighConfig()
    """Section [weigh]."""
    advantage: AdvantageConfig | None = None
    """Section [advantage]: weights by comparison, in place of [keep] and of weigh.rule."""
    distil: DistilConfig | None = None
    """Section [distil]: weights by a teacher that has seen more, in place of [keep] and of weigh.rule."""
    dataset: DatasetConfig = DatasetConfig()
    """Section [dataset]."""
    train: TrainConfig = TrainConfig()
    """Section [train]."""
    evaluate: EvaluateConfig = EvaluateConfig()
    """Section [evaluate]."""
    iterate: IterateConfig = IterateConfig()
    """Section [iterate]."""
    track: TrackConfig = TrackConfig()
    """Section [track]."""

    @model_validator(mode="after")
    def _consistent(self) -> RunConfig:
        return check(self, RUN)
