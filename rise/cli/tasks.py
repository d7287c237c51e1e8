"""`rise tasks`: the tasks that a recipe can name."""

from __future__ import annotations


def tasks() -> None:
    """List the tasks that come with rise, each with one line. A recipe names one: `[task]` `name = "gsm8k"`."""
    from rise.cli.recipes import print_columns
    from rise.tasks import described

    print_columns(described())
