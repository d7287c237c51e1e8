r"""Verdicts, worked by hand; every checker fault we know of as a case; and nothing a model writes hangs, runs or leaks."""

import asyncio
import json
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rise.errors import ConfigError, DataError
from rise.judges import math as judging
from rise.judges import processes
from rise.judges.math import MathJudge, close_workers, too_big
from rise.task import Problem
from rise.tasks import make_task
from rise.tasks.sources import data_directory
from rise.trajectory import Verdict

RIGHT, WRONG, UNPARSABLE, TIMED_OUT = Verdict.RIGHT, Verdict.WRONG, Verdict.UNPARSABLE, Verdict.TIMED_OUT
JUDGE = MathJudge()


def verdict(gold, reply, judge=JUDGE):
    return judge.judge(Problem("id", "?", gold), reply).verdict


def box(answer):
    return f"Step 1 … so \\boxed{{{answer}}}."


@pytest.mark.parametrize(
    ("gold", "reply", "expected"),
    [
        ("#### 72", r"\boxed{72}", RIGHT),
        ("#### 72", "so\n#### 72", RIGHT),
        ("72", r"\boxed{71}", WRONG),
        (r"hence $\boxed{\frac{1}{2}}$", r"\boxed{0.5}", RIGHT),
        # rise-method §9, GSM8K: a comma in gold made 1,200 read as 1 (14 test and 79 train rows)
        ("#### 1,200", r"\boxed{1200}", RIGHT),
        ("#### 1,200", r"\boxed{1}", WRONG),
        # §9, GSM8K: only integers were parsed in a box
        ("#### 18", r"\boxed{18.0}", RIGHT),
        ("#### 18", r"\boxed{$18}", RIGHT),
        ("#### 18", r"\boxed{18\%}", RIGHT),
        ("#### 18", r"\boxed{\text{18 dollars}}", RIGHT),
        ("#### 1000", r"\boxed{1{,}000}", RIGHT),
        ("#### 1", r"\boxed{\frac{2}{2}}", RIGHT),
        # §9, MATH: nothing on both sides was called equal; units cut text; degrees; short fractions; leading zero; x =
        ("5", r"no box", UNPARSABLE),
        ("10", r"\boxed{10\text{ cm}}", RIGHT),
        ("90", r"\boxed{90^\circ}", RIGHT),
        (r"\frac12", r"\boxed{.5}", RIGHT),
        ("5", r"\boxed{x=5}", RIGHT),
        ("0.25", r"\boxed{\frac14}", RIGHT),  # only 0.5 was known
        ("5", r"\fbox{5}", RIGHT),
        ("3", r"$\boxed 3$", RIGHT),
        # peers §C.4
        ("5", "The number 5 came up", UNPARSABLE),  # verifiers#1028
        ("5", r"\boxed{\boxed{5}}", RIGHT),  # slime#543
        ("5", r"\boxed{5} then \boxed{6", UNPARSABLE),  # marin#9163
        ("5", r"\boxed{4} then \boxed{\text{5}}", RIGHT),  # NeMo-Gym#1844
        # lm-evaluation-harness#3477: what stands in a command that only changes the look
        ("5", r"\boxed{\textbf{5}}", RIGHT),
        ("5", r"\boxed{\mathrm{5}}", RIGHT),
        ("1000", r"\boxed{\mathbf{1{,}000}}", RIGHT),
        ("-3", "\\boxed{\u22123}", RIGHT),  # a minus sign that is not a hyphen
        ("2.5", r"\boxed{2\dfrac{1}{2}\text{ hours}}", RIGHT),
        # unparsable: an empty box, or a box without a number where gold is one
        ("5", r"\boxed{}", UNPARSABLE),
        ("5", r"\boxed{}, \boxed{ }", UNPARSABLE),
        ("5", r"\boxed{x}", UNPARSABLE),
        ("5", r"\boxed{\text{five}}", UNPARSABLE),
        ("5", r"\boxed{\frac{a}{b}}", UNPARSABLE),
        ("5", "#### the answer", UNPARSABLE),
        ("5", r"\boxed{5 or 6}", WRONG),
        ("5", r"\boxed{5, 6}", WRONG),
        # words and choices
        ("Monday", r"\boxed{\text{Monday}}", RIGHT),
        ("Monday", r"\boxed{monday}", RIGHT),
        ("Monday", r"\boxed{Tuesday}", WRONG),
        (r"(\text{E})", r"\boxed{E}", RIGHT),
        ("3032_5", r"\boxed{3032_{5}}", RIGHT),
        ("3032_5", r"\boxed{3032}", WRONG),  # another base is another number
        ("x+1", r"\boxed{$x + 1$}", RIGHT),
    ],
)
def test_verdicts_that_need_no_worker(gold, reply, expected, monkeypatch):
    monkeypatch.setattr(judging, "_verified", lambda *_: pytest.fail("a worker was asked"))
    assert verdict(gold, reply) is expected


@pytest.mark.parametrize(
    ("gold", "answer", "right"),
    [
        # §9, MATH: truncated at the second level of braces, these two were equal
        (r"\frac{\sqrt{3}}{2}", r"\frac{\sqrt{3}}{4}", False),
        (r"\frac{\sqrt{3}}{2}", r"\sqrt{3}/2", True),
        # no set, interval, decimal equivalence in the reference; lm-evaluation-harness#3477, #3643: false negatives
        (r"\{1, 2\}", "2, 1", True),
        (r"1,-1,-3i", r"-3i, 1, -1", True),
        ("(1,2)", "(2,1)", False),
        ("(1,2)", r"\{1,2\}", False),
        ("(1,2]", r"\left( 1, 2 \right]", True),
        ("(1,2]", "(1,2)", False),
        ("[-2,0]", r"x \in [-2,0]", True),
        (r"(-\infty,0)\cup(0,\infty)", r"(0,\infty) \cup (-\infty,0)", True),
        (r"x+y", "y+x", True),
        ("(x-1)^2", "x^2-2x+1", True),
        (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", r"\begin{bmatrix}1\\2\end{bmatrix}", True),
        (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", r"\begin{pmatrix}2\\1\end{pmatrix}", False),
        ("y = 2x+3", "y = 3 + 2x", True),
        (r"\frac \pi4", r"\pi/4", True),
        (r"6\pi", r"6 \pi \text{ cm}", True),
        (r"\sqrt3", r"\sqrt{3}.", True),
        ("8", "2^3", True),
        ("8", r"\sqrt{64}", True),
        ("8", "2^{4}", False),
        ("5", r"\pi", False),  # wrong, not unparsable: it is a number
        (r"(\text{E})", "(D)", False),
        (r"\infty", r"-\infty", False),
    ],
)
def test_verdicts_of_the_worker(gold, answer, right):
    assert verdict(gold, box(answer)) is (RIGHT if right else WRONG)


def test_votes_are_grouped_without_gold():
    same = MathJudge().same
    assert same("1,200", "1200.0") and same("0.5", r"\frac{1}{2}") and same("Monday", r"\text{Monday}")
    assert same(r"\frac{\sqrt{3}}{3}", r"\frac{1}{\sqrt{3}}")
    assert same("x<2", r"(-\infty,2)") and same(r"(-\infty,2)", "x<2")
    assert not same("5", "6") and not same("Monday", "Tuesday") and not same("5", "five")


def test_lenient_mode_reads_what_strict_mode_does_not():
    assert verdict("5", "The answer is 5.") is UNPARSABLE
    assert verdict("5", "The answer is 5.", MathJudge("lenient")) is RIGHT


def test_what_we_get_wrong_ourselves_raises():
    with pytest.raises(ConfigError, match="strict"):
        MathJudge("loose")
    with pytest.raises(ConfigError, match="time_limit_s"):
        MathJudge(time_limit_s=0)
    for gold in ("", "  ", r"so \boxed{5", "####"):
        with pytest.raises(DataError, match="marks no final answer"):
            verdict(gold, r"\boxed{5}")


def test_plain_numbers_import_no_computer_algebra_and_start_no_process():
    code = (
        "import sys, subprocess\n"
        "subprocess.Popen = None\n"
        "from rise.judges import MathJudge\n"
        "from rise.task import Problem\n"
        "assert MathJudge().judge(Problem('', '', '#### 1,200'), r'\\boxed{1200}').verdict == 'right'\n"
        "assert not {'sympy', 'math_verify', 'torch'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_symbolic_off_never_starts_a_worker(monkeypatch):
    monkeypatch.setattr(judging, "_verified", lambda *_: pytest.fail("a worker was asked"))
    assert verdict("8", box("2^3"), MathJudge(symbolic=False)) is WRONG
    assert verdict("2^3", box("2^3"), MathJudge(symbolic=False)) is RIGHT


def _limit_s():
    """Five seconds on a machine that has a core for us; where ten wait for each, as many times more."""
    return 5 * max(1.0, 2 * os.getloadavg()[0] / (os.cpu_count() or 1))


HOSTILE = {
    "a million open braces": "{" * 10**6,
    "a million closed braces": "}" * 10**6,
    "boxes": "\\boxed{" * 150_000,
    "power tower": "9^{9^{9^{9}}}",
    "Math-Verify#65": "5^{5^{5^{5^5}}}",
    "python power tower": "9**9**9**9",
    "long number": "7" * 10**6,
    "huge exponent": "1e999999999",
    "huge power": "2^{99999999999}",
    "factorial": "9999999!",
    "deep fractions": "\\frac{1}{" * 300 + "2" + "}" * 300,
    "deep parentheses": "(" * 900 + "1" + ")" * 900,
    "a megabyte of words": "word " * 200_000,
    "a megabyte of formula": "x+" * 500_000 + "1",
    "null bytes": "5\x00" * 1000,
    "control characters": "".join(map(chr, range(32))) + "5",
    "right to left": "\u202e\u2067" * 500 + "5x",
    "code": "__import__('os').system('touch {}')",
    "code with a number": "1 if __import__('os').system('touch {}') else 2",
    "code in a symbol": r"x_{__import__('os').system('touch {}')} + 1",
    "lambda": "(lambda: [0 for _ in iter(int, 1)])() + 1",
    "surrogate": "\ud800 + 1^2",
    "latex file": r"\input{/etc/passwd} + 1",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_answers_get_a_verdict_within_five_seconds(name, tmp_path):
    target = tmp_path / "executed"
    answer = HOSTILE[name].replace("{}", str(target))
    for gold in ("5", r"\frac{\sqrt{3}}{2}"):
        for reply in (f"\\boxed{{{answer}}}", f"#### {answer}", answer):
            began = time.perf_counter()
            assert verdict(gold, reply) is not RIGHT
            assert time.perf_counter() - began < _limit_s()
    assert not target.exists()


def _slowest(work):
    """Seconds of the slowest verdict, and whether any was RIGHT."""
    slowest, any_right = 0.0, False
    for gold, reply in work:
        began = time.perf_counter()
        any_right |= verdict(gold, reply) is RIGHT
        slowest = max(slowest, time.perf_counter() - began)
    return slowest, any_right


def _hostile_work(target):
    return [
        (gold, f"\\boxed{{{answer.replace('{}', str(target))}}}") for answer in HOSTILE.values() for gold in ("5", r"\sqrt{2}")
    ]


def test_hostile_answers_from_threads_and_in_bounded_memory(tmp_path):
    work = _hostile_work(tmp_path / "executed")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda i: verdict("8", box(f"2^3+{i}-{i}+0")), range(8)))  # starting workers is not judging
        found = list(threads.map(_slowest, [work[i::4] for i in range(4)]))
    assert all(slowest < _limit_s() and not any_right for slowest, any_right in found), found
    # A megabyte or ten of replies at a time, and copies of them; not what 9^{9^{9^9}} has digits.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 1024
    assert not (tmp_path / "executed").exists()


def _hostile_in_child(queue, target):
    verdict("8", box("2^3+4-4+0"))  # a worker of its own
    queue.put((_slowest(_hostile_work(target)), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))


def test_hostile_answers_after_fork(tmp_path):
    verdict("8", box("2^3+4-4"))  # the parent has workers, which are not the child's
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_hostile_in_child, args=(queue, tmp_path / "executed"))
    child.start()
    (slowest, any_right), _ = queue.get(timeout=300)
    child.join(10)
    assert slowest < _limit_s() and not any_right and child.exitcode == 0
    assert not (tmp_path / "executed").exists()


def test_in_an_event_loop_and_in_its_threads():
    """fw-ai/cookbook#438, trl#5281: SIGALRM in an event loop, or out of the main thread, wedges or raises. We set no signal."""

    async def both():
        return (
            verdict("8", box("2^3+5-5")),
            await asyncio.to_thread(verdict, "8", box("2^3+6-5")),
            signal.getsignal(signal.SIGALRM),
        )

    assert asyncio.run(both()) == (RIGHT, WRONG, signal.SIG_DFL)


def test_calculator_annotations_in_gold_are_never_evaluated(tmp_path):
    """rise-method §9, GSM8K: the reference calls eval on what stands in << >> of its data."""
    target = tmp_path / "executed"
    gold = f"It is <<__import__('os').mkdir({str(target)!r})=5>>5.\n#### 5"
    assert verdict(gold, r"\boxed{5}") is RIGHT and verdict(gold, r"\boxed{6}") is WRONG
    file = tmp_path / "test.jsonl"
    file.write_text(json.dumps({"question": "?", "answer": gold}) + "\n")
    (problem,) = make_task("gsm8k", path=file).problems("test")
    assert problem.solution == "It is 5.\nThe answer is \\boxed{5}." and not target.exists()


def test_no_gold_is_read_as_a_part_of_itself():
    """§9: 1,200 read as 1 on GSM8K, \\frac{\\sqrt{3}}{2} as \\frac{\\sqrt{3} on MATH. So with every comma and every depth."""
    for number in ("1,200", "12,345,678", "-1,000", "1,200.50", "$3,000"):
        part = number.split(",")[0]
        assert verdict(f"so\n#### {number}", box(part)) is not RIGHT
        assert verdict(f"so\n#### {number}", box(number.replace(",", ""))) is RIGHT
    for depth in range(1, 12):
        nested = "\\sqrt{" * depth + "3" + "}" * depth
        other = "\\sqrt{" * depth + "4" + "}" * depth
        gold = f"hence $\\boxed{{\\frac{{{nested}}}{{2}}}}$"
        as_text = MathJudge(symbolic=False)  # what is compared is what was read, with no algebra to mend it
        assert verdict(gold, box(f"\\frac{{{nested}}}{{2}}"), as_text) is RIGHT
        assert verdict(gold, box(f"\\frac{{{other}}}{{2}}"), as_text) is WRONG
        assert verdict(gold, box(f"\\frac{{{nested}"), as_text) is not RIGHT


def test_an_answer_that_hangs_is_timed_out_and_the_next_one_is_judged():
    judge = MathJudge(time_limit_s=1.0)
    verdict("8", box("2^3"), judge)
    began = time.perf_counter()
    assert verdict("5", box("9^{9^9}"), judge) is TIMED_OUT  # bignum arithmetic: no signal handler gets a turn
    assert time.perf_counter() - began < 2 * _limit_s() / 5
    assert verdict("8", box("3^2-1"), judge) is RIGHT
    assert len(judging._pool._all) <= judging._pool.size


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_memory_is_bounded():
    pid = _worker_pid()
    with open(f"/proc/{pid}/limits") as file:
        limits = {line[:25].strip(): line[25:].split()[1] for line in file if line[25:].split()[0] != "Soft"}
    assert int(limits["Max address space"]) == judging.MEMORY_BYTES
    assert int(limits["Max file size"]) == 0
    with open(f"/proc/{pid}/environ", "rb") as file:
        assert file.read() == b""


def _worker_pid():
    assert verdict("8", box("2^{3}+0")) is RIGHT
    (worker, *_) = judging._pool._idle
    return worker.process.pid


@pytest.mark.parametrize(
    "code",
    [
        "eval('1+1')",
        "open('written', 'w')",
        "__import__('os').system('true')",
        "__import__('os').fork()",
        "__import__('subprocess').Popen(['true'])",
        "__import__('socket').create_connection(('127.0.0.1', 9))",
    ],
)
def test_the_worker_refuses_to_run_write_fork_and_connect(code, tmp_path):
    program = (
        f"import sys\nfrom rise.judges.worker import refuse\nsys.addaudithook(refuse)\n"
        f"try:\n    {code}\nexcept PermissionError:\n    print('refused')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    )
    assert done.stdout.strip() == "refused", done.stderr
    assert not (tmp_path / "written").exists()


def test_threads_share_the_workers_and_agree():
    work = [("8", box(f"2^3+{i}-{i}"), RIGHT) for i in range(12)] + [("8", box(f"2^3+{i}"), WRONG) for i in range(1, 13)]
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda item: verdict(item[0], item[1]), work))
    assert found == [expected for *_, expected in work]
    assert len(judging._pool._all) <= judging._pool.size


def test_a_worker_that_gets_no_processor_is_waited_for_and_one_that_has_had_its_share_is_not(monkeypatch):
    """On a machine with twenty processes a core, right answers used to be called timed out."""
    slow = [sys.executable, "-c", "import time\nprint('ready', flush=True)\ninput()\ntime.sleep(0.6)\nprint('right', flush=True)"]
    seconds = iter([0.0, 0.1, 0.1, 0.1, 0.1])
    monkeypatch.setattr(processes.Worker, "_processor", lambda self: (True, next(seconds)))
    assert processes.Pool(lambda: slow, name="slow").ask([], 0.3) == "right"  # 0.1 s of a processor: not 35 % of its 0.3
    for used in ((True, 0.2), (False, 0.0)):  # has had its share; is asleep
        seconds = iter([(True, 0.0), used])
        monkeypatch.setattr(processes.Worker, "_processor", lambda self, seconds=seconds: next(seconds))
        assert processes.Pool(lambda: slow, name="slow").ask([], 0.3) is None


def test_a_thread_that_is_not_the_main_one_can_time_out():
    found = []
    thread = threading.Thread(target=lambda: found.append(verdict("5", box("8^{8^{9}}"), MathJudge(time_limit_s=1.0))))
    thread.start()
    thread.join(2 * _limit_s())
    assert found == [TIMED_OUT]


def _judge_in_child(queue):
    queue.put((verdict("8", box("2^3+1-1")), verdict("9", box("3^2+1")), next(iter(judging._pool._all)).process.pid))


def test_a_forked_child_has_workers_of_its_own_and_leaves_ours_alone():
    pid = _worker_pid()
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_judge_in_child, args=(queue,))
    child.start()
    right, wrong, childs_pid = queue.get(timeout=30)
    child.join(10)
    assert (right, wrong) == (RIGHT, WRONG)
    assert childs_pid != pid and child.exitcode == 0
    assert _worker_pid() == pid  # ours still answers
    assert _gone(childs_pid)


def test_workers_end_with_their_parent_even_when_it_is_killed():
    code = (
        "import sys, time\nfrom rise.judges import MathJudge, math\nfrom rise.task import Problem\n"
        "MathJudge().judge(Problem('', '', '8'), r'\\boxed{2^3}')\n"
        "print(list(math._pool._all)[0].process.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert _gone(pid)


def _gone(pid):
    for _ in range(100):
        try:
            with open(f"/proc/{pid}/stat") as file:
                if file.read().rpartition(")")[2].split()[0] == "Z":
                    return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.05)
    return False


def test_a_worker_that_dies_is_replaced():
    pid = _worker_pid()
    os.kill(pid, 9)
    assert _gone(pid)
    assert verdict("8", box("2^3+2-2")) is RIGHT
    close_workers()
    assert verdict("8", box("2^3+3-3")) is RIGHT


@pytest.mark.parametrize(
    ("text", "big"),
    [("x^{2010}", False), (r"2^{2^{10}}", False), ("9^{9^{9^9}}", True), ("5!", False), ("9999999!", True), ("5!!", True)],
)
def test_caps(text, big):
    assert too_big(text) is big


_TEXT = st.one_of(
    st.text(max_size=30),
    st.text(alphabet="0123456789{}\\$%.,/-+^_= xab()[]!\x00\u202e−½×", max_size=40),
)


@settings(max_examples=10_000, deadline=None)
@given(_TEXT)
def test_ten_thousand_strings_get_a_verdict(text):
    judge = MathJudge(symbolic=False)
    for reply in (text, f"\\boxed{{{text}}}"):
        judgement = judge.judge(Problem("", "", "5"), reply)
        assert (judgement.answer is not None) or judgement.verdict is UNPARSABLE
    judge.same(text, "5")


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    st.lists(
        st.sampled_from([*r"0123456789x+-*/()[]{}^_,=", r"\frac", r"\sqrt", r"\pi", r"\text{a}", r"\{", r"\}", r"\cup"]),
        max_size=12,
    )
)
def test_formulas_of_any_shape_get_a_verdict(pieces):
    assert verdict(r"\sqrt{2}", box("".join(pieces)), MathJudge(time_limit_s=2.0)) in (RIGHT, WRONG, TIMED_OUT, UNPARSABLE)


@pytest.mark.parametrize(("name", "split", "share"), [("gsm8k", "test", 1), ("gsm8k", "train", 1), ("math", "test", 1)])
def test_every_gold_is_right_against_itself(name, split, share):
    if not (data_directory() / name / f"{split}.jsonl").is_file():
        pytest.skip("no benchmark data: set $RISE_DATA")
    task = make_task(name)
    judge = task.judge()
    wrong = [p.id for p in task.problems(split) if judge.judge(p, p.solution).verdict is not RIGHT]
    assert wrong == []
