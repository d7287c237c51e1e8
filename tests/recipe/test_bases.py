"""Bases that ship: small enough, named by their content, made by a recipe that runs."""

import importlib.util
import json
import re
from pathlib import Path

import pytest

from rise.errors import ConfigError, DataError
from rise.method.iterate import run
from rise.policies import make_policy, parse_spec
from rise.recipe.bases import LIMIT, base_path, names
from rise.recipe.toml import load_recipe
from rise.training.weights import weights_hash

RECIPES = Path(__file__).resolve().parents[2] / "recipes" / "bases"
_spec = importlib.util.spec_from_file_location("ship", RECIPES / "ship.py")
_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)
ship = _module.ship

TOY = [
    "threads=1",
    "boost.n_problems=40",
    "boost.train.epochs=1",
    "evaluate.n_base=4",
    "task.n_validation=4",
    "model.nano.hidden=32",
    "model.nano.layers=2",
    "model.nano.heads=2",
    "model.nano.intermediate=64",
]


def test_an_unknown_base_is_answered_with_those_there_are():
    with pytest.raises(ConfigError, match=re.escape("no base 'divisr' comes with rise. Did you mean \"divisor\"")):
        base_path("divisr")


@pytest.mark.parametrize("name", names())
def test_a_base_is_small_and_its_card_names_its_content(name):
    home = base_path(name)
    assert sum(file.stat().st_size for file in home.glob("*.safetensors")) <= LIMIT
    held = json.loads((home / "rise.json").read_text())["weights"]
    assert held == weights_hash(home) and f"`{held}`" in (home / "README.md").read_text()


@pytest.mark.slow
def test_the_recipe_of_a_base_runs_and_ships(tmp_path, one_thread):
    recipe = RECIPES / "divisor.toml"
    done = run(load_recipe(recipe, overrides=TOY), tmp_path / "run")
    card = ship(done, tmp_path / "base")
    assert card["task"] == "divisor"
    assert json.loads((tmp_path / "base" / "config.json").read_text())["dtype"] == "float16"
    assert "does not correct itself" in (tmp_path / "base" / "README.md").read_text()


def test_skills_are_asked_of_a_task_that_teaches_some(tmp_path, one_thread):
    recipe = RECIPES / "divisor.toml"
    config = load_recipe(recipe, overrides=[*TOY, "task.name=arithmetic", "state.window=0"])
    with pytest.raises(DataError, match=re.escape('boost.material = "skills" needs a task that teaches some')):
        run(config, tmp_path / "run")


def test_a_base_is_a_policy_and_a_model_by_its_name():
    assert parse_spec("base:divisor").directory == base_path("divisor")
    policy = make_policy("base:divisor")
    assert policy.max_length == json.loads((base_path("divisor") / "config.json").read_text())["max_position_embeddings"]
    with pytest.raises(ConfigError, match="no base 'signz' comes with rise"):
        make_policy("base:signz")
