"""What a recipe asks of a cluster, compared with what the cluster has, before anything starts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rise.cluster.nodes import Node
from rise.errors import ConfigError
from rise.recipe.machines import ClusterConfig


@dataclass(frozen=True, slots=True)
class Need:
    """A number of processes of one kind."""

    what: str
    n: int | None
    """None for as many as fit."""
    at_least: int
    cpus: float
    gpus: float
    setting: str
    """The settings it follows from."""

    def sentence(self) -> str:
        each = f"{self.cpus:g} CPU" + (f", {self.gpus:g} GPU" if self.gpus else "")
        return f"{self.what}: {'as many as fit' if self.n is None else self.n} × ({each})"


@dataclass(frozen=True, slots=True)
class Fit:
    """A need, and how many of its processes the cluster has room for."""

    need: Need
    n_fit: int

    @property
    def n(self) -> int:
        """How many are asked of Ray."""
        return self.n_fit if self.need.n is None else self.need.n

    @property
    def enough(self) -> bool:
        return self.n_fit >= self.need.at_least

    def sentence(self) -> str:
        need = self.need
        told = f"{need.sentence()}; room for {self.n_fit}"
        if not self.enough:
            return f"{told}: TOO FEW, at least {need.at_least} must fit ({need.setting})"
        if need.n is not None and self.n_fit < need.n:
            return f"{told}: begins with those, the rest joins when nodes do"
        return told


def needs(settings: ClusterConfig) -> tuple[list[Need], list[Need]]:
    """(while replies are drawn, while training runs)."""
    s = settings
    drawing = [
        Need("judges", s.judges, s.judges, 1.0, 0.0, "cluster.judges"),
        Need(
            "replicas",
            None if s.replicas == "all" else s.replicas,
            s.min_replicas,
            s.cpus_per_replica,
            s.gpus_per_replica,
            "cluster.min_replicas, cluster.cpus_per_replica, cluster.gpus_per_replica",
        ),
    ]
    training = Need(
        "training workers",
        s.workers,
        s.min_workers or s.workers,
        s.cpus_per_worker,
        s.gpus_per_worker,
        "cluster.workers, cluster.min_workers, cluster.cpus_per_worker, cluster.gpus_per_worker",
    )
    return [need for need in drawing if need.n != 0], [training]


def fits(wanted: Iterable[Need], nodes: Sequence[Node]) -> list[Fit]:
    """How many processes of each need fit, placed in this order: each process on one node, node by node.

    >>> node = Node("a", "a", cpus=4, gpus=0)
    >>> [fit.n_fit for fit in fits([Need("j", 1, 1, 1, 0, ""), Need("r", None, 1, 2, 0, "")], [node, node])]
    [1, 3]
    """
    free = [[node.cpus, node.gpus] for node in nodes]
    out = []
    for need in wanted:
        n = 0
        for room in sorted(free, key=lambda room: room[1]):  # nodes without GPUs first, for what needs none
            while room[0] >= need.cpus and room[1] >= need.gpus and (need.n is None or n < need.n):
                room[0] -= need.cpus
                room[1] -= need.gpus
                n += 1
        out.append(Fit(need, n))
    return out


def check_fits(settings: ClusterConfig, nodes: Sequence[Node]) -> None:
    """Raises `ConfigError` that names what does not fit."""
    small = [fit for part in needs(settings) for fit in fits(part, nodes) if not fit.enough]
    if small:
        has = f"{len(nodes)} node{'s' if len(nodes) > 1 else ''} with " + ", ".join(_of(node) for node in nodes[:8])
        raise ConfigError(
            "the cluster is too small. "
            + ". ".join(fit.sentence() for fit in small)
            + f". It has {has}{', …' if len(nodes) > 8 else ''}. Add nodes, or lower the settings."
        )


def _of(node: Node) -> str:
    return f"{node.cpus:g} CPU" + (f" and {node.gpus:g} GPU" if node.gpus else "")
