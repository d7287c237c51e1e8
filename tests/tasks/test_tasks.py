"""Tasks: splits that cannot meet, sequences that never change, and messages that say the way out."""

import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest
from toys import write

from rise.errors import ConfigError, DataError
from rise.judge import Judgement
from rise.task import problem_id
from rise.tasks import FAMILIES, KINDS, make_task
from rise.tasks.arithmetic import product_steps
from rise.tasks.sources import data_directory
from rise.trajectory import Verdict

SPLITS = ("train", "validation", "test")
GENERATED = ("arithmetic", "word-problems")


# ---- by name -------------------------------------------------------------------------------------------------------------


def test_an_unknown_task_or_setting_is_answered_with_the_nearest_one():
    with pytest.raises(ConfigError, match=re.escape("unknown task 'arithmatic'. Did you mean \"arithmetic\"")):
        make_task("arithmatic")
    with pytest.raises(ConfigError, match=re.escape("no setting 'product_digit'. Did you mean \"product_digits\"")):
        make_task("arithmetic", product_digit=(3, 2))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kinds": {"sums": 1}}, "unknown kind 'sums'. Did you mean \"sum\""),
        ({"kinds": {"sum": 0}}, "no kind has a share above 0"),
        ({"kinds": {"sum": -1}}, "kinds.sum = -1"),
        ({"kinds": {"sum": "lots"}}, "kinds.sum = 'lots'"),
        ({"sum_terms": 1}, "sum_terms = 1"),
        ({"sum_terms": (4, 3)}, "the least comes first"),
        ({"sum_digits": "3"}, "sum_digits = '3'"),
        ({"product_digits": 3}, "product_digits = 3"),
        ({"product_digits": (3, 0)}, "product_digits = 0"),
        ({"seed": 1.5}, "seed = 1.5"),
        ({"seed": True}, "seed = True"),
    ],
)
def test_an_impossible_setting_is_named(settings, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        make_task("arithmetic", **settings)


# ---- generated -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", GENERATED)
def test_no_question_is_in_two_splits_whatever_the_seed_and_settings(name):
    hard = {"product_digits": (2, 2), "sum_digits": 1} if name == "arithmetic" else {"max_operand": 12}
    questions = {split: set() for split in SPLITS}
    for settings in ({}, {"seed": 1}, {**hard, "seed": 2}):
        task = make_task(name, **settings)
        for split in SPLITS:
            questions[split] |= {p.question for p in task.problems(split, 400)}
    assert not questions["train"] & questions["test"]
    assert not questions["train"] & questions["validation"]
    assert not questions["validation"] & questions["test"]


@pytest.mark.parametrize("name", GENERATED)
def test_a_split_is_one_sequence_without_repeats(name):
    task = make_task(name)
    whole = task.problems("test", 3000)
    assert len({p.question for p in whole}) == len({p.id for p in whole}) == 3000
    assert make_task(name).problems("test", 500, start=2500) == whole[2500:]  # however it is asked for
    assert make_task(name, seed=1).problems("test", 50) != whole[:50]


def test_the_sequence_does_not_depend_on_the_process():
    names = "for t in ('arithmetic', 'word-problems') for p in make_task(t).problems('train', 20)"
    code = f"from rise.tasks import make_task; print([p.id {names}])"
    here = str([p.id for name in GENERATED for p in make_task(name).problems("train", 20)])
    for hash_seed in ("0", "1"):
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": hash_seed}
        )
        assert done.stdout.strip() == here


@pytest.mark.parametrize("name", GENERATED)
def test_every_worked_solution_is_right_and_every_step_is_true(name):
    task = make_task(name)
    judge = task.judge()
    for problem in task.problems("train", 3000):
        assert judge.judge(problem, problem.solution) == Judgement(Verdict.RIGHT, problem.gold)
        assert judge.judge(problem, f"####{int(problem.gold) + 1}").verdict is Verdict.WRONG
        steps = re.findall(r"(\d+) ?([-+*/]) ?(\d+) ?= ?(\d+)", problem.solution)
        assert steps and steps[-1][-1] == problem.gold
        for a, operator, b, c in steps:
            a, b, c = int(a), int(b), int(c)
            assert {"+": a + b, "-": a - b, "*": a * b, "/": a / b}[operator] == c
        assert "-" not in problem.gold


def test_an_expression_means_what_arithmetic_says_it_means():
    task = make_task("arithmetic", kinds=["sum", "product", "chain"], chain_terms=(2, 6))
    for problem in task.problems("validation", 500):
        assert eval(problem.question) == int(problem.gold)  # our own text, not a model's


def test_kinds_come_in_their_shares_and_are_named():
    problems = make_task("arithmetic", kinds={"product": 3, "sum": 1, "word": 0}).problems("train", 4000)
    share = sum(p.fields["kind"] == "product" for p in problems) / 4000
    assert {p.fields["kind"] for p in problems} == {"product", "sum"}
    assert abs(share - 0.75) < 0.03  # four standard errors


def test_the_worked_product_is_the_one_on_paper():
    assert product_steps(347, 68) == ["347*8=2776", "347*60=20820", "2776+20820=23596"]
    assert product_steps(47, 60) == ["47*60=2820"]
    assert product_steps(12, 345) == ["12*5=60", "12*40=480", "12*300=3600", "60+480=540", "540+3600=4140"]


def test_difficulty_is_what_the_settings_say():
    for p in make_task("arithmetic", kinds="product", product_digits=[4, 1]).problems("test", 100):
        assert re.fullmatch(r"\d{4}\*[2-9]", p.question)
    for p in make_task("arithmetic", kinds="sum", sum_terms=5, sum_digits=(2, 3)).problems("test", 100):
        assert re.fullmatch(r"\d{2,3}(\+\d{2,3}){4}", p.question) and p.solution.count("\n") == 4
    for p in make_task("word-problems", max_operand=20, steps=1, kinds="word").problems("test", 200):
        assert all(int(n) <= 20 for n in re.findall(r"\d+", p.question)) and p.solution.count("\n") == 1
    for p in make_task("word-problems", kinds="chain", chain_terms=3).problems("test", 100):
        assert re.fullmatch(r"What is \d+( [+-] \d+){2}\?", p.question)


@pytest.mark.parametrize("kinds", [None, "product", "sum", "chain", "word"])
def test_the_alphabet_holds_every_character_and_no_other(kinds):
    task = make_task("arithmetic", kinds=kinds)
    seen = {c for split in SPLITS for p in task.problems(split, 3000) for c in p.question + p.solution + p.gold}
    assert seen <= set(task.alphabet)
    assert set(task.alphabet) - seen <= set("abcdefghijklmnopqrstuvwxyz-")
    assert task.alphabet == "".join(sorted(set(task.alphabet)))


def test_a_space_that_runs_out_says_how_to_enlarge_it():
    task = make_task("arithmetic", kinds="product", product_digits=(1, 1))  # 8 × 8 = 64 questions in all
    with pytest.raises(DataError, match=r"kind 'product' is left for train after 4\d problems, of 1000 asked for. Enlarge it"):
        task.problems("train", 1000)
    assert len(task.problems("train", 40)) == 40  # what there is can still be had


@pytest.mark.parametrize("name", GENERATED)
def test_a_generated_task_has_no_end_and_says_so(name):
    with pytest.raises(DataError, match="say how many"):
        make_task(name).problems("train")
    with pytest.raises(DataError, match=re.escape("no split 'tset'. Did you mean \"test\"")):
        make_task(name).problems("tset", 1)


def test_word_problems_ask_for_their_format_and_arithmetic_for_nothing():
    assert "#### " in make_task("word-problems").instructions
    assert make_task("arithmetic").instructions is None


# ---- your own problems ---------------------------------------------------------------------------------------------------


def own(tmp_path, n=200):
    return write(
        tmp_path / "problems.jsonl", [{"question": f"What is {i} + 1?", "gold": str(i + 1), "level": i % 3} for i in range(n)]
    )


def test_one_file_is_cut_into_three_by_content(tmp_path):
    task = make_task("jsonl", path=own(tmp_path))
    parts = {split: task.problems(split) for split in SPLITS}
    assert sum(map(len, parts.values())) == 200
    assert 140 < len(parts["train"]) < 180 and len(parts["validation"]) > 5 and len(parts["test"]) > 5
    assert parts["train"][0].fields.keys() == {"level"}
    # Rows put in another order, and more of them, leave every old problem where it was.
    rows = own(tmp_path, 300).read_text().splitlines()[::-1]
    later = make_task("jsonl", path=write(tmp_path / "later.jsonl", rows))
    for split in SPLITS:
        assert {p.id for p in parts[split]} <= {p.id for p in later.problems(split)}


def test_shares_and_one_file_a_split(tmp_path):
    file = own(tmp_path)
    assert len(make_task("jsonl", path=file, shares=(0, 0, 1)).problems("test")) == 200
    assert len(make_task("jsonl", path=file, shares={"test": 1.0}).problems("test")) == 200
    task = make_task("jsonl", test_path=file)
    assert [p.question for p in task.problems("test", 2, start=1)] == ["What is 1 + 1?", "What is 2 + 1?"]
    with pytest.raises(DataError, match=r"no train split: only task.settings.test_path was given"):
        task.problems("train")
    with pytest.raises(DataError, match=r"has 200 test problems, but 150 … 250 were asked for"):
        task.problems("test", 100, start=150)
    for shares in ((1, 1, 1), (0.5, 0.5), {"tset": 1.0}):
        with pytest.raises(ConfigError, match="shares"):
            make_task("jsonl", path=file, shares=shares)
    with pytest.raises(ConfigError, match="not both"):
        make_task("jsonl", path=file, test_path=file)


def test_field_names_and_numbers(tmp_path):
    file = write(
        tmp_path / "a.jsonl",
        [{"problem": "1+1?", "answer": 2}, {"question": "half?", "gold": 0.5}, "", {"problem": "3?", "answer": 3.0}],
    )
    problems = make_task("jsonl", test_path=file).problems("test")
    assert [(p.question, p.gold) for p in problems] == [("1+1?", "2"), ("half?", "0.5"), ("3?", "3")]
    assert problems[0].id == problem_id("1+1?", "2")
    file = write(tmp_path / "b.jsonl", [{"q": "1+1?", "a": "2", "gold": "other", "solution": "1+1=2\n#### 2"}])
    (problem,) = make_task("jsonl", test_path=file, question_field="q", gold_field="a").problems("test")
    assert (problem.gold, problem.solution, problem.fields) == ("2", "1+1=2\n#### 2", {"gold": "other"})


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (['{"question": "1?", "gold": "1"}', "{not json"], "line 2: not JSON"),
        (['{"question": "1?", "gold": "1"}', "[1]"], "line 2: expected a JSON object"),
        (['{"question": "1?"}'], "line 1: no field 'gold' or 'answer'; it has 'question'"),
        (['{"question": "1?", "gold": null}'], "line 1: field 'gold' is None"),
        (['{"question": "1?", "gold": ["1"]}'], "line 1: field 'gold' is ['1']"),
        (['{"question": " ", "gold": "1"}'], "line 1: field 'question' is empty"),
        ([""], "no problems in it"),
    ],
)
def test_a_bad_file_is_named_with_its_line(tmp_path, rows, message):
    file = write(tmp_path / "bad.jsonl", rows)
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        make_task("jsonl", path=file).problems("train")
    assert "bad.jsonl" in str(caught.value)


def test_a_missing_file_and_no_file(tmp_path):
    with pytest.raises(DataError, match=r"no such file in .*--set task\.settings\.path=FILE"):
        make_task("jsonl", path=tmp_path / "none.jsonl")
    task = make_task("jsonl")  # enough to judge with
    assert task.judge().same("1,000", "1000")
    with pytest.raises(DataError, match=r"no file was given\. Set task\.settings\.path"):
        task.problems("test")


def test_an_empty_split_says_why(tmp_path):
    file = write(tmp_path / "one.jsonl", [{"question": "1?", "gold": "1"}])
    task = make_task("jsonl", path=file)
    empty = [split for split in SPLITS if not _has(task, split)]
    assert len(empty) == 2
    with pytest.raises(DataError, match=r"change task\.shares, or give each split its own file"):
        task.problems(empty[0])


def _has(task, split):
    try:
        return bool(task.problems(split))
    except DataError:
        return False


def test_duplicates_are_dropped_and_counted(tmp_path):
    file = write(
        tmp_path / "twice.jsonl",
        [{"question": "1?", "gold": "1"}, {"question": "2?", "gold": "2"}, {"question": "1?", "gold": "1"}],
    )
    task = make_task("jsonl", test_path=file)
    with pytest.warns(UserWarning, match="1 exact duplicates dropped"):
        assert [p.question for p in task.problems("test")] == ["1?", "2?"]


# ---- benchmarks ----------------------------------------------------------------------------------------------------------


GET_GSM8K = """load_dataset("openai/gsm8k", "main", split="test").to_json("{}/gsm8k/test.jsonl")'"""
GET_500 = """load_dataset("HuggingFaceH4/MATH-500", split="test").to_json("{}/math/test.jsonl")'"""
GET_MATH = 'load_dataset("EleutherAI/hendrycks_math", part, split="test") for part in ["algebra", '


@pytest.mark.parametrize(
    ("name", "settings", "command"),
    [
        ("gsm8k", {}, GET_GSM8K),
        ("math", {}, GET_MATH),
        ("math", {"subset": "500"}, GET_500),
        ("svamp", {}, "curl -L -o {}/svamp/svamp.json"),
    ],
)
def test_a_benchmark_that_is_not_there_says_how_to_get_it(name, settings, command, tmp_path, monkeypatch):
    monkeypatch.setenv("RISE_DATA", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(DataError, match=re.escape(command.replace("{}", str(tmp_path)))) as caught:
        make_task(name, **settings).problems("test")
    assert f"mkdir -p {tmp_path / name}" in str(caught.value)
    assert "RISE_DATA" in str(caught.value)
    assert make_task(name).judge().same("1", "1.0")  # judging needs no data


@pytest.mark.parametrize("where", ["environment", "path", "directory"])
def test_gsm8k_in_its_own_format(data, where, monkeypatch):
    if where == "environment":
        monkeypatch.setenv("RISE_DATA", str(data))
    task = make_task("gsm8k", **({} if where == "environment" else {"path": data if where == "path" else data / "gsm8k"}))
    assert [len(task.problems(split)) for split in SPLITS][-1] == 20
    assert len(task.problems("train")) + len(task.problems("validation")) == 80
    assert not {p.id for p in task.problems("train")} & {p.id for p in task.problems("validation")}
    problem = task.problems("test")[0]
    assert problem.solution == "She has 1000+2=1002.\nThe answer is \\boxed{1,002}."
    judge = task.judge()
    assert judge.judge(problem, problem.solution).verdict is Verdict.RIGHT
    assert judge.judge(problem, r"\boxed{1}").verdict is Verdict.WRONG
    assert r"\boxed{}" in task.instructions


def test_one_file_is_the_test_split_and_never_both(data):
    task = make_task("gsm8k", path=data / "gsm8k" / "test.jsonl")
    assert len(task.problems("test")) == 20
    with pytest.raises(DataError, match="taken as the test split"):
        task.problems("train")


def test_math_has_levels_and_subjects(data):
    task = make_task("math", path=data, levels=[1, 2], subjects="Algebra")
    assert {p.fields["level"] for p in task.problems("test")} == {1, 2}
    with pytest.raises(ConfigError, match=re.escape("subjects has 'Algbra'. Did you mean \"Algebra\"")):
        make_task("math", subjects=["Algbra"])
    with pytest.raises(ConfigError, match="levels has 6"):
        make_task("math", levels=6)
    with pytest.raises(DataError, match="Check its path and filters"):
        make_task("math", path=data, subjects="Geometry").problems("test")


def test_math_500_rows_are_read_too(tmp_path):
    row = {"problem": "1+1?", "solution": "clear", "answer": "2", "subject": "Prealgebra", "level": 3, "unique_id": "x"}
    (problem,) = make_task("math", path=write(tmp_path / "math500.jsonl", [row])).problems("test")
    assert (problem.gold, problem.fields) == ("2", {"level": 3, "subject": "Prealgebra"})


def test_svamp_trains_on_a_file_of_its_own_which_is_named_where_it_is_missing(data):
    task = make_task("svamp", path=data)
    (problem,) = task.problems("test")
    assert (problem.question, problem.gold) == ("If each pen costs 3 dollars, What do 2 cost?", "6")
    with pytest.raises(DataError, match=r"train\.csv not found"):
        task.problems("train")


def test_a_row_that_is_not_gsm8k_is_named(tmp_path):
    file = write(tmp_path / "test.jsonl", [{"question": "1?", "answer": "one"}])
    with pytest.raises(DataError, match=r"test.jsonl, line 1: the answer has no line '#### N'"):
        make_task("gsm8k", path=file).problems("test")


@pytest.mark.parametrize(("name", "file"), [("gsm8k", "train.jsonl"), ("math", "test.jsonl"), ("svamp", "svamp.json")])
def test_the_published_files_are_read(name, file):
    if not (data_directory() / name / file).is_file():
        pytest.skip("no benchmark data: set $RISE_DATA")
    problems = make_task(name).problems("test")
    assert len({p.id for p in problems}) == len(problems) >= 100
    if name == "gsm8k":
        train, validation = (make_task(name).problems(split) for split in ("train", "validation"))
        assert 0.08 < len(validation) / len(train + validation) < 0.12


PAGE = Path(__file__).resolve().parents[2] / "docs/tasks.md"


@pytest.mark.parametrize("name", [*KINDS, "reasoning-gym:name"])
def test_the_page_of_tasks_has_every_setting_and_no_other(name):
    module, attribute = {**KINDS, "reasoning-gym:name": FAMILIES["reasoning-gym"]}[name].split(":")
    settings = set(inspect.signature(getattr(importlib.import_module(module), attribute)).parameters) - {"generator"}
    section = PAGE.read_text().split(f"\n## {name}\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
    if name == "svamp":
        rows = re.findall(r"Settings: (.*), as", section)
    named = {setting for row in rows for setting in re.findall(r"`(\w+)`", row)}
    assert named == settings


def test_every_listed_task_exists():
    for name in KINDS:
        task = make_task(name)
        assert task.name == name and hasattr(task.judge(), "same")
