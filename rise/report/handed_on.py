"""A run as it may be handed on, to a tracker or in a copy: the recipe without paths and addresses, and no command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from rise.errors import RiseError
from rise.recipe.public import public, public_tables
from rise.recipe.toml import plain_toml
from rise.report.collect import ReportData


def handed_on(data: ReportData) -> ReportData:
    """What a report says, without what only the machine it ran on is to know (`rise.recipe.public`)."""
    contents = data.provenance.get("contents")
    config = public_tables(data.config, contents if isinstance(contents, Mapping) else None)
    try:
        text = plain_toml(config) if data.config_text else ""
    except (RiseError, TypeError):  # of a stranger's run: a value that no recipe holds, such as a date
        text = ""
    facts = public({name: value for name, value in data.provenance.items() if name != "command"})
    return replace(data, config=config, config_text=text, provenance=facts)
