"""Which of an improver's replies is taken: by the reward, by a vote that never sees gold, by a model that is asked."""

import asyncio
import json
import shutil

import pytest
from toys import problem, turn

from rise.method.choose import best, choice_text, choose, chose, majority, named
from rise.play.ledger import Ledger
from rise.play.player import Player
from rise.play.prompt import Prompt
from rise.policies.scripted import ScriptedPolicy
from rise.policy import Sampling
from rise.trajectory import Relabelled, Turn

P = problem("p", "2+2", "4")


PRICED = {"judge": "self", "judge_price_prompt": 2e6, "judge_price_reply": 5e6}


def replies(*answers):
    """Judged replies; "4" is right, None gave no answer."""
    return [Turn(f"so {a}", answer=a, reward=float(a == "4")) for a in answers]


@pytest.mark.parametrize(
    ("answers", "by_reward", "by_vote"),
    [
        (["5", "4", "5"], 1, 0),  # most say 5, the reward knows better
        (["5", "4", "4"], 1, 1),
        (["5", "4"], 1, 0),  # a tie goes to the answer given first
        ([None, "7", None], 0, 1),  # no answer never votes
        ([None, None], 0, 0),
    ],
)
def test_the_oracle_follows_the_reward_and_the_majority_never_sees_it(answers, by_reward, by_vote):
    candidates = replies(*answers)
    assert best(candidates) == by_reward
    assert majority(candidates, lambda a, b: a == b) == by_vote


def test_answers_that_the_judge_calls_equal_vote_together():
    # 1/2 and 0.5 are one answer with two votes, so 3 with one loses; the text written first is taken.
    candidates = [Turn(a, answer=a) for a in ("3", "1/2", "0.5")]
    assert majority(candidates, lambda a, b: {a, b} <= {"1/2", "0.5"} or a == b) == 1


@pytest.mark.parametrize(
    ("said", "n", "index"),
    [
        ("2", 3, 1),
        ("Reply 3.", 3, 2),
        ("Reply 1 adds wrongly.\nThe answer is reply 2 because 9 * 7 = 63.", 3, 1),
        ("0", 3, None),
        ("4", 3, None),
        ("2.5", 3, None),  # no number of a reply
        ("", 3, None),
        ("99999999999999999999", 3, None),
    ],
)
def test_what_a_choice_names(said, n, index):
    assert named(said, n) == index


def chooser(judge, path, answer):
    policy = ScriptedPolicy(lambda messages, seed: answer(messages[-1].content), name="chooser")
    return Player(policy, Prompt(), judge, Sampling(), Ledger(path), "round-1/select")


def test_a_model_is_asked_with_the_replies_alone_and_its_words_are_kept(judge, tmp_path):
    asked = []

    def answer(text):
        asked.append(text)
        return "number 2"

    item = Relabelled("p", 1, (turn("5", 0), turn("5", 0), turn("4", 1)), 0)
    player = chooser(judge, tmp_path / "l", answer)
    [found] = asyncio.run(choose(player, [P], [item]))
    assert asked == [choice_text("2+2", ["5", "4"])]  # equal texts once; no verdict, no gold
    assert (found.reply.reply, found.choice, chose(found)) == ("4", "number 2", True)
    # Asked once: whatever is in the ledger is not asked for again.
    player.ledger.close()
    asyncio.run(choose(chooser(judge, tmp_path / "l", answer), [P], [item]))
    assert len(asked) == 1


def test_garbage_takes_the_first_and_can_be_counted(judge, tmp_path):
    item = Relabelled("p", 1, (turn("5", 0), turn("4", 1)), 0)
    [found] = asyncio.run(choose(chooser(judge, tmp_path / "l", lambda text: "I cannot say."), [P], [item]))
    assert (found.chosen, chose(found)) == (0, False)


def test_nobody_is_asked_about_one_reply(judge, tmp_path):
    def answer(text):
        raise AssertionError("asked")

    item = Relabelled("p", 1, (turn("5", 0), turn("5", 0)), 0)
    assert asyncio.run(choose(chooser(judge, tmp_path / "l", answer), [P], [item])) == [item]


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("select", ["majority", "judge"])
def test_a_whole_run_chooses_without_gold_and_improves_each_trajectory(select, tmp_path, monkeypatch):
    from toys import toy_recipe

    from rise.dataset.example import read_examples
    from rise.method.iterate import run
    from rise.trajectory import read_relabelled, read_trajectories

    monkeypatch.setattr("rise.training.train", lambda examples, start, out, *rest, **more: shutil.copytree(start, out) and {})
    config = toy_recipe(
        task={"n_train": 2, "n_validation": 2, "n_test": 2},
        boost={"enabled": False},
        rollout={"n_trajectories": 2},
        relabel={"select": select, **(PRICED if select == "judge" else {})},
        weigh={"rule": "equal"},
        dataset={"drop_truncated": False},
        sampling={"max_new_tokens": 4},
        evaluate={"turns": 2, "samples": 2, "controls": "none"},
        iterate={"rounds": 1},
    )
    stage = run(config, tmp_path / "run").stage("round-1")
    drawn, improved = list(read_trajectories(stage.trajectories)), list(read_relabelled(stage.relabelled))
    assert [(t.problem_id, t.sample) for t in drawn] == sorted((p, s) for p in {t.problem_id for t in drawn} for s in (0, 1))
    assert [(r.problem_id, r.sample) for r in improved] == [(t.problem_id, t.sample) for t in drawn]
    assert any(r.choice is not None for r in improved) == (select == "judge")
    purposes = {json.loads(line).get("purpose") for line in (tmp_path / "run/ledger.jsonl").read_text().splitlines()}
    assert ("round-1/select" in purposes) == (select == "judge")
    assert {e.weight for e in read_examples(stage.examples)} == {1.0}
    counts = json.loads(stage.dataset.read_text())["counts"]
    if select == "judge":  # an untrained model names nothing
        lines = [json.loads(line) for line in (tmp_path / "run/ledger.jsonl").read_text().splitlines()]
        said = [line["turn"] for line in lines if line.get("purpose") == "round-1/select" and "turn" in line]
        cost = sum(2 * turn["n_prompt_tokens"] + 5 * turn["n_reply_tokens"] for turn in said)  # prices are per million
        [logged] = [e for e in map(json.loads, (tmp_path / "run/metrics.jsonl").open()) if e.get("part") == "select"]
        assert logged["price"] == cost > 0
        unnamed = sum(not chose(r) for r in improved)
        assert counts.get("choices that named no reply", 0) == unnamed
