"""Evaluation: five parallel first replies, one unstopped run whose turn 1 is the first of them, and the control."""

import asyncio

import pytest
from toys import problem

from rise.evaluation.evaluate import evaluate
from rise.play.ledger import Ledger
from rise.play.player import Player
from rise.play.prompt import Prompt
from rise.policies.scripted import ScriptedPolicy
from rise.policy import Sampling

P, Q = problem("p", "2+2", "4"), problem("q", "3*3", "9")


class Telling(ScriptedPolicy):
    """Replies with what it was shown: question, attempts, and a number per request."""

    def __init__(self, answer=lambda question, n: n):
        super().__init__(lambda messages, seed: "")
        self.answer, self.seen, self.seeds = answer, [], []

    def script_for(self, request, i):
        question = request.messages[0].content
        shown = [m.content for m in request.messages if m.role == "assistant"]
        return f"{question} [{' | '.join(a.split()[-1] for a in shown)}] {self.answer(question, len(shown) * 10 + i)}"

    async def reply(self, request):
        self.seen.append([m.content for m in request.messages])
        self.seeds.append(request.seeds)
        self.script = lambda messages, seed: self.script_for(request, request.seeds.index(seed))
        return await ScriptedPolicy.reply(self, request)


def play(policy, judge, tmp_path, problems=(P, Q), prompt=None, **settings):
    with Ledger(tmp_path / "ledger.jsonl") as ledger:
        player = Player(policy, prompt or Prompt(feedback_text="no"), judge, Sampling(), ledger, "evaluate")
        return asyncio.run(evaluate(player, problems, **settings))


def test_the_run_begins_with_the_first_of_the_parallel_samples(judge, tmp_path):
    policy = Telling()
    [record, _] = play(policy, judge, tmp_path, n_turns=3, n_samples=5, control=False)
    assert [t.reply for t in record.run] == ["2+2 [] 0", "2+2 [0] 10", "2+2 [0 | 10] 20"]
    assert [t.reply for t in record.samples] == ["2+2 [] 1", "2+2 [] 2", "2+2 [] 3", "2+2 [] 4"]
    assert len(policy.seen) == 2 * 3  # the five samples in one request, then two turns


def test_nothing_stops_a_run_without_an_oracle(judge, tmp_path):
    policy = Telling(answer=lambda question, n: "4")
    [record, _] = play(policy, judge, tmp_path, n_turns=4, n_samples=2, control=False)
    assert [t.right for t in record.run] == [True] * 4


def test_an_oracle_stops_at_the_first_right_reply(judge, tmp_path):
    policy = Telling(answer=lambda question, n: "4" if n >= 10 else "5")
    [record, other] = play(policy, judge, tmp_path, prompt=Prompt(feedback="truthful"), n_turns=4, n_samples=2, control=False)
    assert [t.right for t in record.run] == [False, True]  # 2+2 found at turn 2
    assert len(other.run) == 4  # 3*3 never


def test_the_last_turn_carries_no_feedback_and_the_others_do(judge, tmp_path):
    [record, _] = play(Telling(), judge, tmp_path, n_turns=3, n_samples=1, control=False)
    assert [t.feedback for t in record.run] == ["no", "no", None]


def test_the_control_shows_the_attempts_of_the_next_problem(judge, tmp_path):
    policy = Telling(answer=lambda question, n: f"{question}:{n}")
    [first, second] = play(policy, judge, tmp_path, n_turns=3, n_samples=1)
    # Question 2+2 with the attempts at 3*3, in the order 3*3 saw them; and the other way round.
    assert [t.reply for t in first.other] == ["2+2 [3*3:0] 2+2:10", "2+2 [3*3:0 | 3*3:10] 2+2:20"]
    assert [t.reply.split()[0] for t in second.other] == ["3*3", "3*3"]
    assert ["2+2", "3*3 [] 3*3:0", "no"] in policy.seen


def test_an_oracle_gets_no_control_and_the_player_is_given_back_as_it_was(judge, tmp_path):
    policy = Telling()
    records = play(policy, judge, tmp_path, prompt=Prompt(feedback="truthful"), n_turns=2, n_samples=1)
    assert all(record.other == () for record in records)
    with Ledger(tmp_path / "other.jsonl") as ledger:
        player = Player(Telling(), Prompt(feedback_text="no"), judge, Sampling(), ledger, "evaluate")
        first, second = (asyncio.run(evaluate(player, [P, Q], n_turns=2, n_samples=1)) for _ in range(2))
    assert player.purpose == "evaluate"
    assert first == second and player.usage.n_reused == 6  # the same streams again: 2 problems, 2 turns and a control


def test_the_control_has_its_own_random_streams(judge, tmp_path):
    policy = Telling()
    play(policy, judge, tmp_path, n_turns=2, n_samples=2)
    drawn = [seed for seeds in policy.seeds for seed in seeds]
    assert len(drawn) == len(set(drawn)) == 2 * (2 + 1 + 1)


@pytest.mark.parametrize(
    "settings",
    [{"problems": (P,)}, {"n_turns": 1}, {"prompt": Prompt(window=0)}],
    ids=["one problem has no neighbour", "one turn shows nothing", "no attempt is ever shown"],
)
def test_no_control_where_it_would_mean_nothing(judge, tmp_path, settings):
    records = play(Telling(), judge, tmp_path, **{"n_turns": 2, "n_samples": 1, **settings})
    assert all(record.other == () for record in records)


def test_window_0_is_resampling_with_the_question_alone(judge, tmp_path):
    policy = Telling()
    play(policy, judge, tmp_path, prompt=Prompt(window=0), n_turns=3, n_samples=1)
    assert all(len(messages) == 1 for messages in policy.seen)
    assert len({seed for seeds in policy.seeds for seed in seeds}) == 6  # but drawn anew each turn


def test_an_interrupted_evaluation_asks_only_for_the_rest(judge, tmp_path):
    whole = play(Telling(), judge, tmp_path, n_turns=3, n_samples=2)
    policy = Telling()
    assert play(policy, judge, tmp_path, n_turns=3, n_samples=2) == whole
    assert policy.seen == []
