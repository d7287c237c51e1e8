"""README.md of every checkpoint: made from the run, true to its numbers, with nothing of a machine in it."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from synthetic_run import BOOST, HOSTILE, ROUND_1, write_run
from toys import small

from rise.method.train import train_stage
from rise.play.prompt import Prompt
from rise.recipe.machines import ModelConfig
from rise.recipe.public import public_recipe
from rise.recipe.toml import load_recipe
from rise.runs.base_licence import base_licence
from rise.runs.card import checkpoint_of
from rise.runs.model_card import About, about_stage, model_card
from rise.training.weights import weights_hash


def card_of(run, stage="round-1", **changes):
    config = load_recipe(run.config)
    return model_card(about_stage(config, None, run.stage(stage)), **changes)


def test_every_checkpoint_of_a_run_carries_its_card(toy_run):
    found = sorted(path.relative_to(toy_run.path).as_posix() for path in toy_run.path.rglob("rise.json"))
    assert len(found) == 5
    for name in found:
        text = (toy_run.path / name).with_name("README.md").read_text()
        assert text.startswith("---\n") and "## Results" in text and "Not measured yet" not in text
    assert text.count("| round 2 |") == 1


def test_the_table_says_what_can_be_counted_on_paper(tmp_path):
    text = card_of(write_run(tmp_path / "run", {"boost": BOOST, "round-1": ROUND_1}))
    [row] = [line for line in text.splitlines() if line.startswith("| round 1 |")]
    # Right at turn 1: 4 of 8. Right at turn 5: 5 of 8, so + 12.5 points; an interval over eight problems holds zero.
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert [cells[1][:6], cells[-3][:6], cells[-2][:8], cells[-1]] == ["50.0 (", "62.5 (", "+12.5 (−", "8"]
    assert "**No gain shown**" in text and "**Few problems**" in text
    # Problems 3 and 4 were wrong first and right at the end, of four that were wrong first.
    assert "Of 4 problems whose first reply was wrong, 2 were right at the last turn." in text and "=42" in text


def test_before_it_is_measured_a_card_says_so(tmp_path):
    config = small()
    text = model_card(About(config, None, "round-1"))
    assert "Not measured yet." in text and "**Not measured**" in text and "## Controls" not in text


def test_the_weights_hash_does_not_depend_on_it(toy_run, tmp_path):
    there = Path(shutil.copytree(toy_run.stage("round-2").checkpoint, tmp_path / "checkpoint"))
    said = json.loads((there / "rise.json").read_text())["weights"]
    assert weights_hash(there) == said
    (there / "README.md").unlink()
    assert weights_hash(there) == said and checkpoint_of(str(there)) == str(there)  # an old checkpoint stays one


def test_a_checkpoint_whose_card_a_kill_lost_gets_it_again(toy_run, tmp_path):
    run = type(toy_run)(Path(shutil.copytree(toy_run.path, tmp_path / "run")))
    stage = run.stage("round-2")
    before = (stage.checkpoint / "README.md").read_text()
    for path in (stage.checkpoint / "README.md", stage.metrics):
        path.unlink()
    config = load_recipe(run.config)
    context = type("RunContext", (), {"config": config, "ready": type("Ready", (), {"prompt": Prompt()})})
    train_stage(context, stage, stage.checkpoint, config.train)
    assert "## Results" in (stage.checkpoint / "README.md").read_text() != before


@pytest.mark.slow
def test_the_program_of_the_card_runs(toy_run):
    text = (toy_run.stage("round-2").checkpoint / "README.md").read_text()
    [program] = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    program = program.replace("this-folder", str(toy_run.stage("round-2").checkpoint)).replace("…", "1+2")
    assert len(program.splitlines()) == 5
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.strip(), done.stderr[-2000:]


def test_no_path_address_or_machine_of_the_recipe_is_in_it(tmp_path):
    base = tmp_path / "secret-home" / "bases" / "my-base"
    config = small(
        model={"nano": None, "path": str(base)},
        relabel={"improver": "teacher", "teacher": "http://build-7.corp.example:8000/v1#org/teacher"},
        http={"key": "CORP_KEY"},
        boost={"reuse": str(tmp_path / "secret-home/runs/other")},
    )
    text = model_card(About(config, None, "round-1")) + json.dumps(public_recipe(config))
    assert "my-base" in text and "an endpoint#org/teacher" in text
    for hidden in (str(tmp_path), "secret-home", "corp.example", "CORP_KEY", "8000"):
        assert hidden not in text, hidden


def test_a_folder_called_like_a_hubs_model_is_told_by_what_the_run_found_and_not_from_where_a_reader_stands(
    tmp_path, monkeypatch
):
    (tmp_path / "Qwen").mkdir()
    monkeypatch.chdir(tmp_path)  # where a folder is called as an owner at the hub, and models/smollm2 is not
    for path, known, base, says in (
        ("models/smollm2", {"model.path": "0123456789ab"}, "smollm2", None),
        ("Qwen/Qwen2.5-0.5B", {"held-out problems": "0123456789ab"}, "Qwen/Qwen2.5-0.5B", 'base_model: "Qwen/Qwen2.5-0.5B"'),
    ):
        run = write_run(tmp_path / base.replace("/", "-"), {"round-1": ROUND_1})
        run.config.write_text(run.config.read_text().replace("[model.nano]\nhidden = 8", f'[model]\npath = "{path}"'))
        run.provenance.write_text(json.dumps({"contents": known}))
        text = card_of(run)
        assert f"- **Base**: {base}\n" in text and ("base_model" in text) == (says is not None) and (says or "") in text
        assert public_recipe(load_recipe(run.config), run.contents)["model"]["path"] == base


def test_settings_that_are_always_paths_are_shortened_wherever_they_are_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # none of them is here
    config = small(
        task={
            "name": "jsonl",
            "settings": {"path": "data/problems", "test_path": "hub:org/name", "judge": "mine/judge.py:right"},
        },
        boost={"reuse": "runs/other"},
        state={"feedback": "/scratch/ada/fb.py:f"},
        rollout={"policy": "scripted:replies/canned.jsonl"},
    )
    shown = public_recipe(config)
    assert [shown["task"]["settings"][name] for name in ("path", "test_path", "judge")] == [
        "problems",
        "hub:org/name",
        "judge.py:right",
    ]
    assert (shown["boost"]["reuse"], shown["state"]["feedback"]) == ("other", "fb.py:f")
    assert shown["rollout"]["policy"] == "scripted:canned.jsonl"


def test_the_words_between_turns_hold_no_path(tmp_path):
    run = write_run(tmp_path / "run", {"round-1": ROUND_1})
    run.config.write_text(run.config.read_text() + '\n[state]\nfeedback = "/scratch/ada/fb.py:f"\n')
    text = card_of(run)
    assert "- **Between turns**: fb.py:f; it " in text and "scratch" not in text


def test_the_licence_that_a_base_stated_stays_where_the_base_is_out_of_sight(tmp_path, monkeypatch):
    run = write_run(tmp_path / "run", {"round-1": ROUND_1})
    run.config.write_text(run.config.read_text().replace("[model.nano]\nhidden = 8", '[model]\npath = "models/smollm2"'))
    checkpoint = run.stage("round-1").checkpoint
    checkpoint.mkdir()
    (checkpoint / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    monkeypatch.chdir(checkpoint)
    assert "license: apache-2.0" in card_of(run) and "states apache-2.0" in card_of(run)


def test_what_a_model_wrote_is_no_markup(tmp_path):
    text = card_of(write_run(tmp_path / "run", hostile=True))
    assert "\x1b" not in text
    assert HOSTILE.replace("\x1b", "␛") in text.split("```text\n")[1]  # fenced, and so shown as it is


@pytest.mark.parametrize(
    ("card", "key", "says"),
    [
        ("---\nlicense: MIT\ntags: [a]\n---\n# A base", "mit", "states mit"),
        ("\ufeff---\nlicense: MIT\n---\n# A base", "mit", "states mit"),
        ("# A base without front matter\nlicense: mit", None, "states no licence"),
        (None, None, "states no licence"),
    ],
)
def test_the_licence_of_the_base_is_what_its_own_card_states(card, key, says, tmp_path):
    if card:
        (tmp_path / "README.md").write_text(card)
    found = base_licence(ModelConfig(path=str(tmp_path)))
    assert found.key == key and says in found.words and str(tmp_path) not in found.words


def test_the_licence_of_a_base_that_comes_with_rise_and_of_none():
    assert base_licence(ModelConfig(path="base:divisor")).key == "apache-2.0"
    assert base_licence(small().model).key is None
    assert base_licence(small().model, "cc-by-4.0").key == "cc-by-4.0"


def test_a_hub_base_is_named_where_hubs_look_for_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = small(model={"nano": None, "path": "Qwen/Qwen2.5-0.5B-Instruct"})
    assert 'base_model: "Qwen/Qwen2.5-0.5B-Instruct"' in model_card(About(config, None, "round-1"))


def test_a_card_names_the_base_and_the_problems_as_a_stranger_would_ask_for_them():
    config = small(model=ModelConfig(path="base:divisor"))
    settings = {"path": "runs/x/problems.csv", "judge": "mine.py:right"}
    config = config.model_copy(update={"task": config.task.model_copy(update={"name": "jsonl", "settings": settings})})
    text = model_card(About(config, None, "round-1"))
    assert "- **Base**: divisor, a nano Llama that comes with rise" in text and "base:" not in text
    assert "- **Task**: jsonl, problems.csv; its judge" in text and "The base, divisor, comes with rise" in text
    assert "rise serve this-folder --set judge=exact  #" in text  # its own judge's code is not sent along
