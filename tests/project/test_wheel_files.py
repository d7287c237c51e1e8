"""What the built wheel holds: everything that a user without a clone starts from."""

import re
import tarfile
import zipfile
from email import message_from_bytes
from email.policy import EmailPolicy

import pytest
from wheels import ROOT, build

from rise.recipe import bases
from rise.recipe.shipped import home

EMAIL = EmailPolicy(utf8=True)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    return build(tmp_path_factory.mktemp("wheel"))


def files(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"}


def test_it_holds_every_recipe_the_bases_and_the_demonstration(wheel):
    held = set(zipfile.ZipFile(wheel).namelist())
    assert {f"rise/recipe/recipes/{name}" for name in files(ROOT / "recipes")} <= held
    assert {f"rise/method/claims/experiments/{name}" for name in files(ROOT / "experiments")} <= held
    assert {f"rise/recipe/bases/{name}" for name in files(bases.HOME)} <= held
    assert "rise/demo/nano.zip" in held


def test_it_holds_every_file_of_the_package_as_it_is_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        beside = ("rise/recipe/recipes/", "rise/method/claims/experiments/", "rise_lm-")
        own = {name for name in archive.namelist() if not name.startswith(beside)}
        assert own == {f"rise/{name}" for name in files(ROOT / "rise")}
        assert archive.read("rise/recipe/recipes/nano.toml") == (ROOT / "recipes/nano.toml").read_bytes()
        [entry] = [name for name in archive.namelist() if name.endswith("entry_points.txt")]
        assert b"rise = rise.cli.main:main" in archive.read(entry)
    assert wheel.stat().st_size < 12 * 2**20


def test_a_source_distribution_makes_the_same_wheel(wheel, tmp_path):
    with tarfile.open(build(tmp_path / "sdist", "sdist")) as archive:
        archive.extractall(tmp_path, filter="data")
    [source] = tmp_path.glob("rise_lm-*")
    again = build(tmp_path, source=source)
    held, there = ({n for n in zipfile.ZipFile(path).namelist() if not n.endswith("RECORD")} for path in (again, wheel))
    assert held == there


def test_a_registry_shows_a_readme_whose_links_lead_somewhere(wheel):
    """A path into the repository is a dead link on the page of a registry, and a missing picture."""
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith("METADATA")]
        page = message_from_bytes(archive.read(name), policy=EMAIL)
    assert page["Description-Content-Type"] == "text/markdown"
    shown, readme = page.get_content(), (ROOT / "README.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)]+)\)", shown)
    assert links and all(link.startswith("https://") for link in links)
    assert "![" not in shown and "<!--" not in shown and "\nAccuracy at each turn: " in shown
    assert "[The method](docs/method.md)" in readme and "The method (`docs/method.md`)" in shown
    assert "make run " in shown and "\n| --- | --- | --- |\n| 1: RISE, turn 5 " in shown  # blocks and tables are as they were


def test_recipes_of_a_clone_are_those_of_the_clone():
    assert home() == ROOT / "recipes"
