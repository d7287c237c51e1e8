"""The experiments of what came after RISE: RISE's own arm, each method as its recipe has it, what is compared, and the pages."""

import json
import re
from pathlib import Path

import pytest
from test_claims import EXPERIMENT, folder, words  # noqa: F401
from typer.testing import CliRunner

from rise.cli.main import app
from rise.errors import ConfigError
from rise.method.claims.arms import Arms, Training
from rise.method.claims.experiment import Comparison, folder_of, home, load_experiments, load_laboratory
from rise.method.claims.plan import check_probes, make_plan
from rise.recipe.toml import build_config, load_recipe, validated

ROOT = Path(__file__).resolve().parents[2]
FOLDER = home() / "beyond"
LAB, EVERY = load_laboratory(FOLDER).at(None), load_experiments(FOLDER)
METHODS = {path.stem for path in (ROOT / "recipes/beyond").glob("*.toml")}


def arms_of(experiment):
    return Arms(experiment, LAB)


def method_of(experiment):
    [name] = set(experiment.arms) - {"rise"}
    return name


def test_every_recipe_of_a_method_has_its_experiment():
    assert {method_of(e) for e in EVERY} == METHODS and [e.claim for e in EVERY] == list(range(1, len(METHODS) + 1))
    assert list(LAB.tasks) == ["divisor", "pair", "recall"] and LAB.chosen("no gap") == ["recall"]


def test_rises_arm_is_the_very_arm_of_the_claims():
    claims = Arms(load_experiments(only=[12])[0], load_laboratory().at(None))
    for experiment in EVERY:
        for task in LAB.tasks:
            assert arms_of(experiment).bound("rise", task).name == claims.bound("rise", task).name


@pytest.mark.parametrize("experiment", EVERY, ids=method_of)
def test_an_arm_is_its_recipe_in_the_laboratory_on_as_many_tokens_as_rise_from_the_same_start(experiment, tmp_path):
    name = method_of(experiment)
    arms = arms_of(experiment)
    recipe = load_recipe(f"beyond/{name}").model_dump(mode="json")
    for task in LAB.tasks:
        bound = arms.bound(name, task)
        config = Training(bound, 1).config(tmp_path, [0, 1, 2])
        start = Training(arms.bound("rise", task), 1)
        assert Training(bound, 1).needs([0, 1, 2]) == [start] and config.boost.reuse == str(start.path(tmp_path))
        assert config.iterate.match_tokens and (config.task.n_test, config.threads) == (500, 1)
        mine = config.model_dump(mode="json")
        for part in ("advantage", "distil", "weigh", "keep", "relabel", "dataset"):
            assert mine[part] == recipe[part], part
        for part in ("loss", "dpo", "optimizer", "learning_rate", "epochs", "batch_size"):
            assert mine["train"][part] == recipe["train"][part], part
        rise = build_config(arms.bound("rise", task).settings).model_dump(mode="json")
        assert {key: mine[key] for key in ("task", "model", "sampling", "reward")} == {
            key: rise[key] for key in ("task", "model", "sampling", "reward")
        }
        if config.rollout.reuse:  # allowed where RISE would draw the very same replies
            assert {**mine["rollout"], "reuse": False} == rise["rollout"] and mine["relabel"] == rise["relabel"]


@pytest.mark.parametrize("experiment", EVERY, ids=method_of)
def test_the_rate_that_an_experiment_names_is_the_one_it_trains_at(experiment):
    """A recipe that extends another takes its rate too, unless it names its own."""
    named = re.search(r"[Tt]he rate is (\S+?)[,.\s]", " ".join(experiment.remarks.split()))
    own = load_recipe(f"beyond/{method_of(experiment)}").train.learning_rate
    if own == load_recipe("nano").train.learning_rate and named is None:
        return  # RISE's own rate, which was not looked for
    assert named is not None and float(named[1]) == own


@pytest.mark.parametrize("experiment", EVERY, ids=method_of)
def test_the_comparisons_are_those_that_were_fixed(experiment):
    method = method_of(experiment)
    assert [(c.of, c.tasks) for c in experiment.compare if c.primary] == [(f"{method}:t5 - rise:t5", "gap")]
    readings = {term.reading for c in experiment.compare for term in c.expression.terms}
    assert readings == {"t1", "t5", "m1@t5", "p5@t1", "right_to_wrong", "all-tokens5"}
    against_rise = [c for c in experiment.compare if not any(place.probe for place in c.expression.places)]
    for comparison in against_rise:
        assert {p.arm for p in comparison.expression.places} == {"rise", method}
        assert sum(term.factor for term in comparison.expression.terms) == 0
    asked = {(c.of, task) for c in against_rise for task in LAB.chosen(c.tasks)}
    assert len(asked) == 6 * len(LAB.tasks)
    assert {c.of for c in experiment.compare} - {c.of for c in against_rise} == (
        {"verify:t5 - rise/asked:t5", "rise@base/asked:t5 - rise@base:t5"} if method == "verify" else set()
    )


@pytest.mark.parametrize("scale", [None, "quick", "toy"])
def test_they_can_be_planned_and_rise_is_trained_once(scale):
    lab = load_laboratory(FOLDER).at(scale)
    plan = make_plan(EVERY, lab, scale=scale, seeds={e.claim: [0, 1, 2] for e in EVERY})
    assert len(plan.trainings) == (len(METHODS) + 1) * len(lab.tasks) * 3
    n_gap = sum(task.gap for task in lab.tasks.values())
    assert len(plan.probes) == 2 * n_gap * 3  # RISE's model and the base, asked for verdicts
    check_probes(plan)


def test_a_recipe_of_an_arm_is_not_of_a_scale_with_another_recipe():
    with pytest.raises(ConfigError, match=r'arm "internalise": its recipe beyond/internalise is not of scale smol.*not_at'):
        Arms(EVERY[0], load_laboratory(FOLDER).at("smol"), "smol").bound("internalise", "arithmetic")


def test_a_folder_goes_by_path_or_by_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert (
        folder_of(None) == home()
        and folder_of(Path("beyond")) == FOLDER
        and load_laboratory(FOLDER).place == "experiments/beyond"
    )
    with pytest.raises(ConfigError, match=r"--experiments beyon: there is no beyon/laboratory\.toml\. Did you mean \"beyond\""):
        folder_of(Path("beyon"))
    (tmp_path / "beyond").mkdir()
    (tmp_path / "beyond/laboratory.toml").write_text("")
    assert folder_of("beyond") == Path("beyond")  # one of your own comes first


def test_a_laboratory_extends_another_and_takes_some_of_its_tasks(tmp_path):
    (tmp_path / "laboratory.toml").write_text('extends = "sub/laboratory.toml"\nonly = ["a"]\npages = "mine"\n')
    (tmp_path / "sub").mkdir()
    below = 'recipe = "nano"\n[tasks.b]\ngap = false\nsays = "b"\n[tasks.a]\ngap = true\nsays = "a"\n'
    (tmp_path / "sub/laboratory.toml").write_text(below)
    lab = load_laboratory(tmp_path)
    assert (lab.recipe, lab.pages, list(lab.at(None).tasks)) == ("nano", "mine", ["a"])
    (tmp_path / "sub/laboratory.toml").write_text('extends = "../laboratory.toml"\n')
    with pytest.raises(ConfigError, match="extends itself"):
        load_laboratory(tmp_path)
    for wrong, said in (('only = ["c"]', 'only = "c": there is no such task'), ('beside = ["tt5"]', '"tt5" is no reading')):
        (tmp_path / "laboratory.toml").write_text(f"{wrong}\n{below}")
        with pytest.raises(ConfigError, match=said):
            load_laboratory(tmp_path)


def test_tokens_are_compared_in_tokens_and_losses_in_nats():
    def comparison(**more):
        return validated(Comparison, {"of": "a:all-tokens5 - b:all-tokens5", "says": "s", "matters": 20, **more}, "here")

    assert comparison().unit == "tokens" and comparison(of="a:t5 - b:t5", matters=0.02).unit == "share"
    assert comparison(of="a:loss - b:loss", matters=0.01).unit == "nats"
    with pytest.raises(ConfigError, match="share and tokens cannot be added"):
        comparison(of="a:t5 - b:all-tokens5")
    with pytest.raises(ConfigError, match=r"matters = 20 is no difference of shares: write 5 points as 0\.05"):
        comparison(of="a:t5 - b:t5")


@pytest.mark.slow
def test_all_arms_stand_beside_each_other_with_what_they_cost(folder, tmp_path):  # noqa: F811
    (folder / "laboratory.toml").write_text(
        'title = "Mine"\nsays = "Two arms."\npages = "mine"\nbeside = ["t3", "right_to_wrong", "all-tokens3"]\n'
        + (folder / "laboratory.toml").read_text()
    )
    tokens = '[[compare]]\nof = "flat:all-tokens3 - rise:all-tokens3"\nsays = "tokens"\nexpects = "same"\nmatters = 20\n'
    text = EXPERIMENT.split("[probes.two]")[0] + "[[compare]]\n" + EXPERIMENT.split("[[compare]]\n")[1] + tokens
    (folder / "one.toml").write_text(
        text.replace('source = "a test"', 'source = "a test"\ncurves = ["rise@base", "rise", "flat"]')
    )
    page = tmp_path / "docs.md"
    done = CliRunner().invoke(app, words(folder, tmp_path / "out", "--seeds", "0", "--page", str(page)), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert sorted(p.name for p in (tmp_path / "out").glob("*.*")) == ["mine.html", "mine.json", "mine.md", "mine.svg"]

    found = json.loads((tmp_path / "out/mine.json").read_text())
    [side] = found["beside"]
    base, rise, flat = side["rows"]
    assert (side["task"], base["arm"], rise["arm"], flat["arm"]) == ("sums", "rise@base", "rise", "flat")
    assert base["trained_tokens"] is None and rise["trained_tokens"] > 0
    assert abs(flat["trained_tokens"] - rise["trained_tokens"]) < 60  # a reply at most
    for name in ("replies_drawn", "tokens_drawn"):
        assert flat[name] == rise[name] > 0  # trained on what the other drew
    assert len(rise["by_turn"]) == 3 and rise["by_turn"][-1]["last"] == rise["numbers"]["t3"]["by_seed"]["0"]
    run = next((tmp_path / "out/runs").glob("*/seed-0/round-1"))
    costs = json.loads((run / "metrics.json").read_text())["compute"]["sequential"]
    by_turn = rise["by_turn"] if run.parts[-3] in found["claims"][0]["arms"]["rise on sums"] else flat["by_turn"]
    assert [p["all_tokens"] for p in by_turn] == pytest.approx([e["all_tokens"] for e in costs])

    markdown, html = page.read_text(), (tmp_path / "out/mine.html").read_text()
    assert markdown.startswith("# Mine\n\nWritten by `rise claims --seeds 0 --experiments") and "Two arms." in markdown
    assert "### sums, with a gap between solving and checking" in markdown and "](docs.svg)" in markdown
    assert (tmp_path / "docs.svg").read_text().startswith("<?xml") and "tokens read and written a problem" in html
    assert f"edit `{folder.as_posix()}/`, not this page" in markdown and "m = 20" in markdown
    row = next(line for line in markdown.splitlines() if line.startswith("| tokens"))
    assert " tokens " in row.split("|")[2]
