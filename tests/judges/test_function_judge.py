"""Python functions judged by their tests: verdicts, messages, votes, and code that wants out of its sandbox."""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from busy import within

from rise.errors import ConfigError, DataError
from rise.judges import python_functions
from rise.judges.python_functions import FunctionJudge, first_failure, first_failure_short
from rise.judges.python_tests import read_outcome, read_tests
from rise.judges.worker_pool import close_workers
from rise.policies.reaper import descendants
from rise.task import Problem
from rise.tasks import make_task
from rise.trajectory import Trajectory, Turn, Verdict

RIGHT, WRONG, UNPARSABLE, TIMED_OUT = Verdict.RIGHT, Verdict.WRONG, Verdict.UNPARSABLE, Verdict.TIMED_OUT
GOLD = "assert f(2) == 5\nassert f(3) == 7"
JUDGE = FunctionJudge()


def found(code, gold=GOLD, judge=JUDGE):
    return judge.examine(gold, code)


def verdict(reply, gold=GOLD):
    return JUDGE.judge(Problem("?", gold), reply).verdict


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        ("So:\n```python\ndef f(n):\n    return n\n```\nDone.", "def f(n):\n    return n"),
        ("```\ndef f(n): return 1\n```\nno:\n```py\ndef f(n): return 2\n```", "def f(n): return 2"),  # the last one
        ("```python\ndef f(n): return 1\n```\nIt gives\n```\n5\n```", "def f(n): return 1"),  # an example run is no answer
        ("```python\nf = lambda n: n\n```", "f = lambda n: n"),
        ("```def f(n): return 1```", "def f(n): return 1"),
        ("def f(n):\n    return n\n", "def f(n):\n    return n"),
        ("Here it is.\nimport math\ndef f(n): return n", "import math\ndef f(n): return n"),
        ("```python\ndef f(n): return 1\n```\nBetter:\n```python\ndef f(n):", None),  # cut off: no earlier block instead
        ("from here to there", None),
        ("return 2 * n + 1", None),
        ("```\n\n```", None),
        ("", None),
    ],
)
def test_the_code_in_a_reply(reply, code):
    assert JUDGE.answer(reply) == code


@pytest.mark.parametrize(
    ("code", "expected", "message"),
    [
        ("def f(n): return 2 * n + 1", RIGHT, ""),
        ("def f(n): return 2 * n + 1.0", RIGHT, ""),  # as the assert itself would say
        ("import math\ndef f(n): return math.floor(2 * n + 1)", RIGHT, ""),
        ("print('hello')\ndef f(n): return 2 * n + 1", RIGHT, ""),
        ("def f(n): return n + 3", WRONG, "f(3) should return 7, but returned 6."),  # the first test passes
        ("def f(n): return [n]", WRONG, "f(2) should return 5, but returned [2]."),
        ("def f(n): return n / 0", WRONG, "f(2) should return 5, but raised ZeroDivisionError: division by zero."),
        ("def f(n) return n", WRONG, "Your code is not Python: expected ':' in line 1."),
        ("def f(n):\n    return 5\n1 / 0", WRONG, "Your code raised ZeroDivisionError: division by zero before any call."),
        ("def g(n): return n", WRONG, "Your code defines no function f."),
        ("def f(n): return f(n)", WRONG, "f(2) should return 5, but raised RecursionError: maximum recursion depth exceeded."),
        ("def f(n): return lambda: 1", WRONG, "f(2) should return 5, but returned a value of type function."),
        ("def f(n): return '\u202e\x1b[31m'", WRONG, r"f(2) should return 5, but returned '\u202e\x1b[31m'."),
    ],
)
def test_verdicts_and_what_is_said(code, expected, message):
    finding = found(code)
    assert (finding.verdict, finding.message) == (expected, message)


def test_values_are_compared_with_their_types():
    gold = "assert f(1) == [1, (2, {3: 'a'}), {4}, None, 1.5]"
    assert found("def f(n): return [1, (2, {3: 'a'}), {4}, None, 1.5]", gold).verdict is RIGHT
    assert found("def f(n): return [1, [2, {3: 'a'}], {4}, None, 1.5]", gold).verdict is WRONG
    assert found("def f(n): return [1, (2, {'3': 'a'}), {4}, None, 1.5]", gold).verdict is WRONG


# ---- out of the sandbox --------------------------------------------------------------------------------------------------

ESCAPES = {
    "kill everybody": "import os\ndef f(n): os.kill(-1, 9)",
    "a socket": "import socket\ndef f(n): socket.create_connection(('127.0.0.1', 9))",
    "a socket before any call": "import socket\nsocket.socket()\ndef f(n): return 5",
    "read a file": "def f(n): return open('TARGET').read()",
    "write a file": "def f(n): return open('TARGET' + 'x', 'w').write('x')",
    "fork": "import os\ndef f(n):\n    while True: os.fork()",
    "run a program": "import os\ndef f(n): return os.execv('/bin/sh', ['sh', '-c', 'touch TARGETx'])",
    "a thread": "import _thread\ndef f(n): return _thread.start_new_thread(print, ())",
    "system": "import os\ndef f(n): return os.system('touch TARGETx')",
    "memory": "def f(n): return [0] * 10**12",
    "an object that equals all": "class A:\n    def __eq__(self, other): return True\ndef f(n): return A()",
    "an integer that equals all": "class A(int):\n    def __eq__(self, other): return True\ndef f(n): return A()",
    "leave": "import os\ndef f(n): os._exit(0)",
    "exit": "def f(n): raise SystemExit(0)",
    "an error that cannot be shown": "class E(Exception):\n    def __str__(self): raise E\ndef f(n): raise E",
    "a crash": "import ctypes\ndef f(n): return ctypes.string_at(0)",
    "megabytes": "def f(n): return 'x' * 10**7",
    "a long number": "def f(n): return 10**100_000",
    "a list in itself": "def f(n):\n    a = []\n    a.append(a)\n    return a",
    "say it is right": "import os\ndef f(n):\n    for fd in range(9):\n        try: os.write(fd, b'[\"value\", 0]\\n')\n"
    "        except OSError: pass\n    return 5",
    "broken lines": "import os\ndef f(n):\n    os.write(3, b'[' * 50_000 + b'\\n')\n    return 5",
    "deep lines": "import os\ndef f(n):\n    os.write(3, b'[0,' + b'[1,' * 480 + b'2' + b']' * 481 + b'\\n')\n    return 5",
    "deep code": "def f(n): return " + "(" * 5000 + "1" + ")" * 5000,
    "null bytes": "def f(n): return 5\x00",
    "the judge's own memory": "import gc\ndef f(n): return [o for o in gc.get_objects() if o == 7][0]",
}


@pytest.mark.parametrize("name", ESCAPES)
def test_code_gets_nowhere_and_the_next_one_is_judged(name, tmp_path):
    target = tmp_path / "secret"
    target.write_text("5")
    code = ESCAPES[name].replace("TARGET", str(target))
    began = time.perf_counter()
    assert found(code).verdict is WRONG
    assert within(began, 5)
    assert os.listdir(tmp_path) == ["secret"]
    assert found(f"def f(n): return 2 * n + 1  # after {name}").verdict is RIGHT


def test_endless_code_is_timed_out():
    judge = FunctionJudge(time_limit_s=1.0)
    for code in (
        "def f(n):\n    while True: pass",
        "while True: pass",
        "def f(n):\n    try:\n        while 1: pass\n    except: f(n)",
    ):
        began = time.perf_counter()
        assert found(code, judge=judge).verdict is TIMED_OUT
        assert within(began, 4.5)
    assert found("def f(n): return 9**9**9", judge=judge).verdict is TIMED_OUT  # one C call, no signal handler gets a turn
    assert found("def f(n): return 2 * n + 1 + 0", judge=judge).verdict is RIGHT


CROWDED = """
import os, subprocess, sys, time
from rise.judges.python_functions import FunctionJudge
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
def work(n):
    while n: n -= 1
n = 100_000
while True:
    began = time.process_time()
    work(n)
    if (took := time.process_time() - began) > 0.1: break
    n *= 2
n = int(n * 0.7 / took)
judge = FunctionJudge(time_limit_s=1.0)
code = f"def f(x):\\n    n = {n}\\n    while n: n -= 1\\n    return x"
assert judge.examine("assert f(1) == 2", "def f(x): return 2").verdict == "right"
others = [subprocess.Popen([sys.executable, "-c", "while True: pass"], start_new_session=True) for _ in range(4)]
began = time.monotonic()
try:
    print(judge.examine("assert f(1) == 1", code).verdict)
    print(judge.examine("assert f(1) == 1", "def f(x):\\n    while True: pass").verdict)
finally:
    for other in others: other.kill()
"""


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="only Linux says which processor a process runs on")
@pytest.mark.slow
def test_a_limit_is_of_processor_time_right_code_is_right_on_a_busy_machine():
    """Four others share its one processor: 0.7 s of work take about 3.5 s by the clock, under a limit of 1 s."""
    done = subprocess.run([sys.executable, "-c", CROWDED], capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["right", "timed_out"], done.stderr


def test_what_is_expected_is_never_sent(monkeypatch):
    sent = []

    class Listening:
        def ask(self, request, limit_s):
            sent.append(json.dumps(request))
            return '{"lines": [["value", ["int", "0x50c9"]]], "end": "done"}'

    monkeypatch.setattr(python_functions, "_pool", lambda allow: Listening())
    assert found("def f(n): return 20681", "assert f(12) == 20681").verdict is RIGHT
    assert (
        "12" in sent[0]
        and "20681" in json.dumps(json.loads(sent[0])["code"])
        and "20681" not in sent[0].replace("return 20681", "")
    )


@pytest.mark.parametrize(
    "lines",
    [
        [["value"]],
        [["value", ["int", 5]]],
        [["value", ["int", "five"]]],
        [["value", ["set", [["list", []]]]]],
        [7],
        [None],
        [["value", 5]],
        [["other", []]],
        [["raised", 5, 6]],
        [["value", ["dict", [[1]]]]],
        "x",
        [],
    ],
)
def test_what_a_sandbox_might_be_made_to_say_is_wrong_and_raises_nothing(lines):
    _, tests = read_tests(GOLD)
    assert read_outcome({"lines": lines, "end": "done"}, "f", tests).verdict is WRONG


def test_the_environment_is_empty_and_sets_are_walked_the_same_way():
    gold = "assert f(0) == ['PYTHONHASHSEED']"
    code = "import os\ndef f(n): return [k for k in os.environ if k not in ('LC_CTYPE', 'PWD')]"
    assert found(code, gold).verdict is RIGHT, found(code, gold).message


def test_nothing_is_run_where_nothing_confines(monkeypatch):
    """A machine without the filter and without bubblewrap: the worker says so, and the judge says the way out."""
    monkeypatch.setattr(python_functions, "bubblewrap", lambda: None)
    command = python_functions.command(False)
    assert command[-1] == "seccomp"
    program = (
        "import sys, platform; platform.machine = lambda: 'sparc'; sys.argv = ['', '1000000000', 'seccomp']; "
        f"exec(compile(open({command[-3]!r}).read(), 's', 'exec'), {{'__name__': '__main__'}})"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, input="")
    assert "no seccomp filter for" in done.stdout and "ready" not in done.stdout
    refused = python_functions.Pool(lambda: [sys.executable, "-c", program], name="the sandbox", hint="Install bubblewrap")
    with pytest.raises(Exception, match=r"the sandbox did not start: the kernel has no seccomp filter .* Install bubblewrap"):
        refused.ask({}, 1.0)
    assert python_functions.command(True)[-1] == "nothing"


@pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")
def test_bubblewrap_is_used_where_it_works():
    assert python_functions.bubblewrap()
    command = python_functions.command(False)
    assert command[0].endswith("bwrap") and "--unshare-all" in command
    pool = python_functions.Pool(lambda: python_functions.command(False), name="sandbox")
    request = {"code": "import os\ndef f(n): return os.getpid()", "name": "f", "calls": ["(1,)"], "limit_s": 2.0}
    [[_, [_, pid]]] = json.loads(pool.ask(request, 10))["lines"]
    assert int(pid, 16) < 100  # a namespace of its own
    pool.close()


def test_a_bubblewrap_that_does_not_work_here_is_not_used(tmp_path, monkeypatch):
    fake = tmp_path / "bwrap"
    fake.write_text("#!/bin/sh\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    python_functions.bubblewrap.cache_clear()
    assert python_functions.bubblewrap() is None
    assert python_functions.command(False)[-1] == "seccomp"
    python_functions.bubblewrap.cache_clear()


def test_threads_get_the_verdicts_they_asked_for():
    work = [(f"def f(n): return 2 * n + 1 + {i} - {i % 3}", RIGHT if i == i % 3 else WRONG) for i in range(12)]
    with ThreadPoolExecutor(6) as threads:
        assert [f.verdict for f in threads.map(lambda item: found(item[0]), work)] == [expected for _, expected in work]


def test_a_sandbox_outlives_the_thread_that_started_it():
    """Under bubblewrap it used to be killed with that thread, at a moment when the next request was already on its way."""
    close_workers()
    gold, pool = "assert f(1) == 2", python_functions._pool(False)
    thread = threading.Thread(target=lambda: JUDGE.examine(gold, "def f(n): return 2 * n"))
    thread.start()
    number = thread.native_id
    thread.join()
    [worker] = pool._idle
    while Path(f"/proc/self/task/{number}").exists():  # until the kernel has ended it, with whatever it kills then
        time.sleep(0.001)
    assert JUDGE.examine(gold, "def f(n): return 2 * n + 0").verdict is Verdict.RIGHT
    assert pool._idle == [worker] and worker.process.poll() is None


def test_a_sandbox_that_is_ended_is_gone_with_all_its_processes():
    close_workers()
    JUDGE.examine("assert f(1) == 3", "def f(n): return 3 * n")
    [worker] = python_functions._pool(False)._idle
    family = [worker.process.pid, *descendants(worker.process.pid)]
    close_workers()
    end = time.monotonic() + 60
    while alive := [pid for pid in family if Path(f"/proc/{pid}").exists()]:
        assert time.monotonic() < end, alive
        time.sleep(0.01)


# ---- gold, votes, feedback -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gold", "words"),
    [
        ("", "holds no test"),
        ("assert f(", "is no Python"),
        ("import os", "is no test"),
        ("assert f(2) > 5", "is no test"),
        ("assert f(2) == g(3)", "must be plain values"),
        ("assert f(__import__('os')) == 3", "must be plain values"),
        ("assert f(1) == 1\nassert g(1) == 1", "tests both f and g"),
    ],
)
def test_gold_that_is_no_tests_is_named(gold, words):
    with pytest.raises(DataError, match=words):
        found("def f(n): return n", gold)


def test_votes_group_the_same_program():
    assert JUDGE.same("def f(n): return n+1", "def f(n):\n    # one more\n    return n + 1")
    assert JUDGE.same("def f(n):\n    'One more.'\n    return n", "def f(n):\n    return n")
    assert not JUDGE.same("def f(n): return n + 1", "def f(n): return 1 + n")
    assert not JUDGE.same("def f(n) return", "def f(n)  return")  # no program is no other


def test_the_failing_test_is_the_feedback():
    problem = Problem("?", GOLD)

    def said(reply, how):
        judgement = JUDGE.judge(problem, reply)
        turn = Turn(reply, judgement.verdict, answer=judgement.answer, message=judgement.message, brief=judgement.brief)
        return how(problem, Trajectory("id", "?", GOLD, (turn,)), turn.verdict)

    assert said("def f(n): return n", first_failure) == "f(2) should return 5, but returned 2. Correct the function."
    assert said("def f(n): return n", first_failure_short) == "f(2)=5 not 2"
    assert said("def f(n): return 2*n+1", first_failure) == "All tests pass. Give the same function again."
    assert said("def f(n): return 2*n+1", first_failure_short) == "ok"
    assert "no code" in said("I do not know.", first_failure) and said("?", first_failure_short) == "no code"
    assert said("def f(n): return 'é'", first_failure_short) == r"f(2)=5 not '\xe9'"  # ASCII, for a tokenizer of characters


def test_what_is_said_of_code_holds_no_address():
    """Stage files hold it, and are equal to the byte whichever process ran the code."""
    said = found("def f(n): raise ValueError(str(f))")
    assert said.message == "f(2) should return 5, but raised ValueError: <function f at 0x...>."


def test_feedback_on_code_that_nothing_can_test_asks_to_check_it():
    """As in `rise serve`: gold is empty, and nobody has judged."""
    code = Turn("def f(n): return n", answer="def f(n): return n")
    problem = Problem("?", gold="")
    for turn, long, short in ((code, "Check your function above", "check"), (Turn("?"), "There is no code", "no code")):
        trajectory = Trajectory("id", "?", "", (turn,))
        assert first_failure(problem, trajectory, None).startswith(long)
        assert first_failure_short(problem, trajectory, None) == short


def test_impossible_settings_are_named():
    for settings in ({"time_limit_s": 0}, {"levels": 4}, {"n_tests": 1}, {"kinds": "numbers"}):
        with pytest.raises(ConfigError):
            make_task("python-functions", **settings)
