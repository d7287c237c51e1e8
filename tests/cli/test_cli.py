"""The command `rise`: each command on real parts, and one clear message for whatever the user can put right."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pausing
import pytest
from toys import TINY, toy_recipe

from rise.cli.main import COMMANDS, main
from rise.recipe.toml import to_toml

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def refused(rise):
    """What `rise ARGUMENTS` says when it refuses: one message, exit code 1, no traceback."""

    def run(*arguments):
        code, _, err = rise(*arguments)
        said = [line for line in err.splitlines() if line.startswith("rise: ")]
        assert (code, len(said)) == (1, 1), err
        return err

    return run


@pytest.fixture
def recipe(tmp_path):
    """A file of the smallest recipe: no boost, one round, two problems."""

    def write(name="recipe.toml", **overrides):
        from rise.recipe.toml import merged

        small = {"boost": {"enabled": False}, "task": {"n_train": 2, "n_validation": 2, "n_test": 2}, "iterate": {"rounds": 1}}
        path = tmp_path / name
        path.write_text(to_toml(toy_recipe(**merged(merged(small, {"dataset": {"drop_truncated": False}}), overrides))))
        return path

    return write


def start(*arguments, **settings):
    return subprocess.Popen(
        [sys.executable, "-m", "rise.cli.main", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **settings,
    )


# --- help -------------------------------------------------------------------------------------------------------------


def test_help_names_every_command_and_loads_little():
    """What makes it quick: of other people's packages the one that draws it alone, and of ours none but the commands' own."""
    script = (
        "import sys; from rise.cli.main import main; sys.argv = ['rise', '--help']\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0
    for command in COMMANDS:
        assert f"  {command.__name__} " in done.stdout
    loaded = done.stderr.split()
    others = {name.split(".")[0] for name in loaded if not name.startswith("_")} - sys.stdlib_module_names - {"rise"}
    assert "typer" in others and others <= {"typer", "click", "annotated_doc", "shellingham", "typing_extensions", "colorama"}
    assert {name for name in loaded if name.startswith("rise.") and not name.startswith("rise.cli")} == {"rise.errors"}


@pytest.mark.parametrize(
    "command", ["run", "rollout", "relabel", "train", "evaluate", "temperature", "compare", "report", "show", "export", "judge"]
)
def test_help_of_a_command_loads_no_torch(command):
    script = (
        "import sys; from rise.cli.main import main; sys.argv = ['rise', sys.argv[1], '--help']\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "sys.exit([m for m in ('torch', 'transformers', 'matplotlib', 'numpy') if m in sys.modules] or 0)"
    )
    done = subprocess.run([sys.executable, "-c", script, command], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Usage: rise" in done.stdout


# --- commands ---------------------------------------------------------------------------------------------------------


def test_run_writes_the_report_and_running_its_config_again_continues(rise, recipe, tmp_path):
    out = tmp_path / "run"
    code, printed, _ = rise("run", recipe(), "--out", out, "--set", "iterate.rounds=0", "--set", "name=mine")
    assert code == 0
    assert re.search(r"^base +turn 1 +\d.* n = 2$", printed, re.MULTILINE)
    assert f"Report: {out / 'report.html'}" in printed.replace("\n", "")
    assert (out / "report.md").exists()
    provenance = json.loads((out / "provenance.json").read_text())
    assert provenance["command"][:2] == ["rise", "run"]
    before = (out / "base" / "metrics.json").stat().st_mtime_ns
    for again in (out / "config.toml", out):
        code, printed, _ = rise("run", again)
        assert code == 0 and "base: evaluate" not in printed
        assert (out / "base" / "metrics.json").stat().st_mtime_ns == before


def test_dry_run_prints_the_resolved_recipe_and_makes_nothing(rise, recipe, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, printed, err = rise("run", recipe(), "--dry-run", "--set", "weigh.temperature=0.2")
    assert code == 0 and "temperature = 0.2" in printed and "would run in runs/toy" in err
    assert [p.name for p in tmp_path.iterdir()] == ["recipe.toml"]
    again = tmp_path / "again.toml"
    again.write_text(printed)
    assert rise("run", again, "--dry-run")[1] == printed


def test_one_stage_at_a_time_from_file_to_file(rise, recipe, nano_dir, tmp_path):
    path, files = recipe(), {n: tmp_path / f"{n}.jsonl" for n in ("trajectories", "relabelled", "examples")}
    code, printed, _ = rise("rollout", path, "--policy", nano_dir, "--out", files["trajectories"], "--set", "rollout.turns=2")
    assert code == 0 and "2 trajectories" in printed
    assert [len(json.loads(line)["turns"]) for line in files["trajectories"].read_text().splitlines()] == [2, 2]
    code, printed, _ = rise(
        "relabel",
        path,
        "--trajectories",
        files["trajectories"],
        "--policy",
        nano_dir,
        "--out",
        files["relabelled"],
        "--examples",
        files["examples"],
    )
    assert code == 0 and "4 states" in printed and "effective sample size" in printed
    assert json.loads((tmp_path / "examples.json").read_text())["n_examples"] == len(files["examples"].read_text().splitlines())
    code, printed, _ = rise("train", path, "--examples", files["examples"], "--start", nano_dir, "--out", tmp_path / "checkpoint")
    assert code == 0 and "steps on" in printed
    assert (tmp_path / "checkpoint" / "model.safetensors").exists()
    card = json.loads((tmp_path / "checkpoint" / "rise.json").read_text())
    assert (card["task"], card["feedback"], card["window"], card["turns"]) == ("arithmetic", "neutral", 1, 3)
    assert rise("evaluate", tmp_path / "checkpoint", "-n", 2, "--samples", 1, "--json")[0] == 0


def test_evaluate_a_checkpoint_takes_state_and_task_from_its_card(rise, toy_run):
    code, printed, _ = rise("evaluate", toy_run.stage("round-1").checkpoint, "-n", 4, "--samples", 2, "--json")
    metrics = json.loads(printed)
    assert code == 0 and metrics["task"] == "arithmetic" and metrics["m1@t1"]["n"] == 4
    assert len(metrics["accuracy_by_turn"]) == 3  # the checkpoint's own number of turns


def test_evaluate_any_policy_in_the_same_table(rise, tmp_path):
    problems = tmp_path / "problems.jsonl"
    problems.write_text("".join(json.dumps({"question": f"{i}+1", "gold": str(i + 1)}) + "\n" for i in range(4)))
    script = tmp_path / "script.json"
    script.write_text(json.dumps({f"{i}+1": [rf"\boxed{{{i}}}", rf"\boxed{{{i + 1}}}"] for i in range(4)}))
    arguments = ["evaluate", f"scripted:{script}", "--task", "jsonl", "--set", f"test_path={problems}", "--turns", 3, "-n", 4]
    code, printed, _ = rise(*arguments, "--json", "--out", tmp_path / "out")
    metrics = json.loads(printed)
    assert code == 0
    assert [e["value"] for e in metrics["accuracy_by_turn"]] == [0.0, 1.0, 1.0]  # wrong first, then right
    assert metrics["m5@t1"]["value"] == 0.0 and metrics["wrong_to_right"]["value"] == 1.0
    assert json.loads((tmp_path / "out" / "metrics.json").read_text()) == metrics
    assert "right by turn, %: 0.0" in rise(*arguments)[1]
    kept = [json.loads(line) for line in (tmp_path / "out" / "held-out.jsonl").read_text().splitlines()]
    assert [row["problem_id"] for row in kept] == sorted(row["problem_id"] for row in kept)
    # Without -n, a file with fewer than 200 problems is asked whole; a recipe's way to write a setting is known here too.
    code, printed, _ = rise(*arguments[:5], f"task.settings.test_path={problems}", "--json")
    assert code == 0 and json.loads(printed)["m1@t1"]["n"] == 4
    assert len(json.loads(printed)["accuracy_by_turn"]) == 5


def test_evaluate_leaves_token_ids_out_of_its_records_as_a_run_does(rise, toy_run, tmp_path):
    assert rise("evaluate", toy_run.stage("round-1").checkpoint, "-n", 4, "--samples", 2, "--out", tmp_path / "out")[0] == 0
    text = (tmp_path / "out" / "held-out.jsonl").read_text()
    assert "reply_ids" not in text and text.count("\n") == 4


def test_report_show_and_judge(rise, toy_run, tmp_path):
    run = shutil.copytree(toy_run.path, tmp_path / "run")
    code, printed, _ = rise("report", run)
    assert code == 0 and "round" in printed and (run / "report.html").exists()
    for name in ("trajectories.jsonl", "relabelled.jsonl", "examples.jsonl", "held-out.jsonl"):
        code, printed, _ = rise("show", run / "round-1" / name)
        assert code == 0 and printed.strip()
    replies = tmp_path / "replies.jsonl"
    replies.write_text(
        '{"gold": "4", "reply": "2+2=4\\n####4", "mine": 1}\n\n{"gold": "4", "reply": "####5"}\n{"gold": "4", "reply": "hm"}\n'
    )
    code, printed, _ = rise("judge", "--task", "arithmetic", replies)
    lines = [json.loads(line) for line in printed.splitlines()]
    assert [line["verdict"] for line in lines] == ["right", "wrong", "unparsable"] and lines[0]["mine"] == 1


def test_judge_takes_numbers_and_task_settings(rise, refused, tmp_path):
    replies = tmp_path / "replies.jsonl"
    replies.write_text('{"gold": 4, "reply": "2+2 is 4"}\n{"gold": 0.5, "reply": "It is 1/2"}\n')
    code, printed, _ = rise("judge", "--task", "jsonl", "--set", "mode=lenient", replies)
    lines = [json.loads(line) for line in printed.splitlines()]
    assert code == 0 and [(line["gold"], line["verdict"]) for line in lines] == [(4, "right"), (0.5, "right")]
    assert "settings of the task only" in refused("judge", "--task", "jsonl", "--set", "state.window=1", replies)


def test_judge_names_the_line_of_a_gold_that_cannot_be_read(refused, tmp_path):
    replies = tmp_path / "replies.jsonl"
    replies.write_text('{"gold": "4", "reply": "####4"}\n{"gold": "so \\\\boxed{", "reply": "####4"}\n')
    assert "replies.jsonl, line 2: gold answer" in refused("judge", "--task", "jsonl", replies)


# --- trouble ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("relabel.n_sample=4", 'unknown setting relabel.n_sample. Did you mean "n_samples"?'),
        ("iterate.rounds=many", "iterate.rounds = 'many'"),
        ("weigh.temperature=0", "weigh.temperature = 0"),
        ("task.name=arithmetics", 'Did you mean "arithmetic"?'),
        ("task.settings.kindss=1", 'Did you mean "kinds"?'),
        ("relabel.n_samples=1", "Raise it"),
        ("rounds", "write it as name=value"),
        ("model.path=", "model.path is empty. Write a directory, a hub name or base:NAME"),
    ],
)
def test_a_setting_that_will_not_do(setting, words, refused, recipe):
    assert words in refused("run", recipe(), "--set", setting, "--dry-run")


def test_what_is_to_blame_is_named_the_command_or_the_recipe(refused, recipe):
    """The one `--set` that an error is about, where the recipe is right without it; else the recipe."""
    path = recipe()
    said = refused("run", path, "--set", "seed=3", "--set", "train.epochs=-1", "--dry-run")
    assert "--set train.epochs=-1: train.epochs = -1: Input should be greater than 0." in said and str(path) not in said
    path.write_text(path.read_text() + "\n[tran]\nepochs = 2\n")
    said = refused("run", path, "--set", "seed=3", "--dry-run")
    assert f'{path}: unknown setting tran. Did you mean "train"?' in said and "--set" not in said


def test_a_run_cannot_be_in_a_file_nor_under_one(refused, recipe, tmp_path):
    (tmp_path / "file").write_text("mine")
    for place in ("file", "file/run"):
        assert f"{tmp_path / 'file'} is a file, and a run needs a directory" in refused(
            "run", recipe(), "--out", tmp_path / place
        )
    assert (tmp_path / "file").read_text() == "mine"


def test_files_that_are_not_there(refused, recipe, tmp_path):
    none = tmp_path / "none"
    assert "no such recipe" in refused("run", none)
    assert "has no scale" in refused("run", recipe(), "--scale", "fulll")
    assert "no such file" in refused("judge", "--task", "arithmetic", none)
    assert "none" in refused("show", none)
    assert "none" in refused("report", none)
    assert "no such file" in refused("train", recipe(), "--examples", none, "--start", "x", "--out", tmp_path / "o")
    assert f'--policy = "{none}": there is no such directory' in refused(
        "rollout", recipe(), "--policy", none, "--out", tmp_path / "o"
    )


def test_evaluate_says_what_it_cannot_do(refused, rise, toy_run, tmp_path):
    checkpoint = toy_run.stage("round-1").checkpoint
    for option in ("--turns", "--samples", "-n", "--batch-size"):
        code, _, err = rise("evaluate", checkpoint, option, 0)
        assert code == 2 and f"Invalid value for '{option}'" in err
    assert "--dtype int8: use float32, bfloat16 or float16" in refused("evaluate", checkpoint, "--dtype", "int8")
    assert "there is no such directory" in refused("evaluate", tmp_path / "none")  # and not: carries no rise.json
    assert "There is no nowhere here with a rise.json" in refused("evaluate", "nowhere")
    assert "only task.settings" in refused("evaluate", checkpoint, "--set", "task.n_test=3")
    file = tmp_path / "few.jsonl"
    file.write_text('{"question": "1+1", "gold": "2"}\n')
    text = refused("evaluate", checkpoint, "--task", "jsonl", "--set", f"test_path={file}", "-n", 5)
    assert "has 1 test problems" in text and "task.n_test in a recipe, n in Python, -n of rise evaluate" in text


def test_dry_run_finds_what_would_stop_a_later_round(refused, recipe):
    teacher = ["--set", "relabel.improver=teacher", "--set", "relabel.teacher=local:runs/no/such/checkpoint"]
    text = refused("run", recipe(), "--dry-run", *teacher)
    assert 'relabel.teacher = "local:runs/no/such/checkpoint": there is no such directory' in text
    assert 'Did you mean "cosine"?' in refused("run", recipe(), "--dry-run", "--set", "train.schedule=cosin")


def test_train_replaces_nothing(refused, recipe, nano_dir, tmp_path):
    examples, out = tmp_path / "examples.jsonl", tmp_path / "mine"
    examples.write_text("")
    shutil.copytree(nano_dir, out)
    text = refused("train", recipe(), "--examples", examples, "--start", nano_dir, "--out", out)
    assert f"{out} is there already; give another --out." in text
    text = refused("train", recipe(), "--examples", examples, "--start", tmp_path / "none", "--out", tmp_path / "new")
    assert "--start" in text and "there is no such directory" in text


def test_a_directory_that_is_no_run_is_no_recipe(refused, tmp_path):
    assert "without the config.toml of a run" in refused("run", tmp_path)


def test_a_task_without_problems(refused, tmp_path):
    empty = tmp_path / "empty.jsonl"
    empty.write_text("\n")
    script = tmp_path / "script.json"
    script.write_text("{}")
    text = refused("evaluate", f"scripted:{script}", "--task", "jsonl", "--set", f"path={empty}", "-n", 1)
    assert "empty.jsonl" in text and "problem" in text


def test_a_line_that_is_no_json_is_named(refused, recipe, tmp_path, nano_dir):
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"question": "1+1", "gold": "2", "reply": "2"}\n{"question": \n')
    assert "bad.jsonl, line 2" in refused("judge", "--task", "arithmetic", bad)
    assert "bad.jsonl, line 2" in refused("evaluate", nano_dir, "--task", "jsonl", "--set", f"test_path={bad}")
    assert "bad.jsonl, line 1" in refused("train", recipe(), "--examples", bad, "--start", nano_dir, "--out", tmp_path / "o")
    bad.write_text('{"gold": "2"}\n')
    assert 'bad.jsonl, line 1: "reply" is missing' in refused("judge", "--task", "arithmetic", bad)


def test_a_model_without_a_chat_template(refused, recipe, nano_dir, tmp_path):
    bare = shutil.copytree(nano_dir, tmp_path / "bare")
    (bare / "chat_template.jinja").unlink()
    assert "has no chat template" in refused("rollout", recipe(), "--policy", bare, "--out", tmp_path / "o.jsonl")


def test_a_context_too_small_for_the_next_turn(refused, recipe, tmp_path):
    nano = {**TINY.model_dump(), "max_length": 32}
    path = recipe(model={"nano": nano}, state={"window": "all"}, sampling={"max_new_tokens": 30})
    text = refused("run", path, "--out", tmp_path / "run").replace("\n", " ")
    assert "the context is too small" in text and "state.window (now all)" in text


def test_no_example_left_after_the_keep_rule(refused, recipe, tmp_path):
    path = recipe(keep={"rule": "success"}, relabel={"relabel_right": "skip"})
    assert "no example is left to train on" in refused("run", path, "--out", tmp_path / "run")


def test_a_reply_without_an_answer_is_data(rise, toy_run):
    verdicts = [
        json.loads(line)["turns"][0]["verdict"] for line in toy_run.stage("round-1").trajectories.read_text().splitlines()
    ]
    assert "unparsable" in verdicts  # and the run went on


def test_another_recipe_in_the_same_directory(refused, rise, recipe, tmp_path):
    assert rise("run", recipe(), "--out", tmp_path / "run", "--set", "iterate.rounds=0", "--set", "seed=1")[0] == 0
    text = refused("run", recipe(), "--out", tmp_path / "run")
    assert "seed: 1 → 0" in text and "another --out" in text


def test_a_full_disk_while_a_stage_file_is_written(refused, recipe, tmp_path, monkeypatch):
    import errno

    real = os.replace

    def full(source, target):
        if Path(target).name == "held-out.jsonl":
            raise OSError(errno.ENOSPC, "No space left on device", str(source))
        real(source, target)

    monkeypatch.setattr(os, "replace", full)
    text = refused("run", recipe(), "--out", tmp_path / "run")
    assert "No space left on device" in text and "run the same command to continue" in text


def test_an_error_of_ours_is_not_dressed_up_as_the_users(rise, recipe, monkeypatch):
    import rise.runs.dry_run

    def broken(config, **given):
        raise ZeroDivisionError

    monkeypatch.setattr(rise.runs.dry_run, "preflight", broken)
    monkeypatch.setattr(sys, "argv", ["rise", "run", str(recipe()), "--dry-run"])
    with pytest.raises(ZeroDivisionError):
        main()


@pytest.mark.slow
def test_ctrl_c_says_what_is_kept(recipe, tmp_path):
    out, ledger = tmp_path / "run", tmp_path / "run" / "ledger.jsonl"
    (tmp_path / "hold").touch()
    path = recipe(state={"feedback": pausing.NAMED}, iterate={"rounds": 0})
    process = start("run", path, "--out", out, env={**os.environ, "RISE_TEST_PAUSE": str(tmp_path)})
    while process.poll() is None and not pausing.waiting(tmp_path):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)  # behind its first replies, before any is followed by another
    _, err = process.communicate(timeout=600)
    assert process.returncode == 130, err
    assert "rise: interrupted. Everything finished is on disk; the same command continues." in err
    assert "Traceback" not in err
    assert ledger.read_bytes().endswith(b"\n")
    assert not (out / "base" / "held-out.jsonl").exists()


def test_options_that_could_have_no_effect_are_refused(refused, recipe, tmp_path):
    out = tmp_path / "out"
    assert "--jobs 2 is how many seeds run at a time" in refused("run", recipe(), "--jobs", 2, "--out", out)
    for words, named in (
        (("--cluster", "auto"), "--cluster auto"),
        (("--set", "cluster.replicas=2"), "--set cluster.replicas=2"),
    ):
        said = refused("evaluate", "http://me:word@127.0.0.1:9/v1#m", "--task", "arithmetic", *words)
        assert f"{named}: a cluster holds models that it loads" in said and "word" not in said
    assert not out.exists()
