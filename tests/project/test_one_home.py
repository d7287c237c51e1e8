"""One fact, one home: whatever is added to a list is found everywhere that shows what the list holds.

Each test adds one thing in the way that a user's own module would: an entry in the one list, and its function. The lists
that other tests look after: stages and parts (tests/runs/test_stages.py).
"""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from synthetic_run import BOOST, ROUND_1, same, write_run
from toys import TINY, small
from typer.testing import CliRunner
from view_run import write_viewed

from rise.cli.main import app
from rise.errors import ConfigError
from rise.evaluation import headline
from rise.evaluation.headline import Difference, Metric
from rise.evaluation.held_out import read_held_out
from rise.evaluation.vote import group
from rise.method.iterate import run as run_recipe
from rise.method.relabel import IMPROVE
from rise.recipe.improvers import IMPROVERS, Improver
from rise.recipe.wordings import FEEDBACK, Feedback
from rise.report import console_table, layout, write_report
from rise.report.compare import read_entries, to_json
from rise.report.drawing import make_figure
from rise.report.measured import measured_table
from rise.report.table import Cell, Table
from rise.runs.card import config_for
from rise.runs.dry_run import dry_run
from rise.trajectory import Turn, read_relabelled
from rise.view.library import Library

SECOND = Metric(
    "two@t{K}",
    "right at turns 1 and 2",
    "Share of problems whose first two replies are both right, of {K} turns.",
    lambda p: float(all(turn.right for turn in p.run[:2])),
)
KEPT = Difference(
    "two@t{K}-t1", "turns 1 and 2 − t1", "two−t1", "Is a right reply kept for a turn?", SECOND.score, headline.first, brief=True
)
AGAIN = Metric(
    "again", "asked again", "Share of replies that follow another.", lambda p: len(p.run) - 1, among=lambda p: len(p.run)
)


@pytest.fixture
def run(tmp_path):
    """A run measured with three numbers more: a share of problems, a difference, a share of replies."""
    lists = {"HEADLINE": SECOND, "PAIRED": KEPT, "REPLIES": AGAIN}
    for name, entry in lists.items():
        getattr(headline, name).append(entry)
    yield write_run(tmp_path / "run", {"boost": BOOST, "round-1": ROUND_1})
    for name, entry in lists.items():
        getattr(headline, name).remove(entry)


def test_a_headline_metric_is_measured_wherever_the_others_are(run):
    # Of round 1's eight problems, rrrrr twice and rrwww begin with two right replies: 3/8; four have a right first one.
    metrics = run.stage("round-1").read_metrics()
    assert metrics["two@t5"]["value"] == 3 / 8 and metrics["paired"]["two@t5-t1"]["value"] == -1 / 8
    assert metrics["again"]["value"] == 4 / 5 and metrics["again"]["n"] == 40
    assert set(metrics["by_field"]["kind"]["sum"]) == {"m1@t1", "m1@t5", "t5", "two@t5"}
    assert metrics["paired"]["previous"]["two@t5"]["value"] == 3 / 8 - 1 / 8  # boost has one problem right at every turn


def test_a_headline_metric_stands_in_both_pages_with_its_meaning(run):
    html, text = (path.read_text() for path in write_report(run.path))
    for page in (html, text):
        assert "two@t5" in page and "37.5" in page and "(−12.5)" in page
        assert "Share of problems whose first two replies are both right, of 5 turns." in page
        assert "turns 1 and 2 − t1" in page and "Is a right reply kept for a turn?" in page
        assert "Share of replies that follow another." in page and "80.0" in page


def test_a_headline_metric_stands_in_the_terminal_the_progress_line_and_show(run):
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(console_table(run.path))
    printed = console.export_text()
    assert "two@t5" in printed and "37.5 −12.5" in printed and "turns 1 and 2 − t1" in printed
    measured = measured_table(run.stage("round-1").read_metrics())
    assert re.search(r"^two@t5 +37\.5 ", measured, re.M) and re.search(r"^again +80\.0 ", measured, re.M)
    shown = CliRunner().invoke(app, ["show", str(run.stage("round-1").metrics)], catch_exceptions=False).output
    assert "two@t5" in shown and "paired two@t5-t1" in shown


def test_a_headline_metric_stands_in_the_viewers_table(run):
    [overview] = Library([run.path]).overview()["runs"]
    columns = [column["label"] for column in overview["columns"]]
    assert {"two@t5", "two−t1", "again"} <= set(columns)
    [stage] = [stage for stage in overview["stages"] if stage["name"] == "round-1"]
    shown = dict(zip(columns, stage["numbers"], strict=True))
    assert shown["two@t5"]["value"] == 3 / 8 and shown["again"]["value"] == 4 / 5
    assert overview["columns"][columns.index("two@t5")]["words"] == "right at turns 1 and 2"
    assert [column["prints"] for column in overview["columns"] if column["label"] == "two−t1"] == ["points"]


def test_a_headline_metric_is_compared_between_runs(run, tmp_path):
    better = write_run(tmp_path / "better", {"boost": BOOST, "round-1": [("rrrrr", "rrrr", "rrrr")] * 8})
    rows = to_json(read_entries([run.path, better.path], same))["runs"]
    assert rows[1]["minus_first"]["two@t5"]["value"] == 5 / 8
    out = tmp_path / "out"
    words = ["compare", str(run.path), str(better.path), "--out", str(out)]
    assert CliRunner().invoke(app, words, catch_exceptions=False).exit_code == 0
    assert "two@t5" in (out / "compare.md").read_text()


def test_a_run_measured_before_the_metric_was_there_shows_a_dash(run):
    stage = run.stage("round-1")
    metrics = stage.read_metrics()
    del metrics["two@t5"], metrics["paired"]["two@t5-t1"]
    stage.metrics.write_text(json.dumps(metrics))
    html, _ = write_report(run.path)
    assert "two@t5" in html.read_text()
    [overview] = Library([run.path]).overview()["runs"]
    assert None in overview["stages"][2]["numbers"]


def scratch_table(data):
    return Table("scratch", "A table of mine", ("stage", "turns"), ((Cell(data.last.title), Cell(str(data.n_turns))),), "Mine.")


def scratch_figure(data):
    return make_figure("scratch", "A figure of mine", "Drawn by me.", lambda canvas: canvas.subplots())


def test_a_table_and_a_figure_added_to_a_section_stand_in_both_pages(tmp_path, monkeypatch):
    path = write_run(tmp_path / "run").path
    first, *rest = layout.SECTIONS
    own = layout.Section("mine", "A section of mine", "Mine", figures=(scratch_figure,), tables=((scratch_table, "folded"),))
    more = replace(first, tables=(*first.tables, (scratch_table, "titled")))
    for sections, titles in (([more, *rest], ["Results"]), ([first, *rest, own], ["A section of mine"])):
        monkeypatch.setattr(layout, "SECTIONS", sections)
        html, text = (page.read_text() for page in write_report(path))
        assert '<table id="table-scratch">' in html and "### A table of mine" in text
        for title in titles:
            assert f"<h2>{title}</h2>" in html and f"## {title}" in text
    assert '<figure id="figure-scratch">' in html and "Drawn by me." in html and 'href="#mine"' in html
    assert "[Figure: A figure of mine](report.html#figure-scratch). Drawn by me." in text


def test_what_a_metric_is_called_stands_in_the_list_alone():
    root = Path(headline.__file__).parents[1]
    files = {path: path.read_text() for kind in ("py", "js", "html") for path in root.rglob(f"*.{kind}")}
    metrics = [*headline.HEADLINE, *headline.REPLIES]
    texts = [metric.meaning for metric in metrics] + [difference.question for difference in headline.PAIRED]
    texts += [metric.words for metric in metrics]
    for text in texts:
        beginning = text.partition("{")[0][:40]
        if len(beginning) < 20:  # words that may be said of other things
            continue
        found = [path.name for path, content in files.items() if beginning in content]
        assert found == ["headline.py"], beginning


def test_a_rule_of_the_served_vote_is_offered_wherever_one_is_chosen():
    from importlib import resources

    from rise.serve.requests import RiseOptions
    from rise.serve.vote import RULES, winner

    offered = RiseOptions.model_json_schema()["properties"]["vote"]["anyOf"][0]["enum"]
    assert offered == [*RULES, "judge"]
    page = resources.files("rise.serve").joinpath("playground", "index.html").read_text()
    assert '<select id="vote"></select>' in page  # filled with what the server says
    ballot = group(["5", "6", "5"], same)
    assert all(winner(ballot, rule).answer in ("5", "6") for rule in RULES)


PAGE = Path(headline.__file__).parents[1] / "view/page"
NODE = shutil.which("node")


def drawn(library):
    """What the page's own scripts draw of a library: the text of the overview, and of the list of every file, by key."""
    keys = library.keys()
    rows = {key: json.loads(library.rows(key, 0, 100)) for key in keys}
    given = json.dumps({"overview": library.overview(), "rows": rows})
    command = [str(NODE), str(Path(__file__).parents[1] / "support/viewer_page.js"), str(PAGE)]
    done = subprocess.run(command, input=given, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.skipif(NODE is None, reason="no node on this machine; test_view_browser.py opens the page itself")
def test_the_viewers_page_draws_the_columns_it_is_given(run):
    run.write_log(stage="round-2", step=10, steps=40, loss=0.5)
    run.write_log(stage="round-2", step=20, steps=40, loss=0.25)
    overview = drawn(Library([run.path]))["overview"]
    for shown in ("two@t5", "two−t1", "−12.5", "37.5", "two@t5: right at turns 1 and 2", "not measured yet: base, round 2"):
        assert shown in overview
    assert "training round 2: step 20 of 40" in overview


@pytest.mark.skipif(NODE is None, reason="no node on this machine; test_view_browser.py opens the page itself")
def test_the_viewers_list_reads_a_row_by_the_names_that_come_with_it(tmp_path, monkeypatch):
    """A column more in front of all the others, and the page shows what it showed."""
    library = Library([write_viewed(tmp_path / "run").path])
    before = drawn(library)
    assert "fixed 2" in before["0/round-1/held-out"] and "kind sum" in before["0/round-1/held-out"]
    assert "student, after 0" in before["0/round-1/examples"] and "2.58" in before["0/round-1/examples"]
    assert "after 2" in before["0/round-1/relabelled"]
    rows = library.rows

    def shifted(key, start, limit):
        found = json.loads(rows(key, start, limit))
        return json.dumps(found | {"columns": ["new", *found["columns"]], "rows": [["x", *row] for row in found["rows"]]})

    monkeypatch.setattr(library, "rows", shifted)
    # The overview says how long ago the run last wrote, which goes on.
    assert drawn(library) | {"overview": ""} == before | {"overview": ""}


@pytest.mark.skipif(NODE is None, reason="no node on this machine; test_view_browser.py opens the page itself")
@pytest.mark.parametrize("script", sorted(path.name for path in PAGE.glob("*.js")))
def test_a_script_of_the_page_is_well_formed(script):
    done = subprocess.run([str(NODE), "--check", str(PAGE / script)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# ---- the method's own lists ----------------------------------------------------------------------------------------------


@pytest.fixture
def echo(monkeypatch):
    """An improver of a user's module: it states the attempt again, in words that can be found."""

    async def again(player, episode, k, asked):
        return [player.judged(episode.problem, Turn(f"echo {episode.shown.turns[k - 1].reply}", source=asked.improver))]

    monkeypatch.setitem(IMPROVERS, "echo", Improver("an echo of the attempt", asks=None))
    monkeypatch.setitem(IMPROVE, "echo", again)


def test_an_improver_is_read_planned_run_reported_and_refused_by_its_near_name(echo, tmp_path, untrained, one_thread):
    recipe = small(relabel={"improver": "echo"}, dataset={"drop_truncated": False})
    assert any("an echo of the attempt behind every attempt" in line for line in dry_run(recipe)[0])
    run = run_recipe(recipe, tmp_path / "run")
    replies = [item.reply for item in read_relabelled(run.stage("round-1").relabelled)]
    assert replies and all(reply.source == "echo" and reply.reply.startswith("echo ") for reply in replies)
    assert any(source.startswith("echo,") for source in run.stage("round-1").read_dataset()["by_source"])
    write_report(run.path)
    for page in ("report.html", "report.md"):
        assert "echo" in (run.path / page).read_text()
    with pytest.raises(ConfigError, match=r'relabel\.improver = .ehco.: no such name. Did you mean "echo"'):
        small(relabel={"improver": "ehco"})


def test_a_feedback_mode_is_shown_planned_and_reported_with_what_it_knows(monkeypatch, tmp_path, untrained, one_thread):
    mode = Feedback("Gold, they say, is hinted at.", "hints at the answer", knows_truth=True)
    monkeypatch.setitem(FEEDBACK, "hint", mode)
    recipe = small(state={"feedback": "hint", "feedback_text": None}, evaluate={"turns": 2}, dataset={"drop_truncated": False})
    recipe = recipe.model_copy(update={"model": recipe.model.model_copy(update={"nano": TINY})})
    assert any("hint: hints at the answer" in line for line in dry_run(recipe)[0])
    run = run_recipe(recipe, tmp_path / "run")
    [held_out, *_] = read_held_out(run.stage("round-1").held_out)
    assert held_out.run[0].feedback == mode.text
    report, _ = write_report(run.path)
    assert "may know" in report.read_text()  # such an evaluation is not one of introspection
    assert config_for(str(run.stage("round-1").checkpoint)).state.feedback == "hint"
