"""docs/security.md: every promise names its tests, and the tests are there."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/security.md").read_text(encoding="utf-8")


def promises():
    """(promise, tests) of each row of the tables of promises."""
    for section in PAGE.split("\n## ")[1:]:
        if "| promise | test |" in section:
            for row in re.findall(r"^\| (.+?) \| (`test_.*) \|$", section, re.MULTILINE):
                yield row[0], re.findall(r"`(test_\w+)`", row[1])


def test_every_promise_has_tests_and_all_of_them_exist():
    found = dict(promises())
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith(("| to ", "| promise", "| ---"))]
    senders = PAGE.partition("## A run")[0].count("\n| ") - 2
    assert len(found) == len(rows) - senders >= 15 and all(found.values())
    known = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    named = {name for tests in found.values() for name in tests}
    assert named - known == set()
    assert set(re.findall(r"`(test_\w+)`", PAGE)) == named


def test_the_numbers_it_names_are_those_of_the_program():
    from attacks import KNOWING_NOTHING

    from rise.serve.requests import Limits
    from rise.serve.web.connections import ConnectionLimits

    limits, serving = ConnectionLimits(), Limits()
    for words in (
        f"{len(KNOWING_NOTHING)} attacks",
        f"within {limits.max_head_bytes >> 10} kB and {limits.head_limit_s:g} s",
        f"within {limits.linger_s:g} s more",
        f"closed after {limits.send_limit_s:g} s",
        f"A request holds {serving.max_body_bytes >> 20} MB, its turns {serving.max_answer_bytes >> 20} MB",
    ):
        assert words in PAGE, words
    assert (serving.head_limit_s, serving.send_limit_s) == (limits.head_limit_s, limits.send_limit_s)
