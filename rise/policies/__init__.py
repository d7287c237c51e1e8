"""Policies by spec: `local:DIRECTORY`, `vllm:DIRECTORY`, `scripted:FILE`, `http://host/v1#model`, a bare directory (`local:`)."""

from __future__ import annotations

import sys
from pathlib import Path

from rise.errors import PolicyError, did_you_mean
from rise.policy import Policy
from rise.recipe.config import EngineConfig, HttpConfig

KINDS = {
    "local": "a transformers model in this process",
    "scripted": "canned replies from a file",
    "vllm": "the same model in a vLLM server that we start and stop",
    "http": "an OpenAI-compatible server, URL#MODEL; or several, URL,URL#MODEL",
    "https": "the same, encrypted",
}


def make_policy(
    spec: str,
    *,
    batch_size: int = 128,
    dtype: str = "float32",
    chat_format: str | None = None,
    deterministic: bool = False,
    engine: EngineConfig | None = None,
    http: HttpConfig | None = None,
) -> Policy:
    """The policy behind a spec. `chat_format` replaces the template of a model that we render for.

    `deterministic` fixes the batches of a `local:` policy; `engine` is read by `vllm:`, `http` by `http:`. Raises
    `PolicyError` for an unknown kind, `ModelError` for a model that will not load.
    """
    kind, rest = split_spec(spec)
    if kind == "local":
        from rise.policies.local import LocalPolicy

        return LocalPolicy.load(rest, batch_size=batch_size, dtype=dtype, chat_format=chat_format, fixed_batches=deterministic)
    if kind == "vllm":
        from rise.policies.vllm import VllmPolicy

        return VllmPolicy.load(rest, engine or EngineConfig(), dtype=dtype, chat_format=chat_format)
    if kind == "scripted":
        from rise.policies.scripted import ScriptedPolicy

        return ScriptedPolicy.load(Path(rest))
    from rise.policies.http import HttpPolicy

    return HttpPolicy.from_spec(spec, http)


def split_spec(spec: str, named: str = "") -> tuple[str, str]:
    """(kind, what follows). Raises `PolicyError` for an unknown kind; `named` is what the message calls the spec."""
    kind, _, rest = spec.partition(":")
    if is_bare(spec):
        return "local", spec
    if kind not in KINDS:
        raise PolicyError(f"{named or repr(spec)} names no kind of policy. {did_you_mean(kind, KINDS)}")
    return kind, rest


def is_bare(spec: str) -> bool:
    """Whether a spec is a directory or hub name without a kind before it."""
    return ":" not in spec or Path(spec).exists()


def stop_engines() -> None:
    """Stop every server that `vllm:` policies have started: the memory is wanted for training, or the work is done."""
    if "rise.policies.vllm" in sys.modules:
        from rise.policies.vllm import stop_all

        stop_all()
