"""A run that came from a stranger: nothing that it holds runs code, is fetched, shows other files, or stops the viewer."""

import json
import os
import sys
import time

import pytest
from busy import within
from fastapi.testclient import TestClient
from typer.testing import CliRunner
from view_run import write_viewed

from rise.cli.main import app
from rise.errors import DataError
from rise.jsonl import dumps
from rise.report.page import write_report
from rise.report.recipe import generated_problems, same_answers
from rise.view.library import Library
from rise.view.server import make_app

MODULE = "stranger_judge"
RECIPE = 'name = "x"\nmodel = { nano = { hidden = 8 } }\n'


@pytest.fixture
def run(tmp_path):
    return write_viewed(tmp_path / "run")


@pytest.fixture
def was_run(tmp_path, monkeypatch):
    """A file that is there once the stranger's module has been imported."""
    mark = tmp_path / "was-run"
    (tmp_path / f"{MODULE}.py").write_text(f"open({str(mark)!r}, 'w')\nclass Judge: ...\ndef judge(*a): return 1\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield mark
    sys.modules.pop(MODULE, None)


def looked_at(run, answers=("42", "42.0")):
    """Everything the page may ask of round 1, with replies in the ledger too; groups of the vote."""
    path = run.stage("round-1").held_out
    data = json.loads(path.read_text().splitlines()[0])
    data["run"] = [data["run"][0] | {"answer": answer} for answer in answers]
    path.write_text(dumps(data) + "\n")
    turn = {"reply": "5", "verdict": "right"}
    line = {"key": "k", "purpose": "round-2/rollout", "problem": "p", "attempts": 0, "turn": turn}
    run.ledger.write_text(dumps(line) + "\n")
    client = TestClient(make_app(Library([run.path])))
    for query in ("overview", "rows?key=0/round-2/live-rollout", "record?key=0/round-2/live-rollout&row=0", "where?problem=p"):
        assert client.get(f"/api/{query}").status_code == 200, query
    record = client.get("/api/record?key=0/round-1/held-out&row=0").json()
    return [group["answer"] for group in record["vote"]["groups"]]


@pytest.mark.parametrize(
    "settings",
    [
        'judge = "MODULE:Judge"',
        'judge_path = "MODULE:Judge"',
        r'"judge\u005fpath" = "MODULE:Judge"',
        r'"\u006audge" = "MODULE:Judge"',
        'judge = "MODULE\\u003aJudge"',
        'judge = ["MODULE:Judge"]',
        'judge = "MODULE.Judge"',
        'judge = "math"\njudge_path = "MODULE:Judge"',
    ],
)
@pytest.mark.parametrize(
    "task", ["jsonl", pytest.param("gsm8k", marks=pytest.mark.slow), pytest.param("math", marks=pytest.mark.slow)]
)
def test_a_judge_that_a_recipe_names_is_never_imported_however_it_is_written(run, was_run, settings, task):
    run.config.write_text(f'{RECIPE}[task]\nname = "{task}"\n[task.settings]\n{settings.replace("MODULE", MODULE)}\n')
    looked_at(run)
    assert CliRunner().invoke(app, ["show", str(run.path)]).exit_code == 0
    if task == "jsonl" and ("u00" in settings or settings == 'judge = "MODULE:Judge"'):  # a page takes seconds
        assert CliRunner().invoke(app, ["report", str(run.path)]).exit_code == 0
    assert not was_run.exists() and MODULE not in sys.modules


@pytest.mark.parametrize(
    "recipe",
    [
        'state = { feedback = "MODULE:judge" }',
        'boost = { enabled = false, reuse = "MODULE" }',
        'relabel = { improver = "teacher", teacher = "function:MODULE:judge" }',
        'extends = "MODULE.toml"',
        'evaluate = { state = { feedback = "MODULE:judge" } }',
        'task = { name = "MODULE:judge" }',
        'task = { name = "reasoning-gym:MODULE" }',
    ],
)
def test_nothing_else_that_a_recipe_names_is_imported(run, was_run, recipe):
    run.config.write_text(RECIPE + recipe.replace("MODULE", MODULE) + "\n")
    looked_at(run)
    assert not was_run.exists() and MODULE not in sys.modules


@pytest.mark.parametrize(
    "task",
    [
        'name = "jsonl"\n[task.settings]\npath = "SECRET"',
        'name = "jsonl"\n[task.settings]\ntrain_path = "SECRET"\ntest_path = "hub:evil/data"',
        'name = "jsonl"\n[task.settings]\npath = "hub:evil/data@train"',
        'name = "gsm8k"\n[task.settings]\npath = "hub:evil/data"',
        'name = "math"\n[task.settings]\npath = "SECRET"',
        'name = "svamp"',
        'name = "arithmetic"\n[task.settings]\npath = "SECRET"',
    ],
)
def test_no_file_and_no_data_set_that_a_recipe_names_is_read(run, tmp_path, monkeypatch, task):
    secret = tmp_path / "secret.jsonl"
    secret.write_text('{"question": "the user\'s own", "gold": "1"}\n')
    opened = []
    monkeypatch.setattr("rise.tasks.sources.read_rows", lambda *a, **k: opened.append(a) or iter(()), raising=False)
    monkeypatch.setattr("socket.socket.connect", lambda *a: opened.append(a))
    heard = []
    sys.addaudithook(lambda event, args: heard.append(str(args[0])) if event == "open" and heard is not None else None)
    run.config.write_text(f"{RECIPE}[task]\n{task.replace('SECRET', str(secret))}\n")
    groups = looked_at(run)
    assert opened == [] and not [path for path in heard if "secret" in path or "evil" in path]
    assert groups in (["42"], ["42", "42.0"])
    heard = None


@pytest.mark.slow
def test_problems_of_a_generated_task_are_made_within_limits(run, monkeypatch):
    monkeypatch.setattr("rise.report.recipe.MAKE_LIMIT_S", 3.0)
    monkeypatch.setattr("rise.report.recipe.MOST_PROBLEMS", 500)
    for task in (
        'name = "signs"\n[task.settings]\nnumbers = 6\nlargest = 4',  # no question of that kind exists: an endless search
        'name = "arithmetic"\nn_train = 1000000000',
        'name = "arithmetic"\nn_test = 1000000000',
        'name = "python-functions"\nn_train = 100000000',
    ):
        run.config.write_text(f"{RECIPE}[task]\n{task}\n")
        began = time.perf_counter()
        assert len(generated_problems(run)) <= 500
        assert within(began, 20)
    run.config.write_text(RECIPE + 'task = { name = "arithmetic", n_train = 3, n_test = 2 }\nboost = { enabled = false }\n')
    assert len(generated_problems(run)) == 5


def test_a_recipe_of_absurd_size_or_shape_is_said_to_be_none(run):
    for text in ("iterate = { rounds = 1000000000 }", "iterate = 5", "boost = [1]", 'iterate = { rounds = "x" }'):
        run.config.write_text(text + "\n")
        with pytest.raises(DataError, match="no recipe of `rise`"):
            Library([run.path])
    run.config.write_bytes(b'name = "\xff"\n')
    with pytest.raises(DataError, match="not UTF-8"):
        Library([run.path])
    run.config.write_text("a = " + "[" * 5000 + "]" * 5000)
    with pytest.raises(DataError, match="not TOML"):
        Library([run.path])


# --- files --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["config.toml", "provenance.json", "round-1/held-out.jsonl", "round-1/metrics.json", "metrics.jsonl"]
)
def test_a_link_out_of_the_run_shows_nothing(run, tmp_path, name):
    secret = tmp_path / "secret"
    secret.write_text('{"name": "sk-secret", "problem_id": "p"}\n')
    (run.path / name).unlink(missing_ok=True)
    (run.path / name).symlink_to(secret)
    with pytest.raises(DataError, match="leads out of the run directory"):
        Library([run.path])
    with pytest.raises(DataError, match="leads out of the run directory"):
        write_report(run.path)


def test_a_linked_directory_leads_nowhere_and_a_pipe_is_no_file(run, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "held-out.jsonl").write_text(run.stage("round-1").held_out.read_text())
    (run.path / "elsewhere").symlink_to(outside)
    with pytest.raises(DataError, match="leads out of the run directory"):
        Library([run.path])
    (run.path / "elsewhere").unlink()
    inside = run.path / "again.jsonl"
    inside.symlink_to("round-1/held-out.jsonl")  # within the run a link is as good as the file
    Library([run.path])
    os.mkfifo(run.path / "round-1/dataset.jsonl")
    with pytest.raises(DataError, match="a pipe or a device"):
        Library([run.path])


def test_of_a_checkpoint_the_tokenizer_is_read_as_data_and_nothing_it_names(run, was_run, monkeypatch):
    checkpoint = run.stage("round-1").checkpoint
    checkpoint.mkdir()
    about = {"auto_map": {"AutoTokenizer": [f"{MODULE}.Judge", None]}, "tokenizer_class": "Judge", "_name_or_path": "evil/repo"}
    (checkpoint / "tokenizer_config.json").write_text(json.dumps(about))
    (checkpoint / f"{MODULE}.py").write_text((was_run.parent / f"{MODULE}.py").read_text())
    monkeypatch.setattr("builtins.input", lambda *a: pytest.fail("asked on the terminal"))
    record = Library([run.path]).record("0/round-1/examples", 0)
    assert record["pieces"] is None and "tokenizer.json" in record["trouble"]
    (checkpoint / "tokenizer.json").write_text("{}")
    assert "cannot be loaded" in Library([run.path]).record("0/round-1/examples", 0)["trouble"]
    assert not was_run.exists()


# --- text and numbers that JSON has no word for ---------------------------------------------------------------------------


HALF = "\ud83d half"


def test_half_a_character_and_numbers_that_are_none_are_shown_reported_and_copied(run, tmp_path):
    """As they stand in files that others wrote: JSON holds both."""
    for kind in ("held_out", "trajectories", "examples", "relabelled"):
        path = getattr(run.stage("round-1"), kind)
        text = path.read_text().replace("=42", "=42\\ud83d half").replace('"weight":2.577', '"weight":NaN')
        path.write_text(text.replace('"weight":0.2115', '"weight":1e999'))
    metrics = run.stage("round-1").metrics
    metrics.write_text(metrics.read_text().replace('"value": 0.5', '"value": NaN', 1))
    run.write_log(stage="round-2", step=1, steps=2, loss=0.5)
    with run.log.open("a") as file:
        file.write('{"stage":"round-2","step":2,"steps":2,"loss":NaN,"note":"\\ud83d"}\n')
    client = TestClient(make_app(Library([run.path])))
    assert client.get("/api/overview").status_code == 200
    for kind in ("held-out", "trajectories", "examples", "relabelled"):
        rows = client.get(f"/api/rows?key=0/round-1/{kind}")
        assert rows.status_code == 200 and "NaN" not in rows.text and "Infinity" not in rows.text
        for number in range(len(rows.json()["rows"])):
            answer = client.get(f"/api/record?key=0/round-1/{kind}&row={number}")
            assert answer.status_code == 200
            answer.content.decode("utf-8")
    assert client.get("/api/search", params={"key": "0/round-1/held-out", "q": "42"}).status_code == 200
    html, text = write_report(run.path)
    assert html.read_text(encoding="utf-8") and text.read_text(encoding="utf-8")
    assert not list(run.path.rglob("*.partial"))
    for out in ("copy", "copy.html"):
        done = CliRunner().invoke(app, ["view", str(run.path), "--export", str(tmp_path / out)])
        assert done.exit_code == 0, done.output
    for part in (tmp_path / "copy/data").iterdir():
        assert "NaN" not in part.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "change",
    [
        {"prompt_ids": [-1], "reply_ids": [1]},
        {"prompt_ids": [2**70], "reply_ids": [1]},
        {"prompt_ids": ["a"], "reply_ids": [1]},
        {"prompt_ids": 5, "reply_ids": 5},
        {"turn": 1e400},
        {"prompt": "text"},
        {"prompt": [{"role": "user", "content": [{"type": "text"}]}]},
        {"reply": {"a": 1}},
    ],
)
def test_a_record_of_another_shape_is_an_error_with_a_name_and_never_status_500(run, change):
    from tokenizers import Tokenizer, models

    run.stage("round-1").checkpoint.mkdir()
    Tokenizer(models.WordLevel({"a": 0}, unk_token="a")).save(str(run.stage("round-1").checkpoint / "tokenizer.json"))
    path = run.stage("round-1").examples
    data = json.loads(path.read_text().splitlines()[0]) | change
    path.write_text(json.dumps(data) + "\n")
    client = TestClient(make_app(Library([run.path])), raise_server_exceptions=False)
    for query in (
        "rows?key=0/round-1/examples",
        "record?key=0/round-1/examples&row=0",
        "overview",
        "search?key=0/round-1/examples&q=a",
    ):
        assert client.get(f"/api/{query}").status_code in (200, 404), query


def test_answers_of_a_strangers_run_are_still_grouped_by_value(run):
    run.config.write_text(f'{RECIPE}[task]\nname = "jsonl"\n[task.settings]\npath = "nowhere.jsonl"\n')
    assert same_answers(run)("1/2", "0.5") and not same_answers(run)("1/2", "0.6")
    assert looked_at(run) == ["42"]


def test_a_live_reply_has_its_question_from_another_file_of_the_run(run):
    """A task of files is not made for it."""
    run.config.write_text(f'{RECIPE}[task]\nname = "jsonl"\n[task.settings]\npath = "nowhere.jsonl"\n')
    turn = {"reply": "5", "verdict": "right"}
    line = {"key": "k", "purpose": "round-2/rollout", "problem": "p0001", "attempts": 0, "turn": turn}
    run.ledger.write_text(dumps(line) + "\n")
    record = Library([run.path]).record("0/round-2/live-rollout", 0)
    assert (record["problem"]["question"], record["problem"]["gold"]) == ("2+3", "5")


def test_compare_asks_a_judge_of_the_recipes_own_only_when_told_to(run, was_run):
    run.config.write_text(f'{RECIPE}[task]\nname = "jsonl"\n[task.settings]\npath = "p.jsonl"\njudge = "{MODULE}:Judge"\n')
    done = CliRunner().invoke(app, ["compare", str(run.path), str(run.path)])
    assert done.exit_code == 0, done.output
    assert not was_run.exists()
    CliRunner().invoke(app, ["compare", str(run.path), str(run.path), "--own-judge"])
    assert was_run.exists()
