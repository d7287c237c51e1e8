"""Forecasts by hand: the two chains, the share that was reached, the error on a task left out, what is suggested."""

import asyncio
import json

import pytest
from synthetic_run import CONFIG, ROUND_1, held_out, same, write_run
from toys import problem

from rise.cli.forecast import lines
from rise.evaluation.forecast import Calibration, Quantities, Trained, calibrate, forecast
from rise.evaluation.uncertainty import NOTHING, Estimate
from rise.method.forecast import ask, of_records, trained_runs
from rise.play.ledger import Ledger
from rise.play.player import Player
from rise.play.prompt import Prompt
from rise.policies.scripted import ScriptedPolicy
from rise.policy import Sampling
from rise.recipe.verify import VerifyConfig

NONE = Calibration((), None, None, None, 0, {})


def rate(p, half=0.0):
    return Estimate(p, p - half, p + half, 100)


def quantities(accuracy=0.2, supply=0.9, ecr=0.25, eir=0.8, **more):
    return Quantities(100, 8, rate(accuracy), rate(0.9), rate(supply), rate(ecr, 0.05), rate(eir, 0.05), **more)


def test_the_gain_lies_between_two_chains():
    # As it is: turn 2 = .2 · .2 + .8 · .25 = .24; keeping: .2 + .8 · .25 = .40. Two turns.
    found = forecast(quantities(), NONE, turns=2)
    assert (found.floor.value, found.ceiling.value) == (pytest.approx(0.04), pytest.approx(0.20))
    # Ends of the rates: repaired .20 … .30, and the floor breaks .85 … .75.
    assert (found.ceiling.low, found.ceiling.high) == (pytest.approx(0.16), pytest.approx(0.24))
    assert found.floor.low == pytest.approx(0.2 * 0.15 + 0.8 * 0.20 - 0.2)


def test_without_four_tasks_no_number_is_given():
    found = forecast(quantities(), calibrate([Trained("a", {"ceiling": 0.2}, 0.1)]), turns=2)
    assert found.gain.value is None
    assert (found.gain.low, found.gain.high) == (found.floor.low, found.ceiling.high)
    assert any("not calibrated: finished runs of a, and four tasks are needed" in line for line in lines(found))


def test_a_task_left_out_is_forecast_from_the_others():
    # Ceilings .2 everywhere, gains .1 .1 .1 .3: the last is forecast .1 (off .2), each other from (.1 .1 .3): .1667 (off .0667).
    runs = [Trained(t, {"ceiling": 0.2}, g) for t, g in zip("abcd", (0.1, 0.1, 0.1, 0.3), strict=True)]
    found = calibrate(runs)
    assert found.share == pytest.approx(0.75)  # Σ xy ÷ Σ x² = .2 · .6 / (4 · .04)
    assert found.error == pytest.approx(((3 * 0.0667**2 + 0.2**2) / 4) ** 0.5, abs=1e-4)
    assert found.worst == pytest.approx(0.2)
    assert found.correlations == {}  # the ceiling does not vary


def test_seeds_of_one_task_are_one_task():
    runs = [Trained("a", {"ceiling": 0.1 * k}, 0.1 * k) for k in range(1, 6)]
    assert calibrate(runs).tasks == ("a",) and not calibrate(runs).calibrated


def test_a_calibrated_forecast_has_a_number_and_an_interval_as_wide_as_its_few_tasks_make_it():
    # Four tasks: t = 3.182 with three degrees of freedom; half the width is 3.182 · .03 = .0955.
    calibration = Calibration(("a", "b", "c", "d"), 0.5, 0.03, 0.05, 4, {"ceiling": 0.9})
    found = forecast(quantities(), calibration, turns=2)
    assert (found.gain.value, found.gain.low, found.gain.high) == pytest.approx((0.1, 0.0045, 0.1955), abs=1e-4)
    assert any("finished runs of 4 tasks" in line for line in lines(found))


def test_a_model_with_nothing_to_learn_from_is_sent_to_a_teacher():
    assert forecast(quantities(supply=0.02, ecr=0.005), NONE).improver == "teacher"
    assert forecast(quantities(), NONE).improver == "self"


def test_a_teacher_writes_one_reply_a_state_and_its_tokens_count():
    # Of each of 800 problems, round 1: the turn, 300 tokens, and its state, 400 + 200. Round 2: 300 + 600, and 600 + 900.
    found = forecast(quantities(supply=0.02, ecr=0.0, prompt_tokens=100.0, reply_tokens=200.0), NONE)
    assert (found.improver, found.n_samples, found.tokens) == ("teacher", 1, 800 * 3300)
    assert "Take: improver teacher, N = 1, 2 rounds, 5 turns." in lines(found)


def test_a_price_needs_prices():
    q = quantities(prompt_tokens=10.0, reply_tokens=4.0)
    assert forecast(q, NONE).price is None
    # One problem, one round, N = 4 (half of .25 once: 1 − .75³ = .578 with 3, at least 4): reads 10 + 4 · 24, writes 4 + 16.
    found = forecast(q, NONE, n_train=1, rounds=1, price_prompt=1e6, price_reply=1e6)
    assert (found.n_samples, found.tokens, found.price) == (4, 126, 126)


def test_what_was_never_seen_is_no_number():
    q = Quantities(10, 8, rate(1.0), rate(1.0), NOTHING, ecr=NOTHING, eir=rate(0.0))
    found = forecast(q, NONE)
    assert found.gain == NOTHING and found.ceiling.value is None
    assert lines(found)


# --- read off records ---------------------------------------------------------------------------------------------------


def read(patterns, **more):
    q = of_records([held_out(i, pattern) for i, pattern in enumerate(patterns)], same, 5, **more)
    return q.accuracy.value, q.ecr.value, q.eir.value, q.n_problems


def test_two_turns_are_read_off_runs_of_five_with_their_control():
    # Four of eight are wrong at turn 1, of which one is right at turn 2; four are right, of which one is wrong at turn 2.
    assert read(ROUND_1)[1:] == (1 / 4, 1 / 4, 8)


def test_runs_that_an_oracle_ended_at_turn_one_are_read_too():
    # Of 2 · 5 first replies 5 + 0 are right; the wrong one is mended at once, and what ended right broke nothing.
    assert read([("r", "rrrr", ""), ("wr", "wwww", "")], truthful=True) == (1 / 2, 1.0, 0.0, 2)
    assert read([("r", "rrrr", ""), ("r", "rrrr", "")], truthful=True) == (1.0, None, 0.0, 2)


@pytest.mark.parametrize("told", [False, True])
def test_finished_claims_calibrate_whatever_their_base_was_measured_with(told, tmp_path):
    stopped = [(run[: run.index("r") + 1] if "r" in run else run, samples, "") for run, samples, _ in ROUND_1]
    run = write_run(
        tmp_path / "rise" / "seed-0", {"base": ROUND_1, "round-1": ROUND_1}, config=CONFIG.replace("rounds = 2", "rounds = 1")
    )
    if told:
        write_run(tmp_path / "told", {"base": stopped}, truthful=True)
        for file in ("held-out.jsonl", "metrics.json"):
            (run.stage("base").path / file).write_bytes((tmp_path / "told" / "base" / file).read_bytes())
    claims = [{"arms": {"rise on sums": "rise"}}]
    (tmp_path / "claims.json").write_text(json.dumps({"claims": claims}))
    [found] = trained_runs(tmp_path)
    assert (found.task, found.gain) == ("sums", 1 / 8)  # 4 of 8 right at turn 1, 5 of 8 at turn 5
    assert found.quantities["ecr"] == 1 / 4 and found.quantities["eir"] == (0 if told else 1 / 4)


def test_a_model_that_calls_its_wrong_attempt_right_is_asked_for_a_second_turn_all_the_same(judge, tmp_path):
    """2+2 gets 5, then 4, and 1+1 always 2; every attempt would be called right."""
    asked = []

    def says(messages, seed):
        asked.append(messages[-1].content)
        if messages[-1].content.startswith("hit"):
            return "y"
        return {"2+2": ["5", "4"], "1+1": ["2", "2"]}[messages[0].content][sum(m.role == "assistant" for m in messages)]

    prompt = Prompt(feedback_text="no", verify=VerifyConfig(ask="hit {attempt}", right="y", wrong="n"))
    problems = [problem("p", "2+2", "4"), problem("q", "1+1", "2")]
    with Ledger(tmp_path / "ledger.jsonl") as ledger:
        found = asyncio.run(ask(Player(ScriptedPolicy(says), prompt, judge, Sampling(), ledger, "forecast"), problems, 3))
    assert (found.accuracy.value, found.ecr.value, found.eir.value, found.supply.value) == (1 / 2, 1.0, 0.0, 1.0)
    assert set(asked) == {"2+2", "1+1", "no"}
