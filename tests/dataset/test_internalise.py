"""The control that decides: RISE's own replies, trained as if no attempt had been shown."""

import pytest
from toys import problem, turn

from rise.dataset.build import build_examples, scaled
from rise.dataset.internalise import at_first_turn_too, internalised, mean_first_rewards
from rise.errors import ConfigError
from rise.method.examples import round_examples
from rise.play.prompt import Prompt
from rise.recipe.toml import build_config
from rise.trajectory import Relabelled, Trajectory

P = problem("p")
PROMPT = Prompt()


def test_the_same_replies_train_at_the_first_turns_state():
    """One problem, on paper: turn 1 wrong, turn 2 right, and after turn 2 the right reply again. Right replies train."""
    trajectory = Trajectory("p", P.question, P.gold, (turn("5", False), turn("4", True)))
    again = Relabelled("p", 2, (turn("4 4", True),), 0)
    rise, *_ = build_examples([trajectory], [again], lambda t, k: PROMPT.messages(P, t.turns[:k]), rule="success")
    only = internalised(rise, lambda name: PROMPT.messages(P, []))
    assert [(e.turn, len(e.prompt), e.reply) for e in rise] == [(1, 3, "4"), (2, 5, "4 4")]
    assert [(e.turn, len(e.prompt), e.reply) for e in only] == [(0, 1, "4"), (0, 1, "4 4")]
    assert [e.weight for e in only] == [e.weight for e in rise]


def test_ids_that_were_sampled_behind_an_attempt_are_not_kept_as_a_prompt():
    trajectory = Trajectory("p", P.question, P.gold, (turn("5", False), turn("4", True)))
    rise, *_ = build_examples([trajectory], [], lambda t, k: PROMPT.messages(P, t.turns[:k]), rule="success")
    [only] = internalised(rise, lambda name: PROMPT.messages(P, []))
    assert only.prompt_ids == () and only.reply_ids == rise[0].reply_ids


# --- as an option of training -----------------------------------------------------------------------------------------


def built(*tried):
    """Examples of trajectories of one problem, each given as replies with their rewards, all of weight exp(r/τ) = 1 or 12.18."""
    trajectories = [
        Trajectory("p", P.question, P.gold, tuple(turn(reply, right) for reply, right in turns), sample=i)
        for i, turns in enumerate(tried)
    ]
    examples, *_ = build_examples(trajectories, [], lambda t, k: PROMPT.messages(P, t.turns[:k]))
    return trajectories, examples


def moved(trajectories, examples, **settings):
    settings = {"share": 1.0, "weight": "same", "seed": 0, **settings}
    rewards = mean_first_rewards(trajectories)
    return at_first_turn_too(examples, lambda name: PROMPT.messages(P, []), rewards, **settings)


def test_later_replies_train_at_the_first_turn_too_as_strongly_as_where_they_were_written():
    trajectories, examples = built([("5", False), ("4", True)], [("6", False), ("7", False)])
    found = moved(trajectories, examples)
    assert [(e.turn, e.reply, len(e.prompt), round(e.weight, 2)) for e in found] == [(0, "4", 1, 12.18), (0, "7", 1, 1.0)]
    assert all(e.prompt_ids == () for e in found)


def test_by_its_gain_a_reply_is_weighed_against_the_mean_of_first_replies():
    """First replies: right, wrong, wrong, wrong: mean ¼. A later right one weighs ¾, a later wrong one −¼."""
    tried = [[("4", True), ("5", False)], [("6", False), ("so 4", True)], [("7", False)], [("8", False)]]
    found = moved(*built(*tried), weight="gain")
    assert [(e.reply, e.weight) for e in found] == [("5", -0.25), ("so 4", 0.75)]
    always = [[("5", False), ("6", False)]]  # as wrong as before: no gain, and nothing to train
    assert moved(*built(*always), weight="gain") == []


@pytest.mark.parametrize("tau", [0.2, 0.4, 2.0])
def test_a_gain_is_one_beside_weights_of_mean_one_whatever_tau(tau):
    """First replies wrong, wrong; later right, wrong. The right one's gain is 1, as much as RISE's replies weigh on average."""
    config = build_config(
        {
            "model": {"path": "x"},
            "dataset": {"internalise": "also", "internalise_weight": "gain"},
            "weigh": {"temperature": tau},
        }
    )
    trajectories, _ = built([("5", False), ("4", True)], [("6", False), ("7", False)])
    examples, *_ = round_examples(config, PROMPT, [P], trajectories, [])
    *rise, gained = scaled(examples, "mean-one")
    assert (len(rise), gained.reply, gained.turn) == (4, "4", 0)
    assert gained.weight == pytest.approx(1.0) and sum(e.weight for e in rise) / 4 == pytest.approx(1.0)
    raw, *_ = round_examples(
        config.model_copy(update={"weigh": config.weigh.model_copy(update={"scale": "raw"})}), PROMPT, [P], trajectories, []
    )
    assert raw[-1].weight == 1.0


def test_a_share_of_them_is_chosen_by_the_seed_alone():
    trajectories, examples = built(*[[("5", False), (f"so {i}", False)] for i in range(20)])
    chosen = [[e.reply for e in moved(trajectories, examples, share=0.25, seed=seed)] for seed in (0, 0, 1)]
    assert len(chosen[0]) == 5 and chosen[0] == chosen[1] != chosen[2]


@pytest.mark.parametrize(("deduplicate", "n"), [(True, 3), (False, 4)])
def test_a_round_holds_them_beside_what_they_were(deduplicate, n):
    """A later reply that says what the first one said is a repeat at the first turn."""
    dataset = {"internalise": "also", "deduplicate": deduplicate}
    config = build_config({"model": {"path": "x"}, "dataset": dataset})
    turns = (turn("4", True), turn("4", True))
    examples, dropped, counts = round_examples(config, PROMPT, [P], [Trajectory("p", P.question, P.gold, turns)], [])
    assert len(examples) == n - 1 and dropped["repeat of the same reply"] == deduplicate
    assert counts["later replies at the first turn too"] == 1


def test_the_control_of_a_run_that_internalises_is_refused():
    with pytest.raises(ConfigError, match=r'dataset\.internalise = "also" trains them at the first turn'):
        build_config({"model": {"path": "x"}, "dataset": {"internalise": "also"}, "evaluate": {"internalised": True}})
