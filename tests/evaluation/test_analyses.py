"""The paper's analyses, worked out by hand: hard problems, the gold solution's probability, what the rounds began from."""

import asyncio
import math
from types import SimpleNamespace as Plain

import pytest
from synthetic_run import held_out, rows, same, write_run
from toys import problem

from rise.errors import ConfigError
from rise.evaluation.analyses import analyse, gold_probability, hard_problems, with_gold_scores
from rise.evaluation.evaluate import evaluate
from rise.evaluation.held_out import HeldOut, held_out_from_json, read_held_out
from rise.method.evaluate import compare_stages
from rise.play.ledger import Ledger
from rise.play.player import Player
from rise.play.prompt import Prompt
from rise.policies.local import LocalPolicy
from rise.policies.scripted import ScriptedPolicy
from rise.policy import Sampling
from rise.report import write_report
from rise.report.analysis_tables import gains_table, gold_table, hard_table, one_turn_table, steps_table
from rise.report.collect import collect
from rise.report.result_figures import drawn_stages
from rise.trajectory import Turn, Verdict, to_json

FOUR = [
    # run, further samples: B = 1 knows the run's turn 1, B = 2 the first of these too, …
    ("wrw", "wwww", ""),  # missed by all; solved at turn 2, lost at turn 3
    ("www", "wrww", ""),  # missed by 1 and 2
    ("wwr", "rwww", ""),  # missed by 1
    ("rww", "wwww", ""),  # missed by none
]
RECORDS = [held_out(i, pattern) for i, pattern in enumerate(FOUR)]


def values(entries, name):
    return [entry[name]["value"] for entry in entries]


def test_hard_problems_are_those_that_the_first_b_samples_miss():
    found = hard_problems(RECORDS, turns=3)
    assert [entry["samples"] for entry in found] == [1, 2, 3, 4, 5]
    assert values(found, "missed") == [3 / 4, 2 / 4, 1 / 4, 1 / 4, 1 / 4]
    # B = 1 leaves the first three: the run solves two and ends right in one. B = 2 leaves two: one solved, none at the end.
    assert values(found, "solved")[:3] == [pytest.approx(2 / 3), 1 / 2, 1.0]
    assert values(found, "last")[:3] == [pytest.approx(1 / 3), 0.0, 0.0]
    assert [entry["solved"]["n"] for entry in found][:3] == [3, 2, 1]


def test_their_rival_is_as_many_further_samples_as_the_run_has_further_turns():
    # Three turns: two further samples. After B = 1 they are samples 2 and 3: "ww", "wr", "rw". After B = 2: "ww", "rw".
    # After B = 4 one sample is left, which is fewer than two: not comparable.
    found = values(hard_problems(RECORDS, turns=3), "resampled")
    assert found == [pytest.approx(2 / 3), 1 / 2, 0.0, None, None]


def test_no_hard_problem_is_nothing_and_not_zero():
    [first, *_] = hard_problems([held_out(0, ("rrr", "rrrr", ""))], turns=3)
    assert first["missed"]["value"] == 0.0 and first["solved"]["value"] is None and first["solved"]["n"] == 0


def scored(name, verdicts, scores):
    run = tuple(Turn("", Verdict.RIGHT if v == "r" else Verdict.WRONG, answer=v, feedback="?") for v in verdicts)
    return HeldOut(name, "q", "g", run, gold_score=tuple(map(math.log, scores)))


def test_the_gold_solutions_probability_by_turn_and_where_nothing_right_was_there_to_copy():
    found = gold_probability([scored("a", "wrr", (0.2, 0.4, 0.8)), scored("b", "www", (0.1, 0.2, 0.3))], turns=3)
    assert values([{"e": e} for e in found["by_turn"]], "e") == pytest.approx([0.15, 0.3, 0.55])
    second, third = found["not_solved_yet"]
    assert (second["value"], second["n"]) == (pytest.approx((0.2 + 0.1) / 2), 2)  # both were wrong at turn 1
    assert (third["value"], third["n"]) == (pytest.approx(0.2), 1)  # "a" shows a right attempt at turn 3
    assert gold_probability(RECORDS, turns=3) is None


def test_a_score_is_the_models_own_probability_of_the_worked_solution_at_the_state_it_reached(
    nano_dir, judge, tmp_path, one_thread
):
    policy = LocalPolicy.load(nano_dir, batch_size=4)
    problems = [problem("p", "2+2", "4", "2+2=4"), problem("q", "3+3", "6"), problem("long", "1+1", "2", "2" * 190)]
    prompt = Prompt(feedback_text="?", feedback="neutral")
    player = Player(policy, prompt, judge, Sampling(max_new_tokens=4), Ledger(tmp_path / "l"), "e", renderer=policy.renderer)

    async def measured():
        records = await evaluate(player, problems, n_turns=2, n_samples=1, control=False)
        return await with_gold_scores(player, problems, records)

    first, second, too_long = asyncio.run(measured())
    for record, text in ((first, "2+2=4"), (second, "6")):  # q has no solution: its gold text stands in
        messages = prompt.messages(problem("x", record.question), record.run[:1])
        ids = policy.renderer.prompt_ids(messages), policy.renderer.reply_ids(messages, text)
        [tokens] = asyncio.run(policy.score([ids[0]], [ids[1]]))
        assert record.gold_score[1] == pytest.approx(sum(tokens) / len(tokens), abs=1e-4)
        assert len(record.gold_score) == 2 and all(score < 0 for score in record.gold_score)
    assert too_long.gold_score == ()  # 190 digits behind the second state do not fit 192 tokens: left out, and n says so
    assert analyse([first, second, too_long], 2)["gold_probability"]["by_turn"][0]["n"] == 2
    assert held_out_from_json(to_json(first)) == first


def test_a_policy_without_probabilities_is_refused(judge, tmp_path):
    player = Player(ScriptedPolicy(lambda m, s: "4"), Prompt(), judge, Sampling(), Ledger(tmp_path / "l"), "e")
    with pytest.raises(ConfigError, match=r"evaluate\.gold_probability needs .* which scripted does not give"):
        asyncio.run(with_gold_scores(player, [], []))


# --- in the report ------------------------------------------------------------------------------------------------------


def test_the_report_says_what_became_of_hard_problems(tmp_path):
    # Round 1 of the synthetic run: problems 7 (one of its samples is right) and 8 are solved by no turn; 3 and 4 are missed at
    # turn 1 and fixed. B = 1: 4 of 8 missed, 2 of the 4 solved, both right at the end. B = 5: problems 4 and 8, one solved.
    table = hard_table(collect(write_run(tmp_path / "run").path))
    shown = [[cell.text for cell in row] for row in table.rows if row[0].text == "round 1"]
    assert shown == [["round 1", "1", "50.0", "50.0", "50.0", "50.0", "4"], ["round 1", "5", "25.0", "50.0", "50.0", "–", "2"]]


def test_the_report_says_whether_one_turn_ability_was_kept(tmp_path):
    # Boost: 1 of 8 right at every turn. Round 1: 4 at turn 1, 5 at turn 5.
    against, first, _, last, n = rows(one_turn_table(collect(write_run(tmp_path / "run").path)))["round 1"]
    assert (against.text, first.text, last.text, n.text) == ("boost", "+37.5", "+50.0", "8")


@pytest.mark.parametrize(
    ("start", "began", "gained"), [("base", "base", 0.45), ("boost", "boost", -0.05), ("previous", "boost", -0.05)]
)
def test_a_round_is_held_against_the_model_that_the_rounds_began_from(tmp_path, start, began, gained):
    """Right at turn 1: 2 of 20 problems of the base, 12 of the boost, 11 of round 1."""
    config = f'[boost]\nenabled = true\nalso_one_turn = false\n[iterate]\nrounds = 1\nstart = "{start}"\n'
    measured = {name: _right_at_first(n) for name, n in (("base", 2), ("boost", 12), ("round-1", 11))}
    run, other = (write_run(tmp_path / name, measured, config=config) for name in ("run", "other"))
    stage = run.stage("round-1")
    metrics = {"paired": {}}
    parts = {"ready": Plain(evaluated=Plain(stops_when_right=False)), "judge": Plain(same=same), "dir": run}
    compare_stages(
        Plain(config=Plain(evaluate=Plain(turns=5), iterate=Plain(start=start)), **parts),
        stage,
        list(read_held_out(stage.held_out)),
        metrics,
    )
    assert (metrics["previous"], metrics["before_rounds"]) == ("boost", began)
    assert metrics["paired"]["before_rounds"]["m1@t1"]["value"] == pytest.approx(gained)
    data = collect(run.path, beside=[other.path])
    assert [before.name for _, before, _ in data.beside] == [began, began]
    # 50 points below the rest the base would flatten the other lines: only where the rounds began from it does it stay.
    drawn = [stage.name for stage in drawn_stages(data, "accuracy_by_turn")]
    assert ("base" in drawn) == (began == "base")


def _right_at_first(n):
    return [("rrrrr" if i < n else "wwwww", "wwww", "") for i in range(20)]


def test_the_report_gives_each_step_its_transitions(tmp_path):
    # Round 1, step 1→2. Wrong at turn 1: problems 3, 4, 7, 8, of which 3 is repaired; right: 1, 2, 5, 6, of which 5 is broken.
    table = rows(steps_table(collect(write_run(tmp_path / "run").path)))
    assert table["round 1, wrong→right"][0].text == "25.0" and table["round 1, right→wrong"][0].text == "25.0"


@pytest.mark.slow
def test_runs_beside_each_other_show_gain_against_base_accuracy(tmp_path):
    one = write_run(tmp_path / "one").path
    many = [("wrrrr", "wwww", "wwww")] * 40
    two = write_run(tmp_path / "two", {"base": [("wwwww", "wwww", "")] * 40, "round-1": many}).path
    unfinished = write_run(tmp_path / "three", {"base": many}).path
    data = collect(one, beside=[two, unfinished])
    table = rows(gains_table(data))
    assert list(table) == ["one", "two"]  # the third has no round yet
    assert [cell.text for cell in table["one"][1:3]] == ["12.5", "+12.5"]
    assert [cell.text for cell in table["two"][1:5]] == ["0.0", "+100.0", "0.0", "+100.0"]
    html, text = write_report(one, [two])
    assert 'id="figure-gains"' in html.read_text() and "## Gain against base accuracy" in text.read_text()
    assert 'id="figure-gains"' not in write_report(one)[0].read_text()


def test_a_scored_run_draws_the_gold_solutions_probability(tmp_path):
    import json

    run = write_run(tmp_path / "run")
    stage = run.stage("round-1")
    found = gold_probability([scored("a", "wwwww", (0.1, 0.2, 0.2, 0.3, 0.4))], turns=5)
    stage.metrics.write_text(json.dumps(stage.read_metrics() | {"gold_probability": found}))
    data = collect(run.path)
    assert [cell.text for cell in rows(gold_table(data))["round 1"]] == ["10.0", "20.0", "20.0", "30.0", "40.0"]
    assert 'id="figure-gold"' in write_report(run.path)[0].read_text()
