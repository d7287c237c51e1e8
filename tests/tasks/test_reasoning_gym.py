"""reasoning-gym's generators and scorers behind our tasks: splits, verdicts, and scorers that would run a model's text."""

import ast
import inspect
import sys
import textwrap

import pytest

from rise.errors import ConfigError, DataError, RiseError
from rise.judges import reasoning_gym as judging
from rise.judges.reasoning_gym import UNSAFE, Gym, GymJudge
from rise.task import Problem
from rise.tasks import make_task
from rise.tasks.generated import split_of
from rise.trajectory import Verdict

RIGHT, WRONG, UNPARSABLE, TIMED_OUT = Verdict.RIGHT, Verdict.WRONG, Verdict.UNPARSABLE, Verdict.TIMED_OUT
SPLITS = ("train", "validation", "test")


def tagged(answer):
    return f"Let me see … <answer>{answer}</answer>"


@pytest.fixture(scope="module")
def sums():
    return make_task("reasoning-gym:chain_sum", config={"max_terms": 3, "max_digits": 2}, pool=2000)


def test_problems_come_in_splits_that_cannot_meet(sums):
    parts = {split: sums.problems(split, 60) for split in SPLITS}
    again = make_task("reasoning-gym:chain_sum", config={"max_terms": 3, "max_digits": 2}, pool=2000)
    assert again.problems("test", 20, start=40) == parts["test"][40:]  # however it is asked for
    other = make_task("reasoning-gym:chain_sum", config={"max_terms": 3, "max_digits": 2}, pool=2000, seed=7)
    for split in SPLITS:
        both = [*parts[split], *other.problems(split, 60)]
        assert {split_of(p.question) for p in both} == {split}
        assert len({p.id for p in parts[split]}) == 60
    assert other.problems("test", 20) != parts["test"][:20]
    assert parts["test"][0].question.count(" + ") + parts["test"][0].question.count(" - ") <= 2  # max_terms = 3


def test_their_own_scorer_decides(sums):
    judge = sums.judge()
    for problem in sums.problems("test", 5):
        assert judge.judge(problem, tagged(problem.gold)).verdict is RIGHT
        assert judge.judge(problem, tagged(f"{int(problem.gold):,}.0")).verdict is RIGHT  # their scorer reads decimals
        assert judge.judge(problem, tagged(int(problem.gold) + 1)).verdict is WRONG
        assert judge.judge(problem, f"It is {problem.gold}.").verdict is UNPARSABLE
    assert judge.judge(problem, tagged("9" * 20_000)).verdict is WRONG  # too long to be scored


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        (tagged(" 5 "), "5"),
        ("<answer>4</answer> no: <Answer>5\n6</Answer>.", "5\n6"),
        ("<answer>4</answer> no: <answer>5", None),  # cut off: no earlier answer instead
        ("<answer></answer>", None),
        (r"\boxed{5}", None),
        ("5", None),
    ],
)
def test_the_answer_is_in_the_last_tags(reply, answer):
    assert GymJudge(Gym("chain_sum", {}, 0, 10)).answer(reply) == answer


def test_or_in_a_box():
    judge = GymJudge(Gym("chain_sum", {}, 0, 10), answer_in="box")
    assert judge.answer(r"so \boxed{5}") == "5" and judge.answer(tagged("5")) is None


def test_partial_credit_is_no_verdict_unless_asked_for():
    task = make_task("reasoning-gym:leg_counting")
    (problem,) = task.problems("test", 1)
    said = f"{problem.gold} legs"  # holds the answer: the package's usual partial credit
    score = task.judge().score(problem, said)
    assert 0 < score < 1
    assert task.judge().judge(problem, tagged(said)).verdict is WRONG
    assert GymJudge(task._gym, right_from=score).judge(problem, tagged(said)).verdict is RIGHT
    with pytest.raises(ConfigError, match="right_from = 0"):
        GymJudge(task._gym, right_from=0)


def test_votes_group_answers_without_the_scorer():
    same = GymJudge(Gym("chain_sum", {}, 0, 10)).same
    assert (
        same("1,200", "1200.0") and same("Knave  and\nknight", "knave and knight") and not same("5", "6") and not same("a", "b")
    )


# ---- scorers that run text -----------------------------------------------------------------------------------------------


def test_a_scorer_that_runs_the_answer_is_refused_and_says_so():
    for name, how in UNSAFE.items():
        with pytest.raises(ConfigError, match=f"runs the answer as Python .{how}.*allow_unsafe_scorer = true"):
            make_task(f"reasoning-gym:{name}")


def test_it_runs_where_that_was_allowed():
    task = make_task("reasoning-gym:n_queens", allow_unsafe_scorer=True)
    (problem,) = task.problems("test", 1)
    assert task.judge().judge(problem, tagged(problem.gold)).verdict is RIGHT


def test_a_scorer_that_is_not_known_to_is_stopped_by_the_worker(monkeypatch, tmp_path):
    """As if a new version of the package had a new one: the guard refuses to compile an answer, whatever the list says."""
    monkeypatch.setattr(judging, "UNSAFE", {})
    target = tmp_path / "executed"
    task = make_task("reasoning-gym:spiral_matrix")
    (problem,) = task.problems("train", 1)
    assert task.judge().judge(problem, tagged(problem.gold)).verdict is RIGHT  # nothing to evaluate in it
    for text in (f"__import__('os').mkdir({str(target)!r})", f"[open({str(target)!r}, 'w')]"):
        with pytest.raises(ConfigError, match=r"its scorer wanted to compile .* allow_unsafe_scorer = true"):
            task.judge().judge(problem, tagged(text))
    assert not target.exists()


def test_even_an_allowed_one_writes_no_file_and_starts_no_process(tmp_path):
    target = tmp_path / "executed"
    task = make_task("reasoning-gym:spiral_matrix", allow_unsafe_scorer=True)
    (problem,) = task.problems("train", 1)
    for text in (f"[__import__('os').system('touch {target}')]", f"[open({str(target)!r}, 'w').write('x')]"):
        assert task.judge().judge(problem, tagged(text)).verdict is WRONG
    assert not target.exists()


def test_one_that_evaluates_only_its_own_problem_is_let():
    task = make_task("reasoning-gym:bitwise_arithmetic")
    (problem,) = task.problems("test", 1)
    assert task.judge().judge(problem, tagged(problem.gold)).verdict is RIGHT
    assert task.judge().judge(problem, tagged("__import__('os').getpid()")).verdict is WRONG


OWN_TEXT = {"bitwise_arithmetic", "number_sorting"}
"""These call eval on their own problem's text and never on the answer."""


def test_the_list_is_what_the_installed_sources_say():
    """Every scorer that can reach eval, exec or sympy's parsers through its own class or module is known to us."""
    from reasoning_gym.factory import DATASETS

    found = {name for name, (kind, _) in DATASETS.items() if _evaluates(kind.score_answer, kind, set())}
    assert found - OWN_TEXT == set(UNSAFE)


def _evaluates(function, kind, seen):
    if function in seen:
        return False
    seen.add(function)
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError):
        return False
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = node.func
        name = getattr(called, "id", getattr(called, "attr", None))
        if name in ("eval", "exec", "parse_expr", "sympify", "parse_latex", "__import__"):
            return True
        if isinstance(called, ast.Attribute):
            method = getattr(kind, name, None) if getattr(called.value, "id", None) in ("self", "cls") else None
        else:
            method = getattr(sys.modules[function.__module__], str(name), None)
        if inspect.isfunction(method) and _evaluates(method, kind, seen):
            return True
    return False


# ---- what goes wrong -----------------------------------------------------------------------------------------------------


def test_an_unknown_generator_or_setting_is_answered_with_the_nearest_one():
    with pytest.raises(ConfigError, match=r"unknown generator in 'reasoning-gym:chain_sun'\. Did you mean .chain_sum."):
        make_task("reasoning-gym:chain_sun")
    with pytest.raises(ConfigError, match=r"config has 'max_term'\. Did you mean .max_terms."):
        make_task("reasoning-gym:chain_sum", config={"max_term": 3})
    with pytest.raises(ConfigError, match="the package says AssertionError: min_terms must be positive"):
        make_task("reasoning-gym:chain_sum", config={"min_terms": 0}).problems("test", 1)
    with pytest.raises(ConfigError, match="no setting 'max_terms'"):
        make_task("reasoning-gym:chain_sum", max_terms=3)
    with pytest.raises(ConfigError, match="unknown task 'reasoning_gym:chain_sum'"):
        make_task("reasoning_gym:chain_sum")


def test_a_generator_runs_out_with_a_way_out():
    task = make_task("reasoning-gym:chain_sum", config={"max_terms": 2, "max_digits": 1}, pool=500)
    with pytest.raises(
        DataError, match=r"different test problems among the first 500, of 400 asked for\. Raise task\.settings\.pool"
    ):
        task.problems("test", 400)
    assert len(task.problems("test", 5)) == 5
    with pytest.raises(DataError, match="say how many"):
        task.problems("test")


def test_a_problem_of_another_version_is_not_scored_as_this_one(sums):
    (problem,) = sums.problems("test", 1)
    with pytest.raises(DataError, match="this version makes another problem under that number"):
        sums.judge().judge(Problem("another question", "4", fields=problem.fields), tagged(4))
    with pytest.raises(DataError, match="has no field index"):
        sums.judge().judge(Problem("?", "4"), tagged(4))


def test_a_scorer_without_end_is_timed_out(sums, monkeypatch):
    monkeypatch.setattr(judging.Gym, "ask", lambda *a, **k: None)
    (problem,) = sums.problems("test", 1)
    assert sums.judge().judge(problem, tagged("4")).verdict is TIMED_OUT


def test_a_package_that_is_not_there_says_how_to_get_it():
    pool = judging.Pool(
        lambda: [sys.executable, "-c", "print('No module named reasoning_gym')"], name="its worker", hint=judging._pool._hint
    )
    with pytest.raises(RiseError, match=r"No module named reasoning_gym. Install it with: pip install .*\[tasks\]'"):
        pool.ask({}, 1.0)


def test_problems_without_one_right_answer_and_bare_solutions(sums):
    task = make_task("reasoning-gym:chain_sum", bare_solutions=True, config={"max_terms": 2})
    (problem,) = task.problems("train", 1)
    assert problem.solution == f"<answer>{problem.gold}</answer>"
    assert sums.problems("train", 1)[0].solution is None
    assert "<answer>" in task.instructions
    assert "boxed" in make_task("reasoning-gym:chain_sum", answer_in="box").instructions
