"""A run can always go on: what may change when it is continued, what may not, and what a failed start leaves."""

import json
import re
import shutil

import pytest
from odd_endpoint import OddEndpoint, chat
from toys import files, small, toy_recipe

from rise.errors import ConfigError, ResumeError, RiseError
from rise.method.iterate import run
from rise.recipe.toml import build_config, merged
from rise.runs.continuing import _rounds_held, begun
from rise.runs.directory import RunDir
from rise.runs.group import GroupDir
from rise.training.checkpoints import begin


def changed(config, overrides):
    return build_config(merged(config.model_dump(), overrides))


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A run that came to round 1's training and stopped there, as where packing is not exact."""
    import rise.training

    where = tmp_path_factory.mktemp("stopped") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rise.training, "train", lambda *args, **kwargs: (_ for _ in ()).throw(RiseError("packing is not exact")))
        with pytest.raises(RiseError, match="packing"):
            run(small(), where)
    return where


@pytest.fixture
def halfway(stopped, tmp_path):
    return shutil.copytree(stopped, tmp_path / "run")


MAY = [
    {"train": {"line_length": 8}},
    {"train": {"micro_batch_tokens": 16, "attention": "eager"}},
    {"boost": {"train": {"line_length": 9}}},
    {"http": {"timeout_s": 7.0, "leave_out": ["seed"]}, "engine": {"concurrency": 3}},
    {"relabel": {"price_reply": 1.0}},
    {"train": {"learning_rate": 0.5, "epochs": 2.0}},  # no round has been trained
    {"train": {"arguments": {"logging_steps": 3}}},
    {"evaluate": {"controls": "none"}},  # "last" means a round that was not measured
    {"evaluate": {"internalised": True}},  # of the last round alone, too
    {"iterate": {"rounds": 3}},
]
MAY_NOT = [
    {"seed": 9},
    {"threads": 2},  # deterministic
    {"batch_size": 3},
    {"model": {"nano": {"hidden": 64}}},
    {"state": {"window": 0}},
    {"sampling": {"temperature": 0.5}},
    {"rollout": {"stop_when_right": True}},
    {"relabel": {"n_samples": 5}},
    {"keep": {"rule": "better"}, "relabel": {"relabel_right": "skip"}},
    {"weigh": {"temperature": 1.0}},
    {"iterate": {"rounds": 0}},  # the first has begun
    {"train": {"max_length": 999}},  # examples were counted by it
    {"evaluate": {"turns": 2}},
    {"evaluate": {"controls": "all"}},  # the base was measured without
]


@pytest.mark.parametrize("overrides", MAY, ids=json.dumps)
def test_what_changes_no_result_or_has_not_begun_may_change(overrides, halfway):
    lines = (halfway / "ledger.jsonl").read_bytes()
    directory, config = RunDir(halfway), changed(small(), overrides)
    assert directory.open(config)
    assert (halfway / "ledger.jsonl").read_bytes() == lines
    told = directory.read_log()[-1]["changed"]
    assert told and all(" → " in line for line in told)
    assert directory.open(config) and "changed" in directory.read_log()[-1]  # and stays so: no second line


@pytest.mark.parametrize("overrides", MAY_NOT, ids=json.dumps)
def test_what_a_part_that_has_begun_was_made_with_may_not(overrides, halfway):
    before = (halfway / "config.toml").read_bytes()
    with pytest.raises(ResumeError, match="made by another recipe"):
        RunDir(halfway).open(changed(small(), overrides))
    assert (halfway / "config.toml").read_bytes() == before


def test_the_control_at_the_first_turn_may_be_asked_for_of_a_finished_run_and_not_be_undone(toy_run, tmp_path):
    where = shutil.copytree(toy_run.path, tmp_path / "run")
    asked = changed(toy_recipe(), {"evaluate": {"internalised": True}})
    assert RunDir(where).open(asked)
    with pytest.raises(ResumeError, match=r"evaluate\.internalised: true → false"):
        RunDir(where).open(toy_recipe())


@pytest.mark.slow
def test_a_finished_run_goes_on_for_another_round_as_if_it_had_been_asked_for_at_once(tmp_path, one_thread):
    def rounds(n):
        return small(iterate={"rounds": n}, evaluate={"controls": "none"}, rollout={"problems": "fresh"})

    run(rounds(1), tmp_path / "grown")
    run(rounds(2), tmp_path / "grown")
    run(rounds(2), tmp_path / "whole")
    grown, whole = (files(tmp_path / name) for name in ("grown", "whole"))
    of_stages = [name for name in whole if "/" in name and not name.endswith("README.md")]
    assert len(of_stages) > 20 and any(name.startswith("round-2/") for name in of_stages)
    assert [name for name in of_stages if grown.get(name) != whole[name]] == []
    assert grown["config.toml"] == whole["config.toml"]
    with pytest.raises(ResumeError, match=r"iterate\.rounds: 2 → 1"):
        run(rounds(1), tmp_path / "grown")
    log = RunDir(tmp_path / "grown").read_log()
    assert [event["rounds"] for event in log if "overlap" in event] == [1, 2]  # the second round's problems are others


def test_rounds_that_end_with_another_runs_tokens_stay_as_many():
    old, new = (
        build_config(merged(small().model_dump(), {"boost": {"reuse": "x"}, "iterate": {"rounds": n, "match_tokens": True}}))
        for n in (1, 2)
    )
    assert _rounds_held(old, new, frozenset({("round-1", "train")}))
    assert not _rounds_held(old, new, frozenset({("round-1", "rollout")}))


def test_the_remedy_that_a_message_names_can_be_taken(halfway, one_thread):
    """Not a reply is drawn again up to where it stopped, and then it goes to its end."""
    before = (halfway / "ledger.jsonl").read_bytes()
    replies = before.count(b'"turn":')
    run(changed(small(), {"train": {"line_length": 8}}), halfway)
    after = (halfway / "ledger.jsonl").read_bytes()
    assert after.startswith(before)
    purposes = {json.loads(line)["purpose"] for line in after[len(before) :].splitlines()}
    assert purposes == {"round-1/evaluate", "round-1/evaluate/other"} and after.count(b'"turn":') > replies
    events = RunDir(halfway).read_log()
    assert [event["changed"] for event in events if "changed" in event] == [["train.line_length: 96 → 8"]]
    assert (halfway / "round-1/metrics.json").exists()
    with pytest.raises(ResumeError, match=r"train\.learning_rate"):
        run(changed(small(), {"train": {"line_length": 8, "learning_rate": 0.5}}), halfway)
    run(changed(small(), {"train": {"line_length": 32}}), halfway)


def test_threads_may_change_where_no_bytes_are_promised(halfway):
    loose = changed(small(), {"deterministic": False, "threads": None})
    from rise.runs.continuing import refused

    held, free = refused(halfway, loose, changed(loose, {"threads": 3, "batch_size": 7}))
    assert held == [] and free == ["batch_size: 16 → 7", "threads: null → 3"]


def test_unfinished_training_goes_on_with_other_lines(tmp_path):
    settings = {"processes": 1, "train": {"line_length": 512, "attention": "auto", "epochs": 1}}
    begin(tmp_path, settings, first=True)
    assert begin(tmp_path, {"processes": 1, "train": {"epochs": 2}}, first=True) is None  # nothing was kept, so nothing is mixed
    begin(tmp_path, settings, first=True)
    (tmp_path / "checkpoint-3").mkdir()
    assert begin(tmp_path, {"processes": 1, "train": {"epochs": 1}}, first=True) == str(tmp_path / "checkpoint-3")
    with pytest.raises(ResumeError, match=r"train\.epochs: 1 → 2"):
        begin(tmp_path, {"processes": 1, "train": {"epochs": 2}}, first=True)


# ---- N01: a failed start ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("there", [False, True])
def test_a_failed_start_leaves_nothing_behind(there, tmp_path, one_thread, monkeypatch):
    """`nodir` may be a hub name, so it is heard of only when the model is loaded."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    where = tmp_path / "run"
    if there:
        where.mkdir()
    wrong = changed(small(), {"model": {"path": "nodir", "nano": None}})
    with pytest.raises(RiseError):
        run(wrong, where)
    assert not where.exists() or (there and not list(where.iterdir()))
    run(small(iterate={"rounds": 0}), where)
    assert (where / "base/metrics.json").exists()


@pytest.mark.parametrize("trouble", [KeyboardInterrupt, OSError])
def test_whatever_stops_it_before_the_first_reply(trouble, tmp_path, monkeypatch):
    def stop(*args, **kwargs):
        raise trouble("now")

    monkeypatch.setattr("rise.method.iterate.base_model", stop)
    with pytest.raises(trouble):
        run(small(), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_a_kill_leaves_before_the_first_reply_burns_nothing(tmp_path, one_thread):
    where = tmp_path / "run"
    assert not RunDir(where).open(changed(small(), {"seed": 5}))
    (where / "ledger.jsonl").touch()
    (where / "base").mkdir()
    assert begun(where) == frozenset()
    run(small(iterate={"rounds": 0}), where)
    assert "seed = 5" not in (where / "config.toml").read_text()


def test_a_start_that_fails_beside_another_process_takes_nothing_from_it(tmp_path):
    from rise.play.ledger import Ledger

    where = tmp_path / "run"
    RunDir(where).open(small())
    with Ledger(where / "ledger.jsonl"), pytest.raises(RiseError, match="another process"):
        run(changed(small(), {"seed": 4}), where)
    assert RunDir(where).config.exists()


def test_what_has_begun_is_never_forgotten(halfway):
    RunDir(halfway).forget()
    assert (halfway / "config.toml").exists() and begun(halfway)


def test_a_group_of_seeds_may_change_what_its_seeds_may(halfway, tmp_path):
    group = GroupDir(tmp_path / "group")
    group.open(small(), [0])
    halfway.rename(group.seed(0).path)
    group.open(changed(small(), {"train": {"line_length": 8}, "http": {"attempts": 2}}), [0])
    with pytest.raises(ResumeError, match=r"relabel\.n_samples"):
        group.open(changed(small(), {"relabel": {"n_samples": 4}}), [0])


# ---- a moved endpoint ------------------------------------------------------------------------------------------------------


def test_a_teacher_that_has_moved_is_asked_for_nothing_twice(tmp_path, one_thread):
    servers = [OddEndpoint(lambda call: chat("3")) for _ in range(2)]
    try:
        teacher = {"improver": "teacher", "teacher": servers[0].spec, "n_samples": 1}
        config = toy_recipe(boost={"enabled": False}, relabel=teacher, task={"n_train": 4}, iterate={"rounds": 1})
        where = run(config, tmp_path / "run").path
        n = len(servers[0].calls)
        for name in ("relabelled.jsonl", "examples.jsonl"):
            (where / "round-1" / name).unlink()
        run(changed(config, {"relabel": {"teacher": servers[1].spec}}), where)
        assert n > 0 and (len(servers[0].calls), len(servers[1].calls)) == (n, 0)
        with pytest.raises(ResumeError, match=r"relabel\.teacher"):
            run(changed(config, {"relabel": {"teacher": servers[1].spec.replace("#m", "#other")}}), where)
    finally:
        for server in servers:
            server.stop()


# ---- dry run, leaks, golds -------------------------------------------------------------------------------------------------


def own(tmp_path, train, test, nano_dir, **overrides):
    for name, rows in (("train", train), ("test", test)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps({"question": q, "gold": g}) + "\n" for q, g in rows))
    settings = {"train_path": str(tmp_path / "train.jsonl"), "test_path": str(tmp_path / "test.jsonl")}
    recipe = small().model_dump()
    recipe["task"], recipe["model"] = {"name": "jsonl", "settings": settings}, {"path": str(nano_dir)}
    return build_config(merged(recipe, overrides))


def test_problems_on_both_sides_are_said_before_the_first_reply(tmp_path, nano_dir):
    from rise.runs.preflight import preflight

    rows = [(f"{i} + 1?", str(i + 1)) for i in range(20)]
    with pytest.warns(UserWarning, match=r"20 of 20 problems to measure on are also trained on, the first: '0  \+ 1\?'"):
        preflight(own(tmp_path, rows, [(q.replace("+", " +").upper(), g) for q, g in rows], nano_dir))
    import warnings

    with warnings.catch_warnings():
        warnings.filterwarnings("error", "(?!state.instructions)")  # which the character model cannot read
        preflight(own(tmp_path, rows, [(f"{i} + 2?", str(i + 2)) for i in range(20)], nano_dir))


def test_a_gold_that_cannot_be_read_is_refused_before_the_first_reply(tmp_path, nano_dir):
    from rise.errors import DataError

    rows = [(f"{i} + 1?", str(i + 1)) for i in range(5)]
    with pytest.raises(DataError, match=r"problem \w+ \('8 \+ 1\?'\): gold answer .* marks no final answer"):
        run(own(tmp_path, rows, [("8 + 1?", "It is \\boxed{9")], nano_dir), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_budget_is_kept_by_rise_relabel_too(tmp_path, one_thread, monkeypatch):
    """R01: a teacher at 1,000,000 a million tokens, three tokens a reply, and 5 to spend."""
    import sys

    from rise.cli.main import main
    from rise.recipe.toml import to_toml

    server = OddEndpoint(lambda call: chat("3"))
    teacher = {"improver": "teacher", "teacher": server.spec, "n_samples": 1, "price_reply": 1e6, "budget": 5.0}
    config = toy_recipe(boost={"enabled": False}, relabel=teacher, task={"n_train": 6}, http={"concurrency": 1})
    (tmp_path / "r.toml").write_text(to_toml(config))
    (tmp_path / "s.json").write_text("{}")

    def rise(*words):
        monkeypatch.setattr(sys, "argv", ["rise", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            main()
        return end.value.code or 0

    from rise.tasks import make_task

    task = make_task("arithmetic", **config.task.settings)
    script = {p.question: ["1"] for p in task.problems("train", 6)}
    (tmp_path / "s.json").write_text(json.dumps(script))
    assert rise("rollout", tmp_path / "r.toml", "--policy", f"scripted:{tmp_path / 's.json'}", "--out", tmp_path / "t.jsonl") == 0
    shown = ("--trajectories", tmp_path / "t.jsonl", "--policy", server.spec)
    words = ("relabel", tmp_path / "r.toml", *shown, "--out", tmp_path / "i.jsonl")
    assert rise(*words) == 1
    assert len(server.calls) == 2  # 3 + 3 is above 5
    assert rise(*words) == 1 and len(server.calls) == 2  # paid is paid, whichever process paid it
    server.stop()


def test_a_dry_run_hears_what_the_run_would_refuse(halfway, tmp_path, capsys, monkeypatch):
    import sys

    from rise.cli.main import main
    from rise.recipe.toml import to_toml

    def dry(config):
        (tmp_path / "r.toml").write_text(to_toml(config))
        monkeypatch.setattr(sys, "argv", ["rise", "run", str(tmp_path / "r.toml"), "--out", str(halfway), "--dry-run"])
        with pytest.raises(SystemExit) as end:
            main()
        return end.value.code or 0, capsys.readouterr().err

    code, said = dry(changed(small(), {"seed": 3}))
    assert code == 1 and "seed: 7 → 3" in said.replace("seed: 0", "seed: 7")
    code, said = dry(changed(small(), {"train": {"line_length": 8}}))
    assert code == 0 and re.search(r"would continue .*with train\.line_length: 96 → 8", said)


def test_a_key_never_gets_into_a_run_directory(tmp_path):
    with pytest.raises(ConfigError) as error:
        toy_recipe(relabel={"improver": "teacher", "teacher": "http://h/v1?api_key=SECRET#m"})
    assert "SECRET" not in str(error.value)
