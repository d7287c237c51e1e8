"""A measurement as `rise evaluate` and `rise.evaluate` print it: eight problems, written as letters."""

from synthetic_run import ROUND_1, held_out, same

from rise.evaluation.metrics import measure
from rise.report.measured import measured_table

METRICS = measure([held_out(i, pattern) for i, pattern in enumerate(ROUND_1)], same)


def told(**more):
    return measured_table(METRICS, **more).splitlines()


def test_every_line_fits_a_terminal_and_has_value_interval_and_words():
    lines = told(title="sums")
    assert lines[0] == "sums: 8 problems, 5 turns, 5 samples; percent, 95 % intervals"
    assert max(map(len, lines)) <= 80
    [first] = [line for line in lines if line.startswith("m1@t1 ")]
    low, high = (100 * METRICS["m1@t1"][end] for end in ("low", "high"))
    assert first.split() == ["m1@t1", "50.0", f"{low:.1f}–{high:.1f}", "first", "reply"]  # 4 of 8
    # Right by turn: 4, 4, 5, 5, 5 of 8 (rrrrr rrrrr wrrrr wwrrr rwrrr rrwww wwwww uuwww).
    assert lines[-1] == "right by turn, %: 50.0  50.0  62.5  62.5  62.5"


def test_differences_stand_beside_with_their_sign_and_what_was_not_measured_is_a_dash_or_left_out():
    lines = told()
    [gain] = [line for line in lines if line.startswith("t5−t1 ")]
    assert gain.split()[1] == "+12.5" and gain.endswith("last reply − first (t5 − t1)")
    [other] = [line for line in lines if line.startswith("t5−other")]
    assert other.split()[1] == "+50.0"  # 5 of 8 against 1 of 8
    assert not [line for line in lines if "played on" in line or "intern." in line]
