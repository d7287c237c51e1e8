"""How to install is said by one function, and goes by how rise came here."""

import json
import re
import tomllib
from pathlib import Path

import pytest
from documents import PAGES, ROOT, name_of

import rise.errors
from rise.errors import clone_of, installing


def test_from_a_clone_it_is_the_clone(monkeypatch):
    monkeypatch.chdir(ROOT)
    assert installing("train") == "pip install -e '.[train]'"
    monkeypatch.chdir(ROOT.parent)
    assert installing("train") == f"pip install -e '{ROOT}[train]'"


@pytest.fixture
def installed(monkeypatch, tmp_path):
    """As from a wheel: no clone around it, and what pip has written down beside it."""

    def make(direct_url):
        class Found:
            @staticmethod
            def read_text(name):
                return None if direct_url is None else json.dumps({"url": direct_url})

        monkeypatch.setattr(rise.errors, "clone_of", lambda file: None)
        monkeypatch.setattr("importlib.metadata.distribution", lambda name: Found)

    return make


def test_from_a_wheel_it_is_that_file_while_it_is_there(installed, tmp_path):
    wheel = tmp_path / "rise lm.whl"
    wheel.touch()
    installed(wheel.as_uri())
    assert installing("serve") == f"pip install 'rise-lm[serve] @ {wheel.as_uri()}'"
    wheel.unlink()
    assert installing("serve") == "pip install 'rise-lm[serve]'"


def test_from_a_registry_it_is_the_name(installed):
    installed(None)
    assert installing("tasks") == "pip install 'rise-lm[tasks]'"


@pytest.mark.parametrize(("receipt", "tool"), [("uv-receipt.toml", "uv tool"), ("pipx_metadata.json", "pipx")])
def test_a_tool_of_uv_or_pipx_is_installed_again_by_it(installed, receipt, tool, tmp_path, monkeypatch):
    (tmp_path / receipt).touch()
    monkeypatch.setattr("sys.prefix", str(tmp_path))
    installed(None)
    assert installing("train") == f"{tool} install --force 'rise-lm[train]'"


def test_a_clone_is_known_by_its_recipes(tmp_path):
    assert clone_of(ROOT / "rise/errors.py") == ROOT
    assert clone_of(tmp_path / "site-packages/rise/errors.py") is None


def test_nothing_else_says_how_to_install_rise():
    for path in sorted((ROOT / "rise").rglob("*.py")):
        if path.name != "errors.py":
            assert not re.search(r"rise-lm\[|install rise", path.read_text()), path
    for page in PAGES:
        if name_of(page) not in ("docs/index.md", "docs/log.md"):
            assert not re.search(r"install '?\"?rise-lm", page.read_text()), page


def test_the_extras_that_messages_name_exist():
    extras = set(re.findall(r"^(\w+) = \[", (ROOT / "pyproject.toml").read_text().split("[project.scripts]")[0], re.MULTILINE))
    for path in sorted((ROOT / "rise").rglob("*.py")):
        for extra in re.findall(r"installing\(['\"]([\w,]+)['\"]\)", path.read_text()):
            assert set(extra.split(",")) <= extras, f"{path}: {extra}"


def test_the_page_of_installing_says_what_every_extra_is_for():
    table = (ROOT / "docs/index.md").read_text().split("| extra | for |")[1].split("\n\n")[0]
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = {name for row in table.splitlines() for name in re.findall(r"`(\w+)`", row.split("|")[1] if "|" in row else "")}
    assert named == set(extras)


def test_the_page_of_installing_says_which_names_are_taken():
    page = Path(ROOT / "docs/index.md").read_text()
    assert "`rise-lm`" in page and "Damián Avila" in page and re.search(r"Looked up on \d{4}-\d\d-\d\d", page)
