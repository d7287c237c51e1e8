"""The control that decides: RISE's own replies, trained as if no attempt had been shown."""

from toys import problem, turn

from rise.dataset.build import build_examples, internalised
from rise.play.prompt import Prompt
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
