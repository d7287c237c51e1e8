"""A keep or weigh rule that a user's module adds to the table: known to recipes and to the data set, no other file changed."""

import pytest
from test_dataset import BETTER, R, W, build, improved, names, trajectory

from rise.dataset.keep import KEEP_RULES, KeepRule
from rise.dataset.weigh import WEIGH_RULES, WeighRule, raw_weight
from rise.errors import ConfigError
from rise.recipe.toml import build_config


@pytest.fixture
def own_rules(monkeypatch):
    monkeypatch.setitem(KEEP_RULES, "last-turn", KeepRule("The last reply.", lambda r_K, _: [*[False] * (len(r_K) - 1), True]))
    monkeypatch.setitem(WEIGH_RULES, "linear", WeighRule("1 + reward.", lambda reward, *_, **__: 1 + reward))


def recipe(**tables):
    return build_config({"model": {"path": "somewhere"}, **tables})


def test_a_recipe_accepts_it(own_rules):
    config = recipe(keep={"rule": "last-turn"}, weigh={"rule": "linear"})
    assert (config.keep.rule, config.weigh.rule) == ("last-turn", "linear")


def test_the_data_set_is_built_by_it(own_rules):
    examples, _, _ = build([trajectory(W, W)], [improved(2, BETTER)], rule="last-turn", weigh="linear")
    assert names(examples) == [(2, "so 4", "self")]
    assert [e.weight for e in examples] == [2.0]  # 1 + reward 1


def test_without_the_module_the_error_names_the_rules_there_are():
    with pytest.raises(ConfigError, match=r"keep\.rule = 'last-turn': no such name\. Valid: all, best, better, no-loss, succ"):
        recipe(keep={"rule": "last-turn"})
    with pytest.raises(ConfigError, match=r"weigh\.rule = 'equall': no such name\. Did you mean .equal.\?"):
        recipe(weigh={"rule": "equall"})
    with pytest.raises(ConfigError, match='no weigh rule "linear"'):
        raw_weight(1.0, "linear")


def test_what_a_rule_says_of_itself_decides_which_settings_go_with_it(monkeypatch):
    own = KeepRule("Nothing after the first right reply.", lambda r_K, _: [True] * len(r_K), gains_only=True)
    monkeypatch.setitem(KEEP_RULES, "until-right", own)
    with pytest.raises(ConfigError, match=r'keep\.rule = "until-right" drops .* Use keep\.rule = "all" or "success"'):
        recipe(keep={"rule": "until-right"}, relabel={"relabel_right": "keep"})
    assert names(build([trajectory(R)], rule="until-right")[0]) == [(0, "4", "student")]
