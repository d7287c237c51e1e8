"""What a kind of policy tells the rest of the package: how its spec is checked, which directory it names, how it is opened."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from rise.errors import ModelError, PolicyError
from rise.policies.function import FunctionPolicy
from rise.policies.scripted import ScriptedPolicy
from rise.policy import Policy
from rise.recipe.bases import resolved
from rise.recipe.machines import EngineConfig, HttpConfig
from rise.recipe.own_code import load_named


@dataclass(frozen=True, slots=True)
class Options:
    """How policies are opened; each kind reads what concerns it."""

    batch_size: int = 128
    """Replies generated together by a model in this process."""
    dtype: str = "float32"
    chat_format: str | None = None
    """Replaces the template of a model that we render for."""
    deterministic: bool = False
    """Fixed batches."""
    engine: EngineConfig = field(default_factory=EngineConfig)
    http: HttpConfig = field(default_factory=HttpConfig)


class Kind:
    """A kind of policy; a subclass for each. `rest` is what follows `kind:` in a spec, `named` what messages call the spec."""

    about: str
    """For help texts."""
    on_cluster: bool = False
    """Whether replicas on a cluster can hold it."""

    def check(self, rest: str, named: str) -> None:
        """Raise `PolicyError` or `ModelError` for what can be known to be impossible before it is opened."""

    def directory(self, rest: str) -> Path | None:
        """The local directory of a model that the spec names: its weights are hashed, its rise.json is read. None: none."""
        return None

    def open(self, rest: str, options: Options) -> Policy:
        """The policy. Raises `PolicyError`, or `ModelError` for a model that will not load."""
        raise NotImplementedError


class _Model(Kind):
    """A model directory, a hub name, or `base:NAME`, one that comes with the package."""

    on_cluster = True

    def check(self, rest: str, named: str) -> None:
        check_place(resolved(rest), named)

    def directory(self, rest: str) -> Path | None:
        return Path(resolved(rest)) if Path(resolved(rest)).is_dir() else None


class Local(_Model):
    about = "a transformers model in this process"

    def open(self, rest: str, options: Options) -> Policy:
        from rise.policies.local import LocalPolicy

        return LocalPolicy.load(
            resolved(rest),
            batch_size=options.batch_size,
            dtype=options.dtype,
            chat_format=options.chat_format,
            fixed_batches=options.deterministic,
            captured=options.engine.captured,
        )


class Vllm(_Model):
    about = "the same model in a vLLM server that we start and stop"

    def open(self, rest: str, options: Options) -> Policy:
        from rise.policies.vllm import VllmPolicy

        return VllmPolicy.load(resolved(rest), options.engine, dtype=options.dtype, chat_format=options.chat_format)


class Scripted(Kind):
    about = "canned replies from a file"

    def check(self, rest: str, named: str) -> None:
        if not Path(rest).exists():
            raise PolicyError(f"{named}: there is no file {rest}.")

    def open(self, rest: str, options: Options) -> Policy:
        return ScriptedPolicy.load(Path(rest))


class Http(Kind):
    about = "an OpenAI-compatible server, URL#MODEL; or several, URL,URL#MODEL"

    def __init__(self, scheme: str = "http") -> None:
        self.scheme = scheme

    def check(self, rest: str, named: str) -> None:
        self.open(rest, Options())  # connects to nothing yet

    def open(self, rest: str, options: Options) -> Policy:
        from rise.policies.http import HttpPolicy

        return HttpPolicy.from_spec(f"{self.scheme}:{rest}", options.http)


class Function(Kind):
    about = "a Python function of yours, function:MODULE:NAME, from messages to text"

    def check(self, rest: str, named: str) -> None:
        found = load_named(rest, "function policy")
        if not callable(found):
            raise PolicyError(f"{named}: {rest} is no function: it is called with the messages and returns text.")

    def open(self, rest: str, options: Options) -> Policy:
        return FunctionPolicy(load_named(rest, "function policy"))


@dataclass(frozen=True, slots=True)
class Spec:
    """A policy spec, taken apart."""

    text: str
    """As written."""
    kind: Kind
    name: str
    """Of the kind: `local` for a bare directory or hub name."""
    rest: str

    @property
    def directory(self) -> Path | None:
        return self.kind.directory(self.rest)

    def at(self, directory: Path) -> str:
        """The spec of the same kind for another directory."""
        return f"{self.text.removesuffix(self.rest)}{directory}"


def check_place(path: str, named: str) -> None:
    """A model directory is there. What may be a hub name, as `name` or `owner/name`, is left to the hub."""
    if looks_local(path) and not Path(path).exists():
        raise ModelError(f"{named}: there is no such directory ({Path(path).absolute()}).")


def looks_local(path: str) -> bool:
    """Whether a model's name can only be a path.

    >>> [looks_local(p) for p in ("./m", "/a/m", "runs/x/checkpoint", "m.gguf", "gpt2", "owner/name")]
    [True, True, True, True, False, False]
    """
    if path.startswith((".", "/", "~")) or path.endswith(("/", ".gguf", ".safetensors")) or path.count("/") > 1:
        return True
    return "/" in path and Path(path).parent.is_dir()  # owner/name, where a folder is called as the owner
