"""The benchmarks from their original formats, and their recipes at toy scale, on rows written here."""

import json
import os
import warnings
from pathlib import Path

import pytest
from benchmark_rows import NAMES, write_benchmarks
from documents import own_things
from typer.testing import CliRunner

from rise.cli.main import app
from rise.errors import DataError, MissingDataError
from rise.judges.python_tests import read_tests
from rise.recipe.shipped import home
from rise.recipe.toml import load_recipe
from rise.runs.validate import task_problems, validate
from rise.tasks import make_task
from rise.trajectory import Verdict

N = {  # train + validation, test: by hand, from benchmark_rows
    "gsm8k": (30, 4),
    "math": (30, 4),
    "svamp": (30, 4),  # of 32 rows, one is another in other spaces, one has another answer
    "mbpp": (6, 3),  # 511, 600 | 601, 602, 603, 974; 11, 12, 510. Not 1, 10, nor 700, whose test is no call with plain values
    "humaneval": (6, 4),  # MBPP's; and not the one that rolls dice
}


@pytest.fixture
def own_data(tmp_path, monkeypatch):
    monkeypatch.setenv("RISE_DATA", str(write_benchmarks(tmp_path / "data")))
    return tmp_path / "data"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.filterwarnings("ignore:task")
def test_every_gold_and_solution_is_right_by_its_own_judge_and_no_split_meets_another(name, own_data):
    task = make_task(name)
    problems, _ = task_problems(task, None)
    found = validate(task, problems)
    assert found.fit and {check.name for check in found.checks if check.n} == set()
    assert (found.problems["train"] + found.problems["validation"], found.problems["test"]) == N[name]


def test_mbpp_is_split_by_task_number_and_shows_as_many_tests_as_asked_for(own_data):
    with pytest.warns(UserWarning, match="1 problem whose tests are no calls with plain values left out"):
        train = make_task("mbpp").problems("train")
    assert [p.fields["task"] for p in train] == [601, 602, 603, 974]
    assert [p.fields["task"] for p in make_task("mbpp").problems("validation")] == [511, 600]
    first = make_task("mbpp", shown=1).problems("test")[0]
    assert first.question == (
        "Write a function to add 11 to a number and double it.\nYour code should pass this test:\nassert add_double_11(0) == 22"
    )
    assert train[0].question.count("assert") == 3 and "these tests" in train[0].question
    name, tests = read_tests(first.gold)
    assert (name, [test.expected for test in tests]) == ("add_double_11", [22, 32, 16])


def test_humaneval_is_asked_as_its_prompt_and_tested_by_its_assertions(own_data):
    with pytest.warns(UserWarning, match="1 problem whose tests are"):
        first, *_, near = make_task("humaneval").problems("test")
    assert first.question.startswith("def scale_2(values: list) -> list:") and "check" not in first.question
    name, tests = read_tests(first.gold)
    assert (name, [(test.call, test.expected) for test in tests]) == (
        "scale_2",
        [("scale_2([1, 2])", [2, 4]), ("scale_2([])", []), ("scale_2([12])", [24]), ("scale_2([])", False)],
    )
    judge = make_task("humaneval").judge()
    third = [f"```python\ndef third(x):\n    return {value}\n```" for value in ("x / 3", "round(x / 3, 3)", "'a'")]
    assert [judge.judge(near, reply).verdict for reply in third] == [Verdict.RIGHT, Verdict.WRONG, Verdict.WRONG]


def test_an_assertion_without_a_comparison_asks_for_what_is_true_or_false(own_data):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        [problem, *_] = make_task("humaneval").problems("test")
    assert "assert bool(scale_2([])) == False" in problem.gold


def test_svamp_trains_on_the_authors_one_step_problems_with_their_numbers_filled_in(own_data):
    task = make_task("svamp")
    problems = [*task.problems("train"), *task.problems("validation")]
    [third] = [p for p in problems if p.question.startswith("3 snails")]
    assert (third.question, third.gold) == ("3 snails meet 5 slugs . how many are they ?", "8")
    [fourth] = [p for p in problems if p.question.startswith("4 snails")]
    assert fourth.gold == "10"  # the first answer counts
    (own_data / "svamp/train.csv").write_text("Question,Numbers,Answer\nnumber0 and number1 ?,3,5\n")
    with pytest.raises(DataError, match="number1 stands in the question, but Numbers holds 1"):
        make_task("svamp").problems("train")
    (own_data / "svamp/train.csv").unlink()
    with pytest.raises(MissingDataError, match=r"curl -L -o .*svamp/train\.csv"):
        make_task("svamp").problems("train")
    assert len(make_task("svamp").problems("test")) == 4


def test_a_reference_solution_that_returns_a_counter_or_a_complex_number_is_right():
    judge = make_task("python-functions").judge()
    from rise.task import Problem

    counted = Problem("f", "assert f('aab') == {'a': 2, 'b': 1}")
    for kind in ("Counter(s)", "defaultdict(int, {c: s.count(c) for c in s})", "OrderedDict((c, s.count(c)) for c in s)"):
        code = f"```python\nfrom collections import *\ndef f(s):\n    return {kind}\n```"
        assert judge.judge(counted, code).verdict is Verdict.RIGHT
    code = "```python\ndef f(x):\n    return complex(x, 1)\n```"
    assert judge.judge(Problem("f", "assert f(2) == (2+1j)"), code).verdict is Verdict.RIGHT
    assert judge.judge(Problem("f", "assert f(2) == (2+2j)"), code).verdict is Verdict.WRONG


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.filterwarnings("ignore:task")
@pytest.mark.slow
def test_its_recipe_runs_at_toy_scale_to_the_report(name, own_data, tmp_path, monkeypatch, one_thread):
    own_things(tmp_path)
    monkeypatch.chdir(tmp_path)
    words = ["run", f"benchmarks/{name}", "--scale", "toy", "--out", "run", "--set", "threads=1"]
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert json.loads((tmp_path / "run/round-1/metrics.json").read_text())["m1@t1"]["n"] == 2
    assert (tmp_path / "run/report.html").exists()


@pytest.mark.parametrize("name", NAMES)
def test_it_loads_at_every_scale_and_its_first_lines_say_how_to_run_it(name):
    path = home() / f"benchmarks/{name}.toml"
    assert load_recipe(path).task.name == name and load_recipe(path, scale="toy").iterate.rounds == 1
    assert f"rise run recipes/benchmarks/{name}.toml" in path.read_text().split("\nextends =")[0]
    if name == "math":
        assert load_recipe(path, scale="math500").task.settings == {"subset": "500"}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.filterwarnings("ignore:task")
@pytest.mark.slow
def test_the_published_data_is_fit(name):
    if not (Path(os.environ.get("RISE_DATA", "")) / name).is_dir():
        pytest.skip(f"no {name} under $RISE_DATA")
    task = make_task(name)
    found = validate(task, task_problems(task, None)[0])
    assert {c.name: c.counts for c in found.checks if c.n} == ({"double": {"train": 1}} if name == "math" else {})
