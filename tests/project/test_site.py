"""The documentation as a site: every page has a place in it, and it builds strictly, without the network."""

import importlib.util
import re
import subprocess
import sys

import pytest
import yaml
from documents import ROOT

DOCS = ROOT / "docs"


def nav(entries):
    """The pages that a navigation names."""
    for entry in entries:
        for value in entry.values() if isinstance(entry, dict) else [entry]:
            yield from nav(value) if isinstance(value, list) else [value]


def config():
    return yaml.safe_load((ROOT / "mkdocs.yml").read_text())


def test_every_page_stands_once_in_the_navigation():
    named = sorted(nav(config()["nav"]))
    assert named == sorted(str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md"))
    assert [next(iter(part)) for part in config()["nav"]] == ["Start", "Guides", "The method", "Reference", "Lab notes"]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    if importlib.util.find_spec("mkdocs") is None or importlib.util.find_spec("material") is None:
        pytest.skip("mkdocs-material is not installed: make docs installs it")
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def test_it_builds_strictly_and_asks_no_other_server(site):
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 15
    elsewhere = (
        r"<(?:script|img|iframe)[^>]* src=\"?(https?:[^\"\s>]*)",
        r"<link[^>]* rel=\"?(?:stylesheet|preconnect|icon)[^>]* href=\"?https?:",
    )
    for page in pages:
        loaded = [found for pattern in elsewhere for found in re.findall(pattern, page.read_text())]
        assert loaded == [], page.name


def test_a_link_to_a_source_file_leads_to_its_text(site):
    page = (site / "settings.html").read_text()
    assert "source/rise/recipe/config.py.txt" in page
    assert (site / "source/rise/recipe/config.py.txt").read_text() == (ROOT / "rise/recipe/config.py").read_text()
    assert "../source/recipes/own.toml.txt" in (site / "guides/own-problems.html").read_text()
