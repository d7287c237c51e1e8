"""rise.json: every field of [state] goes from a recipe to its checkpoint, and from there to evaluate and serve."""

import json

import pytest
from toys import small

from rise.errors import ConfigError, ModelError
from rise.play.prompt import make_prompt
from rise.recipe.config import Demonstration, StateConfig
from rise.recipe.verify import VerifyConfig
from rise.runs.card import card, config_for, divide, model_settings, note_turns, read_card, turns_served
from rise.tasks import make_task
from rise.training.weights import weights_hash

OTHERS = {
    "demonstration": {"question": "1+2?", "reply": "3", "lead": "Now: {question}"},
    "instructions": "Add.",
    "feedback": "self-refine",
    "feedback_text": "Again: {question}",
    "critique_text": "What is wrong?",
    "window": 2,
    "verify": {"ask": "Right? {attempt}", "right": "y", "wrong": "n", "max_new_tokens": 3},
}
"""A value for each field that no recipe has by default."""


def carded(tmp_path, model=None, **state):
    """A checkpoint directory with the card of a recipe that has this [state], and this [model]."""
    config = small(state=state, model=model or {})
    prompt = make_prompt(config, make_task(config.task.name, **config.task.settings))
    (tmp_path / "rise.json").write_text(json.dumps(card(config, prompt, "round-1")))
    return config, prompt, tmp_path


def test_each_field_of_state_has_an_example_here():
    """A field that is added to [state] is asked for below: nobody has to remember card, evaluate and serve."""
    assert set(OTHERS) == set(StateConfig.model_fields) - {"preset"}


@pytest.mark.parametrize("field", OTHERS)
def test_a_field_of_state_is_not_lost_on_the_way(field, tmp_path):
    config, prompt, where = carded(tmp_path, **{field: OTHERS[field]})
    again = config_for(str(where))
    records = {"demonstration": Demonstration, "verify": VerifyConfig}
    expected = records[field](**OTHERS[field]) if field in records else OTHERS[field]
    assert getattr(again.state, field) == expected
    assert make_prompt(again, make_task(again.task.name, **again.task.settings)) == prompt
    assert (again.task.name, again.sampling, again.evaluate.turns) == (config.task.name, config.sampling, config.evaluate.turns)


def test_a_preset_arrives_as_what_it_stands_for(tmp_path):
    _, prompt, where = carded(tmp_path, preset="paper", feedback_text=None)
    again = config_for(str(where))
    assert make_prompt(again, make_task(again.task.name, **again.task.settings)) == prompt
    assert again.state.demonstration is not False


def test_what_is_set_beside_the_policy_goes_before_the_card(tmp_path):
    _, _, where = carded(tmp_path, window=2)
    again = config_for(str(where), overrides=["state.window=0", "sampling.temperature=0", "http.timeout_s=7", "sum_digits=2"])
    assert (again.state.window, again.sampling.temperature, again.http.timeout_s) == (0, 0, 7)
    assert again.task.settings["sum_digits"] == 2 and again.task.settings["kinds"] == {"sum": 1}


def test_a_model_is_measured_in_the_dtype_of_its_run_unless_another_is_given(tmp_path):
    _, _, where = carded(tmp_path, model={"dtype": "bfloat16"})
    spec = str(where)
    assert config_for(spec).model.dtype == config_for(f"vllm:{spec}").model.dtype == "bfloat16"
    assert config_for(spec, settings={"model": model_settings(None, "chatml")}).model.dtype == "bfloat16"
    assert config_for(spec, settings={"model": model_settings("float32", None)}).model.dtype == "float32"
    (where / "rise.json").write_text(json.dumps({k: v for k, v in read_card(spec).items() if k != "dtype"}))
    assert config_for(spec).model.dtype == "float32", "a card of before this was kept"
    with pytest.raises(ConfigError, match=r"--dtype bf16: use float32, bfloat16 or float16"):
        model_settings("bf16", None)


def test_another_task_brings_its_own_instructions_and_none_of_the_cards_settings(tmp_path):
    _, _, where = carded(tmp_path, instructions="Add.")
    again = config_for(str(where), task="gsm8k")
    assert again.task.settings == {} and again.state.instructions is None


def test_a_card_of_0_1_0_is_read(tmp_path):
    old = {"task": "arithmetic", "feedback": "neutral", "feedback_text": "?", "window": 1, "demonstration": False, "turns": 3}
    (tmp_path / "rise.json").write_text(json.dumps({**old, "instructions": None, "sampling": {"temperature": 0.5}}))
    again = config_for(str(tmp_path))
    assert (again.state.feedback, again.state.window, again.state.instructions, again.evaluate.turns) == ("neutral", 1, "", 3)


def test_what_is_no_card_or_names_no_task_says_so(tmp_path):
    with pytest.raises(
        ConfigError, match=r"carries no rise\.json that names a task. Mend the path, or give a task: --task gsm8k"
    ):
        config_for(str(tmp_path))
    (tmp_path / "rise.json").write_text("{")
    with pytest.raises(ModelError, match=r"rise\.json: not JSON"):
        config_for(str(tmp_path))
    with pytest.raises(ConfigError, match=r"only task\.settings\.… can be set here"):
        divide(["task.name=gsm8k"])


def test_a_measurement_adds_turns_to_serve_and_nothing_else(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    carded(tmp_path)
    before, weights = read_card(str(tmp_path)), weights_hash(tmp_path)
    note_turns(tmp_path, 3)
    assert read_card(str(tmp_path)) == before | {"turns_to_serve": 3} and weights_hash(tmp_path) == weights
    assert turns_served(before) == before["turns"] and turns_served(read_card(str(tmp_path))) == 3
    assert config_for(str(tmp_path)).evaluate.turns == before["turns"], "a measurement still takes the recipe's turns"


def test_a_model_without_a_card_is_not_written_to(tmp_path):
    note_turns(tmp_path, 3)
    assert list(tmp_path.iterdir()) == []


def test_a_finished_run_serves_as_many_turns_as_its_last_measurement_found(toy_run):
    """Each measured checkpoint of the run has the number of its own metrics.json; where a rate was not observed, none."""
    for stage in toy_run.stages():
        found = stage.read_metrics()["chain"]
        assert read_card(str(stage.checkpoint)).get("turns_to_serve") == (found and found["turns_to_serve"])
