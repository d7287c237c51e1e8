"""docs/ecosystem.md sets rise beside others: every row of ours names what proves it, and that is there."""

import re

from documents import ROOT
from typer.main import get_command

from rise.cli.main import app
from rise.judges import KINDS
from rise.recipe.shipped import names

PAGE = (ROOT / "docs/ecosystem.md").read_text(encoding="utf-8")


def rows():
    """(what, ours, proof) of each row of the table of toolkits."""
    table = [line for line in PAGE.splitlines() if line.startswith("| ") and line.count("|") > 6]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    return [(row[0], row[1], row[2]) for row in cells[1:] if row[1] and not set(row[0]) <= set("- ")]


def test_every_row_of_ours_names_a_test_and_each_that_it_names_is_one():
    assert len(rows()) > 15
    for what, _, proof in rows():
        named = re.findall(r"`(tests/[\w/.]+)`", proof)
        assert named, f"{what}: nothing in tests/ proves it"
        for name in named:
            path = ROOT / name
            files = [path] if path.is_file() else sorted(path.glob("test_*.py"))
            assert files and all("\ndef test_" in file.read_text(encoding="utf-8") for file in files), (what, name)


def test_commands_and_targets_of_make_on_the_page_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([\w-]+):", makefile, re.M))
    asked = re.findall(r"`make ([\w-]+)`", PAGE)
    assert asked and set(asked) <= targets
    commands = set(re.findall(r"`rise (\w+)", PAGE))
    assert commands and commands <= set(get_command(app).commands)


def test_what_a_row_lists_of_ours_by_name_is_what_there_is():
    ours = {what: words for what, words, _ in rows()}
    listed = set(re.split(r",\s*", ours["by name"]))
    assert listed == set(KINDS) - {"model"}, "judges by name; the model that judges has a row of its own"
    benchmarks = {name.split("/")[1] for name in names() if name.startswith("benchmarks/")}
    assert benchmarks == set(re.findall(r"\w+", ours["benchmarks by name"].split(", from")[0]))


def test_versions_of_others_that_tests_ran_are_those_that_are_pinned():
    pins = dict(re.findall(r'"([\w\[\]-]+)==([\d.]+)"', (ROOT / "recipes/adapter_env.py").read_text(encoding="utf-8")))
    told = PAGE.split("\n## ")[0]
    for package, name in (
        ("inspect-ai", "inspect_ai"),
        ("openenv", "openenv"),
        ("verifiers", "verifiers"),
        ("reasoning-core[gen]", "reasoning-core"),
        ("reasoning-gym", "reasoning-gym"),
    ):
        assert f"{name} {pins[package]}" in told, name
