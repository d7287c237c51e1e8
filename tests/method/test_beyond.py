"""What came after the paper, as recipes: each runs, trains what its formula says, and has a row that names it."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rise.cli.main import app
from rise.dataset.example import read_examples
from rise.evaluation.held_out import read_held_out
from rise.policies.scoring import score
from rise.recipe.methods import method_of
from rise.recipe.toml import load_recipe
from rise.runs.directory import RunDir
from rise.trajectory import read_relabelled, read_trajectories

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.slow]

FOLDER = Path(__file__).resolve().parents[2] / "recipes" / "beyond"
RECIPES = sorted(FOLDER.glob("*.toml"))
TINY = [
    "task.n_train=6",
    "task.n_test=3",
    "evaluate.n_rates=0",
    "evaluate.turns=2",
    "evaluate.samples=2",
    "evaluate.controls=none",
    "evaluate.internalised=false",
    "rollout.problems=same",
    "batch_size=64",
]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Each recipe at its toy scale and below, run once when it is first asked for."""
    done = {}

    def run(name):
        if name not in done:
            out = tmp_path_factory.mktemp("beyond") / name
            words = ["run", str(FOLDER / f"{name}.toml"), "--scale", "toy", "--out", str(out)]
            result = CliRunner().invoke(app, [*words, *(w for o in TINY for w in ("--set", o))], catch_exceptions=False)
            assert result.exit_code == 0, result.output
            done[name] = RunDir(out)
        return done[name]

    return run


@pytest.mark.parametrize("path", RECIPES, ids=[path.stem for path in RECIPES])
def test_a_recipe_has_at_most_forty_lines_and_extends_the_laboratory(path):
    assert len(path.read_text().splitlines()) <= 40
    assert f"rise run recipes/beyond/{path.name}" in path.read_text().split("\nname =")[0]
    config, laboratory = load_recipe(path), load_recipe(FOLDER.parent / "nano.toml")
    for part in ("task", "model", "sampling", "reward"):
        assert getattr(config, part) == getattr(laboratory, part), part
    assert config.state.model_copy(update={"verify": False}) == laboratory.state  # a verdict is shown in no state
    assert config.name == path.stem and method_of(config) != method_of(laboratory) == "RISE"


def test_no_two_recipes_name_one_method():
    names = [method_of(load_recipe(path)) for path in RECIPES]
    assert len(set(names)) == len(names)


def test_internalised_replies_stand_beside_what_they_were(runs):
    stage = runs("internalise").stage("round-1")
    examples = list(read_examples(stage.examples))
    later = [e for e in examples if e.turn > 0]
    first = {(e.problem_id, e.reply) for e in examples if e.turn == 0}
    assert later and all((e.problem_id, e.reply) in first for e in later)
    assert not any(m.role == "assistant" for e in examples if e.turn == 0 for m in e.prompt)
    assert 0 < stage.read_dataset()["counts"]["later replies at the first turn too"] <= len(later)


def test_advantages_of_a_round_are_centred_and_their_replies_scored_by_the_model_that_drew_them(runs):
    from rise.training.model import load_model

    run = runs("multi-turn-rl")
    examples = list(read_examples(run.stage("round-2").examples))
    drawn = [turn for t in read_trajectories(run.stage("round-2").trajectories) for turn in t.turns]
    assert examples and len(examples) <= len(drawn) == 6 * 4 * 3
    net = load_model(run.stage("round-1").checkpoint)[0].eval()
    logps = score(net, [e.prompt_ids for e in examples], [e.reply_ids for e in examples], "cpu")
    for example, own in zip(examples, logps, strict=True):
        assert example.sampled_logps == pytest.approx(own, abs=1e-4) and example.reference_logps == ()
        assert len(example.sampled_logps) == len(example.reply_ids)
    [event] = [e for e in run.read_log() if e.get("part") == "score" and e["stage"] == "round-2"]
    assert event["n_replies"] == 0


def test_a_tree_trains_every_reply_drawn_whoever_was_chosen(runs):
    run = runs("tree-rl")
    stage = run.stage("round-1")
    candidates = [turn for item in read_relabelled(stage.relabelled) for turn in item.candidates]
    report = stage.read_dataset()
    n = report["n_examples"] + sum(report["dropped"].values())
    assert n == len(candidates) + sum(len(t.turns) for t in read_trajectories(stage.trajectories)) == 6 * 3 * (1 + 3)


def test_score_holds_first_turns_in_round_one_and_everything_in_round_two(runs):
    one, two = (list(read_examples(runs("score").stage(f"round-{k}").examples)) for k in (1, 2))
    assert {(e.turn, e.weight == 0, e.kl) for e in one if e.turn == 0} == {(0, True, 0.1)}
    assert {e.kl for e in one if e.turn} <= {0.0} and {e.kl for e in two} == {0.01}
    assert all(bool(e.reference_logps) == bool(e.kl) for e in (*one, *two))
    assert all(e.reference_logps == e.sampled_logps for e in two)  # the round starts from the model that drew


def test_single_turn_shows_no_attempt(runs):
    examples = list(read_examples(runs("single-turn-rl").stage("round-1").examples))
    assert {e.turn for e in examples} == {0} and {e.kl for e in examples} == {0.0}


def test_a_round_learns_the_judges_word_on_each_attempt_and_its_model_stops_by_it(runs):
    run = runs("verify")
    stage = run.stage("round-2")
    verdicts = [e for e in read_examples(stage.examples) if e.source == "verdict"]
    tried = [turn for t in read_trajectories(stage.trajectories) for turn in t.turns]
    n_repeats = stage.read_dataset()["dropped"].get("repeat of the same reply", 0)
    assert 0 < len(verdicts) <= len(tried) == 6 * 3 and len(verdicts) >= len(tried) - n_repeats
    assert all(e.reply == ("y" if e.right else "n") and e.prompt[-1].content == f"hit {e.turn}" for e in verdicts)
    assert all(len(e.reply_ids) == 2 and e.weight == 1.0 for e in verdicts)  # the word and the end of the turn
    assert not any("hit" in m.content for e in read_examples(stage.examples) if e.source != "verdict" for m in e.prompt)
    records = list(read_held_out(stage.held_out))
    assert all(record.run[0].own_verdict for record in records)  # two turns: the first is asked about
    assert all(len(r.run) == (1 if r.run[0].called_right else 2) and len(r.run) + len(r.beyond) == 2 for r in records)
    metrics = stage.read_metrics()
    assert metrics["own_stop"]["played_on"]["tokens"]["generated_tokens"] > 0 and metrics["chain"] is None
    assert json.loads((stage.checkpoint / "rise.json").read_text())["verify"]["ask"] == "hit {attempt}"
    assert "verdict, " in (stage.checkpoint / "README.md").read_text()


def test_a_run_with_verdicts_takes_over_the_start_and_the_data_of_one_without(runs, tmp_path):
    """`boost.reuse` and `rollout.reuse`: the same replies train, and verdicts beside them; the start is measured anew."""
    plain = tmp_path / "rise"
    words = [w for o in [*TINY, "evaluate.internalised=false"] for w in ("--set", o)]
    nano = FOLDER.parent / "nano.toml"
    assert CliRunner().invoke(app, ["run", str(nano), "--scale", "toy", "--out", str(plain), *words]).exit_code == 0
    reuse = ["--set", f"boost.reuse={plain}", "--set", "rollout.reuse=true", "--set", "iterate.rounds=1"]
    out = tmp_path / "verify"
    done = CliRunner().invoke(app, ["run", str(FOLDER / "verify.toml"), "--scale", "toy", "--out", str(out), *words, *reuse])
    assert done.exit_code == 0, done.output
    ours, theirs = (list(read_examples(RunDir(path).stage("round-1").examples)) for path in (out, plain))
    assert [e for e in ours if e.source != "verdict"] == theirs and len(ours) > len(theirs)
    assert RunDir(out).stage("base").read_metrics()["own_stop"] and not RunDir(plain).stage("base").read_metrics()["own_stop"]


def test_a_teachers_weights_are_what_the_model_says_with_and_without_the_right_reply(runs):
    """The model that drew them, round 1's, scores each reply at both states; weights are the difference, between −2 and 2."""
    from rise.play.render import Renderer
    from rise.training.model import load_model

    run = runs("distil")
    examples = list(read_examples(run.stage("round-2").examples))
    model = run.stage("round-1").checkpoint
    net, renderer = load_model(model)[0].eval(), Renderer.load(model)
    replies = [e.reply_ids for e in examples]
    own = score(net, [e.prompt_ids for e in examples], replies, "cpu")
    told = score(net, [renderer.prompt_ids(e.teacher_prompt) for e in examples], replies, "cpu")
    assert examples
    for example, with_it, without in zip(examples, told, own, strict=True):
        expected = [max(-2.0, min(2.0, a - b)) for a, b in zip(with_it, without, strict=True)]
        assert example.token_weights == pytest.approx(expected, abs=1e-4) and example.sampled_logps == ()
        assert len(example.teacher_prompt) == len(example.prompt) + 2
    assert any(w < 0 for e in examples for w in e.token_weights) and any(w > 0 for e in examples for w in e.token_weights)


def test_compare_names_the_methods(runs):
    names = ("internalise", "multi-turn-rl")
    done = CliRunner().invoke(app, ["compare", *(str(runs(name).path) for name in names), "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    shown = [(row["label"], row["method"]) for row in json.loads(done.output)["runs"]]
    assert shown == [("internalise", "RISE, internalised"), ("multi-turn-rl", "policy gradient by turn")]


def test_the_card_of_a_checkpoint_says_how_it_was_trained(runs):
    card = (runs("score").stage("round-2").checkpoint / "README.md").read_text()
    assert "SCoRe in two stages; improved by nobody" in card
    assert "advantages within a turn, γ = 0; train.loss.name = policy-gradient" in card and "weigh.rule" not in card
