"""Corrected failures as preference pairs: which replies, at which state, and what is refused."""

from dataclasses import replace

import pytest
from toys import problem, turn

from rise.dataset.build import with_ids
from rise.dataset.example import example_from_json
from rise.dataset.pairs import pair_examples
from rise.dataset.report import dataset_report
from rise.errors import ConfigError
from rise.play.prompt import Prompt
from rise.recipe.methods import method_of
from rise.recipe.toml import build_config
from rise.trajectory import Relabelled, Trajectory, to_json

P = problem("p")
PROMPT = Prompt()


def tried(letters):
    """4 is right; every attempt's state and reply have ids of their own."""
    turns = tuple(
        turn(letter, letter == "4", prompt_ids=(9,) * (k + 1), reply_ids=(int(letter), 2)) for k, letter in enumerate(letters)
    )
    return Trajectory("p", P.question, P.gold, turns)


def improved(k, letters, chosen=0, finish="stop"):
    candidates = tuple(
        turn(letter, letter == "4", source="self", prompt_ids=(8,) * (k + 1), reply_ids=(int(letter), 2), finish=finish)
        for letter in letters
    )
    return Relabelled("p", k, candidates, chosen)


def pairs(trajectory, *items, kind="attempt", **settings):
    return pair_examples([trajectory], items, lambda t, k: PROMPT.messages(P, t.turns[:k]), kind, **settings)


def shown(examples):
    return [(e.turn, e.reply, e.rejected) for e in examples]


def test_the_correction_is_preferred_to_the_attempt_where_that_was_made():
    """5 wrong, then 4 among 6 7 4: at the bare question 4 is better than 5, with the ids that were sampled there."""
    examples, dropped, _ = pairs(tried("5"), improved(1, "674", chosen=2))
    assert shown(examples) == [(0, "4", "5")] and not +dropped
    [pair] = examples
    assert (pair.prompt_ids, pair.reply_ids, pair.rejected_ids) == ((9,), (4, 2), (5, 2)) and len(pair.prompt) == 1
    assert example_from_json(to_json(pair)) == pair
    assert dataset_report(examples, dropped, dropped).n_trained_tokens == 4  # both replies train


def test_what_the_preferred_reply_says_of_itself_goes_with_the_pair():
    chosen = replace(turn("4", True, source="self"), own_check=True)
    [pair], *_ = pairs(tried("5"), Relabelled("p", 1, (chosen,), 0))
    assert pair.own_check is True


def test_or_to_a_wrong_one_drawn_beside_it_at_the_same_state():
    item = improved(1, "674", chosen=2)
    examples, *_ = pairs(tried("5"), item, kind="sample")
    assert shown(examples) == [(1, "4", "6")] and examples[0].prompt_ids == (8, 8) and len(examples[0].prompt) == 3
    assert shown(pairs(tried("5"), item, kind="both")[0]) == [(0, "4", "5"), (1, "4", "6")]


def test_a_later_failure_is_rejected_where_it_was_made():
    examples, *_ = pairs(tried("56"), improved(1, "4"), improved(2, "4"))
    assert shown(examples) == [(0, "4", "5"), (1, "4", "6")]


def test_without_a_right_reply_or_a_wrong_one_there_is_no_pair():
    _, dropped, _ = pairs(tried("5"), improved(1, "67"))
    assert +dropped == {"no right reply to prefer": 1}
    examples, dropped, _ = pairs(tried("4"), improved(1, "44"), kind="both")
    assert not examples and +dropped == {"no wrong reply to reject": 1}
    examples, dropped, _ = pairs(tried("5"), improved(1, "4", finish="length"))
    assert not examples and dropped["cut at the token limit"] == 1


def test_the_same_pair_trains_once():
    again = Trajectory("p", P.question, P.gold, tried("5").turns, sample=1)
    item = improved(1, "4")
    both = [item, Relabelled("p", 1, item.candidates, 0, sample=1)]
    examples, dropped, _ = pair_examples([tried("5"), again], both, lambda t, k: PROMPT.messages(P, t.turns[:k]), "attempt")
    assert shown(examples) == [(0, "4", "5")] and dropped["repeat of the same pair"] == 1


def test_replies_that_came_as_text_are_rendered(renderer):
    trajectory = Trajectory("p", P.question, P.gold, (turn("5", 0),))
    examples, dropped, _ = pairs(trajectory, Relabelled("p", 1, (turn("4 4", 1, source="teacher"),), 0))
    [pair] = with_ids(examples, renderer, max_length=100, dropped=dropped)
    assert pair.rejected_ids == renderer.reply_ids(pair.prompt, "5") and pair.reply_ids == renderer.reply_ids(pair.prompt, "4 4")
    assert with_ids(examples, renderer, max_length=len(pair.prompt_ids) + 2, dropped=dropped) == []  # the longer one does not fit


# --- settings ----------------------------------------------------------------------------------------------------------


def config(**tables):
    return build_config({"model": {"path": "m"}, "train": {"dpo": {}}, **tables})


@pytest.mark.parametrize(
    ("tables", "named"),
    [
        ({"keep": {"rule": "success"}}, 'keep.rule = "success"'),
        ({"weigh": {"rule": "equal"}}, 'weigh.rule = "equal"'),
        ({"dataset": {"internalise": "also"}}, 'dataset.internalise = "also"'),
        ({"dataset": {"drop_repeated_answers": True}}, "dataset.drop_repeated_answers"),
        ({"relabel": {"improver": "none"}}, 'relabel.improver = "none"'),
        ({"train": {"dpo": {}, "launcher": "torchrun"}}, "train.launcher"),
        ({"train": {"dpo": {}, "save_steps": 5}}, "train.save_steps"),
        ({"state": {"verify": True}}, "state.verify"),
        ({"evaluate": {"internalised": True}}, "evaluate.internalised"),
    ],
)
def test_what_works_on_single_replies_is_refused(tables, named):
    with pytest.raises(ConfigError, match=rf"{named}.* does not go with \[train\.dpo\]"):
        config(**tables)


def test_a_boost_has_no_pairs():
    with pytest.raises(ConfigError, match=r"boost\.train\.dpo: a boost trains worked solutions"):
        build_config({"model": {"path": "m"}, "boost": {"train": {"dpo": {}}}})


def test_the_method_has_its_own_row():
    assert method_of(config()) == "DPO, attempt"
