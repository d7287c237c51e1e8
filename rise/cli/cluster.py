"""`rise cluster check`: what a cluster has, what a recipe will ask of it, what will not fit. Starts nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Look at a Ray cluster before a run uses it.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def cluster() -> None:
    """Look at a Ray cluster before a run uses it."""


@app.command()
def check(
    recipe: Annotated[Path, typer.Argument(help="A recipe by name or path, or the config.toml of a run.")],
    set_: Annotated[list[str] | None, typer.Option("--set", help="Override one setting: --set cluster.replicas=8.")] = None,
    scale: Annotated[str | None, typer.Option(help="Apply the recipe's [scale.NAME] table.")] = None,
    address: Annotated[
        str | None, typer.Option("--cluster", help="Instead of cluster.address: auto, local or HOST:PORT.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The run directory to be: every node must see it. By default runs/NAME.")
    ] = None,
) -> None:
    """What the cluster has, what the recipe will ask of it, what will not fit; exit code 1 if anything will not.

    Nothing is started but one short task on every node.
    """
    from rise.cluster.check import look_over
    from rise.cluster.nodes import check_nodes, connected
    from rise.errors import ConfigError
    from rise.recipe.machines import ClusterConfig
    from rise.recipe.toml import load_recipe

    where = [f'cluster.address="{address}"'] if address else []
    config = load_recipe(recipe, scale=scale, overrides=[*where, *(set_ or [])])
    settings = config.cluster or ClusterConfig()
    directory = out or Path("runs") / config.name
    with connected(settings):
        nodes, lines, fits = look_over(settings, config.engine, directory)
        print("\n".join(lines))
        check_nodes(nodes, directory, settings.storage)
    if not fits:
        raise ConfigError("this recipe will not run on this cluster as it stands: see TOO FEW above.")
    print("Everything fits.")
