"""exp(r/τ), clipping, mean one and the effective sample size, with numbers from paper."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rise.dataset.weigh import effective_sample_size, mean_one, raw_weight, reward_weight


def test_a_right_reply_weighs_twelve_times_a_wrong_one_at_the_papers_temperature():
    ratio = reward_weight(1.0, 0.4) / reward_weight(0.0, 0.4)
    assert ratio == pytest.approx(12.1825, abs=1e-4)  # e^2.5


def test_a_colder_temperature_prefers_right_replies_more():
    assert reward_weight(1.0, 0.2) == pytest.approx(math.exp(5))
    assert reward_weight(1.0, 0.2) > reward_weight(1.0, 0.4)


def test_centred_on_the_problems_mean_a_reply_of_average_reward_weighs_one():
    assert reward_weight(0.5, 0.4, baseline=0.5) == 1.0
    assert reward_weight(0.0, 0.4, baseline=0.5) == pytest.approx(0.2865, abs=1e-4)  # e^-1.25


def test_clipping_is_on_the_raw_weight():
    assert reward_weight(1.0, 0.4, clip=5.0) == 5.0
    assert reward_weight(0.0, 0.4, clip=5.0) == 1.0


def test_effective_sample_size_of_one_right_among_three():
    # (1 + 1 + 4)² / (1 + 1 + 16) = 36 / 18
    assert effective_sample_size([1.0, 1.0, 4.0]) == 2.0
    assert effective_sample_size([]) == 0.0


@given(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=50))
def test_mean_one_keeps_ratios_and_the_effective_sample_size(weights):
    scaled = mean_one(weights)
    assert sum(scaled) / len(scaled) == pytest.approx(1.0)
    assert scaled[0] / scaled[-1] == pytest.approx(weights[0] / weights[-1])
    assert effective_sample_size(scaled) == pytest.approx(effective_sample_size(weights))
    assert 1 - 1e-9 <= effective_sample_size(weights) <= len(weights) + 1e-9


def test_rewards_as_weights_push_what_is_below_the_mean_down():
    """Right, wrong, wrong, wrong: the mean is 1/4. Sizes ¾ and ¼, their mean 3/8: scaled 2 and −2/3."""
    weights = [raw_weight(r, "reward", baseline=0.25) for r in (1.0, 0.0, 0.0, 0.0)]
    assert weights == [0.75, -0.25, -0.25, -0.25] and sum(weights) == 0
    assert mean_one(weights) == pytest.approx([2.0, -2 / 3, -2 / 3, -2 / 3])
    assert effective_sample_size(weights) == pytest.approx(1.5**2 / 0.75)
    assert raw_weight(-3.0, "reward", clip=2.0) == -2.0
