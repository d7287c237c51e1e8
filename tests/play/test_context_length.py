"""The longest state a run can reach, counted by hand against the character tokenizer."""

import asyncio
from dataclasses import replace

import pytest
from toys import problem, turn

from rise.errors import ConfigError
from rise.evaluation.evaluate import evaluate
from rise.method.relabel import relabel
from rise.method.rollout import rollout
from rise.play.context_length import check_context, check_words, state_length
from rise.play.ledger import Ledger
from rise.play.player import Player
from rise.play.prompt import Prompt
from rise.policies.scripted import ScriptedPolicy
from rise.policy import Sampling
from rise.trajectory import Trajectory

P = problem("p", "2+2", "4")
ALL, TWO, NONE = (Prompt(feedback="neutral", feedback_text="?", window=w) for w in (None, 2, 0))


@pytest.mark.parametrize(
    ("prompt", "shown", "n"),
    [
        (ALL, 0, 5),  # <|u|>2+2<|a|>
        (ALL, 1, 5 + 14),  # ten characters, <|end|>, <|u|>?, <|a|>
        (ALL, 3, 5 + 3 * 14),
    ],
)
def test_a_state_is_the_question_and_full_length_replies(renderer, prompt, shown, n):
    assert state_length(prompt, renderer, P, shown, max_new_tokens=10) == n


@pytest.mark.parametrize(
    ("prompt", "attempts", "need"),
    [
        (ALL, 0, 15),  # 5, and a reply of 10
        (ALL, 4, 5 + 4 * 14 + 10),
        (TWO, 1, 5 + 14 + 10),  # no more attempts than were made
        (TWO, 4, 5 + 2 * 14 + 10),
        (NONE, 4, 15),
    ],
)
def test_what_just_fits_is_let_through_and_one_token_less_is_not(renderer, prompt, attempts, need):
    check_context(prompt, renderer, [P], limit=need, attempts=attempts, max_new_tokens=10)
    with pytest.raises(ConfigError, match=rf"in all {need}; but the model was built for {need - 1}.*max_new_tokens \(now 10\)"):
        check_context(prompt, renderer, [P], limit=need - 1, attempts=attempts, max_new_tokens=10)


def test_the_longest_question_decides(renderer):
    with pytest.raises(ConfigError, match="longest first state has 12 tokens"):
        check_context(ALL, renderer, [P, problem("q", "1234567890")], limit=20, attempts=0, max_new_tokens=10)


def test_an_endpoint_that_renders_for_itself_is_not_asked(renderer):
    check_context(ALL, None, [P], limit=1, attempts=4, max_new_tokens=10)
    check_context(ALL, renderer, [P], limit=None, attempts=4, max_new_tokens=10)


def test_an_evaluation_says_so_before_it_asks_for_anything(renderer, judge, tmp_path):
    policy = ScriptedPolicy(lambda messages, seed: "4")
    policy.max_length = 60  # 5 + 4·14 + 10 = 71
    with Ledger(tmp_path / "l") as ledger:
        player = Player(policy, ALL, judge, Sampling(max_new_tokens=10), ledger, "x", renderer=renderer)
        with pytest.raises(ConfigError, match="in all 71; but the model was built for 60"):
            asyncio.run(evaluate(player, [P], n_turns=5))
        assert policy.n_requests == 0
        asyncio.run(evaluate(player, [P], n_turns=4))  # 57


def test_a_teachers_context_is_its_own(renderer, judge, tmp_path):
    policy = ScriptedPolicy(lambda messages, seed: "4")
    policy.max_length = 28  # one attempt: 5 + 14 + 10
    trajectory = Trajectory("p", "2+2", "4", (turn("5", 0),))
    with Ledger(tmp_path / "l") as ledger:
        player = Player(policy, ALL, judge, Sampling(max_new_tokens=10), ledger, "x", renderer=renderer)
        with pytest.raises(ConfigError, match="in all 29; but the model was built for 28"):
            asyncio.run(relabel(player, [P], [trajectory], improver="teacher"))
        [found] = asyncio.run(relabel(player, [replace(P, solution="4")], [trajectory], improver="gold"))  # generates nothing
        asyncio.run(rollout(player, [P], n_turns=1, stop_when_right=False))
    assert found.reply.right and policy.n_requests == 1


def test_words_that_the_tokenizer_has_no_token_for_are_refused(renderer):
    assert renderer.unknown("2+2 ✓✓ é") == "é✓" and renderer.unknown("2+2") == ""
    check_words(replace(ALL, feedback_text="? {question}", instructions="2+2"), renderer)
    with pytest.raises(ConfigError, match=r"state\.feedback_text = '\? ✓ \{question\}': .* no token for '✓'"):
        check_context(replace(ALL, feedback_text="? ✓ {question}"), renderer, [P], limit=None, attempts=1, max_new_tokens=1)
    check_context(replace(ALL, feedback_text="? ✓ {question}"), renderer, [P], limit=None, attempts=0, max_new_tokens=1)
    with pytest.warns(UserWarning, match=r"state\.instructions"):
        check_words(replace(ALL, instructions="é"), renderer)
