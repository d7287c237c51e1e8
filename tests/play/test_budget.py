"""A teacher's bill: what replies cost, where it stops, that nothing paid for is lost, and how to go on."""

import asyncio
import json
import shutil

import pytest
from toys import problem, toy_recipe, turn

from rise.errors import ConfigError, ResumeError
from rise.method.relabel import relabel
from rise.play.budget import Budget, BudgetError, paid
from rise.play.ledger import Ledger
from rise.play.player import Player
from rise.play.prompt import Prompt
from rise.policies.scripted import ScriptedPolicy
from rise.policy import Reply, Sampling
from rise.recipe.toml import build_config, load_recipe
from rise.runs.directory import RunDir
from rise.trajectory import Trajectory

PROBLEMS = [problem(f"p{i}") for i in range(10)]
TRAJECTORIES = [Trajectory(p.id, p.question, p.gold, (turn("5", 0, feedback="no"),)) for p in PROBLEMS]


class Dear(ScriptedPolicy):
    """Every reply takes 100 prompt tokens and 200 reply tokens."""

    max_in_flight = 2

    def __init__(self, usage=(100, 200)):
        super().__init__(lambda messages, seed: "4", name="dear")
        self.usage = usage

    async def reply(self, request):
        self.n_requests += len(request.seeds)
        await asyncio.sleep(0)
        return [Reply("so 4", None, "stop", *self.usage) for _ in request.seeds]


def teach(judge, path, budget, *, deterministic=False, policy=None):
    policy = policy or Dear()
    with Ledger(path) as ledger:
        player = Player(
            policy, Prompt(), judge, Sampling(), ledger, "round-1/relabel", budget=budget, deterministic=deterministic
        )
        return policy, asyncio.run(relabel(player, PROBLEMS, TRAJECTORIES, improver="teacher", n_samples=1))


def bill(limit, spent=0.0):
    # 100 × 10 + 200 × 20 per million: 0.005 a reply.
    return Budget(price_prompt=10.0, price_reply=20.0, limit=limit, spent=spent)


@pytest.mark.parametrize("deterministic", [False, True])
def test_it_stops_when_the_money_is_spent_and_goes_on_where_it_stopped(judge, tmp_path, deterministic):
    path = tmp_path / "ledger.jsonl"
    first = bill(0.02)  # four replies
    with pytest.raises(BudgetError, match=r"relabel\.budget = 0\.02 is spent.*--set relabel\.budget"):
        teach(judge, path, first, deterministic=deterministic)
    n_bought = round(first.spent / 0.005)
    assert n_bought in (4, 5)  # with two at once, one more may be under way when the fourth is paid
    assert paid(path, "/relabel", bill(None)) == pytest.approx(first.spent)
    assert paid(path, "/rollout", bill(None)) == 0
    # The same limit stops at once, since what was spent before counts; a larger one buys the rest and no reply twice.
    with pytest.raises(BudgetError, match="with 0 of this round's 10"):
        teach(judge, path, bill(0.02, spent=first.spent), deterministic=deterministic)
    policy, done = teach(judge, path, bill(1.0, spent=first.spent), deterministic=deterministic)
    assert len(done) == 10 and policy.n_requests == 10 - n_bought


def test_without_a_limit_it_only_counts(judge, tmp_path):
    budget = bill(None)
    teach(judge, tmp_path / "l", budget)
    assert budget.spent == pytest.approx(0.05)


def test_an_endpoint_that_reports_no_usage_cannot_be_given_a_budget(judge, tmp_path):
    with pytest.raises(ConfigError, match="does not say how many tokens"):
        teach(judge, tmp_path / "l", bill(1.0), policy=Dear(usage=(None, None)))
    with Ledger(tmp_path / "l") as ledger:
        assert len(ledger) > 0  # but what it wrote is kept
    with pytest.raises(ConfigError, match=r"set relabel\.price_prompt"):
        build_config({"model": {"path": "m"}, "relabel": {"budget": 1.0}})


def test_a_run_is_continued_with_another_budget_but_with_no_other_setting(tmp_path):
    run = RunDir(tmp_path / "run")
    priced = {"relabel": {"price_prompt": 1.0, "budget": 1.0}}
    run.open(toy_recipe(**priced))
    richer = toy_recipe(relabel={"price_prompt": 1.0, "budget": 2.0})
    assert run.open(richer) is True
    assert load_recipe(run.config) == richer and run.read_log()[-1]["changed"] == ["relabel.budget: 1.0 → 2.0"]
    with pytest.raises(ResumeError, match=r"relabel\.n_samples: 3 → 4") as caught:
        run.open(toy_recipe(relabel={"price_prompt": 1.0, "budget": 3.0, "n_samples": 4}))
    assert "budget" not in str(caught.value).partition("Continue")[0]


@pytest.mark.usefixtures("one_thread")
def test_a_whole_run_stops_at_its_budget_and_its_bill_goes_on_with_it(tmp_path, monkeypatch):
    from rise.method.iterate import run
    from rise.runs.preflight import preflight

    monkeypatch.setattr("rise.training.train", lambda examples, start, out, *rest, **more: shutil.copytree(start, out) and {})
    monkeypatch.setattr(ScriptedPolicy, "max_in_flight", 1)

    def recipe(budget):
        return toy_recipe(
            task={"n_train": 3, "n_validation": 2, "n_test": 2},
            boost={"enabled": False},
            dataset={"drop_truncated": False},
            sampling={"max_new_tokens": 4},
            relabel={
                "improver": "teacher",
                "teacher": f"scripted:{tmp_path / 'script.json'}",
                "n_samples": 1,
                "states": "last",
                "price_reply": 1e6,
                "budget": budget,
            },
            evaluate={"turns": 2, "samples": 2, "controls": "none"},
            iterate={"rounds": 1},
        )

    (tmp_path / "script.json").write_text("{}")  # preflight looks for it
    problems = preflight(recipe(1.0)).problems(1)
    script = {p.question: ["one two three"] for p in problems}  # three tokens a reply: three units of money
    (tmp_path / "script.json").write_text(json.dumps(script))
    with pytest.raises(BudgetError, match="4 is spent: 6 so far, with 2 of this round's 3"):
        run(recipe(4.0), tmp_path / "run")
    done = run(recipe(100.0), tmp_path / "run")
    [event] = [e for e in done.read_log() if e.get("part") == "relabel"]
    assert (event["price"], event["price_so_far"], event["n_replies"], event["n_reused"]) == (3.0, 9.0, 1, 2)
    counts = json.loads(done.stage("round-1").dataset.read_text())["counts"]
    assert (counts["teacher: replies"], counts["teacher: no answer in it"]) == (3, 3)
