"""Self-distillation: what the teacher is shown, what a token weighs, and what does not go with it."""

from dataclasses import replace

import pytest
from toys import problem, turn

from rise.dataset.build import with_ids
from rise.dataset.distil import distilled, gains
from rise.dataset.example import example_from_json
from rise.errors import ConfigError, DataError
from rise.play.prompt import Prompt
from rise.recipe.config import TrainConfig
from rise.recipe.methods import method_of
from rise.recipe.toml import build_config
from rise.training.trainable import trainable
from rise.trajectory import Relabelled, Trajectory, to_json

P = problem("p")
PROMPT = Prompt(feedback_text="?")


def tried(letters, sample=0):
    """4 is right."""
    return Trajectory("p", P.question, P.gold, tuple(turn(letter, letter == "4") for letter in letters), sample=sample)


def improved(k, letters):
    return Relabelled("p", k, tuple(turn(letter, letter == "4", source="self") for letter in letters), 0)


def found(trajectories, relabelled=(), shown="right", **settings):
    def state(trajectory, k):
        return PROMPT.messages(P, trajectory.turns[:k])

    def told(trajectory, attempts):
        return PROMPT.feedback_for(P, attempts)

    return distilled(trajectories, relabelled, state, told, shown, **settings)


def texts(messages):
    return [m.content for m in messages]


def test_the_teacher_has_seen_a_right_reply_to_the_same_problem():
    """5 6, and after 5 the improver's 7 and 4: every reply trains where it was drawn, and its teacher has seen 4 besides."""
    examples, dropped, counts = found([tried("56")], [improved(1, "74")])
    assert [(e.reply, texts(e.prompt), texts(e.teacher_prompt)) for e in examples] == [
        ("5", ["2+2"], ["2+2", "4", "?"]),
        ("6", ["2+2", "5", "?"], ["2+2", "5", "?", "4", "?"]),
        ("7", ["2+2", "5", "?"], ["2+2", "5", "?", "4", "?"]),
    ]
    assert +dropped == {"no right reply for its teacher to see": 1}  # 4 is the only right one, and does not teach itself
    assert counts["replies that a teacher scores"] == 3 and {e.weight for e in examples} == {1.0}
    assert example_from_json(to_json(examples[0])) == examples[0]


def test_or_it_has_seen_the_reply_itself_and_the_feedback():
    examples, dropped, _ = found([tried("54")], shown="attempt")
    assert [texts(e.teacher_prompt) for e in examples] == [["2+2", "5", "?"], ["2+2", "5", "?", "4", "?"]] and not +dropped


def test_what_a_reply_says_of_itself_goes_with_it():
    """The alarm for a check that always says yes reads it."""
    sure, right = replace(turn("5", False), own_check=True), replace(turn("4", True), own_check=False)
    examples, *_ = found([Trajectory("p", P.question, P.gold, (sure, right))], shown="attempt")
    assert [(e.reply, e.own_check) for e in examples] == [("5", True), ("4", False)]


def test_a_problem_that_was_never_solved_teaches_nothing():
    examples, dropped, _ = found([tried("56")])
    assert not examples and +dropped == {"no right reply for its teacher to see": 2}


def test_a_token_weighs_what_the_teacher_knows_better():
    assert gains([-0.5, -3.0, -1.0], [-1.0, -1.0, -1.0], clip=1.5) == (0.5, -1.5, 0.0)


def test_in_expectation_over_the_students_tokens_the_weights_descend_the_divergence():
    """Σ p·w·∇log p over the vocabulary is −∇KL(student ‖ teacher)."""
    import torch

    logits = torch.tensor([0.3, -0.2, 0.9], requires_grad=True)
    teacher = torch.tensor([1.0, 0.1, -0.5]).log_softmax(0)
    logp = logits.log_softmax(0)
    (fall,) = torch.autograd.grad((logp.exp() * (logp - teacher)).sum(), logits, retain_graph=True)
    weights = torch.tensor(gains(teacher.tolist(), logp.tolist(), clip=99))
    (pull,) = torch.autograd.grad((logp.exp().detach() * weights * logp).sum(), logits)
    assert torch.allclose(pull, -fall, atol=1e-6)


def test_a_teachers_state_that_does_not_fit_is_counted(renderer):
    examples, dropped, _ = found([tried("5"), tried("4", 1)])
    n = len(renderer.prompt_ids(examples[0].teacher_prompt)) + 2  # the digit, and the end of the turn
    assert len(with_ids(examples, renderer, max_length=n, dropped=dropped)) == 1
    assert not with_ids(examples, renderer, max_length=n - 1, dropped=dropped)
    assert dropped["its teacher is shown more than train.max_length"] == 1


def test_a_teacher_that_was_not_asked_is_an_error_and_no_plain_example(renderer):
    examples, dropped, _ = found([tried("5"), tried("4", 1)])
    with pytest.raises(DataError, match=r"problem p, turn 0 has a teacher that was not asked"):
        trainable(with_ids(examples, renderer, max_length=99, dropped=dropped), TrainConfig(), dropped)


# --- settings ----------------------------------------------------------------------------------------------------------


def config(**tables):
    return build_config({"model": {"path": "m"}, "distil": {}, **tables})


@pytest.mark.parametrize(
    ("tables", "named"),
    [
        ({"keep": {"rule": "success"}}, 'keep.rule = "success"'),
        ({"weigh": {"rule": "equal"}}, 'weigh.rule = "equal"'),
        ({"dataset": {"drop_repeated_answers": True}}, "dataset.drop_repeated_answers"),
        ({"dataset": {"data": "aggregate"}}, 'dataset.data = "aggregate"'),
        ({"relabel": {"improver": "gold"}}, 'relabel.improver = "gold"'),
        ({"relabel": {"relabel_right": "restate"}}, 'relabel.relabel_right = "restate"'),
        ({"sampling": {"temperature": 0.5}}, "sampling.temperature"),
        ({"rollout": {"policy": "injected"}}, "rollout.policy"),
        ({"advantage": {}, "rollout": {"n_trajectories": 2}}, r"\[advantage\]"),
    ],
)
def test_what_is_no_reply_of_the_student_is_refused(tables, named):
    with pytest.raises(ConfigError, match=rf"{named}.* does not go with \[distil\]"):
        config(**tables)


def test_both_losses_take_it_and_it_has_its_own_row():
    assert method_of(config()) == "self-distillation, right shown"
    assert config(train={"loss": {"name": "policy-gradient"}}).distil.shown == "right"
