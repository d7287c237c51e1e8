"""The chain of right and wrong: its formulas by hand and on five measured runs, its intervals, and what it says of a run."""

from __future__ import annotations

import numpy as np
import pytest

from rise.evaluation.chain import accuracy_after, another_turn_pays, chain, fixed_point, turns_to_serve
from rise.evaluation.held_out import HeldOut
from rise.evaluation.metrics import measure
from rise.trajectory import Turn, Verdict

MEASURED = [
    # what, accuracy at turn 1, wrong→right, right→wrong, ratio, odds, pays, fixed point, chain after 4 steps, seen at turn 5
    ("nano boost, seed 0", 0.756, 0.185, 0.076, 2.4, 3.1, False, 0.709, 0.723, 0.726),
    ("nano self, round 2", 0.809, 0.155, 0.018, 8.6, 4.2, True, 0.896, 0.855, 0.848),
    ("nano gold-2, round 2", 0.860, 0.493, 0.014, 35, 6.1, True, 0.972, 0.966, 0.955),
    ("SmolLM2 boost", 0.540, 0.143, 0.306, 0.5, 1.2, False, 0.318, 0.339, 0.350),
    ("SmolLM2 vLLM, round 2", 0.530, 0.099, 0.062, 1.6, 1.1, True, 0.615, 0.573, 0.590),
]
"""From docs/log.md's runs; the rates are of all turns, so this checks formulas and is no prediction."""


@pytest.mark.parametrize(("what", "first", "ecr", "eir", "ratio", "odds", "pays", "end", "after", "seen"), MEASURED)
def test_five_runs_lie_where_the_formulas_put_them(what, first, ecr, eir, ratio, odds, pays, end, after, seen):
    printed = 0.05 if ratio < 10 else 0.5  # one digit behind the point, of the largest none
    assert ecr / eir == pytest.approx(ratio, abs=printed) and first / (1 - first) == pytest.approx(odds, abs=0.06)
    assert another_turn_pays(first, ecr, eir) is pays is (seen > first)
    assert fixed_point(ecr, eir) == pytest.approx(end, abs=0.001)
    assert accuracy_after(first, ecr, eir, turn=5) == pytest.approx(after, abs=0.0011)
    assert abs(after - seen) < 0.02, "within two points of what was measured"


def test_the_formula_is_the_chain_stepped_by_hand():
    """a' = a(1 − EIR) + (1 − a)·ECR: .2 → .2·.9 + .8·.3 = .42 → .42·.9 + .58·.3 = .552."""
    assert [accuracy_after(0.2, ecr=0.3, eir=0.1, turn=k) for k in (1, 2, 3)] == pytest.approx([0.2, 0.42, 0.552])


def test_a_turn_pays_exactly_below_the_fixed_point():
    # .3 against .1 balance at .75.
    assert another_turn_pays(0.74, 0.3, 0.1) and not another_turn_pays(0.76, 0.3, 0.1)


@pytest.mark.parametrize(
    ("first", "ecr", "eir", "most", "turns"),
    [
        (0.70, 0.3, 0.1, 9, 5),  # .05 below, then .03, .018, .0108, .00648
        (0.70, 0.3, 0.1, 3, 3),  # no more than were measured
        (0.745, 0.3, 0.1, 9, 1),  # half a point below is near enough
        (0.90, 0.3, 0.1, 9, 1),  # above: turns lose
        (0.50, 0.0, 0.0, 9, 1),  # nothing changes
        (0.50, 0.0, 0.2, 9, 1),  # only ever breaks
        (0.0, 0.5, 0.0, 20, 8),  # 1 − ½^(k−1) ≥ .99 first at k = 8: ½⁷ = .0078
    ],
)
def test_turns_to_serve_is_the_first_within_a_point_of_the_plateau(first, ecr, eir, most, turns):
    assert turns_to_serve(first, ecr, eir, most) == turns


def of_counts(ww, wr, rw, rr, turns=5):
    """A chain of as many problems that stay wrong, are repaired, are broken, stay right."""
    first = [0] * (ww + wr) + [1] * (rw + rr)
    second = [0] * ww + [1] * wr + [0] * rw + [1] * rr
    return chain(first, second, turns)


def test_rates_are_of_turn_one_to_two_and_the_first_two_turns_are_the_measured_ones():
    found = of_counts(ww=30, wr=10, rw=6, rr=54)  # 60 % right; 10 of 40 repaired, 6 of 60 broken; then 64 %
    assert (found.ecr.value, found.ecr.n, found.eir.value, found.eir.n) == (0.25, 40, 0.1, 60)
    assert [e.value for e in found.predicted[:2]] == pytest.approx([0.60, 0.64])
    assert found.gain.value == pytest.approx(0.04) and found.fixed_point.value == pytest.approx(0.25 / 0.35)
    assert all(e.low < e.value < e.high for e in (*found.predicted, found.fixed_point, found.ecr, found.eir))


def test_whether_a_turn_pays_is_said_only_where_the_interval_leaves_out_zero():
    assert of_counts(ww=30, wr=10, rw=6, rr=54).pays is None  # 10 against 6 of 100
    assert of_counts(ww=20, wr=20, rw=1, rr=59).pays is True
    assert of_counts(ww=20, wr=1, rw=20, rr=59).pays is False and of_counts(ww=20, wr=1, rw=20, rr=59).turns_to_serve == 1


def test_an_interval_does_not_collapse_where_nothing_was_broken():
    found = of_counts(ww=25, wr=25, rw=0, rr=50)
    assert found.fixed_point.value == 1.0 and found.fixed_point.low < 0.99
    assert found.predicted[-1].low < found.predicted[-1].value < found.predicted[-1].high


@pytest.mark.parametrize("counts", [(10, 10, 0, 0), (0, 0, 10, 10)])
def test_a_rate_that_was_never_observed_makes_no_chain(counts):
    assert of_counts(*counts) is None


def test_the_same_counts_give_the_same_record():
    assert of_counts(30, 10, 6, 54).to_json() == of_counts(30, 10, 6, 54).to_json()


@pytest.mark.slow
def test_predictions_cover_the_truth():
    """200 made-up models of 200 problems, .3 right, .25 repaired, .05 broken: turn 5 is covered about 95 times in 100."""
    rng, hits = np.random.default_rng(1), 0
    truth = accuracy_after(0.3, 0.25, 0.05, turn=5)
    for _ in range(200):
        first = rng.random(200) < 0.3
        second = np.where(first, rng.random(200) >= 0.05, rng.random(200) < 0.25)
        last = chain(first, second, turns=5).predicted[-1]
        hits += last.low <= truth <= last.high
    assert 183 <= hits <= 199


def record(name, run):
    letters = {"r": Verdict.RIGHT, "w": Verdict.WRONG}
    turns = tuple(Turn(k, letters[k], float(k == "r"), answer=k) for k in run)
    return HeldOut(name, "q", "r", turns)


def test_metrics_hold_the_chain_of_the_first_two_turns_whatever_comes_later():
    runs = ["wrw", "www", "rrw", "rww"]  # half right, half of each changed; turn 3 is not asked
    found = measure([record(str(k), run) for k, run in enumerate(runs)], lambda a, b: a == b)["chain"]
    assert (found["ecr"]["value"], found["eir"]["value"], found["fixed_point"]["value"]) == (0.5, 0.5, 0.5)
    assert [e["value"] for e in found["predicted"]] == [0.5, 0.5, 0.5] and found["turns_to_serve"] == 1


def test_one_turn_or_an_oracle_leaves_nothing_to_predict():
    same = lambda a, b: a == b  # noqa: E731
    assert measure([record("a", "w"), record("b", "r")], same)["chain"] is None
    assert measure([record("a", "wr"), record("b", "r")], same, truthful=True)["chain"] is None
