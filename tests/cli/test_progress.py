"""What is seen while a run goes on and when it ends."""

import io
import json

import pytest
from rich.console import Console
from synthetic_run import BOOST, HOSTILE, ROUND_1, held_out, write_run
from toys import small, toy_recipe

from rise.cli.lines import alarm_lines, is_toy, next_lines, plan, stage_sentence
from rise.cli.progress import Bars
from rise.evaluation.held_out import write_held_out
from rise.play.player import Usage
from rise.report import console_transcript
from rise.runs.alarms import Alarm
from rise.runs.preflight import preflight


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def log():
    """Bars on something that is no terminal, a clock that is set by hand, and what was printed."""
    out, clock = io.StringIO(), Clock()
    return Bars(console=Console(file=out, width=80), clock=clock), clock, lambda: out.getvalue().splitlines()


def text(renderable, width=80):
    out = io.StringIO()
    Console(file=out, width=width).print(renderable)
    return out.getvalue()


def test_the_command_that_comes_next_names_code_of_the_recipes_own_again():
    """A checkpoint's word is not enough to run it, so the command without it would be refused."""
    own = {"task": {"settings": {"judge": "mine/judge.py:right"}}, "state": {"feedback": "neutral"}}
    assert next_lines("runs/own", own)[1][0] == "rise play runs/own --set task.settings.judge=mine/judge.py:right"
    assert next_lines("runs/own", {"task": {}, "state": {}})[1][0] == "rise play runs/own"


# --- a log ------------------------------------------------------------------------------------------------------------


def test_a_log_has_a_line_every_ten_seconds_with_rate_loss_and_time_left(log):
    bars, clock, lines = log
    bars.begin("round-1", "rollout", 1000)
    bars.advance(0)
    for done in range(1, 1000):
        clock.now = done / 20  # twenty a second: 50 seconds
        bars.advance(done, Usage(n_replies=done, n_reply_tokens=30 * done))
    bars.begin("round-1", "train", 10)
    bars.begin("round-1", "train", 40)  # the number of steps has become known
    for step in range(1, 41):
        clock.now += 1
        bars.advance(step, note=f"loss {1 / step:.3f}")
    assert lines() == [
        "round-1: rollout (1,000)",
        "round-1: rollout: 200 of 1,000, 600 tok/s, 40 s left",
        "round-1: rollout: 400 of 1,000, 600 tok/s, 30 s left",
        "round-1: rollout: 600 of 1,000, 600 tok/s, 20 s left",
        "round-1: rollout: 800 of 1,000, 600 tok/s, 10 s left",
        "round-1: train (10)",
        "round-1: train: 10 of 40, loss 0.100, 30 s left",
        "round-1: train: 20 of 40, loss 0.050, 20 s left",
        "round-1: train: 30 of 40, loss 0.033, 10 s left",
    ]


def test_a_whole_run_begins_with_its_plan_and_counts_its_parts(log):
    bars, clock, lines = log
    bars.start(preflight(small(iterate={"rounds": 2}, rollout={"turns": 1}, evaluate={"controls": "all"})))
    bars.begin("base", "evaluate", 2)
    bars.advance(0)
    clock.now = 12
    bars.advance(1)
    printed = "\n".join(lines())
    assert "problems   arithmetic: 2 to train on, 2 of test to measure on" in printed
    assert "rounds" not in printed and "round 1–2" in printed  # one line for what is the same
    assert "A toy: 2 held-out problems" in printed
    assert "base: evaluate (2), part 1 of 9" in printed
    # base: 2 · (2 + 2 + 2) = 12 replies, half of them in 12 s. How fast it trains is not known, nor how long the whole run takes.
    assert "base: evaluate: 1 of 2, 12 s left; part 1 of 9\n" in printed + "\n"
    clock.now = 24
    bars.advance(2)
    bars.begin("round-1", "train", 4)
    bars.advance(0)
    clock.now = 30
    bars.advance(2)
    clock.now = 36
    bars.advance(3, note="loss 0.1")
    # 4 s an example: 4 left. Replies take 2 s: 12 of this round, then 2 + 6 and 12, and 4 examples.
    assert lines()[-1] == "round-1: train: 3 of 4, loss 0.1, 4 s left; part 4 of 9, 1 min 24 s left of the whole run"


def test_problems_that_are_played_once_more_for_a_control_are_not_done(log):
    bars, clock, lines = log
    bars.start(preflight(small(evaluate={"controls": "all"})))
    bars.begin("base", "evaluate", 2)  # 12 replies in all, 8 of them before the control
    bars.advance(0)
    clock.now = 16
    bars.advance(1, Usage(n_replies=8))
    assert "base: evaluate: 1 of 2, 0 tok/s, 8 s left; part 1 of 5" in lines()[-1]


def test_the_plan_is_what_a_dry_run_prints():
    from rise.runs.dry_run import dry_run

    recipe = toy_recipe()
    assert [" ".join(pair) for pair in plan(preflight(recipe))] == [" ".join(line.split()) for line in dry_run(recipe)[0]]


def test_a_terminal_draws_the_part_and_the_whole_run():
    out, clock = io.StringIO(), Clock()
    bars = Bars(console=Console(file=out, width=100, force_terminal=True, color_system=None), clock=clock)
    bars.start(preflight(small()))
    bars.begin("round-1", "rollout", 4)
    bars.advance(0)
    clock.now = 3
    bars.advance(3, Usage(n_reply_tokens=90))
    bars.end()
    drawn = out.getvalue()
    assert "whole run" in drawn and "part 2 of 5" in drawn and "30 tok/s" in drawn and "3/4" in drawn and "1 s left" in drawn


# --- a stage ----------------------------------------------------------------------------------------------------------


def test_a_measured_stage_is_one_line_for_people(tmp_path):
    stage = write_run(tmp_path / "run").stage("round-1")
    # Of eight problems four are right at turn 1 and five at turn 5.
    line = stage_sentence("round-1", stage.read_metrics())
    assert line.startswith("round 1        turn 1  50.0 → turn 5  62.5  +12.5 (") and line.endswith(")  n = 8")
    assert " … " in line
    once = write_run(tmp_path / "once", {"boost": [("r", "", ""), ("w", "", "")]}).stage("boost")
    assert stage_sentence("boost", once.read_metrics()).endswith("  turn 1  50.0  n = 2")


def test_codes_are_explained_where_they_first_stand(tmp_path, log):
    bars, _, lines = log
    run = write_run(tmp_path / "run", {"boost": BOOST, "round-1": ROUND_1})
    for name in ("boost", "round-1"):
        bars.stage_done(run.stage(name))
    head, *stages = lines()
    assert "right at each turn, no vote" in head and len(stages) == 2
    assert max(map(len, lines())) <= 80  # none is cut by a terminal


# --- alarms -----------------------------------------------------------------------------------------------------------


def test_an_alarm_is_told_whole_once_and_then_on_a_line(log):
    bars, _, lines = log
    for stage in ("round-1", "round-2"):
        bars.alarm(Alarm(stage, "rollout", "unreadable", "60 of 60 replies hold no answer.", "Raise the limit.", HOSTILE))
    printed = lines()
    assert [line.split()[0] for line in printed] == ["ALARM", "example", "way", "ALARM"]
    assert "round 1, rollout: 60 of 60" in printed[0] and "round 2, rollout: 60 of 60" in printed[3]
    assert "\x1b" not in printed[1] and "␛[31m" in printed[1] and "[bold]" in printed[1]  # neither terminal nor markup obeys


def test_an_empty_reply_is_shown_as_such():
    alarm = Alarm("base", "evaluate", "unreadable", "all of them.", "Mend it.", "")
    assert alarm_lines(alarm)[1] == ("example", "(empty)")
    nothing = Alarm("round-1", "relabel", "nothing-right", "none.", "Mend it.")
    assert [head for head, _ in alarm_lines(nothing)] == ["ALARM", "way out"]


@pytest.mark.parametrize(
    ("n", "scale", "toy"), [(99, None, True), (100, None, False), (2000, "self,toy", True), (400, "quick", False)]
)
def test_a_toy_is_few_problems_or_a_scale_of_that_name(n, scale, toy):
    assert is_toy(n, scale) is toy


# --- the end ----------------------------------------------------------------------------------------------------------


def test_a_transcript_from_wrong_to_right_is_shown_with_how_many_there_are(tmp_path):
    # Of ROUND_1 four are wrong at turn 1, of which wrrrr and wwrrr end right.
    shown = text(console_transcript(write_run(tmp_path / "run").path))
    assert "After round 1, 2 of 4 problems wrong at turn 1 were right at the end." in shown
    rows = [line.split() for line in shown.splitlines() if line.startswith("turn ")]
    assert [row[1] for row in rows] == ["1", "2", "3", "4", "5"]
    assert rows[0][-1] == "wrong" and rows[-1][-1] == "right" and "6*7⏎=42" in rows[-1]


def test_one_that_stayed_right_goes_before_one_that_wavered_and_long_replies_are_cut(tmp_path):
    run = write_run(tmp_path / "run", {"boost": BOOST, "round-1": [("wrwrr", "wwww", "")] * 3 + [("wwwwr", "wwww", "")]})
    shown = text(console_transcript(run.path))
    assert "4 of 4 problems wrong" in shown
    assert [line.split()[-1] for line in shown.splitlines()][-5:] == ["wrong"] * 4 + ["right"]
    long = [json.loads(line) for line in run.stage("round-1").held_out.read_text().splitlines()]
    for row in long:
        row["run"][0]["reply"] = "x" * 5000 + "\x1b[31m"
    run.stage("round-1").held_out.write_text("".join(json.dumps(row) + "\n" for row in long))
    shown = text(console_transcript(run.path))
    assert shown.count("x") < 250 and "\x1b" not in shown


def test_where_nothing_was_mended_that_is_said(tmp_path):
    run = write_run(tmp_path / "run", {"boost": BOOST})
    assert "After boost, none of 7 problems wrong at turn 1 was right at the end." in text(console_transcript(run.path))
    write_held_out(run.stage("boost").held_out, [held_out(0, ("rrrrr", "rrrr", ""))])
    assert "none of 0 problems" in text(console_transcript(run.path))
