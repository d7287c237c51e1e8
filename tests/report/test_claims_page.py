"""What claims.html says of experiments that are half done, and which of several numbers stands in its table."""

from types import SimpleNamespace as Plain

from rise.report.claims_page import headline, weakest


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
