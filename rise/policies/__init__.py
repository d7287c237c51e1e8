"""Policies by spec: `local:DIRECTORY`, `vllm:DIRECTORY`, `scripted:FILE`, `http://host/v1#model`, `function:MODULE:NAME`, or a
bare directory or hub name (`local:`). The kinds are listed here and nowhere else."""

from __future__ import annotations

import sys
from pathlib import Path

from rise.errors import PolicyError, did_you_mean
from rise.policies.kinds import Function, Http, Kind, Local, Options, Scripted, Spec, Vllm, check_place
from rise.policy import Policy
from rise.recipe.bases import PREFIX, resolved
from rise.recipe.endpoints import shown
from rise.recipe.machines import EngineConfig, HttpConfig

__all__ = ["KINDS", "Kind", "check_place", "check_spec", "directory_of", "is_bare", "make_policy", "parse_spec", "stop_engines"]

KINDS: dict[str, Kind] = {
    "local": Local(),
    "scripted": Scripted(),
    "vllm": Vllm(),
    "http": Http(),
    "https": Http("https"),
    "function": Function(),
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
    options = Options(batch_size, dtype, chat_format, deterministic, engine or EngineConfig(), http or HttpConfig())
    parsed = parse_spec(spec)
    return parsed.kind.open(parsed.rest, options)


def parse_spec(spec: str, named: str = "") -> Spec:
    """Raises `PolicyError` for an unknown kind; `named` is what the message calls the spec.

    >>> [parse_spec(s).name for s in ("gpt2", "vllm:runs/x", "https://host/v1#m")]
    ['local', 'vllm', 'https']
    """
    if is_bare(spec):
        return Spec(spec, KINDS["local"], "local", resolved(spec))
    name, _, rest = spec.partition(":")
    if name not in KINDS:
        raise PolicyError(f"{named or repr(shown(spec))} names no kind of policy. {did_you_mean(name, KINDS)}")
    return Spec(spec, KINDS[name], name, rest)


def check_spec(spec: str, setting: str = "") -> None:
    """A spec names a known kind, and what it points to on this machine is there. `setting` leads the message.

    Raises `PolicyError`, or `ModelError` for a model directory that is not there.
    """
    named = f'{setting} = "{shown(spec)}"' if setting else f'"{shown(spec)}"'
    parsed = parse_spec(spec, named)
    parsed.kind.check(parsed.rest, named)


def directory_of(spec: str | None) -> Path | None:
    """The local directory of the model that a spec names; None where it names none."""
    return parse_spec(spec).directory if spec else None


def is_bare(spec: str) -> bool:
    """Whether a spec is a directory, hub name or base of ours (`base:NAME`) without a kind before it."""
    return ":" not in spec or spec.startswith(PREFIX) or Path(spec).exists()


def stop_engines() -> None:
    """Stop every server that `vllm:` policies have started: the memory is wanted for training, or the work is done."""
    if "rise.policies.vllm" in sys.modules:
        from rise.policies.vllm import stop_all

        stop_all()
