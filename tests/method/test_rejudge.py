"""`rise rejudge`: another judge over the replies on disk. The numbers are counted by hand in tests/support/synthetic_run.py."""

import json
import shutil
import tomllib

import pytest
from odd_endpoint import OddEndpoint, chat
from synthetic_run import BOOST, CONFIG, ROUND_1, write_run
from toys import files, small, write
from typer.testing import CliRunner

from rise.cli.main import app
from rise.errors import DataError, ResumeError
from rise.evaluation.held_out import read_held_out
from rise.method.iterate import run as run_recipe
from rise.play.ledger import Ledger
from rise.recipe.toml import build_config, load_recipe
from rise.report.collect import collect
from rise.runs.directory import RunDir

# Wrong replies at turn k (from 0) answer 90 + k, and gold is 42: within 48.5 of it lies the wrong answer of turn 1 alone.
WIDE = '{ name = "number", tolerance = 48.5 }'


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "run", {"boost": BOOST, "round-1": ROUND_1})


def rise(*words):
    done = CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output + repr(done.exception)
    return done.output


@pytest.fixture(scope="module")
def rejudged(tmp_path_factory):
    """A run, the folder of the same by the wide judge, and what was said; for tests that read them."""
    path = tmp_path_factory.mktemp("rejudged")
    run = write_run(path / "run", {"boost": BOOST, "round-1": ROUND_1})
    before = files(run.path)
    said = rise("rejudge", run.path, "--judge", WIDE, "--out", path / "wide")
    assert files(run.path) == before
    return run, path / "wide", said


def test_verdicts_numbers_and_votes_are_the_other_judges_and_the_run_stays(rejudged):
    run, path, said = rejudged
    wide = RunDir(path).stage("round-1").read_metrics()
    was = run.stage("round-1").read_metrics()
    # Of round 1's problems three answered 90 at turn 1: right now, so 7 of 8. Nothing else changes at later turns.
    assert [e["value"] for e in wide["accuracy_by_turn"]] == [7 / 8, *(e["value"] for e in was["accuracy_by_turn"][1:])]
    [boost, round_1] = json.loads((path / "rejudged.json").read_text())
    assert round_1["held_out"].pop("replies") == 8 * (5 + 4 + 4)
    assert round_1["held_out"].pop("to_right") == 3 and set(round_1["held_out"].values()) == {0}
    assert boost["held_out"]["to_right"] == 7 and boost["stage"] == "boost"
    # 90 to 94 are one answer to this judge, and the first of them is right: the vote of boost goes from 1 of 8 to all.
    votes = [r.stage("boost").read_metrics()["m1@t5"]["value"] for r in (run, RunDir(path))]
    assert votes == [1 / 8, 1.0]
    assert "Verdicts that changed" in said and "50.0 → 87.5" in said and "+37.5" in said


def test_report_compare_and_show_read_what_it_writes(rejudged, tmp_path):
    run, wide, _ = rejudged
    assert (wide / "report.html").stat().st_size > 10_000
    rise("compare", run.path, wide, "--out", tmp_path / "compared")
    rows = json.loads((tmp_path / "compared" / "compare.json").read_text())["runs"]
    assert rows[1]["minus_first"]["m1@t1"]["value"] == 3 / 8
    assert "87.5" in rise("show", wide)


def test_the_same_judge_changes_nothing(run, tmp_path):
    rise("rejudge", run.path, "--judge", '{ name = "regex", pattern = "=([0-9]+)" }', "--out", tmp_path / "same")
    changed = [row["held_out"] for row in json.loads((tmp_path / "same" / "rejudged.json").read_text())]
    assert all(row[name] == 0 for row in changed for name in row if name != "replies")
    new, old = (r.stage("round-1").read_metrics() for r in (RunDir(tmp_path / "same"), run))
    assert new["m1@t5"] == old["m1@t5"] and new["paired"]["t5-t1"] == old["paired"]["t5-t1"]


@pytest.fixture
def told(tmp_path):
    """Under truthful feedback: one run ended at turn 2, another went on to the end; its turn 2 answers 88, 46 off."""
    config = CONFIG + '\n[state]\nfeedback = "truthful"\n'
    patterns = [("wr", "wwww", ""), ("wwwww", "wwww", "")]
    run = write_run(tmp_path / "told", {"boost": patterns, "round-1": patterns}, config=config, truthful=True)
    for stage in run.stages():
        ended, whole = map(json.loads, stage.held_out.read_text().splitlines())
        ended["run"][-1]["feedback"] = "That answer is correct."
        whole["run"][1] |= {"reply": "6*7\n=88", "answer": "88"}
        write(stage.held_out, [ended, whole])
    return run


def test_a_run_is_read_up_to_where_the_other_judge_would_have_ended_it(told, tmp_path):
    """88 is right now, 90 and above are not: both runs are fixed at turn 2, and no reply of the second is lost."""
    rise("rejudge", told.path, "--judge", '{ name = "number", tolerance = 46.5 }', "--out", tmp_path / "wide")
    stage = RunDir(tmp_path / "wide").stage("round-1")
    found = stage.read_metrics()
    assert [e["value"] for e in found["accuracy_by_turn"]] == [0, 1, 1, 1, 1]
    assert [found["hard_problems"][0][name]["value"] for name in ("solved", "last")] == [1, 1]
    assert collect(tmp_path / "wide").outcomes == {"kept": 0, "fixed": 2, "wavered": 0, "broken": 0, "never": 0}
    assert [len(record.run) for record in read_held_out(stage.held_out)] == [2, 5]


def test_where_the_other_judge_calls_wrong_what_ended_a_run_its_last_reply_stands(told, tmp_path):
    """No answer but one from 80 to 89 is read: nothing is right, and the run that had ended at turn 2 is wrong to its end."""
    rise("rejudge", told.path, "--judge", '{ name = "regex", pattern = "=(8[0-9])" }', "--out", tmp_path / "strict")
    found = RunDir(tmp_path / "strict").stage("round-1").read_metrics()
    assert [e["value"] for e in found["accuracy_by_turn"]] == [0] * 5 and found["t5"]["value"] == 0
    [_, row] = json.loads((tmp_path / "strict" / "rejudged.json").read_text())
    assert row["held_out"]["from_right"] == 1


@pytest.mark.slow
def test_with_write_the_run_itself_has_the_new_numbers(tmp_path):
    config = CONFIG.replace("[model.nano]\nhidden = 8", '[model]\npath = "m"\n[task]\nname = "gsm8k"')  # which takes a judge
    run = write_run(tmp_path / "run", {"boost": BOOST, "round-1": ROUND_1}, config=config)
    rise("rejudge", run.path, "--judge", WIDE, "--out", tmp_path / "wide", "--write")
    assert run.stage("round-1").read_metrics()["accuracy_by_turn"][0]["value"] == 7 / 8
    assert run.read_log()[-1]["rejudged"] == {"of": "run", "judge": {"name": "number", "tolerance": 48.5}}


@pytest.mark.slow
def test_a_model_judges_what_is_there_and_is_asked_once(run, tmp_path):
    endpoint = OddEndpoint(lambda call: chat("VERDICT: WRONG"))
    judge = f'{{ name = "model", policy = "{endpoint.spec}" }}'
    rise("rejudge", run.path, "--judge", judge, "--out", tmp_path / "strict")
    assert RunDir(tmp_path / "strict").stage("round-1").read_metrics()["p1@t5"]["value"] == 0
    n = len(endpoint.calls)
    for stage in RunDir(tmp_path / "strict").stages():
        stage.metrics.unlink()
    rise("rejudge", run.path, "--judge", judge, "--out", tmp_path / "strict")
    assert len(endpoint.calls) == n and (tmp_path / "strict" / "judge-ledger.jsonl").exists()
    endpoint.stop()


def trouble(*words):
    return str(CliRunner().invoke(app, ["rejudge", *map(str, words)]).exception)


JUDGE = "def right(reply, gold):\n    return reply.endswith({end!r})\n"


def test_a_judge_that_was_edited_judges_again(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for end, accuracy in (("42", 4 / 8), ("90", 3 / 8), ("90", 3 / 8)):  # of turn 1 four answer 42, three 90, one nothing
        (tmp_path / "ends.py").write_text(JUDGE.format(end=end))
        rise("rejudge", run.path, "--judge", "./ends.py:right", "--out", "ends")
        assert RunDir(tmp_path / "ends").stage("round-1").read_metrics()["accuracy_by_turn"][0]["value"] == accuracy


@pytest.fixture
def base_alone(tmp_path, nano_dir, monkeypatch, one_thread):
    """(config, run) of problems of one's own: the base is measured, and no round has begun."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "p.jsonl", [{"question": f"{i}+1", "gold": str(i + 1)} for i in range(60)])
    (tmp_path / "always.py").write_text("def right(reply, gold):\n    return True\n")
    data = small(dataset={"drop_truncated": False}, evaluate={"controls": "none"}, iterate={"rounds": 0}).model_dump()
    data |= {"model": {"path": str(nano_dir)}, "task": {"name": "jsonl", "n_train": 3, "n_validation": 2, "n_test": 2}}
    data["task"]["settings"] = {"path": "p.jsonl", "judge": {"name": "always.py:right"}}
    data["state"]["instructions"], data["sampling"]["max_new_tokens"] = "", 8
    config = build_config(data)
    return config, run_recipe(config, tmp_path / "own")


def test_a_run_that_was_judged_again_goes_on_with_that_judge(base_alone, tmp_path):
    config, run = base_alone
    (tmp_path / "never.py").write_text("def right(reply, gold):\n    return False\n")
    rise("rejudge", run.path, "--judge", "never.py:right", "--write")
    assert "task.judge" in json.loads(run.provenance.read_text())["contents"]
    with pytest.raises(ResumeError, match=r"task\.settings\.judge"):
        run_recipe(config, run.path)  # its first judge is another recipe's now
    run_recipe(load_recipe(run.config, overrides=["iterate.rounds=1"]), run.path)
    for name in ("base", "round-1"):
        assert run.stage(name).read_metrics()["accuracy_by_turn"][0]["value"] == 0
    (tmp_path / "never.py").write_text("def right(reply, gold):\n    return None\n")
    with pytest.raises(ResumeError, match=r"task\.judge: its content is not what it was"):
        run_recipe(load_recipe(run.config), run.path)


def test_a_run_that_an_earlier_version_wrote_back_into_goes_on(base_alone):
    """It changed config.toml, and its log said no more than who judged."""
    run = base_alone[1]
    rise("rejudge", run.path, "--judge", "exact", "--write")
    lines = run.log.read_text().splitlines()
    last = json.loads(lines[-1])
    del last["config"]
    run.log.write_text("\n".join([*lines[:-1], json.dumps(last)]) + "\n")
    run_recipe(load_recipe(run.config, overrides=["iterate.allow_no_right=false"]), run.path)


def test_write_is_refused_where_the_run_would_have_two_judges(run, base_alone, tmp_path):
    before = files(run.path)
    assert "the task arithmetic takes no judge" in trouble(run.path, "--judge", WIDE, "--write")
    assert files(run.path) == before and not (tmp_path / "run-rejudged").exists()
    own = base_alone[1]
    own.stage("round-1").path.mkdir()
    own.stage("round-1").trajectories.write_text("")
    assert "round-1 has begun with the run's own judge" in trouble(own.path, "--judge", "exact", "--write")
    shutil.rmtree(own.stage("round-1").path)
    before = files(own.path)
    with Ledger(own.ledger):
        assert "another process is at work" in trouble(own.path, "--judge", "exact", "--write")
    assert files(own.path) == before


def test_what_is_no_run_and_a_folder_of_another_judge_are_refused(rejudged):
    run, wide, _ = rejudged
    assert "is a stage: give its run" in trouble(run.path / "round-1", "--judge", "exact")
    assert 'Did you mean "number"' in trouble(run.path, "--judge", "nubmer")
    other = trouble(run.path, "--judge", "exact", "--out", wide)
    assert f"holds {run.path.name} by the judge {json.dumps(tomllib.loads(f'judge = {WIDE}')['judge'])}" in other
    assert f"asked for is {run.path.name} by the judge exact. Give another --out." in other
    assert "holds a run of its own" in trouble(run.path, "--judge", "exact", "--out", run.path)


def test_a_real_run_is_judged_again_with_its_training_replies(toy_run, tmp_path):
    rise("rejudge", toy_run.path, "--judge", "exact", "--out", tmp_path / "again")
    rows = json.loads((tmp_path / "again" / "rejudged.json").read_text())
    # 12 problems of 2 turns and 3 candidates behind each in round 2; equal states of two turns are asked anew.
    assert rows[-1]["training"]["replies"] == 12 * 2 + 12 * 2 * 3
    assert (tmp_path / "again" / "round-2" / "relabelled.jsonl").exists() and not (tmp_path / "again/round-2/checkpoint").exists()


def test_an_improved_reply_whose_trajectory_is_gone_is_named(toy_run, tmp_path):
    run = RunDir(shutil.copytree(toy_run.path, tmp_path / "run"))
    trajectories = run.stage("round-1").trajectories
    first, *rest = trajectories.read_text().splitlines(keepends=True)
    name = json.loads(first)["problem_id"]
    trajectories.write_text("".join(line for line in rest if json.loads(line)["problem_id"] != name))
    done = CliRunner().invoke(app, ["rejudge", str(run.path), "--judge", "exact", "--out", str(tmp_path / "out")])
    assert isinstance(done.exception, DataError)
    assert f"problem {name} has no trajectory in trajectories.jsonl" in str(done.exception)
