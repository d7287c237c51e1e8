"""What the report says of the chain: drawn, tabled, and in words that go no further than the intervals."""

from __future__ import annotations

import json

import pytest
from synthetic_run import rows, write_run

from rise.report.chain import chain_figure, chain_table, chain_words
from rise.report.collect import collect
from rise.report.first_screen import first_picture


def patterns(**counts):
    """`wrr=20`: twenty problems with that run, with as many samples and controls that stay wrong."""
    return [(run, "w" * (len(run) - 1), "w" * (len(run) - 1)) for run, n in counts.items() for _ in range(n)]


def run_of(tmp_path, **counts):
    return collect(write_run(tmp_path / "run", {"base": patterns(**counts), "round-1": patterns(**counts)}).path)


@pytest.mark.parametrize(
    ("counts", "says"),
    [
        # 100 problems, 40 right; 30 of 60 repaired, 2 of 40 broken: ratio 10 against odds ⅔; f = .5/.55
        ({"rrrrr": 38, "rwwww": 2, "wrrrr": 30, "wwwww": 30}, "the ratio 10 against odds of 0.667, so another turn pays."),
        ({"rrrrr": 38, "rwwww": 2, "wrrrr": 30, "wwwww": 30}, "accuracy ends at 90.9\u00a0% ("),
        ({"rrrrr": 10, "rwwww": 40, "wrrrr": 2, "wwwww": 48}, "so another turn costs more than it brings."),
        ({"rrrrr": 10, "rwwww": 40, "wrrrr": 2, "wwwww": 48}, "Turns to serve: 1."),
        ({"rrrrr": 45, "rwwww": 5, "wrrrr": 5, "wwwww": 45}, "but whether another turn pays is not shown."),
        ({"rrrrr": 50, "wwwww": 50}, "Nothing changes, so there is no plateau to go to."),
        # Turn 2 repairs 90 of 180 and nothing after it does: .68 measured against .9 predicted.
        ({"rrrrr": 114, "rwwww": 6, "wrrrr": 90, "wwwww": 90}, "below: what is still wrong then is harder than the rest."),
        # Half of the wrong at turn 2, all of them at turn 3.
        ({"rrrrr": 20, "rwrrr": 1, "wrrrr": 8, "wwrrr": 71}, "above: later turns repair more than the second."),
    ],
)
def test_the_chain_in_words(tmp_path, counts, says):
    assert says in chain_words(run_of(tmp_path, **counts).last)


def test_the_table_has_the_rates_the_plateau_the_prediction_and_what_was_measured(tmp_path):
    data = run_of(tmp_path, rrrrr=38, rwwww=2, wrrrr=30, wwwww=30)
    cells = [cell.text for cell in rows(chain_table(data))["round 1"]]
    # a: .4, .68, then f + (a − f)·.45: .8060, .8627, .8882. Within a point of .9091 no earlier than turn 6.
    assert cells == ["50.0", "5.0", "10 / 0.667", "+28.0", "90.9", "88.8", "68.0", "5", "100"]


def test_the_prediction_is_drawn_through_the_measured_line_here_and_on_the_first_screen(tmp_path):
    data = run_of(tmp_path, rrrrr=38, rwwww=2, wrrrr=30, wwwww=30)
    for figure in (chain_figure(data), first_picture(data)):
        assert figure.drawn.count("stroke-dasharray") > 0
    assert "plateau" in chain_figure(data).drawn and "Dotted: what turns 1 and 2 predict" in first_picture(data).caption


def test_a_run_measured_before_there_was_a_chain_shows_none(tmp_path):
    run = write_run(tmp_path / "run")
    for stage in run.stages():
        stage.metrics.write_text(json.dumps({k: v for k, v in stage.read_metrics().items() if k != "chain"}))
    data = collect(run.path)
    assert chain_figure(data) is None and chain_table(data).rows == () and chain_words(data.last) == ""
    assert "Dotted" not in first_picture(data).caption
