"""DPO through TRL itself. Opt-in by having it: `pip install '.[dpo]'`; without it, what a user is told."""

import importlib.util
import math
from dataclasses import replace
from pathlib import Path

import pytest
from toys import problem, small

from rise.dataset.example import Example
from rise.errors import ConfigError, DataError
from rise.policies.scoring import score
from rise.recipe.config import TrainConfig
from rise.recipe.learning import DpoConfig
from rise.training import train
from rise.training.arguments import check_arguments
from rise.trajectory import Message, Verdict

HERE = importlib.util.find_spec("trl") is not None
needs_trl = pytest.mark.skipif(not HERE, reason="trl is not installed: pip install '.[dpo]'")
pytestmark = pytest.mark.usefixtures("one_thread")

P = problem("p")
CONFIG = TrainConfig(
    dpo=DpoConfig(beta=0.5), epochs=4, batch_size=4, learning_rate=1e-2, warmup_ratio=0, schedule="constant", max_grad_norm=0
)


def pair(renderer, right, wrong, question="2+2"):
    prompt = (Message("user", question),)
    ids = renderer.prompt_ids(prompt), renderer.reply_ids(prompt, right)
    about = (P.id, 0, prompt, right, "self", 1.0, 1.0)
    return Example(*about, *ids, verdict=Verdict.RIGHT, rejected=wrong, rejected_ids=renderer.reply_ids(prompt, wrong))


def logp(path, example, reply_ids):
    from rise.training.model import load_model

    net = load_model(path)[0].eval()
    [tokens] = score(net, [example.prompt_ids], [reply_ids], "cpu")
    return sum(tokens)


@needs_trl
def test_the_right_reply_rises_against_the_wrong_one(nano_dir, renderer, tmp_path):
    pairs = [pair(renderer, "4", "5"), pair(renderer, "9", "77", "3*3")]
    told = []
    counts = train(pairs, nano_dir, tmp_path / "out", CONFIG, on_log=told.append)
    for one in pairs:
        before = logp(nano_dir, one, one.reply_ids) - logp(nano_dir, one, one.rejected_ids)
        after = logp(tmp_path / "out", one, one.reply_ids) - logp(tmp_path / "out", one, one.rejected_ids)
        assert after > before + 0.5
    trained = sum(len(one.reply_ids) + len(one.rejected_ids) for one in pairs)
    assert counts["n_steps"] == 4 and counts["n_trained_tokens"] == 4 * trained == 4 * (2 + 2 + 2 + 3)
    assert not (tmp_path / "out.training").exists()


@needs_trl
def test_its_first_step_costs_log_two_and_goes_as_the_formula_says(nano_dir, renderer, tmp_path):
    """DPO eq. 7 with model = reference: −log σ(0) = log 2. A step of plain descent moves a weight by lr · β/2 times the gradient
    of log π(right) − log π(wrong)."""
    import torch

    from rise.training.model import load_model

    one = pair(renderer, "4", "5")
    told = []
    descent = {"optim": "sgd", "logging_steps": 1}
    config = CONFIG.model_copy(update={"epochs": 1, "learning_rate": 0.1, "arguments": descent})
    train([one], nano_dir, tmp_path / "out", config, on_log=told.append)
    assert told[0]["loss"] == pytest.approx(math.log(2), abs=1e-4)
    net, trained = load_model(nano_dir)[0], load_model(tmp_path / "out")[0]
    gap = 0
    for reply, sign in ((one.reply_ids, 1), (one.rejected_ids, -1)):
        ids = torch.tensor([[*one.prompt_ids, *reply]])
        logps = net(ids).logits[0, :-1].log_softmax(-1)
        n = len(one.prompt_ids)
        gap = gap + sign * sum(logps[n - 1 + i, token] for i, token in enumerate(reply))
    gap.backward()
    for (name, before), after in zip(net.named_parameters(), trained.parameters(), strict=True):
        expected = before + 0.1 * 0.5 / 2 * (0 if before.grad is None else before.grad)
        assert torch.allclose(after, expected, atol=2e-6), name


@needs_trl
def test_no_step_of_the_warm_up_is_lost(nano_dir, renderer, tmp_path):
    """A share of 0.04 of one step or two is one step of warming up, which has half the rate of 0.01; what costs log 2 before it
    costs less after it."""
    changes = {"schedule": "cosine", "warmup_ratio": 0.04, "arguments": {"logging_steps": 1}}
    for n_steps in (1, 2):
        told = []
        config = CONFIG.model_copy(update=changes | {"epochs": n_steps})
        train([pair(renderer, "4", "5")], nano_dir, tmp_path / str(n_steps), config, on_log=told.append)
        assert [log["learning_rate"] for log in told] == pytest.approx([0.005, 0.01][:n_steps])
    assert told[0]["loss"] == pytest.approx(math.log(2), abs=1e-4) and told[1]["loss"] < math.log(2) - 0.01


@needs_trl
def test_as_many_tokens_as_another_run(nano_dir, renderer, tmp_path):
    """9 tokens an epoch of two pairs: 18 are two epochs of one step each."""
    pairs = [pair(renderer, "4", "5"), pair(renderer, "9", "77", "3*3")]
    counts = train(pairs, nano_dir, tmp_path / "out", CONFIG.model_copy(update={"trained_tokens": 18}))
    assert (counts["n_steps"], counts["n_trained_tokens"]) == (2, 18)


@needs_trl
@pytest.mark.parametrize(("wanted", "steps"), [(13, 1), (14, 2), (2, 1)])
def test_tokens_are_those_of_the_steps_that_were_taken(wanted, steps, nano_dir, renderer, tmp_path):
    """A step is both pairs, 9 tokens. 13 are 1.44 steps, so one, of 9 tokens; 14 are 1.56, so two, of 18; never none."""
    pairs = [pair(renderer, "4", "5"), pair(renderer, "9", "77", "3*3")]
    counts = train(pairs, nano_dir, tmp_path / "out", CONFIG.model_copy(update={"trained_tokens": wanted}))
    assert (counts["n_steps"], counts["n_trained_tokens"]) == (steps, 9 * steps)


@needs_trl
def test_a_rejected_reply_of_another_tokenizer_is_refused_as_a_preferred_one_is(nano_dir, renderer, tmp_path):
    one = replace(pair(renderer, "4", "5"), rejected_ids=(10**6,))
    with pytest.raises(DataError, match="hold token id 1,000,000"):
        train([one], nano_dir, tmp_path / "out", CONFIG)


@needs_trl
def test_an_example_that_is_no_pair_is_refused(nano_dir, renderer, tmp_path):
    one = pair(renderer, "4", "5")
    alone = Example(
        *(getattr(one, name) for name in ("problem_id", "turn", "prompt", "reply", "source", "reward", "weight")), (1,), (2,)
    )
    with pytest.raises(DataError, match=r"problem p, turn 0 is no pair"):
        train([alone], nano_dir, tmp_path / "out", CONFIG)


@needs_trl
@pytest.mark.slow
def test_a_round_of_the_laboratory_trains_pairs(tmp_path):
    from rise.dataset.example import read_examples
    from rise.method.iterate import run
    from rise.recipe.toml import load_recipe

    recipe = Path(__file__).resolve().parents[2] / "recipes" / "beyond" / "dpo.toml"
    tiny = ["task.n_train=24", "task.n_test=4", "evaluate.n_rates=0", "evaluate.turns=2", "evaluate.samples=2"]
    config = load_recipe(recipe, scale="toy", overrides=[*tiny, "evaluate.controls=none", "iterate.rounds=1"])
    stage = run(config, tmp_path / "run").stage("round-1")
    examples = list(read_examples(stage.examples))
    assert examples and all(e.right and e.rejected_ids and e.rejected != e.reply for e in examples)
    assert {e.turn for e in examples} >= {0, 1} and stage.read_metrics()["t2"]["n"] == 4
    [event] = [e for e in run_log(stage) if e.get("part") == "train"]
    assert event["n_rows"] == 2 * len(examples)


def run_log(stage):
    from rise.runs.directory import RunDir

    return RunDir(stage.path.parent).read_log()


def test_without_trl_the_error_names_the_extra(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "trl" else find(name, *rest))
    with pytest.raises(ConfigError, match=r"train\.dpo needs the packages trl and datasets: .*\[dpo\]"):
        check_arguments(small(train={"dpo": {}, "save_steps": 0}).train)
    check_arguments(small().train)
