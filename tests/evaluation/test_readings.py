"""What is read off held-out records by name, on eight problems whose verdicts are written as letters."""

import math
from dataclasses import replace

import pytest
from synthetic_run import ROUND_1, held_out, same

from rise.errors import ConfigError, DataError
from rise.evaluation.held_out import HeldOut
from rise.evaluation.metrics import measure
from rise.evaluation.readings import Records, equal_samples, is_reading, read
from rise.trajectory import Turn, Verdict


def records(patterns=ROUND_1, turns=5):
    return Records.of([held_out(i, pattern) for i, pattern in enumerate(patterns)], same, turns=turns)


def turn(right, *, prompt=10):
    verdict, answer = (Verdict.RIGHT, "a") if right else (Verdict.WRONG, "b")
    return Turn("", verdict, float(right), answer, n_prompt_tokens=prompt, n_reply_tokens=10)


def row(name, run, samples=(), **more):
    return HeldOut(name, "q", "a", tuple(turn(r) for r in run), tuple(turn(r) for r in samples), **more)


def test_turns_votes_and_oracles_are_those_of_the_headline():
    known = measure([held_out(i, pattern) for i, pattern in enumerate(ROUND_1)], same)
    names = ("m1@t1", "m5@t1", "m1@t5", "p1@t5", "p5@t1", "wrong_to_right", "right_to_wrong", "repeated")
    assert {name: read(records(), name).value for name in names} == pytest.approx({name: known[name]["value"] for name in names})
    by_turn = [e["value"] for e in known["accuracy_by_turn"]]
    assert [read(records(), f"t{k}").value for k in range(1, 6)] == pytest.approx(by_turn)


def test_problems_that_samples_miss():
    # Two samples miss the first two problems; turns solve one of them, a third and a fourth sample the other.
    rows = [row("a", [0, 0, 1], [0, 0, 0]), row("b", [0, 0, 0], [0, 1, 0]), row("c", [1, 1, 1], [0, 0, 0])]
    of = Records.of(rows, same, turns=3)
    assert read(of, "hard2").value == 1 / 2 and read(of, "fresh2").value == 1 / 2
    assert sum(read(of, "hard2").among.values()) == 2  # the third takes no part


def test_as_many_further_samples_as_turns_or_none_at_all():
    of = Records.of([row("a", [0, 0, 1], [0, 0]), row("b", [0, 0, 0], [0, 1])], same, turns=3)
    assert read(of, "fresh1").value == 1 / 2  # turns 2 and 3 against samples 2 and 3
    with pytest.raises(DataError, match="fresh2 asks for 2, and the records hold 1"):
        read(of, "fresh2")  # one sample would stand against two turns


def test_what_was_not_asked_for_names_its_setting():
    with pytest.raises(DataError, match=r"gold5: the records hold nothing of it\. Evaluate with evaluate\.gold_probability"):
        read(records(), "gold5")
    with pytest.raises(DataError, match=r"other2: .*evaluate\.controls"):
        read(Records.of([row("a", [0, 1])], same, turns=2), "other2")


def test_probability_of_the_solution_counts_where_no_right_attempt_can_be_copied():
    rows = [
        row("a", [0, 0], gold_score=(math.log(0.1), math.log(0.4))),  # + .3
        row("b", [1, 0], gold_score=(math.log(0.1), math.log(0.9))),  # right at turn 1: a copy
    ]
    of = Records.of(rows, same, turns=2)
    assert read(of, "gold2").value == pytest.approx(0.65)
    assert read(of, "gold-gain2").value == pytest.approx(0.3)


def test_as_many_samples_as_cost_the_same():
    # A turn and a sample cost 20 tokens, 10 of them written; the second turn reads 30: 40. Two turns: 60 = 3 samples; written: 2.
    run = (turn(0), turn(1, prompt=30))
    of = Records.of([HeldOut("a", "q", "a", run, (turn(1), turn(1)))], same, turns=2)
    assert equal_samples(of, 2, read=True) == 3 and equal_samples(of, 2, read=False) == 2
    assert read(of, "m-all2").value == 1.0 and read(of, "m-new2").value == 0.5  # wrong right right; wrong right
    few = Records.of([HeldOut("a", "q", "a", run, (turn(1),))], same, turns=2)
    with pytest.raises(DataError, match="2 turns cost as many tokens as 3 samples, and 2 were drawn"):
        read(few, "m-all2")


def test_critiques_and_verdicts_are_part_of_what_turns_cost():
    # Turn 1 costs 20 (10 written), its critique 15 + 12, the model's verdict on it 25 + 1; turn 2 costs 40 (10 written).
    # Written: 10 + 12 + 1 + 10 = 33, or 4 samples of 10. With what was read: 20 + 27 + 26 + 40 = 113, or 6 samples of 20.
    critique = Turn("no", n_prompt_tokens=15, n_reply_tokens=12)
    said = Turn("n", Verdict.WRONG, n_prompt_tokens=25, n_reply_tokens=1)
    first = replace(turn(0), critique=critique, own_verdict=said)
    second = replace(turn(1, prompt=30), critique=critique)  # of a turn 3, so no part of two turns
    of = Records.of([HeldOut("a", "q", "a", (first, second), (turn(1),) * 5)], same, turns=2)
    assert equal_samples(of, 2, read=False) == 4 and equal_samples(of, 2, read=True) == 6
    # One turn: 20 + 26 = 46 or 3 samples, 11 written or 2.
    assert equal_samples(of, 1, read=True) == 3 and equal_samples(of, 1, read=False) == 2


def test_tokens_that_a_server_does_not_tell_are_not_none():
    silent = replace(turn(0), n_prompt_tokens=None)
    of = Records.of([HeldOut("a", "q", "a", (silent, turn(1)), (turn(1),))], same, turns=2)
    assert equal_samples(of, 2, read=False) == 2
    with pytest.raises(DataError, match="did not say how many tokens"):
        read(of, "m-all2")


def test_what_turns_cost_is_a_reading_too():
    # Two turns, read 10 and 30, written 10 each; a verdict on the first: 12 read, 2 written.
    said = Turn("n", Verdict.WRONG, n_prompt_tokens=12, n_reply_tokens=2)
    run = (replace(turn(0), own_verdict=said), turn(1, prompt=30))
    of = Records.of([HeldOut("a", "q", "a", run, (turn(1), turn(1)))], same, turns=2)
    assert [read(of, f"new-tokens{k}").value for k in (1, 2)] == [12.0, 22.0]
    assert [read(of, f"all-tokens{k}").value for k in (1, 2)] == [34.0, 74.0]
    unknown = Records.of([HeldOut("a", "q", "a", (replace(turn(1), n_prompt_tokens=None),))], same, turns=1)
    assert read(unknown, "new-tokens1").value == 10
    with pytest.raises(DataError, match="did not say how many tokens"):
        read(unknown, "all-tokens1")


def test_more_than_was_measured_and_other_names_are_refused():
    with pytest.raises(DataError, match="t6 asks for 6, and the records hold 5"):
        read(records(), "t6")
    with pytest.raises(ConfigError, match=r"no reading is called 'hrad5'\. Did you mean"):
        read(records(), "hrad5")
    assert is_reading("p25@t1") and not is_reading("t0") and not is_reading("loss")
