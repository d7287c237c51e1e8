"""The interval over trainings, worked out on paper, and what each problem scores on average over them."""

import math
from dataclasses import replace

import pytest
from synthetic_run import ROUND_1, held_out, same

from rise.evaluation.headline import HEADLINE, PAIRED, REPLIES, named, played
from rise.evaluation.pooled import pooled
from rise.evaluation.seeds import OverSeeds, at_turn, over_seeds, t_95
from rise.evaluation.uncertainty import Estimate, mean, paired_difference, ratio


def of(patterns):
    return [played(held_out(i, pattern), same, turns=5) for i, pattern in enumerate(patterns)]


WORSE = [("wwwww", *rest) for _, *rest in ROUND_1]
"""ROUND_1 with every reply of its runs wrong."""


@pytest.mark.parametrize(
    ("df", "t"),
    [(1, 12.7062), (2, 4.3027), (3, 3.1824), (4, 2.7764), (5, 2.5706), (9, 2.2622), (10, 2.2281), (29, 2.0452), (120, 1.9799)],
)
def test_the_quantiles_are_those_of_the_printed_tables(df, t):
    assert t_95(df) == pytest.approx(t, abs=6e-5)


def test_two_quantiles_have_a_closed_form():
    # One degree: Cauchy, tan(.95 π/2). Two: P = t/√(2 + t²), so t = .95 √(2/(1 − .95²)).
    assert t_95(1) == pytest.approx(math.tan(0.95 * math.pi / 2))
    assert t_95(2) == pytest.approx(0.95 * math.sqrt(2 / (1 - 0.95**2)))


def test_three_trainings_on_paper():
    # .60 .65 .70: mean .65, s = .05, half the width 4.303 · .05/√3 = .1242.
    found = over_seeds([0.60, 0.65, 0.70])
    assert (found.value, found.n) == (pytest.approx(0.65), 3)
    assert found.high - found.value == pytest.approx(0.1242, abs=5e-5)
    assert found.value - found.low == pytest.approx(0.1242, abs=5e-5)


def test_an_interval_is_cut_at_what_is_possible():
    # .90 1 1: mean .9667, s = .0577, half 4.303 · .0577/√3 = .1434.
    found = over_seeds([0.9, 1.0, 1.0])
    assert found.high == 1.0 and found.low == pytest.approx(0.9667 - 0.1434, abs=1e-4)
    assert over_seeds([-0.1, 0.1, 0.0], least=-1.0).low == pytest.approx(-0.2484, abs=1e-4)  # s = .1: 4.303 · .1/√3


def test_one_training_has_a_value_and_no_interval_and_none_has_nothing():
    assert over_seeds([0.4]) == Estimate(0.4, None, None, 1)
    assert over_seeds([]).value is None


def test_a_problem_counts_with_its_mean_over_the_seeds():
    # Right at turn 5 under the first seed: problems 0 … 4. Under the second, none: each of these scores a half.
    names = {name.key: name.of for name in named(HEADLINE, 5, 5)}
    seeds = [of(ROUND_1), of(WORSE)]
    assert pooled(names["t5"], seeds) == mean([0.5] * 5 + [0.0] * 3)
    # Problems 0 1 4 5 are right at turn 1 under the first seed; the difference of means is what is paired.
    gain = next(d for d in PAIRED if d.key == "t{K}-t1")
    halves = [0.5, 0.5, 0.5, 0.5, 0.5, 0, 0, 0], [0.5, 0.5, 0, 0, 0.5, 0.5, 0, 0]
    assert pooled(gain, seeds) == paired_difference(*halves)


def test_a_share_of_replies_adds_up_the_replies_of_all_seeds():
    up = next(metric for metric in REPLIES if metric.key == "wrong_to_right")
    # Of the four steps of each run: ROUND_1 leaves wrong 0 0 1 2 1 2 4 4 times, to the better 0 0 1 1 1 0 0 0 times.
    wrong, mended = [0, 0, 1, 2, 1, 2, 4, 4], [0, 0, 1, 1, 1, 0, 0, 0]
    assert pooled(up, [of(ROUND_1), of(WORSE)]) == ratio(mended, [n + 4 for n in wrong])


def test_problems_that_a_seed_was_not_asked_take_no_part_in_a_difference():
    other = next(d for d in PAIRED if d.key == "t{K}-other")
    unasked = [(run, samples, "") for run, samples, _ in ROUND_1[:4]] + list(ROUND_1[4:])
    assert pooled(other, [of(ROUND_1), of(unasked)]).n == 4


def difference(key):
    return next(d for d in PAIRED if d.key == key)


def stopped(which, gains):
    """100 problems, each right; of those at which the model stops, going on would have lost the first `gains`."""
    right, wrong = of([("r", "rrrr", ""), ("w", "wwww", "")])
    beyond = {p: (wrong if i < gains else right).run for i, p in enumerate(which)}
    return [replace(right, beyond=beyond.get(p, ())) for p in range(100)]


def test_seeds_that_stopped_at_different_problems_are_pooled_each_by_its_own_mean():
    # Each 10 of 50 gained: .2. Pulls (x − .2)/2: Σ = (20 · .64 + 80 · .04)/4 = 4; half = 1.96 √(4 + 2)/52 = .0923.
    both = [stopped(range(50), gains=10), stopped(range(50, 100), gains=10)]
    found = pooled(difference("t{K}-beyond"), both)
    assert (found.value, found.n) == (pytest.approx(0.2), 50)
    assert (found.low, found.high) == (pytest.approx(0.2 - 0.0923, abs=5e-5), pytest.approx(0.2 + 0.0923, abs=5e-5))
    known = [difference("t{K}-beyond").estimate(seed).value for seed in both]
    assert found.value == pytest.approx(sum(known) / 2)


def test_a_seed_that_has_not_measured_a_difference_takes_no_part_in_it():
    control = [replace(p, internalised=p.parallel) for p in of(ROUND_1)]
    own = difference("t{K}-internalised").estimate(control)
    assert pooled(difference("t{K}-internalised"), [control, of(ROUND_1)]) == own and own.n == 8
    assert pooled(difference("t{K}-internalised"), [of(ROUND_1)] * 2).value is None


def test_a_difference_without_meaning_under_an_oracle_stays_without_one():
    vote = next(d for d in PAIRED if d.key == "m1@t{K}-m{S}@t1")
    assert pooled(vote, [of(ROUND_1)] * 2, truthful=True).value is None


def test_a_run_that_an_oracle_stopped_stands_as_it_ended():
    runs = [of([("wr", "wwww", "")])] * 2
    assert [pooled(at_turn(k), runs).value for k in (1, 2, 5)] == [0.0, 1.0, 1.0]


def test_both_intervals_together_leave_out_zero_only_where_both_do():
    clear, unsure = Estimate(0.1, 0.05, 0.15, 3), Estimate(0.1, -0.01, 0.21, 500)
    assert OverSeeds({}, clear, unsure).both == Estimate(0.1, -0.01, 0.21, 500)
    assert OverSeeds({}, Estimate(0.1, -0.2, 0.4, 3), Estimate(0.1, 0.05, 0.15, 500)).both == Estimate(0.1, -0.2, 0.4, 500)
    assert OverSeeds({}, Estimate(0.1, None, None, 1), unsure).both == Estimate(0.1, None, None, 500)


def test_seeds_above_zero_are_counted_by_their_own_intervals():
    by_seed = {0: Estimate(0.1, 0.02, 0.2, 9), 1: Estimate(0.1, 0.0, 0.2, 9), 2: Estimate(None, None, None, 0)}
    assert OverSeeds(by_seed, over_seeds([0.1, 0.1]), Estimate(0.1, 0.0, 0.2, 9)).n_above == 1
