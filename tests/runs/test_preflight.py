"""What is impossible is said before any work starts, in one message that names the setting."""

import json
import re
import shutil
from pathlib import Path

import pytest
from toys import toy_recipe

from rise.errors import RiseError
from rise.method.iterate import run
from rise.policies import check_spec
from rise.runs.preflight import preflight
from rise.training.model import weights_hash


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


@pytest.mark.parametrize("kind", ["", "local:", "vllm:"])
def test_the_weights_of_a_teacher_are_part_of_a_run_whatever_serves_them(kind, tmp_path, nano_dir):
    config = own(tmp_path, nano_dir, relabel={"improver": "teacher", "teacher": f"{kind}{nano_dir}"})
    assert preflight(config).contents["relabel.teacher"] == weights_hash(nano_dir)


def test_what_may_be_a_hub_name_is_left_to_the_hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check_spec("models/smollm2")
    check_spec("http://localhost:8000/v1#m")
    (tmp_path / "models").mkdir()
    with pytest.raises(RiseError, match=r'"models/smollm2": there is no such directory'):
        check_spec("models/smollm2")


@pytest.mark.parametrize(
    ("without", "message"),
    [
        ("config.json", "holds no config.json, so it is no model directory"),
        ("model.safetensors", r"holds no weights (*.safetensors or *.bin)"),
        ("tokenizer*", "holds no tokenizer (tokenizer.json or tokenizer_config.json)"),
    ],
)
def test_a_model_directory_that_is_not_whole(without, message, tmp_path, nano_dir):
    model = Path(shutil.copytree(nano_dir, tmp_path / "model"))
    for file in model.glob(without):
        file.unlink()
    assert message in refused(own(tmp_path, model), tmp_path)


def test_a_model_without_a_chat_template(tmp_path, nano_dir):
    model = Path(shutil.copytree(nano_dir, tmp_path / "model"))
    (model / "chat_template.jinja").unlink()
    assert "has no chat template" in refused(own(tmp_path, model), tmp_path)


def test_checkpoints_that_the_disk_has_no_room_for(tmp_path, nano_dir, monkeypatch):
    """One round: its checkpoint and the unfinished training beside it, each as large as the model; half of that is free."""
    from collections import namedtuple

    n_bytes = (nano_dir / "model.safetensors").stat().st_size
    Usage = namedtuple("Usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, n_bytes))
    config = own(tmp_path, nano_dir, iterate={"rounds": 1}, train={"save_steps": 0})
    assert "Free some, give another --out, or lower iterate.rounds" in refused(config, tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, 2 * n_bytes))
    assert preflight(config, out=tmp_path / "run").missing == ()


def test_float16_is_for_measuring(tmp_path, nano_dir):
    assert 'training needs "bfloat16" or "float32"' in refused(own(tmp_path, nano_dir, model={"dtype": "float16"}), tmp_path)


def test_a_dry_run_lists_all_that_is_missing_and_a_run_refuses_the_first(tmp_path, nano_dir, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    config = own(
        tmp_path,
        nano_dir,
        deterministic=False,
        model={"path": "owner/not-cached"},
        engine={"kind": "vllm", "python": "no/python"},
        relabel={"improver": "teacher", "teacher": "https://host/v1#m"},
    )
    missing = preflight(config, list_missing=True).missing
    assert ["no/python" in text or "OPENAI_API_KEY" in text or "owner/not-cached" in text for text in missing] == [True] * 3
    assert "no/python" in refused(config, tmp_path)


def test_what_a_run_needs_is_found_once(tmp_path, nano_dir):
    ready = preflight(own(tmp_path, nano_dir, iterate={"rounds": 2}))
    assert [len(problems) for problems in ready.rounds] == [12, 12] and ready.problems(2) is ready.rounds[1]
    model = {"model.path", "model.path, tokenizer and chat template"}
    assert set(ready.contents) == {"training problems", "held-out problems"} | model
    assert len(ready.held_out) == 6 and ready.boost == () and ready.renderer is not None


# ---- models, from their files alone --------------------------------------------------------------------------------------


def spoilt(model, how):
    """A copy of a model directory of which something is not as it should be."""
    import json

    from rise.play.render import Renderer

    if how == "pointer":
        (model / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    elif how == "cut":
        data = (model / "model.safetensors").read_bytes()
        (model / "model.safetensors").write_bytes(data[: len(data) // 2])
    elif how == "tokens":
        tokenizer = Renderer.load(model).tokenizer
        tokenizer.add_special_tokens({"additional_special_tokens": ["<|one|>", "<|two|>"]})
        tokenizer.save_pretrained(model)
    elif how == "template":
        (model / "chat_template.jinja").unlink()
    elif how == "question":
        template = (model / "chat_template.jinja").read_text()
        (model / "chat_template.jinja").write_text(template.replace("<|u|>{{ m['content'] }}", "<|u|>"))
    else:
        config = json.loads((model / "config.json").read_text())
        more = {
            "quantised": {"quantization_config": {"quant_method": "gptq", "bits": 4}},
            "unknown": {"model_type": "no-such-model"},
            "translates": {"model_type": "t5"},
            "custom": {"model_type": "own", "auto_map": {"AutoConfig": "own.OwnConfig"}},
        }
        (model / "config.json").write_text(json.dumps(config | more[how]))
    return model


SPOILT = {
    "pointer": "git lfs pull",
    "cut": "cut short",
    "tokens": "embeddings",
    "template": "has no chat template",
    "question": "leaves out what is said",
    "quantised": "quantised, and cannot be read here",
    "unknown": "no-such-model",
    "translates": 'model_type = "t5" in its config.json is no causal language model',
    "custom": "RISE_TRUST_REMOTE_CODE=1",
}


@pytest.mark.parametrize("how", SPOILT)
@pytest.mark.parametrize("who", ["student", "teacher"])
def test_a_dry_run_finds_what_the_run_would_refuse_in_a_model(how, who, tmp_path, nano_dir, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda *words: pytest.fail("asked on the terminal"))
    model = spoilt(Path(shutil.copytree(nano_dir, tmp_path / "model")), how)
    teacher = {"relabel": {"improver": "teacher", "teacher": str(model)}}
    config = own(tmp_path, nano_dir, **teacher) if who == "teacher" else own(tmp_path, model)
    for listing in (True, False):
        with pytest.raises(RiseError, match=re.escape(SPOILT[how])) as caught:
            preflight(config, list_missing=listing)
        assert len(str(caught.value).splitlines()) == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("path", ["my-modle", "runs/x/checkpoint", "../none", "no:such"])
def test_a_dry_run_finds_a_model_directory_that_is_not_there(path, tmp_path, nano_dir, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = own(tmp_path, nano_dir, model={"path": path})
    with pytest.raises(RiseError, match=r"there is no such directory \("):
        preflight(config, list_missing=True)


def test_adapters_without_a_layer_are_refused_before_any_work(tmp_path, nano_dir):
    config = own(tmp_path, nano_dir, model={"lora": {"target_modules": ["query", "w1"]}})
    assert "model.lora.target_modules" in refused(config, tmp_path)
    preflight(own(tmp_path, nano_dir, model={"lora": {"target_modules": ["q_proj", "lm_head"]}}))
    nano = toy_recipe(model={"lora": {"target_modules": ["query"]}})
    assert 'write "all-linear"' in refused(nano, tmp_path)
