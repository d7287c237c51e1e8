"""What each setting of the method changes, on a model of 20,000 parameters; and what is refused before work starts."""

import json
import math
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from toys import TINY, files, small, toy_recipe, turn

from rise.dataset.example import Example, read_examples
from rise.errors import ConfigError, DataError, EmptyStageError, ModelError, ResumeError
from rise.jsonl import write_jsonl
from rise.method.examples import examples_stage
from rise.method.iterate import run
from rise.play.render import Renderer
from rise.recipe.problems import student_turns
from rise.recipe.toml import build_config, merged
from rise.runs.context import open_context
from rise.runs.directory import RunDir
from rise.runs.preflight import preflight
from rise.trajectory import Relabelled, Trajectory, to_json

pytestmark = pytest.mark.usefixtures("one_thread")


# --- settings of the method -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "starts"),
    [
        ("base", ["base", "base"]),
        ("boost", ["boost", "boost"]),
        ("previous", ["boost", "round-1"]),
    ],
)
def test_what_each_rounds_training_starts_from(start, starts, tmp_path, untrained):
    task = {"n_train": 2, "n_validation": 2, "n_test": 2}
    boost = {"n_problems": 4, "multi_turn_share": 0.5, "also_one_turn": False}
    run(toy_recipe(iterate={"start": start}, task=task, boost=boost), tmp_path / "run")
    assert [(stage, begun) for stage, begun, _ in untrained] == [
        ("boost-one-turn", "base"),
        ("boost", "boost-one-turn"),
        ("round-1", starts[0]),
        ("round-2", starts[1]),
    ]
    held_against = [RunDir(tmp_path / "run").stage(f"round-{k}").read_metrics()["before_rounds"] for k in (1, 2)]
    assert held_against == [starts[0]] * 2  # the model that the rounds began from
    # Whatever training starts from, the student that is unrolled is the current model.
    ledger = [json.loads(line) for line in (tmp_path / "run" / "ledger.jsonl").read_text().splitlines()]
    assert {"round-1/rollout", "round-2/rollout"} <= {line["purpose"] for line in ledger}


def test_aggregated_data_holds_the_rounds_before_and_replay_the_boosts_solutions(tmp_path, untrained):
    recipe = toy_recipe(
        task={"n_train": 4, "n_validation": 2, "n_test": 2},
        boost={"n_problems": 8, "multi_turn_share": 0, "also_one_turn": False},
        dataset={"data": "aggregate", "replay_share": 0.5, "drop_truncated": False},
        evaluate={"turns": 1, "samples": 1},
    )
    run_dir = run(recipe, tmp_path / "run")
    counts = [run_dir.stage(f"round-{k}").read_dataset()["counts"] for k in (1, 2)]
    first, second = (list(read_examples(run_dir.stage(f"round-{k}").examples)) for k in (1, 2))
    own = [e for e in first if e.source != "solution"]
    assert counts[1]["examples of earlier rounds"] == len(own)
    assert [(e.prompt, e.reply, e.reply_ids) for e in second[: len(own)]] == [(e.prompt, e.reply, e.reply_ids) for e in own]
    trained = [e for e in second if e.source != "solution"]
    assert sum(e.weight for e in trained) / len(trained) == pytest.approx(1.0)
    assert len({(e.prompt, e.reply.strip()) for e in trained}) == len(trained)
    assert counts[0]["boost examples replayed"] == len(first) - len(own) == min(8, len(own))
    assert all(e.weight == 1.0 for e in first if e.source == "solution")
    assert [len(examples) for _, _, examples in untrained] == [8, len(first), len(second)]


@pytest.fixture
def two_rounds(tmp_path, nano_dir):
    """Round 1: a wrong reply, then a right one. Round 2: the same wrong reply, another, then a right one. Raw weights 1 and 3."""

    def build(**overrides):
        recipe = small(boost={"enabled": True}, weigh={"temperature": 1 / math.log(3)}).model_dump()
        recipe["model"] = {"path": str(nano_dir)}
        config = build_config(merged(recipe, overrides))
        ready = preflight(config)
        [p, *_] = ready.problems(1)
        run_dir = RunDir(tmp_path / "run")
        wrong, other, right = (replace(turn(r, w), prompt_ids=None) for r, w in (("5", 0), ("6", 0), ("so 4", 1)))
        for k, turns in ((1, (wrong,)), (2, (wrong, other))):
            stage = run_dir.stage(f"round-{k}")
            trajectories = [Trajectory(p.id, p.question, p.gold, turns)]
            relabelled = [Relabelled(p.id, len(turns), (replace(right, source="self"),), 0)]
            write_jsonl(stage.trajectories, map(to_json, trajectories))
            write_jsonl(stage.relabelled, map(to_json, relabelled))
            solution = Example("s", 0, ready.prompt.messages(p, []), "4", "solution", 1.0, 1.0, (5,), (4, 2))
            write_jsonl(run_dir.stage("boost-one-turn").examples, [to_json(solution)])
            with open_context(ready, None, directory=tmp_path, run_dir=run_dir) as context:
                places = {"student": nano_dir, "start": nano_dir}
                examples_stage(context, stage, k, ready.problems(k), trajectories, relabelled, **places)
        return [(e.source, e.reply, round(e.weight, 9)) for e in read_examples(run_dir.stage("round-2").examples)]

    return build


def test_aggregated_weights_are_scaled_once_over_all_rounds_and_a_repeat_trains_once(two_rounds):
    # Raw 1, 3 of round 1 and 1, 3 of round 2, whose first reply is round 1's: mean 2. Scaled round by round they were
    # 0.5, 1.5 and 0.6, 0.6, 1.8: two scales in one data set, of mean 1 only by luck.
    assert two_rounds(dataset={"data": "aggregate"}) == [
        ("student", "5", 0.5),
        ("self", "so 4", 1.5),
        ("student", "6", 0.5),
        ("self", "so 4", 1.5),
    ]


def test_what_is_too_long_to_train_does_not_count_in_the_mean(two_rounds):
    # Of round 2's 1, 1, 3 the state of the last, with two attempts, is too long: 1 and 1 are left.
    found = two_rounds(state={"window": "all"}, train={"max_length": 16})
    assert found == [("student", "5", 1.0), ("student", "6", 1.0)]


@pytest.mark.parametrize(("scale", "weight"), [("raw", 3.0), ("mean-one", 1.0)])
def test_a_replayed_solution_weighs_what_a_right_reply_does_or_the_mean(two_rounds, scale, weight):
    found = two_rounds(dataset={"replay_share": 0.3}, weigh={"scale": scale})
    assert [w for source, _, w in found if source == "solution"] == [weight]
    assert [w for source, _, w in found if source == "self"] == [3.0 if scale == "raw" else 1.8]


def test_a_replayed_solution_trains_where_the_rule_weighs_the_mean_zero(two_rounds):
    # Centred at 1/3: −1/3, −1/3 and 2/3. The solution has no replies beside it, and weighs its own reward.
    found = two_rounds(dataset={"replay_share": 0.3}, weigh={"rule": "reward", "centre": True, "scale": "raw"})
    assert [(source, w) for source, _, w in found] == [
        ("student", pytest.approx(-1 / 3)),
        ("student", pytest.approx(-1 / 3)),
        ("self", pytest.approx(2 / 3)),
        ("solution", 1.0),
    ]


def test_nothing_left_after_the_keep_rule_says_what_dropped_it_and_what_to_do(tmp_path):
    with pytest.raises(EmptyStageError, match=r"no example is left to train on \(.* by keep rule.*Loosen keep\.rule"):
        run(small(keep={"rule": "success"}, relabel={"relabel_right": "skip"}), tmp_path / "run")


def test_lora_in_a_whole_run(tmp_path, nano_dir):
    recipe = small(dataset={"drop_truncated": False}).model_dump()
    recipe["model"] = {"path": str(nano_dir), "lora": {"rank": 2}}
    run_dir = run(build_config(recipe), tmp_path / "run")
    assert not any("adapter" in name for name in files(run_dir.stage("round-1").checkpoint))
    assert files(run_dir.stage("round-1").checkpoint)["model.safetensors"] != (nano_dir / "model.safetensors").read_bytes()


@pytest.fixture
def own(tmp_path, nano_dir):
    """Your own problems.jsonl and your own model directory."""
    problems = tmp_path / "problems.jsonl"
    problems.write_text("".join(json.dumps({"question": f"{i}+1", "gold": str(i + 1)}) + "\n" for i in range(60)))
    recipe = small().model_dump()
    recipe |= {"model": {"path": str(nano_dir)}, "dataset": {"drop_truncated": False}}
    recipe["task"] = {"name": "jsonl", "n_train": 3, "n_validation": 2, "n_test": 2}
    recipe["task"]["settings"] = {"path": str(problems)}
    recipe["state"]["instructions"] = ""
    recipe["sampling"]["max_new_tokens"] = 8

    def build():
        return build_config(recipe)

    return problems, recipe, build


def test_own_problems_and_own_model(own, tmp_path):
    run_dir = run(own[2](), tmp_path / "run")
    assert [s.name for s in run_dir.stages()] == ["base", "round-1"]
    assert not run_dir.stage("base").checkpoint.exists()  # the model stays where it was


def test_changed_problems_or_a_changed_model_are_refused_by_name(own, tmp_path, nano_dir, untrained):
    problems, recipe, build = own
    model = shutil.copytree(nano_dir, tmp_path / "model")
    recipe["model"]["path"] = str(model)
    run(build(), tmp_path / "run")
    problems.write_text(problems.read_text().replace('"gold": "', '"gold": "1'))
    with pytest.raises(ResumeError, match="training problems: its content is not what it was"):
        run(build(), tmp_path / "run")
    problems.write_text(problems.read_text().replace('"gold": "1', '"gold": "'))
    run(build(), tmp_path / "run")
    with (model / "model.safetensors").open("ab") as file:
        file.write(b"0")
    with pytest.raises(ResumeError, match=r"model\.path: its content is not what it was"):
        run(build(), tmp_path / "run")


def test_a_changed_teacher_or_code_of_ones_own_is_refused_by_name(own, tmp_path, nano_dir, monkeypatch):
    _, recipe, build = own
    teacher = shutil.copytree(nano_dir, tmp_path / "teacher")
    code = tmp_path / "own_words.py"
    code.write_text("def say(problem, trajectory, verdict):\n    return '?'\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    recipe["state"]["feedback"] = "own_words:say"
    recipe["relabel"] |= {"improver": "teacher", "teacher": f"local:{teacher}"}
    before = preflight(build()).contents
    with (teacher / "model.safetensors").open("ab") as file:
        file.write(b"0")
    code.write_text(code.read_text().replace("?", "!"))
    after = preflight(build()).contents
    assert {name for name in before if before[name] != after[name]} == {"relabel.teacher", "state.feedback"}


FUNCTIONS = "def right(reply, gold):\n    return True\n\ndef say(*shown):\n    return '?'\n"


@pytest.mark.parametrize("place", ["./own.py", "own.py", "own_functions"])
@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        ({"task": {"settings": {"judge": "{place}:right"}}}, "task.judge"),
        ({"task": {"settings": {"judge": {"name": "{place}:right"}}}}, "task.judge"),
        (
            {"task": {"settings": {"judge": {"name": "model", "policy": "http://h/v1#m", "reads": "{place}:right"}}}},
            "task.judge.reads",
        ),
        ({"task": {"settings": {"judge": {"name": "model", "policy": "function:{place}:say"}}}}, "task.judge.policy"),
        ({"state": {"feedback": "{place}:say"}}, "state.feedback"),
        ({"evaluate": {"state": {"feedback": "{place}:say"}}}, "evaluate.state.feedback"),
        ({"rollout": {"policy": "function:{place}:say"}}, "rollout.policy"),
        ({"relabel": {"improver": "teacher", "teacher": "function:{place}:say"}}, "relabel.teacher"),
        ({"relabel": {"select": "judge", "judge": "function:{place}:say"}}, "relabel.judge"),
    ],
)
def test_code_of_ones_own_is_hashed_wherever_it_is_named(overrides, name, place, own, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = tmp_path / ("own.py" if place.endswith(".py") else f"{place}.py")
    code.write_text(FUNCTIONS)
    config = build_config(merged(own[1], json.loads(json.dumps(overrides).replace("{place}", place))))
    before = preflight(config).contents
    code.write_text(FUNCTIONS.replace("True", "False"))
    after = preflight(config).contents
    assert {found for found in before if before[found] != after[found]} == {name}
    sys.modules.pop("own_functions", None)


def test_a_starter_whose_judge_was_edited_does_not_go_on_with_two(tmp_path, monkeypatch):
    """As its README says: `rise init mine; cd mine; rise run recipe.toml`, where `{here}` is a dot."""
    from rise.cli.init import init
    from rise.recipe.toml import load_recipe

    init(tmp_path / "mine")
    monkeypatch.chdir(tmp_path / "mine")
    config = load_recipe(Path("recipe.toml"), scale="toy", overrides=["iterate.rounds=0", "evaluate.samples=1"])
    assert config.task.settings["judge"] == "./judge.py:right"
    run(config, Path("run"))
    judge = Path("judge.py")
    judge.write_text(judge.read_text().replace(".casefold()", ""))
    with pytest.raises(ResumeError, match=r"task\.judge: its content is not what it was"):
        run(config, Path("run"))


def test_a_run_that_holds_no_hash_of_its_judge_goes_on_and_holds_it_from_then_on(own, tmp_path, monkeypatch):
    """As version 0.1.1 left runs whose judge is `./judge.py:right`, or stands in a table."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "judge.py").write_text(FUNCTIONS)
    own[1]["task"]["settings"]["judge"] = {"name": "./judge.py:right"}
    own[1]["iterate"]["rounds"] = 0
    file = run(own[2](), tmp_path / "run").provenance
    facts = json.loads(file.read_text())
    held = facts["contents"].pop("task.judge")
    file.write_text(json.dumps(facts))
    run(own[2](), tmp_path / "run")
    assert json.loads(file.read_text())["contents"]["task.judge"] == held


def test_a_converted_base_says_how_it_is_to_be_used(own, tmp_path, monkeypatch):
    def convert(directory, gguf_file, out, card, chat_format):
        shutil.copytree(directory, out)
        (out / "rise.json").write_text(json.dumps(card))

    monkeypatch.setattr("rise.training.model.convert_gguf", convert)
    own[1]["model"]["gguf_file"] = "model.safetensors"
    own[1]["iterate"]["rounds"] = 0
    run_dir = run(own[2](), tmp_path / "run")
    assert json.loads((run_dir.stage("base").checkpoint / "rise.json").read_text())["feedback"] == "neutral"


def test_the_students_renderer_is_known_without_a_run(toy_run):
    """`rise relabel --examples` with a teacher renders for the student that the recipe names."""
    made = preflight(toy_recipe(), "collect").renderer
    assert made.fingerprint == Renderer.load(toy_run.stage("round-1").checkpoint).fingerprint


def test_boost_without_worked_solutions_says_so(own, tmp_path):
    own[1]["boost"] = {"enabled": True, "n_problems": 2, "disjoint": False}
    with pytest.raises(DataError, match=r"trains on worked solutions.*boost\.enabled = false"):
        run(own[2](), tmp_path / "run")


@pytest.mark.parametrize(("turns", "offset", "expected"), [("round", 0, [1, 2, 3]), ("round", -1, [1, 1, 2]), (2, 0, [2, 2, 2])])
def test_student_turns_by_round(turns, offset, expected):
    config = small(rollout={"turns": turns, "turns_offset": offset})
    assert [student_turns(config, k) for k in (1, 2, 3)] == expected


def test_fresh_problems_each_round_or_the_same_and_never_the_boosts():
    boost = {"enabled": True, "n_problems": 10, "disjoint": True}
    task = {"n_train": 4, "settings": {"sum_digits": 2}}
    ids = {}
    for kind in ("same", "fresh"):
        config = small(rollout={"problems": kind}, boost=boost, task=task, iterate={"rounds": 2})
        ready = preflight(config)
        ids[kind] = [[p.id for p in ready.problems(k)] for k in (1, 2)]
        boosted = {p.id for p in ready.boost}
        assert len(boosted) == 10
        assert not boosted & {name for names in ids[kind] for name in names}
    assert ids["same"][0] == ids["same"][1] == ids["fresh"][0]
    assert not set(ids["fresh"][0]) & set(ids["fresh"][1])


# --- trouble found early ----------------------------------------------------------------------------------------------


def test_a_context_too_small_for_the_next_turn_names_the_way_out(tmp_path):
    recipe = small(
        model={"nano": {**TINY.model_dump(), "max_length": 32}},
        state={"window": "all"},
        sampling={"max_new_tokens": 30},
        evaluate={"turns": 3},
    )
    with pytest.raises(ConfigError, match=r"built for 32.*Lower sampling\.max_new_tokens"):
        run(recipe, tmp_path / "run")
    assert not (tmp_path / "run").exists()  # before anything is written


def test_nano_needs_a_task_with_an_alphabet():
    recipe = small().model_dump() | {"task": {"name": "gsm8k"}}
    with pytest.raises(ConfigError, match="fixed alphabet"):
        preflight(build_config(recipe), list_missing=True)


def test_a_feedback_function_is_looked_for_before_hours_are_spent(tmp_path):
    with pytest.raises(ConfigError, match="'nowhere' cannot be imported"):
        run(small(state={"feedback": "nowhere:f"}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_model_that_is_none(own, tmp_path):
    own[1]["model"]["path"] = str(tmp_path)
    with pytest.raises(ModelError, match=r"holds no config\.json"):
        run(own[2](), tmp_path / "run")
