"""How far a run is: its parts, the work in each, the time that is left."""

import random

import pytest
from toys import small, toy_recipe

from rise.method.iterate import run
from rise.play.player import Usage
from rise.recipe.shipped import home
from rise.recipe.toml import load_recipe
from rise.runs.context import Silent
from rise.runs.preflight import preflight
from rise.runs.time_left import Outlook, Pace, Step, planned


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def steps(**overrides):
    return [(step.stage, step.part, step.work) for step in planned(preflight(toy_recipe(**overrides)))]


def test_the_parts_of_a_run_and_their_work_counted_by_hand():
    # 6 held-out problems of 2 samples and 3 turns are 6 · (2 + 3 − 1) = 24 replies; the last round's control 6 · 2 more.
    # 24 boost problems, 24 epochs of them, then 30 % with an attempt and 4 epochs. 12 problems, best of 3 behind every attempt.
    assert steps() == [
        ("base", "evaluate", 24),
        ("boost-one-turn", "train", 24 * 24),
        ("boost-one-turn", "evaluate", 24),
        ("boost", "rollout", pytest.approx(7.2)),
        ("boost", "train", 24 * 4),
        ("boost", "evaluate", 24),
        ("round-1", "rollout", 12),
        ("round-1", "relabel", 12 * 3),
        ("round-1", "train", 12 + 12),  # the improver's replies and the student's own
        ("round-1", "evaluate", 24),
        ("round-2", "rollout", 24),  # two turns
        ("round-2", "relabel", 24 * 3),
        ("round-2", "train", 24 + 24),
        ("round-2", "evaluate", 24 + 12),
    ]


def test_what_a_recipe_leaves_out_is_no_part():
    found = [
        (stage, part) for stage, part, _ in steps(boost={"also_one_turn": False}, evaluate={"n_base": 2, "controls": "none"})
    ]
    assert ("boost-one-turn", "evaluate") not in found and ("boost-one-turn", "train") in found
    gold = {"improver": "gold", "relabel_right": "skip"}
    assert steps(boost={"enabled": False}, iterate={"rounds": 1}, relabel=gold)[2] == ("round-1", "relabel", 1)


def test_the_parts_that_are_planned_are_those_that_run_in_this_order(tmp_path, one_thread):
    class Listening(Silent):
        begun = ()

        def begin(self, stage, part, total):
            if self.begun[-1:] != ((stage, part),):
                self.begun += ((stage, part),)

    told = Listening()
    recipe = small(iterate={"rounds": 2}, relabel={"select": "judge", "judge": "self"}, dataset={"drop_truncated": False})
    run(recipe, tmp_path / "run", progress=told)
    assert told.begun == tuple((step.stage, step.part) for step in planned(preflight(recipe)))


def test_a_boost_on_skills_counts_their_lessons():
    recipe = load_recipe(home() / "bases/pair.toml", overrides=["boost.n_problems=300", "task.n_test=2"])
    ready = preflight(recipe)
    lessons = list(ready.task.skills(ready.boost, random.Random(5)))
    [work] = [step.work for step in planned(ready) if (step.stage, step.part) == ("boost-one-turn", "train")]
    assert len(lessons) > 900 and work == pytest.approx(len(lessons) * recipe.boost.train.epochs, rel=0.2)


def test_time_left_follows_the_speed_of_replies_and_of_training_apart():
    clock = Clock()
    whole = Outlook([Step("base", "evaluate", 10), Step("round-1", "train", 100), Step("round-1", "evaluate", 30)], clock)
    assert whole.left_s is None and whole.share == 0
    whole.begin("base", "evaluate")
    whole.advance(0)
    clock.now = 5
    whole.advance(0.5)  # a second a reply; of training nothing is known, so nothing is said of the whole
    assert whole.left_s is None and whole.share == pytest.approx(5 / 140)
    clock.now = 10
    whole.advance(1)
    whole.end()
    whole.end()  # twice is once
    assert whole.left_s is None
    whole.begin("round-1", "train")
    whole.advance(0)
    clock.now = 20
    whole.advance(0.5)  # 50 in 10 seconds: 10 more; then 30 replies
    assert whole.left_s == 10 + 30 and whole.share == pytest.approx(20 / 60)


def test_an_engine_that_starts_slowly_is_no_slow_reply_and_each_part_to_come_starts_one():
    clock = Clock()
    whole = Outlook([Step("base", "evaluate", 10), Step("round-1", "rollout", 20), Step("round-1", "evaluate", 30)], clock)
    whole.begin("base", "evaluate")
    clock.now = 100
    whole.advance(0)  # the engine is there
    clock.now = 105
    whole.advance(0.5)
    assert whole.left_s == 5 + 20 + 30  # a second a reply; what a start takes is known when the part has ended
    clock.now = 110
    whole.advance(1)
    whole.end()
    assert whole.left_s == (100 + 20) + (100 + 30)
    whole.begin("round-1", "rollout")
    assert whole.left_s == 20 + (100 + 30)  # not ready yet; how much of its start is behind is not known
    clock.now = 130
    whole.advance(0)  # this one started in 20 seconds: its successor's start is taken to be as long
    clock.now = 140
    whole.advance(0.5)
    assert whole.left_s == 10 + 100 + 30
    clock.now = 150
    whole.advance(1)
    whole.end()
    assert whole.left_s == 20 + 30


def test_steps_of_an_earlier_process_and_replies_read_back_teach_no_speed():
    pace = Pace(began=0)
    pace.advance(30, 0.6)  # training goes on from a checkpoint; its first word is after ten steps
    assert pace.left_s(30) is None
    pace.advance(40, 0.7)
    assert pace.left_s(40) == pytest.approx(30)
    pace = Pace(began=0)
    pace.advance(10, 0)
    pace.advance(11, 0.5, reused=0.5)  # half of them stood in the ledger
    assert pace.left_s(11) is None
    pace.advance(20, 0.75, reused=0.5)
    assert pace.left_s(20) == pytest.approx(10)


def test_replies_say_more_than_problems_which_end_together():
    clock = Clock()
    whole = Outlook([Step("base", "evaluate", 40)], clock)  # of 4 problems, ten replies each
    assert whole.shares(Usage(n_replies=20)) == (0, 0)
    whole.begin("base", "evaluate")
    assert whole.shares(Usage(n_replies=26, n_reused=4)) == (0.75, 0.1)
    assert whole.shares(Usage(n_replies=41)) == (0, 0)  # more than was planned: problems have to say it


def test_a_part_that_says_one_word_or_none_is_timed_as_a_whole():
    clock = Clock()
    whole = Outlook([Step("base", "evaluate", 10), Step("round-1", "train", 20), Step("round-2", "train", 40)], clock)
    whole.begin("base", "evaluate")
    clock.now = 10
    whole.end()
    whole.begin("round-1", "train")
    clock.now = 30
    whole.advance(1)
    whole.end()
    assert whole.left_s == 40


def test_a_run_that_goes_on_counts_what_was_done_before():
    clock = Clock()
    whole = Outlook([Step("base", "evaluate", 60), Step("round-1", "rollout", 20), Step("round-1", "evaluate", 20)], clock)
    whole.begin("round-1", "rollout")  # base was measured by an earlier process
    whole.advance(0)
    clock.now = 1
    whole.advance(0.5)
    assert whole.at == 1 and whole.left_s == 3 and whole.share == pytest.approx(0.7)
    whole.begin("base", "evaluate")  # nothing goes backwards
    assert whole.at == 1


def test_the_share_never_falls_whatever_is_learnt_of_the_speed():
    clock = Clock()
    whole = Outlook([Step("base", "evaluate", 10), Step("round-1", "train", 10)], clock)
    whole.begin("base", "evaluate")
    clock.now = 10
    whole.end()
    assert whole.share == 0.5  # as if training took as long
    whole.begin("round-1", "train")
    whole.advance(0)
    clock.now = 100
    whole.advance(0.1)  # ninety seconds for a tenth: 810 more
    assert whole.left_s == pytest.approx(810) and whole.share == 0.5
