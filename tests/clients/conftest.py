"""Opt-in: `make test-clients`. What these tests need is installed beside the project, each client by itself."""

import os
from pathlib import Path

import pytest
from installed import node_client
from pages import CHROMIUM, PATIENCE_MS, SHOTS

collect_ignore_glob = [] if os.environ.get("RISE_TEST_CLIENTS") else ["test_*.py"]


@pytest.fixture(scope="module")  # not the session's: an event loop runs while it lives, and tests without pages have their own
def browser():
    if CHROMIUM is None:
        pytest.skip("no chromium: apt-get install chromium")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: make test-clients tries to")
    playwright.expect.set_options(timeout=PATIENCE_MS)
    with playwright.sync_playwright() as p:
        # Root has no sandbox of Chromium's, and a container's /dev/shm is too small for it.
        flags = ["--no-sandbox", "--disable-dev-shm-usage"]
        browser = p.chromium.launch(executable_path=CHROMIUM, args=flags, timeout=PATIENCE_MS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def axe():
    """The source of axe-core, the accessibility checker, as npm has it."""
    place = node_client("axe", "axe-core@4.14.1")
    return (place / "node_modules/axe-core/axe.min.js").read_text(encoding="utf-8")


def pytest_terminal_summary(terminalreporter):
    pictures = list(SHOTS.glob("*.png"))
    if pictures:
        terminalreporter.write_line(f"Screenshots to look at: {SHOTS.relative_to(Path.cwd())}/ ({len(pictures)} files)")
