"""Pages in a real browser: which Chromium, pictures for a person to look at, and what a checker of accessibility finds."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
SHOTS = Path(__file__).resolve().parents[2] / "build/screenshots"
PATIENCE_MS = 180_000
"""For anything a page has to do. It takes a fraction of a second, but the machine may have a dozen other things to do."""


def context(browser: Any, **given: Any) -> Any:
    """A window of its own, with our patience."""
    made = browser.new_context(**given)
    made.set_default_timeout(PATIENCE_MS)
    return made


def shot(page: Any, name: str, *, whole: bool = False) -> None:
    """A picture under build/screenshots/, of the window or of the whole page."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / f"{name}.png", full_page=whole, timeout=PATIENCE_MS)


def serious(page: Any, axe: str) -> list[tuple[str, ...]]:
    """What axe-core finds on the page as it stands that is serious or critical. The page must let it in: `bypass_csp`."""
    page.evaluate(axe)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        (v["id"], v["impact"], *(node["html"][:120] for node in v["nodes"][:3]), v["nodes"][0]["failureSummary"][:300])
        for v in found["violations"]
        if v["impact"] in ("serious", "critical")
    ]
