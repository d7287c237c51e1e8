"""The task of small Python functions: its problems, and what feedback with information in it is worth."""

import asyncio
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rise.cli.main import app
from rise.cli.serve import assemble
from rise.evaluation.evaluate import evaluate
from rise.evaluation.metrics import measure
from rise.judges import python_tests, sandbox
from rise.judges.python_functions import FunctionJudge
from rise.play.ledger import Ledger
from rise.play.player import Player
from rise.play.prompt import Prompt
from rise.policies.scripted import ScriptedPolicy
from rise.policy import Sampling
from rise.serve.revise import Ask
from rise.tasks import make_task
from rise.trajectory import Message, Verdict


def test_every_worked_solution_passes_and_no_constant_does():
    task = make_task("python-functions")
    judge, problems = task.judge(), task.problems("train", 60)
    assert {p.fields["kind"] for p in problems} == {"number", "list", "text", "recurrence", "examples"}
    assert {p.fields["level"] for p in problems} == {1, 2, 3}
    for p in problems:
        assert judge.judge(p, p.solution).verdict is Verdict.RIGHT, p
        assert len(set(p.gold.splitlines())) == 6
        assert len({line.partition("==")[2] for line in p.gold.splitlines()}) >= 3
        assert "\n    return " in p.solution and p.solution.startswith("```python\n")


def test_a_condition_left_out_fails_a_test():
    judge = FunctionJudge()
    for p in make_task("python-functions", kinds="number", levels=(2, 3), fences=False).problems("test", 25):
        head, *body = p.solution.split("\n")
        assert judge.examine(p.gold, "\n".join([head, *body[2:]])).verdict is Verdict.WRONG, p  # without its first if


def test_two_of_four_functions_fit_what_is_shown_and_the_next_test_tells_all_four_apart():
    """`f([4, 7, 2, 9]) = 9` is the last and the largest; the first failing test then names one number that only one returns."""
    four = {"xs[0]": lambda xs: xs[0], "xs[-1]": lambda xs: xs[-1], "max(xs)": max, "min(xs)": min}
    written = set()
    for problem in make_task("python-functions", kinds="examples", levels=1, fences=False).problems("test", 300):
        tests = [re.fullmatch(r"assert f\(\[(.*)\]\) == (\d)", line).groups() for line in problem.gold.splitlines()]
        (shown, value), (telling, told) = [([int(x) for x in xs.split(", ")], int(y)) for xs, y in tests[:2]]
        assert problem.question.endswith(f"f({shown}) = {value}.")
        own = problem.solution.split("return ")[1]
        assert len([name for name, f in four.items() if f(shown) == value]) == 2 and four[own](shown) == value
        assert len({f(telling) for f in four.values()}) == 4 and four[own](telling) == told
        written.add(own)
    assert written == set(four)


def test_splits_cannot_meet_and_nothing_depends_on_the_process():
    parts = [
        {p.question for p in make_task("python-functions", seed=seed).problems(split, 200)}
        for split in ("train", "validation", "test")
        for seed in (0, 1)
    ]
    train, validation, test = (parts[i] | parts[i + 1] for i in (0, 2, 4))
    assert not train & test and not train & validation and not validation & test
    code = "from rise.tasks import make_task; print([p.id for p in make_task('python-functions').problems('train', 20)])"
    here = str([p.id for p in make_task("python-functions").problems("train", 20)])
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, "PYTHONHASHSEED": "1"}
    )
    assert done.stdout.strip() == here


# ---- what feedback is worth ----------------------------------------------------------------------------------------------


def solver(messages, seed):
    """f(n) = a * n + b from all it has been told: the first guess has a = 2; a second value settles both."""
    told = sorted(
        {
            (int(x), int(y))
            for m in messages
            if m.role == "user"
            for x, y in re.findall(r"f\((\d+)\)(?: = |=| should return )(-?\d+)", m.content)
        }
    )
    (x, y) = told[0]
    a = (told[1][1] - y) // (told[1][0] - x) if len(told) > 1 else 2
    return f"def f(n): return {a} * n + {y - a * x}"


@pytest.mark.parametrize(
    ("feedback", "right_at_turn_2"),
    [
        ("always-wrong", False),
        ("rise.judges.python_functions:first_failure", True),
        ("rise.judges.python_functions:first_failure_short", True),
    ],
)
def test_a_failing_test_lets_a_policy_correct_itself_and_always_wrong_does_not(feedback, right_at_turn_2, tmp_path):
    task = make_task("python-functions", kinds="examples", levels=2)
    # Those where the first guess is wrong: a is not 2.
    problems = [p for p in task.problems("test", 12) if "return 2 *" not in p.solution]
    with Ledger(tmp_path / "ledger.jsonl") as ledger:
        player = Player(ScriptedPolicy(solver), Prompt(feedback=feedback), task.judge(), Sampling(), ledger, "evaluate")
        records = asyncio.run(evaluate(player, problems, n_turns=2, n_samples=1, control=False))
    accuracy = measure(records, task.judge().same)["accuracy_by_turn"]
    assert accuracy[0]["value"] == 0.0
    assert accuracy[1]["value"] == (1.0 if right_at_turn_2 else 0.0)


@pytest.mark.slow
def test_the_recipe_runs_with_both_feedbacks_from_one_start(tmp_path, monkeypatch, one_thread):
    """What recipes/functions.toml says in its first lines, smaller still."""
    root = Path(__file__).resolve().parents[2]
    monkeypatch.chdir(tmp_path)
    small = [
        "task.n_train=8",
        "task.n_test=4",
        "boost.n_problems=32",
        "evaluate.turns=2",
        "sampling.max_new_tokens=8",
        "threads=1",
    ]
    for out, extra in (("tests", []), ("always-wrong", ["state.feedback=always-wrong", "state.feedback_text=?"])):
        words = ["run", str(root / "recipes/functions.toml"), "--scale", "toy", "--out", out]
        for override in [*small, *extra]:
            words += ["--set", override]
        done = CliRunner().invoke(app, words, catch_exceptions=False)
        assert done.exit_code == 0, done.output
    shown = {}
    for out in ("tests", "always-wrong"):
        records = Path(out, "boost/held-out.jsonl").read_text().splitlines()
        shown[out] = [json.loads(line)["run"][0]["feedback"] for line in records]
    assert all(text == "no code" or re.match(r"f\(\d+\)|no |ok", text) for text in shown["tests"])
    assert shown["always-wrong"] == ["?"] * 4
    assert serve_two_turns("tests").turns[0].feedback in ("check", "no code")  # no tests are known there


def serve_two_turns(run):
    """What `rise serve` answers."""
    reviser, about = assemble(run, None, 2, "majority", None, [], batch_size=4, dtype="float32")
    ask = Ask((Message("user", "Write f(n) = 2 * n."),), about.sampling, turns=2, rule="majority", seed=0)

    async def both():
        try:
            return await reviser.revise(ask, 0, lambda turn, number: None)
        finally:
            await reviser.close()

    return asyncio.run(both())


def test_the_alphabet_writes_every_problem():
    task = make_task("python-functions", fences=False)
    seen = {c for p in task.problems("train", 500) for c in p.question + p.solution}
    assert seen <= set(task.alphabet)


def test_the_sandbox_encodes_what_the_judge_decodes():
    for value in (None, True, 0, -5, 10**50, 1.5, "a\n", [1, [2]], (1,), {1: {"a": (2,)}}, {3}, frozenset({4}), []):
        back = python_tests.decoded(json.loads(json.dumps(sandbox.encoded(value))))
        assert back == value and type(back) is type(value)
