"""Feedback modes are in one list: a mode that is added there is known to recipes, prompts, evaluation and the report."""

from pathlib import Path

import pytest
from toys import problem, toy_recipe, turn

from rise.errors import ConfigError
from rise.play.prompt import Prompt, make_prompt
from rise.recipe.wordings import FEEDBACK, OWN_FEEDBACK, Feedback, feedback_mode, told
from rise.tasks import make_task

P = problem("p", "2+2", "4")


@pytest.fixture
def coin(monkeypatch):
    """A mode of a scratch module: it tells the truth, and nothing stops."""
    mode = Feedback("Tails. {question}", "tosses a loaded coin", right_text="Heads.", knows_truth=True)
    monkeypatch.setitem(FEEDBACK, "coin", mode)
    return mode


def test_a_mode_added_to_the_list_is_taken_shown_and_known_to_the_report(coin):
    config = toy_recipe(state={"feedback": "coin", "feedback_text": None})
    prompt = make_prompt(config, make_task("arithmetic"))
    assert prompt.feedback_for(P, [turn("5", 0)]) == "Tails. 2+2"
    assert prompt.feedback_for(P, [turn("4", 1)]) == "Heads."
    assert prompt.uses_oracle and not prompt.stops_when_right and not prompt.refines
    assert told({"feedback": "coin"}) == "may know"


def test_a_mode_that_stops_ends_episodes_and_leaves_nothing_to_improve_after_a_right_reply(monkeypatch):
    monkeypatch.setitem(FEEDBACK, "bell", Feedback("Again.", "rings when right", right_text="Ding.", stops_when_right=True))
    assert Prompt(feedback="bell").stops_when_right and told({"feedback": "bell"}) == "stops"
    with pytest.raises(ConfigError, match=r'state.feedback = "bell" ends an episode'):
        toy_recipe(state={"feedback": "bell"}, relabel={"relabel_right": "keep"})


def test_a_mode_that_asks_for_a_critique_refines(monkeypatch):
    monkeypatch.setitem(FEEDBACK, "confess", Feedback("Now mend it.", "asks what is wrong", asks_critique=True))
    assert Prompt(feedback="confess").refines and not Prompt(feedback="confess", window=0).refines


def test_a_wrong_name_is_answered_with_the_list_and_the_nearest():
    with pytest.raises(ConfigError, match="is no mode") as caught:
        toy_recipe(state={"feedback": "nuetral"})
    for words in ("Use always-wrong, neutral, truthful, self-refine, environment or module:function", 'Did you mean "neutral"?'):
        assert words in str(caught.value)


def test_the_page_of_the_method_has_every_mode_as_it_is():
    page = (Path(__file__).resolve().parents[2] / "docs/method.md").read_text(encoding="utf-8")
    for name, mode in FEEDBACK.items():
        knows, stops = ("yes" if fact else "no" for fact in (mode.knows_truth, mode.stops_when_right))
        assert f"| `{name}` | {mode.about} | {knows} | {stops} |" in page
    assert f"| `module:function` | {OWN_FEEDBACK.about} | may | no |" in page


@pytest.mark.parametrize(
    ("state", "known"),
    [
        ({}, ""),
        ({"feedback": "neutral"}, ""),
        ({"feedback": "self-refine"}, ""),
        ({"feedback": "truthful"}, "stops"),
        ({"feedback": "my_module:say"}, "may know"),
        ({"feedback": "a-mode-of-a-module-that-is-not-here"}, "may know"),
    ],
)
def test_what_a_feedback_tells_of_the_truth(state, known):
    assert told(state) == known


@pytest.mark.parametrize("name", ["always-wrong", "truthful"])
def test_the_presets_words_go_with_the_modes_that_call_an_attempt_wrong(name):
    config = toy_recipe(state={"preset": "paper", "feedback": name, "feedback_text": None}, relabel={"relabel_right": "skip"})
    assert feedback_mode(name).says_wrong
    assert config.state.feedback == name
