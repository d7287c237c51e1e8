"""Experiments as files: what they compare, how arms become runs, what is shared, and what is refused."""

from pathlib import Path

import pytest

from rise.errors import ConfigError
from rise.method.claims.arms import Arms, Training, next_seed
from rise.method.claims.experiment import Experiment, Laboratory, home, load_experiment, load_experiments, load_laboratory
from rise.method.claims.expression import parse
from rise.method.claims.plan import asked, make_plan
from rise.recipe.toml import validated

COMPARE = {"of": "rise:t5 - t1", "says": "gain", "matters": 0.05, "primary": True}


def experiment(**more):
    data = {"claim": 1, "title": "t", "says": "s", "source": "p", "compare": [COMPARE], "curves": ["rise"], **more}
    return validated(Experiment, data, "here")


def laboratory(**more):
    tasks = {"divisor": {"gap": True, "says": "d", "set": {"task": {"name": "divisor"}, "model": {"path": "base:divisor"}}}}
    return validated(Laboratory, {"recipe": "nano", "tasks": tasks, **more}, "lab")


def test_fourteen_claims_are_written_down_each_on_a_page():
    every = load_experiments()
    assert [e.claim for e in every] == list(range(1, 15))
    assert all(len((home() / e.file).read_text().splitlines()) < 160 for e in every)
    assert {e.claim for e in every if e.seeds >= 5} >= {1, 2, 5} and all(e.seeds >= 3 for e in every)


@pytest.mark.parametrize("scale", [None, "quick", "toy", "smol"])
def test_every_claim_can_be_planned_and_nothing_is_run_twice(scale):
    lab, every = load_laboratory().at(scale), load_experiments()
    plan = make_plan(every, lab, scale=scale, seeds={e.claim: [0] for e in every})
    for key, training in plan.trainings.items():
        for need in training.needs(plan.circle):
            assert (need.arm.name, need.seed) in plan.trainings, key
    asked_for = [(a.name, s) for e in every for a in plan.arms[e.claim]._known.values() for s in [0]]
    assert len({name for name, _ in asked_for}) <= len(plan.trainings) < len(asked_for)


def test_the_quick_run_is_smaller():
    lab, every = load_laboratory(), load_experiments()
    plans = {s: make_plan(every, lab.at(s), scale=s, seeds={e.claim: [0] for e in every}) for s in (None, "quick")}
    assert len(plans["quick"].trainings) < len(plans[None].trainings)


def test_arms_that_need_each_other_are_refused():
    arms = {"rise": {"from": "late"}, "late": {"set": {"rollout": {"policy": "{checkpoint:rise@round-1}"}}}}
    with pytest.raises(ConfigError, match="claim 1: an arm needs what is made from it: rise → late → rise"):
        Arms(experiment(arms=arms), laboratory()).bound("rise", "divisor")


def test_equal_arms_have_one_name_whatever_they_are_called():
    same = experiment(
        arms={"rise": {}, "again": {"set": {"weigh": {"temperature": 0.4}}}, "other": {"set": {"weigh": {"temperature": 1.0}}}}
    )
    arms = Arms(same, laboratory())
    assert arms.bound("rise", "divisor").name == arms.bound("again", "divisor").name
    assert arms.bound("rise", "divisor").name != arms.bound("other", "divisor").name


def test_what_an_arm_takes_over_is_in_its_name_and_its_recipe(tmp_path):
    arms = Arms(experiment(arms={"rise": {}, "flat": {"from": "rise", "set": {"weigh": {"rule": "equal"}}}}), laboratory())
    other = Arms(
        experiment(
            arms={
                "rise": {"set": {"seed": 0, "train": {"epochs": 3.0}}},
                "flat": {"from": "rise", "set": {"weigh": {"rule": "equal"}}},
            }
        ),
        laboratory(),
    )
    flat = arms.bound("flat", "divisor")
    assert flat.name != other.bound("flat", "divisor").name
    config = Training(flat, 2).config(tmp_path, [0, 1, 2])
    assert config.boost.reuse == str(tmp_path / "runs" / arms.bound("rise", "divisor").name / "seed-2")
    assert (config.seed, config.weigh.rule, config.name) == (2, "equal", flat.name)


def test_another_seeds_checkpoint_is_found_in_a_circle(tmp_path):
    arms = Arms(
        experiment(arms={"rise": {}, "off": {"set": {"rollout": {"policy": "{checkpoint:rise+1@round-1}"}}}}), laboratory()
    )
    off = Training(arms.bound("off", "divisor"), 1)
    assert [n.seed for n in off.needs([0, 1])] == [0] and [n.seed for n in off.needs([1])] == [2]
    place = tmp_path / "runs" / arms.bound("rise", "divisor").name / "seed-0" / "round-1" / "checkpoint"
    assert off.config(tmp_path, [0, 1]).rollout.policy == f"local:{place}"
    assert next_seed(2, [0, 1, 2]) == 0


def test_one_task_more_is_one_table_more():
    lab = load_laboratory()
    more = lab.model_copy(update={"tasks": {**lab.tasks, "sums": lab.tasks["divisor"].model_copy(update={"gap": False})}})
    gap = next(e for e in load_experiments() if e.claim == 12)
    tasks = {task for c, task in asked(gap, Arms(gap, more), more) if c.expects == "same"}
    assert "sums" in tasks and "divisor" not in tasks


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"compare": [{**COMPARE, "primary": False}]}, "no comparison is primary"),
        ({"compare": [{**COMPARE, "of": "rsie:t5"}]}, 'there is no arm "rsie". Did you mean "rise"'),
        ({"compare": [{**COMPARE, "of": "rise/ten:t10"}]}, 'there is no probe "ten"'),
        ({"compare": [{**COMPARE, "of": "rise:t5 - tt1"}]}, '"tt1" is no reading'),
        ({"compare": [{**COMPARE, "matters": 0}]}, "compare.0.matters = 0: "),
        ({"compare": [{**COMPARE, "expects": "less"}]}, "compare.0.expects = 'less': "),
        ({"arms": {"rise": {}, "b": {"from": "rize"}}}, 'arm "b" is from "rize", which is none. Did you mean "rise"'),
        ({"arms": {"rise": {"sett": {}}}}, 'unknown setting arms.rise.sett. Did you mean "set"'),
    ],
)
def test_a_file_that_cannot_be_is_answered_with_the_field_and_the_way_out(change, said):
    with pytest.raises(ConfigError) as error:
        experiment(**change)
    assert said in str(error.value)


def test_a_setting_that_no_recipe_has_is_named_with_its_arm():
    arms = Arms(experiment(arms={"rise": {"set": {"weigh": {"tau": 1}}}}), laboratory())
    with pytest.raises(ConfigError, match='claim 1, arm "rise" on divisor: unknown setting weigh'):
        arms.bound("rise", "divisor")


def test_no_such_file_and_no_such_claim(tmp_path):
    with pytest.raises(ConfigError, match="no such experiment"):
        load_experiment(tmp_path / "x.toml")
    with pytest.raises(ConfigError, match="--only 99: there is no such claim"):
        load_experiments(only=[99])
    with pytest.raises(ConfigError, match=r"--scale quik: the laboratory has no such scale\. Did you mean"):
        load_laboratory().at("quik")


@pytest.mark.parametrize("text", ["t5", "rise:t5-t1", "", "rise@nowhere:t5", "rise:"])
def test_a_comparison_that_is_none_is_refused(text):
    with pytest.raises(ConfigError):
        parse(text)


def test_they_lie_in_the_clone():
    assert home() == Path(__file__).resolve().parents[2] / "experiments"
