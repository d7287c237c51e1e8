"""Damaged files, full disks and code that prints: each is named, none is a traceback."""

import errno
import json
import os
import subprocess
import sys

import pytest
from view_run import write_viewed

from rise.errors import DataError, ModelError
from rise.jsonl import write_jsonl, write_whole
from rise.play.ledger import Ledger
from rise.recipe.endpoints import Address
from rise.recipe.toml import parse_override
from rise.report.page import write_report
from rise.runs.card import read_card
from rise.view.library import Library


@pytest.mark.parametrize(
    "bad",
    [
        '{"key":"b","turn":{}\x00}\n',
        '{"key":"b",}\n',
        '{"key":"b"}}\n',
        '{"key":"b","turn":' + "[" * 100_000 + "}\n",
        '{"key":"b","x":"\\ud8"}\n',
    ],
)
def test_a_ledger_line_with_a_good_key_and_a_broken_rest_is_named(tmp_path, bad):
    path = tmp_path / "ledger.jsonl"
    path.write_text('{"key":"a","turn":1}\n' + bad + '{"key":"c","turn":3}\n')
    with Ledger(path) as ledger:
        assert ledger.get("a")["turn"] == 1 and ledger.get("c")["turn"] == 3
        with pytest.raises(DataError, match=r"ledger\.jsonl, line 2: not a ledger line"):
            ledger.get("b")


def test_a_ledger_line_in_another_encoding_is_named(tmp_path):
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(b'{"key":"a","x":"\xff"}\n{"key":"b"}\n')
    with Ledger(path) as ledger, pytest.raises(DataError, match="line 1"):
        ledger.get("a")
    for line in (b'{"key":5,"x":1 }\n', b'["key"]\n', b'{"no":1 }\n', b"5\n"):
        path.write_bytes(line)
        with pytest.raises(DataError, match="line 1"):
            Ledger(path)


@pytest.mark.parametrize(
    "tail", [b'{"stage":"round-1","par', b"\xff\xfe\x00\n", b"5\n", b'["a"]\n', b"null\n", b"[" * 99_999 + b"\n", b"\x00" * 4096]
)
def test_a_damaged_log_stops_neither_viewer_nor_report(tmp_path, tail):
    run = write_viewed(tmp_path / "run")
    run.write_log(stage="round-2", step=1, steps=2, loss=0.5, note="a\u2028b")
    with run.log.open("ab") as file:
        file.write(tail)
    assert any(event.get("note") == "a\u2028b" for event in run.read_log())
    assert Library([run.path]).overview()["runs"]
    if tail in (b"5\n", b"[" * 99_999 + b"\n"):  # a page takes seconds, and reads the log as all do
        assert write_report(run.path)


@pytest.mark.parametrize("text", ["{}", '{"tables": null}', '{"accuracy_by_turn": []}', '{"accuracy_by_turn": [null]}'])
def test_a_measurement_that_is_none_is_named_and_not_left_out(tmp_path, text):
    run = write_viewed(tmp_path / "run")
    run.stage("round-1").metrics.write_text(text)
    with pytest.raises(DataError, match=r"round-1/metrics\.json: it holds no accuracy_by_turn.* Remove it"):
        write_report(run.path)


def test_a_card_that_is_no_object_is_named(tmp_path):
    (tmp_path / "rise.json").write_text("[]")
    with pytest.raises(ModelError, match=r"rise\.json: not JSON \(it holds no object but '\[\]'\)"):
        read_card(str(tmp_path))


def test_an_override_whose_bytes_are_no_utf_8_holds_a_mark_in_their_place():
    assert parse_override("instructions=a\udcffb") == {"instructions": "a\ufffdb"}


def test_an_address_with_half_a_character_is_no_base_url():
    with pytest.raises(ValueError, match="is no base URL"):
        Address.read("http://127.0.0.1:1/v1\ud83d")


def rise(*words, **environment):
    """A command in a process of its own."""
    known = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    return subprocess.run(
        [sys.executable, "-m", "rise.cli.main", *map(str, words)], env={**known, **environment}, capture_output=True, text=True
    )


@pytest.mark.parametrize("columns", ["0", "-5", "wide"])
def test_a_terminal_of_no_columns_is_printed_to(tmp_path, columns):
    run = write_viewed(tmp_path / "run")
    done = rise("show", run.path, COLUMNS=columns)
    assert done.returncode == 0 and "Percent right" in done.stdout, done.stdout + done.stderr


def test_a_place_where_nothing_can_be_made_is_one_line(tmp_path):
    (tmp_path / "say.py").write_text("def say(messages):\n    return '4'\n")
    task = ("--task", "arithmetic", "-n", "2", "--turns", "1", "--samples", "1")
    done = rise("evaluate", f"function:{tmp_path / 'say.py'}:say", *task, "--out", "/proc/rise-x")
    assert done.returncode == 1 and "/proc/rise-x" in done.stderr and "Traceback" not in done.stderr, done.stderr


def test_a_full_disk_names_the_file_and_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "stage.jsonl"
    path.write_text("old")

    def full(fd):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for write in (lambda: write_whole(path, "new"), lambda: write_jsonl(path, [{"a": 1}])):
        with pytest.raises(OSError) as caught:
            write()
        assert caught.value.filename == str(path) and caught.value.errno == errno.ENOSPC
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["stage.jsonl"]


def test_a_full_disk_is_one_line_on_the_terminal(tmp_path):
    run = write_viewed(tmp_path / "run")
    program = (
        "import errno, os, sys\nfrom rise.cli.main import main\n"
        "def full(fd): raise OSError(errno.ENOSPC, 'No space left on device')\n"
        f"os.fsync = full\nsys.argv = ['rise', 'report', {str(run.path)!r}]\nmain()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 1 and "report.html: No space left on device" in done.stderr and "Traceback" not in done.stderr


def test_what_an_own_judge_prints_is_not_among_the_verdicts(tmp_path):
    (tmp_path / "printing.py").write_text(
        "import os, sys\nprint('loading')\nfrom rise.judge import Judgement\nfrom rise.trajectory import Verdict\n"
        "class Judge:\n    def judge(self, problem, reply):\n        print('judging', reply)\n"
        "        os.system('echo from a shell')\n"
        "        sys.__stdout__.write('underneath\\n')\n        return Judgement(Verdict.RIGHT, reply)\n"
        "    def same(self, left, right): return left == right\n"
    )
    (tmp_path / "replies.jsonl").write_text('{"gold": "1", "reply": "1"}\n{"gold": "2", "reply": "2"}\n')
    command = ["-m", "rise.cli.main", "judge", "--task", "jsonl", "--set", "judge=printing:Judge", "replies.jsonl"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    done = subprocess.run([sys.executable, *command], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert [json.loads(line)["verdict"] for line in done.stdout.splitlines()] == ["right", "right"], done.stdout + done.stderr
    for said in ("loading", "judging 1", "from a shell", "underneath"):
        assert said in done.stderr
