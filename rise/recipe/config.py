"""A recipe: one settings record per stage. `recipe.py` reads it from TOML and writes it back."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from rise.recipe.wordings import with_preset


class Settings(BaseModel):
    """Base of all settings: unknown keys are refused, values are not silently converted (a whole number may be a fraction)."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, validate_default=True, allow_inf_nan=False)


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
    quantize: Literal["nf4", "int8"] | None = None
    """QLoRA: the base in 4 or 8 bits while adapters train (a GPU and bitsandbytes); they are merged into its full weights."""


class ModelConfig(Settings):
    """The base model: a directory or hub name, a GGUF file, or a nano model from nothing."""

    path: str | None = None
    gguf_file: str | None = None
    """File name inside `path`, for models that come as GGUF."""
    nano: NanoConfig | None = None
    chat_format: str | None = None
    """`chatml`, `llama-2`, `llama-3` or `mistral` (`rise.play.formats`), in place of the tokenizer's own
    template; None keeps that."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of generation, and of the weights in training when `train.masters` keeps float32 copies."""
    lora: LoraConfig | None = None
    """None trains all weights."""

    @model_validator(mode="after")
    def _one_source(self) -> ModelConfig:
        if (self.path is None) == (self.nano is None):
            raise ValueError("give exactly one of model.path (a directory or hub name) and [model.nano]")
        return self


class EngineConfig(Settings):
    """What generates with the run's own checkpoints."""

    kind: Literal["local", "vllm", "auto"] = "local"
    """`local`: transformers in this process; `vllm`: a server we start; `auto`: vllm where its environment is, else local."""
    python: str = ".venv-vllm/bin/python"
    """A Python that has vLLM (`make venv-vllm`): its pins are not ours."""
    args: list[str] = []
    """More words for `vllm serve`, such as ["--gpu-memory-utilization", "0.8"]."""
    concurrency: int = Field(256, ge=1)
    """Requests under way at once; the engine makes its batches of them."""
    start_timeout_s: float = Field(900.0, gt=0)
    """How long a start may take; the first on a machine compiles."""
    request_timeout_s: float = Field(1200.0, gt=0)
    """How long one reply may take, waiting in the engine's queue included."""
    probe: bool = True
    """Compare log-probabilities of a text with transformers' on the same checkpoint, to prove that it serves the new weights."""


class HttpConfig(Settings):
    """How `http:` policies (teachers, evaluated endpoints) are asked."""

    concurrency: int = Field(32, ge=1)
    """Requests under way at once, for each base URL."""
    requests_per_minute: int | None = Field(None, ge=1)
    tokens_per_minute: int | None = Field(None, ge=1)
    """Prompt and reply together, as the server counts them."""
    attempts: int = Field(8, ge=1)
    """Times one request is sent before the run stops."""
    timeout_s: float = Field(120.0, gt=0)
    """For one reply, to its last byte."""
    key: str = Field("OPENAI_API_KEY", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """Name of the environment variable that holds the key; the key itself stands in no file."""


class ClusterConfig(Settings):
    """A Ray cluster: replicas of the policy reply on it, training runs on it, this process keeps the run directory."""

    address: str = "auto"
    """`auto`: the cluster that this machine is a node of; `local`: one of this machine's own processors; or HOST:PORT."""
    storage: str | None = None
    """Where models and unfinished training are handed over: None, the run directory, which every node must see; else a URL of
    fsspec (`s3://bucket/folder`) or a directory that every node sees."""
    replicas: int | Literal["all"] = "all"
    """Copies of the policy. `all`: as many as fit when a part of a stage begins. A number above what fits: the rest join when
    nodes do, also in mid-stage."""
    min_replicas: int = Field(1, ge=1)
    """A part begins when so many are there."""
    cpus_per_replica: float = Field(1.0, gt=0)
    gpus_per_replica: float = Field(0.0, ge=0)
    tensor_parallel: int = Field(1, ge=1)
    """GPUs that share one model in a vLLM replica, all of one node."""
    judges: int = Field(0, ge=0)
    """Processes that judge on the cluster, where that is slow (tests of programs, computer algebra). 0: this process judges."""
    workers: int = Field(1, ge=1)
    """Processes that train together."""
    min_workers: int | None = Field(None, ge=1)
    """Elastic training: goes on with so many where no more can be had, and grows again. None: always `workers`."""
    cpus_per_worker: float = Field(1.0, gt=0)
    gpus_per_worker: float = Field(0.0, ge=0)
    restarts: int = Field(3, ge=0)
    """Times that one replica is started again after it died, and that one training is."""
    wait_s: float = Field(600.0, gt=0)
    """How long to wait for the first replicas, or for any to come back, before the run stops."""

    @model_validator(mode="after")
    def _possible(self) -> ClusterConfig:
        if self.replicas != "all" and self.replicas < 1:
            raise ValueError(f'cluster.replicas = {self.replicas}: use a count from 1, or "all"')
        if self.replicas != "all" and self.replicas < self.min_replicas:
            raise ValueError(
                f"cluster.min_replicas = {self.min_replicas} is above cluster.replicas = {self.replicas}, so no part would ever "
                "begin. Lower it, or raise cluster.replicas"
            )
        if self.tensor_parallel > 1 and self.gpus_per_replica != self.tensor_parallel:
            raise ValueError(
                f"cluster.tensor_parallel = {self.tensor_parallel} spreads a replica over as many GPUs, but "
                f"cluster.gpus_per_replica = {self.gpus_per_replica:g}. Set it to {self.tensor_parallel}"
            )
        if self.min_workers is not None and self.min_workers > self.workers:
            raise ValueError(
                f"cluster.min_workers = {self.min_workers} is above cluster.workers = {self.workers}. Lower it, or raise that"
            )
        if self.address.startswith("ray://"):
            raise ValueError(
                f'cluster.address = "{self.address}" is the port of Ray Client, which cannot launch training. Start rise on a '
                'machine of the cluster (by hand or with `ray job submit`) with cluster.address = "auto"'
            )
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


class Demonstration(Settings):
    """One worked example, shown as an exchange before every problem: the one-shot prompt of the paper."""

    question: str
    reply: str
    lead: str = "{question}"
    """What leads over from the example; `{question}` stands for the problem."""

    @model_validator(mode="after")
    def _leads_to_the_problem(self) -> Demonstration:
        if "{question}" not in self.lead:
            raise ValueError("lead must hold {question}, or the problem would never be shown")
        return self


class StateConfig(Settings):
    """What the model is shown (`rise.play.prompt.Prompt`)."""

    preset: Literal["paper"] | None = None
    """`paper`: the published wording, for whatever of the fields below is not set (`rise.recipe.wordings`)."""
    demonstration: Demonstration | bool = False
    """A worked example before every problem; true takes one of ours in mathematics. False: none."""
    instructions: str | None = None
    """System text; None takes the task's own. An empty string means none at all."""
    feedback: str = "always-wrong"
    """`always-wrong` (as published), `neutral`, `truthful`, `self-refine` (the model criticises its attempt), or
    `module:function`."""
    feedback_text: str | None = None
    critique_text: str | None = None
    """What asks for the critique under `self-refine`; None takes our own words."""
    window: int | Literal["all"] = "all"
    """Number of most recent attempts shown."""

    @model_validator(mode="before")
    @classmethod
    def _preset(cls, data: Any) -> Any:
        return with_preset(data) if isinstance(data, dict) else data

    @model_validator(mode="after")
    def _known_mode(self) -> StateConfig:
        if self.feedback not in ("always-wrong", "neutral", "truthful", "self-refine") and ":" not in self.feedback:
            raise ValueError(
                f'state.feedback = "{self.feedback}" is no mode. Use always-wrong, neutral, truthful, self-refine or '
                "module:function"
            )
        if self.window != "all" and self.window < 0:
            raise ValueError(f'state.window = {self.window}: use 0 (no attempt shown), a count, or "all"')
        return self


class TrainConfig(Settings):
    """One fine-tuning run."""

    epochs: float = Field(2.0, gt=0)
    max_steps: int | None = Field(None, ge=1)
    """Stops earlier than `epochs` if set."""
    trained_tokens: int | None = Field(None, ge=1)
    """Trains on this many target tokens, epochs counted from it, in place of `epochs`."""
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
    optimizer: Literal["adamw", "muon"] = "adamw"
    """`muon`: for models trained from nothing (`rise.training.muon`); adapters, masters and shards go with `adamw`."""
    attention: Literal["auto", "sdpa", "eager", "flex", "flash"] = "auto"
    """`auto`: varlen flash attention where a GPU and flash-attn are, else SDPA."""
    launcher: str | None = None
    """Start training under this on several devices, e.g. `torchrun --nproc-per-node 4`; None trains in this process."""
    masters: bool = False
    """Train bfloat16 weights with float32 master copies in the optimiser."""
    save_steps: int = Field(0, ge=0)
    """Write a checkpoint to continue from every so many steps; 0 redoes an interrupted training from its start."""
    arguments: dict[str, Any] = {}
    """Any other field of `transformers.TrainingArguments`."""

    @model_validator(mode="after")
    def _optimizer_possible(self) -> TrainConfig:
        if self.optimizer == "muon" and self.masters:
            raise ValueError('train.optimizer = "muon" keeps no float32 copies. Set train.masters = false, or use "adamw"')
        return self


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
    n_trajectories: int = Field(1, ge=1)
    """Independent trajectories per problem; the paper has one."""
    reuse: bool = False
    """Take each round's trajectories and improved replies from the run that `boost.reuse` names, instead of collecting."""


class RelabelConfig(Settings):
    """The improver: who writes a better reply at the states the student reached (paper eq. 4.4, 4.5)."""

    improver: Literal["self", "teacher", "gold", "pair", "none"] = "self"
    """`pair`: a right first reply of the same round behind a wrong one (pair-SFT). `none`: the student's turns alone (STaR)."""
    n_samples: int = Field(8, ge=1)
    """Replies sampled per state, of which `select` takes one."""
    select: Literal["oracle", "majority", "judge"] = "oracle"
    """The first with the highest reward; the first with the commonest answer, gold unseen; or the one that a model names."""
    judge: str | None = None
    """Policy spec of the model that is asked to choose under select = "judge"; `self` is the student."""
    teacher: str | None = None
    """Policy spec of the teacher, e.g. `local:runs/teacher/boost/checkpoint`."""
    price_prompt: float = Field(0.0, ge=0)
    """What the teacher costs per million prompt tokens, in any currency."""
    price_reply: float = Field(0.0, ge=0)
    """And per million reply tokens."""
    budget: float | None = Field(None, gt=0)
    """No more of the run's problems are begun once the teacher's replies have cost this much. May be changed in a run."""
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
        if self.select != "oracle" and self.improver in ("self", "teacher") and self.n_samples < 2:
            raise ValueError(f'relabel.select = "{self.select}" has nothing to choose from: relabel.n_samples = {self.n_samples}')
        if self.budget is not None and not (self.price_prompt or self.price_reply):
            raise ValueError(
                f"relabel.budget = {self.budget:g} without prices never ends anything: set relabel.price_prompt and "
                "relabel.price_reply, per million tokens"
            )
        if self.select == "judge" and not self.judge:
            raise ValueError('relabel.select = "judge" needs relabel.judge, a policy spec, or "self" for the student')
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

    rule: Literal["exp", "equal"] = "exp"
    """`equal`: every example weighs the same, whatever its reward: plain supervised fine-tuning."""
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
    state: StateConfig | None = None
    """What the model is shown in evaluation; None: the same as in collection. Self-Refine prompting is set here."""
    gold_probability: bool = False
    """Also score the worked solution at every turn's state: one more forward pass a turn, by a `local:` policy."""


class IterateConfig(Settings):
    rounds: int = Field(2, ge=0)
    start: Literal["base", "boost", "previous"] = "previous"
    """What each round's training starts from."""
    match_tokens: bool = False
    """Train each round on as many tokens as the same round of the run that `boost.reuse` names, the last on what is left:
    baselines at equal training."""


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
    engine: EngineConfig = EngineConfig()
    http: HttpConfig = HttpConfig()
    cluster: ClusterConfig | None = None
    """Where replies are drawn and training runs beyond this machine; None: here."""
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
        if self.relabel.improver == "pair" and (self.rollout.turns != 1 or self.rollout.n_trajectories < 2):
            raise ValueError(
                'relabel.improver = "pair" sets right first replies behind wrong ones, so it needs several of them: set '
                "rollout.turns = 1 and rollout.n_trajectories to 2 or more"
            )
        if self.relabel.improver == "none" and self.keep.trained_turns == "last":
            raise ValueError(
                'keep.trained_turns = "last" trains the improver alone, but relabel.improver = "none". Set '
                'keep.trained_turns = "all"'
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
        trainings = (self.train, self.boost.train, self.boost.train_multi_turn or self.train)
        if self.model.lora and any(training.optimizer == "muon" for training in trainings):
            raise ValueError(
                'train.optimizer = "muon" is for whole matrices, and model.lora trains thin ones. Use "adamw", or no [model.lora]'
            )
        if self.deterministic and self.engine.kind == "vllm":
            raise ValueError(
                'engine.kind = "vllm" makes its batches of whatever is waiting, which deterministic = true forbids. '
                'Set deterministic = false, or engine.kind = "local"'
            )
        if self.cluster and any(training.launcher for training in trainings):
            raise ValueError(
                "train.launcher starts training on this machine, and [cluster] on the cluster: choose one. Leave train.launcher "
                "out, and say with cluster.workers how many processes train"
            )
        if self.cluster and self.cluster.tensor_parallel > 1 and self.engine.kind == "local":
            raise ValueError(
                f'cluster.tensor_parallel = {self.cluster.tensor_parallel} is of vLLM, but engine.kind = "local" keeps a model '
                'on one device. Set engine.kind = "vllm", or tensor_parallel = 1'
            )
        saves = [training.save_steps for training in (trainings if self.boost.enabled else [self.train])]
        if self.cluster and self.cluster.min_workers is not None and not all(saves):
            raise ValueError(
                "cluster.min_workers lets training go on with fewer workers from its last checkpoint, but train.save_steps = 0 "
                "(or that of boost.train) writes none. Set it, or leave cluster.min_workers out"
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
