"""`rise serve`: a policy that revises its own answers, behind the chat completions API."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rise.cli.evaluate import BatchSizeOption, ChatFormatOption, DtypeOption

if TYPE_CHECKING:
    from rise.play.prompt import Prompt
    from rise.serve.requests import Limits


PolicyArgument = Annotated[
    str,
    typer.Argument(
        help="A run (its last checkpoint is served), a checkpoint, vllm:DIRECTORY of either, a hub name, an "
        "OpenAI-compatible server http://host/v1#model, or scripted:FILE."
    ),
]
NameOption = Annotated[str | None, typer.Option(help="Name of the model to clients; by default after the policy.")]
TurnsOption = Annotated[
    int | None,
    typer.Option(min=1, help="Turns per conversation; by default what its measurement found to pay, else the recipe's, else 5."),
]
VoteOption = Annotated[
    str, typer.Option(help="majority, last, agree (stop when two turns in a row agree), or module:function of yours.")
]
TaskOption = Annotated[
    str | None, typer.Option(help="Whose judge reads answers; by default the checkpoint's task, else marked mathematics.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="Task setting, or state.…, sampling.…, http.…, engine.…: --set state.window=1."),
]
HostOption = Annotated[str, typer.Option(help="Address to listen on. Others than loopback need $RISE_API_KEY.")]
AllowHostOption = Annotated[
    list[str] | None,
    typer.Option(help="A further name by which clients may call the server, such as that of a proxy; may be repeated."),
]
PortOption = Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")]
ActiveOption = Annotated[
    int | None, typer.Option(min=1, help="Conversations played at once; by default as many as suit the policy.")
]
QueueOption = Annotated[int, typer.Option(min=0, help="Conversations that may wait; further ones hear 429.")]
MaxTurnsOption = Annotated[int, typer.Option(min=1, help="Most turns a request may ask for.")]
MaxTokensOption = Annotated[int, typer.Option(min=1, help="Most tokens a request may ask for in one reply.")]
MaxBodyOption = Annotated[int, typer.Option(min=1, help="Most kilobytes of a request.")]
LogOption = Annotated[
    Path | None,
    typer.Option(
        "--log", help="Keep what clients ask and what is replied in DIR/trajectories.jsonl, for rise relabel. Tell them."
    ),
]
LogTextOption = Annotated[bool, typer.Option("--log-text", help="Write what is asked and replied into the log.")]


def serve(
    policy: PolicyArgument,
    name: NameOption = None,
    turns: TurnsOption = None,
    vote: VoteOption = "majority",
    task: TaskOption = None,
    set_: SetOption = None,
    host: HostOption = "127.0.0.1",
    port: PortOption = 8400,
    allow_host: AllowHostOption = None,
    active: ActiveOption = None,
    queue: QueueOption = 256,
    max_turns: MaxTurnsOption = 16,
    max_tokens: MaxTokensOption = 4096,
    max_body: MaxBodyOption = 1024,
    batch_size: BatchSizeOption = 32,
    dtype: DtypeOption = None,
    chat_format: ChatFormatOption = None,
    log: LogOption = None,
    log_text: LogTextOption = False,
) -> None:
    """Serve a model that corrects its own answers to any client of the chat completions API, with a page to try it.

    State, sampling and turns come from the checkpoint's rise.json. A key for clients is read from $RISE_API_KEY.
    """
    from rise.errors import ConfigError, installing

    try:
        from rise.serve.app import make_app
        from rise.serve.run import run
    except ModuleNotFoundError as error:
        raise ConfigError(f"rise serve needs the package {error.name}: {installing('serve')}.") from error
    from rise.serve.keep import Keeper
    from rise.serve.requests import Limits
    from rise.serve.web.hosts import Hosts

    key = _key(host)
    hosts = Hosts.of(host, allow_host or [])
    from rise.policies import stop_engines

    reviser, served = assemble(policy, name, turns, vote, task, set_ or [], batch_size, dtype, chat_format)
    most = reviser.policy.max_in_flight
    limits = Limits(
        n_active=active or most,
        n_waiting=queue,
        max_turns=max(max_turns, served.turns),
        max_tokens=max(max_tokens, served.sampling.max_new_tokens),
        max_body_bytes=max_body * 1024,
    )
    suit(reviser.policy, limits)
    keeper = Keeper(log, served.name, reviser.prompt.instructions) if log is not None else None
    app = make_app(reviser, served, limits, key=key, log_text=log_text, hosts=hosts, keeper=keeper)
    try:
        run(app, served, host=host, port=port)
    finally:
        stop_engines()


def _key(host: str) -> str | None:
    """What clients must send; None where everybody may ask, which is this machine alone. Raises `ConfigError`."""
    import os

    from rise.errors import ConfigError
    from rise.serve.web.hosts import is_loopback

    key = os.environ.get("RISE_API_KEY") or None
    if key is None and not is_loopback(host):
        raise ConfigError(
            f"--host {host} lets others in, and $RISE_API_KEY is not set. Set it to a secret that clients "
            "will send, or stay on 127.0.0.1."
        )
    return key


def assemble(
    spec: str,
    name: str | None,
    turns: int | None,
    vote: str,
    task: str | None,
    overrides: list[str],
    batch_size: int,
    dtype: str | None,
    chat_format: str | None = None,
    offer: bool = True,
) -> tuple[Any, Any]:
    """(Reviser, Served) for a policy spec or a run; with `offer`, also some test problems to try it on.

    Raises `RiseError` for what cannot be served.
    """
    from rise.errors import ConfigError
    from rise.policy import Sampling
    from rise.runs.card import checkpoint_of, config_for, model_settings, read_card, turns_served
    from rise.runs.context import open_policy
    from rise.runs.preflight import preflight
    from rise.serve.own_code import try_out
    from rise.serve.requests import Served
    from rise.serve.revise import Reviser
    from rise.serve.vote import RULES, load_choose

    if vote not in RULES and ":" not in vote:
        raise ConfigError(f"--vote {vote}: use {', '.join(RULES)}, or module:function.")
    spec = checkpoint_of(spec)
    card = read_card(spec)
    known = card.get("task")
    settings: dict[str, Any] = {"batch_size": batch_size, "model": model_settings(dtype, chat_format)}
    if not (task or known):
        settings["task"] = {"settings": {"instructions": None}}
    # A judge needs no problems, and the files they came from may be elsewhere by now.
    config = config_for(spec, task=task or known or "jsonl", overrides=overrides, settings=settings, without=_FILES)
    ready = preflight(config, "serve", policy=spec)
    prompt, draw = ready.prompt, Sampling(**config.sampling.model_dump())
    _servable(prompt)
    judge = ready.task.judge()
    try_out(prompt, judge)
    choose = load_choose(vote) if ":" in vote else None
    policy = open_policy(config, spec)
    about = {"task": task or known, "feedback": prompt.feedback, "window": prompt.window, "round": card.get("round")}
    served = Served(
        name or name_of(spec),
        turns or turns_served(card),
        "judge" if choose else vote,
        draw,
        judged_by_function=choose is not None,
        about={key: value for key, value in about.items() if value is not None},
        problems=_offered(spec, overrides) if offer and known and task in (None, known) else (),
    )
    return Reviser(policy, prompt, judge, choose), served


def _servable(prompt: Prompt) -> None:
    """Raise `ConfigError` for feedback that only a judge who knows the answer can give."""
    from rise.errors import ConfigError

    if prompt.stops_when_right:
        raise ConfigError(
            f'state.feedback = "{prompt.feedback}" tells whether an answer is right, which nobody knows while serving. Choose '
            "another: --set state.feedback=neutral."
        )


def _offered(spec: str, overrides: list[str]) -> Any:
    from rise.runs.card import config_for
    from rise.serve.problems import some_test_problems

    return some_test_problems(config_for(spec, overrides=overrides))


_FILES = ("path", "train_path", "validation_path", "test_path", "shares")


def name_of(spec: str) -> str:
    """What clients call it.

    >>> [name_of(s) for s in ("runs/nano/round-2/checkpoint", "http://host/v1#org/m", "scripted:replies.json", "my-model")]
    ['nano-round-2', 'm', 'replies', 'my-model']
    """
    if "#" in spec:
        return spec.rpartition("#")[2].rpartition("/")[2]
    path = Path(spec.partition(":")[2] or spec)
    if path.name == "checkpoint":
        path = path.absolute()
        return f"{path.parent.parent.name}-{path.parent.name}"
    return path.stem if path.suffix == ".json" else path.name


def suit(policy: Any, limits: Limits) -> None:
    """Let an endpoint take as many at once as the server plays, and let a client wait less long for a dead one than a run does:
    three attempts. `http.concurrency` and `http.attempts` go before that, where they were set."""
    from dataclasses import replace
    from math import ceil

    from rise.policies.http import HttpPolicy

    if isinstance(policy, HttpPolicy):
        servers = policy.servers
        if "concurrency" not in policy.given:
            servers.n_each = ceil(limits.n_active / len(servers.servers))
        attempts = servers.patience.attempts if "attempts" in policy.given else 3
        servers.patience = replace(servers.patience, attempts=attempts, longest_wait_s=4.0, longest_rest_s=4.0)
