"""Attacks on the sandbox of a model's Python: whatever code does that does not know the answers, it is not judged right."""

import os
import re
import time

import pytest
from attacks import KNOWING_NOTHING

from rise.judges import python_functions
from rise.judges.python_functions import FunctionJudge
from rise.judges.worker_pool import close_workers
from rise.trajectory import Verdict

RIGHT = Verdict.RIGHT
GOLD = "assert f(2) == 20681\nassert f(3) == 31007\nassert f(11) == 113615"
KNOWS = "def f(n): return 10326 * n + 29"
LIMIT_S = 0.7
JUDGE = FunctionJudge(time_limit_s=LIMIT_S)


@pytest.fixture(scope="module", params=["bubblewrap", "seccomp alone"])
def wrapped(request):
    """With bubblewrap around it and without."""
    if request.param == "bubblewrap":
        if python_functions.bubblewrap() is None:
            pytest.skip("bubblewrap does not work here")
        yield request.param
        return
    patch = pytest.MonkeyPatch()
    close_workers()
    python_functions._pool.cache_clear()
    patch.setattr(python_functions, "bubblewrap", lambda: None)
    yield request.param
    patch.undo()
    close_workers()
    python_functions._pool.cache_clear()


def verdict(code, mark):
    return JUDGE.examine(GOLD, f"{code}\n# {mark}").verdict


def test_there_are_sixty_and_none_knows_an_answer():
    assert len(KNOWING_NOTHING) >= 60
    values = re.findall(r"== (\d+)", GOLD)
    assert not [name for name, code in KNOWING_NOTHING.items() if any(value in code for value in values)]
    assert verdict("def f(n): return 10326 * n + 29", "what they would have to say") is RIGHT


@pytest.mark.parametrize("name", KNOWING_NOTHING)
def test_an_attack_that_knows_nothing_is_never_right_and_the_next_reply_is_judged(name, wrapped, tmp_path):
    target = tmp_path / "secret.py"
    target.write_text(KNOWS)
    assert verdict(KNOWS, f"before {name}, {wrapped}") is RIGHT  # whose values it would find, if they were anywhere
    for k in range(3):  # some things are only left by the one before
        began = time.monotonic()
        assert verdict(KNOWING_NOTHING[name].replace("TARGET", str(target)), f"{wrapped} {k}") is not RIGHT
        if time.monotonic() - began > LIMIT_S:  # it was ended from outside, as the next would be
            break
    assert os.listdir(tmp_path) == ["secret.py"]
    assert verdict(KNOWS, f"after {name}, {wrapped}") is RIGHT


def test_the_process_that_children_are_cast_from_has_seen_no_reply(wrapped):
    """Its memory, read from outside: neither a reply's code nor a value of it is anywhere in it."""
    if wrapped == "bubblewrap":
        pytest.skip("its processes are in another namespace")
    code = "def f(n): return 10326 * n + 29  # a reply that nobody else must see"
    assert JUDGE.examine(GOLD, code).verdict is RIGHT
    [worker] = python_functions._pool(False)._all
    [mould] = children(worker.process.pid)
    memory = memory_of(mould)
    if memory is None:
        pytest.skip("only root may read another process's memory here")
    assert b"encoded" in memory and b"nobody else must see" not in memory
    assert b"0x50c9" not in memory and (20681).to_bytes(4, "little") not in memory


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(child) for child in file.read().split()]


def memory_of(pid):
    found = b""
    try:
        with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb") as file:
            for line in maps:
                low, high = (int(end, 16) for end in line.split()[0].split("-"))
                if " rw" in line and "[v" not in line:
                    file.seek(low)
                    found += file.read(high - low)
    except OSError:
        return None
    return found
