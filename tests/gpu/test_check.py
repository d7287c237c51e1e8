"""The check of a GPU, as far as none is needed: what travels, what it is made of, and every unit at a toy's size."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benchmarks" / "gpu"))

import check  # noqa: E402
import prepare  # noqa: E402
import shapes  # noqa: E402
import svamp  # noqa: E402
import table  # noqa: E402
import units  # noqa: E402

from rise.training.rows import make_rows  # noqa: E402


def test_a_chain_of_turns_is_one_row_and_half_of_it_trains():
    """Three turns a problem, each prompt the one before and more: one row a problem, as long as the last turn's."""
    data = shapes.examples(20_000, 1000)
    rows = make_rows(data, per="token", merge=True)
    assert len(rows) * 3 == len(data) and all(row.n_examples == 3 for row in rows)
    assert 0.4 < sum(row.n_trained for row in rows) / sum(len(row.ids) for row in rows) < 0.9
    assert max(len(row.ids) for row in rows) <= 2048


@pytest.mark.parametrize(("name", "billions"), [("smollm2", 0.135), ("1b", 1.24), ("8b", 8.03)])
def test_the_shapes_are_as_large_as_their_models(name, billions):
    """SmolLM2-135M, Llama-3.2-1B and Llama-3-8B; counted from the shape, and by transformers from its configuration."""
    import torch
    from transformers import LlamaForCausalLM

    shape = shapes.SHAPES[name]
    with torch.device("meta"):
        net = LlamaForCausalLM(shape.config())
    assert sum(p.numel() for p in net.parameters()) == shape.n_parameters
    assert shape.n_parameters / 1e9 == pytest.approx(billions, rel=0.005)


def test_a_worked_solution_ends_in_its_own_check():
    assert svamp.worked("- 9 4", "5") == "9 - 4 = 5\nCheck: 5 + 4 = 9\n#### 5"
    assert svamp.worked("/ 7 2", "3.5") == "7 / 2 = 3.5\nCheck: 3.5 * 2 = 7\n#### 3.5"
    assert svamp.worked("+ 1", "1") is None and svamp.worked("5", "5") is None and svamp.worked("/ 1 0", "0") is None


def test_svamps_rows_become_three_files_and_no_test_question_trains(tmp_path):
    row = {"question": "Tom has 3 cats and buys 4. How many?", "answer": "7", "equation": "+ 3 4"}
    rows = [{**row, "question": f"{row['question']} {i}"} for i in range(svamp.N_VALIDATION + 5)]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(r) + "\n" for r in [*rows, {**row, "question": "Tom? How many?"}]))
    (tmp_path / "svamp.json").write_text(json.dumps([{"Body": "Tom?", "Question": "How many?", "Answer": 7.0}]))
    assert svamp.write(tmp_path, tmp_path / "out") == {"train": 5, "validation": 300, "test": 1, "left out": 0}
    assert json.loads((tmp_path / "out/svamp-test.jsonl").read_text()) == {"question": "Tom? How many?", "gold": "7"}


def test_what_is_missing_there_is_what_rise_needs_less_what_is_there():
    """All of rise's needs, and theirs: pydantic's core comes along, torch and what it needs never does."""
    found = {word.partition("==")[0] for word in prepare.needed(prepare.THERE.split(), prepare.wanted())}
    assert {"pydantic", "pydantic-core", "typing-extensions", "math-verify", "rich", "typer", "gguf", "peft"} <= found
    assert not found & set(prepare.THERE.split())
    assert prepare.needed(["typer"], ["typer"]) == []


def test_the_model_travels_in_two_parts_and_is_whole_again(tmp_path, monkeypatch):
    monkeypatch.setattr(prepare, "BUILD", tmp_path)
    monkeypatch.setattr(prepare, "PART_1", 30)
    (tmp_path / "m.gguf").write_bytes(b"GGUFabc" * 100)
    prepare.split_model(tmp_path / "m.gguf")
    first, second = prepare.model_parts()
    assert first.stat().st_size == 30 and 0 < second.stat().st_size < 700
    assert prepare.join_model().read_bytes() == b"GGUFabc" * 100
    (tmp_path / "smollm2.gguf").unlink()
    second.unlink()
    assert prepare.join_model() is None
    shown = prepare.calls()
    assert "carry: build/gpu/model-1 " in shown and "TOO MUCH" not in shown
    named = re.findall(r"'([^']+)'", shown)
    assert "real words 0" in named and set(named) <= {unit.name for unit in check.UNITS}


def test_what_is_done_is_kept_and_what_failed_is_tried_again(tmp_path):
    results = check.Results(tmp_path / "results.json", None)
    results.put("a", {"tokens_per_s": 1})
    results.put("b", {"failed": "not done after 3 s"})
    again = check.Results(tmp_path / "out.json", tmp_path / "results.json")
    assert again.has("a") and not again.has("b") and not again.has("c")


def test_a_unit_that_does_not_end_is_ended_and_what_it_found_is_kept(tmp_path, monkeypatch):
    """A unit that writes a number, starts a child, and sleeps: both are gone after a second, the number stays."""
    (tmp_path / "units.py").write_text(
        "import subprocess, sys, time\nfile = sys.argv[sys.argv.index('--out') + 1]\n"
        "child = subprocess.Popen(['sleep', '60'])\nopen(file, 'w').write('{\"first\": %d}' % child.pid)\ntime.sleep(60)\n"
    )
    monkeypatch.setattr(check, "HERE", tmp_path)
    found = check.run(check.Unit("tests", "slow", 3.0), tmp_path, 3.0, None, toy=True)
    assert found["failed"] == "not done after 3 s" and found["seconds"] < 10
    state = Path(f"/proc/{found['first']}/stat")
    deadline = time.monotonic() + 60
    while state.exists() and state.read_text().split()[2] != "Z":  # a killed process takes its time to go
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.slow
def test_tests_that_were_not_all_run_are_a_failure_of_the_unit(tmp_path, monkeypatch):
    """A test that fails is a number like others; where pytest itself ends (4: no such folder) there are none to be trusted."""
    monkeypatch.setattr(units, "ROOT", tmp_path)
    with pytest.raises(SystemExit, match="pytest ended with 4"):
        units.tests([], True, lambda found: None)
    folder = tmp_path / "tests" / "gpu"
    folder.mkdir(parents=True)
    (folder / "test_two.py").write_text("def test_number_one(): pass\ndef test_number_two(): assert False\n")
    found = units.tests([], True, lambda found: None)
    assert (found["n_passed"], found["n_failed"], len(found["not passed"])) == (1, 1, 1)


@pytest.mark.slow
def test_a_unit_that_cannot_be_begun_in_time_is_skipped_and_all_are_known(tmp_path):
    command = [sys.executable, str(ROOT / "benchmarks/gpu/check.py"), "--out", str(tmp_path), "--toy", "--budget", "0"]
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
    found = json.loads((tmp_path / "results.json").read_text())
    assert found["machine"]["toy"] and set(found) == {"machine", *(unit.name for unit in check.UNITS)}
    assert all("skipped" in found[unit.name] for unit in check.UNITS)


@pytest.mark.parametrize("name", ["train 1b ours, compiled", "train 8b ours, compiled", "generate 8b captured"])
@pytest.mark.slow
def test_a_unit_at_a_toys_size(name, tmp_path):
    """In a process of its own, as the check runs it. The whole check: `benchmarks/gpu/check.py --toy`."""
    unit = next(unit for unit in check.UNITS if unit.name == name)
    found = check.run(unit, tmp_path, 300.0, None, toy=True)
    assert "failed" not in found, found
    assert found["tokens_per_s"] > 0
    if unit.part == "generate":
        assert found["way"] == "CapturedBatch" and found["rows"] == 4
    else:
        assert found["steps"] == 3 and found["attention"] == "rise_varlen" and found["adapters"] == ("8b" in name)


def test_the_recipe_of_the_real_run_loads_at_both_scales_and_its_problems_suffice():
    from rise.recipe.toml import load_recipe

    for scale in (None, "toy"):
        config = load_recipe(ROOT / "recipes/gpu/svamp.toml", scale=scale)
        assert config.engine.captured and config.rollout.problems == "fresh"
    full = load_recipe(ROOT / "recipes/gpu/svamp.toml")
    assert full.task.n_test >= 600
    n = full.boost.n_problems + full.iterate.rounds * full.task.n_train
    assert n <= 2602  # what svamp.py makes of the authors' 2,961


def test_the_page_has_the_table_of_the_results():
    assert (ROOT / "docs/performance.md").read_text() == table.page(), "run python benchmarks/gpu/table.py"


def test_only_what_a_card_measured_stands_in_the_table(tmp_path, monkeypatch):
    """A toy's numbers never do; of two results the later one does; a unit that failed says how, where it never succeeded."""
    monkeypatch.setattr(table, "RESULTS", tmp_path)
    card = {"card": "H100", "date": "2026-11-30", "torch": "2.11.0", "toy": False}
    for name, rate, machine in (
        ("1", 10, card),
        ("2", 20, card),
        ("3", 30, {**card, "toy": True}),
        ("4", 40, {**card, "card": None}),
    ):
        found = {"machine": machine, "train 1b ours": {"tokens_per_s": rate}, "tests": {"failed": "not done after 3 s"}}
        found |= {"train 8b trl": {"tokens_per_s": rate, "failed": "no memory"}} if name == "2" else {}
        (tmp_path / f"{name}.json").write_text(json.dumps(found))
    shown = table.table()
    assert "| train 1b ours | – | 20 tokens/s | H100, 2026-11-30, torch 2.11.0 |" in shown
    assert "| tests | – | **not done after 3 s** |" in shown and "| train 8b trl | – | **no memory**; 20 tokens/s |" in shown
    assert "| train 1b trl | ours ≥ 1.5 × TRL | **not run** |" in shown
