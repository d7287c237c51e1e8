"""A model that says when it is right: what it is asked, where its run ends, what verdicts and stops are worth, by hand."""

import asyncio
import json

import pytest
from synthetic_run import write_run
from toys import problem

from rise.errors import ConfigError, DataError
from rise.evaluation.evaluate import evaluate
from rise.evaluation.held_out import HeldOut, held_out_from_json
from rise.evaluation.metrics import measure
from rise.method.evaluate import price_of
from rise.play.context_length import check_context
from rise.play.ledger import Ledger
from rise.play.player import Player
from rise.play.prompt import Prompt
from rise.policies.scripted import ScriptedPolicy
from rise.policy import Sampling
from rise.recipe.config import StateConfig
from rise.recipe.verify import VerifyConfig
from rise.report.claims import claims, headline
from rise.report.collect import collect
from rise.report.own_stop import own_stop_words
from rise.report.result_tables import main_table
from rise.report.words import glossary
from rise.trajectory import Turn, Verdict, to_json

ASK = VerifyConfig(ask="hit {attempt}", right="y", wrong="n", max_new_tokens=4)
P, Q = problem("p", "2+2", "4"), problem("q", "3*3", "9")
ATTEMPTS = {"2+2": ["so 5", "so 4", "so 7"], "3*3": ["so 6", "so 9", "so 9"]}
SAYS = {"so 5": "n", "so 4": "Y.", "so 7": "n", "so 6": "hm", "so 9": "n"}


class Watching(ScriptedPolicy):
    """Attempts from the table, verdicts from the other; remembers what was asked, and how."""

    def __init__(self):
        super().__init__(self.says)
        self.asked, self.samplings = [], []

    def says(self, messages, seed):
        contents = [m.content for m in messages]
        self.asked.append(contents)
        if contents[-1].startswith("hit"):
            return SAYS[contents[-2]]
        return ATTEMPTS[contents[0]][sum(m.role == "assistant" for m in messages)]

    async def reply(self, request):
        self.samplings.append((request.messages[-1].content, request.sampling))
        return await super().reply(request)


def played(policy, judge, path, **settings):
    with Ledger(path / "ledger.jsonl") as ledger:
        prompt = Prompt(feedback_text="no", verify=ASK)
        at_work = Player(policy, prompt, judge, Sampling(), ledger, "evaluate")
        return asyncio.run(evaluate(at_work, [P, Q], n_turns=3, n_samples=1, **settings)), at_work.usage


def test_a_run_ends_where_the_model_calls_its_attempt_right(judge, tmp_path):
    policy = Watching()
    (stopped, whole), _ = played(policy, judge, tmp_path)
    assert [t.reply for t in stopped.run] == ["so 5", "so 4"] and [t.reply for t in whole.run] == ["so 6", "so 9", "so 9"]
    assert [t.own_verdict.verdict for t in stopped.run] == [Verdict.WRONG, Verdict.RIGHT]
    assert [t.own_verdict.verdict for t in whole.run[:2]] == [Verdict.UNPARSABLE, Verdict.WRONG]
    assert whole.run[2].own_verdict is None  # nothing would follow
    assert stopped.other == whole.other == stopped.beyond == whole.beyond == ()  # no attempts to lend, and not asked for
    assert held_out_from_json(to_json(stopped)) == stopped


def test_it_is_asked_about_the_attempt_alone_and_later_states_do_not_show_it(judge, tmp_path):
    policy = Watching()
    played(policy, judge, tmp_path)
    of_p = [asked for asked in policy.asked if asked[0] == "2+2"]
    assert of_p == [
        ["2+2"],
        ["2+2", "so 5", "hit 1"],
        ["2+2", "so 5", "no"],
        ["2+2", "so 5", "no", "so 4", "hit 2"],
    ]
    verdicts = {sampling for last, sampling in policy.samplings if last.startswith("hit")}
    assert verdicts == {Sampling(temperature=0.0, top_p=1.0, max_new_tokens=4)}


def test_a_measurement_that_was_stopped_asks_nothing_again(judge, tmp_path):
    first, _ = played(Watching(), judge, tmp_path, play_on=True)
    again, usage = played(Watching(), judge, tmp_path, play_on=True)
    assert again == first and usage.n_replies == 0 and usage.n_reused > 0


def test_played_on_it_takes_the_turns_of_a_run_without_a_stop(judge, tmp_path):
    (stopped, whole), _ = played(Watching(), judge, tmp_path, play_on=True)
    assert [t.reply for t in stopped.run] == ["so 5", "so 4"] and [t.reply for t in stopped.beyond] == ["so 7"]
    assert whole.beyond == () and all(t.own_verdict is None for t in stopped.beyond)


def test_the_critique_of_the_attempt_it_stopped_at_is_kept_and_paid_for_by_the_turn_after_it(judge, tmp_path):
    """Attempts of 3 words, a critique of 8, a verdict of 1: 4 words with the stop, 3 + 8 + 3 = 14 without."""

    def says(messages, seed):
        last = messages[-1].content
        return {"hit 1": "y", "why": "it is not so since two is three"}.get(last, "it is 5")

    with Ledger(tmp_path / "ledger.jsonl") as ledger:
        prompt = Prompt(feedback="self-refine", critique_text="why", verify=ASK)
        at_work = Player(ScriptedPolicy(says), prompt, judge, Sampling(), ledger, "evaluate")
        [found] = asyncio.run(evaluate(at_work, [P], n_turns=2, n_samples=1, play_on=True))
    [stopped], [beyond] = found.run, found.beyond
    assert stopped.critique.reply.startswith("it is not") and stopped.feedback is None and beyond.critique is None
    own = of([found], turns=2)["own_stop"]
    assert own["tokens"]["generated_tokens"] == 4
    assert own["played_on"]["tokens"]["generated_tokens"] == 14
    assert own["played_on"]["saved"]["generated_tokens"] == pytest.approx(1 - 4 / 14)
    replies = [*found.run, *found.beyond, *(turn for reply in (*found.run, *found.beyond) for turn in reply.beside)]
    read = sum(turn.n_prompt_tokens for turn in replies)
    assert at_work.usage.n_reply_tokens == 15 and at_work.usage.n_prompt_tokens == read  # nothing drawn is lost
    assert price_of([found], 1e6, 1e6) == read + 15


# --- the numbers of docs/metrics.md ------------------------------------------------------------------------------------


def turn(right, says=None):
    own = {"y": Verdict.RIGHT, "n": Verdict.WRONG, "?": Verdict.UNPARSABLE}.get(says)
    said = None if own is None else Turn(says, own, n_prompt_tokens=20, n_reply_tokens=1)
    verdict = Verdict.RIGHT if right else Verdict.WRONG
    return Turn("", verdict, float(right), "a" if right else "b", own_verdict=said, n_prompt_tokens=10, n_reply_tokens=3)


def row(name, run, beyond=()):
    """`0n 1y`: wrong and called wrong, right and called right."""
    turns = tuple(turn(word[0] == "1", word[1:] or None) for word in run.split())
    return HeldOut(name, "q", "a", turns, beyond=tuple(turn(right) for right in beyond))


THREE = [row("a", "0n 1y", [0]), row("b", "0y", [1, 1]), row("c", "1n 0n 1")]


def of(records, turns=3):
    return measure(records, lambda left, right: left == right, turns=turns)


def test_precision_recall_and_stops():
    found = of(THREE)["own_stop"]
    assert (found["precision"]["value"], found["precision"]["n"]) == (1 / 2, 2)  # a's right one, b's wrong one
    assert (found["recall"]["value"], found["recall"]["n"]) == (1 / 2, 2)  # a's, not c's first; c's last was not asked about
    assert found["stopped"]["value"] == pytest.approx(2 / 3) and found["wrong_stops"]["value"] == pytest.approx(1 / 3)
    assert found["turns"] == 2 and found["unreadable"]["value"] == 0
    assert of([row("d", "0? 1y")])["own_stop"]["unreadable"]["value"] == 1 / 2


def test_the_reply_it_stopped_at_stands_for_the_turns_not_taken():
    m = of(THREE)
    assert [e["value"] for e in m["accuracy_by_turn"]] == pytest.approx([1 / 3, 1 / 3, 2 / 3])
    assert m["t3"]["value"] == pytest.approx(2 / 3) and m["chain"] is None
    assert [c["samples"] for c in m["compute"]["sequential"]] == pytest.approx([1, 5 / 3, 2])
    # Turn 1: 3 replies of 3 tokens and 3 verdicts of 1; turn 2: two of each; turn 3: a reply.
    assert [c["generated_tokens"] for c in m["compute"]["sequential"]] == pytest.approx([12 / 3, 20 / 3, 23 / 3])
    assert m["compute"]["parallel"][0]["generated_tokens"] == 3  # a verdict is no part of a sample's price


def test_tokens_saved_and_what_stopping_cost():
    m = of(THREE)
    on = m["own_stop"]["played_on"]
    assert m["own_stop"]["tokens"] == {"generated_tokens": pytest.approx(23 / 3), "all_tokens": pytest.approx(23 / 3 + 160 / 3)}
    assert on["tokens"] == {"generated_tokens": 9, "all_tokens": 39}
    assert on["saved"]["generated_tokens"] == pytest.approx(4 / 27) and on["saved"]["all_tokens"] == pytest.approx(1 - 61 / 39)
    assert on["accuracy"]["value"] == pytest.approx(2 / 3)  # a lost, b and c right
    cost = m["paired"]["t3-beyond"]
    assert (cost["value"], cost["n"]) == (0.0, 2)  # a: right instead of wrong; b: wrong instead of right


def test_what_was_not_played_on_is_not_known():
    found = of([row("a", "0n 1y"), row("c", "1n 0n 1")])
    assert found["own_stop"]["played_on"] is None and found["paired"]["t3-beyond"]["value"] is None
    assert of([row("c", "1 0 1")])["own_stop"] is None


def test_a_run_that_is_short_for_no_reason_is_refused():
    with pytest.raises(DataError, match="has 1 turns where 3 were expected"):
        of([row("a", "0n"), row("c", "1n 0n 1")])


def test_the_report_says_it_in_a_sentence():
    said = own_stop_words(of(THREE)).replace("\u00a0", " ")
    assert said == (
        "It stops by its own verdict on 66.7 % of problems, wrongly on 33.3 % (precision 50.0, recall 50.0), and takes 2 turns "
        "on average; this saves 14.8 % of the tokens that all turns would generate."
    )
    assert own_stop_words(of([row("c", "1 0 1")])) == ""


def test_a_vote_over_turns_that_were_not_taken_is_no_vote_at_equal_samples(tmp_path):
    """Yes at turn 1 of all 40 problems, 8 of them right; five samples each, of which three are right."""
    samples = tuple(turn(right) for right in (1, 1, 1, 0))
    rows = [HeldOut(f"p{i}", "q", "a", row("", "1y" if i < 8 else "0y").run, samples) for i in range(40)]
    metrics = of(rows, turns=5)
    assert metrics["compute"]["sequential"][-1]["samples"] == 1 and metrics["compute"]["parallel"][-1]["samples"] == 5
    run = write_run(tmp_path / "run", {"base": [("r", "rrrr", "")]})
    run.stage("base").metrics.write_text(json.dumps(metrics | {"stage": "base"}))
    data = collect(run.path)
    said = headline(data).replace("\u00a0", " ")
    assert "With 1 turn on average, ended by the model's own verdict, against 5 samples, a vote over the turns loses" in said
    assert "equal numbers of samples" not in said + main_table(data).caption + glossary(data)["equal compute"]
    [vote] = [claim for claim in claims(data) if "vote over 5 turns" in claim.question]
    assert vote.detail.endswith("; 1 turn on average against 5 samples")


def test_a_vote_is_over_the_replies_that_were_written():
    """Wrong and called wrong, right and called right: one vote each. Were the last reply to stand for the rest, four of five."""
    assert of([row("a", "0n 1y")], turns=5)["m1@t5"]["value"] == 1 / 2


# --- settings ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words", [{"right": "yes", "wrong": "yesno"}, {"right": "No", "wrong": "no"}, {"right": " "}, {"ask": " "}]
)
def test_words_that_cannot_be_told_apart_are_refused(words):
    with pytest.raises(ValueError, match=r"state\.verify"):
        StateConfig(verify=words)


def test_true_takes_the_built_in_words():
    assert StateConfig(verify=True).verify == VerifyConfig() and StateConfig().verify is False


def test_with_nothing_shown_it_still_sees_the_attempt_it_is_asked_about():
    prompt = Prompt(window=0, verify=ASK)
    turns = [Turn("5", feedback="?"), Turn("6")]
    assert [m.content for m in prompt.verify_messages(P, turns)] == ["2+2", "6", "hit 1"]


def test_a_question_that_does_not_fit_is_refused_before_anything_is_drawn(renderer):
    """A token a character: 3 of the question, 3 full replies of 30, and the words."""
    prompt = Prompt(feedback_text="?", verify=VerifyConfig(ask="is it right " * 8, right="y", wrong="n"))
    check_context(prompt, renderer, [P], limit=300, attempts=2, max_new_tokens=30)
    with pytest.raises(ConfigError, match=r"too small to ask for a verdict: 2 attempts .* built for 170"):
        check_context(prompt, renderer, [P], limit=170, attempts=2, max_new_tokens=30)


def test_words_without_a_token_are_refused_before_anything_is_drawn(renderer):
    prompt = Prompt(feedback_text="?", verify=VerifyConfig(ask="¿{attempt}?", right="y", wrong="n"))
    with pytest.raises(ConfigError, match=r"state\.verify = .* has no token for '¿'"):
        check_context(prompt, renderer, [P], limit=300, attempts=1, max_new_tokens=8)
    check_context(prompt, renderer, [P], limit=300, attempts=0, max_new_tokens=8)  # nothing is asked about
