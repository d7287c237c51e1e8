"""The numbers of metrics.json, each worked out by hand on three problems."""

import json
import time

import pytest

from rise.errors import DataError, EmptyStageError
from rise.evaluation.held_out import HeldOut, held_out_from_json, read_held_out
from rise.evaluation.metrics import by_field, by_fields, measure, paired_stages
from rise.evaluation.vote import vote
from rise.jsonl import write_jsonl
from rise.trajectory import Turn, Verdict, to_json


def same(left, right):
    return float(left) == float(right)


def turns(answers, first_turn=1, prompt_grows=False):
    """One reply per word: "4" is right, "-" no answer, anything else wrong; 10 prompt tokens a turn shown, 3 reply tokens."""
    out = []
    for k, answer in enumerate(answers.split(), first_turn):
        verdict = Verdict.UNPARSABLE if answer == "-" else Verdict.RIGHT if float(answer) == 4 else Verdict.WRONG
        n_prompt_tokens = 10 * k if prompt_grows else 10
        out.append(
            Turn(
                reply=f"so {answer}",
                verdict=verdict,
                reward=float(verdict is Verdict.RIGHT),
                answer=None if answer == "-" else answer,
                n_prompt_tokens=n_prompt_tokens,
                n_reply_tokens=3,
            )
        )
    return tuple(out)


def record(name, run, samples="", other="", **fields):
    return HeldOut(name, "2+2?", "4", turns(run, prompt_grows=True), turns(samples), turns(other), fields)


THREE = [
    record("repairs", run="5 4 4", samples="4 5", other="5 5", kind="sum"),
    record("breaks", run="4 5 -", samples="4 4", other="4 4", kind="sum"),
    record("never", run="- 6 7", samples="- -", other="- -", kind="product"),
]


def values(estimates):
    return [estimate["value"] for estimate in estimates]


def test_the_five_headline_numbers():
    m = measure(THREE, same)
    assert m["m1@t1"]["value"] == pytest.approx(1 / 3)  # breaks
    assert m["m3@t1"]["value"] == pytest.approx(1 / 3)  # 5 4 5 → 0; 4 4 4 → 1; nobody answers → 0
    assert m["m1@t3"]["value"] == pytest.approx(1 / 2)  # 5 4 4 → 1; 4 5 - → ½, a tie; - 6 7 → 0
    assert m["p1@t3"]["value"] == pytest.approx(2 / 3)
    assert m["p3@t1"]["value"] == pytest.approx(2 / 3)
    assert all(m[name]["n"] == 3 and m[name]["low"] < m[name]["value"] < m[name]["high"] for name in ("m1@t1", "m1@t3"))


def test_curves_by_turn_and_by_sample():
    m = measure(THREE, same)
    assert values(m["accuracy_by_turn"]) == pytest.approx([1 / 3, 1 / 3, 1 / 3])
    assert values(m["vote_by_turn"]) == pytest.approx([1 / 3, (0.5 + 0.5 + 0) / 3, (1 + 0.5 + 0) / 3])
    assert values(m["pass_by_turn"]) == pytest.approx([1 / 3, 2 / 3, 2 / 3])
    assert values(m["parallel_vote"]) == pytest.approx([1 / 3, (0.5 + 1 + 0) / 3, 1 / 3])
    assert values(m["parallel_pass"]) == pytest.approx([1 / 3, 2 / 3, 2 / 3])


def test_transitions_are_shares_of_the_replies_that_could_change():
    m = measure(THREE, same)
    # Wrong at turns 1–2: repairs 1, breaks 2, never 1 and 2. One of the four is repaired. No answer counts as wrong.
    assert (m["wrong_to_right"]["value"], m["wrong_to_right"]["n"]) == (0.25, 4)
    # Right at turns 1–2: repairs 2 (kept), breaks 1 (broken).
    assert (m["right_to_wrong"]["value"], m["right_to_wrong"]["n"]) == (0.5, 2)
    first, second = m["transitions_by_turn"]
    assert (first["wrong_to_right"]["value"], first["right_to_wrong"]["value"]) == (0.5, 1.0)
    assert (second["wrong_to_right"]["value"], second["right_to_wrong"]["value"]) == (0.0, 0.0)


def test_first_to_last_shares_are_of_all_problems():
    m = measure(THREE, same)["first_to_last"]
    shares = {name: estimate["value"] for name, estimate in m.items()}
    assert shares == pytest.approx({"right_right": 0, "right_wrong": 1 / 3, "wrong_right": 1 / 3, "wrong_wrong": 1 / 3})
    assert m["right_right"]["high"] > 0.5  # three problems do not show that it never happens


def test_repeated_and_unparsable_are_shares_of_replies():
    m = measure(THREE, same)
    assert (m["repeated"]["value"], m["repeated"]["n"]) == (pytest.approx(1 / 6), 6)  # only 4 → 4
    assert (m["unparsable"]["value"], m["unparsable"]["n"]) == (pytest.approx(2 / 9), 9)


def test_no_answer_twice_is_not_a_repeat_but_another_form_of_the_same_answer_is():
    m = measure([record("a", run="- - 5 5.0", samples="5 5 5")], same)
    assert (m["repeated"]["value"], m["repeated"]["n"]) == (pytest.approx(1 / 3), 3)


def test_controls_share_turn_one_with_the_run():
    m = measure(THREE, same)
    assert values(m["controls"]["nothing"]["accuracy_by_turn"]) == pytest.approx([1 / 3, 2 / 3, 1 / 3])  # samples 1, 2, 3
    assert values(m["controls"]["other"]["accuracy_by_turn"]) == pytest.approx([1 / 3, 1 / 3, 1 / 3])
    assert m["controls"]["nothing"]["accuracy_by_turn"][0] == m["controls"]["other"]["accuracy_by_turn"][0] == m["m1@t1"]


def test_paired_differences():
    paired = measure(THREE, same)["paired"]
    assert {name: estimate["value"] for name, estimate in paired.items()} == pytest.approx(
        {
            "m1@t3-m3@t1": (1 - 0.5 + 0) / 3,
            "t3-t1": 0,  # one repaired, one broken
            "p1@t3-p3@t1": 0,
            "t3-nothing": 0,  # repairs: right against 5; breaks: none against 4
            "t3-other": 0,
            "t3-beyond": None,  # nothing stopped by itself
            "t3-internalised": None,  # was not run
            "t3-m3-internalised": None,
        }
    )
    assert all(estimate["low"] < 0 < estimate["high"] for estimate in paired.values() if estimate["n"])


def test_a_control_not_run_is_null():
    m = measure([record("a", run="5 4", samples="5"), record("b", run="5 5", samples="4")], same)
    assert m["controls"]["other"] is None
    assert m["paired"]["t2-other"] == {"value": None, "low": None, "high": None, "n": 0}


def test_a_control_run_on_some_problems_is_compared_on_those():
    m = measure([record("a", run="5 4", other="5"), record("b", run="4 4")], same)
    assert values(m["controls"]["other"]["accuracy_by_turn"]) == [0.0, 0.0]
    assert (m["paired"]["t2-other"]["value"], m["paired"]["t2-other"]["n"]) == (1.0, 1)


def test_with_fewer_samples_than_turns_the_control_ends_and_names_say_so():
    m = measure([record("a", run="5 4 4", samples="4")], same)
    assert "m2@t1" in m and "m1@t3" in m
    assert values(m["controls"]["nothing"]["accuracy_by_turn"]) == [0.0, 1.0, None]
    assert m["paired"]["t3-nothing"]["value"] is None


def test_compute_counts_every_prompt_once_per_sample():
    compute = measure(THREE, same)["compute"]
    cost = [(c["samples"], c["generated_tokens"], c["all_tokens"]) for c in compute["sequential"]]
    assert cost == [(1, 3, 3 + 10), (2, 6, 6 + 10 + 20), (3, 9, 9 + 10 + 20 + 30)]
    cost = [(c["samples"], c["generated_tokens"], c["all_tokens"]) for c in compute["parallel"]]
    assert cost == [(1, 3, 13), (2, 6, 26), (3, 9, 39)]
    assert compute["sequential"][2]["vote"]["value"] == 0.5
    assert compute["parallel"][1]["pass"]["value"] == pytest.approx(2 / 3)


def test_unknown_usage_is_null_and_not_zero():
    silent = Turn("so 5", Verdict.WRONG, 0.0, answer="5", n_reply_tokens=3)  # an endpoint that hides the prompt
    compute = measure([HeldOut("a", "2+2?", "4", (*turns("5"), silent), turns("5"))], same)["compute"]
    first, second = compute["sequential"]
    assert first["all_tokens"] == 13
    assert (second["generated_tokens"], second["all_tokens"], second["samples"]) == (6, None, 2)


# --- Votes ---


def test_a_vote_groups_equal_answers_and_never_counts_a_missing_one():
    assert vote(turns("5 4 4.0"), same)[-1] == 1.0
    assert vote(turns("- - - - 4"), same)[-1] == 1.0
    assert vote(turns("- - -"), same) == [0.0, 0.0, 0.0]


def test_a_tie_scores_the_fraction_of_tied_answers_that_are_right():
    assert vote(turns("4 5 6"), same)[-1] == pytest.approx(1 / 3)
    assert vote(turns("4 4 5 5 6"), same)[-1] == 0.5
    assert vote(turns("5 5 6 6 4"), same)[-1] == 0.0  # the right answer is not among the tied


def test_votes_use_the_same_rule_over_turns_and_over_samples():
    m = measure([record("a", run="4 5 6", samples="5 6")], same)
    assert m["m1@t3"] == m["m3@t1"]


def test_answers_are_compared_as_text_first_and_each_pair_once():
    asked = []

    def slow_same(left, right):
        asked.append((left, right))
        return same(left, right)

    measure([record("a", run="5 5 5 5 5", samples="5 5 5 5")], slow_same)
    assert asked == []
    measure([record(name, run="5 4 5", samples="4 5") for name in "abc"], slow_same)
    assert asked == [("4", "5")]


# --- Truthful feedback: an oracle stops the run ---

STOPPED = [
    record("repairs", run="5 4", samples="4 5"),
    record("at once", run="4", samples="4 4"),
    record("never", run="- 6 7", samples="- -"),
]


def test_under_an_oracle_the_last_reply_stands_for_the_turns_not_taken():
    m = measure(STOPPED, same, truthful=True)
    assert values(m["accuracy_by_turn"]) == pytest.approx([1 / 3, 2 / 3, 2 / 3]) == values(m["pass_by_turn"])
    assert m["p1@t3"]["value"] == pytest.approx(2 / 3)
    assert m["m1@t3"]["value"] == pytest.approx((0.5 + 1 + 0) / 3)  # 5 4 is a tie: the vote does not hear the oracle
    assert (m["wrong_to_right"]["value"], m["wrong_to_right"]["n"]) == (pytest.approx(1 / 3), 3)
    assert (m["repeated"]["n"], m["unparsable"]["n"]) == (3, 6)  # replies that were written
    assert [c["samples"] for c in m["compute"]["sequential"]] == pytest.approx([1, 1 + 2 / 3, 2])


def test_what_an_oracle_makes_unfair_or_undefined_is_null():
    m = measure(STOPPED, same, truthful=True)
    assert m["right_to_wrong"]["value"] is None
    assert m["controls"]["other"] is None
    assert [m["paired"][name]["value"] for name in ("m1@t3-m3@t1", "t3-nothing", "t3-other")] == [None] * 3
    assert m["paired"]["p1@t3-p3@t1"]["value"] == 0.0


def test_turns_after_the_first_right_one_do_not_count_under_an_oracle():
    unstopped = [record("repairs", run="5 4 5", samples="4 5"), record("at once", run="4 6 6", samples="4 4"), STOPPED[2]]
    assert (
        measure(unstopped, same, truthful=True)["accuracy_by_turn"] == measure(STOPPED, same, truthful=True)["accuracy_by_turn"]
    )


def test_names_keep_k_when_every_run_stopped_early():
    m = measure([record("a", run="4", samples="4")], same, truthful=True, turns=5)
    assert m["m1@t5"]["value"] == 1.0 and len(m["accuracy_by_turn"]) == 5


# --- Apart and against ---


def test_by_field():
    table = by_field([*THREE, record("plain", run="4 4 4", samples="4 4")], same, "kind")
    assert list(table) == ["product", "sum", "–"]
    assert {name: estimate["value"] for name, estimate in table["sum"].items()} == {"m1@t1": 0.5, "m1@t3": 0.75, "t3": 0.5}
    assert table["sum"]["t3"]["n"] == 2
    assert table["–"]["t3"]["value"] == 1.0


def test_fields_that_are_numbers_stand_in_order_of_size():
    records = [record(str(level), run="4", level=level) for level in (10, 9, 1)]
    assert list(by_field(records, same, "level")) == ["1", "9", "10"]


def test_every_field_that_says_a_kind_is_given_apart():
    records = [record(str(i), run="4", level=i % 2, subject="Algebra", source=f"page {i}") for i in range(4)]
    assert {name: list(table) for name, table in by_fields(records, same).items()} == {
        "level": ["0", "1"],
        "subject": ["Algebra"],
    }
    assert by_fields([record("a", run="4")], same) == {}
    names = [record(str(i), run="4", type=f"name {i}") for i in range(30)]
    assert by_fields(names, same) == {}  # a name, not a kind


def test_stages_are_compared_on_common_problems_only():
    before = [record("a", run="5 5", samples="5"), record("b", run="4 5", samples="5"), record("gone", run="4 4", samples="4")]
    after = [record("b", run="4 4", samples="5"), record("new", run="4 4", samples="4"), record("a", run="5 4", samples="5")]
    stages = paired_stages(before, after, same)
    assert {name: (estimate["value"], estimate["n"]) for name, estimate in stages.items()} == {
        "m1@t1": (0.0, 2),
        "m1@t2": (0.5, 2),  # a: 0 → ½; b: ½ → 1
        "t2": (1.0, 2),
    }
    assert paired_stages(before[2:], after, same) is None


def test_stages_over_different_numbers_of_turns_are_not_compared():
    with pytest.raises(DataError, match="over 2 turns, this one over 1"):
        paired_stages([record("a", run="4 4")], [record("a", run="4")], same)


# --- The record, and records that will not do ---


def test_records_survive_the_file(tmp_path):
    path = tmp_path / "held-out.jsonl"
    write_jsonl(path, map(to_json, THREE))
    assert list(read_held_out(path)) == THREE
    bare = HeldOut("a", "2+2?", "4", turns("4 5"))
    assert "other" not in to_json(bare) and held_out_from_json(to_json(bare)) == bare


def test_a_line_that_is_no_record_names_file_and_line(tmp_path):
    path = tmp_path / "held-out.jsonl"
    write_jsonl(path, [to_json(THREE[0]), {"problem_id": "x"}])
    with pytest.raises(DataError, match=r"held-out\.jsonl, line 2: not a held-out record"):
        list(read_held_out(path))


@pytest.mark.parametrize(
    ("records", "says"),
    [
        ([THREE[0], THREE[0]], "problem repairs stands twice"),
        ([HeldOut("a", "q", "4", (Turn("so 4"),))], "unjudged"),
        ([record("a", run="4 4"), record("b", run="4")], "has 1 turns where 2 were expected"),
        ([record("a", run="4 4", samples="4"), record("b", run="4 4")], "has 1 parallel samples"),
        ([record("a", run="4 4 4", other="4")], "has 1 replies under the control"),
    ],
)
def test_records_that_do_not_belong_together_are_refused(records, says):
    with pytest.raises(DataError, match=says):
        measure(records, same)


def test_nothing_to_measure_is_said():
    with pytest.raises(EmptyStageError):
        measure([], same)


def test_metrics_are_plain_json_and_quick_on_two_thousand_problems():
    many = [
        record(str(i), run=f"{i % 7} 4 {i % 5} 4.0 {i % 3}", samples=f"{i % 4} 4 - {i % 9}", other="4 5 6 -") for i in range(2000)
    ]
    start = time.process_time()
    m = measure(many, same)
    assert time.process_time() - start < 2.0  # 0.15 s where this was written
    assert json.loads(json.dumps(m, allow_nan=False)) == m
