"""One renderer: what is sampled on, trained on and evaluated on are the same token ids, turn by turn."""

import json
import shutil
from collections import Counter

import pytest
from stages import ids_of_stages
from toys import problem

from rise.dataset.build import build_examples, with_ids
from rise.errors import ModelError
from rise.play.prompt import Prompt
from rise.play.render import Renderer
from rise.trajectory import Message

P = problem("p", "2+2", "4", solution="2+2=4\n####4")


@pytest.mark.parametrize("window", [None, 1, 0])
def test_collection_improvement_training_and_evaluation_see_the_same_ids(window, renderer, judge):
    prompt = Prompt(instructions="be kind", feedback_text="?", window=window)
    texts = ["5", "1 + 1\n 7", "so 6"]

    collected, improving, evaluating, trained = ids_of_stages(renderer, prompt, P, texts, judge)
    assert collected == evaluating and len(collected) == 3
    assert improving[:2] == collected[1:]  # the states after attempts 1 and 2; the third nobody answered
    assert len(trained) == 6
    for example in trained:
        if example.source == "student":
            assert example.prompt_ids == collected[example.turn]
        # What a trainer would render from the text alone is the same again.
        assert renderer.prompt_ids(example.prompt) == example.prompt_ids
        assert renderer.reply_ids(example.prompt, example.reply) == example.reply_ids


def test_a_state_reads_as_the_template_says(renderer):
    messages = Prompt("s: ", feedback_text="?").messages(P, [])
    ids = renderer.prompt_ids(messages)
    assert renderer.tokenizer.convert_ids_to_tokens(list(ids)) == ["<|s|>", "s", ":", " ", "<|u|>", "2", "+", "2", "<|a|>"]


def test_the_target_of_a_written_solution_ends_with_the_end_of_turn(renderer):
    ids = renderer.reply_ids([Message("user", "2+2")], P.solution)
    assert renderer.tokenizer.convert_ids_to_tokens(list(ids)) == [*"2+2=4\n", "####", "4", "<|end|>"]
    assert ids == (*renderer.tokenizer(P.solution)["input_ids"], renderer.tokenizer.eos_token_id)


def test_the_end_is_trained_only_where_a_reply_ended_by_itself(renderer, judge):
    from toys import turn

    from rise.trajectory import Trajectory

    end = renderer.tokenizer.eos_token_id
    turns = (
        turn("44", 0, prompt_ids=(3, 4), reply_ids=(14, 14), finish="length"),  # sampled and cut
        turn("4", 1, prompt_ids=(3, 4, 5), reply_ids=(14, end)),  # sampled and ended
        turn("55", 0, finish="length"),  # a server's text, cut
        turn("6", 0),  # a server's text, ended
    )
    examples, dropped, _ = build_examples(
        [Trajectory("p", "2+2", "4", turns)], [], lambda t, k: Prompt().messages(P, t.turns[:k]), drop_truncated=False
    )
    ready = with_ids(examples, renderer, max_length=500, dropped=dropped)
    assert [e.reply_ids[-1] == end for e in ready] == [False, True, False, True]
    assert dropped == Counter({"keep rule": 0, "weight 0": 0})


def test_text_leaves_special_tokens_and_outer_space_out(renderer):
    ids = renderer.tokenizer("  4 4 ")["input_ids"]
    assert renderer.text((*ids, renderer.tokenizer.eos_token_id)) == "4 4"


def copied(renderer):
    import copy

    return copy.deepcopy(renderer.tokenizer)


def test_a_tokenizer_without_chat_template_is_refused_with_the_way_out(renderer):
    bare = copied(renderer)
    bare.chat_template = None
    with pytest.raises(ModelError, match=r"has no chat template.*Take the -instruct variant"):
        Renderer(bare)


def test_a_tokenizer_without_an_end_is_refused(renderer):
    endless = copied(renderer)
    endless.eos_token = None
    with pytest.raises(ModelError, match="no end-of-sequence token"):
        Renderer(endless)


def test_a_template_that_refuses_system_texts_gets_them_in_the_first_question(renderer):
    picky = copied(renderer)
    picky.chat_template = (
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}" + picky.chat_template
    )
    ids = Renderer(picky).prompt_ids([Message("system", "be kind"), Message("user", "2+2")])
    assert picky.decode(list(ids)) == "<|u|>be kind\n\n2+2<|a|>"


def test_a_template_that_refuses_the_conversation_is_a_model_error(renderer):
    picky = copied(renderer)
    picky.chat_template = "{{ raise_exception('never') }}"
    with pytest.raises(ModelError, match="refuses the conversation: never"):
        Renderer(picky).prompt_ids([Message("user", "2+2")])


def test_a_template_that_rewrites_replies_falls_back_to_the_replys_own_tokens(renderer):
    rewriting = copied(renderer)
    rewriting.chat_template = rewriting.chat_template.replace(
        "{{ m['content'] }}<|end|>", "{{ m['content'].split('=')[-1] }}<|end|>"
    )
    ids = Renderer(rewriting).reply_ids([Message("user", "2+2")], "2+2=4")
    assert rewriting.convert_ids_to_tokens(list(ids)) == [*"2+2=4", "<|end|>"]


def test_a_directory_without_a_tokenizer(tmp_path):
    with pytest.raises(ModelError, match="no tokenizer can be loaded"):
        Renderer.load(tmp_path)


def test_a_reply_ends_where_the_models_generation_settings_say(nano_dir, tmp_path):
    """Sampling stops at every one of them, so the renderer must know them too, with settings of their own or the model's."""
    for name, file in (("a", "generation_config.json"), ("b", "config.json")):
        path = shutil.copytree(nano_dir, tmp_path / name)
        (path / "generation_config.json").unlink(missing_ok=True)
        settings = json.loads((path / file).read_text()) if (path / file).exists() else {}
        (path / file).write_text(json.dumps({**settings, "eos_token_id": [2, 9]}))
        assert Renderer.load(path).eos_ids == {2, 9}


@pytest.mark.parametrize("ends", ["<|end|>", [2, None], [[2]], 2.0, True, -1])
def test_an_end_that_is_no_token_is_named(ends, nano_dir, tmp_path):
    path = shutil.copytree(nano_dir, tmp_path / "model")
    (path / "generation_config.json").write_text(json.dumps({"eos_token_id": ends}))
    with pytest.raises(ModelError) as refused:
        Renderer.load(path)
    assert "eos_token_id" in str(refused.value) and "no number of a token" in str(refused.value)


@pytest.mark.parametrize("text", ["", '{"eos', "[]"])
def test_generation_settings_that_cannot_be_read_are_not_passed_over(text, nano_dir, tmp_path):
    path = shutil.copytree(nano_dir, tmp_path / "model")
    (path / "generation_config.json").write_text(text)
    with pytest.raises(ModelError, match=r"generation_config\.json is no JSON file in UTF-8"):
        Renderer.load(path)
