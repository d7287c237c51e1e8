"""A model that judges: asked over a real connection, told apart from its prompt's places, never asked twice, counted, and loud
where its verdict cannot be read."""

import json

import pytest
from odd_endpoint import OddEndpoint, chat
from toys import small, write
from typer.testing import CliRunner

from rise.cli.main import app
from rise.errors import ConfigError, PolicyError
from rise.judges import make_judge
from rise.judges.by_model import ModelJudge, verdict_in
from rise.method.iterate import run as run_recipe
from rise.recipe.config import TaskConfig
from rise.runs.context import open_policy
from rise.runs.directory import RunDir
from rise.runs.model_judge import judge_client
from rise.task import Problem
from rise.trajectory import Verdict


def marks(call):
    """A judge of two words: right is what holds `seven`."""
    shown = call.body["messages"][-1]["content"]
    reply = shown.split("Reply:\n")[1].split("\n\nSay in a sentence")[0]
    return chat(f"It says {reply!r}.\nVERDICT: {'RIGHT' if 'seven' in reply else 'WRONG'}")


@pytest.fixture
def endpoint():
    server = OddEndpoint(marks)
    yield server
    server.stop()


def at_work(judge, ledger=None):
    return judge_client(judge, lambda spec: open_policy(small(), spec, own_format=True), ledger)


def test_it_says_right_wrong_and_asks_nobody_about_nothing(endpoint):
    judge = make_judge({"name": "model", "policy": endpoint.spec})
    problem = Problem("3 + 4?", "seven")
    with at_work(judge) as client:
        assert judge.judge(problem, "I think: seven.").verdict is Verdict.RIGHT
        assert judge.judge(problem, "Eight.").verdict is Verdict.WRONG
        assert judge.judge(problem, "  ").verdict is Verdict.UNPARSABLE
        # The endpoint counts 5 tokens read and 3 written for each of the two that it was asked about.
        assert client.counts() == {"n_replies": 2, "n_prompt_tokens": 10, "n_reply_tokens": 6, "n_reused": 0, "price": 0}
    shown = endpoint.bodies[0]["messages"][0]["content"]
    assert "3 + 4?" in shown and "Right answer:\nseven" in shown and endpoint.bodies[0]["temperature"] == 0


def test_a_reply_that_holds_a_place_of_the_prompt_is_not_given_the_answer():
    judge = ModelJudge(policy="http://127.0.0.1:9/v1#m", prompt="Q {question} G {gold} R {reply}")
    assert judge.text(Problem("{reply}?", "7"), "it is {gold} {question}") == "Q {reply}? G 7 R it is {gold} {question}"


@pytest.mark.parametrize(
    ("said", "verdict"),
    [
        ("VERDICT: RIGHT", Verdict.RIGHT),
        ("First I thought VERDICT: RIGHT, but no.\n**Verdict:** wrong.", Verdict.WRONG),
        ("The reply is right.\n\nWRONG\n", Verdict.WRONG),
        ("It is right.", None),
        ("RIGHT or WRONG", None),
        ("", None),
    ],
)
def test_a_verdict_is_the_last_that_is_stated(said, verdict):
    assert verdict_in(said) is verdict


def test_a_verdict_that_cannot_be_read_is_asked_for_again_and_then_an_error(endpoint):
    judge = ModelJudge(policy=endpoint.spec, attempts=2)
    endpoint.rule = lambda call: chat("Hard to say." if call.number == 0 else "VERDICT: RIGHT")
    with at_work(judge):
        assert judge.judge(Problem("?", "7"), "7").verdict is Verdict.RIGHT and len(endpoint.calls) == 2
        endpoint.rule = lambda call: chat("I would rather not.")
        with pytest.raises(PolicyError, match=r"asked 2 times .* no verdict can be read .*I would rather not") as raised:
            judge.judge(Problem("?", "8"), "8")
    assert "judge.max_new_tokens" in str(raised.value) and len(endpoint.calls) == 4


def test_what_it_said_is_in_a_ledger_and_not_asked_for_again(endpoint, tmp_path):
    problem, ledger = Problem("3 + 4?", "seven"), tmp_path / "ledger.jsonl"
    for n in (1, 1):
        judge = ModelJudge(policy=endpoint.spec, price_prompt=2e6, price_reply=1e6)
        with at_work(judge, ledger) as client:
            assert judge.judge(problem, "seven").verdict is Verdict.RIGHT
            assert judge.judge(problem, "seven").verdict is Verdict.RIGHT
            counted = client.counts()
        assert len(endpoint.calls) == n
    assert counted["n_reused"] == 2 and counted["price"] == 0  # the second time all of it is read back
    [line] = (tmp_path / "judge-ledger.jsonl").read_text().splitlines()
    assert "VERDICT: RIGHT" in json.loads(line)["turn"]["reply"]


def test_votes_group_answers_without_asking(endpoint):
    judge = make_judge({"name": "model", "policy": endpoint.spec, "reads": {"name": "number", "tolerance": 0.5}})
    assert judge.same("7", "7.4") and not judge.same("7", "8") and judge.answer("So Answer: 7 km") == "7"
    assert endpoint.calls == []
    with pytest.raises(ConfigError, match="nobody asks it here"):
        judge.judge(Problem("?", "7"), "7")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({}, "judge model needs policy"),
        ({"policy": "m", "prompt": "Is it right?"}, "prompt must hold {reply}"),
        ({"policy": "https://host/v1?api_key=abcdef0123456789#m"}, "put the key into the environment"),
        ({"policy": "m", "attempts": 0}, "attempts = 0"),
        ({"policy": "m", "reads": "nubmer"}, 'Did you mean "number"'),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, says):
    with pytest.raises(ConfigError) as raised:
        make_judge("model", **settings)
    assert says.lower() in str(raised.value).lower()


@pytest.mark.slow
def test_a_run_is_judged_by_it_with_its_cost_and_continues_without_asking(endpoint, nano_dir, tmp_path, one_thread):
    """The whole method; a stage that is made again has its verdicts from the ledger."""
    judge = {"name": "model", "policy": endpoint.spec, "price_prompt": 1e6, "price_reply": 1e6}
    problems = write(tmp_path / "p.jsonl", [{"question": f"{i}+{i}", "answer": str(2 * i)} for i in range(10)])
    task = {"name": "jsonl", "settings": {"path": str(problems), "judge": judge, "instructions": ""}}
    made = small(model={"nano": None, "path": str(nano_dir)})
    config = made.model_copy(update={"task": TaskConfig(**task, n_train=2, n_test=1, n_validation=1)})
    run = RunDir(run_recipe(config, tmp_path / "run").path)
    n = len(endpoint.calls)
    events = [event for event in run.read_log() if event.get("judge")]
    assert n > 0 and sum(event["judge"]["n_replies"] for event in events) == n
    assert sum(event.get("price", 0) for event in events) == pytest.approx(8 * n)  # 5 tokens read, 3 written, a unit each
    for file in (run.stage("round-1").metrics, run.stage("round-1").held_out):
        file.unlink()
    run_recipe(config, tmp_path / "run")
    assert len(endpoint.calls) == n and run.stage("round-1").metrics.exists()


def test_rise_judge_asks_it_too(endpoint, tmp_path):
    replies = write(tmp_path / "r.jsonl", [{"gold": "seven", "reply": "seven"}, {"gold": "seven", "reply": "eight"}])
    words = ["judge", str(replies), "--task", "jsonl", "--set", f'judge={{name="model",policy="{endpoint.spec}"}}']
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert [json.loads(line)["verdict"] for line in done.output.splitlines()] == ["right", "wrong"]
