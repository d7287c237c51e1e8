"""rise validate: each trouble planted by hand is counted where it lies, and tasks that are sound are called fit."""

import json
import os
from pathlib import Path

import pytest
from toys import write
from typer.testing import CliRunner

from rise.cli.main import app
from rise.judges.python_functions import FunctionJudge
from rise.play.prompt import Prompt
from rise.recipe.toml import load_recipe
from rise.runs.validate import Length, recipe_problems, task_problems, validate
from rise.task import Problem
from rise.tasks import KINDS, make_task
from rise.tasks.plain import PlainTask


def found(task, **kwargs):
    problems, notes = task_problems(task, None)
    return validate(task, problems, notes=notes, **kwargs)


def counts(validation):
    return {check.name: check.counts for check in validation.checks if check.n}


def said(*words):
    return CliRunner().invoke(app, ["validate", *map(str, words)])


GENERATED = sorted(set(KINDS) - {"gsm8k", "math", "svamp", "mbpp", "humaneval", "jsonl"})


@pytest.mark.parametrize("name", [*GENERATED, "reasoning-gym:chain_sum"])
def test_a_generated_task_is_fit(name):
    task = make_task(name)
    validation = validate(task, task_problems(task, 20)[0])
    assert validation.fit and counts(validation) == {}
    assert validation.problems == {"train": 20, "validation": 20, "test": 20}


@pytest.mark.parametrize("name", ["gsm8k", "math", "svamp"])
def test_a_benchmark_in_its_original_format_is_fit(name, data):
    validation = found(make_task(name, path=data))
    assert validation.fit and counts(validation) == {}
    assert validation.problems["test"] == (1 if name == "svamp" else 20)


def test_a_gold_that_its_own_judge_refuses_is_counted_and_shown():
    rows = [{"question": "1+1?", "gold": "2"}, {"question": "2+2?", "gold": "about four"}, {"question": "3+3?", "gold": "6 km"}]
    validation = found(PlainTask({"test": rows}, judge="number"))
    assert counts(validation) == {"untried": {"test": 1}} and validation.fit  # "about four": no form of it holds a number
    rows = [{"question": "Which?", "gold": "Z"}, {"question": "Who?", "gold": "B"}]
    validation = found(PlainTask({"test": rows}, judge="choice"))
    assert counts(validation) == {"untried": {"test": 1}}

    def right(reply, gold):
        return gold == "B" and reply == "B"

    validation = found(PlainTask({"test": [{"question": "Which?", "gold": "A"}, {"question": "Who?", "gold": "B"}]}, judge=right))
    assert counts(validation) == {"gold": {"test": 1}} and not validation.fit
    [check] = [check for check in validation.checks if check.name == "gold"]
    assert check.examples[0]["question"] == "Which?" and "gold 'A' is read as 'A'" in check.examples[0]["trouble"]


def test_a_gold_that_cannot_be_read_and_a_solution_that_is_not_right():
    rows = [
        {"question": "a?", "gold": r"\boxed{}"},  # marks nothing
        {"question": "b?", "gold": "2", "solution": r"So \boxed{3}."},
        {"question": "c?", "gold": "2", "solution": r"So \boxed{2}."},
        {"question": "d?", "gold": "2", "solution": "So two."},
    ]
    validation = found(PlainTask({"train": rows}))
    assert counts(validation) == {"unreadable": {"train": 1}, "solution": {"train": 2}} and not validation.fit
    assert "reads '3'; gold is '2'" in validation.checks[1].examples[0]["trouble"]
    assert "reads nothing" in validation.checks[1].examples[1]["trouble"]


def test_tests_that_are_no_tests_are_golds_that_cannot_be_read():
    rows = [{"question": "f", "gold": "assert f(1) == 2"}, {"question": "g", "gold": "print(g(1))"}]
    validation = found(PlainTask({"test": rows}, judge="python-functions"))
    assert counts(validation) == {"unreadable": {"test": 1}, "untried": {"test": 1}}  # tests are no program


def test_a_solution_in_code_that_fails_or_does_not_end_says_which_test():
    rows = [
        {"question": "f", "gold": "assert f(3) == 7", "solution": "```python\ndef f(x):\n    return 5\n```"},
        {"question": "g", "gold": "assert g(1) == 1", "solution": "```python\ndef g(x):\n    while True:\n        pass\n```"},
    ]
    validation = found(PlainTask({"test": rows}, judge=FunctionJudge(time_limit_s=0.5)))
    assert counts(validation) == {"solution": {"test": 2}}
    wrong, late = (example["trouble"] for example in validation.checks[1].examples)
    assert wrong.startswith("wrong: f(3) ") and late == "timed_out: g(1) did not return in time."


def test_doubles_contradictions_and_leaks_are_told_apart():
    train = [
        {"question": "What is 1 + 1?", "gold": "2"},
        {"question": "what is  1 + 1?", "gold": r"It is \boxed{2.0}."},  # the same question, the same answer
        {"question": "What is 2 + 2?", "gold": "4"},
        {"question": "What is 2 + 2? ", "gold": "5"},
    ]
    test = [{"question": "WHAT IS 1 + 1?", "gold": "2"}, {"question": "What is 3 + 3?", "gold": "6"}]
    validation = found(PlainTask({"train": train, "test": test}))
    assert counts(validation) == {"double": {"train": 1}, "contradiction": {"train": 1}, "leak": {"test": 1}}
    assert not validation.fit


def test_a_leak_is_found_up_to_the_order_that_the_tasks_key_knows():
    task = make_task("signs")
    [problem] = task.problems("test", 1)
    first, *rest = problem.question.split("=")[0].split()
    other = f"{first} {' '.join(rest[::-1])}={problem.question.split('=')[1]}"
    assert other != problem.question
    problems = {"train": [problem], "test": [Problem(other, problem.gold)]}
    assert counts(validate(task, problems))["leak"] == {"test": 1}
    assert "leak" not in counts(validate(PlainTask([]), problems))


def test_questions_are_held_against_the_context(renderer):
    rows = [{"question": "9" * n, "gold": "9"} for n in (5, 40, 60)]
    n = len(renderer.prompt_ids(Prompt().messages(Problem("9" * 40, "9"), ())))
    length = Length(Prompt(), renderer, n + 10, 10)  # the second fits exactly, the third by 20 characters not
    validation = found(PlainTask({"test": rows}), length=length)
    assert counts(validation) == {"long": {"test": 1}} and not validation.fit
    assert validation.length == {"longest": n + 20, "reply": 10, "context": n + 10}


# ---- the command ---------------------------------------------------------------------------------------------------------


def test_a_file_of_ones_own_and_its_exit_status(tmp_path):
    good = write(tmp_path / "good.jsonl", [{"question": f"{i}+1?", "gold": i + 1} for i in range(30)])
    done = said(good)
    assert done.exit_code == 0 and "fit: nothing found" in done.output
    assert max(map(len, done.output.splitlines())) <= 77  # and three for the mark: a terminal of 80
    bad = write(tmp_path / "bad.jsonl", ['{"question": "1+1?", "gold": "\\\\boxed{"}'] * 2 + ['{"question": "1?", "gold": 1}'])
    done = said(bad, "--set", "shares=[0,0,1]", "--json")
    assert done.exit_code == 1
    told = json.loads(done.stdout)
    assert told["fit"] is False and told["checks"]["unreadable"]["counts"] == {"test": 1}
    assert told["problems"] == {"test": 2} and any("1 exact duplicates dropped" in note for note in told["notes"])
    assert sum("no train problems" in note or "no validation problems" in note for note in told["notes"]) == 2
    table = tmp_path / "own.csv"
    table.write_text("question,gold\nColour?,red\n")
    assert said(table, "--set", "judge=exact", "--set", "shares=[0,0,1]").exit_code == 0


def test_a_recipe_is_looked_at_as_it_would_run(tmp_path):
    config = load_recipe("nano", scale="toy", overrides=["iterate.rounds=2", "rollout.problems=fresh"])
    task = make_task(config.task.name, **config.task.settings)
    problems, _ = recipe_problems(config, task)
    assert {split: len(some) for split, some in problems.items()} == {"train": 2 * 16, "validation": 8, "test": 16}  # 2 rounds
    done = said("nano", "--scale", "toy", "--json")
    told = json.loads(done.stdout)
    assert done.exit_code == 0 and told["length"]["context"] == 256
    done = said("nano", "--scale", "toy", "--set", "sampling.max_new_tokens=250", "--json")
    assert done.exit_code == 1 and json.loads(done.stdout)["checks"]["long"]["counts"]


def test_a_model_is_named_beside_a_task(nano_dir, tmp_path):
    done = said("pair", "-n", 5, "--model", nano_dir, "--json")
    assert json.loads(done.stdout)["checks"]["long"]["counts"] == {"train": 5, "validation": 5, "test": 5}  # 512 tokens of reply
    assert done.exit_code == 1
    (tmp_path / "empty").mkdir()
    assert "holds no config.json" in str(said("pair", "--model", tmp_path / "empty").exception)


def test_what_is_neither_task_nor_file_nor_recipe_is_said(tmp_path):
    assert 'Did you mean "nano"' in str(said("nanoo").exception)
    assert "is no recipe" in str(said("pair", "--scale", "toy").exception)
    assert "settings of the task only" in str(said("pair", "--set", "state.window=1").exception)
    assert "no such file" in str(said(tmp_path / "none.jsonl").exception)
    assert "no file was given" in str(said("jsonl").exception)  # nothing to look at is not fit


@pytest.mark.parametrize("name", ["gsm8k", "math", "svamp"])
def test_the_published_data_is_fit(name):
    if not (Path(os.environ.get("RISE_DATA", "")) / name).is_dir():
        pytest.skip(f"no {name} under $RISE_DATA")
    validation = found(make_task(name))
    assert validation.fit
    assert counts(validation) == ({"double": {"train": 1}} if name == "math" else {})
