"""Intervals: hand-worked ends, the places where textbook intervals collapse, and coverage in a small seeded simulation."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rise.evaluation.uncertainty import NOTHING, effective_n, mean, paired_difference, ratio, wilson

Z2 = 3.8414588


def test_one_outcome_a_problem_gets_the_wilson_interval_itself():
    # p = 3/10, z² = 3.8415: centre .3 + .19207 = .49207; half 1.95996 · √(.021 + .0096036) = .34287; both over 1.38415.
    estimate = mean([1, 1, 1, 0, 0, 0, 0, 0, 0, 0])
    assert (estimate.value, estimate.n) == (0.3, 10)
    assert estimate.low == pytest.approx((0.49207 - 0.34287) / 1.38415, abs=1e-4)
    assert estimate.high == pytest.approx((0.49207 + 0.34287) / 1.38415, abs=1e-4)


@pytest.mark.parametrize("m", [1, 10, 2000])
def test_none_right_and_all_right_still_have_a_width(m):
    none, every = mean([0.0] * m), mean([1.0] * m)
    assert (none.value, none.low) == (0.0, 0.0)
    assert none.high == pytest.approx(Z2 / (m + Z2))
    assert (every.value, every.high) == (1.0, 1.0)
    assert every.low == pytest.approx(m / (m + Z2))


def test_replies_that_all_agree_within_their_problem_count_as_one_each():
    # 4 of 4, 0 of 4, 0 of 4, 4 of 4: p = 1/2, n = 16, residuals ± 2, Var = 4/3 · 16/256 = 1/12.
    # n_eff = 16 · ¼ / (15 · 1/12) = 3.2: about the 4 problems, never the 16 replies.
    assert effective_n([4, 0, 0, 4], [4, 4, 4, 4]) == pytest.approx(3.2)
    assert ratio([4, 0, 0, 4], [4, 4, 4, 4]).n == 16


def test_problems_of_unequal_size_are_weighed_by_their_replies():
    # 1 of 1, 1 of 3: p = 2/4; residuals 1 − ½ = ½ and 1 − 1½ = −½; Var = 2 · ½ / 16 = 1/16; n_eff = 4 · ¼ / (3/16) = 16/3 → 4.
    assert ratio([1, 1], [1, 3]).value == 0.5
    assert effective_n([1, 1], [1, 3]) == 4


def test_at_zero_and_one_only_problems_with_something_to_count_are_draws():
    # 8 wrong replies in two problems, none repaired; the third problem had no wrong reply.
    estimate = ratio([0, 0, 0], [4, 4, 0])
    assert estimate.n == 8
    assert estimate.high == pytest.approx(Z2 / (2 + Z2))


def test_problems_more_alike_than_chance_earn_no_more_than_was_counted():
    assert effective_n([2, 2, 2], [4, 4, 4]) == 12  # clustered variance 0
    assert effective_n([0.5, 0.5, 0.5], [1, 1, 1]) == 3  # three tied votes


def test_a_single_problem_is_one_draw_however_many_replies_it_has():
    assert effective_n([2], [4]) == 1
    assert effective_n([4], [4]) == 1


def test_nothing_to_count_is_unknown_and_not_zero():
    assert ratio([], []) == ratio([0.0], [0.0]) == mean([]) == paired_difference([], []) == NOTHING
    assert NOTHING.value is None


def test_two_runs_that_never_differ_are_not_known_to_be_equal():
    # N = 100, Var = 2/100/100, so ± 1.95996 · √2 / 100.
    estimate = paired_difference([1.0] * 98, [1.0] * 98)
    assert estimate.value == 0.0
    assert estimate.high == pytest.approx(0.027718, abs=1e-6)
    assert estimate.low == -estimate.high


def test_paired_difference_is_bonett_and_prices_for_zero_one_outcomes():
    # 3 problems won, 1 lost, 4 alike: N = 10, d̃ = 2/10, Var = ((4 + 2)/10 − .04)/10 = .056; value 2/8.
    left = [1, 1, 1, 0, 1, 1, 0, 0]
    right = [0, 0, 0, 1, 1, 1, 0, 0]
    estimate = paired_difference(left, right)
    half = 1.959964 * math.sqrt(0.056)
    assert (estimate.value, estimate.n) == (0.25, 8)
    assert (estimate.low, estimate.high) == (pytest.approx(0.2 - half), pytest.approx(0.2 + half))


def test_pairing_takes_out_what_the_problems_share():
    easy_then_hard = [1.0] * 50 + [0.0] * 50
    one_more = [1.0] * 54 + [0.0] * 46
    estimate = paired_difference(one_more, easy_then_hard)
    # d̃ = 4/102, Var = ((4 + 2)/102 − .00154)/102 = .000562, half .0464; unpaired it would be 1.96 · √(2 · ¼/100) = .139.
    assert estimate.high - estimate.low == pytest.approx(2 * 0.0464, abs=1e-3)


shares = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=40)


@given(shares)
def test_every_interval_holds_its_value_and_stays_in_range(pairs):
    left, right = [a for a, _ in pairs], [b for _, b in pairs]
    difference, share = paired_difference(left, right), mean(left)
    assert -1 <= difference.low <= difference.value <= difference.high <= 1
    assert 0 <= share.low <= share.value <= share.high <= 1
    assert difference.low < difference.high and share.low < share.high


@given(st.floats(0, 1), st.floats(1, 1e6))
def test_wilson_mirrors(p, n):
    low, high = wilson(p, n)
    mirrored_low, mirrored_high = wilson(1 - p, n)
    assert low == pytest.approx(1 - mirrored_high, abs=1e-9)
    assert high == pytest.approx(1 - mirrored_low, abs=1e-9)


# --- Coverage: does a 95 % interval hold the truth about 95 times in 100? 600 draws leave ± 1.8 points at 95 %. ---


@pytest.mark.parametrize(
    ("m", "a", "b"),
    [
        pytest.param(100, 1.0, 1.0, id="replies to a problem correlated"),
        pytest.param(100, 0.05, 0.45, id="replies almost copies, one problem in ten"),
        pytest.param(60, 2.0, 198.0, id="rare: none seen in a third of the draws"),
    ],
)
def test_ratio_covers_its_truth_with_correlated_replies_and_unequal_problems(m, a, b):
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(600):
        asked = rng.integers(0, 5, m)
        estimate = ratio(rng.binomial(asked, rng.beta(a, b, m)), asked)
        hits += estimate.low <= a / (a + b) <= estimate.high
    assert hits / 600 >= 0.92


def test_an_interval_that_ignored_the_problems_would_not_cover():
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(600):
        repaired = rng.binomial(4, rng.beta(0.2, 0.2, 100))
        low, high = wilson(repaired.sum() / 400, 400)  # 400 replies taken for 400 draws
        hits += low <= 0.5 <= high
    assert hits / 600 < 0.80


@pytest.mark.parametrize(("won", "lost"), [(0.01, 0.0), (0.02, 0.0), (0.01, 0.01), (0.12, 0.05), (0.3, 0.3)])
def test_paired_difference_covers_its_truth_even_when_change_is_rare_and_one_way(won, lost):
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(600):
        kind = rng.choice(3, size=200, p=[won, lost, 1 - won - lost])
        estimate = paired_difference(kind == 0, kind == 1)
        hits += estimate.low <= won - lost <= estimate.high
    assert hits / 600 >= 0.92
