"""The ledger: append-only, once per key, torn lines owed again, a full disk loses nothing that was written."""

import errno
import json
import os
import subprocess
import sys

import pytest
from toys import needs_root

from rise.errors import DataError, RiseError
from rise.play.ledger import Ledger


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ledger.jsonl"


def test_what_was_written_is_there_when_opened_again(path):
    ledger = Ledger(path)
    assert ledger.append([("a", {"turn": 1}), ("b", {"turn": "zwei\n2"})]) == 2
    ledger.close()
    again = Ledger(path)
    assert len(again) == 2 and "a" in again and "c" not in again
    assert again.get("b") == {"key": "b", "turn": "zwei\n2"}
    again.append([("c", {})])
    assert [json.loads(line)["key"] for line in path.read_text().splitlines()] == ["a", "b", "c"]  # order of arrival


def test_a_reply_is_filed_once_whoever_asks(path):
    ledger = Ledger(path)
    assert ledger.append([("a", {"n": 1}), ("a", {"n": 2})]) == 1
    assert ledger.append([("a", {"n": 3})]) == 0
    assert ledger.get("a")["n"] == 1
    assert path.read_text().count("\n") == 1


def test_a_line_is_in_the_file_as_soon_as_append_returns(path):
    ledger = Ledger(path)
    ledger.append([("a", {"n": 1})])
    assert path.read_text() == '{"key":"a","n":1}\n'  # with no close and no sync: kill -9 may come now


@pytest.mark.parametrize("torn", ["", '{"key":"c', '{"key":"c","turn":{"reply":"4"}}'])
def test_a_torn_last_line_is_owed_again_and_the_rest_is_kept(path, torn):
    ledger = Ledger(path)
    ledger.append([("a", {}), ("b", {})])
    ledger.close()
    whole = path.read_bytes()
    path.write_bytes(whole + torn.encode())  # no end of line: even a line that looks whole may be half a number
    again = Ledger(path)
    assert "c" not in again and len(again) == 2
    assert path.read_bytes() == whole
    again.append([("c", {"n": 1})])
    again.close()
    assert Ledger(path).get("c") == {"key": "c", "n": 1}


def test_every_cut_of_the_file_opens_to_its_whole_lines(path):
    ledger = Ledger(path)
    ledger.append([(f"k{i}", {"i": i}) for i in range(3)])
    ledger.close()
    whole = path.read_bytes()
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        opened = Ledger(path)
        assert len(opened) == whole[:cut].count(b"\n")
        opened.close()


def test_an_edited_line_in_the_middle_names_file_and_line(path):
    path.write_text('{"key":"a"}\nnonsense\n{"key":"b"}\n')
    with pytest.raises(DataError, match=r"ledger\.jsonl, line 2: not a ledger line"):
        Ledger(path)


def test_a_full_disk_keeps_the_file_whole_and_says_what_is_lost(path, monkeypatch):
    ledger = Ledger(path)
    ledger.append([("a", {"n": 1})])
    before = path.read_bytes()
    real = os.write

    def full_after_ten_bytes(file, data):
        real(file, data[:10])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full_after_ten_bytes)
    with pytest.raises(RiseError, match=r"the disk is full\. 7 replies in flight could not be written"):
        ledger.append([("b", {}), ("c", {})], n_in_flight=7)
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert "b" not in ledger and ledger.get("a")["n"] == 1
    ledger.append([("b", {"n": 2})])  # space was made
    ledger.close()
    assert Ledger(path).get("b")["n"] == 2


def test_other_disk_errors_are_not_called_a_full_disk(path, monkeypatch):
    ledger = Ledger(path)

    def broken(file, data):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "write", broken)
    with pytest.raises(OSError, match="Input/output error"):
        ledger.append([("a", {})])


@needs_root
def test_a_disk_that_is_really_full(tmp_path):
    mount = tmp_path / "disk"
    mount.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", mount], capture_output=True).returncode:
        pytest.skip("this machine may not mount")
    try:
        ledger = Ledger(mount / "ledger.jsonl")
        with pytest.raises(RiseError, match=r"the disk is full\. 1 reply in flight"):
            for i in range(10_000):
                ledger.append([(f"k{i}", {"text": "x" * 100})])
        n = len(ledger)
        ledger.close()
        assert n > 100
        again = Ledger(mount / "ledger.jsonl")
        assert len(again) == n == (mount / "ledger.jsonl").read_bytes().count(b"\n")
        again.close()
    finally:
        subprocess.run(["umount", "-l", mount], check=False)


def test_it_is_flushed_to_the_disk_within_a_second_or_so(path, monkeypatch):
    import rise.play.ledger

    now, synced = [100.0], []
    monkeypatch.setattr(rise.play.ledger.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(now[0]))
    ledger = Ledger(path)
    for i in range(30):
        now[0] += 0.1
        ledger.append([(f"k{i}", {})])
    assert 2 <= len(synced) <= 3  # groups, not every line
    ledger.close()
    assert synced[-1] == now[0]


def test_a_last_line_reaches_the_disk_within_a_second_although_no_other_follows(path, monkeypatch):
    import asyncio

    synced = []
    monkeypatch.setattr(os, "fsync", synced.append)
    monkeypatch.setattr("rise.play.ledger.FSYNC_EVERY_S", 0.02)

    async def one_line_and_a_long_wait():
        ledger.append([("a", {})])
        n = len(synced)
        await asyncio.sleep(0.1)
        return n, len(synced)

    with Ledger(path) as ledger:
        assert asyncio.run(one_line_and_a_long_wait()) == (0, 1)
        assert asyncio.run(one_line_and_a_long_wait()) == (1, 1)  # nothing new, nothing to do


def test_one_directory_has_one_writer_and_the_second_is_told(path):
    with Ledger(path), pytest.raises(RiseError, match=r"another process.*or an open Ledger in this process"):
        Ledger(path)
    Ledger(path).close()  # and the first has gone


def test_a_file_system_without_locks_is_not_called_another_process(path, monkeypatch):
    def refuses(file, how):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("rise.play.ledger.fcntl.flock", refuses)
    with pytest.raises(OSError, match="No locks available"):
        Ledger(path)


def test_a_kill_minus_nine_loses_no_line(path):
    script = (
        "import os, sys; from pathlib import Path; from rise.play.ledger import Ledger\n"
        "ledger = Ledger(Path(sys.argv[1]))\n"
        "[ledger.append([(f'k{i}', {})]) for i in range(50)]\n"
        "os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", script, path])
    assert done.returncode == -9
    assert len(Ledger(path)) == 50


def test_a_line_costs_little_memory_whatever_it_holds(path):
    """An index entry is two numbers and a place in a table: under 200 bytes a reply, so that a million fit into 200 MB."""
    import tracemalloc

    ledger = Ledger(path)
    tracemalloc.start()
    for start in range(0, 20_000, 500):
        ledger.append((f"{i:024x}", {"text": "x" * 500}) for i in range(start, start + 500))
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(ledger) == 20_000 and grown / 20_000 < 200
    assert ledger.get(f"{19_999:024x}")["text"] == "x" * 500
