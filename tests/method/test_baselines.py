"""The paper's baselines as recipes: the same stages, from one start, on the same problems, for as many tokens."""

import json
from pathlib import Path

import pytest
from toys import SMALLER, toy_recipe
from typer.testing import CliRunner

from rise.cli.main import app
from rise.dataset.example import read_examples
from rise.errors import ConfigError
from rise.evaluation.held_out import read_held_out
from rise.recipe.toml import load_recipe, merged, to_toml
from rise.runs.directory import RunDir
from rise.runs.takeover import check_takeover, sampled, take_start, trained_tokens
from rise.training.weights import weights_hash
from rise.trajectory import Verdict, read_relabelled, read_trajectories

pytestmark = pytest.mark.usefixtures("one_thread")

ROOT = Path(__file__).resolve().parents[2]
BASELINES = sorted((ROOT / "recipes" / "baselines").glob("*.toml"))
ONE_ROUND = [
    *SMALLER,
    "threads=1",
    "iterate.rounds=1",
    "evaluate.samples=2",
    "evaluate.controls=none",
    "evaluate.turns=2",
    "task.n_test=6",
]


def rise_run(recipe, out, *overrides):
    words = ["run", str(recipe), "--scale", "toy", "--out", str(out)]
    for override in overrides:
        words += ["--set", override]
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return RunDir(out)


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """One round of the nano recipe, tiny: the run that the baselines are compared with.

    The boost learns enough for some right answers, without which most baselines have nothing to train on.
    """
    sums = ["task.settings={kinds={sum=1}, sum_terms=2, sum_digits=1}", "task.n_train=24", "sampling.max_new_tokens=12"]
    small = ["hidden=32", "layers=2", "heads=2", "intermediate=64", "max_length=192"]
    train = ["optimizer=adamw", "epochs=24", "batch_size=16", "learning_rate=1e-2"]
    overrides = [*ONE_ROUND, *sums, "boost.n_problems=40", "boost.disjoint=false", *(f"model.nano.{s}" for s in small)]
    parts = ["boost.train_multi_turn", "train"]
    rest = [f"{part}.{s}" for part in parts for s in ("optimizer=adamw", "epochs=2", "batch_size=16")]
    overrides += [f"boost.train.{s}" for s in train] + rest
    return rise_run(ROOT / "recipes/multiplication.toml", tmp_path_factory.mktemp("start") / "run", *overrides), overrides


def baseline(start, name, out, *overrides):
    run, own = start
    rounds = [] if name in ("self-refine", "parallel-voting") else own
    own = [o for o in own if rounds or not o.startswith("iterate.rounds")]
    return rise_run(ROOT / f"recipes/baselines/{name}.toml", out, *own, f"boost.reuse={run.path}", *overrides)


@pytest.mark.parametrize("path", BASELINES, ids=lambda path: path.stem)
def test_it_loads_at_every_scale_and_says_how_to_run_it(path, tmp_path):
    for scale in (None, "full", "quick", "toy"):
        config = load_recipe(path, scale=scale)
        resolved = tmp_path / "config.toml"
        resolved.write_text(to_toml(config))
        assert load_recipe(resolved) == config
        assert config.task == load_recipe(ROOT / "recipes/multiplication.toml", scale=scale).task  # the same problems
    assert f"rise run recipes/baselines/{path.name}" in path.read_text()
    assert config.name == path.stem


@pytest.mark.parametrize("path", BASELINES, ids=lambda path: path.stem)
def test_it_names_its_start_before_anything_runs(path):
    config = load_recipe(path, scale="toy")
    if config.iterate.match_tokens:
        with pytest.raises(ConfigError, match=r"--set boost\.reuse=runs/multiplication-full"):
            check_takeover(config)
        with pytest.raises(ConfigError, match=r"--set boost\.reuse=runs/multiplication-full"):
            CliRunner().invoke(app, ["run", str(path), "--scale", "toy", "--dry-run"], catch_exceptions=False)


@pytest.mark.parametrize(
    "name", ["sft-all", *(pytest.param(n, marks=pytest.mark.slow) for n in ("sft-correct", "star", "pair-sft"))]
)
def test_it_starts_from_the_same_weights_and_trains_on_as_many_tokens(start, name, tmp_path):
    run = baseline(start, name, tmp_path / name)
    assert weights_hash(run.stage("boost").checkpoint) == weights_hash(start[0].stage("boost").checkpoint)
    theirs, mine = trained_tokens(start[0]), trained_tokens(run)
    longest = max(len(e.reply_ids) for e in read_examples(run.stage("round-1").examples))
    assert theirs.keys() == mine.keys() == {1}
    assert abs(mine[1] - theirs[1]) <= longest
    examples = list(read_examples(run.stage("round-1").examples))
    sources = {e.source for e in examples}
    assert {e.weight for e in examples} == {1.0}
    if name == "sft-all":
        assert any(e.verdict is not Verdict.RIGHT for e in examples)
    else:
        assert {e.verdict for e in examples} == {Verdict.RIGHT}
    if name.startswith("sft"):
        for file in ("trajectories", "relabelled"):
            copied, original = (getattr(r.stage("round-1"), file).read_bytes() for r in (run, start[0]))
            assert copied == original  # RISE's own data
        assert sources <= {"self", "solution"}
    if name == "star":
        assert {e.turn for e in examples} == {0} and sources == {"student"}
        assert list(read_relabelled(run.stage("round-1").relabelled)) == []
        assert {t.sample for t in read_trajectories(run.stage("round-1").trajectories)} == set(range(5))
    if name == "pair-sft":
        # A wrong attempt is shown, and a right reply of another sample follows.
        drawn = list(read_trajectories(run.stage("round-1").trajectories))
        right = {(t.problem_id, t.turns[0].reply) for t in drawn if t.turns[0].right}
        wrong = {(t.problem_id, t.turns[0].reply) for t in drawn if not t.turns[0].right}
        paired = [e for e in examples if e.source == "pair"]
        assert paired and sources <= {"pair", "solution"}
        for e in paired:
            shown = [m.content for m in e.prompt if m.role == "assistant"]
            assert (e.problem_id, shown[-1]) in wrong and (e.problem_id, e.reply) in right


def test_self_refine_measures_the_same_start_with_critiques_and_trains_nothing(start, tmp_path):
    run = baseline(start, "self-refine", tmp_path / "run")
    assert [stage.name for stage in run.stages()] == ["base", "boost-one-turn", "boost"]
    records = list(read_held_out(run.stage("boost").held_out))
    assert all(turn.critique is not None for r in records for turn in r.run[:-1])
    assert all(r.run[-1].critique is None for r in records)  # nobody asks again after the last turn
    mine, theirs = (r.stage("boost").read_metrics() for r in (run, start[0]))
    assert mine["m1@t1"] == theirs["m1@t1"]  # turn 1 is asked the same way, with the same streams
    costs = [m["compute"]["sequential"][-1]["generated_tokens"] for m in (mine, theirs)]
    written = sum(t.n_reply_tokens for r in records for t in r.run) / len(records)
    criticised = sum(t.critique.n_reply_tokens for r in records for t in r.run[:-1]) / len(records)
    assert costs[0] == pytest.approx(written + criticised) and criticised > 0
    parallel = [m["compute"]["parallel"] for m in (mine, theirs)]
    assert parallel[0] == parallel[1]  # a critique is no part of a vote's price


def test_parallel_voting_is_the_boost_itself(start, tmp_path):
    run = baseline(start, "parallel-voting", tmp_path / "run")
    assert run.stage("boost").metrics.read_bytes() == start[0].stage("boost").metrics.read_bytes()
    assert not run.stage("round-1").path.exists()


MEASURED = ("held-out.jsonl", "metrics.json", "validation.jsonl", "temperature/temperature.json")
"""What is measured of a stage, as `[evaluate]` and `state.verify` say."""


def finished(path, config):
    """The start of a run with as much in its files as is copied; after three turns its accuracy rises no more."""
    run = RunDir(path)
    for stage in (run.stage(name) for name in ("base", "boost-one-turn", "boost")):
        for file in (*MEASURED, "examples.jsonl"):
            (stage.path / file).parent.mkdir(parents=True, exist_ok=True)
            (stage.path / file).write_text("theirs")
        stage.checkpoint.mkdir()
        card = {"stage": stage.name, "turns": 5, "verify": False, "turns_to_serve": 3}
        (stage.checkpoint / "rise.json").write_text(json.dumps(card))
    run.config.write_text(to_toml(config))
    return run


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        ({}, True),
        ({"train": {"epochs": 2}}, True),
        ({"evaluate": {"n_rates": 4}}, False),
        ({"evaluate": {"samples": 3}}, False),
        ({"evaluate": {"turns": 4}}, False),
        ({"evaluate": {"state": {"feedback": "self-refine"}}}, False),
        ({"state": {"verify": True}}, False),
    ],
)
def test_what_another_evaluate_measured_is_left_behind_whole(change, kept, tmp_path):
    theirs = finished(tmp_path / "theirs", toy_recipe(evaluate={"turns": 5}))
    mine = RunDir(tmp_path / "mine")
    config = toy_recipe(**merged({"evaluate": {"turns": 5}}, change))
    take_start(config, mine, theirs)
    stage = mine.stage("boost")
    assert [(stage.path / file).exists() for file in MEASURED] == [kept] * len(MEASURED)
    assert (stage.path / "examples.jsonl").exists()
    card = json.loads((stage.checkpoint / "rise.json").read_text())
    assert card.get("turns_to_serve") == (3 if kept else None)
    assert card["turns"] == config.evaluate.turns and bool(card["verify"]) == ("state" in change)
    assert json.loads((theirs.stage("boost").checkpoint / "rise.json").read_text())["turns_to_serve"] == 3


@pytest.mark.slow
def test_the_first_round_of_another_run_is_taken_and_the_next_is_drawn(start, tmp_path):
    """Two rounds on the first of theirs: what the rounds' data cost counts what was taken as it did there."""
    _, own = start
    again = [o for o in own if not o.startswith("iterate.rounds")]
    theirs_two = rise_run(ROOT / "recipes/multiplication.toml", tmp_path / "theirs", *again, "iterate.rounds=2")
    words = [f"boost.reuse={theirs_two.path}", "rollout.reuse=first", "weigh.rule=equal", "iterate.rounds=2"]
    mine = rise_run(ROOT / "recipes/multiplication.toml", tmp_path / "mine", *again, *words)
    parts = [(e["stage"], e["part"]) for e in mine.read_log() if e.get("part") in ("rollout", "relabel")]
    assert parts == [("round-2", "rollout"), ("round-2", "relabel")]
    copied, original = (r.stage("round-1").relabelled.read_bytes() for r in (mine, theirs_two))
    assert copied == original
    drawn = {(e["stage"], run.path): e for run in (mine, theirs_two) for e in run.read_log() if e.get("part") == "relabel"}
    turns = {(e["stage"], run.path): e for run in (mine, theirs_two) for e in run.read_log() if e.get("part") == "rollout"}
    first, second = ("round-1", theirs_two.path), ("round-2", mine.path)
    for name, count in (("replies", "n_replies"), ("tokens", "n_reply_tokens")):
        expected = sum(events[key][count] for events in (drawn, turns) for key in (first, second))
        assert getattr(sampled(mine), name) == expected > 0
    with pytest.raises(
        ConfigError, match=r'rollout\.reuse = "first" takes over what another run did, but boost\.reuse names none'
    ):
        check_takeover(load_recipe("nano", overrides=["rollout.reuse=first"]))


def test_data_collected_otherwise_are_refused_by_name(start, tmp_path):
    run, own = start
    recipe = ROOT / "recipes/baselines/sft-all.toml"
    config = load_recipe(recipe, scale="toy", overrides=[*own, f"boost.reuse={run.path}", "relabel.n_samples=9"])
    with pytest.raises(ConfigError, match=r"relabel\.n_samples: 4 → 9"):
        check_takeover(config)


def test_a_shorter_baseline_ends_with_the_whole_amount_of_training(start, tmp_path):
    """Two rounds of theirs against one of ours: the one trains on both rounds' tokens."""
    from rise.runs.takeover import matched

    run = start[0]
    theirs = RunDir(tmp_path / "theirs")
    theirs.path.mkdir()
    theirs.config.write_text(run.config.read_text())
    theirs.log.write_text("")
    for k, n in ((1, 1000), (2, 300)):
        theirs.write_log(stage=f"round-{k}", part="train", n_trained_tokens=n)
    theirs.write_log(stage="boost", part="train", n_trained_tokens=7)
    config = load_recipe(ROOT / "recipes/baselines/pair-sft.toml", overrides=[f"boost.reuse={theirs.path}"])
    assert matched(config, 1).trained_tokens == 1300
    two = config.model_copy(update={"iterate": config.iterate.model_copy(update={"rounds": 2})})
    assert [matched(two, k).trained_tokens for k in (1, 2)] == [1000, 300]
    with pytest.raises(ConfigError, match="no finished training of round 3"):
        matched(two, 3)
    # A run of before the total was logged: epochs count.
    theirs.log.write_text(json.dumps({"stage": "round-1", "part": "train", "n_trained_tokens_per_epoch": 10}) + "\n")
    epochs = load_recipe(theirs.config).train.epochs
    assert trained_tokens(theirs) == {1: round(10 * epochs)}
