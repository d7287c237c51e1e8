"""Recipes by name: found anywhere, listed with a line that says what they are, copied with all they need."""

import re

import pytest

from rise.errors import ConfigError
from rise.recipe.shipped import about, find_recipe, home, names, needed, shipped
from rise.recipe.toml import load_recipe


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", names())
def test_a_recipe_loads_by_its_bare_name_anywhere(name):
    if name == "baselines/sft-correct" or name.startswith("baselines/"):
        assert load_recipe(name, scale="toy", overrides=["boost.reuse=runs/x"]).name
    else:
        assert load_recipe(name) == load_recipe(f"recipes/{name}.toml") == load_recipe(home() / f"{name}.toml")


@pytest.mark.parametrize("name", names())
def test_its_first_line_says_by_itself_what_it_is(name):
    line = about(shipped(name))
    assert re.fullmatch(r"[A-Z].{30,}[.?]", line), line


def test_every_recipe_in_the_folder_is_listed_but_for_what_is_only_extended():
    every = {path.relative_to(home()).with_suffix("").as_posix() for path in home().rglob("*.toml")}
    assert every - set(names()) == {"benchmarks/common", "paper/common", "starter/recipe"}


def test_what_is_here_goes_before_what_comes_with_rise(elsewhere):
    (elsewhere / "recipes").mkdir()
    (elsewhere / "recipes/nano.toml").write_text("")
    (elsewhere / "nano.toml").write_text("")
    assert find_recipe("nano.toml").samefile(elsewhere / "nano.toml")
    assert find_recipe("nano").samefile(elsewhere / "recipes/nano.toml")
    assert find_recipe("smol") == home() / "smol.toml"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("nanoo", 'nanoo: no such recipe. Did you mean "nano"'),
        ("recipes/nanoo.toml", 'Did you mean "nano"'),
        ("mine/nano.toml", "rise recipes"),
        ("paper/common", "no such recipe"),
    ],
)
def test_a_recipe_that_is_nowhere_is_answered_with_the_nearest(wrong, said):
    with pytest.raises(ConfigError, match=re.escape(said)):
        find_recipe(wrong)


def test_nothing_outside_the_folder_of_recipes_goes_by_name():
    for name in ("../pyproject", "../pyproject.toml", "/etc/passwd"):
        with pytest.raises((ConfigError, ValueError)):
            shipped(name)


def test_a_copy_needs_what_a_recipe_extends_and_the_files_that_it_names():
    found = [path.relative_to(home()).as_posix() for path in needed("paper/llama-2-7b-chat")]
    assert sorted(found) == [
        "accelerate/deepspeed-zero3.yaml",
        "accelerate/fsdp2.yaml",
        "paper/common.toml",
        "paper/llama-2-7b-chat.toml",
    ]
    assert needed("nano") == [home() / "nano.toml"]


def test_here_is_the_folder_of_the_file_that_says_it(elsewhere):
    (elsewhere / "mine").mkdir()
    (elsewhere / "mine/problems.jsonl").write_text('{"question": "1+1", "gold": "2"}\n')
    (elsewhere / "mine/recipe.toml").write_text(
        '[task]\nname = "jsonl"\n[task.settings]\npath = "{here}/problems.jsonl"\n[model]\npath = "m"\n'
    )
    (elsewhere / "top.toml").write_text('extends = "mine/recipe.toml"\nname = "top"\n')
    for recipe in ("mine/recipe.toml", "top.toml"):
        assert load_recipe(recipe).task.settings["path"] == "mine/problems.jsonl"
    assert load_recipe(elsewhere / "mine/recipe.toml").task.settings["path"] == f"{elsewhere}/mine/problems.jsonl"
