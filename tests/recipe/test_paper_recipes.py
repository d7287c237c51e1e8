"""The paper's recipes: each can be looked at anywhere, and each architecture goes round the whole loop in its own format."""

import itertools
import json
from pathlib import Path

import pytest
from families import make_family
from typer.testing import CliRunner

from rise.cli.main import app
from rise.recipe.toml import load_recipe, to_toml
from rise.recipe.wordings import DEMONSTRATION

PAPER = Path(__file__).resolve().parents[2] / "recipes/paper"
MODELS = {"llama-2-7b-chat": "llama-2", "mistral-7b-instruct": "mistral", "llama-3-8b-instruct": "llama-3"}
CELLS = [
    "",
    "math",
    "self",
    "teacher",
    "math,self",
    "math,teacher",
    "lora",
    "math,self,lora",
    "self,qlora",
    "fsdp2",
    "math,zero3",
    "toy",
]


def recipe(model):
    return PAPER / f"{model}.toml"


def gsm8k(directory, n=40):
    """Files of the benchmark's own format: sums whose answer is always 5."""
    directory.mkdir(parents=True)
    for file, offset in (("train", 0), ("test", 1000)):
        rows = [
            {
                "question": f"Anna has {i + offset + 5} apples and gives {i + offset} away. How many are left?",
                "answer": f"{i + offset + 5} - {i + offset} = <<{i + offset + 5}-{i + offset}=5>>5\n#### 5",
            }
            for i in range(n)
        ]
        (directory / f"{file}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return directory


@pytest.mark.parametrize(("model", "scale"), itertools.product(MODELS, CELLS))
def test_every_cell_of_the_grid_is_what_its_name_says(model, scale, tmp_path):
    config = load_recipe(recipe(model), scale=scale or None)
    names = scale.split(",")
    assert config.task.name == ("math" if "math" in names else "gsm8k")
    improver = next((n for n in names if n in ("self", "teacher")), "self" if model.startswith("llama-3") else "teacher")
    assert (config.relabel.improver, config.relabel.n_samples) == (improver, 16 if improver == "self" else 1)
    assert (config.model.lora is not None) == ("lora" in names or "qlora" in names)
    assert (config.model.lora is not None and config.model.lora.quantize == "nf4") == ("qlora" in names)
    for train in (config.train, *([config.boost.train] if config.boost.enabled else [])):
        file = {"fsdp2": "fsdp2.yaml", "zero3": "deepspeed-zero3.yaml"}.get(names[-1])
        assert (train.launcher or "").endswith(file or "") and (train.launcher is None) == (file is None)
        assert file is None or (PAPER.parent / "accelerate" / file).exists()
        assert train.masters == (names[-1] in ("", "math", "self", "teacher", "toy"))
    assert config.model.chat_format == MODELS[model] and config.boost.enabled == model.startswith("llama-2")
    (tmp_path / "resolved.toml").write_text(to_toml(config))
    assert load_recipe(tmp_path / "resolved.toml") == config


def test_what_is_known_of_the_paper_is_set_as_it_is_known():
    config = load_recipe(recipe("llama-2-7b-chat"))
    train = config.train
    assert (train.learning_rate, train.schedule, train.warmup_ratio, train.weight_decay) == (1e-5, "cosine", 0.04, 0.0)
    assert (train.batch_size, train.max_length, config.weigh.temperature) == (64, 2048, 0.4)
    assert (config.sampling.temperature, config.sampling.top_p, config.sampling.max_new_tokens) == (1.0, 1.0, 1000)
    assert (config.evaluate.turns, config.evaluate.samples, config.iterate.rounds, config.keep.rule) == (5, 5, 2, "all")
    assert config.state.feedback_text.startswith("The answer is incorrect. Please try again.")
    for path in PAPER.glob("*.toml"):  # each setting that is the paper's says how far it is
        for line in path.read_text().split("[scale.")[0].splitlines():
            if " = " in line and not line.startswith(("#", "extends", "name")) and path.stem == "common":
                section_of_ours = line.startswith(("n_validation", "also_one_turn", "line_length", "save_steps", "controls"))
                assert section_of_ours or any(mark in line for mark in ("[known]", "[recalled]", "[guessed]", "[changed]")), line


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("scale", ["teacher", "math,self"])
def test_a_dry_run_needs_nothing_and_says_what_would_be_done_and_what_is_missing(model, scale, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RISE_DATA", str(tmp_path / "none"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    done = CliRunner().invoke(app, ["run", str(recipe(model)), "--scale", scale, "--dry-run"], catch_exceptions=False)
    assert done.exit_code == 0 and list(tmp_path.iterdir()) == []
    said = done.stderr
    assert f"chat format {MODELS[model]}, bfloat16; all weights train" in said
    assert f"needed first: {load_recipe(recipe(model)).model.path}: not on this machine" in said
    assert "this gets it:" in said and "load_dataset" in said
    who = "the best of 16 replies of its own" if "self" in scale else "one reply of https://"
    assert f"1 turn on each training problem; {who}" in said
    assert ("OPENAI_API_KEY" in said) == ("teacher" in scale)
    assert f"would run in runs/paper-{model}-{scale.replace(',', '-')}" in said


def test_a_dry_run_counts_what_is_there_and_still_refuses_what_is_wrong(tmp_path):
    data = gsm8k(tmp_path / "data")
    words = ["run", str(recipe("mistral-7b-instruct")), "--dry-run", "--set", f"task.settings.path={data}"]
    words += ["--set", "task.n_train=30", "--set", "task.n_validation=1"]
    said = CliRunner().invoke(app, words, catch_exceptions=False).stderr
    assert "gsm8k: 30 to train on, 40 of test to measure on" in said
    assert "360 replies; in the last round the control too" in said  # 40 × (5 samples + 4 further turns)
    assert "2 epochs of at most 60 examples, 64 a step" in said
    refused = CliRunner().invoke(app, [*words, "--set", "task.n_train=41"])
    assert refused.exit_code == 1 and "were asked for" in str(refused.exception)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.slow
def test_each_architecture_goes_round_the_whole_loop_in_its_own_format(model, tmp_path, one_thread):
    """Random weights: nothing is learnt. That packing is exact with a sliding window or stretched angles is checked too."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base = make_family(MODELS[model], tmp_path / "base")
    script = {DEMONSTRATION["question"]: ["Step 1: 12 - 7 = 5.\nAnswer: \\boxed{5}"]}  # the first question of every state
    (tmp_path / "teacher.json").write_text(json.dumps(script))
    settings = [
        f"model.path={base}",
        f"task.settings.path={gsm8k(tmp_path / 'data')}",
        "sampling.max_new_tokens=12",
        "threads=1",
        "dataset.drop_truncated=false",
        "iterate.rounds=1",
        "relabel.n_samples=2",
        "evaluate.gold_probability=true",
    ]
    if not model.startswith("llama-3"):
        settings += [f"relabel.teacher=scripted:{tmp_path}/teacher.json"]
    words = ["run", str(recipe(model)), "--scale", "toy", "--out", str(tmp_path / "run")]
    done = CliRunner().invoke(app, [*words, *itertools.chain(*(("--set", s) for s in settings))], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    last = tmp_path / "run/round-1"
    metrics = json.loads((last / "metrics.json").read_text())
    assert metrics["m1@t1"]["n"] == 4 and metrics["gold_probability"]["by_turn"][2]["n"] == 4
    sources = json.loads((last / "dataset.json").read_text())["by_source"]
    assert sources == ({"self, not right": 8} if model.startswith("llama-3") else {"teacher, right": 8}) | {
        "student, not right": 8
    }
    checkpoint = AutoModelForCausalLM.from_pretrained(last / "checkpoint")
    assert type(checkpoint).__name__ == ("MistralForCausalLM" if model.startswith("mistral") else "LlamaForCausalLM")
    before = AutoModelForCausalLM.from_pretrained(base).state_dict()
    assert any((checkpoint.state_dict()[name] != weights).any() for name, weights in before.items())
    states = [json.loads(line) for line in (last / "examples.jsonl").read_text().splitlines()]
    read = AutoTokenizer.from_pretrained(last / "checkpoint")
    for state in states:  # what trained is what anybody's tokenizer makes of the messages with the saved template
        messages = [{"role": m["role"], "content": m["content"]} for m in state["prompt"]]
        if model.startswith("mistral"):
            messages[:2] = [{"role": "user", "content": f"{messages[0]['content']}\n\n{messages[1]['content']}"}]
        ids = read.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
        assert list(ids) == state["prompt_ids"]
