"""Which replies train: each rule on trajectories written out by hand."""

import pytest

from rise.dataset.keep import KEEP_RULES, keep
from rise.errors import ConfigError


@pytest.mark.parametrize(
    ("rewards_K", "rule", "kept"),
    [
        ([0, 1, 0, 1], "all", [True, True, True, True]),
        ([0, 0, 0], "better", [True, False, False]),  # turn 1 beats "nothing before it"
        ([0, 0.5, 0.5, 1], "better", [True, True, False, True]),
        ([1, 0, 1], "better", [True, False, False]),
        ([0, 0, 0], "best", [True, False, False]),  # all alike: the first, as in the paper's data
        ([0, 1, 1], "best", [False, True, False]),
        ([0, 0], "success", [False, False]),  # turn 1 is subject to the rule like any other
        ([1, 0, 1], "success", [True, False, True]),
        ([-1, 0, 0.5], "success", [False, False, False]),
        ([0, 0, 1, 0, 1], "no-loss", [True, True, True, False, True]),  # the fourth lost what the third had
        ([1, 0], "no-loss", [True, False]),
        ([], "best", []),
    ],
)
def test_rules(rewards_K, rule, kept):
    assert keep(rewards_K, rule) == kept


def test_success_follows_what_the_recipe_calls_right():
    assert keep([2.0, 1.0, 0.5], "success", right_K=[True, False, True]) == [True, False, True]


def test_an_unknown_rule_names_the_nearest():
    with pytest.raises(ConfigError, match=r'no keep rule "bettter"\. Did you mean "better"'):
        keep([0, 1], "bettter")


def test_every_rule_says_what_it_keeps_and_which_never_train_a_reply_without_gain():
    assert all(rule.about.endswith(".") for rule in KEEP_RULES.values())
    for rule in KEEP_RULES.values():
        assert rule.gains_only is (rule.flags([1, 1, 1], [True] * 3) == [True, False, False])
