"""Chat formats: each reads as its family published it, and collection, training, evaluation see the same ids in each."""

import asyncio

import pytest
from families import make_family, tokenizer_of
from stages import Recording, ids_of_stages
from toys import problem
from transformers import AutoTokenizer

from rise.errors import ConfigError, ModelError
from rise.play.formats import FORMATS, apply_format
from rise.play.prompt import Prompt
from rise.play.render import Renderer
from rise.policy import Sampling
from rise.recipe.config import Demonstration
from rise.serve.revise import Ask, Reviser
from rise.trajectory import Message

EXAMPLE = Demonstration(question="One?", reply="so 1", lead="Next: {question}")
P = problem("p", "How many apples?", "5")

TALK = [Message("system", "Be brief."), Message("user", "One?"), Message("assistant", "Two."), Message("user", "Three?")]

AS_PUBLISHED = {
    "chatml": "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nOne?<|im_end|>\n<|im_start|>assistant\nTwo.<|im_end|>\n"
    "<|im_start|>user\nThree?<|im_end|>\n<|im_start|>assistant\n",
    "llama-2": "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nOne? [/INST] Two. </s><s>[INST] Three? [/INST]",
    "llama-3": "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|><|start_header_id|>user"
    "<|end_header_id|>\n\nOne?<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nTwo.<|eot_id|><|start_header_id|>user"
    "<|end_header_id|>\n\nThree?<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
    "mistral": "<s>[INST] Be brief.\n\nOne? [/INST] Two.</s>[INST] Three? [/INST]",  # no system message: it opens the question
}

ENDS = {"chatml": "<|im_end|>", "llama-2": "</s>", "llama-3": "<|eot_id|>", "mistral": "</s>"}

FORGETS_THINKING = (
    "{% for m in messages %}{% set c = m['content'] %}"
    "{% if m['role'] == 'assistant' and not loop.last %}{% set c = c.split('</think>')[-1] %}{% endif %}"
    "{{ '<|im_start|>' + m['role'] + '\n' + c + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
REFUSES_SYSTEM = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
) + FORGETS_THINKING.replace(".split('</think>')[-1]", "")
SWALLOWS_SYSTEM = (
    "{% for m in messages %}{% if m['role'] != 'system' %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
OTHERS = {"forgets thinking": FORGETS_THINKING, "refuses system": REFUSES_SYSTEM, "swallows system": SWALLOWS_SYSTEM}


def renderer_of(name):
    if name in FORMATS:
        return Renderer(tokenizer_of(name), chat_format=name)
    renderer = Renderer(tokenizer_of("chatml"), chat_format="chatml")
    renderer.tokenizer.chat_template = OTHERS[name]
    return renderer


def written(renderer, ids):
    return renderer.tokenizer.decode(list(ids), skip_special_tokens=False)


@pytest.mark.parametrize("name", AS_PUBLISHED)
def test_a_conversation_reads_as_the_family_published_it(name):
    renderer = renderer_of(name)
    # SentencePiece decodes a space in front of each first word of a segment; the text that was cut is what the template wrote.
    assert (
        written(renderer, renderer.prompt_ids(TALK)).replace("<s> [INST]", "<s>[INST]").replace("</s> [INST]", "</s>[INST]")
        == (AS_PUBLISHED[name])
    )
    ids = renderer.tokenizer.convert_ids_to_tokens(list(renderer.prompt_ids(TALK)))
    begins = FORMATS[name].marks[0]
    n_begins = AS_PUBLISHED[name].count(begins)
    assert ids[0] == begins and ids.count(begins) == n_begins  # one token each, and no second beginning put in front


@pytest.mark.parametrize("name", AS_PUBLISHED)
def test_a_reply_ends_with_the_formats_own_end_also_after_saving(name, tmp_path):
    renderer = renderer_of(name)
    reply = renderer.reply_ids(TALK[:2], "Two.")
    assert renderer.tokenizer.convert_ids_to_tokens(reply[-1]) == ENDS[name]
    assert renderer.text(reply) == "Two."
    renderer.tokenizer.save_pretrained(tmp_path)
    again = Renderer(AutoTokenizer.from_pretrained(tmp_path))
    assert again.prompt_ids(TALK) == renderer.prompt_ids(TALK) and again.eos_ids == renderer.eos_ids


@pytest.mark.parametrize("name", [*AS_PUBLISHED, *OTHERS])
@pytest.mark.parametrize(("window", "example"), [(None, None), (1, EXAMPLE)], ids=["all", "last, with an example"])
def test_every_stage_shows_the_same_ids_turn_by_turn(name, window, example, judge):
    renderer = renderer_of(name)
    prompt = Prompt(instructions="Give the answer last.", feedback="neutral", window=window, demonstration=example)
    texts = ["<think>12 - 6</think>It is 6", "Step 1: 12 - 7 = 5\nso 4", "the answer is 5"]

    states, improving, evaluating, trained = ids_of_stages(renderer, prompt, P, texts, judge)
    assert len(states) == len({*states}) == 3
    assert evaluating == states and improving[:2] == states[1:]
    students = [e for e in trained if e.source == "student"]
    assert [e.prompt_ids for e in students] == states
    for example in trained:
        assert renderer.prompt_ids(example.prompt) == example.prompt_ids  # what anybody who has only the text would show
        assert "Give the answer last." in written(renderer, example.prompt_ids)  # whatever the template thinks of systems
        assert written(renderer, example.prompt_ids).count("Give the answer last.") == 1
    # A client that asks the server the bare question: the model behind it is shown the same again.
    serving = Recording(renderer, texts)
    ask = Ask((Message("user", P.question),), Sampling(), turns=3, rule="last", seed=0)
    asyncio.run(Reviser(serving, prompt, judge).revise(ask, 0, lambda turn, number: None))
    assert serving.seen == states


def test_thinking_of_earlier_turns_is_forgotten_and_of_the_trained_one_is_not():
    renderer = renderer_of("forgets thinking")
    talk = [Message("user", "One?"), Message("assistant", "<think>hm</think>Two."), Message("user", "Three?")]
    assert "hm" not in written(renderer, renderer.prompt_ids(talk)) and "Two." in written(renderer, renderer.prompt_ids(talk))
    assert "hm" in written(renderer, renderer.reply_ids(talk[:1], talk[1].content))


def test_a_tokenizer_of_another_family_is_refused_with_what_it_lacks():
    with pytest.raises(ModelError, match=r'chat_format = "llama-3" needs the tokens <\|begin_of_text\|>, .* which .* has not'):
        apply_format(tokenizer_of("mistral"), "llama-3")


def test_a_misspelt_format_names_the_nearest():
    with pytest.raises(ConfigError, match=r'model\.chat_format = "lama-3" is no format\. Did you mean "llama-3"\?'):
        apply_format(tokenizer_of("llama-3"), "lama-3")


@pytest.mark.parametrize("talk", [TALK[2:], [TALK[1], TALK[1]]])
@pytest.mark.parametrize("name", ["llama-2", "mistral"])
def test_turns_out_of_order_are_refused_where_the_format_has_no_way_to_write_them(name, talk):
    with pytest.raises(ModelError, match="question and answer in turn"):
        renderer_of(name).prompt_ids(talk)


def test_a_checkpoint_trained_under_a_format_needs_it_named_no_more(tmp_path, one_thread):
    """What is saved carries template and end, so that plain transformers and an evaluation by itself see the same."""
    from training import one_step
    from transformers import AutoModelForCausalLM

    from rise.dataset.example import Example
    from rise.recipe.machines import ModelConfig
    from rise.training import train

    start = make_family("llama-3", tmp_path / "base")
    with pytest.raises(ModelError, match=r"has no chat template.*model\.chat_format"):
        Renderer.load(start)
    renderer = Renderer.load(start, chat_format="llama-3")
    messages = (Message("user", "One?"),)
    ids = renderer.prompt_ids(messages), renderer.reply_ids(messages, "Two.")
    example = Example("p", 0, messages, "Two.", "gold", 1.0, 1.0, *ids)
    train([example], start, tmp_path / "out", one_step(), model=ModelConfig(path=str(start), chat_format="llama-3"))
    assert Renderer.load(tmp_path / "out").prompt_ids(TALK) == renderer.prompt_ids(TALK)
    ends = AutoModelForCausalLM.from_pretrained(tmp_path / "out").generation_config.eos_token_id
    assert renderer.tokenizer.convert_tokens_to_ids("<|eot_id|>") in ends
