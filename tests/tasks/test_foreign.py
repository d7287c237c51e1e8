"""Tasks of other projects on our side of the pipe: verdicts, votes, splits, replay. Their own packages: tests/adapters."""

import asyncio
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from rise.errors import ConfigError, DataError, NotHereError, ResumeError
from rise.judges import foreign
from rise.judges.foreign import Package
from rise.method.rollout import rollout
from rise.play.ledger import Ledger
from rise.play.player import Player
from rise.play.prompt import Prompt
from rise.policies.scripted import ScriptedPolicy
from rise.policy import Sampling
from rise.task import ANY
from rise.tasks import inspect_task, make_task, openenv
from rise.trajectory import Turn, Verdict

WORKER = str(Path(__file__).parents[1] / "support/stand_in_worker.py")
RIGHT, WRONG, UNPARSABLE = Verdict.RIGHT, Verdict.WRONG, Verdict.UNPARSABLE


@pytest.fixture(autouse=True)
def stand_in(monkeypatch):
    foreign._pool.cache_clear()
    monkeypatch.setattr(inspect_task, "INSPECT", Package("inspect", "inspect_ai", WORKER))
    monkeypatch.setattr(openenv, "OPENENV", Package("openenv", "openenv", WORKER))


def sums(**settings):
    return make_task("inspect:sums", python=sys.executable, **{"shares": (0.5, 0.25, 0.25), **settings})


def game(**settings):
    return make_task("openenv:http://127.0.0.1:1", python=sys.executable, pool=64, **settings)


@pytest.mark.parametrize(
    "name", ["inspect:evals.py@sums", "openenv:http://127.0.0.1:8000", "verifiers:gsm8k", "reasoning-core:x"]
)
def test_an_environment_that_is_not_there_is_answered_with_the_command_that_makes_it(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    family = name.partition(":")[0]
    with pytest.raises(NotHereError, match=rf"no \.venv-{family}/bin/python.*adapter_env\.py {family}"):
        make_task(name)


def test_problems_are_cut_into_splits_that_stay(monkeypatch):
    task = sums()
    parts = {split: task.problems(split) for split in ("train", "validation", "test")}
    assert sum(map(len, parts.values())) == 40 and all(parts.values())
    assert task.instructions == "Add."
    problem = parts["test"][0]
    assert problem.question == f"{problem.fields['index']}+1?" and problem.gold == str(problem.fields["index"] + 1)
    assert [p.id for p in sums().problems("test")] == [p.id for p in parts["test"]]
    with pytest.raises(DataError, match=r"0% of its 40 problems are train: task\.settings\.shares"):
        sums(shares=(0, 0, 1)).problems("train")


def test_their_score_is_the_verdict_and_their_answer_the_vote():
    task = sums()
    [problem, *_] = [p for p in task.problems("train") if p.fields["index"] >= 2]
    judge, gold = task.judge(), problem.gold
    right, close, silent, passed = (judge.judge(problem, said) for said in (gold, "99", "Let me see.\nFour.", "pass"))
    assert (right.verdict, right.answer, right.score) == (RIGHT, gold, None)
    assert (close.verdict, close.answer, close.score) == (WRONG, "99", 0.5)  # partial credit beside the verdict
    assert (silent.verdict, silent.answer) == (WRONG, "Four")  # they tell no answer: what the reply ends with
    assert (passed.verdict, passed.answer) == (UNPARSABLE, None)
    assert sums(right_from=0.5).judge().judge(problem, "99").verdict is RIGHT
    assert judge.same("1,200", "1200.0") and not judge.same("a", "b")
    with pytest.raises(ConfigError, match=r"scorer gave 2\.0; here a score is from 0 to 1"):
        judge.judge(problem, "two")


def test_what_they_refuse_or_changed_is_said():
    with pytest.raises(ConfigError, match="task inspect:nothing: its solver gives the model tools"):
        make_task("inspect:nothing", python=sys.executable)
    task = sums()
    [problem, other, *_] = task.problems("train")
    with pytest.raises(DataError, match="is another one now"):
        task.judge().judge(type(problem)(other.question, "1", fields=problem.fields), "1")


def test_a_worker_that_does_not_start_says_how_to_make_its_environment_again(tmp_path, monkeypatch):
    broken = tmp_path / "broken.py"
    broken.write_text("print(\"No module named 'inspect_ai'\")")
    monkeypatch.setattr(inspect_task, "INSPECT", Package("inspect", "inspect_ai", str(broken)))
    with pytest.raises(Exception, match=r"No module named 'inspect_ai'.*adapter_env\.py inspect"):
        sums()


# ---- environments --------------------------------------------------------------------------------------------------------


def test_without_a_list_of_tasks_each_seed_is_a_problem_in_the_split_of_its_question():
    task = game()
    train, test = task.problems("train", 20), task.problems("test", 5)
    assert task.endless and {p.gold for p in train} == {ANY}
    assert {p.fields["reset"]["seed"] for p in train}.isdisjoint(p.fields["reset"]["seed"] for p in test)
    with pytest.raises(DataError, match=r"different test problems, of 60 asked for.*task\.settings\.pool"):
        task.problems("test", 60)


def test_tasks_of_a_list_that_begin_with_the_same_words_are_not_the_same_problem():
    task = make_task("openenv:http://127.0.0.1:1#listed", python=sys.executable)
    first, second = task.problems("train")
    assert first.question == second.question == "Guess." and first.fields["reset"] != second.fields["reset"]
    assert len({first.id, second.id, task.problems("test")[0].id}) == 3


def test_a_reply_is_judged_behind_those_before_it():
    task = game()
    problem = next(p for p in task.problems("train", 20) if p.fields["reset"]["seed"] % 9 == 4)  # the number is 5
    judge, turns = task.judge(), []
    for said, message in [("3", "More."), ("7", "Less."), ("6", "Less."), ("5", "The episode is over.")]:
        found = judge.after(problem, turns, said)
        assert (found.verdict, found.message) == (WRONG, message)
        turns.append(Turn(said, found.verdict, message=found.message))
    assert judge.after(problem, turns[:1], "5").verdict is RIGHT
    assert judge.after(problem, turns, "5").message == "The episode is over."
    tagged = game(action_in="tags")
    assert tagged.judge().judge(problem, "5").verdict is UNPARSABLE and "<answer>" in tagged.instructions
    assert tagged.judge().after(problem, [Turn("3", UNPARSABLE, message="…")], "<answer>5</answer>").verdict is RIGHT


def test_rewards_between_worst_and_best_become_scores():
    problem = game().problems("train", 1)[0]
    assert game(worst=-1.0).judge().judge(problem, "0").score == 0.5
    with pytest.raises(ConfigError, match=r"reward 0\.0, outside 0\.5 … 1\.0: set task\.settings\.worst"):
        game(worst=0.5).judge().judge(problem, "0")
    with pytest.raises(ConfigError, match="worst is below best"):
        game(worst=1.0)


@pytest.fixture
def at_work(tmp_path):
    """A player of the game, its ledger on disk; called again, in place of the one before."""
    open_ledgers = []

    def make(replies, task):
        while open_ledgers:
            open_ledgers.pop().close()
        open_ledgers.append(Ledger(tmp_path / "ledger.jsonl"))
        policy = ScriptedPolicy.from_table({p.question: replies for p in task.problems("train", 8)})
        return Player(policy, Prompt(feedback="environment"), task.judge(), Sampling(), open_ledgers[-1], "round-1/rollout")

    yield make
    while open_ledgers:
        open_ledgers.pop().close()


def test_observations_are_the_feedback_and_a_right_reply_ends_the_episode(at_work):
    task = game()
    problem = next(p for p in task.problems("train", 8) if p.fields["reset"]["seed"] % 9 == 4)
    [trajectory] = asyncio.run(rollout(at_work(["3", "7", "5", "9"], task), [problem], n_turns=4, stop_when_right=False))
    assert [(t.reply, t.feedback) for t in trajectory.turns] == [("3", "More."), ("7", "Less."), ("5", "Yes.")]
    assert [t.verdict for t in trajectory.turns] == [WRONG, WRONG, RIGHT]


def test_a_resumed_run_plays_the_ledgers_replies_again_and_refuses_an_environment_that_says_something_else(
    at_work, monkeypatch, tmp_path
):
    task = game()
    problem = next(p for p in task.problems("train", 8) if p.fields["reset"]["seed"] % 9 == 4)
    asyncio.run(rollout(at_work(["3", "7", "5"], task), [problem], n_turns=2, stop_when_right=False))
    lines = (tmp_path / "ledger.jsonl").read_text().splitlines()
    assert [json.loads(line)["turn"]["reply"] for line in lines] == ["3", "7"]  # replies alone: no state of the environment
    again = at_work(["3", "7", "5"], task)
    [trajectory] = asyncio.run(rollout(again, [problem], n_turns=3, stop_when_right=False))
    assert [t.reply for t in trajectory.turns] == ["3", "7", "5"] and trajectory.turns[-1].right
    assert (again.usage.n_reused, again.policy.n_requests) == (2, 1)
    monkeypatch.setenv("HF_STAND_IN", "changed")
    foreign._pool.cache_clear()
    with pytest.raises(ResumeError, match=r"'3' is answered with 'Higher!', where it was 'More\.'.*cannot be resumed"):
        asyncio.run(rollout(at_work(["3", "7", "5"], game()), [problem], n_turns=3, stop_when_right=False))
    with pytest.raises(DataError, match=r"step 1 says 'Higher!', where it said 'More\.'"):
        game().judge().after(problem, [Turn("3", WRONG, message="More.")], "5")


def test_candidates_of_the_improver_stand_behind_the_same_turns(at_work):
    task = game()
    problem = next(p for p in task.problems("train", 8) if p.fields["reset"]["seed"] % 9 == 4)
    player = at_work(["3", "5"], task)
    shown = [Turn("3", WRONG, message="More.", feedback="More.")]
    assert [t.verdict for t in asyncio.run(player.turns(problem, shown, n=2))] == [RIGHT, RIGHT]


# ---- the workers themselves ----------------------------------------------------------------------------------------------

OWN_WORKER = """
import runpy

class Refused(Exception): ...

def begin():
    print("a banner of theirs")
    return {"package": 1}

async def answer(package, request):
    print("what their code prints")
    if request["do"] == "refuse":
        raise Refused("it wants tools.")
    return {"got": 7 / request["by"], **package}

runpy.run_path(LOOP)["serve"](begin, answer, Refused, "theirs says")
"""
LOOP = Path(foreign.__file__).with_name("worker_loop.py")


def said_by(script, *requests):
    """Lines of a worker that was started as ours are."""
    words = foreign.command(sys.executable, str(script))
    lines = "".join(json.dumps(request) + "\n" for request in requests)
    return subprocess.run(words, input=lines, capture_output=True, text=True, check=True, cwd="/", env={}).stdout.splitlines()


def test_a_worker_answers_line_by_line_and_what_its_package_prints_is_no_answer(tmp_path):
    script = tmp_path / "own_worker.py"
    script.write_text(OWN_WORKER.replace("LOOP", repr(str(LOOP))))
    ready, *answers = said_by(script, {"do": "x", "by": 2}, {"do": "refuse"}, {"do": "x", "by": 0}, {"do": "x", "by": 7})
    assert ready == "ready"
    assert [json.loads(line) for line in answers] == [
        {"got": 3.5, "package": 1},
        {"refused": "it wants tools."},
        {"refused": "theirs says ZeroDivisionError: division by zero"},
        {"got": 1.0, "package": 1},
    ]


@pytest.mark.parametrize(
    ("of", "module"), [(foreign.INSPECT, "inspect_ai"), (foreign.OPENENV, "openenv"), (foreign.VERIFIERS, "verifiers")]
)
def test_a_worker_without_its_package_says_so_in_place_of_ready(of, module):
    if importlib.util.find_spec(module):
        pytest.skip(f"{module} is installed here")
    assert said_by(of.worker) == [f"No module named '{module}'"]
