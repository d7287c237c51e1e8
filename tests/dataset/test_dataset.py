"""Trajectories and improved replies → examples: what is kept, what it weighs, what is dropped and counted."""

import math
from collections import Counter
from dataclasses import replace

import pytest
from toys import problem, turn

from rise.dataset.build import build_examples, scaled, with_ids, without_repeats
from rise.dataset.example import Example, example_from_json, read_examples
from rise.dataset.report import dataset_report
from rise.errors import ConfigError, DataError, EmptyStageError
from rise.jsonl import write_jsonl
from rise.play.prompt import Prompt
from rise.trajectory import Message, Relabelled, Trajectory, Turn, Verdict, to_json

P = problem("p")


def trajectory(*turns, name="p"):
    return Trajectory(name, "2+2", "4", turns)


def improved(after, *candidates, chosen=0, name="p"):
    return Relabelled(name, after, candidates, chosen)


def build(trajectories, relabelled=(), **settings):
    prompt = Prompt()
    return build_examples(trajectories, relabelled, lambda t, k: prompt.messages(problem(t.problem_id), t.turns[:k]), **settings)


def names(examples):
    return [(e.turn, e.reply, e.source) for e in examples]


W, W2, R = turn("5", 0), turn("6", 0), turn("4", 1)
BETTER = turn("so 4", 1, source="self", feedback=None)


def test_students_turns_then_the_improvers_reply_at_the_last_state():
    examples, _, counts = build([trajectory(W, W2)], [improved(2, BETTER)])
    assert names(examples) == [(0, "5", "student"), (1, "6", "student"), (2, "so 4", "self")]
    assert [len(e.prompt) for e in examples] == [1, 3, 5]
    assert counts["judged replies"] == 3


def test_weights_are_exp_of_reward_over_temperature():
    examples, _, _ = build([trajectory(W)], [improved(1, BETTER)], temperature=0.4)
    assert [e.weight for e in examples] == [1.0, pytest.approx(math.exp(2.5))]


@pytest.mark.parametrize(
    ("rule", "kept"),
    [
        ("all", [(0, "5", "student"), (1, "6", "student"), (2, "so 4", "self")]),
        ("better", [(0, "5", "student"), (2, "so 4", "self")]),  # "6" is no better than "5"
        ("best", [(2, "so 4", "self")]),
        ("success", [(2, "so 4", "self")]),
    ],
)
def test_keep_rules_look_at_student_turns_and_the_improved_reply_together(rule, kept):
    examples, dropped, _ = build([trajectory(W, W2)], [improved(2, BETTER)], rule=rule)
    assert names(examples) == kept
    assert dropped["keep rule"] == 3 - len(kept)


def test_trained_turns_last_trains_the_improver_alone():
    examples, dropped, _ = build([trajectory(W, W2)], [improved(2, BETTER)], trained_turns="last")
    assert names(examples) == [(2, "so 4", "self")]
    assert (dropped["keep.trained_turns"], dropped["keep rule"]) == (2, 0)


def test_what_the_rule_and_what_the_setting_drops_are_told_apart():
    _, dropped, _ = build([trajectory(W, W2)], [improved(2, BETTER)], trained_turns="last", rule="better")
    assert (dropped["keep.trained_turns"], dropped["keep rule"]) == (1, 1)  # "5" was better than nothing; "6" no better


def test_an_attempt_restated_is_one_reply_in_the_mean():
    restated = replace(R, source="restate", feedback=None)
    examples, _, _ = build([trajectory(W, R)], [improved(2, restated)], centre=True, temperature=0.5)
    # Judged replies: 5 and 4, mean 1/2; with the restated one counted again it was 2/3.
    assert [e.weight for e in examples] == [pytest.approx(math.exp(r)) for r in (-1, 1, 1)]


def test_right_is_what_the_judge_said_whatever_it_is_worth():
    """A recipe may pay 0.5 for a right reply, or 1 for one that cannot be read."""
    right, unread = replace(R, reward=0.5), Turn("?", Verdict.UNPARSABLE, 1.0, feedback="?", reply_ids=(1,))
    examples, _, _ = build([trajectory(right, unread)])
    assert dataset_report(examples, Counter(), Counter()).by_source == {"student, not right": 1, "student, right": 1}
    assert names(build([trajectory(right, unread)], rule="success")[0]) == [(0, "4", "student")]


def test_a_right_attempt_that_is_restated_may_count_several_times():
    restated = replace(R, source="restate", feedback=None, reply="4, again")
    examples, _, _ = build([trajectory(W, R)], [improved(1, BETTER), improved(2, restated)], temperature=0.5, restate=3.0)
    right = math.exp(2)
    assert [(e.source, e.weight) for e in examples] == [
        ("student", 1.0),
        ("student", pytest.approx(right)),
        ("self", pytest.approx(right)),
        ("restate", pytest.approx(3 * right)),
    ]


def test_a_wrong_answer_that_was_given_before_need_not_train():
    again, unread = replace(W, reply="again 5"), Turn("?", Verdict.UNPARSABLE, 0.0, feedback="?", reply_ids=(1,))
    turns = trajectory(W, again, W2, R, unread, unread)
    examples, dropped, _ = build([turns], drop_repeated_answers=True)
    assert [e.reply for e in examples] == ["5", "6", "4", "?", "?"]  # a reply without an answer repeats none
    assert dropped["a wrong answer again"] == 1
    kept_right, _, _ = build([trajectory(R, R)], drop_repeated_answers=True)
    assert len(kept_right) == 2  # to say again what is right is no repeat to be rid of
    assert len(build([turns])[0]) == 6


def test_a_problem_nobody_improved_still_trains_its_own_turns():
    examples, _, _ = build([trajectory(W, R)])
    assert names(examples) == [(0, "5", "student"), (1, "4", "student")]


def test_improving_every_state_makes_branches_that_share_their_first_turns_once():
    first, second = replace(BETTER, reply="a 4"), replace(BETTER, reply="b 4")
    examples, _, counts = build([trajectory(W, W2)], [improved(1, first), improved(2, second)])
    assert names(examples) == [(0, "5", "student"), (1, "6", "student"), (1, "a 4", "self"), (2, "b 4", "self")]
    assert counts["judged replies"] == 4


def test_the_students_own_last_turn_is_not_lost_when_only_earlier_states_were_improved():
    # It found the answer at turn 2; state 1 was improved, state 2 needed nothing.
    examples, _, counts = build([trajectory(W, R)], [improved(1, BETTER)])
    assert names(examples) == [(0, "5", "student"), (1, "4", "student"), (1, "so 4", "self")]
    assert counts["judged replies"] == 3


def test_only_the_chosen_candidate_trains_and_the_others_move_the_centre():
    candidates = [replace(W, source="self"), replace(BETTER), replace(W2, source="self")]
    examples, _, _ = build([trajectory(W)], [improved(1, *candidates, chosen=1)], centre=True, temperature=0.5)
    # Judged replies to this problem: 5, 5, so 4, 6. Their mean reward is 1/4.
    assert names(examples) == [(0, "5", "student"), (1, "so 4", "self")]
    assert [e.weight for e in examples] == [pytest.approx(math.exp(-0.5)), pytest.approx(math.exp(1.5))]


def test_centring_one_lone_reply_leaves_weight_one_and_counts_it():
    examples, _, counts = build([trajectory(R)], centre=True)
    assert [e.weight for e in examples] == [1.0]
    assert counts["problems with one judged reply"] == 1


def test_replies_cut_at_the_limit_are_dropped_and_counted():
    cut = replace(W, finish="length")
    examples, dropped, _ = build([trajectory(cut, R)])
    assert names(examples) == [(1, "4", "student")]
    assert dropped["cut at the token limit"] == 1
    kept, dropped, _ = build([trajectory(cut, R)], drop_truncated=False)
    assert len(kept) == 2 and not dropped["cut at the token limit"]


def test_the_same_reply_to_the_same_state_trains_once():
    same = replace(W, source="self", reply=" 5 ", feedback=None)
    examples, dropped, _ = build([trajectory(W, W2)], [improved(1, replace(W2, source="self")), improved(2, same)])
    assert names(examples) == [(0, "5", "student"), (1, "6", "student"), (2, " 5 ", "self")]
    assert dropped["repeat of the same reply"] == 1


def test_per_problem_keeps_the_heaviest_and_counts_the_rest():
    examples, dropped, _ = build([trajectory(W, W2)], [improved(2, BETTER)], per_problem=2)
    assert names(examples) == [(0, "5", "student"), (2, "so 4", "self")]
    assert dropped["more than per_problem"] == 1


def test_a_weight_that_underflows_to_nothing_is_dropped_and_counted():
    bad = replace(W, reward=-1.0)
    examples, dropped, _ = build([trajectory(bad, R)], temperature=0.001, clip=1.0)
    assert names(examples) == [(1, "4", "student")]
    assert dropped["weight 0"] == 1  # exp(-1000) is 0


def test_a_temperature_too_cold_for_floating_point_is_an_error_with_a_way_out():
    with pytest.raises(ConfigError, match="Raise weigh"):
        build([trajectory(R)], temperature=0.001)  # exp(1000)


def test_an_unjudged_reply_raises_since_a_missing_reward_is_no_zero():
    with pytest.raises(DataError, match="unjudged"):
        build([trajectory(Turn("5", feedback="?"))])


def test_mean_one_over_the_round():
    examples, _, _ = build([trajectory(W)], [improved(1, BETTER)])
    weights = [e.weight for e in scaled(examples, "mean-one")]
    assert sum(weights) == pytest.approx(2.0)
    assert weights[1] / weights[0] == pytest.approx(math.exp(2.5))
    assert scaled(examples, "raw") == examples


def example(reply="4", finish="stop", prompt_ids=(), reply_ids=()):
    return Example("p", 0, (Message("user", "2+2"),), reply, "teacher", 1.0, 1.0, prompt_ids, reply_ids, finish)


def test_ids_are_rendered_where_a_reply_came_as_text(renderer):
    [ready] = with_ids([example()], renderer, max_length=100, dropped=Counter())
    assert renderer.tokenizer.convert_ids_to_tokens(list(ready.prompt_ids)) == ["<|u|>", "2", "+", "2", "<|a|>"]
    assert renderer.tokenizer.convert_ids_to_tokens(list(ready.reply_ids)) == ["4", "<|end|>"]


def test_a_reply_cut_at_the_limit_trains_without_an_end(renderer):
    [ready] = with_ids([example(finish="length")], renderer, max_length=100, dropped=Counter())
    assert renderer.tokenizer.convert_ids_to_tokens(list(ready.reply_ids)) == ["4"]


def test_sampled_ids_are_never_rendered_again(renderer):
    [ready] = with_ids([example(prompt_ids=(9, 9), reply_ids=(8,))], renderer, max_length=100, dropped=Counter())
    assert (ready.prompt_ids, ready.reply_ids) == ((9, 9), (8,))


def test_too_long_examples_are_dropped_and_counted(renderer):
    dropped = Counter()
    kept = with_ids([example(), example(reply="4" * 50)], renderer, max_length=20, dropped=dropped)
    assert len(kept) == 1 and dropped["longer than train.max_length"] == 1


def test_a_reply_cut_before_it_said_anything_is_dropped_and_counted(renderer):
    dropped = Counter()
    assert with_ids([example(reply="", finish="length")], renderer, max_length=100, dropped=dropped) == []
    assert dropped["no token to train on"] == 1


def test_the_report_counts_sources_rewards_and_weights():
    examples, dropped, counts = build([trajectory(W)], [improved(1, BETTER)], temperature=1 / math.log(3))  # weights 1 and 3
    ready = [replace(e, reply_ids=(1, 2)) for e in examples]
    summary = dataset_report(ready, dropped, counts).to_json()
    assert summary["n_examples"] == 2 and summary["n_trained_tokens"] == 4
    assert summary["by_source"] == {"self, right": 1, "student, not right": 1}
    assert summary["rewards"] == [[0.0, 1], [1.0, 1]]
    assert summary["weights"]["values"] == [[1.0, 1], [3.0, 1]]
    assert summary["weights"]["effective_sample_size"] == 1.6  # 4² / (1 + 9)


def test_nothing_left_to_train_on_says_why_and_what_to_do():
    examples, dropped, counts = build([trajectory(W)], rule="success")
    with pytest.raises(EmptyStageError, match=r"1 by keep rule.*Loosen keep\.rule"):
        dataset_report(examples, dropped, counts)


def test_examples_survive_their_file(tmp_path, renderer):
    ready = with_ids([example(), example(finish="length")], renderer, max_length=100, dropped=Counter())
    path = tmp_path / "examples.jsonl"
    write_jsonl(path, map(to_json, ready))
    assert list(read_examples(path)) == ready
    assert example_from_json(to_json(ready[0])) == ready[0]


def test_a_line_that_is_no_example_names_file_and_line(tmp_path):
    path = tmp_path / "examples.jsonl"
    path.write_text('{"problem_id": "p"}\n')
    with pytest.raises(DataError, match=r"examples\.jsonl, line 1: not an example"):
        list(read_examples(path))


def test_timed_out_replies_train_by_their_reward():
    slow = Turn("4", Verdict.TIMED_OUT, 0.0, feedback="?")
    examples, _, _ = build([trajectory(slow)])
    assert [e.weight for e in examples] == [1.0]


# --- several trajectories of a problem --------------------------------------------------------------------------------


def test_repeats_are_dropped_across_the_trajectories_of_a_problem_but_not_across_problems():
    two = [trajectory(W, W2), replace(trajectory(W, R), sample=1), trajectory(W, name="q")]
    examples, dropped, counts = build(two)
    # Both began with "5": one example. Their second replies stand at one state and differ: two.
    assert [(e.problem_id, e.turn, e.reply) for e in examples] == [("p", 0, "5"), ("p", 1, "6"), ("p", 1, "4"), ("q", 0, "5")]
    assert dropped["repeat of the same reply"] == 1 and counts["judged replies"] == 5
    assert len(build(two, deduplicate=False)[0]) == 5


def test_the_centre_is_the_mean_over_all_trajectories_of_the_problem():
    two = [trajectory(W), replace(trajectory(R), sample=1)]
    relabelled = [improved(1, replace(BETTER), replace(W2, source="self"))]
    examples, _, _ = build(two, relabelled, centre=True, temperature=0.5)
    # Judged: 5, 4, so 4, 6; mean 1/2.
    assert [e.weight for e in examples] == [pytest.approx(math.exp(x)) for x in (-1, 1, 1)]


def test_an_improved_reply_belongs_to_its_own_trajectory():
    two = [trajectory(W), replace(trajectory(W2), sample=1)]
    examples, _, _ = build(two, [replace(improved(1, BETTER), sample=1)], trained_turns="last")
    assert [m.content for m in examples[0].prompt if m.role == "assistant"] == ["6"]


def test_per_problem_counts_all_its_trajectories():
    two = [trajectory(W), replace(trajectory(R), sample=1)]
    examples, dropped, _ = build(two, per_problem=1)
    assert names(examples) == [(0, "4", "student")] and dropped["more than per_problem"] == 1


def test_repeats_are_dropped_across_rounds_and_the_earlier_stays():
    earlier, _, _ = build([trajectory(W, R)])
    later, _, _ = build([trajectory(W, W2)])
    dropped = Counter()
    kept = without_repeats([*earlier, *later], dropped)
    assert names(kept) == [(0, "5", "student"), (1, "4", "student"), (1, "6", "student")]
    assert dropped["repeat of the same reply"] == 1


# --- other choices ----------------------------------------------------------------------------------------------------


def test_equal_weights_are_plain_fine_tuning():
    examples, _, _ = build([trajectory(W)], [improved(1, BETTER)], weigh="equal", centre=True)
    assert [e.weight for e in examples] == [1.0, 1.0]


def test_clipping_bounds_the_raw_weight_before_scaling():
    examples, _, _ = build([trajectory(W)], [improved(1, BETTER)], clip=3.0)  # e^2.5 = 12.18 becomes 3
    assert [e.weight for e in scaled(examples, "mean-one")] == [0.5, 1.5]


def test_a_pair_is_one_reply_in_the_mean():
    two = [trajectory(W), replace(trajectory(R), sample=1)]
    examples, _, _ = build(two, [improved(1, replace(R, source="pair"))], centre=True, temperature=0.5)
    # Judged: 5 and 4. The pair's second half is the 4 again, at another state.
    assert names(examples) == [(0, "5", "student"), (1, "4", "pair"), (0, "4", "student")]
    assert [e.weight for e in examples] == [pytest.approx(math.exp(x)) for x in (-1, 1, 1)]


def test_what_a_teacher_refused_or_left_empty_is_dropped_and_counted_and_moves_no_mean():
    refused = Turn("I will not.", Verdict.UNPARSABLE, 0.0, source="teacher", finish="refused")
    empty = Turn("", Verdict.UNPARSABLE, 0.0, source="teacher")
    examples, dropped, _ = build([trajectory(R)], [improved(1, refused)], centre=True, drop_truncated=False)
    assert names(examples) == [(0, "4", "student")] and examples[0].weight == 1.0
    assert dropped["refused by the endpoint"] == 1
    examples, dropped, _ = build([trajectory(W)], [improved(1, empty)])
    assert names(examples) == [(0, "5", "student")] and dropped["empty reply of the teacher"] == 1
