"""Policies by spec: `local:DIRECTORY`, `scripted:FILE`, `http://host/v1#model`, or a bare directory or hub name (`local:`)."""

from __future__ import annotations

from pathlib import Path

from rise.errors import PolicyError, did_you_mean
from rise.policy import Policy

KINDS = {
    "local": "a transformers model in this process",
    "scripted": "canned replies from a file",
    "http": "an OpenAI-compatible server, URL#MODEL",
    "https": "an OpenAI-compatible server, URL#MODEL",
}


def make_policy(spec: str, *, batch_size: int = 128, dtype: str = "float32", chat_format: str | None = None) -> Policy:
    """The policy behind a spec. `chat_format` replaces the template of a model that we render for.

    Raises `PolicyError` for an unknown kind, `ModelError` for a model that will not load.
    """
    kind, colon, rest = spec.partition(":")
    if not colon or Path(spec).exists():
        kind, rest = "local", spec
    if kind == "local":
        from rise.policies.local import LocalPolicy

        return LocalPolicy.load(rest, batch_size=batch_size, dtype=dtype, chat_format=chat_format)
    if kind == "scripted":
        from rise.policies.scripted import ScriptedPolicy

        return ScriptedPolicy.load(Path(rest))
    if kind in ("http", "https"):
        from rise.policies.http import HttpPolicy

        return HttpPolicy.from_spec(spec)
    raise PolicyError(f'"{spec}" names no kind of policy. {did_you_mean(kind, KINDS)}')
