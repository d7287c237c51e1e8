"""How far a run is: its parts, the work in each, the time that is left."""

import pytest
from toys import small, toy_recipe

from rise.method.iterate import run
from rise.runs.bench import Silent
from rise.runs.plan import Outlook, Step, planned
from rise.runs.preflight import preflight


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


def test_time_left_follows_the_speed_of_replies_and_of_training_apart():
    clock = Clock()
    whole = Outlook([Step("base", "evaluate", 10), Step("round-1", "train", 100), Step("round-1", "evaluate", 30)], clock)
    assert whole.left_s is None and whole.share == 0
    whole.begin("base", "evaluate")
    clock.now = 5
    whole.advance(5, 10)  # a second a reply; of training nothing is known, so it is taken to be as fast
    assert whole.left_s == 5 + 100 + 30 and whole.share == pytest.approx(5 / 140)
    clock.now = 10
    whole.advance(10, 10)
    whole.end()
    whole.end()  # twice is once
    whole.begin("round-1", "train")
    clock.now = 20
    whole.advance(50, 100)  # 50 in 10 seconds: 10 more; then 30 replies
    assert whole.left_s == 10 + 30 and whole.share == pytest.approx(20 / 60)


def test_a_run_that_goes_on_counts_what_was_done_before():
    clock = Clock()
    whole = Outlook([Step("base", "evaluate", 60), Step("round-1", "rollout", 20), Step("round-1", "evaluate", 20)], clock)
    whole.begin("round-1", "rollout")  # base was measured by an earlier process
    clock.now = 1
    whole.advance(10, 20)
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
    clock.now = 100
    whole.advance(1, 10)  # ninety seconds for a tenth: 810 more
    assert whole.left_s == 810 and whole.share == 0.5
