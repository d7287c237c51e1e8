"""Examples → rows → lines → batches: exact merging, tight packing, every example once, ranks in step."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rise.dataset.example import Example
from rise.errors import DataError
from rise.training.loss import tensors
from rise.training.rows import Row, make_rows, plan_batches

END = 2


def example(prompt_ids, reply_ids, weight=1.0, name="p"):
    return Example(name, 0, (), "", "student", 0.0, weight, tuple(prompt_ids), tuple(reply_ids))


def pairs(rows):
    return [list(zip(row.ids, row.weights, strict=True)) for row in rows]


def test_prompt_tokens_weigh_nothing_and_reply_tokens_the_examples_weight():
    [row] = make_rows([example([5, 6], [7, END], weight=3.0)], per="token", merge=True)
    assert pairs([row]) == [[(5, 0.0), (6, 0.0), (7, 3.0), (END, 3.0)]]
    assert (row.n_examples, row.n_trained) == (1, 2)


def test_per_sequence_spreads_the_weight_over_the_reply():
    [row] = make_rows([example([5], [7, 8, END], weight=3.0)], per="sequence", merge=True)
    assert row.weights == [0.0, 1.0, 1.0, 1.0]


def test_a_chain_of_turns_becomes_one_row_that_holds_each_reply_once():
    first = example([5], [7, END], weight=1.0)
    second = example([5, 7, END, 9], [8, END], weight=4.0)  # prompt, attempt, feedback 9
    [row] = make_rows([second, first], per="token", merge=True)
    assert pairs([row]) == [[(5, 0.0), (7, 1.0), (END, 1.0), (9, 0.0), (8, 4.0), (END, 4.0)]]
    assert (row.n_examples, row.n_trained) == (2, 4)


def test_branches_stay_apart_but_the_first_continues_the_chain():
    first, left = example([5], [7, END]), example([5, 7, END, 9], [8, END])
    right = example([5, 7, END, 9], [6, END])
    rows = make_rows([first, left, right], per="token", merge=True)
    assert [row.ids for row in rows] == [[5, 7, END, 9, 8, END], [5, 7, END, 9, 6, END]]
    assert rows[1].weights == [0.0, 0.0, 0.0, 0.0, 1.0, 1.0]  # the shared attempt trains once, in the first row
    assert sum(row.n_examples for row in rows) == 3


def test_a_cut_window_is_no_continuation():
    # With window = 1 the third state forgets the first attempt: not an extension of the second, so a row of its own.
    second, third = example([5, 7, END, 9], [8, END]), example([5, 8, END, 9], [6, END])
    assert len(make_rows([second, third], per="token", merge=True)) == 2


def test_only_exact_extensions_merge():
    first = example([5], [7, END])
    assert len(make_rows([first, example([5, 7, 9, 9], [8])], per="token", merge=True)) == 2  # other token
    assert len(make_rows([first, example([5, 7], [8])], per="token", merge=True)) == 2  # ends inside the reply
    assert len(make_rows([first, example([5, 7, END, 9], [8], name="q")], per="token", merge=True)) == 2  # other problem
    assert len(make_rows([first, example([5, 7, END, 9], [8])], per="token", merge=False)) == 2


def test_the_same_example_twice_trains_twice():
    rows = make_rows([example([5], [7]), example([5], [7])], per="token", merge=True)
    assert sum(row.n_trained for row in rows) == 2


def row(length):
    return Row([1] * length, [1.0] * length, 1, length)


def plan(lengths, **overrides):
    defaults = {
        "batch_size": 4,
        "epochs": 1,
        "max_steps": None,
        "line_length": 10,
        "micro_batch_tokens": 20,
        "world": 1,
        "seed": 0,
    }
    return plan_batches([row(n) for n in lengths], **{**defaults, **overrides})


def test_short_rows_share_a_line_and_long_ones_get_their_own():
    made = plan([6, 4, 10, 15], batch_size=4, micro_batch_tokens=1000)
    [batch] = made.batches
    assert sorted(sorted(line) for line in batch.lines) == [[0, 1], [2], [3]]


def test_a_batch_holds_at_most_its_tokens_unless_one_line_alone_is_longer():
    rows = [row(n) for n in [9, 9, 9, 9, 30]]
    made = plan_batches(rows, batch_size=5, epochs=1, max_steps=None, line_length=10, micro_batch_tokens=20, world=1, seed=0)
    areas = [len(b.lines) * max(sum(len(rows[i].ids) for i in line) for line in b.lines) for b in made.batches]
    assert sorted(areas) == [18, 18, 30]


def test_steps_are_even():
    made = plan([1] * 10, batch_size=4)  # 10 examples: two steps of 5, not 4 + 4 + 2
    assert made.n_steps == 2
    assert [sum(len(line) for line in b.lines) for b in made.batches] == [5, 5]


def test_max_steps_and_parts_of_epochs():
    assert plan([1] * 8, epochs=3).n_steps == 6
    assert plan([1] * 8, epochs=3, max_steps=4).n_steps == 4
    half = plan([1] * 8, epochs=1.5)
    assert half.n_steps == 3 and sum(len(line) for b in half.batches for line in b.lines) == 12
    assert plan([1], epochs=0.01).n_steps == 1  # training on nothing is never meant


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 25), min_size=1, max_size=40),
    st.integers(1, 16),
    st.integers(1, 4),
    st.integers(8, 40),
    st.integers(8, 80),
    st.integers(0, 5),
)
def test_every_row_once_an_epoch_and_every_rank_equally_many_batches(lengths, batch_size, world, line, tokens, seed):
    made = plan(lengths, batch_size=batch_size, world=world, line_length=line, micro_batch_tokens=tokens, seed=seed, epochs=2)
    assert len(made.batches) == made.n_steps * made.accumulation * world
    used = Counter(i for batch in made.batches for members in batch.lines for i in members)
    assert used == dict.fromkeys(range(len(lengths)), 2)


def test_two_ranks_share_a_step_before_one_of_them_is_filled():
    made = plan([10, 10, 10, 10], batch_size=4, micro_batch_tokens=1000, world=2)
    assert [len(b.lines) for b in made.batches] == [2, 2]
    assert made.accumulation == 1


def test_a_rank_without_work_gets_an_empty_batch_that_weighs_nothing():
    made = plan([10], batch_size=1, world=4)
    assert [len(b.lines) for b in made.batches] == [1, 0, 0, 0]
    empty = tensors([], pad_id=0)
    assert empty["weights"].sum() == 0 and empty["input_ids"].shape == (1, 2)


def test_the_seed_decides_the_order_and_nothing_else_does():
    assert plan([1] * 50, seed=1).batches == plan([1] * 50, seed=1).batches
    assert plan([1] * 50, seed=1).batches != plan([1] * 50, seed=2).batches


def test_lines_become_tensors_whose_positions_start_again_with_each_row():
    line = [Row([5, 6, 7], [0.0, 1.0, 2.0]), Row([8, 9], [0.0, 3.0])]
    made = tensors([line, [Row([4] * 6, [0.0] * 5 + [1.0])]], pad_id=0)
    assert made["input_ids"].tolist() == [[5, 6, 7, 8, 9, 0], [4] * 6]
    assert made["position_ids"].tolist() == [[0, 1, 2, 0, 1, 0], [0, 1, 2, 3, 4, 5]]
    assert made["weights"].tolist() == [[0.0, 1.0, 2.0, 0.0, 3.0, 0.0], [0.0] * 5 + [1.0]]


def test_the_first_token_of_a_row_is_never_a_target():
    # Rows begin with a prompt; its first token would be predicted from the row before it on the same line.
    for broken in (example([], [7, END]), example([5], [])):
        with pytest.raises(DataError, match="has no prompt or no reply tokens"):
            make_rows([broken], per="token", merge=True)


def test_a_number_of_target_tokens_decides_in_place_of_epochs():
    rows = [Row([1, 2, 3], [0.0, 1.0, 1.0], n_trained=2) for _ in range(5)]  # 10 targets an epoch
    for wanted, got in ((24, 24), (25, 26), (10, 10), (1, 2), (9, 10), (8, 8), (100, 100)):
        plan = plan_batches(
            rows,
            batch_size=2,
            epochs=7.0,
            max_steps=None,
            line_length=8,
            micro_batch_tokens=8,
            world=1,
            seed=0,
            trained_tokens=wanted,
        )
        used = Counter(i for batch in plan.batches for line in batch.lines for i in line)
        assert plan.n_trained_tokens == 2 * sum(used.values()) == got
        assert max(used.values()) - min(used[i] for i in range(5)) <= 1  # whole epochs, and then some of each once


@given(st.lists(st.integers(1, 9), min_size=1, max_size=12), st.integers(1, 200), st.integers(0, 3))
def test_the_number_of_target_tokens_is_met_within_half_a_row(lengths, wanted, seed):
    rows = [Row([0] * n, [1.0] * n, n_trained=n) for n in lengths]
    plan = plan_batches(
        rows,
        batch_size=4,
        epochs=1.0,
        max_steps=None,
        line_length=8,
        micro_batch_tokens=8,
        world=1,
        seed=seed,
        trained_tokens=wanted,
    )
    n_used = sum(len(line) for batch in plan.batches for line in batch.lines)
    assert abs(plan.n_trained_tokens - wanted) <= max(lengths) / 2 or n_used == 1


def test_an_empty_mask_is_refused_with_the_example_shown():
    from rise.trajectory import Message

    empty = Example("p7", 2, (Message("user", "What is 2+2?"),), "####4", "self", 1.0, 1.0, (5, 6), ())
    with pytest.raises(DataError, match=r"p7, turn 2.*2 tokens for 'What is 2\+2\?', 0 for the reply '####4'"):
        make_rows([empty], per="token", merge=True)


def test_a_template_without_generation_markers_trains_the_reply_and_nothing_else(renderer):
    """The mask comes from where the reply begins, not from what a template says of itself."""
    from rise.trajectory import Message

    assert "{% generation" not in renderer.tokenizer.chat_template
    messages, reply = [Message("user", "2+2"), Message("assistant", "5"), Message("user", "?")], "2+2=4"
    [made] = make_rows([example(renderer.prompt_ids(messages), renderer.reply_ids(messages, reply))], per="token", merge=True)
    trained = [token for token, weight in zip(made.ids, made.weights, strict=True) if weight]
    assert renderer.tokenizer.decode(trained) == "2+2=4<|end|>"
    assert renderer.tokenizer.decode(made.ids) == "<|u|>2+2<|a|>5<|end|><|u|>?<|a|>2+2=4<|end|>"
