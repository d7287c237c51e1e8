"""What claims.html says of experiments that are half done, and which of several numbers stands in its table."""

from types import SimpleNamespace as Plain

from rise.evaluation.forecast import Trained, calibrate
from rise.report.claims_page import forecast_words, headline, weakest


def item(p, seeds=1):
    return Plain(p=p, found=Plain(by_seed=dict.fromkeys(range(seeds), 0.1)))


def result(verdict, *primary):
    return Plain(verdict=verdict, primary=primary, compared=primary, one_seed=False)


def test_the_comparison_that_the_verdict_stands_and_falls_with_is_shown():
    strong, weak = item(0.001), item(0.7)
    assert weakest(result("undecided", strong, weak)) is weak
    assert weakest(result(None, strong, item(None, seeds=0))) is strong  # a missing number decides nothing
    assert weakest(result(None)) is None


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
