"""The control that decides: the same improved replies trained at the first turn, from the same start, on as many tokens."""

import json
import shutil

import pytest
from toys import LastNumber, toy_recipe

from rise.dataset.example import read_examples
from rise.errors import ConfigError
from rise.evaluation.held_out import HeldOut, held_out_from_json, read_held_out, write_held_out
from rise.evaluation.metrics import measure
from rise.method.internalise import trained_rounds
from rise.method.iterate import run
from rise.recipe.config import IterateConfig
from rise.report.claims import claims, headline
from rise.report.collect import collect
from rise.runs.directory import RunDir, StageDir
from rise.runs.takeover import trained_tokens
from rise.tasks import make_task
from rise.trajectory import Turn, Verdict, to_json

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def controlled(toy_run, tmp_path_factory):
    """The toy run with the control, its boost taken over."""
    out = tmp_path_factory.mktemp("controlled") / "run"
    recipe = toy_recipe(evaluate={"internalised": True, "n_rates": 4}, boost={"reuse": str(toy_run.path)}, keep={"rule": "all"})
    return run(recipe, out)


@pytest.mark.slow
def test_a_finished_run_gets_it_and_has_then_the_files_of_one_that_had_asked_at_once(controlled, toy_run, tmp_path):
    """Also one that was stopped between its new records and its new numbers."""
    recipe = toy_recipe(evaluate={"n_rates": 4}, boost={"reuse": str(toy_run.path)}, keep={"rule": "all"})
    later = run(recipe, tmp_path / "run")
    before = later.stage("round-2").read_metrics()
    asked = recipe.model_copy(update={"evaluate": recipe.evaluate.model_copy(update={"internalised": True})})
    run(asked, later.path)
    own, whole = later.stage("round-2"), controlled.stage("round-2")
    assert own.held_out.read_bytes() == whole.held_out.read_bytes()
    assert own.read_metrics() == whole.read_metrics() != before
    own.metrics.unlink()
    run(asked, later.path)
    assert own.read_metrics() == whole.read_metrics()


def test_it_trains_the_replies_of_all_rounds_with_the_question_alone_before_them(controlled):
    rounds = [e for k in (1, 2) for e in read_examples(controlled.stage(f"round-{k}").examples)]
    control = list(read_examples(StageDir(controlled.stage("round-2").path / "internalised").examples))
    assert sorted((e.problem_id, e.reply_ids, e.weight) for e in control) == sorted(
        (e.problem_id, e.reply_ids, e.weight) for e in rounds
    )
    assert any(e.turn > 0 for e in rounds) and {e.turn for e in control} == {0}
    assert {len([m for m in e.prompt if m.role == "user"]) for e in control} == {1}
    assert not any(m.role == "assistant" for e in control for m in e.prompt)


def test_it_trains_on_as_many_tokens_and_counts_as_no_round(controlled):
    [own] = [e for e in controlled.read_log() if e.get("part") == "internalise" and "step" not in e]
    rounds = trained_tokens(controlled)
    longest = max(len(e.reply_ids) for e in read_examples(controlled.stage("round-2").examples))
    assert set(rounds) == {1, 2}
    assert sum(rounds.values()) <= own["n_trained_tokens"] < sum(rounds.values()) + 10 * longest  # whole rows
    assert [stage.name for stage in controlled.stages()][-2:] == ["round-1", "round-2"]


def test_its_first_replies_stand_in_the_last_rounds_records_and_numbers_alone(controlled):
    records = list(read_held_out(controlled.stage("round-2").held_out))
    assert {len(r.internalised) for r in records} == {2} and all(t.verdict for r in records for t in r.internalised)
    assert not any(r.internalised for r in read_held_out(controlled.stage("round-1").held_out))
    paired = {k: controlled.stage(f"round-{k}").read_metrics()["paired"]["t3-internalised"]["n"] for k in (1, 2)}
    assert paired == {1: 0, 2: 6}


def test_an_interrupted_measurement_does_not_train_it_again(controlled, tmp_path):
    copy = RunDir(shutil.copytree(controlled.path, tmp_path / "run"))
    stage = copy.stage("round-2")
    before = stage.held_out.read_bytes(), stage.metrics.read_bytes()
    stage.held_out.unlink(), stage.metrics.unlink()
    n = len(copy.read_log())
    run(toy_recipe(**_same(copy)), copy.path)
    assert (stage.held_out.read_bytes(), stage.metrics.read_bytes()) == before
    assert {e["part"] for e in copy.read_log()[n:] if "part" in e} == {"evaluate"}


def _same(copy):
    from rise.recipe.toml import load_recipe

    return load_recipe(copy.config).model_dump(mode="json")


def test_the_rates_of_the_chain_come_from_validation_problems_that_nothing_is_measured_on(controlled):
    task = make_task("arithmetic", **toy_recipe().task.settings)
    for stage in controlled.stages():
        records = list(read_held_out(stage.rates))
        assert {r.question for r in records} == {p.question for p in task.problems("validation", 4)}
        assert all(len(r.run) == 2 and not r.samples for r in records)


def test_the_chain_predicts_from_those_alone(controlled, tmp_path):
    copy = RunDir(shutil.copytree(controlled.path, tmp_path / "run"))
    stage = copy.stage("round-2")
    stage.metrics.unlink()
    # Ten problems: of four right at first one is broken, of six wrong two are repaired.
    runs = ["rr", "rr", "rr", "ra", "ar", "ar", "aa", "aa", "aa", "aa"]
    write_held_out(stage.rates, [HeldOut(str(i), "q", "r", turns(run)) for i, run in enumerate(runs)])
    run(toy_recipe(**_same(copy)), copy.path)
    found = stage.read_metrics()["chain"]
    assert [found[rate]["value"] for rate in ("ecr", "eir")] == pytest.approx([1 / 3, 1 / 4])
    # f = 4/7, and a third turn leaves 5/12 of the distance of turn 2.
    assert [e["value"] for e in found["predicted"]] == pytest.approx([0.4, 0.5, 4 / 7 - (4 / 7 - 0.5) * 5 / 12])
    assert found["split"] == "validation" and found["turns_to_serve"] == 3


def test_rounds_that_go_on_are_all_trained_and_rounds_that_start_afresh_the_last():
    assert list(trained_rounds(IterateConfig(rounds=3))) == [1, 2, 3]
    assert list(trained_rounds(IterateConfig(rounds=3, start="base"))) == [3]


@pytest.mark.parametrize("other", [{"dataset": {"internalise": "only"}}, {"iterate": {"rounds": 0}}])
def test_a_control_that_would_be_none_is_refused(other):
    with pytest.raises(ConfigError, match=r"evaluate\.internalised"):
        toy_recipe(evaluate={"internalised": True}, **other)


# --- numbers, worked out by hand --------------------------------------------------------------------------------------


def turns(letters):
    """r right, a and b wrong in two ways."""
    return tuple(Turn(c, Verdict.RIGHT if c == "r" else Verdict.WRONG, float(c == "r"), c) for c in letters)


RECORDS = [
    HeldOut("1", "q", "r", turns("aar"), turns("aa"), internalised=turns("arr")),  # first wrong, vote right
    HeldOut("2", "q", "r", turns("arr"), turns("ab"), internalised=turns("raa")),  # first right, vote wrong
    HeldOut("3", "q", "r", turns("aar"), turns("aa"), internalised=turns("aab")),
    HeldOut("4", "q", "r", turns("aab"), turns("aa"), internalised=turns("rab")),  # a tie of three: 1/3
]


def test_the_last_reply_minus_its_first_and_minus_its_vote():
    metrics = measure(RECORDS, LastNumber().same)
    # t3 = 1 1 1 0; first replies 0 1 0 1; votes 1 0 0 1/3.
    assert metrics["paired"]["t3-internalised"]["value"] == pytest.approx((1 + 0 + 1 - 1) / 4)
    assert metrics["paired"]["t3-m3-internalised"]["value"] == pytest.approx((0 + 1 + 1 - 1 / 3) / 4)
    assert [e["value"] for e in metrics["controls"]["internalised"]["accuracy_by_turn"]] == [0.5, 0.25, 0.25]


def test_records_go_to_disk_and_back():
    assert [held_out_from_json(json.loads(json.dumps(to_json(r)))) for r in RECORDS] == RECORDS


def test_without_it_a_report_says_nothing_of_it_and_with_it_the_first_sentence_names_three_controls(controlled, toy_run):
    said = {claim.question for claim in claims(collect(toy_run.path))}
    assert not any("trained at turn 1" in question for question in said)
    said = {claim.question for claim in claims(collect(controlled.path))}
    assert sum("turn 1?" in question or "of its replies?" in question for question in said) == 2
    assert headline(collect(controlled.path))
