"""A checkpoint in a vLLM server that we start: prompts go there as token ids, and the ids that were sampled come back.

`vllm serve` runs in its own environment (`engine.python`), since vLLM's pins are not ours. One server at a time; it
is kept for the next part that asks the same weights, and stopped before training (`rise.policies.stop_engines`).
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from rise.errors import FullContext, PolicyError
from rise.play.render import Renderer
from rise.policies.engine import COUNTERS, PLAIN, Engine, on_a_cpu, stop_all
from rise.policies.http_replies import first_choice
from rise.policies.http_servers import Patience, Servers
from rise.policies.http_troubles import Garbled
from rise.policy import Policy, Reply, Request
from rise.recipe.machines import EngineConfig
from rise.recipe.shipped import vllm_environment
from rise.training.model import load_model
from rise.training.weights import weights_hash
from rise.trajectory import Message

__all__ = ["VllmPolicy", "stop_all"]

SAMPLE_EVERY_S = 2.0
TOLERANCE = {"float32": 0.02, "bfloat16": 0.15, "float16": 0.1}
"""Largest mean difference, in nats a token, between the engine's log-probabilities and transformers' on the same weights."""

_RUNNING: dict[str, RunningServer] = {}
"""The server at work, by what it serves and how."""


@dataclass(slots=True)
class RunningServer:
    """Weights being served, and the proof that they are those of the directory."""

    command: list[str]
    name: str
    directory: Path
    settings: EngineConfig
    dtype: str
    reference: tuple[tuple[int, ...], list[float]] | None
    """Token ids and their log-probabilities by transformers, to be found again in the engine; None where not asked for."""
    engine: Engine
    difference: float | None = None
    """Mean absolute difference to the reference, nats a token."""
    n_restarts: int = 0
    max_length: int | None = None
    """Tokens of prompt and reply together that the engine takes."""


class VllmPolicy(Policy):
    """Completions by token ids, one request a reply; the engine makes the batches."""

    takes_ids = True
    splits = True
    batched = False  # the engine makes its batches of whatever is waiting
    scores = True

    def __init__(self, served: RunningServer, renderer: Renderer) -> None:
        self.served = served
        self.renderer = renderer
        self.name = f"vllm-{served.name}"
        self.max_length = served.max_length
        settings = served.settings
        self.max_in_flight = settings.concurrency
        patience = Patience(attempts=6, timeout_s=settings.request_timeout_s)
        self.servers = Servers([served.engine.url], n_each=settings.concurrency, patience=patience, mend=self._mend)
        self._before = served.engine.metrics()
        self._most: dict[str, float] = {}
        self._sampling: asyncio.Task[None] | None = None
        self._mending = asyncio.Lock()

    @classmethod
    def load(
        cls, path: str | Path, settings: EngineConfig, *, dtype: str = "float32", chat_format: str | None = None
    ) -> VllmPolicy:
        """Start (or go on using) a server of the model or LoRA adapter in `path`. Raises `PolicyError`, `ModelError`."""
        where = Path(path)
        if not Path(settings.python).exists():
            raise PolicyError(
                f'engine.python = "{settings.python}" is not there, so no vLLM can be started. Run `{vllm_environment()}`, name '
                'a Python that has vLLM, or generate in this process: engine.kind = "local".'
            )
        base = adapter_base(where)
        name = weights_hash(where) + ("" if dtype == "float32" else f"-{dtype}")
        key = json.dumps([name, settings.model_dump()])
        if key in _RUNNING and not _RUNNING[key].engine.healthy():
            _RUNNING.pop(key)
        if key not in _RUNNING:
            stop_all()
            _RUNNING.clear()
            _RUNNING[key] = start(where, base, f"rise-{name}", settings, dtype, chat_format)
        # Its own tokenizer where it carries one, as our checkpoints do.
        own = where if (where / "tokenizer_config.json").exists() else base or where
        renderer = Renderer.load(own, chat_format=chat_format)
        return cls(_RUNNING[key], renderer)

    async def reply(self, request: Request) -> list[Reply]:
        if request.prompt_ids is None:
            raise PolicyError(f"{self.name} takes token ids, but the request carries none. Render the state first.")
        if self._sampling is None or self._sampling.done():
            self._sampling = asyncio.create_task(self._sample())
        return list(await asyncio.gather(*(self._one(request, seed) for seed in request.seeds)))

    async def score(self, prompts: Sequence[Sequence[int]], replies: Sequence[Sequence[int]]) -> list[tuple[float, ...]]:
        """Natural log-probability of each token of each reply after its prompt, at temperature 1: one tuple a pair."""

        async def one(prompt: Sequence[int], reply: Sequence[int]) -> tuple[float, ...]:
            ids = (*prompt, *reply)
            body = scoring(self.served.name, ids)
            scores = await self.servers.post("/completions", lambda: body, lambda data: read_scores(data, ids))
            return tuple(scores[len(prompt) - 1 :])

        return list(await asyncio.gather(*(one(*pair) for pair in zip(prompts, replies, strict=True))))

    def facts(self) -> dict[str, Any]:
        now = self.served.engine.metrics()
        told = {name: round(now[name] - self._before.get(name, 0.0)) for name in COUNTERS if name in now}
        self._note(now)  # a stage may be over before the first look
        told |= {f"most_{name}": round(value) for name, value in self._most.items()}
        return self.servers.facts() | {"engine": told | {"restarts": self.served.n_restarts, "probe": self.served.difference}}

    async def close(self) -> None:
        """Close the connections; the server stays for the next part that uses the same weights."""
        if self._sampling is not None:
            self._sampling.cancel()
        await self.servers.close()

    async def _one(self, request: Request, seed: int) -> Reply:
        ids = request.prompt_ids or ()
        room = request.sampling.max_new_tokens
        if self.max_length is not None:
            room = min(room, self.max_length - len(ids))
        if room < 1:
            raise FullContext(
                f"the state has {len(ids)} tokens, but {self.name} was built for {self.max_length}: there is no room for "
                "another reply. Lower state.window or evaluate.turns, or sampling.max_new_tokens."
            )
        body = {
            "model": self.served.name,
            "prompt": list(ids),
            "max_tokens": room,
            "temperature": request.sampling.temperature,
            "top_p": request.sampling.top_p,
            "seed": seed,
            "stop_token_ids": sorted(self.renderer.eos_ids),
            "return_token_ids": True,
        }
        return await self.servers.post(
            "/completions", lambda: body, lambda data: self._read(data, len(ids)), problem=request.problem
        )

    def _read(self, data: Any, n_prompt: int) -> Reply:
        choice = first_choice(data)
        if data.get("model") != self.served.name:
            raise PolicyError(f"{self.served.engine.url} serves {data.get('model')!r}, not {self.served.name}: stale weights.")
        sampled = choice.get("token_ids")
        if not isinstance(sampled, list) or not all(isinstance(token, int) for token in sampled):
            raise Garbled("no token ids")
        finish = choice.get("finish_reason")
        if finish not in ("stop", "length"):
            raise Garbled(f"finish reason {finish}")
        return Reply(self.renderer.text(sampled), tuple(sampled), finish, n_prompt, len(sampled))

    async def _sample(self) -> None:
        """Look how full the engine is, every `SAMPLE_EVERY_S`, until cancelled."""
        while True:
            self._note(await asyncio.to_thread(self.served.engine.metrics))
            await asyncio.sleep(SAMPLE_EVERY_S)

    def _note(self, found: dict[str, float]) -> None:
        for name in ("running", "waiting"):
            if name in found:
                self._most[name] = max(self._most.get(name, 0.0), found[name])

    async def _mend(self) -> None:
        """After trouble: an engine that died is started again, once; what it had under way is asked for again."""
        served = self.served
        async with self._mending:
            dead = served.engine
            if await asyncio.to_thread(dead.healthy):
                return
            if served.n_restarts:
                raise PolicyError(
                    f"the engine of {served.directory} died a second time. Its last lines:\n{dead.last_lines()}\nWhat is "
                    'finished is on disk: run the same command again, or set engine.kind = "local".'
                )
            served.n_restarts += 1
            print(f"rise: the engine of {served.directory} died and is started again", file=sys.stderr)
            await asyncio.to_thread(dead.stop)
            served.engine = await asyncio.to_thread(Engine, served.command, served.settings, str(served.directory))
            await asyncio.to_thread(prove_fresh, served)
            self.servers.move(served.engine.url)
            self._before = {}


def adapter_base(path: Path) -> Path | None:
    """The base model of a LoRA adapter directory; None where `path` is a whole model."""
    config = path / "adapter_config.json"
    if not config.exists():
        return None
    base = json.loads(config.read_text(encoding="utf-8")).get("base_model_name_or_path")
    if not base:
        raise PolicyError(f"{config} does not say which model the adapter belongs to (base_model_name_or_path).")
    return Path(base)


def start(
    where: Path, base: Path | None, name: str, settings: EngineConfig, dtype: str, chat_format: str | None = None
) -> RunningServer:
    """Serve the model (or the adapter on its base) in `where` under a name that holds its content hash, and prove it."""
    # Before the engine takes the memory.
    reference = score_by_transformers(where, base, dtype, chat_format) if settings.probe else None
    command = [settings.python, "-m", "vllm.entrypoints.cli.main", "serve", str(base or where)]
    if base:
        command += ["--enable-lora", "--lora-modules", f"{name}={where}"]
    else:
        command += ["--served-model-name", name]
    # Not the model's own generation settings: a top-k there would change the distribution that we train on.
    command += ["--dtype", dtype, "--generation-config", "vllm", *for_a_cpu(settings), *settings.args]
    served = RunningServer(command, name, where, settings, dtype, reference, Engine(command, settings, str(where)))
    prove_fresh(served)
    return served


ON_A_CPU = {
    # A prompt read in two pieces kills vLLM 0.32.0 if its request has a seed: it turns that request's generator back
    # (gen.set_offset), which torch's CPU generators cannot do.
    "chunked-prefill": ["--no-enable-chunked-prefill"],
    # Its own 128 tokens leave most of a turn unshared with the next one: 1.1 x the tokens/s over three turns.
    "block-size": ["--block-size", "32"],
}
"""Words for `vllm serve` on a CPU, each left out where `engine.args` says something of it."""


def for_a_cpu(settings: EngineConfig) -> list[str]:
    """`ON_A_CPU` where the environment of the engine holds vLLM for a CPU."""
    if not on_a_cpu(settings):
        return []
    return [word for of, words in ON_A_CPU.items() if not any(of in arg for arg in settings.args) for word in words]


def prove_fresh(served: RunningServer) -> None:
    """Raise `PolicyError` unless the engine serves the weights of the directory: by name, and by what they make of a text."""
    engine = served.engine
    try:
        models = engine.served()
        if served.name not in models:
            raise PolicyError(f"the engine of {served.directory} serves {', '.join(models)}, not {served.name}: stale weights.")
        served.max_length = models[served.name]
        if served.reference is None:
            return
        ids, expected = served.reference
        answer = httpx.post(engine.url + "/completions", json=scoring(served.name, ids), timeout=300.0, **PLAIN)
        found = read_scores(answer.json(), ids)
    except (PolicyError, Garbled, httpx.HTTPError, ValueError) as error:
        engine.stop(keep_log=True)
        if isinstance(error, PolicyError):
            raise
        raise PolicyError(
            f"the engine of {served.directory} gave no log-probabilities to prove its weights with ({error}); its log: "
            f"{engine.log}. engine.probe = false leaves the proof to the name."
        ) from error
    served.difference = sum(abs(a - b) for a, b in zip(found, expected, strict=True)) / len(expected)
    limit = TOLERANCE[served.dtype]
    if not served.difference <= limit:
        engine.stop(keep_log=True)
        raise PolicyError(
            f"the engine does not serve the weights of {served.directory}: log-probabilities differ by {served.difference:.3f} "
            f"nats a token on average, where {limit} is the limit for {served.dtype}. Stale weights, or an engine that computes "
            f'them wrongly; its log: {engine.log}. Set engine.kind = "local".'
        )


def scoring(name: str, ids: tuple[int, ...]) -> dict[str, Any]:
    """The request that asks for the log-probability of every token of a prompt."""
    return {"model": name, "prompt": list(ids), "max_tokens": 1, "temperature": 0.0, "prompt_logprobs": 0}


def read_scores(data: Any, ids: tuple[int, ...]) -> list[float]:
    """Log-probabilities of `ids[1:]`, each given those before it. Raises `Garbled` where they are missing."""
    rows = first_choice(data).get("prompt_logprobs")
    if not isinstance(rows, list) or len(rows) != len(ids):
        raise Garbled("no log-probabilities of the prompt")
    try:
        return [float(row[str(token)]["logprob"]) for token, row in zip(ids[1:], rows[1:], strict=True)]
    except (KeyError, TypeError) as error:
        raise Garbled("no log-probabilities of the prompt") from error


PROBE = (
    Message("user", "A box holds 12 pens. How many pens do 7 boxes hold, and how many are left when 15 are taken out?"),
    Message("assistant", "12 * 7 = 84, and 84 - 15 = 69. #### 69"),
    Message("user", "Check each step."),
)


def score_by_transformers(
    where: Path, base: Path | None, dtype: str, chat_format: str | None = None
) -> tuple[tuple[int, ...], list[float]]:
    """(token ids, log-probabilities of all but the first) of a fixed conversation, on the CPU."""
    import torch

    model, renderer = load_model(base or where, dtype=dtype, chat_format=chat_format)
    if base:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, str(where))
    if base and (where / "tokenizer_config.json").exists():
        renderer = Renderer.load(where, chat_format=chat_format)
    ids = renderer.prompt_ids(PROBE)
    with torch.inference_mode():
        logits = model.eval()(input_ids=torch.tensor([ids])).logits[0, :-1].float()
    scores = torch.log_softmax(logits, -1).gather(-1, torch.tensor(ids[1:])[:, None])[:, 0]
    return ids, scores.tolist()
