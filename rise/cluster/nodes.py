"""Joining a cluster, and checking each of its nodes before work starts."""

from __future__ import annotations

import importlib.util
import logging
import os
import socket
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

from rise.errors import ConfigError, installing
from rise.recipe.machines import ClusterConfig

CONNECT_TIMEOUT_S = 5.0
LOOK_TIMEOUT_S = 300.0
"""For a first worker to start on every node; a busy node is slow."""


@dataclass(frozen=True, slots=True)
class Node:
    """One machine of the cluster."""

    id: str
    host: str
    cpus: float
    gpus: float
    rise: str | None = None
    """Version; None where the package is not installed."""
    torch: str | None = None
    sees: bool = True
    """Whether it can read what the run writes to its directory or to cluster.storage."""
    trouble: str = ""


@contextmanager
def connected(settings: ClusterConfig) -> Iterator[None]:
    """Join the cluster, and leave it at the end with everything that was started there. Raises `ConfigError`."""
    if importlib.util.find_spec("ray") is None:
        raise ConfigError(f"[cluster] needs Ray: {installing('ray')}. Or leave [cluster] out to run on this machine alone.")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    if ray.is_initialized():  # the caller has joined one, and decides when to leave it
        yield
        return
    _join(settings.address)
    try:
        yield
    finally:
        ray.shutdown()


def _join(address: str) -> None:
    import ray

    named = f'cluster.address = "{address}"'
    if address not in ("auto", "local"):
        _reach(address, named)
    own = {"include_dashboard": False} if address == "local" else {}
    try:
        with _unheard():
            ray.init(address=address, namespace="rise", log_to_driver=False, logging_level=logging.ERROR, **own)
    except Exception as error:
        raise ConfigError(_why(error, address, named)) from error


@contextmanager
def _unheard() -> Iterator[None]:
    """Hide what Ray writes to standard error at every attempt; we report the failure once."""
    sys.stderr.flush()
    heard, nobody = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nobody, 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(heard, 2)
        os.close(heard)
        os.close(nobody)


def _why(error: Exception, address: str, named: str) -> str:
    text = str(error)
    causes = (str(error.__cause__ or ""), str(error.__context__ or ""))
    if any("token" in cause for cause in causes):
        return (
            f"{named} asks for a token, and this process shows none or another. `ray get-auth-token` on the head prints it: put "
            "it in $RAY_AUTH_TOKEN (or ~/.ray/auth_token) here and on every node, and set RAY_AUTH_MODE=token."
        )
    if "ersion mismatch" in text:
        told = " ".join(text.split())
        return f"{named}: {told} Install the same Ray and Python on every machine (the nodes' or this one's: pip install ray==…)."
    if address == "local":
        return (
            f"{named}: Ray could not be started on this machine ({_first_line(text)}). Is it very busy, or short of memory? Run "
            "the same command again, or leave the cluster out."
        )
    if address == "auto":
        return (
            f"{named}, but this machine is no node of a running cluster ({_first_line(text)}). Join one: `ray start --head` "
            'here, or `ray start --address=HOST:PORT`; or use address = "local".'
        )
    return (
        f"{named}: a server answers there, but joining failed ({_first_line(text)}). Is it a Ray cluster's port (6379 by "
        f"default), and is this machine one of its nodes (`ray start --address={address}`)?"
    )


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "no reason given")[:300].rstrip(".")


def _reach(address: str, named: str) -> None:
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdigit():
        raise ConfigError(f"{named} is no address. Write HOST:PORT, as `ray start --head` prints it; or auto, or local.")
    try:
        socket.create_connection((host, int(port)), timeout=CONNECT_TIMEOUT_S).close()
    except OSError as error:
        raise ConfigError(
            f"{named} does not answer ({error}). Is the head running (`ray start --head`), is the port its own (6379 by "
            "default), and does no firewall stand between?"
        ) from error


def alive() -> list[Node]:
    """Every node that is alive, with the resources Ray lists for it."""
    import ray

    found = []
    for node in ray.nodes():
        if node["Alive"]:
            has = node["Resources"]
            found.append(Node(node["NodeID"], node["NodeManagerHostname"], has.get("CPU", 0.0), has.get("GPU", 0.0)))
    return sorted(found, key=lambda node: (node.host, node.id))


def look(directory: Path | None, storage: str | None) -> list[Node]:
    """Every node that is alive, asked by a task on it: its versions, and whether it can read what the run writes."""
    import ray
    from ray.exceptions import GetTimeoutError, RayError
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    with _token(directory, storage) as token:
        asked = []
        for node in alive():
            where = NodeAffinitySchedulingStrategy(node.id, soft=False)
            ask = ray.remote(_about).options(num_cpus=0, scheduling_strategy=where, max_retries=0)
            asked.append((node, ask.remote(token)))
        found = []
        for node, ref in asked:
            try:
                found.append(replace(node, **ray.get(ref, timeout=LOOK_TIMEOUT_S)))
            except (RayError, GetTimeoutError) as error:
                lines = [line for line in str(error).splitlines() if line.strip()]
                found.append(replace(node, sees=False, trouble=lines[-1] if lines else type(error).__name__))
    return found


@contextmanager
def _token(directory: Path | None, storage: str | None) -> Iterator[tuple[str, str] | None]:
    """(URL, text) of a file written for the nodes to find."""
    from rise.cluster.storage import filesystem

    if directory is None and storage is None:
        yield None
        return
    text = uuid.uuid4().hex
    url = f"{storage.rstrip('/')}/.seen-{text}" if storage else str((directory or Path()).absolute() / f".seen-{text}")
    files, path = filesystem(url)
    try:
        files.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
        files.pipe_file(path, text.encode())
    except Exception as error:  # every storage has errors of its own
        raise ConfigError(f'cluster.storage = "{storage}" cannot be written from here: {error}') from error
    try:
        yield url, text
    finally:
        files.rm_file(path)


def _about(token: tuple[str, str] | None) -> dict[str, Any]:
    """Runs on the node."""
    from rise.cluster.storage import filesystem

    versions: dict[str, str | None] = {}
    for key, name in (("rise", "rise-lm"), ("torch", "torch")):
        try:
            versions[key] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[key] = None
    sees = True
    if token is not None:
        try:
            files, path = filesystem(token[0])
            sees = files.cat_file(path).decode() == token[1]
        except Exception:  # whatever the error, the node cannot read it
            sees = False
    return {**versions, "sees": sees}


def check_nodes(nodes: list[Node], directory: Path | None, storage: str | None) -> None:
    """Raises `ConfigError` for the first node on which nothing could work."""
    import rise

    if not nodes:
        raise ConfigError("the cluster has no node that is alive. `ray status` on its head says what became of them.")
    for node in nodes:
        who = f"node {node.host} ({node.id[:8]})"
        if "No module named" in node.trouble:
            raise ConfigError(f"{who}: {node.trouble}. Install the same rise[train,ray] there as here ({rise.__version__}).")
        if node.trouble:
            raise ConfigError(f"{who} could not be asked what it has: {node.trouble}")
        if node.rise != rise.__version__:
            raise ConfigError(
                f"{who} has rise {node.rise or 'not installed'}, this machine {rise.__version__}. Install the same."
            )
        if not node.sees and storage:
            raise ConfigError(
                f'{who} does not read what this machine has just written to cluster.storage = "{storage}". Does it reach the '
                "same place, with the same rights?"
            )
        if not node.sees:
            raise ConfigError(
                f"{who} does not see {directory}: the run directory must lie on a file system that every node mounts at the same "
                'path (--out), or models must go through a storage that all reach: cluster.storage = "s3://bucket/folder".'
            )
