"""What claims.html says of experiments that are half done, and which of several numbers stands in its table."""

from types import SimpleNamespace as Plain

from rise.evaluation.forecast import Trained, calibrate
from rise.evaluation.seeds import OverSeeds
from rise.evaluation.uncertainty import Estimate
from rise.evaluation.verdict import decide, together
from rise.method.claims.results import Compared
from rise.report.claims_page import forecast_words, headline, weakest


def item(p, seeds=1, verdict="undecided"):
    return Plain(p=p, found=Plain(by_seed=dict.fromkeys(range(seeds), 0.1)), verdict=verdict)


def result(verdict, *primary):
    return Plain(verdict=verdict, primary=primary, compared=primary, one_seed=False)


def test_the_comparison_that_the_verdict_stands_and_falls_with_is_shown():
    strong, weak = item(0.001), item(0.7)
    assert weakest(result("undecided", strong, weak)) is weak
    assert weakest(result(None, strong, item(None, seeds=0))) is strong  # a missing number decides nothing
    assert weakest(result(None)) is None


def test_the_number_that_is_shown_bears_the_verdict():
    """Gains that are to be at least .05, over 998 problems; p of a gain surely above 0 but below .05 is the smaller one."""
    below, unsure, well = Estimate(0.02, 0.01, 0.03, 998), Estimate(0.06, -0.02, 0.14, 998), Estimate(0.3, 0.25, 0.35, 998)
    compared = [_compared(below, 0.0001), _compared(unsure, 0.07), _compared(well, 0.08)]
    assert [item.verdict for item in compared] == ["does not hold", "undecided", "undecided"]
    against = result(together([item.verdict for item in compared]), *compared)
    assert against.verdict == "does not hold" and weakest(against) is compared[0]
    # +6.0 is above what matters and its p-value small, but its interval holds 0; what holds beside it has the larger p-value.
    compared = [_compared(unsure, 0.001), _compared(well, 0.04)]
    open_ = result(together([item.verdict for item in compared]), *compared)
    assert open_.verdict == "undecided" and weakest(open_) is compared[0]


def _compared(estimate, p):
    over = OverSeeds({}, estimate, estimate)
    return Compared(Plain(primary=True), "divisor", over, p, p, decide(over, "more", 0.05, p))


def test_what_was_begun_is_told_from_what_was_not():
    found = [result("holds", item(0.01)), result(None, item(0.01), item(None, seeds=0)), result(None, item(None, seeds=0))]
    assert headline(found) == "Of 3 claims 1 holds, 0 do not, 0 are undecided, 1 is unfinished, 1 is not run."
    assert "unfinished" not in headline([found[0], found[2]])
    assert headline(found[1:]) == "2 experiments are written down, and none is finished, 1 is begun."
    assert headline(found[2:]) == "1 experiment is written down, and none has been run."


def test_the_page_says_how_far_the_forecast_is_off():
    """Gains of half the ceiling on three tasks, and none on the fourth, whose ceiling is 40 points: forecast from the others it
    is off by 20. Each of the others is off by its ceiling times 0.5 minus the share of what is left.
    """
    runs = [Trained(t, {"ceiling": 0.4}, gain) for t, gain in zip("abcd", (0.2, 0.2, 0.2, 0.0), strict=True)]
    # Shares: 0.15 / 0.4 of all; of the others 0.5 for d (off by 0.2), and 0.4 / 1.2 for a, b, c (off by 0.4 / 6).
    words = forecast_words(calibrate(runs))
    assert "On a, b, c, d they reached 37.5 %" in words and "at most 20." in words
    assert "off by 11.5 points" in words  # the root of (0.2² + 3 · (1/15)²) / 4
    assert forecast_words(calibrate(runs[:3])) == ""
