"""Every recipe loads, and runs through the command line at its toy scale."""

import json
import os
import re
import tomllib
from pathlib import Path

import pytest
from documents import own_things
from toys import SMALLER, SMALLER_STILL
from typer.testing import CliRunner

from rise.cli.main import app
from rise.recipe.bases import PREFIX
from rise.recipe.toml import load_recipe, to_toml

HOME = Path(__file__).resolve().parents[2] / "recipes"
RECIPES = sorted([*HOME.glob("*.toml"), *HOME.glob("laboratory/*.toml")])
NAMES = [path.relative_to(HOME).with_suffix("").as_posix() for path in RECIPES]


def scales(path):
    """Those of a recipe and of what it extends."""
    data = tomllib.loads(path.read_text())
    above = scales(path.parent / data["extends"])[1:] if "extends" in data else []
    return [None, *{**dict.fromkeys(above), **data.get("scale", {})}]


@pytest.mark.parametrize("path", RECIPES, ids=NAMES)
def test_it_loads_at_every_scale_and_its_resolved_form_is_the_same_recipe(path, tmp_path):
    for scale in scales(path):
        config = load_recipe(path, scale=scale)
        resolved = tmp_path / "config.toml"
        resolved.write_text(to_toml(config))
        assert load_recipe(resolved) == config


@pytest.mark.parametrize("path", RECIPES, ids=NAMES)
def test_it_has_a_toy_scale_and_its_first_lines_say_how_to_run_it(path):
    assert "toy" in scales(path)
    head = path.read_text().split("\nname =")[0]
    assert f"rise run recipes/{path.name}" in head or f"rise run {path.relative_to(HOME).with_suffix('')}" in head


def test_the_scales_named_by_a_recipes_first_lines_and_by_make_run_exist():
    for path in RECIPES:
        named = re.findall(r"--scale (\w+)", path.read_text().split("\nname =")[0])
        assert set(named) <= set(scales(path)), f"{path.name} names {named}"
    makefile = (HOME.parent / "Makefile").read_text()
    assert "rise run recipes/nano.toml $(if $(SCALE),--scale $(SCALE))" in makefile


@pytest.mark.parametrize("path", [path for path in RECIPES if "[model.nano]" in path.read_text()], ids=lambda path: path.stem)
def test_there_are_as_many_problems_as_each_scale_asks_for(path):
    for scale in scales(path):
        words = ["--scale", scale] if scale else []
        result = CliRunner().invoke(app, ["run", str(path), *words, "--dry-run"])
        assert result.exit_code == 0, f"--scale {scale}: {result.output}"


def why_not(config):
    """Why a recipe with a pretrained model does not run here; empty if it does, as with a base that comes with rise."""
    if config.model.path.startswith(PREFIX):
        return ""
    if not Path(config.model.place).exists():
        return f"{config.model.path} is not here"
    return "" if os.environ.get("RISE_SLOW_TESTS") else "a pretrained model takes minutes: set RISE_SLOW_TESTS=1"


@pytest.mark.parametrize("path", RECIPES, ids=NAMES)
@pytest.mark.slow
def test_its_toy_scale_runs_to_the_report(path, tmp_path, monkeypatch, one_thread):
    overrides = ["threads=1"]
    model = load_recipe(path, scale="toy").model
    if model.nano:
        overrides += SMALLER
    elif model.path and model.path.startswith(PREFIX):
        overrides += SMALLER_STILL
    if path.stem == "own":
        own_things(tmp_path)
        overrides += [f"task.settings.path={tmp_path}/problems.jsonl", f"model.path={tmp_path}/my-model"]
    monkeypatch.chdir(HOME.parent)
    config = load_recipe(path, scale="toy", overrides=overrides)
    if config.model.path and path.stem != "own" and (reason := why_not(config)):
        pytest.skip(reason)
    words = ["run", str(path), "--scale", "toy", "--out", str(tmp_path / "run")]
    for override in overrides:
        words += ["--set", override]
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    stages = ["base", *(["boost"] if config.boost.enabled else []), *(f"round-{k + 1}" for k in range(config.iterate.rounds))]
    for stage in stages:
        metrics = json.loads((tmp_path / "run" / stage / "metrics.json").read_text())
        assert metrics["m1@t1"]["n"] > 0
    assert (tmp_path / "run/report.html").exists()
    assert "Report:" in done.output
