"""What is impossible is said before any work starts, in one message that names the setting."""

import json
import re

import pytest
from toys import toy_recipe

from rise.errors import RiseError
from rise.method.iterate import run
from rise.runs.preflight import check_spec


def own(tmp_path, nano_dir, **overrides):
    """Twenty problems of one's own and a model directory."""
    file = tmp_path / "problems.jsonl"
    file.write_text("".join(json.dumps({"question": f"{i}+1", "gold": str(i + 1)}) + "\n" for i in range(20)))
    settings = {"train_path": str(file), "test_path": str(file)}
    base = {"task": {"name": "jsonl", "settings": settings}, "boost": {"enabled": False}, "model": {"path": str(nano_dir)}}
    recipe = toy_recipe().model_dump()
    recipe["task"] = {"n_train": 12, "n_test": 6}
    recipe["model"] = {}
    from rise.recipe.toml import build_config, merged

    return build_config(merged(merged(recipe, base), overrides))


def refused(config, tmp_path):
    with pytest.raises(RiseError) as caught:
        run(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    return str(caught.value)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"train": {"schedule": "cosin"}}, 'train.schedule = "cosin" is none of transformers. Did you mean "cosine"?'),
        ({"boost": {"train": {"schedule": "linea"}}}, 'boost.train.schedule = "linea"'),
        ({"train": {"arguments": {"adam_beta3": 1}}}, "train.arguments.adam_beta3 is no field of transformers.TrainingArguments"),
        (
            {"boost": {"train_multi_turn": {"arguments": {"seed": 1}}}},
            "boost.train_multi_turn.arguments.seed is refused: set seed",
        ),
        ({"relabel": {"improver": "teacher", "teacher": "lokal:x"}}, 'relabel.teacher = "lokal:x" names no kind of policy'),
        ({"relabel": {"improver": "teacher", "teacher": "local:no/such/run"}}, "there is no such directory"),
        ({"relabel": {"improver": "teacher", "teacher": "scripted:none.json"}}, "there is no file none.json"),
        ({"relabel": {"improver": "teacher", "teacher": "http://h/v1"}}, "names no model"),
        ({"boost": {"reuse": "runs/none"}}, 'boost.reuse = "runs/none" is no run directory'),
        (
            {"rollout": {"problems": "fresh"}, "task": {"n_train": 40}, "iterate": {"rounds": 3}},
            'round 2 of 3: rollout.problems = "fresh", but task arithmetic: no new question',
        ),
    ],
)
def test_a_setting_that_would_have_stopped_a_later_stage(overrides, message, tmp_path):
    assert message in refused(toy_recipe(**overrides), tmp_path)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"model": {"path": "./no-model"}}, 'model.path = "./no-model": there is no such directory'),
        ({"model": {"gguf_file": "none.gguf"}}, 'model.gguf_file = "none.gguf", but there is no'),
        ({"relabel": {"improver": "gold"}}, 'relabel.improver = "gold" gives worked solutions, but 12 of 12 problems have none'),
        ({"boost": {"enabled": True, "n_problems": 5}}, "boost.enabled = true trains on worked solutions, but 5 of 5"),
        ({"boost": {"enabled": True, "n_problems": 10, "disjoint": True}}, "boost.n_problems (the rounds take theirs behind"),
        (
            {"boost": {"enabled": True, "n_problems": 20, "disjoint": True}, "task": {"n_train": "all"}},
            "no training problem for the rounds: boost.n_problems = 20 takes all; lower it, or set boost.disjoint = false",
        ),
    ],
)
def test_own_problems_and_models(overrides, message, tmp_path, nano_dir):
    assert message in refused(own(tmp_path, nano_dir, **overrides), tmp_path)


def test_lora_without_peft(tmp_path, nano_dir, monkeypatch):
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "peft" else real(name, *rest))
    assert "needs the package peft" in refused(own(tmp_path, nano_dir, model={"lora": {}}), tmp_path)


def test_a_possible_recipe_passes(tmp_path, nano_dir):
    run(own(tmp_path, nano_dir, iterate={"rounds": 0}, task={"n_test": 2}), tmp_path / "run")


def test_all_problems_for_the_boost_when_it_may_share_them():
    assert toy_recipe(boost={"n_problems": "all", "disjoint": False}).boost.n_problems == "all"
    with pytest.raises(RiseError, match=re.escape('boost.n_problems = "all" leaves no problem for the rounds')):
        toy_recipe(boost={"n_problems": "all", "disjoint": True})


def test_what_may_be_a_hub_name_is_left_to_the_hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check_spec("models/smollm2")
    check_spec("http://localhost:8000/v1#m")
    (tmp_path / "models").mkdir()
    with pytest.raises(RiseError, match=r'"models/smollm2": there is no such directory'):
        check_spec("models/smollm2")
