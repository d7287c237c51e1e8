"""What is shouted: replies without a readable answer, replies that are cut, a round in which nothing is right."""

import json
from dataclasses import replace

import pytest
from toys import toy_recipe

from rise.dataset.example import Example
from rise.errors import EmptyStageError
from rise.judge import Judge, Judgement
from rise.method.iterate import run
from rise.recipe.config import RewardConfig
from rise.recipe.toml import build_config, merged
from rise.report import write_report
from rise.report.collect import collect
from rise.runs.alarms import latest, of_examples, of_replies, read_alarms, teaches, to_event
from rise.runs.context import Silent
from rise.runs.directory import RunDir
from rise.trajectory import Relabelled, Trajectory, Turn, Verdict

RIGHT, WRONG, NONE = Verdict.RIGHT, Verdict.WRONG, Verdict.UNPARSABLE
PLAIN = toy_recipe(boost={"enabled": False}, sampling={"max_new_tokens": 12})


def replies(verdict, n, finish="stop", reply="seven"):
    return [Turn(reply, verdict, float(verdict is RIGHT), finish=finish)] * n


def example(verdict, reward):
    return Example("p", 1, (), "7", "self", reward, 1.0, (), (), verdict=verdict)


# --- replies ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("turns", "kinds"),
    [
        ([*replies(NONE, 11), *replies(WRONG, 49)], []),  # 11 of 60 are 18 %
        ([*replies(NONE, 12), *replies(WRONG, 48)], ["unreadable"]),  # a fifth
        ([*replies(RIGHT, 5, "length"), *replies(RIGHT, 55)], []),  # 8 %
        ([*replies(RIGHT, 6, "length"), *replies(RIGHT, 54)], ["cut"]),  # a tenth
        (replies(NONE, 4), []),  # fewer than five say nothing
        (replies(NONE, 60, "length"), ["unreadable", "cut"]),
        ([*replies(NONE, 60, "refused"), *replies(RIGHT, 9)], []),  # an endpoint's refusal is none of the model's replies
        ([], []),
    ],
)
def test_an_alarm_sounds_from_a_fifth_without_an_answer_and_from_a_tenth_cut(turns, kinds):
    assert [alarm.kind for alarm in of_replies("round-1", "rollout", turns, PLAIN)] == kinds


def test_an_alarm_says_counts_one_reply_and_the_setting_that_helps():
    [alarm] = of_replies("round-1", "rollout", [*replies(NONE, 59), *replies(NONE, 1, "length")], PLAIN)
    assert alarm.says == "60 of 60 replies (100 %) hold no readable answer; 1 of them were cut at the token limit."
    assert alarm.example == "seven" and "state.demonstration = true" in alarm.way_out
    first, second = of_replies("round-1", "rollout", replies(NONE, 60, "length", "x" * 1000), PLAIN)
    assert "sampling.max_new_tokens (now 12)" in first.way_out  # they are cut: the form is not the trouble
    assert second.says == "60 of 60 replies (100 %) are cut at the limit of 12 tokens, and none of those trains."
    assert first.example == "x" * 80 + " … " + "x" * 80


def test_nothing_is_said_while_a_boost_is_still_to_teach_the_form():
    boosted = toy_recipe()
    for stage, sounds in {"base": 0, "boost-one-turn": 0, "boost": 1, "round-1": 1}.items():
        assert len(of_replies(stage, "evaluate", replies(NONE, 60), boosted)) == sounds
    assert len(of_replies("base", "evaluate", replies(NONE, 60), PLAIN)) == 1  # the rounds begin from it


def checking(verdict, n, own_check):
    return [Turn("55 no" if not own_check else "54 yes", verdict, float(verdict is RIGHT), own_check=own_check)] * n


@pytest.mark.parametrize(
    ("turns", "kinds"),
    [
        ([*checking(WRONG, 11, True), *checking(WRONG, 9, False)], ["false-yes"]),  # 55 % of the wrong ones
        ([*checking(WRONG, 9, True), *checking(WRONG, 11, False), *checking(RIGHT, 80, True)], []),  # right ones do not count
        ([*checking(WRONG, 5, True), *replies(WRONG, 95)], ["false-yes"]),  # nor do those that say nothing
        (checking(WRONG, 4, True), []),  # fewer than five say nothing
        (checking(RIGHT, 60, True), []),
    ],
)
def test_an_alarm_sounds_where_half_of_the_wrong_replies_say_that_they_are_right(turns, kinds):
    found = of_replies("round-1", "evaluate", turns, PLAIN)
    assert [alarm.kind for alarm in found] == kinds
    if kinds:
        assert found[0].example == "54 yes" and "no-loss" in found[0].way_out
        n = sum(turn.own_check is not None and not turn.right for turn in turns)
        assert f"of {n} wrong replies that check themselves" in found[0].says


def test_a_round_whose_examples_all_say_yes_is_told_before_it_trains():
    yes = replace(example(RIGHT, 1.0), own_check=True)
    no = replace(example(WRONG, 0.0), own_check=False)
    [alarm] = of_examples("round-1", [yes] * 20, [], [], PLAIN)
    assert alarm.kind == "one-sided-check" and "all 20 examples that check their own answer say that it is right" in alarm.says
    assert of_examples("round-1", [yes] * 19, [], [], PLAIN) == []  # too few to say it of all
    assert of_examples("round-1", [*[yes] * 20, no], [], [], PLAIN) == []
    assert of_examples("round-1", [*[yes] * 20, replace(no, weight=-1.0)], [], [], PLAIN) != []  # it pushes "no" down
    assert of_examples("round-1", [*[yes] * 19, *[example(RIGHT, 1.0)] * 9], [], [], PLAIN) == []  # those hold no check


# --- a round without a right reply ------------------------------------------------------------------------------------


def test_a_round_without_a_right_example_says_who_was_right_and_what_helps():
    tried = [Trajectory("p", "q", "4", tuple(replies(WRONG, 2))), Trajectory("r", "q", "4", tuple(replies(WRONG, 1)))]
    improved = [Relabelled("p", 2, tuple(replies(WRONG, 3)), 0)]
    [alarm] = of_examples("round-2", [example(WRONG, 0.0)] * 4, tried, improved, PLAIN)
    assert "none of the 4 examples of this round is right: 0 of 3 attempts were, and 0 of 3 replies of the improver" in alarm.says
    assert "relabel.n_samples" in alarm.way_out
    assert of_examples("round-2", [example(WRONG, 0.0), example(RIGHT, 1.0)], tried, improved, PLAIN) == []
    # One was right and was not kept: more samples are not what is missing.
    [alarm] = of_examples("round-2", [], [Trajectory("p", "q", "4", tuple(replies(RIGHT, 1)))], [], PLAIN)
    assert "1 of 1 attempts were" in alarm.says and "dataset.json" in alarm.way_out


def test_partial_credit_above_a_wrong_reply_is_something_to_learn_from():
    rewards = RewardConfig(right=1.0, wrong=0.0, unparsable=-1.0)
    assert [teaches(example(WRONG, reward), rewards) for reward in (-1.0, 0.0, 0.25)] == [False, False, True]


# --- a run ------------------------------------------------------------------------------------------------------------


class Listening(Silent):
    def __init__(self):
        self.alarms = []

    def alarm(self, alarm):
        self.alarms.append((alarm.stage, alarm.part, alarm.kind))


class Unread(Judge):
    """Finds an answer in nothing."""

    def judge(self, problem, reply):
        return Judgement(Verdict.UNPARSABLE, None)

    def same(self, left, right):
        return left == right


def hopeless(tmp_path, nano_dir, **overrides):
    """Sixty problems, one attempt each, an untrained model that marks no answer and trains on what is cut."""
    file = tmp_path / "problems.jsonl"
    file.write_text("".join(json.dumps({"question": f"{i}+1", "gold": str(i + 1)}) + "\n" for i in range(60)))
    recipe = toy_recipe().model_dump()
    where = {"train_path": str(file), "test_path": str(file), "judge": f"{__name__}:Unread"}
    recipe["task"] = {"name": "jsonl", "n_train": 60, "n_test": 6, "settings": where}
    recipe["model"] = {"path": str(nano_dir)}
    recipe["sampling"] = {"max_new_tokens": 4}
    recipe["iterate"] = {"rounds": 1}
    own = {"boost": {"enabled": False}, "dataset": {"drop_truncated": False}, "relabel": {"n_samples": 2}}
    return build_config(merged(merged(recipe, own), overrides))


def test_a_run_whose_replies_are_all_unreadable_shouts_and_stops_before_it_trains(tmp_path, nano_dir, one_thread):
    told = Listening()
    with pytest.raises(EmptyStageError) as caught:
        run(hopeless(tmp_path, nano_dir), tmp_path / "run", progress=told)
    message = str(caught.value)
    assert "0 of 60 attempts were, and 0 of 120 replies of the improver" in message
    assert "sampling.max_new_tokens (now 4)" in message and "--set iterate.allow_no_right=true" in message
    assert ("round-1", "rollout", "unreadable") in told.alarms and told.alarms[-1] == ("round-1", "relabel", "nothing-right")
    stage = RunDir(tmp_path / "run").stage("round-1")
    assert stage.relabelled.exists() and not stage.examples.exists() and not stage.checkpoint.exists()
    kept = {(alarm.part, alarm.kind): alarm for alarm in read_alarms(RunDir(tmp_path / "run").read_log())}
    assert kept["rollout", "unreadable"].says.startswith("60 of 60 replies (100 %) hold no readable answer")

    html, text = (path.read_text() for path in write_report(tmp_path / "run"))
    for page in (html, text):
        for words in ("120 of 120 replies (100 %) hold no readable answer", "round 1, rollout", "none of the", "sampling.max"):
            assert page.index(words) < page.index("m1@t1")  # before any number

    # Who wants it all the same goes on where it stopped.
    told = Listening()
    allowed = hopeless(tmp_path, nano_dir, iterate={"allow_no_right": True})
    assert run(allowed, tmp_path / "run", progress=told).stage("round-1").metrics.exists()
    assert ("round-1", "relabel", "nothing-right") in told.alarms  # still said
    assert ("round-1", "rollout", "unreadable") not in told.alarms  # that part was done


def test_solutions_mixed_in_do_not_hide_that_a_round_found_nothing(tmp_path, one_thread):
    """The toy model without training is never right; a fifth of what would train are worked solutions."""
    recipe = toy_recipe(
        boost={"train": {"max_steps": 1}, "train_multi_turn": {"max_steps": 1}},
        dataset={"drop_truncated": False, "replay_share": 0.2},
        iterate={"rounds": 1, "allow_no_right": False},
    )
    with pytest.raises(EmptyStageError, match="is right: 0 of 12 attempts were, and 0 of 36 replies of the improver"):
        run(recipe, tmp_path / "run")


# --- in the log and the report ----------------------------------------------------------------------------------------


def test_an_alarm_sounded_again_is_one_and_the_report_has_a_line_a_kind():
    sounded = [
        alarm
        for stage, n in (("round-1", 30), ("round-1", 60), ("round-2", 40))
        for alarm in of_replies(stage, "rollout", replies(NONE, n), PLAIN)
    ]
    read = read_alarms([{"stage": "round-1", "loss": 1.0}, *map(to_event, sounded), {"alarm": {"torn": 1}}])
    assert [(alarm.stage, alarm.says[:8]) for alarm in read] == [("round-1", "60 of 60"), ("round-2", "40 of 40")]
    assert latest(read) == [(read[1], ("round 1, rollout",))]


def test_what_a_model_wrote_cannot_act_in_the_report(tmp_path):
    from synthetic_run import HOSTILE, write_run

    run_dir = write_run(tmp_path / "run")
    [alarm] = of_replies("round-1", "rollout", replies(NONE, 60, reply=HOSTILE), PLAIN)
    run_dir.write_log(**to_event(alarm))
    html, text = (path.read_text() for path in write_report(run_dir.path))
    assert len(collect(run_dir.path).alarms) == 1
    for page in (html, text):
        assert "<script>alert" not in page and "\x1b" not in page and "␛[31m" in page.replace("\\", "")
    assert "A toy: 8 held-out problems" in html and "A toy: 8 held-out problems" in text
