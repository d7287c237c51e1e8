"""The check that a reply holds: how a judge reads it, and what its words are worth, by hand."""

import json
from collections import Counter

import pytest
from synthetic_run import rows, write_run
from toys import problem

from rise.dataset.build import example_of
from rise.dataset.example import example_from_json
from rise.dataset.report import dataset_report
from rise.evaluation.held_out import HeldOut, held_out_from_json
from rise.evaluation.metrics import measure
from rise.report import write_report
from rise.report.collect import collect
from rise.report.own_check import own_check_table
from rise.tasks.signs_in_words import SignsInWords
from rise.trajectory import Turn, Verdict, to_json, turn_from_json

QUESTION = "Put + or - between 47, 8 and 5 so that the result is 44."


@pytest.mark.parametrize(
    ("reply", "verdict", "says"),
    [
        ("47 - 8 + 5: 47 - 8 = 39, 39 + 5 = 44. Is it 44? yes", Verdict.RIGHT, True),
        ("47 + 8 - 5: 47 + 8 = 55, 55 - 5 = 50. Is it 44? no", Verdict.WRONG, False),
        ("47 + 8 - 5: 47 + 8 = 55, 55 - 5 = 44. Is it 44? yes", Verdict.WRONG, True),  # it lies
        ("47 - 8 + 5: 47 - 8 = 39, 39 + 5 = 44. Is it 44? no", Verdict.WRONG, False),
        ("47 - 8 + 5: 47 - 8 = 39, 39 + 5 = 44.", Verdict.WRONG, None),
        ("I say yes", Verdict.UNPARSABLE, True),
        ("", Verdict.UNPARSABLE, None),
    ],
)
def test_a_judge_of_searches_reads_what_a_reply_says_of_itself(reply, verdict, says):
    found = SignsInWords().judge().judge(problem("p", QUESTION, "47 - 8 + 5"), reply)
    assert (found.verdict, found.own_check) == (verdict, says)


def turn(word):
    """`1y`: right and says so. `0y`: wrong and says that it is right. `0`: wrong, and says nothing of it."""
    right, says = word[0] == "1", {"y": True, "n": False}.get(word[1:])
    return Turn("", Verdict.RIGHT if right else Verdict.WRONG, float(right), "a", own_check=says)


def row(name, run):
    return HeldOut(name, "q", "a", tuple(map(turn, run.split())))


def of(*records, truthful=False):
    return measure(records, lambda left, right: left == right, truthful, 3)["own_check"]


def test_what_the_words_of_checks_are_worth():
    """Nine replies: 1y 0y | 0n 0 | … Yes is said five times, three times rightly; five are wrong, two of them say yes; four are
    right, one of them says no; one says neither."""
    found = of(row("a", "0n 0y 1y"), row("b", "0y 1n 1y"), row("c", "0n 0 1y"))
    values = {name: (found[name]["value"], found[name]["n"]) for name in found}
    assert values == {"precision": (3 / 5, 5), "false_yes": (2 / 5, 5), "false_no": (1 / 4, 4), "silent": (1 / 9, 9)}


def test_where_no_reply_checks_itself_nothing_is_said():
    assert of(row("a", "0 0 1")) is None
    found = of(row("a", "0n 0n 0n"))  # nobody says yes, and nothing is right
    assert found["precision"]["value"] is found["false_no"]["value"] is None and found["false_yes"]["value"] == 0


def test_with_an_oracle_replies_after_the_first_right_one_are_not_read():
    found = of(row("a", "0n 1y 0y"), truthful=True)
    assert found["silent"]["n"] == 2 and found["precision"]["value"] == 1


def test_it_is_kept_in_records_and_examples():
    says = turn("0n")
    assert turn_from_json(json.loads(json.dumps(to_json(says)))) == says
    assert "own_check" not in to_json(turn("0"))
    assert held_out_from_json(to_json(row("a", "0n 0 1y"))) == row("a", "0n 0 1y")
    example = example_of("p", 1, says, (), 1.0)
    assert example.own_check is False and example_from_json(json.loads(json.dumps(to_json(example)))) == example
    of_five = [example, *(example_of("p", k, turn(word), (), 1.0) for k, word in enumerate(("1y", "0y", "1", "0n"), 2))]
    counts = dataset_report(of_five, Counter(), Counter({"judged replies": 5})).counts
    assert counts == {"judged replies": 5, "says of itself: right": 2, "says of itself: wrong": 2}


def test_the_report_has_a_row_for_each_stage_whose_replies_check_themselves(tmp_path):
    run = write_run(tmp_path / "run")
    assert own_check_table(collect(run.path)).rows == ()
    stage = run.stage("round-1")
    metrics = {**stage.read_metrics(), "own_check": of(row("a", "0n 0y 1y"), row("b", "0y 1n 1y"), row("c", "0n 0 1y"))}
    stage.metrics.write_text(json.dumps(metrics))
    table = rows(own_check_table(collect(run.path)))
    assert {title: [cell.text for cell in cells] for title, cells in table.items()} == {
        "round 1": ["60.0", "40.0", "25.0", "11.1", "9"]
    }
    page, text = write_report(run.path)
    assert all("Can the check that replies hold be trusted?" in file.read_text() for file in (page, text))
