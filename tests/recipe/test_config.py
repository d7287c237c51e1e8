"""Recipes: every wrong key, type or value is one message with the way out; a resolved recipe repeats itself."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from toys import toy_recipe

from rise.errors import ConfigError
from rise.recipe.config import RunConfig, TrainConfig
from rise.recipe.toml import build_config, differences, load_recipe, parse_override, to_toml

RECIPES = Path(__file__).parents[2] / "recipes"
MODEL = {"model": {"path": "somewhere"}}


def message(data):
    with pytest.raises(ConfigError) as caught:
        build_config(MODEL | data, "recipe.toml")
    return str(caught.value)


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.toml")), ids=lambda p: p.name)
def test_shipped_recipes_are_valid_at_every_scale(path):
    import tomllib

    for scale in [None, *tomllib.loads(path.read_text()).get("scale", {})]:
        config = load_recipe(path, scale=scale)
        assert build_config(tomllib.loads(to_toml(config))) == config


def test_a_misspelt_key_names_the_nearest_one():
    assert message({"relabel": {"n_sample": 4}}) == 'recipe.toml: unknown setting relabel.n_sample. Did you mean "n_samples"?'
    assert 'Did you mean "iterate"?' in message({"iterat": {"rounds": 1}})


def test_a_misspelt_key_deep_in_optional_tables():
    data = {"boost": {"train_multi_turn": {"epoch": 1}}, "model": {"path": "x", "lora": {"rang": 8}}}
    text = message(data)
    assert 'unknown setting boost.train_multi_turn.epoch. Did you mean "epochs"?' in text
    assert 'unknown setting model.lora.rang. Did you mean "rank"?' in text


def test_a_key_like_no_other_lists_all():
    assert "Valid: centre, clip, restate, rule, scale, temperature." in message({"weigh": {"qqq": 1}})


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"iterate": {"rounds": "many"}}, "iterate.rounds = 'many'"),
        ({"iterate": {"rounds": "3"}}, "iterate.rounds = '3'"),  # text is not a number, even if it looks like one
        ({"iterate": {"rounds": True}}, "iterate.rounds = True"),
        ({"deterministic": "yes"}, "deterministic = 'yes'"),
        ({"iterate": 3}, "iterate = 3"),
        ({"keep": {"rule": "bettter"}}, "keep.rule = 'bettter'"),
        ({"state": {"window": "some"}}, "state.window = 'some'"),
    ],
)
def test_a_wrong_type_names_setting_and_value(data, expected):
    assert expected in message(data)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"weigh": {"temperature": 0}}, "weigh.temperature = 0"),
        ({"weigh": {"temperature": float("nan")}}, "weigh.temperature = nan"),
        ({"weigh": {"clip": float("inf")}}, "weigh.clip = inf"),
        ({"sampling": {"top_p": 1.5}}, "sampling.top_p = 1.5"),
        ({"task": {"n_test": 0}}, "task.n_test = 0"),
        ({"state": {"window": -1}}, 'use 0 (no attempt shown), a count, or "all"'),
        (
            {"state": {"feedback": "thruthful"}},
            "Use always-wrong, neutral, truthful, self-refine, environment or module:function",
        ),
        ({"relabel": {"n_samples": 1}}, "best-of-n has nothing to choose from below 2"),
        ({"relabel": {"improver": "teacher"}}, "needs relabel.teacher"),
        ({"dataset": {"replay_share": 0.5}}, "enable the boost"),
        ({"keep": {"rule": "better"}, "relabel": {"relabel_right": "keep"}}, 'relabel.relabel_right = "skip"'),
        ({"weigh": {"restate": 4}, "relabel": {"relabel_right": "skip"}}, "weigh.restate = 4 weighs attempts that train again"),
        ({"state": {"feedback": "truthful"}, "relabel": {"relabel_right": "keep"}}, 'relabel.relabel_right = "skip"'),
        ({"model": {}}, "give exactly one of model.path"),
        ({"model": {"path": "x", "nano": {}}}, "give exactly one of model.path"),
        ({"model": {"nano": {"max_length": 4096}}}, "above train.max_length = 2048"),
    ],
)
def test_an_impossible_value_says_what_would_do(data, expected):
    assert expected in message(data)


def test_whole_numbers_are_fine_where_fractions_are_meant():
    assert build_config(MODEL | {"train": {"epochs": 2, "learning_rate": 1}}).train.epochs == 2.0


def test_all_mistakes_are_told_at_once():
    text = message({"iterate": {"rounds": -1}, "weigh": {"tau": 0.4}})
    assert "iterate.rounds" in text and "weigh.tau" in text


def test_a_missing_or_broken_recipe_file(tmp_path):
    with pytest.raises(ConfigError, match="no such recipe"):
        load_recipe(tmp_path / "none.toml")
    bad = tmp_path / "bad.toml"
    bad.write_text("rounds = = 3")
    with pytest.raises(ConfigError, match=r"bad\.toml: not TOML: .*line 1"):
        load_recipe(bad)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_recipe(tmp_path)


def test_scales_and_overrides_are_laid_over_the_recipe_in_that_order(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text('seed = 1\n[model]\npath = "m"\n[iterate]\nrounds = 1\n[scale.full]\niterate = { rounds = 5 }\nseed = 2\n')
    assert load_recipe(path).iterate.rounds == 1
    assert (load_recipe(path, scale="full").iterate.rounds, load_recipe(path, scale="full").seed) == (5, 2)
    assert load_recipe(path, scale="full", overrides=["iterate.rounds=7"]).iterate.rounds == 7
    with pytest.raises(ConfigError, match=r'has no scale "ful"\. Did you mean "full"'):
        load_recipe(path, scale="ful")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a.b=3", {"a": {"b": 3}}),
        ("a = 0.5", {"a": 0.5}),
        ("a=true", {"a": True}),
        ("a=bare word", {"a": "bare word"}),
        ("a=runs/teacher=1", {"a": "runs/teacher=1"}),
        ('a="5"', {"a": "5"}),
        ("a={ sum = 1, product = 2 }", {"a": {"sum": 1, "product": 2}}),
    ],
)
def test_overrides(text, value):
    assert parse_override(text) == value


@pytest.mark.parametrize("text", ["rounds", "=3"])
def test_an_override_without_name_or_value(text):
    with pytest.raises(ConfigError, match="write it as name=value"):
        parse_override(text)


def test_a_resolved_recipe_reads_back_as_itself():
    import tomllib

    config = toy_recipe(model={"lora": {"target_modules": ["q_proj"]}}, train={"arguments": {"optim": "sgd", "adam_beta2": 0.95}})
    assert build_config(tomllib.loads(to_toml(config))) == config


@given(
    st.text(max_size=20), st.floats(1e-8, 1e8), st.integers(-(2**60), 2**60), st.dictionaries(st.text(max_size=8), st.integers())
)
def test_any_text_and_number_survives_the_file(text, number, seed, settings):
    import tomllib

    config = RunConfig(
        name=text,
        seed=seed,
        model={"path": text if text.strip() else "x"},
        weigh={"temperature": number},
        task={"settings": {"own": settings, "names": [text, {"nested": text}]}},
    )
    assert build_config(tomllib.loads(to_toml(config))) == config


def test_a_setting_without_a_value_cannot_be_written_and_says_so():
    config = RunConfig(model={"path": "m"}, task={"settings": {"instructions": None}})
    with pytest.raises(ConfigError, match=r"no null.*Leave it out"):
        to_toml(config)


def test_differences_are_named_in_dots():
    old, new = toy_recipe(), toy_recipe(iterate={"rounds": 3}, weigh={"clip": 5.0})
    assert differences(old.model_dump(mode="json"), new.model_dump(mode="json")) == [
        "iterate.rounds: 2 → 3",
        "weigh.clip: null → 5.0",
    ]


def test_settings_cannot_be_changed_behind_a_runs_back():
    with pytest.raises(ValueError, match="frozen"):
        TrainConfig().epochs = 3


def test_a_recipe_may_extend_another_and_says_only_what_differs(tmp_path):
    (tmp_path / "base.toml").write_text(
        'name = "base"\nseed = 3\n[model]\npath = "m"\n[iterate]\nrounds = 4\n[scale.toy]\niterate = { rounds = 2 }\nseed = 5\n'
    )
    (tmp_path / "sub").mkdir()
    child = tmp_path / "sub" / "child.toml"
    child.write_text('extends = "../base.toml"\nname = "child"\n[iterate]\nrounds = 1\n[scale.mine]\nseed = 9\n')
    plain, toy, mine = (load_recipe(child, scale=scale) for scale in (None, "toy", "mine"))
    assert [(c.name, c.seed, c.iterate.rounds, c.model.path) for c in (plain, toy, mine)] == [
        ("child", 3, 1, "m"),
        ("child", 5, 1, "m"),  # what the child says itself stands above the other's scale
        ("child", 9, 1, "m"),
    ]
    with pytest.raises(ConfigError, match='no scale "ful"'):
        load_recipe(child, scale="ful")
    (tmp_path / "base.toml").write_text('extends = "sub/child.toml"\n')
    with pytest.raises(ConfigError, match=r"extends itself: child\.toml → base\.toml → child\.toml"):
        load_recipe(child)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"relabel": {"select": "judge"}}, "relabel.judge"),
        ({"relabel": {"improver": "teacher", "teacher": "x", "n_samples": 1, "select": "majority"}}, "nothing to choose from"),
        ({"relabel": {"improver": "pair"}}, "rollout.n_trajectories"),
        ({"relabel": {"improver": "none"}, "keep": {"trained_turns": "last"}}, 'keep.trained_turns = "all"'),
    ],
)
def test_an_improver_that_cannot_work_says_what_would(data, words):
    assert words in message(data)
