"""The report: its numbers against numbers worked by hand, and what it may never do."""

from __future__ import annotations

import json
import re
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from matplotlib.figure import Figure as Canvas
from rich.console import Console
from synthetic_run import BOOST, CONFIG, HOSTILE, ROUND_1, held_out, rows, same, write_run

from rise.errors import DataError
from rise.evaluation.metrics import measure
from rise.recipe.toml import load_recipe
from rise.report import console_table, write_report
from rise.report.claims import claims, headline
from rise.report.collect import choose, collect
from rise.report.colours import plain_colours
from rise.report.data_tables import cost_table, data_table
from rise.report.layout import lay_out
from rise.report.page import render_html, write_main_picture
from rise.report.recipe import read_config
from rise.report.result_figures import main_picture
from rise.report.result_tables import (
    compute_table,
    kinds_table,
    main_table,
    paired_table,
    previous_table,
    transitions_table,
)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A finished run and its two pages, which take seconds to draw: for tests that read them alone."""
    run = write_run(tmp_path_factory.mktemp("written") / "run")
    return run, *write_report(run.path)


def test_the_main_table_is_the_papers_with_changes_from_m1_at_t1_of_the_same_row(tmp_path):
    # Round 1, eight problems. Turn 1 right: 4. Turn 5 right: 5. Right at any turn: 6.
    # Vote over turns: wrong answers all differ, so two right ones win: 6 (problem 6 too, "rrwww").
    # Vote over samples: 1 + 1 + 1/5 (five-way tie) + 0 + 1 + 1 + 1/5 + 0 = 4.4 of 8.
    data = collect(write_run(tmp_path / "run").path)
    table = main_table(data)
    assert table.columns[1:7] == ("m1@t1", "m5@t1", "m1@t5", "p1@t5", "p5@t1", "t5")
    shown = [(cell.text, cell.bracket) for cell in rows(table)["round 1"][:6]]
    assert shown == [("50.0", ""), ("55.0", "+5.0"), ("75.0", "+25.0"), ("75.0", "+25.0"), ("75.0", "+25.0"), ("62.5", "+12.5")]


def test_tokens_stand_beside_the_comparison_at_equal_samples(tmp_path):
    # Six tokens a reply. Five samples: 5 × (10 + 6) = 80 in all. Five turns: 10 + 4 × 30 + 5 × 6 = 160.
    data = collect(write_run(tmp_path / "run").path)
    samples, turns, n = rows(main_table(data))["round 1"][6:]
    assert (samples.text, samples.small, turns.text, turns.small, n.text) == (
        "30",
        "80 in all",
        "30",
        "160 in all",
        "8",
    )
    assert "equal numbers of samples, not equal tokens" in main_table(data).caption
    assert [cell.text for cell in rows(compute_table(data))["1"]] == ["50.0", "50.0", "6", "50.0", "50.0", "6"]


def test_transitions_count_replies_and_the_four_ends_count_problems(tmp_path):
    # Wrong replies at turns 1 to 4: 1 + 2 + 1 + 2 + 4 + 4 = 14, three of them repaired. Right ones: 18, two lost.
    cells = rows(transitions_table(collect(write_run(tmp_path / "run").path)))["round 1"]
    assert [cell.text for cell in cells[:2]] == ["21.4", "11.1"]
    assert [cell.text for cell in cells[2:6]] == ["25.0", "12.5", "37.5", "25.0"]  # w→r, r→w, r→r, w→w: they sum to 100


def test_differences_are_marked_only_where_the_interval_leaves_out_zero(tmp_path):
    data = collect(write_run(tmp_path / "run", {"boost": BOOST, "round-1": [("wrrrr", "wwww", "wwww")] * 50}).path)
    tones = [(cell.text, cell.tone) for cell in rows(paired_table(data))["round 1"][:3]]
    assert tones == [("+100.0", "above")] * 3
    assert rows(paired_table(data))["boost"][0].tone == "unsure"


def test_each_stage_is_compared_with_the_one_before(tmp_path):
    # Boost has 1 of 8 right at every turn; round 1 has 4 at turn 1 and 5 at turn 5.
    against, first, _, last, n = rows(previous_table(collect(write_run(tmp_path / "run").path)))["round 1"]
    assert (against.text, first.text, last.text, n.text) == ("boost", "+37.5", "+50.0", "8")


def test_the_last_stage_is_shown_by_every_field_that_says_a_kind(tmp_path):
    run = write_run(tmp_path / "run")
    table = kinds_table(collect(run.path))
    assert table.columns[0] == "kind" and list(rows(table)) == ["product", "sum"]
    stage = run.stage("round-1")
    metrics = stage.read_metrics()
    metrics["by_field"]["level"] = {"3": metrics["by_field"]["kind"]["sum"]}
    stage.metrics.write_text(json.dumps(metrics))
    table = kinds_table(collect(run.path))
    assert list(rows(table)) == ["kind product", "kind sum", "level 3"] and table.title.startswith("By kind and level of problem")


def test_a_folder_that_is_no_round_is_left_aside(tmp_path):
    run = write_run(tmp_path / "run")
    for name in ("round-old", "round-", "round-1-bad"):
        shutil.copytree(run.stage("round-1").path, run.path / name)
    assert [stage.name for stage in run.stages()] == ["boost", "round-1"]
    write_report(run.path)


def test_what_is_missing_prints_as_a_dash_and_never_as_zero(tmp_path):
    data = collect(write_run(tmp_path / "run").path)  # the recipe has two rounds and a base; one round ran
    table = rows(main_table(data))
    assert list(table) == ["base", "boost", "round 1", "round 2"]
    assert {cell.text for cell in table["round 2"]} == {"–"}
    assert [stage.title for stage in data.unmeasured] == ["base", "round 2"]


def test_a_run_that_has_only_begun_renders(tmp_path):
    run = write_run(tmp_path / "run", {"boost": BOOST})
    run.stage("boost").metrics.unlink()
    run.stage("boost").held_out.unlink()
    html, text = write_report(run.path)
    assert "No stage has been measured yet." in html.read_text() and "No stage has been measured yet." in text.read_text()
    Console(file=(tmp_path / "out").open("w"), width=80).print(console_table(run.path))


def test_a_stage_that_the_recipe_never_measures_is_no_missing_row(tmp_path):
    run = write_run(tmp_path / "run")  # also_one_turn = false
    one_turn = run.stage("boost-one-turn")
    one_turn.path.mkdir()
    one_turn.dataset.write_text(run.stage("boost").dataset.read_text())
    data = collect(run.path)
    assert "boost, one-turn only" not in rows(main_table(data))
    assert "boost, one-turn only" in data_table(data).columns


def test_the_data_table_names_every_drop(tmp_path):
    table = rows(data_table(collect(write_run(tmp_path / "run").path)))
    assert table["dropped: cut at the token limit"][0].text == "4"
    assert table["from student, not right"][0].text == "2"
    assert table["problems with one judged reply"][0].text == "2"
    assert table["effective sample size of the weights"][0].text == "1.34"


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        (("wrrrr", "wwww", "wwww"), "After round 1, the model corrects itself: 100.0\u00a0% of last replies"),
        (("wrrrr", "wwww", ""), "better than first ones: 100.0\u00a0% of last replies"),
        (("wrrrr", "rrrr", "wwww"), "not surely better than a fresh sample with nothing shown, so this is not shown"),
        (("rwwww", "rrrr", "wwww"), "asking again makes the answers worse: 0.0\u00a0% of last replies"),
        (("rrrrr", "rrrr", "rrrr"), "this run does not show that the model corrects itself"),
    ],
)
def test_the_headline_says_no_more_than_the_intervals(tmp_path, pattern, says):
    data = collect(write_run(tmp_path / "run", {"round-1": [pattern] * 60}).path)
    assert says in headline(data)


def test_the_headline_says_plainly_that_an_interval_includes_zero(tmp_path):
    # 5 of 8 against 4 of 8: +12.5 points of eight problems is nothing to build on.
    data = collect(write_run(tmp_path / "run").path)
    assert "62.5\u00a0% of last replies (turn 5) are right against 50.0\u00a0% of first" in headline(data)
    assert "+12.5 points" in headline(data) and "the interval includes zero" in headline(data)
    assert claims(data)[0].answer == "undecided"


def test_what_an_oracle_found_is_never_called_self_correction(tmp_path):
    run = write_run(tmp_path / "run", config=CONFIG + '\n[state]\nfeedback = "truthful"\n')
    stopped = [held_out(i, p) for i, p in enumerate([("wr", "wwww", ""), ("wwwww", "wwww", "")])]
    run.stage("round-1").metrics.write_text(json.dumps(measure(stopped, same, truthful=True, turns=5)))
    data = collect(run.path)
    assert "The feedback knew the truth" in main_table(data).caption
    assert "50.0\u00a0% of problems are solved within 5 turns" in headline(data)
    assert "corrects itself" not in headline(data)
    assert [claim.answer for claim in claims(data)[:2]] == ["not measured", "not measured"]  # the controls
    render_html(lay_out(data))


def test_trajectories_are_chosen_by_hash_whatever_the_order_of_the_file():
    records = [held_out(i, pattern) for i, pattern in enumerate(ROUND_1)]
    counts, chosen = choose(records, 1)
    assert counts == {"kept": 2, "fixed": 2, "wavered": 1, "broken": 1, "never": 2}
    assert [c.outcome for c in chosen] == ["fixed", "broken", "never"]
    assert choose(reversed(records), 1) == (counts, chosen)


def test_what_a_model_writes_cannot_become_markup(tmp_path):
    html, text = write_report(write_run(tmp_path / "run", hostile=True).path)
    page = html.read_text()
    assert HOSTILE.startswith("<script>") and "<script" not in page
    assert "&lt;script&gt;" in page and "{{ 7*7 }}" in page and "\x1b" not in page
    outside_fences = re.sub(r"(?ms)^(`{3,}).*?^\1$", "", text.read_text())
    assert "<script" not in outside_fences and "\x1b" not in text.read_text()


def test_a_hostile_recipe_name_or_drop_reason_is_text_too(tmp_path):
    run = write_run(tmp_path / "run", config=CONFIG.replace('"toy"', '"<b>|x"'))
    dataset = json.loads(run.stage("boost").dataset.read_text())
    run.stage("boost").dataset.write_text(json.dumps(dataset | {"dropped": {"<i>|reason": 1}}))
    html, text = write_report(run.path)
    assert "<b>|x" not in html.read_text() and "<i>" not in html.read_text()
    assert "&lt;i&gt;\\|reason" in text.read_text()


def test_the_page_needs_nothing_else_and_leads_nowhere_but_to_the_paper(written):
    run, html, _ = written
    page = html.read_text()
    assert re.findall(r'(?:src|href)="(?!#)([^"]*)"', page) == ["https://arxiv.org/abs/2407.18219"]
    assert not re.search(r"url\((?!#)|@import|<link", page)
    assert str(run.path.parent) not in page and "/somewhere" not in page
    assert "rise run recipes/nano.toml" in page


def test_the_same_run_gives_the_same_bytes(written):
    run, *pages = written
    first = [path.read_bytes() for path in pages]
    assert [path.read_bytes() for path in write_report(run.path)] == first


def test_pictures_share_no_id_and_leave_no_placeholder(written):
    page = written[1].read_text()
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:url\(|href=")#([^)"]+)', page)) <= set(ids)
    assert "#00fe" not in page


def test_every_picture_of_a_finished_run_is_there(written):
    page = written[1].read_text()
    keys = set(re.findall(r'<figure id="figure-([^"]+)"', page))
    assert keys == {
        "first",
        "chain",
        "turns",
        "controls",
        "votes",
        "transitions",
        "ends",
        "compute-samples",
        "compute-generated-tokens",
        "compute-all-tokens",
        "one-turn",
        "steps",
        "hard",
        "paired",
        "paired-other",
        "data-boost",
        "data-round-1",
        "training",
        "time",
    }


def test_the_main_picture_stands_alone(tmp_path):
    target = tmp_path / "main.svg"
    assert write_main_picture(write_run(tmp_path / "run").path, target) == target
    root = ET.fromstring(target.read_text())
    assert root.tag.endswith("svg")
    assert "var(" not in target.read_text() and "#00fe" not in target.read_text()


def test_the_two_halves_of_the_main_picture_are_read_on_one_axis(tmp_path):
    """Rounds at 20 to 70 %, a control at 0: both halves begin at 0, so equal heights are equal shares."""
    canvas = Canvas()
    with plain_colours():
        main_picture(collect(write_run(tmp_path / "run").path)).draw(canvas)
    left, right = canvas.axes
    assert left.get_ylim() == right.get_ylim() and left.get_ylim()[0] < 25


def test_the_markdown_holds_the_same_tables_as_the_page(written):
    run, html, text = written
    shown = [filled for filled in lay_out(collect(run.path)).sections if filled.tables]
    assert len(shown) > 4
    for filled in shown:
        assert f"\n## {filled.section.title}" in text.read_text()
        for table, _ in filled.tables:
            assert f"### {table.title}" in text.read_text()
            assert f'<table id="table-{table.key}">' in html.read_text()
    assert r"| round 1 | 50.0 \[17.4–82.6\] | 55.0 (+5.0) \[" in text.read_text()


def test_a_part_that_ended_twice_adds_up_and_a_step_done_again_counts_once(tmp_path):
    run = write_run(tmp_path / "run")
    run.write_log(stage="boost", part="rollout", seconds=3.0, n_replies=5)
    run.write_log(stage="boost", step=40, loss=9.0)
    with run.log.open("a") as log:
        log.write('{"stage":"boost","step":41,"lo')  # the line being written when the run was killed
    boost = next(stage for stage in collect(run.path).stages if stage.name == "boost")
    assert (boost.parts[0].seconds, boost.parts[0].n_replies) == (15.0, 105)
    assert (len(boost.training), boost.training[-1]["loss"]) == (40, 9.0)


def test_the_terminal_table_fits_eighty_columns(tmp_path):
    run = write_run(tmp_path / "run")
    console = Console(width=80, record=True, file=(tmp_path / "out").open("w"))
    console.print(console_table(run.path))
    text = console.export_text()
    assert "55.0 +5.0" in text and "…" not in text.split("Paired")[0]
    assert "this run does not show" in text


@pytest.mark.parametrize("make", ["missing", "empty", "broken"])
def test_what_is_no_run_is_refused_in_one_sentence(tmp_path, make):
    path: Path = tmp_path / "run"
    if make == "empty":
        path.mkdir()
    if make == "broken":
        write_run(path).stage("boost").metrics.write_text("{")
    with pytest.raises(DataError, match=r"no such run|no run directory|cannot be read as JSON"):
        write_report(path)


@pytest.mark.parametrize(
    ("settings", "oracle"),
    [
        ('[state]\nfeedback = "truthful"\n', "stops"),
        ('[state]\nfeedback = "my:words"\n', "may know"),
        ('[state]\nfeedback = "truthful"\n[evaluate.state]\nfeedback = "self-refine"\n', ""),  # evaluation is what was measured
    ],
)
def test_what_the_feedback_knew_is_that_of_the_evaluation(tmp_path, settings, oracle):
    run = write_run(tmp_path / "run", config=CONFIG + settings)
    assert collect(run.path).oracle == oracle


def test_requests_sent_again_are_counted_by_reason_where_there_were_any(tmp_path):
    run = write_run(tmp_path / "run")
    assert "sent again" not in cost_table(collect(run.path)).columns
    for again in ({"status 429": 2, "timed out": 1}, {"status 429": 3}):  # a part that was stopped and continued
        run.write_log(stage="round-1", part="relabel", seconds=1.0, n_requests=9, sent_again=again)
    table = cost_table(collect(run.path))
    assert table.columns[-1] == "sent again"
    [cell] = [row[-1].text for row in table.rows if row[1].text == "relabel"]
    assert cell == "5 × status 429, 1 × timed out"
    assert {len(row) for row in table.rows} == {len(table.columns)}


def test_what_replies_cost_stands_beside_the_part_that_paid_it(tmp_path):
    run = write_run(tmp_path / "run")
    assert "price" not in cost_table(collect(run.path)).columns
    for price in (0.5, 1.25):  # a part that was stopped and continued
        run.write_log(stage="round-1", part="relabel", seconds=1.0, n_replies=3, price=price)
    table = cost_table(collect(run.path))
    assert table.columns[-1] == "price"
    assert [row[-1].text for row in table.rows if row[1].text == "relabel"] == ["1.75"]
    assert {len(row) for row in table.rows} == {len(table.columns)}


def test_whether_an_oracle_stopped_the_runs_is_in_the_metrics():
    stopped = [held_out(i, p) for i, p in enumerate([("wr", "wwww", ""), ("wwwww", "wwww", "")])]
    assert measure(stopped, same, truthful=True, turns=5)["truthful"] is True
    assert measure([held_out(0, ("wwwww", "wwww", ""))], same)["truthful"] is False


def test_what_is_measured_and_trained_on_too_stands_in_both_pages(tmp_path):
    run = write_run(tmp_path / "run")
    levels = {"exact": {"n": 2, "first": "6*7=?"}, "up to numbers": {"n": 8, "first": None}}
    run.write_log(overlap={"n": 8, "n_training": 30, "levels": levels})
    for page in (path.read_text() for path in write_report(run.path)):
        assert "Measured problems that are trained on too" in page and ("6*7=?" in page or r"6\*7=?" in page)
        assert "among 30 that are trained on" in page and "25.0" in page and "100.0" in page


def test_a_recipe_saved_with_a_byte_order_mark_is_read(tmp_path):
    """As Windows' editor saves it; `rise run` reads it too."""
    run = write_run(tmp_path / "run", {"boost": BOOST})
    run.config.write_text("\ufeff" + CONFIG, encoding="utf-8")
    assert collect(run.path).config["seed"] == 7 and collect(run.path).config_text == CONFIG
    assert read_config(run) == load_recipe(run.config)
