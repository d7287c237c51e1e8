"""The method from Python: ten lines, in a running loop too, with a function, a model on disk, and a run read as tables."""

import asyncio
import importlib.util
import re
from pathlib import Path

import pytest
from toys import toy_recipe

import rise
from rise.errors import ConfigError, DataError, ModelError

ROOT = Path(__file__).resolve().parents[2]
SUMS = [{"question": f"{a}+{b}", "gold": str(a + b)} for a in range(6) for b in range(6)]


def adds(messages):
    """Right when it is asked a second time."""
    a, b = messages[0]["content"].split("+")
    return f"#### {int(a) + int(b) + (len(messages) == 1)}"


@pytest.fixture
def task():
    return rise.load_task({"train": SUMS[:24], "test": SUMS[24:]}, judge="math", instructions=None)


def test_a_function_is_a_policy_and_every_stage_takes_it(task):
    student = rise.load_policy(adds)
    attempts = rise.rollout(student, task, n=6, feedback="neutral")
    assert [t.turns[0].right for t in attempts] == [False] * 6  # one too many at the first turn
    improved = rise.relabel(student, task, attempts, n_samples=2)
    assert [item.reply.right for item in improved] == [True] * 6
    examples = rise.build_examples(task, attempts, improved, temperature=0.4)
    # exp(0 / 0.4) = 1 for each wrong reply, exp(1 / 0.4) = 12.18 for each right one.
    assert sorted({round(e.weight, 2) for e in examples}) == [1.0, 12.18]
    assert len(examples) == 12
    found = rise.evaluate(student, task, n=12, turns=3, samples=2, feedback="neutral")
    assert [e["value"] for e in found.metrics["accuracy_by_turn"]] == [0.0, 1.0, 1.0]
    assert "12 problems, 3 turns, 2 samples" in str(found) and "right by turn, %: 0.0  100.0  100.0" in found.table()


def test_a_model_on_disk_trains_and_the_new_checkpoint_is_the_policy(task, nano_dir, tmp_path, one_thread):
    student = rise.load_policy(nano_dir, batch_size=8)
    attempts = rise.rollout(student, task, n=4, max_new_tokens=6, feedback="neutral", feedback_text="?")
    improved = rise.relabel(student, task, attempts, n_samples=2)
    examples = rise.build_examples(task, attempts, improved, drop_truncated=False)
    new = rise.train(student, examples, tmp_path / "round-1", epochs=1, learning_rate=1e-3)
    assert (tmp_path / "round-1" / "model.safetensors").read_bytes() != (nano_dir / "model.safetensors").read_bytes()
    assert rise.evaluate(new, task, n=2, turns=2, samples=2, max_new_tokens=6).metrics["m1@t1"]["n"] == 2


def test_it_works_inside_a_running_loop_as_in_a_notebook(task):
    async def cell():
        return rise.rollout(rise.load_policy(adds), task, n=2)

    assert len(asyncio.run(cell())) == 2


def test_a_ledger_on_disk_is_asked_first(task, tmp_path):
    asked = []

    def counted(messages):
        asked.append(messages)
        return adds(messages)

    policy = rise.load_policy(counted)
    for _ in range(2):
        rise.rollout(policy, task, n=3, ledger=tmp_path / "ledger.jsonl")
    assert len(asked) == 3


def test_what_is_wrong_is_said_with_the_way_out(task, tmp_path):
    with pytest.raises(ConfigError, match=r"unknown setting 'temprature'. Did you mean \"temperature\""):
        rise.rollout(rise.load_policy(adds), task, n=1, temprature=1.0)
    with pytest.raises(ConfigError, match="has no weights to train"):
        rise.train(rise.load_policy(adds), [], tmp_path / "out")
    with pytest.raises(ModelError, match="there is no such directory"):
        rise.load_policy("./nowhere")
    with pytest.raises(DataError, match="is no run directory"):
        rise.load(tmp_path)
    with pytest.raises(ConfigError, match=r'nanoo: no such recipe. Did you mean "nano"'):
        rise.run("nanoo")


def test_a_whole_run_and_its_tables(toy_run):
    pandas = pytest.importorskip("pandas")
    run = rise.load(toy_run.path)
    turns, metrics, examples = run.turns(), run.metrics(), run.examples()
    assert all(isinstance(table, pandas.DataFrame) for table in (turns, metrics, examples))
    # Six problems over three turns in each of base, two boosts and two rounds.
    held_out = turns[turns.kind == "run"]
    assert held_out.groupby("stage").size().to_dict() == dict.fromkeys(run.stages, 18)
    value = metrics.set_index(["stage", "metric"]).value
    first = held_out[(held_out.stage == "round-2") & (held_out.turn == 1)]
    assert value["round-2", "m1@t1"] == pytest.approx(first.right.mean())
    assert set(examples.stage) == {"boost-one-turn", "boost", "round-1", "round-2"}
    assert run.plot_turns()._repr_svg_().count("<svg") == 1


def test_run_takes_a_recipe_record(tmp_path, untrained, one_thread):
    config = toy_recipe(boost={"enabled": False}, task={"n_train": 2, "n_validation": 2, "n_test": 2})
    run = rise.run(config, out=tmp_path / "run", iterate={"rounds": 1})
    assert run.stages == ["base", "round-1"]


def test_one_page_holds_the_method_and_its_model_learns_to_correct_itself():
    path = ROOT / "examples" / "one_page.py"
    assert len(path.read_text().splitlines()) <= 125
    spec = importlib.util.spec_from_file_location("one_page", path)
    page = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(page)
    base, *_, last = page.main(n=400)
    assert abs(base[4] - base[0]) < 0.15  # asked again, the base does no better
    assert last[4] - last[0] > 0.03 and last[4] > base[4] + 0.25
    assert re.search(r"examples/one_page\.py", (ROOT / "README.md").read_text())
