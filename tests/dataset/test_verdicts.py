"""Verdicts as examples: the judge's word after every attempt, at the state in which the model will be asked."""

import pytest
from toys import problem, turn

from rise.dataset.verdicts import balanced, verdict_examples
from rise.errors import DataError
from rise.method.internalise import at_first_turn
from rise.play.prompt import Prompt
from rise.recipe.methods import method_of
from rise.recipe.toml import build_config
from rise.recipe.verify import VerifyConfig
from rise.trajectory import Trajectory, Turn, Verdict

P = problem("p")
PROMPT = Prompt(verify=VerifyConfig(ask="hit {attempt}", right="y", wrong="n"))


def tried(letters, sample=0):
    """4 is right."""
    return Trajectory("p", P.question, P.gold, tuple(turn(letter, letter == "4") for letter in letters), sample=sample)


def examples(*trajectories, **settings):
    def asking(trajectory, k):
        return PROMPT.verify_messages(P, trajectory.turns[:k])

    return verdict_examples(trajectories, asking, right="y", wrong="n", **settings)


def test_every_attempt_is_asked_about_with_the_judges_word_as_target():
    found, dropped = examples(tried("54"))
    assert [[m.content for m in e.prompt] for e in found] == [["2+2", "5", "hit 1"], ["2+2", "5", "?", "4", "hit 2"]]
    assert [(e.reply, e.turn, e.source, e.verdict, e.reward) for e in found] == [
        ("n", 1, "verdict", Verdict.WRONG, 0.0),
        ("y", 2, "verdict", Verdict.RIGHT, 1.0),
    ]
    assert not +dropped and {e.weight for e in found} == {1.0} and {e.reply_ids for e in found} == {()}


def test_balanced_both_words_weigh_the_same():
    """One right among four: n/2 over their number is 4/2/1 = 2 and 4/2/3 = 2/3; the mean stays ½."""
    found, _ = examples(tried("5674"), weight=0.5, balance=True)
    assert [round(e.weight, 6) for e in found] == [0.333333, 0.333333, 0.333333, 1.0]
    assert sum(e.weight for e in found) == pytest.approx(4 * 0.5)
    alone, _ = examples(tried("567"), balance=True)
    assert [e.weight for e in alone] == [1.0] * 3 and balanced([]) == []


def test_the_same_attempt_at_the_same_state_is_asked_about_once():
    found, dropped = examples(tried("54"), tried("56", 1))
    assert [e.reply for e in found] == ["n", "y", "n"] and dropped["repeat of the same reply"] == 1
    assert len(examples(tried("54"), tried("56", 1), deduplicate=False)[0]) == 4


def test_an_answer_without_words_is_wrong_and_what_nobody_knows_is_left_out():
    turns = (
        Turn("?", Verdict.UNPARSABLE, 0.0, feedback="?"),
        Turn("slow", Verdict.TIMED_OUT, 0.0, feedback="?"),
        Turn("no", Verdict.WRONG, 0.0, feedback="?", finish="refused"),
        turn("4", 1),
    )
    found, dropped = examples(Trajectory("p", P.question, P.gold, turns))
    assert [e.reply for e in found] == ["n"] and dropped == {"no verdict to learn: the judge took too long": 1}
    with pytest.raises(DataError, match="unjudged"):
        examples(Trajectory("p", P.question, P.gold, (Turn("4"),)))


def test_the_control_that_shows_no_attempt_trains_no_verdict():
    class Nothing:
        class config:
            class iterate:
                rounds = 0

        ready = None

    found, _ = examples(tried("54"))
    assert at_first_turn(Nothing, found) == []


def config(**tables):
    return build_config({"model": {"path": "m"}, "state": {"verify": True}, **tables})


def test_a_loss_of_drawn_replies_refuses_them_and_says_the_way_out():
    drawn = {
        "relabel": {"improver": "none"},
        "rollout": {"n_trajectories": 2},
        "advantage": {},
        "train": {"loss": {"name": "policy-gradient"}},
    }
    with pytest.raises(Exception, match=r"state\.verify trains verdicts .* dataset\.verdict_weight = 0"):
        config(**drawn)
    assert config(**drawn, dataset={"verdict_weight": 0}).dataset.verdict_weight == 0


def test_the_method_has_its_own_row():
    assert method_of(config()) == "RISE, stops by itself" and method_of(config(dataset={"verdict_weight": 0})) == "RISE"
