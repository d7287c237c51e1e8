"""What the model is shown: windows, feedback modes, instructions, a worked example, own feedback functions."""

import tomllib

import pytest
from toys import problem, turn

from rise.errors import ConfigError
from rise.judges.answers import extract
from rise.play.prompt import Prompt
from rise.recipe.config import Demonstration
from rise.recipe.toml import build_config, to_toml
from rise.recipe.wordings import DEMONSTRATION, FEEDBACK
from rise.trajectory import Message, Trajectory, Turn

P = problem("p", "2+2", "4")
WRONG, RIGHT = turn("5", 0, feedback="no"), turn("4", 1, feedback="yes")


def contents(messages):
    return [(m.role, m.content) for m in messages]


def test_the_state_is_the_question_then_attempts_and_feedback_in_turn():
    assert contents(Prompt("be brief").messages(P, [WRONG, RIGHT])) == [
        ("system", "be brief"),
        ("user", "2+2"),
        ("assistant", "5"),
        ("user", "no"),
        ("assistant", "4"),
        ("user", "yes"),
    ]


@pytest.mark.parametrize(
    ("window", "shown"), [(None, ["a", "b", "c"]), (5, ["a", "b", "c"]), (2, ["b", "c"]), (1, ["c"]), (0, [])]
)
def test_a_window_shows_that_many_of_the_latest_attempts(window, shown):
    turns = [turn(text, 0) for text in "abc"]
    messages = Prompt(window=window).messages(P, turns)
    assert messages[0].content == "2+2"  # the question always stays
    assert [m.content for m in messages if m.role == "assistant"] == shown


def test_always_wrong_says_the_same_after_right_and_wrong_replies():
    prompt = Prompt(feedback="always-wrong")
    assert prompt.feedback_for(P, [RIGHT]) == prompt.feedback_for(P, [WRONG])
    assert prompt.feedback_for(P, [WRONG]).endswith("The question was: 2+2")
    assert not prompt.uses_oracle


def test_neutral_does_not_know_the_verdict_either():
    prompt = Prompt(feedback="neutral")
    assert prompt.feedback_for(P, [RIGHT]) == prompt.feedback_for(P, [WRONG]) == FEEDBACK["neutral"].text
    assert not prompt.uses_oracle


def test_truthful_feedback_tells_right_from_wrong():
    prompt = Prompt(feedback="truthful")
    assert prompt.feedback_for(P, [RIGHT]) == "That answer is correct."
    assert "incorrect" in prompt.feedback_for(P, [WRONG])
    assert prompt.uses_oracle


def test_the_last_turn_decides_the_feedback():
    assert Prompt(feedback="truthful").feedback_for(P, [RIGHT, WRONG]) != "That answer is correct."


def test_own_wording_with_the_question_in_it():
    prompt = Prompt(feedback="neutral", feedback_text="Again: {question}?")
    assert prompt.feedback_for(P, [WRONG]) == "Again: 2+2?"


def test_a_question_with_braces_is_text_not_a_template():
    latex = problem("p", r"\frac{1}{question}")
    assert Prompt(feedback_text="Again: {question}").feedback_for(latex, [WRONG]) == r"Again: \frac{1}{question}"


def feedback_that_compares(the_problem, trajectory, verdict):
    """Environment feedback: it sees the problem, the whole trajectory and the verdict."""
    assert isinstance(trajectory, Trajectory) and trajectory.problem_id == the_problem.id
    off = int(trajectory.turns[-1].reply) - int(the_problem.gold)
    return f"{verdict.value}, off by {off}, attempt {len(trajectory.turns)}"


def test_feedback_from_a_function_carries_information():
    prompt = Prompt(feedback=f"{__name__}:feedback_that_compares")
    assert prompt.uses_oracle
    assert prompt.feedback_for(P, [RIGHT, WRONG]) == "wrong, off by 1, attempt 2"


@pytest.mark.parametrize("path", ["no_such_module:f", f"{__name__}:no_such_function"])
def test_a_function_that_cannot_be_loaded_is_named(path):
    with pytest.raises(ConfigError, match=f'state.feedback = "{path}": .*(cannot be imported|has no)'):
        Prompt(feedback=path).feedback_for(P, [WRONG])


def test_a_feedback_function_is_found_in_the_current_directory(tmp_path, monkeypatch):
    (tmp_path / "feedback_of_mine.py").write_text(
        "def hint(problem, trajectory, verdict): return 'hm'\n\nnone = lambda *_: None\n"
    )
    monkeypatch.chdir(tmp_path)
    assert Prompt(feedback="feedback_of_mine:hint").feedback_for(P, [WRONG]) == "hm"
    with pytest.raises(ConfigError, match=f"returned None for problem {P.id}; expected text"):
        Prompt(feedback="feedback_of_mine:none").feedback_for(P, [WRONG])


def test_a_conversation_somebody_sent_is_shown_whole_before_the_attempts():
    sent = [Message("system", "theirs"), Message("user", "hello"), Message("assistant", "hi"), Message("user", "2+2")]
    prompt = Prompt("ours", window=1)
    shown = prompt.continued(prompt.opened(sent), [WRONG, RIGHT])
    assert contents(shown) == [*contents(sent), ("assistant", "4"), ("user", "yes")]


# --- a worked example, and the published wording ------------------------------------------------------------------------


def state(**settings):
    return build_config({"model": {"path": "x"}, "state": settings}).state


def test_a_demonstration_is_an_exchange_before_the_problem_and_no_window_cuts_it():
    example = {"question": "1+1", "reply": "2", "lead": "Good. Next: {question}"}
    prompt = Prompt.of(state(demonstration=example, window=1), "be brief")
    assert contents(prompt.messages(P, [RIGHT, WRONG])) == [
        ("system", "be brief"),
        ("user", "1+1"),
        ("assistant", "2"),
        ("user", "Good. Next: 2+2"),
        ("assistant", "5"),
        ("user", "no"),
    ]


def test_a_demonstration_can_be_ours_or_none_and_its_lead_must_show_the_problem():
    shown = [len(Prompt.of(state(demonstration=d), None).messages(P, [])) for d in (True, False)]
    assert shown == [3, 1]
    with pytest.raises(ConfigError, match=r"lead must hold \{question\}"):
        state(demonstration={"question": "1+1", "reply": "2", "lead": "Next."})


def test_our_demonstration_is_solved_rightly_in_the_form_that_the_judge_reads():
    reply = DEMONSTRATION["reply"]
    assert 9 * 6 - 31 == 23 and extract(reply) == "23"


def test_the_published_wording_by_name():
    prompt = Prompt.of(state(preset="paper"), "the task's own")
    messages = prompt.messages(P, [Turn("5", feedback=prompt.feedback_for(P, [WRONG]))])
    assert [m.role for m in messages] == ["system", "user", "assistant", "user", "assistant", "user"]
    assert messages[-1].content == "The answer is incorrect. Please try again. Here's the question: 2+2"
    assert "\\boxed{}" in messages[0].content and messages[3].content.endswith("2+2")


@pytest.mark.parametrize(
    ("own", "changed"),
    [
        ({"demonstration": False}, {"demonstration": False}),
        ({"instructions": ""}, {"instructions": ""}),
        ({"feedback": "neutral"}, {"feedback": "neutral", "feedback_text": None}),  # no word that calls it wrong
        ({"feedback": "truthful"}, {"feedback": "truthful"}),
        ({"feedback_text": "No. {question}"}, {"feedback_text": "No. {question}"}),
    ],
)
def test_what_a_recipe_sets_goes_before_its_preset_also_when_it_is_read_again(own, changed):
    config = build_config({"model": {"path": "x"}, "state": {"preset": "paper", **own}})
    assert config.state.model_dump() == state(preset="paper").model_dump() | changed
    assert build_config(tomllib.loads(to_toml(config))) == config


def test_a_worked_example_stands_between_the_system_text_sent_and_the_conversation():
    sent = [Message("system", "theirs"), Message("user", "hello"), Message("assistant", "hi"), Message("user", "2+2")]
    prompt = Prompt("ours", demonstration=Demonstration(question="1+1", reply="2", lead="Now: {question}"))
    assert contents(prompt.opened(sent)) == [
        ("system", "theirs"),
        ("user", "1+1"),
        ("assistant", "2"),
        ("user", "hello"),
        ("assistant", "hi"),
        ("user", "Now: 2+2"),
    ]
    assert contents(prompt.opened(sent[-1:]))[0] == ("system", "ours")
