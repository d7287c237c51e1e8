"""Verdicts by hand: the interval over problems, p-values, Holm's correction, and what the rule says of them."""

import pytest

from rise.evaluation.seeds import OverSeeds, t_tail
from rise.evaluation.uncertainty import Estimate, paired_difference
from rise.evaluation.verdict import Share, decide, found, holm, over_problems, p_above, p_value, together


def share(values, among=None):
    names = [f"p{i}" for i in range(len(values))]
    return Share(dict(zip(names, values, strict=True)), dict(zip(names, among or [1.0] * len(values), strict=True)))


def test_a_difference_of_two_shares_has_nearly_the_paired_interval():
    # Three of ten gained, none lost: d̄ = .3, Σ (d − d̄)² = 3 · .49 + 7 · .09 = 2.1; half = 1.96 √4.1 / 12 = .331.
    left, right = [1] * 6 + [0] * 4, [1] * 3 + [0] * 7
    mine = over_problems([[(1, share(left)), (-1, share(right))]])
    assert mine.value == pytest.approx(0.3) and mine.n == 10
    assert mine.high - mine.value == pytest.approx(1.96 * 4.1**0.5 / 12, abs=1e-4)
    theirs = paired_difference(left, right)
    assert abs((mine.high - mine.low) - (theirs.high - theirs.low)) < 0.03


def test_a_share_of_few_problems_is_no_surer_for_those_that_take_no_part():
    # Of 200 problems samples missed four, and turns solved none of these: what is known is known of four.
    names = [f"p{i}" for i in range(200)]
    few = Share(dict.fromkeys(names, 0.0), {name: float(i < 4) for i, name in enumerate(names)})
    found_of_four = over_problems([[(1, few)]])
    assert (found_of_four.value, found_of_four.n) == (0.0, 4)
    assert found_of_four.high == pytest.approx(1.96 * 2**0.5 / 6, abs=1e-4)  # .462, not .014
    assert found_of_four == over_problems([[(1, share([0.0] * 4))]])


def test_a_share_of_replies_counts_problems_by_their_replies():
    # Wrong replies repaired: 1 of 4 at one problem, 1 of 1 at another: 2/5.
    assert share([1, 1], [4, 1]).value == pytest.approx(0.4)
    # Pulls: 2 (1 − .4 · 4)/5 = −.24 and 2 (1 − .4)/5 = .24.
    assert share([1, 1], [4, 1]).influence() == {"p0": pytest.approx(-0.24), "p1": pytest.approx(0.24)}


def test_shares_of_other_problems_are_not_paired():
    # p = .5 of 4 twice: each pulls ± .5; together Σ z² = 8 · .25 = 2 over n = 4.
    one, other = share([1, 1, 0, 0]), Share({"a": 1, "b": 1, "c": 0, "d": 0}, dict.fromkeys("abcd", 1.0))
    apart = over_problems([[(1, one), (-1, other)]])
    paired = over_problems([[(1, one), (-1, one)]])
    assert apart.value == paired.value == 0
    assert apart.high == pytest.approx(1.96 * (2 + 2) ** 0.5 / 6, abs=1e-4)
    assert paired.high == pytest.approx(1.96 * 2**0.5 / 6, abs=1e-4)


def test_three_trainings_on_paper():
    # .1 .2 .3: mean .2, s = .1, t = 4.303: half the width .2484. One-sided p: t = .2/(.1/√3) = 3.464, df 2: .0371.
    of = found({seed: [(1, share([1] * n + [0] * (10 - n)))] for seed, n in ((0, 1), (1, 2), (2, 3))})
    assert of.seeds.value == pytest.approx(0.2) and of.seeds.high == pytest.approx(0.4484, abs=1e-4)
    assert t_tail(0.2 / (0.1 / 3**0.5), 2) == pytest.approx(0.0371, abs=1e-4)
    assert p_above(of, 0.0) >= 0.0371 - 1e-4  # the larger of the seeds' and the problems'


def test_one_training_stands_on_its_problems_alone():
    of = found({0: [(1, share([1] * 50 + [0] * 50))]})
    assert of.seeds == Estimate(0.5, None, None, 1)
    assert of.known == of.problems and p_above(of, 0.0) < 1e-6


def test_a_number_without_problems_stands_on_its_trainings_alone():
    of = found({0: [], 1: [], 2: []}, {0: 0.2, 1: 0.2, 2: 0.2})
    assert of.problems.value is None and of.known.value == pytest.approx(0.2)
    assert p_above(of, 0.0) == 0.0
    assert p_above(found({0: []}, {0: 0.2}), 0.0) is None  # one training, no problems: nobody knows


def test_nothing_measured_is_no_number():
    of = found({0: [(1, share([0, 0], [0, 0]))]})
    assert of.by_seed == {} and p_above(of, 0) is None and decide(of, "more", 0.05, None) == "undecided"


def test_holm_by_hand():
    # .01 · 3 = .03; .02 · 2 = .04; .9 · 1.
    assert holm({"a": 0.9, "b": 0.01, "c": 0.02}) == pytest.approx({"b": 0.03, "c": 0.04, "a": 0.9})
    assert holm({}) == {}


def around(value, half, n=3):
    estimate = Estimate(value, value - half, value + half, 100)
    return OverSeeds(dict.fromkeys(range(n), estimate), estimate, estimate)


@pytest.mark.parametrize(
    ("value", "half", "expects", "adjusted", "verdict"),
    [
        (0.20, 0.05, "more", 0.001, "holds"),
        (0.20, 0.05, "more", 0.20, "undecided"),  # not after the correction
        (0.02, 0.01, "more", 0.001, "does not hold"),  # surely above zero, surely too small to matter
        (0.04, 0.03, "more", 0.001, "undecided"),  # above zero, perhaps too small
        (-0.10, 0.05, "more", 1.0, "does not hold"),
        (0.00, 0.04, "not less", 0.01, "holds"),
        (-0.10, 0.04, "not less", 0.9, "does not hold"),
        (-0.04, 0.10, "not less", 0.4, "undecided"),
        (0.00, 0.04, "same", 0.01, "holds"),
        (0.00, 0.10, "same", 0.3, "undecided"),
        (0.10, 0.04, "same", 0.9, "does not hold"),
        (-0.10, 0.04, "same", 0.9, "does not hold"),
        (0.04, 0.03, "same", 0.3, "undecided"),
    ],
)
def test_the_rule(value, half, expects, adjusted, verdict):
    assert decide(around(value, half), expects, 0.05, adjusted) == verdict


def test_no_verdict_contradicts_the_interval_beside_it():
    # One claim alone is not corrected: .1 .2 .3 have p = .0371 on one side, and an interval from −.048 to .448.
    signed = {seed: [(1, share([1] * n + [0] * (100 - n)))] for seed, n in ((0, 10), (1, 20), (2, 30))}
    of = found(signed)
    p = p_value(of, "more", 0.05)
    assert p < 0.05 and of.seeds.low < 0 < of.seeds.value - 0.05
    assert decide(of, "more", 0.05, holm({"1": p})["1"]) == "undecided"
    assert decide(around(0.0, 0.055), "same", 0.05, 0.04) == "undecided"  # equivalence is the whole interval within ±m
    assert decide(around(0.01, 0.055), "not less", 0.05, 0.04) == "holds"
    assert decide(around(0.0, 0.055), "not less", 0.05, 0.04) == "undecided"


def test_two_one_sided_tests_take_the_larger():
    # Over problems: value .02, standard error .05/1.96; margin .05: z = .03/.0255 = 1.176, p = .1198.
    problems = Estimate(0.02, -0.03, 0.07, 100)
    of = OverSeeds({0: problems}, Estimate(0.02, None, None, 1), problems)
    assert p_value(of, "same", 0.05) == pytest.approx(0.1198, abs=2e-4)
    assert p_value(of, "not less", 0.05) == pytest.approx(0.003, abs=1e-3)  # z = .07/.0255 = 2.744


def test_a_claim_of_several_parts_holds_where_all_do():
    assert together(["holds", "holds"]) == "holds"
    assert together(["holds", "does not hold", "undecided"]) == "does not hold"
    assert together([]) == "undecided"
