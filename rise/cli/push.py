"""`rise push`: a checkpoint with its card, or trajectories as a data set, to a model hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def push(
    run: Annotated[Path, typer.Argument(help="A run (its last checkpoint, all of its data), or a stage such as RUN/round-1.")],
    repository: Annotated[str, typer.Argument(help="OWNER/NAME on the hub; made if it is not there.")],
    data: Annotated[bool, typer.Option("--data", help="Send the trajectories as a data set, in place of the model.")] = False,
    public: Annotated[
        bool,
        typer.Option("--public/--private", help="Whether everybody sees a repository that is made; one that is there stays."),
    ] = False,
    licence: Annotated[
        str | None,
        typer.Option("--license", help="Licence for the card, such as apache-2.0; by default the base's, where known."),
    ] = None,
    message: Annotated[str | None, typer.Option(help="Of the commit.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be sent, byte for byte, and send nothing.")] = False,
) -> None:
    """Send a trained model or its trajectories to a hub, with a card made from the run. Needs `hf auth login`, or HF_TOKEN.

    Before anything is sent it is looked at for keys, paths and names of this machine.
    """
    from rise.report.numbers import amount
    from rise.report.sharing.files import check_public
    from rise.report.sharing.hub import check_name
    from rise.report.sharing.hub import push as send

    check_name(repository)
    if data:
        from rise.report.sharing.data import data_files

        files = data_files(run, repository, licence)
    else:
        from rise.report.sharing.model import model_files

        files = model_files(run, repository, licence)
    check_public(files, [run.resolve(), run.resolve().parent])
    kind = "dataset" if data else "model"
    if not dry_run:
        words = message or f"{'Trajectories' if data else 'Checkpoint'} of {run.resolve().name}, by rise push"
        address = send(files, repository, "dataset" if data else "model", private=not public, message=words)
        print(f"{address}: {len(files)} files, {amount(sum(file.size for file in files))}B")
        return
    print(f"would send to the {kind} {repository}, {'public' if public else 'private'} if it is made now:")
    for file in files:
        print(f"  {file.sha256[:12]}  {file.size:>12,} bytes  {file.path}")
    for file in files:
        if file.path == "README.md":
            print(f"\nREADME.md:\n\n{file.text}", end="")
