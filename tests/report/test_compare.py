"""`rise compare`: runs beside each other on the same problems, differences pair by pair, worked out by hand."""

import json
import shutil

import pytest
from synthetic_run import BOOST, ROUND_1, held_out, same, write_run
from typer.testing import CliRunner

from rise.cli.main import app
from rise.errors import DataError
from rise.evaluation.compare import difference, read_outs, score
from rise.evaluation.held_out import write_held_out
from rise.evaluation.metrics import measure
from rise.jsonl import dumps
from rise.report.compare import find_stage, paired_table, read_entries, results_table, to_json, within_table
from rise.report.compare_figure import compare_figure
from rise.trajectory import to_json as plain

BETTER = [("rrrrr", *rest) for _, *rest in ROUND_1[:4]] + list(ROUND_1[4:])
"""ROUND_1 with its first four problems right at every turn."""

CONFIG = """name = "toy"

[model.nano]
hidden = 8

[boost]
enabled = true
also_one_turn = false
"""


@pytest.fixture
def two(tmp_path):
    first = write_run(tmp_path / "plain", {"boost": BOOST, "round-1": ROUND_1}, config=CONFIG)
    second = write_run(tmp_path / "better", {"boost": BOOST, "round-1": BETTER}, config=CONFIG)
    for run, n in ((first, 1000), (second, 1003)):
        run.write_log(stage="boost", part="train", seconds=1.0, n_trained_tokens=77)
        run.write_log(stage="round-1", part="train", seconds=1.0, n_trained_tokens=n)
    return first, second


def test_every_number_of_the_table_on_one_problem():
    # Run w r r u r: first wrong, r wins the vote 3 : 1. Samples w(run) r r w w: r has two, each wrong answer one.
    record = held_out(0, ("wrrur", "rrww", "wwww"))
    assert read_outs(record, same, turns=5) == {"m1@t1": 0, "m5@t1": 1, "m1@t5": 1, "p1@t5": 1, "p5@t1": 1, "t5": 1}
    # An oracle would have stopped at turn 2, with one vote each: half.
    assert read_outs(record, same, turns=5, truthful=True)["m1@t5"] == 0.5


def test_differences_are_over_the_problems_that_both_were_asked():
    left = score([held_out(i, p) for i, p in enumerate(BETTER)], same, turns=5)
    right = score([held_out(i, p) for i, p in enumerate(ROUND_1)][2:], same, turns=5)
    found = difference(left, right, "m1@t1")
    # Of problems 2 … 7, two (2 and 3) are newly right at turn 1.
    assert (found.value, found.n) == (pytest.approx(2 / 6), 6)
    other = score([held_out(99, ROUND_1[0])], same, turns=5)
    with pytest.raises(DataError, match="no problem in common"):
        difference(left, other, "m1@t1")


def test_the_table_pairs_each_run_with_the_first(two):
    data = to_json(read_entries([run.path for run in two], same))
    plain_row, better = data["runs"]
    assert (plain_row["label"], better["label"], data["first"]) == ("plain", "better", "plain")
    assert (plain_row["m1@t1"]["value"], better["m1@t1"]["value"]) == (0.5, 0.75)  # 4 and 6 of 8
    assert plain_row["minus_first"] is None
    assert better["minus_first"]["m1@t1"]["value"] == 0.25 and better["minus_first"]["m1@t1"]["n"] == 8
    assert better["minus_first"]["t5"]["value"] == 0.0  # the same problems are right at the end
    assert (plain_row["trained_tokens"], better["trained_tokens"]) == (1000, 1003)  # the boost's are everybody's
    assert better["m5@t1 at best temperature"]["value"] is None


def test_what_was_drawn_to_train_on_stands_beside_what_was_trained(two):
    """Two turns and an improved reply of 5 tokens each in round 1; the evaluation's reply is none of them."""
    first, _ = two
    said = ("round-1/rollout", "round-1/rollout", "round-1/relabel", "round-1/evaluate", "boost/rollout")
    lines = [{"key": str(i), "purpose": name, "turn": {"n_reply_tokens": 5}} for i, name in enumerate(said)]
    first.ledger.write_text("".join(json.dumps(line) + "\n" for line in [*lines, {"key": "9", "purpose": "round-1/relabel"}]))
    entries = read_entries([first.path, first.path / "boost"], same)
    assert [(e.drawn.replies, e.drawn.tokens) for e in entries] == [(3, 15), (0, 0)]
    assert to_json(entries)["runs"][0]["drawn"] == {"replies": 3, "tokens": 15}
    assert results_table(entries).rows[0][-2].small == "15 sampled" and results_table(entries).rows[1][-2].small == ""


def test_a_stage_may_be_named_and_stands_with_its_run(two):
    first, second = two
    entries = read_entries([first.path / "boost", first.path, second.path], same)
    assert [e.label for e in entries] == ["plain, boost", "plain, round 1", "better, round 1"]
    assert entries[0].trained_tokens is None


def test_runs_that_have_come_unequally_far_are_named_with_their_stages(two, tmp_path):
    further = write_run(tmp_path / "further", {"boost": BOOST, "round-1": ROUND_1, "round-2": BETTER}, config=CONFIG)
    labels = [e.label for e in read_entries([further.path, two[0].path], same)]
    assert labels == ["further, round 2", "plain, round 1"]
    assert [e.label for e in read_entries([further.path / "round-1", two[0].path], same)] == ["further, round 1", "plain"]
    assert [e.label for e in read_entries([run.path for run in two], same)] == ["plain", "better"]


def test_the_vote_at_its_own_best_temperature_is_set_beside_the_turns(two):
    folder = two[0].stage("round-1").path / "temperature"
    folder.mkdir()
    # At its best temperature the vote is right on the first six problems: 3/4.
    patterns = [("r", "rrrr", "")] * 6 + [("w", "wwww", "")] * 2
    (folder / "held-out.jsonl").write_text("".join(dumps(plain(held_out(i, p))) + "\n" for i, p in enumerate(patterns)))
    estimate = {"value": 0.75, "low": 0.4, "high": 0.9, "n": 8}
    (folder / "temperature.json").write_text(
        json.dumps({"best": 0.8, "validation": [], "samples": 5, "test": {"m5@t1": estimate}})
    )
    [row, _] = to_json(read_entries([run.path for run in two], same))["runs"]
    assert (row["best_temperature"], row["m5@t1 at best temperature"]) == (0.8, estimate)
    # m1@t5 of ROUND_1 by hand: problems 0 1 3 4 win their votes, 2 too (4 of 5), 5 is 2 right against three different
    # wrong answers, so right; 6 and 7 lose. 6/8, and the same six as the vote at its best: difference 0.
    assert row["m1@t5"]["value"] == 0.75
    assert row["m1@t5-m5@t1 at best temperature"]["value"] == 0.0


def test_metrics_say_whether_an_oracle_stopped_runs_and_older_ones_are_told_by_their_lengths(two):
    """Every run here has five turns, so that lengths alone would not tell."""
    stage = two[0].stage("round-1")
    records = [held_out(0, ("wrwww", "wwww", "")), held_out(1, ("rrrrr", "rrrr", ""))]
    write_held_out(stage.held_out, records)

    def voted(metrics):
        stage.metrics.write_text(json.dumps(metrics))
        [entry] = read_entries([two[0].path], same)
        return entry.scores["p0000"]["m1@t5"]

    # Told the truth, the first run is read up to its second turn: one vote each. Else four wrong answers and a right one.
    assert voted(measure(records, same, truthful=True, turns=5)) == 0.5
    assert voted(measure(records, same)) == pytest.approx(1 / 5)
    old = measure(records, same)
    del old["truthful"]
    assert voted(old) == pytest.approx(1 / 5)


def test_an_oracle_on_one_side_is_said_and_its_differences_are_no_finding(two):
    """The first run is told the truth: by hand, wrong then right beside five wrong samples is ½ − 0, which means nothing."""
    patterns = [("wr" * 2 + "w", "wwww", "")] * 30 + [("wwwww", "wwww", "")] * 10
    records = [held_out(i, pattern) for i, pattern in enumerate(patterns)]
    for run, truthful in ((two[0], False), (two[1], True)):
        write_held_out(run.stage("round-1").held_out, records)
        run.stage("round-1").metrics.write_text(json.dumps(measure(records, same, truthful=truthful, turns=5)))
    entries = read_entries([run.path for run in two], same)
    free, told = to_json(entries)["runs"]
    assert (free["truthful"], told["truthful"]) == (False, True)
    assert told["m1@t5-m5@t1"]["value"] is None and told["paired"]["m1@t5-m5@t1"]["value"] is None
    assert free["m1@t5-m5@t1"]["value"] == free["paired"]["m1@t5-m5@t1"]["value"] is not None
    assert told["minus_first"]["t5"]["value"] == 0.75  # 30 of 40, where none is right at turn 5
    table = paired_table(entries)
    tones = {name: cell.tone for name, cell in zip(table.columns, table.rows[0], strict=True)}
    assert (tones["t5"], tones["m1@t1"]) == ("", "unsure")  # the first turn has no oracle
    within = {row[0].text: row[1:] for row in within_table(entries).rows}
    assert within["last reply − first (t5 − t1)"][1].tone == ""
    for shown in (table, within_table(entries), results_table(entries)):
        assert "An oracle ended the runs of better: t5 and p1@t5" in shown.caption and "the others have not" in shown.caption
    assert "oracle ended" not in paired_table([entries[0], entries[0]]).caption


def test_a_lone_evaluation_stands_beside_runs(two, tmp_path):
    lone = tmp_path / "by-hand"
    shutil.copytree(two[1].stage("round-1").path, lone)
    entries = read_entries([two[0].path, lone], same)
    assert [(e.label, e.trained_tokens) for e in entries] == [("plain", 1000), ("by-hand", None)]
    assert to_json(entries)["runs"][1]["minus_first"]["m1@t1"]["value"] == 0.25


def test_what_cannot_be_compared_is_said(two, tmp_path):
    other = write_run(tmp_path / "three", {"boost": [("rrr", "rrrr", "rr")]}, config=CONFIG)
    with pytest.raises(DataError, match="plain, round 1 over 5 turns with 5 samples; three, boost over 3 turns with 5 samples"):
        read_entries([two[0].path, other.path], same)
    with pytest.raises(DataError, match=r"no config\.toml"):
        find_stage(tmp_path)
    with pytest.raises(DataError, match="has not been measured"):
        find_stage(two[0].path / "round-9")


def test_the_command_prints_and_writes_table_figure_and_json(two, tmp_path):
    words = ["compare", *(str(run.path) for run in two), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert done.exit_code == 0 and "better" in done.output and "+25.0" in done.output
    text = (tmp_path / "out/compare.md").read_text()
    assert "Minus plain, pair by pair" in text and "| better |" in text
    svg = (tmp_path / "out/compare.svg").read_text()
    assert svg.startswith("<?xml") and "all tokens per problem" in svg and "#00fe" not in svg
    assert json.loads((tmp_path / "out/compare.json").read_text())["first"] == "plain"
    done = CliRunner().invoke(app, [*words[:3], "--json"], catch_exceptions=False)
    assert [row["label"] for row in json.loads(done.output)["runs"]] == ["plain", "better"]


def test_the_figure_has_a_line_for_each_run_and_way(two):
    figure = compare_figure(read_entries([run.path for run in two], same))
    for text in ("plain", "better", "samples per problem", "generated tokens per problem", "all tokens per problem"):
        assert text in figure.drawn
