"""Problems in memory, and how many of them a recipe takes by default."""

import pytest
from toys import LastNumber, toy_recipe

from rise.errors import ConfigError, DataError
from rise.recipe.problems import held_out_problems, training_problems
from rise.task import Problem
from rise.tasks import make_task
from rise.tasks.plain import PlainTask
from rise.trajectory import Verdict

ROWS = [{"question": f"{i}+1", "gold": str(i + 1), "level": i} for i in range(50)]


def questions(task, split):
    return [problem.question for problem in task.problems(split)]


def test_a_list_is_split_by_the_hash_of_the_question():
    task = PlainTask(ROWS)
    parts = [questions(task, split) for split in ("train", "validation", "test")]
    assert sorted(question for part in parts for question in part) == sorted(row["question"] for row in ROWS)
    reordered = PlainTask(ROWS[::-1])
    assert [set(questions(reordered, split)) for split in ("train", "validation", "test")] == [set(part) for part in parts]


def test_a_list_a_split_is_taken_as_it_is():
    task = PlainTask({"test": [Problem("2+2?", gold="4")], "train": ROWS[:3]})
    assert questions(task, "test") == ["2+2?"] and len(task.problems("train")) == 3
    with pytest.raises(DataError, match="no validation split: only train and test was given"):
        task.problems("validation")


def test_mappings_are_read_as_rows_of_a_file_are():
    row = {"problem": "1+1?", "answer": 2, "solution": "#### 2", "level": 3, "id": "mine"}
    [problem] = PlainTask([row], shares=(0, 0, 1)).problems("test")
    assert problem == Problem("1+1?", "2", solution="#### 2", fields={"level": 3}, id="mine")


@pytest.mark.parametrize(("row", "words"), [("1+1", "Write Problem"), ({"question": "1+1"}, "no field 'gold'")])
def test_what_is_no_problem_is_named(row, words):
    with pytest.raises(DataError, match=words):
        PlainTask([row])


def test_the_judge_is_a_name_an_object_or_a_function():
    [problem] = PlainTask([Problem("2+2?", "4")], shares=(0, 0, 1)).problems("test")
    for judge, reply in (("math", r"\boxed{4.0}"), (LastNumber(), "so 4"), (lambda p, r: r == p.gold, "4")):
        assert PlainTask([problem], judge=judge).judge().judge(problem, reply).verdict is Verdict.RIGHT
    with pytest.raises(ConfigError, match='judge = "maths" is no judge'):
        PlainTask([problem], judge="maths")


# ---- how many ------------------------------------------------------------------------------------------------------------


def counts(data, **task):
    recipe = toy_recipe().model_dump()
    recipe["task"] = {"name": "gsm8k", "settings": {"path": str(data)}, **task}
    recipe["model"], recipe["boost"] = {"path": "x"}, {"enabled": False}
    from rise.recipe.toml import build_config

    config = build_config(recipe)
    made = make_task("gsm8k", **config.task.settings)
    return len(training_problems(config, made)), len(held_out_problems(config, made))


def test_default_counts_take_what_a_fixed_file_holds(data):
    """20 test problems; 80 of train, a tenth of them for validation."""
    n_train, n_test = counts(data)
    assert n_test == 20 and 60 < n_train < 80


def test_a_count_that_the_recipe_sets_must_be_there(data):
    assert counts(data, n_train=10, n_test=5) == (10, 5)
    for task in ({"n_test": 21}, {"n_train": 81}):
        with pytest.raises(DataError, match="were asked for"):
            counts(data, **task)
