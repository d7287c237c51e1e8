"""`rise cluster check`: what a cluster has and what a recipe needs, as lines of text."""

from __future__ import annotations

from pathlib import Path

from rise.cluster.needs import fits, needs
from rise.cluster.nodes import Node, look
from rise.recipe.machines import ClusterConfig, EngineConfig


def look_over(settings: ClusterConfig, engine: EngineConfig, directory: Path) -> tuple[list[Node], list[str], bool]:
    """(the nodes, lines on what there is and what the recipe needs, whether all of it fits)."""
    made = [folder for folder in (directory, *directory.parents) if not folder.exists()]
    directory.mkdir(parents=True, exist_ok=True)
    try:
        nodes = look(directory, settings.storage)
    finally:
        for folder in made:
            folder.rmdir()
    lines = [f"{len(nodes)} node{'s' if len(nodes) > 1 else ''}:"]
    for node in nodes:
        sees = f"sees {settings.storage or 'the run directory'}" if node.sees else f"does NOT see {settings.storage or directory}"
        told = node.trouble or f"rise {node.rise or 'MISSING'}, torch {node.torch or 'MISSING'}, {sees}"
        lines.append(f"  {node.host} {node.id[:8]}  {node.cpus:g} CPU, {node.gpus:g} GPU  {told}")
    enough = True
    for title, part in zip(("while replies are drawn", "while training runs"), needs(settings), strict=True):
        lines.append(f"{title}:")
        for fit in fits(part, nodes):
            lines.append(f"  {fit.sentence()}")
            enough &= fit.enough
    lines += [f"note: {note}" for note in notes(settings, engine, nodes)]
    return nodes, lines, enough


def notes(settings: ClusterConfig, engine: EngineConfig, nodes: list[Node]) -> list[str]:
    """Settings that fit and are probably not meant."""
    out = []
    gpus = sum(node.gpus for node in nodes)
    if gpus and not settings.gpus_per_replica:
        out.append(f"the cluster has {gpus:g} GPUs, and cluster.gpus_per_replica = 0 uses none of them for replies.")
    if gpus and not settings.gpus_per_worker:
        out.append(f"the cluster has {gpus:g} GPUs, and cluster.gpus_per_worker = 0 trains on none of them.")
    if engine.kind in ("vllm", "auto") and not Path(engine.python).is_absolute():
        out.append(f'engine.python = "{engine.python}" is looked for on every node below the folder where the run is started.')
    if settings.restarts == 0:
        out.append("cluster.restarts = 0: a replica that dies is not started again, and a training that loses a worker ends.")
    return out
