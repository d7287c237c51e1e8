"""The first screen: what was run in one line, the picture, and numbers that the viewer prints alike."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from synthetic_run import BOOST, CONFIG, ROUND_1, write_run

from rise.report import write_report
from rise.report.collect import collect
from rise.report.first_screen import first_picture, what_was_run
from rise.report.numbers import hundredfold, percent, points

ROUNDED = {
    0.4625: "46.3",
    0.4635: "46.4",
    0.0005: "0.1",
    0.00049: "0.0",
    0.00050001: "0.1",
    1.0: "100.0",
    1 / 3: "33.3",
    1e-9: "0.0",
}
"""46.25, 46.35 and 0.05 percent go up, though 100 × 0.4635 is 46.349999999999994 in binary."""


def test_what_was_run_stands_in_one_line(tmp_path):
    config = CONFIG + '[task]\nname = "arithmetic"\n[relabel]\nimprover = "self"\nn_samples = 8\n'
    data = collect(write_run(tmp_path / "run", config=config).path)
    assert what_was_run(data) == (
        "a nano model, task arithmetic, improved by the best of 8 replies of its own, 2 rounds, n = 8 test problems, seed 7"
    )


def test_a_model_or_teacher_is_called_by_its_name_and_not_by_where_it_lies(tmp_path):
    config = '[model]\npath = "/somewhere/private/SmolLM2"\n'
    config += '[relabel]\nimprover = "teacher"\nteacher = "http://h/v1#org/big"\n[iterate]\nrounds = 1\n'
    said = what_was_run(collect(write_run(tmp_path / "run", config=config).path))
    assert "model SmolLM2, " in said and "of big, 1 round," in said and "private" not in said


def test_it_is_the_first_line_of_both_pages_and_the_picture_comes_before_any_section(tmp_path):
    html, text = (path.read_text() for path in write_report(write_run(tmp_path / "run").path))
    assert html.index('class="kicker"') < html.index("a nano model, 2 rounds, n = 8 test problems, seed 7") < html.index("<h1>")
    assert html.index("<body>") < html.index('id="figure-first"') < html.index("<nav>") < html.index("<section")
    assert text.splitlines()[2] == "a nano model, 2 rounds, n = 8 test problems, seed 7"
    assert text.index("report.html#figure-first") < text.index("\n## ")


def test_the_picture_has_where_the_rounds_began_and_where_they_ended_and_not_what_lies_between(tmp_path):
    stages = {"base": BOOST, "boost": BOOST, "round-1": ROUND_1, "round-2": ROUND_1}
    drawn = first_picture(collect(write_run(tmp_path / "run", stages).path)).drawn
    assert {name for name in ("base", "boost", "round 1", "round 2", "nothing shown") if name in drawn} == {
        "base",
        "boost",
        "round 2",
        "nothing shown",
    }


def test_a_base_that_the_rounds_began_from_stays_in_the_picture_however_low_it_is(tmp_path):
    low, high = [("wwwww", "wwww", "wwww")] * 20, [("rrrrr", "rrrr", "rrrr")] * 19 + [("wwwww", "wwww", "wwww")]
    assert "base" in first_picture(collect(write_run(tmp_path / "one", {"base": low, "round-1": high}).path)).drawn
    with_boost = first_picture(collect(write_run(tmp_path / "two", {"base": low, "boost": high, "round-1": high}).path)).drawn
    assert "base" not in with_boost and "boost" in with_boost


def test_the_axis_is_filled_by_the_lines(tmp_path):
    """Rounds at 90 to 95 % are not drawn on an axis that begins at 0."""
    high = [("rrrrr", "rrrr", "rrrr")] * 95 + [("wrrrr", "wwww", "wwww")] * 5
    figure = first_picture(collect(write_run(tmp_path / "run", {"base": high, "round-1": high}).path))
    ticks = [float(found) for found in re.findall(r">(\d+(?:\.\d)?)</text>", figure.drawn)]
    assert min(tick for tick in ticks if tick > 5) > 80


@pytest.mark.parametrize(("share", "printed"), ROUNDED.items())
def test_shares_are_rounded_half_up(share, printed):
    assert percent(share) == hundredfold(share, 1) == printed
    assert points(-share) == (f"−{printed}" if float(printed) else printed)


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_the_viewer_rounds_as_the_report_does():
    page = Path(__file__).resolve().parents[2] / "rise/view/page/dom.js"
    script = f"globalThis.window = {{}}; {page.read_text()}; console.log({[*ROUNDED]}.map(rise.percent).join(' '))"
    assert subprocess.run(["node", "-e", script], capture_output=True, text=True, check=True).stdout.split() == [
        *ROUNDED.values()
    ]
