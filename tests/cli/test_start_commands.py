"""What a user without a clone begins with: rise recipes, tasks, init, play; and runs and stages where checkpoints were wanted."""

import io
import json
import os
import re
import shutil
import subprocess
import sys

import pytest
from typer.testing import CliRunner

import rise
from rise.cli.main import app
from rise.cli.recipes import print_columns
from rise.recipe.shipped import names
from rise.tasks import FAMILIES, KINDS

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def said(*words, typed=None):
    done = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False, input=typed)
    assert done.exit_code == 0, done.output
    return done.output


def refused(*words):
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 1
    return str(done.exception)


# --- recipes and tasks ------------------------------------------------------------------------------------------------


def test_recipes_and_tasks_are_listed_a_line_each():
    recipes, tasks = said("recipes").splitlines(), said("tasks").splitlines()
    assert [line.split()[0] for line in recipes] == names()
    assert [line.split()[0] for line in tasks] == [*KINDS, *(f"{family}:NAME" for family in FAMILIES)]
    assert all(len(line.split(maxsplit=1)[1]) > 30 for line in (*recipes, *tasks))


def test_on_a_terminal_lists_are_folded_under_their_own_words(monkeypatch, capsys):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "24")
    print_columns([("one", "a word or two that fold"), ("three", "no")])
    assert capsys.readouterr().out == "one    a word or two\n       that fold\nthree  no\n"


def test_a_recipe_is_shown_and_copied_with_what_it_extends_and_nothing_is_replaced(elsewhere):
    assert said("recipes", "show", "nano").startswith("# The laboratory")
    said("recipes", "copy", "baselines/star", "mine")
    assert sorted(p.relative_to(elsewhere / "mine").as_posix() for p in (elsewhere / "mine").rglob("*.toml")) == [
        "baselines/star.toml",
        "multiplication.toml",
    ]
    (elsewhere / "mine/baselines/star.toml").unlink()
    assert "multiplication.toml is there already" in refused("recipes", "copy", "baselines/star", "mine")
    assert not (elsewhere / "mine/baselines/star.toml").exists()
    assert 'Did you mean "nano"' in refused("recipes", "show", "nanoo")


def test_a_folder_of_a_recipes_name_is_not_in_the_way(elsewhere):
    (elsewhere / "nano").mkdir()
    assert "would run in runs/nano" in CliRunner().invoke(app, ["run", "nano", "--dry-run"]).stderr


# --- a folder of one's own --------------------------------------------------------------------------------------------


def test_what_init_writes_runs_as_it_is_from_above_and_from_inside(elsewhere, monkeypatch):
    assert "rise run mine/recipe.toml --scale toy" in said("init", "mine")
    problems = [json.loads(line) for line in (elsewhere / "mine/problems.jsonl").read_text().splitlines()]
    assert len(problems) == 10 and all(set(problem) == {"question", "gold"} for problem in problems)
    assert len((elsewhere / "mine/README.md").read_text().splitlines()) <= 10
    assert "note:" not in said("run", "mine/recipe.toml", "--scale", "toy")  # nothing to put right before one has begun
    assert (elsewhere / "runs/mine-toy/report.html").exists()
    n = json.loads((elsewhere / "runs/mine-toy/round-1/metrics.json").read_text())["m1@t1"]["n"]
    assert n == 2  # of ten, by the hash of their text
    monkeypatch.chdir(elsewhere / "mine")
    assert "would run in runs/mine-toy" in CliRunner().invoke(app, ["run", "recipe.toml", "--scale", "toy", "--dry-run"]).stderr


def test_the_judge_that_init_writes_reads_the_last_line(elsewhere):
    said("init", "mine")
    replies = ["First fig.\nApple  fig pear.", "fig apple pear", " \n"]
    (elsewhere / "replies.jsonl").write_text(
        "".join(json.dumps({"gold": "apple fig pear", "reply": reply}) + "\n" for reply in replies)
    )
    printed = said("judge", "replies.jsonl", "--task", "jsonl", "--set", "judge=mine/judge.py:right")
    assert [json.loads(line)["verdict"] for line in printed.splitlines()] == ["right", "wrong", "unparsable"]


def test_init_replaces_nothing(elsewhere):
    (elsewhere / "mine").mkdir()
    (elsewhere / "mine/note").write_text("")
    assert "not empty" in refused("init", "mine")
    said("init", "new/folder")


# --- play -------------------------------------------------------------------------------------------------------------


def test_play_shows_every_turn_and_both_answers(elsewhere):
    (elsewhere / "script.json").write_text(json.dumps({"2+2?": ["\\boxed{5}", "\\boxed{5}", "hm"], "1?": ["\\boxed{1}"]}))
    printed = said("play", "scripted:script.json", "--turns", 3, "--set", "state.feedback_text=Again.", typed="2+2?\n\n1?\n")
    assert "script: 3 turns, vote majority" in printed
    first = printed.split("turn 1")[1]
    assert "answer 5" in first and "│ \\boxed{5}" in first and "→ Again." in first
    assert "last reply: no answer   vote: 5 (turns 1, 2)" in printed
    assert "last reply: 1   vote: 1 (turns 1, 2, 3)" in printed


def test_play_takes_a_run_and_a_checkpoint(toy_run):
    for policy in (toy_run.path, toy_run.stage("round-1").checkpoint, toy_run.stage("round-1").path):
        printed = said("play", policy, typed="12+34\n")
        assert "turn 3" in printed and "turn 4" not in printed  # as many as the card says
    assert "oracle" in refused("play", toy_run.path, "--set", "state.feedback=oracle")


def test_play_needs_none_of_the_servers_packages(elsewhere):
    (elsewhere / "script.json").write_text('{"2+2?": ["\\\\boxed{4}"]}')
    program = (
        "import sys; sys.modules['fastapi'] = sys.modules['uvicorn'] = None\n"
        "sys.argv = ['rise', 'play', 'scripted:script.json']\n"
        "from rise.cli.main import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", program], input="2+2?\n", capture_output=True, text=True)
    assert done.returncode == 0 and "last reply: 4" in done.stdout, done.stderr


@pytest.mark.parametrize(
    "words", [("run", "nano", "--scale", "toy"), ("evaluate", "base:divisor", "--task", "divisor", "-n", "1")]
)
def test_without_torch_a_command_says_what_to_install(words):
    program = f"import sys; sys.modules['torch'] = None; sys.argv = {['rise', *words]!r}\nfrom rise.cli.main import main; main()"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert re.search(r"rise: .* needs the package torch: pip install .*\[train\]'", done.stderr), done.stderr


# --- a run, a stage, a folder of runs ---------------------------------------------------------------------------------


def test_evaluate_a_run_is_to_evaluate_its_last_checkpoint(toy_run):
    run, checkpoint, stage = (
        json.loads(said("evaluate", policy, "-n", 2, "--samples", 1, "--json"))
        for policy in (toy_run.path, toy_run.stage("round-2").checkpoint, toy_run.stage("round-2").path)
    )
    assert run == checkpoint == stage


def test_show_a_stage_names_its_numbers_and_its_files(toy_run):
    printed = said("show", toy_run.stage("round-1").path)
    n = toy_run.stage("round-1").read_dataset()["n_examples"]
    assert "m1@t1" in printed and f"Trained on {n} examples" in printed
    assert f"rise show {toy_run.stage('round-1').held_out}" in printed
    assert "m1@t1" in said("show", toy_run.stage("base").path)


def test_view_takes_a_folder_of_runs(toy_run, elsewhere):
    for name in ("one", "two"):
        shutil.copytree(toy_run.path, elsewhere / "runs" / name)
    (elsewhere / "runs/notes").mkdir()
    (elsewhere / "runs/note.txt").write_text("")
    both = said("view", "runs", "--export", "both.html")
    one = said("view", "runs/one", "--export", "one.html")
    count = [int(text.split(": ")[1].split(" records")[0].replace(",", "")) for text in (both, one)]
    assert count[0] == 2 * count[1]
    assert "is no run directory" in refused("view", "runs/notes", "--export", "none.html")


# --- version, help, completion ----------------------------------------------------------------------------------------


def test_python_m_rise_is_the_command():
    done = subprocess.run([sys.executable, "-m", "rise", "--version"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, f"rise {rise.__version__}\n")


def test_version_and_help_are_called_as_elsewhere():
    assert said("--version") == f"rise {rise.__version__}\n"
    for command in ((), ("run",), ("recipes", "copy"), ("cluster", "check")):
        assert said(*command, "-h") == said(*command, "--help")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_completes_commands(shell):
    asked = {"_RISE_COMPLETE": f"complete_{shell}", "COMP_WORDS": "rise re", "COMP_CWORD": "1"}
    asked |= {"_TYPER_COMPLETE_ARGS": "rise re", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    program = "import sys; sys.argv = ['rise']; from rise.cli.main import app; app(prog_name='rise')"
    done = subprocess.run([sys.executable, "-c", program], env={**os.environ, **asked}, capture_output=True, text=True)
    assert all(name in done.stdout for name in ("relabel", "report", "recipes")), done.stderr
    assert "evaluate" not in done.stdout


def test_questions_are_read_until_the_end_of_a_pipe(monkeypatch):
    from rise.cli.play import _asked

    monkeypatch.setattr("sys.stdin", io.StringIO("a\n b \n"))
    assert [_asked(), _asked(), _asked()] == ["a", "b", None]
