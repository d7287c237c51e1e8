"""Under which licence the base of a model stands, as far as its own folder says so. No network is asked."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from rise.recipe.bases import PREFIX
from rise.recipe.machines import ModelConfig
from rise.recipe.public import shortened

OURS = "apache-2.0"
_KEY = re.compile(r"^license:\s*[\"']?([A-Za-z0-9][\w.+-]{1,40})[\"']?\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Licence:
    """A licence for a card."""

    key: str | None
    """As hubs name it; None where nobody said it."""
    words: str
    """What a reader must know."""


def base_licence(model: ModelConfig, given: str | None = None, before: str | None = None) -> Licence:
    """The licence of the base as its card states it, or `before`: as it was found once, where the base is out of sight.

    `given` is what the owner of the trained model gives it.
    """
    own = f"These weights: {given}. " if given else ""
    if model.nano:
        return Licence(given, own + "The weights began at random, so no other model's licence holds. " + OF_THE_DATA)
    path = model.path or ""
    if path.startswith(PREFIX):
        return Licence(given or OURS, f"{own}The base, {path.removeprefix(PREFIX)}, comes with rise, under {OURS}. {OF_THE_DATA}")
    name = shortened(path)
    stated = stated_in(Path(path)) or before
    if stated:
        return Licence(
            given or stated, f"{own}The base {name} states {stated}; its terms hold for what was trained from it. {OF_THE_DATA}"
        )
    unknown = f"The folder of the base {name} states no licence: look its terms up, since they hold for what was trained from it."
    return Licence(given, f"{own}{unknown} {OF_THE_DATA}")


OF_THE_DATA = "The terms of the training problems are those of their source."


def stated_in(folder: Path) -> str | None:
    """The `license:` of a model's card in a folder; None where there is none."""
    card = folder / "README.md"
    if not card.is_file():
        return None
    head = re.match(r"---\s*\n(.*?)\n---", card.read_text(encoding="utf-8-sig", errors="replace")[:20_000], re.DOTALL)
    found = _KEY.search(head[1]) if head else None
    return found[1].lower() if found else None
