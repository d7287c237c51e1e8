"""What is sampled is the model's own distribution: neither its generation_config nor the padding beside a row changes it."""

import asyncio
import json
import shutil
from pathlib import Path

import pytest
import torch

from rise.play.keys import stream_seed
from rise.policies.continuous import ContinuousBatch
from rise.policies.local import LocalPolicy
from rise.policies.padding import keeps_plainly, pads_exactly
from rise.policy import Request, Sampling
from rise.trajectory import Message

pytestmark = pytest.mark.usefixtures("one_thread")

TEXTS = ("1", "2+2", "12345+6789", "how many?")

OWN_SETTINGS = {
    "no_repeat_ngram_size": 2,
    "bad_words_ids": [[11], [12, 13]],
    "suppress_tokens": [10, 11, 12, 13, 14],
    "begin_suppress_tokens": [10, 11, 12, 13, 14],
    "sequence_bias": [[[11], -50.0], [[12], 50.0]],
    "min_new_tokens": 20,
    "min_length": 30,
    "forced_eos_token_id": 2,
    "forced_bos_token_id": 12,
    "guidance_scale": 3.0,
    "exponential_decay_length_penalty": [1, 5.0],
    "repetition_penalty": 5.0,
    "encoder_repetition_penalty": 5.0,
    "temperature": 0.1,
    "top_k": 1,
    "top_p": 0.1,
    "min_p": 0.9,
    "typical_p": 0.1,
    "epsilon_cutoff": 0.2,
    "num_beams": 4,
    "do_sample": True,
    "renormalize_logits": True,
    "remove_invalid_values": True,
    "stop_strings": ["1"],
    "max_time": 1e-9,
    "max_length": 3,
    "cache_implementation": "static",
    "use_cache": False,
    "prompt_lookup_num_tokens": 3,
    "return_dict_in_generate": True,
    "output_scores": True,
}


def opened(path, fixed):
    policy = LocalPolicy.load(path, batch_size=8, fixed_batches=fixed)
    with torch.no_grad():
        policy.model.model.norm.weight *= 6.0  # a distribution with a shape
    return policy


def drawn(policy, temperature):
    sampling = Sampling(max_new_tokens=30, temperature=temperature)
    requests = [
        Request(
            m := (Message("user", text),), sampling, (stream_seed(text, 0), stream_seed(text, 1)), policy.renderer.prompt_ids(m)
        )
        for text in TEXTS
    ]

    async def play():
        for _ in requests:
            policy.enter()
        try:
            return await asyncio.gather(*map(policy.reply, requests))
        finally:
            for _ in requests:
                policy.leave()

    return [[reply.ids for reply in replies] for replies in asyncio.run(play())]


@pytest.fixture(scope="module")
def plain(nano_dir):
    return {(fixed, t): drawn(opened(nano_dir, fixed), t) for fixed in (True, False) for t in (0, 1.0)}


@pytest.mark.parametrize("fixed", [True, False], ids=["fixed batches", "running batches"])
@pytest.mark.parametrize("setting", OWN_SETTINGS)
def test_a_models_own_settings_change_nothing(setting, fixed, plain, nano_dir, tmp_path):
    path = Path(shutil.copytree(nano_dir, tmp_path / "model"))
    file = path / "generation_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), setting: OWN_SETTINGS[setting]}))
    policy = opened(path, fixed)
    for temperature in (0, 1.0):
        assert drawn(policy, temperature) == plain[fixed, temperature]


def test_sampling_leaves_a_models_settings_as_they_are(nano_dir):
    policy = opened(nano_dir, fixed=True)
    policy.model.generation_config.no_repeat_ngram_size = 2
    drawn(policy, 1.0)
    assert policy.model.generation_config.no_repeat_ngram_size == 2


# ---- padding -------------------------------------------------------------------------------------------------------------


def recurrent(n_words):
    """RWKV takes no attention mask: what pads a row is read."""
    from transformers import RwkvConfig, RwkvForCausalLM

    torch.manual_seed(0)
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "attention_hidden_size": 32, "intermediate_size": 64}
    model = RwkvForCausalLM(RwkvConfig(vocab_size=n_words, **shape, context_length=256, eos_token_id=2, bos_token_id=0))
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                weight.normal_(0, 0.3)
    return model


@pytest.mark.parametrize("fixed", [True, False], ids=["fixed batches", "running batches"])
def test_rows_that_disturb_one_another_stand_alone(fixed, renderer):
    model = recurrent(len(renderer.tokenizer))
    together = drawn(LocalPolicy(model, renderer, name="r", fixed_batches=fixed), 0)
    for text, replies in zip(TEXTS, together, strict=True):
        ids = torch.tensor([renderer.prompt_ids((Message("user", text),))])
        for reply in replies:
            alone = ids
            for token in reply:  # greedy, by hand, the whole row again at every token
                with torch.no_grad():
                    assert int(model(input_ids=alone, use_cache=False).logits[0, -1].argmax()) == token
                alone = torch.cat([alone, torch.tensor([[token]])], dim=1)


def test_what_pads_exactly_stands_in_one_batch(nano_dir, renderer):
    model = LocalPolicy.load(nano_dir).model
    assert pads_exactly(model, 0) and keeps_plainly(model) and ContinuousBatch.can(model)
    other = recurrent(len(renderer.tokenizer))
    assert not pads_exactly(other, 0) and not ContinuousBatch.can(other)
