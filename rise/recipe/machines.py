"""Settings of what computes: the model, the engine that generates, HTTP servers, a Ray cluster."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from rise.recipe.bases import resolved
from rise.recipe.endpoints import looks_like_a_key
from rise.recipe.rules import CLUSTER, check
from rise.recipe.settings import Settings, one_of


class NanoConfig(Settings):
    """A Llama of about a million parameters with a character tokenizer and random weights."""

    hidden: int = Field(128, ge=8)
    """Width of the hidden states. Unit: dimensions."""
    layers: int = Field(4, ge=1)
    """Number of decoder layers."""
    heads: int = Field(4, ge=1)
    """Number of attention heads."""
    kv_heads: int = Field(4, ge=1)
    """Number of key-value heads; fewer than `heads` is grouped-query attention."""
    intermediate: int = Field(384, ge=8)
    """Width inside the feed-forward layers. Unit: dimensions."""
    max_length: int = Field(512, ge=32)
    """Length of the context, prompt and reply together. Unit: tokens."""


class LoraConfig(Settings):
    """Low-rank adapters (peft). The checkpoint written is the merged model."""

    rank: int = Field(16, ge=1)
    """Rank of the adapter matrices."""
    alpha: float = Field(32.0, gt=0)
    """The adapters' output is multiplied by alpha / rank."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout on the adapters' input. Unit: probability."""
    target_modules: str | list[str] = "all-linear"
    """Which layers get adapters, as peft names them: a pattern, a list of names, or `all-linear`."""
    quantize: Literal["nf4", "int8"] | None = None
    """QLoRA: the base is held in 4 or 8 bits while the adapters train, which needs a GPU and bitsandbytes; they are merged
    into its full weights."""


class ModelConfig(Settings):
    """The base model: a directory or hub name, a GGUF file, or a nano model with random weights."""

    path: str | None = None
    """A transformers directory, a hub name, or `base:NAME`, a nano base that comes with the package. Give this or
    `[model.nano]`."""
    gguf_file: str | None = None
    """File name inside `path`, for models that come as GGUF."""
    nano: NanoConfig | None = None
    """Make a small model from scratch, in place of `path`."""
    chat_format: str | None = None
    """`chatml`, `llama-2`, `llama-3` or `mistral` (`rise.play.formats`), in place of the tokenizer's own
    template; None keeps that."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Of generation, and of the weights in training when `train.masters` keeps float32 copies."""
    lora: LoraConfig | None = None
    """Train low-rank adapters; None trains all weights."""

    @property
    def place(self) -> str:
        """Where the model lies: `path`, or the directory of a base that comes with the package; empty for a nano model."""
        return resolved(self.path or "")

    @model_validator(mode="after")
    def _one_source(self) -> ModelConfig:
        if self.path is not None and not self.path.strip():
            raise ValueError("model.path is empty. Write a directory, a hub name or base:NAME")
        if (self.path is None) == (self.nano is None):
            raise ValueError("give exactly one of model.path (a directory or hub name) and [model.nano]")
        return self


class EngineConfig(Settings):
    """What generates with the run's own checkpoints."""

    kind: Literal["local", "vllm", "auto"] = "local"
    """`local`: transformers in this process; `vllm`: a server that rise starts and stops; `auto`: vllm where its Python
    environment exists, else local."""
    captured: bool = False
    """`local:` decodes over slots of fixed length, on a GPU as a captured graph, where the model allows it and batches are not
    fixed (`deterministic`)."""
    python: str = ".venv-vllm/bin/python"
    """Path of a Python that has vLLM, which pins other versions than rise. `make venv-vllm` makes one in a clone; elsewhere
    `rise recipes copy vllm_env.py` and `python vllm_env.py .venv-vllm`."""
    args: list[str] = Field([])
    """More words for `vllm serve`, such as ["--gpu-memory-utilization", "0.8"]."""
    concurrency: int = Field(256, ge=1)
    """Requests in flight at once; the engine batches them. Unit: requests."""
    start_timeout_s: float = Field(900.0, gt=0)
    """How long a start may take; the first one on a machine compiles. Unit: seconds."""
    request_timeout_s: float = Field(1200.0, gt=0)
    """How long one reply may take, waiting in the engine's queue included. Unit: seconds."""
    probe: bool = True
    """Compare log-probabilities of a text with transformers' on the same checkpoint, to prove that it serves the new weights."""


class HttpConfig(Settings):
    """How `http:` policies (teachers, evaluated endpoints) are asked."""

    concurrency: int = Field(32, ge=1)
    """Requests in flight at once, for each base URL. Unit: requests."""
    requests_per_minute: int | None = Field(None, ge=1)
    """Rate limit for each base URL; None for none. Unit: requests per minute."""
    tokens_per_minute: int | None = Field(None, ge=1)
    """Rate limit for each base URL, prompt and reply together, as the server counts them; None for none. Unit: tokens per
    minute."""
    attempts: int = Field(8, ge=1)
    """How many times one request is sent before the run stops."""
    timeout_s: float = Field(120.0, gt=0)
    """How long one reply may take, to its last byte. Unit: seconds."""
    key: str = "OPENAI_API_KEY"
    """Name of the environment variable that holds the API key; the key itself is written to no file."""
    key_header: str = Field("Authorization", pattern=r"^[A-Za-z][A-Za-z0-9-]*$")
    """Header that carries the key: `Authorization` as `Bearer KEY`, any other, such as `api-key`, as it is."""
    leave_out: list[Literal["temperature", "top_p", "seed", "max_tokens"]] = Field([])
    """Parameters that are not sent, for endpoints that refuse them: what is left out, the server decides."""

    @field_validator("key")
    @classmethod
    def _a_variable(cls, name: str) -> str:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) or looks_like_a_key(name):
            # Without the value: who mistakes this for the place of the key has written it there.
            raise ValueError(
                "http.key is the name of an environment variable, such as OPENAI_API_KEY, and what was given is none (it is not "
                "shown, since it may be a key). Put the key into that variable"
            )
        return name


TRACKERS = {"wandb": "wandb", "trackio": "trackio", "mlflow": "mlflow", "tensorboard": "tensorboard"}
"""Where numbers can go besides the run directory, and the package each needs."""


class TrackConfig(Settings):
    """Trackers that hear of a run: its parts, its stages, its report. What each training logs: `train.arguments.report_to`."""

    to: list[Annotated[str, one_of(TRACKERS)]] = Field([])
    """`wandb`, `trackio`, `mlflow`, `tensorboard`: any of them. Accounts and places are as their own variables say."""
    project: str = "rise"
    """The project, or experiment, that the run is filed under."""
    name: str | None = None
    """The run's name there; None: that of its directory."""


class ClusterConfig(Settings):
    """A Ray cluster: replicas of the policy reply on it, training runs on it, this process keeps the run directory."""

    address: str = "auto"
    """`auto`: the cluster that this machine is a node of; `local`: a cluster made of this machine's processors; or HOST:PORT."""
    storage: str | None = None
    """Where models and unfinished training are handed over: an fsspec URL (`s3://bucket/folder`) or a directory that every
    node sees. None: the run directory, which every node must then see."""
    replicas: int | Literal["all"] = "all"
    """Copies of the policy. `all`: as many as fit when a part of a stage begins. A number above what fits: the rest join when
    nodes do, also in mid-stage."""
    min_replicas: int = Field(1, ge=1)
    """A part of a stage begins when this many replicas are ready."""
    cpus_per_replica: float = Field(1.0, gt=0)
    """Processors that Ray reserves for one replica. Unit: CPUs."""
    gpus_per_replica: float = Field(0.0, ge=0)
    """GPUs that Ray reserves for one replica; a fraction shares one. Unit: GPUs."""
    tensor_parallel: int = Field(1, ge=1)
    """GPUs of one node that share one model in a vLLM replica. Unit: GPUs."""
    judges: int = Field(0, ge=0)
    """Judging processes on the cluster, for slow judges (tests of programs, computer algebra). 0: the driver judges."""
    workers: int = Field(1, ge=1)
    """Processes that train together."""
    min_workers: int | None = Field(None, ge=1)
    """Elastic training: goes on with this many workers when more cannot be had, and grows again. None: always `workers`."""
    cpus_per_worker: float = Field(1.0, gt=0)
    """Processors that Ray reserves for one training worker. Unit: CPUs."""
    gpus_per_worker: float = Field(0.0, ge=0)
    """GPUs that Ray reserves for one training worker. Unit: GPUs."""
    restarts: int = Field(3, ge=0)
    """How many times one replica is restarted after it died, and how many times one training is."""
    wait_s: float = Field(600.0, gt=0)
    """How long to wait for the first replicas, or for any to come back, before the run stops. Unit: seconds."""

    @model_validator(mode="after")
    def _possible(self) -> ClusterConfig:
        return check(self, CLUSTER)
