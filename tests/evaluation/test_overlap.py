"""What is measured and trained on too, at each level, counted by hand."""

import pytest
from toys import small

from rise.evaluation.overlap import overlap
from rise.method.iterate import run
from rise.task import Problem
from rise.tasks import make_task
from rise.tasks.plain import PlainTask

TRAINED = [Problem("Ada has 5 pens. How many?", "5"), Problem("What is 3 + 4?", "7")]
MEASURED = [
    Problem("what is  3 + 4?", "7"),  # the same but for a letter and a space
    Problem("Ada has 7 pens. How many?", "7"),  # another number
    Problem("Eve has 5 pens. How many?", "5"),  # another name
    Problem("How old is the sea?", "?"),
]


def counts(task=None, training=(TRAINED,), measured=MEASURED):
    found = overlap(task or PlainTask(TRAINED, judge="math"), training, measured)
    return {name: level["n"] for name, level in found["levels"].items()}, found


def test_levels_find_more_and_more():
    levels, found = counts()
    assert (levels["exact"], levels["up to numbers"], levels["up to names"]) == (1, 2, 2)
    assert found["n"] == 4 and found["n_training"] == 2 and found["levels"]["exact"]["first"] == "what is  3 + 4?"


def test_nothing_trained_on_is_nothing_shared():
    levels, _ = counts(training=())
    assert set(levels.values()) == {0}


def test_splits_of_a_generated_task_share_nothing_and_differ_in_numbers_alone():
    task = make_task("divisor")
    levels, _ = counts(task, [task.problems("train", 50)], task.problems("test", 20))
    assert levels["exact"] == levels["by the task's own split"] == 0 and levels["up to numbers"] == 20


def test_a_round_that_is_repeated_counts_once():
    _, found = counts(training=[TRAINED, TRAINED])
    assert found["n_training"] == 2


@pytest.mark.usefixtures("one_thread")
def test_a_run_looks_once_however_often_it_is_continued(tmp_path):
    for _ in range(2):
        found = [event["overlap"] for event in run(small(), tmp_path / "run").read_log() if "overlap" in event]
        assert len(found) == 1 and found[0]["n"] == 2 and set(found[0]["levels"]) >= {"exact", "up to numbers"}
