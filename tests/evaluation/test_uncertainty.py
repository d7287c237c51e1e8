"""Intervals: hand-worked ends, the places where textbook intervals collapse, and coverage in a small seeded simulation."""

import importlib.util
import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rise.evaluation.uncertainty import NOTHING, effective_n, mean, paired_difference, ratio, share_interval


@pytest.mark.parametrize(
    ("right", "n", "low", "high"), [(81, 263, 0.2535, 0.3682), (15, 148, 0.0598, 0.1644), (1, 29, 0.0018, 0.1963)]
)
def test_one_outcome_a_problem_gets_the_published_interval(right, n, low, high):
    """Newcombe 1998, table I, method 4."""
    estimate = mean([1] * right + [0] * (n - right))
    assert estimate.value == right / n and estimate.n == n
    assert (estimate.low, estimate.high) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


def test_none_of_twenty_is_clopper_and_pearsons():
    """Newcombe 1998, table I, method 5: 0 … .1684, which is 1 − .025^(1/20)."""
    assert (mean([0] * 20).low, mean([0] * 20).high) == (0.0, pytest.approx(0.1684, abs=5e-5))


@pytest.mark.parametrize("m", [1, 10, 2000])
def test_none_right_and_all_right_still_have_a_width(m):
    none, every = mean([0.0] * m), mean([1.0] * m)
    assert (none.value, none.low) == (0.0, 0.0)
    assert none.high == pytest.approx(1 - 0.025 ** (1 / m))
    assert (every.value, every.high) == (1.0, 1.0)
    assert every.low == pytest.approx(0.025 ** (1 / m))


def test_replies_that_all_agree_within_their_problem_count_as_one_each():
    # 4 of 4, 0 of 4, 0 of 4, 4 of 4: p = 1/2, n = 16, residuals ± 2, Var = 4/3 · 16/256 = 1/12, D = 15 · (1/12) / ¼ = 5.
    # C = 4 and s = 2: deff = max(5, (10 + 16)/6) = 5, n_eff = 3.2: about the 4 problems, never the 16 replies.
    assert effective_n([4, 0, 0, 4], [4, 4, 4, 4]) == pytest.approx(3.2)
    assert ratio([4, 0, 0, 4], [4, 4, 4, 4]).n == 16


def test_problems_of_unequal_size_are_weighed_by_their_replies():
    # 1 of 1, 1 of 3: p = 2/4; residuals 1 − ½ = ½ and 1 − 1½ = −½; Var = 2 · ½ / 16 = 1/16; D = 3 · (1/16) / ¼ = ¾ → 1.
    # C = (1 + 9)/4 = 2.5; the rarer outcome, wrong, is seen in one: deff = (1 + 6.25)/3.5 = 2.0714, n_eff = 4/2.0714.
    assert ratio([1, 1], [1, 3]).value == 0.5
    assert effective_n([1, 1], [1, 3]) == pytest.approx(1.9310, abs=5e-5)


def test_one_rare_event_does_not_show_that_replies_are_independent():
    # 1 of 5 in one problem of 100: D = 1, as if all 500 were draws; C = 5, s = 1: deff = (1 + 25)/6, n_eff = 115.4.
    assert effective_n([1] + [0] * 99, [5] * 100) == pytest.approx(500 * 6 / 26)
    # All five: Var = 100/99 · (25 − 25/100)/500², D = 499 · Var / (.01 · .99) = 5.04 > (5.04 + 25)/6.
    assert effective_n([5] + [0] * 99, [5] * 100) == pytest.approx(99.2, abs=0.05)


def test_at_zero_and_one_only_problems_with_something_to_count_are_draws():
    # 8 wrong replies in two problems, none repaired; the third problem had no wrong reply.
    estimate = ratio([0, 0, 0], [4, 4, 0])
    assert estimate.n == 8
    assert estimate.high == pytest.approx(1 - 0.025**0.5)
    # Of unequal problems the larger counts for more: C = (1 + 49)/8, n_eff = 64/50.
    assert effective_n([0, 0], [1, 7]) == pytest.approx(1.28)


def test_problems_more_alike_than_chance_earn_no_more_than_was_counted():
    # Clustered variance 0, so D = 1; C = 4, s = 3: deff = (3 + 16)/7.
    assert effective_n([2, 2, 2], [4, 4, 4]) == pytest.approx(12 * 7 / 19)
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


@given(st.floats(1e-6, 1 - 1e-6) | st.sampled_from([0.0, 1.0]), st.floats(1, 1e6))
def test_a_share_and_its_rest_have_mirrored_intervals(p, n):
    low, high = share_interval(p, n)
    mirrored_low, mirrored_high = share_interval(1 - p, n)
    assert low == pytest.approx(1 - mirrored_high, abs=1e-9)
    assert high == pytest.approx(1 - mirrored_low, abs=1e-9)


counts = st.lists(st.integers(1, 6).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), min_size=1, max_size=40)


@given(counts)
def test_draws_are_never_more_than_replies_nor_fewer_than_one(pairs):
    x, d = [a for a, _ in pairs], [b for _, b in pairs]
    assert 1 <= effective_n(x, d) <= sum(d) + 1e-9
    assert effective_n(x, d) == pytest.approx(effective_n([b - a for a, b in pairs], d))
    estimate = ratio(x, d)
    assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1 and estimate.low < estimate.high


# --- Coverage: does a 95 % interval hold the truth about 95 times in 100? 600 draws leave ± 1.8 points at 95 %. ---


ROOT = Path(__file__).parents[2]
spec = importlib.util.spec_from_file_location("interval_coverage", ROOT / "benchmarks" / "coverage.py")
simulation = importlib.util.module_from_spec(spec)
sys.modules[spec.name] = simulation
spec.loader.exec_module(simulation)
Case = simulation.Case


@pytest.mark.parametrize(
    "case",
    [
        Case("none", 0.01, 100, 1, 0.0, False),
        Case("beta", 0.01, 100, 5, 0.8, False),
        Case("beta", 0.02, 100, 5, 0.3, False),
        Case("beta", 0.02, 100, 5, 0.6, True),
        Case("beta", 0.99, 100, 5, 0.8, False),
        Case("copies", 0.05, 100, 5, 0.6, False),
        Case("copies", 0.3, 30, 4, 0.8, True),
    ],
    ids=lambda case: f"{case.correlation_by} {case.p} of {case.problems}×{case.turns} at {case.correlation}",
)
def test_a_pooled_rate_covers_its_truth(case):
    """What `benchmarks/coverage.py` prints in full, in seconds."""
    found = simulation.measure(case, 600, seed=0)
    assert found["ratio"]["coverage"] >= 0.94
    assert found["wilson"]["coverage"] < found["ratio"]["coverage"]


def test_the_benchmark_prints_every_case_and_the_least(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["coverage.py", "--quick", "--draws", "2"])
    simulation.main()
    printed = json.loads(capsys.readouterr().out)
    assert len(printed["cases"]) == len(list(simulation.cases(quick=True))) and printed["draws"] == 2
    assert printed["least"]["ratio"]["coverage"] == min(line["ratio"]["coverage"] for line in printed["cases"])


def test_an_interval_that_ignored_the_problems_would_not_cover():
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(600):
        repaired = rng.binomial(4, rng.beta(0.2, 0.2, 100))
        low, high = share_interval(repaired.sum() / 400, 400)  # 400 replies taken for 400 draws
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
