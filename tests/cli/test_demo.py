"""`rise demo`: what ships is small and whole, and it opens as report, viewer and playground without training anything."""

import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname

import httpx
import pytest
from synthetic_run import write_run

import rise
from rise.cli.demo import unpack
from rise.errors import ConfigError, DataError
from rise.evaluation.held_out import read_held_out
from rise.evaluation.uncertainty import mean, ratio
from rise.report.collect import collect
from rise.runs.directory import RunDir
from rise.runs.stages import round_number

SHIPPED = Path(rise.__file__).parent / "demo"
ROOT = SHIPPED.parents[1]
sys.path.append(str(ROOT / "benchmarks"))

from pack_demo import MOST_BYTES, pack  # noqa: E402


def test_one_run_ships_and_is_no_larger_than_two_megabytes():
    [archive] = SHIPPED.iterdir()
    assert archive.suffix == ".zip" and archive.stat().st_size <= MOST_BYTES
    assert '"rise" = ["demo/*.zip"]' in (ROOT / "pyproject.toml").read_text()


def test_what_ships_is_a_finished_run_with_a_round_and_the_model_it_made(tmp_path):
    run = unpack(tmp_path)
    data = collect(run)
    last = data.last
    assert not data.unmeasured and round_number(last.name) > 0
    assert last.estimate("m1@t1").n == sum(1 for _ in read_held_out(last.held_out)) == sum(data.outcomes.values())
    assert (run / last.name / "checkpoint" / "model.safetensors").exists()


def test_its_numbers_are_those_that_this_version_works_out_from_its_replies(tmp_path):
    for stage in RunDir(unpack(tmp_path)).stages():
        metrics, records = stage.read_metrics(), list(read_held_out(stage.held_out))
        last = mean([float(record.run[4].right) for record in records])
        pairs = [list(pairwise(turn.right for turn in record.run)) for record in records]
        repaired = ratio([sum(b and not a for a, b in own) for own in pairs], [sum(not a for a, _ in own) for own in pairs])
        assert metrics["t5"] == pytest.approx(last.to_json()) and metrics["wrong_to_right"] == pytest.approx(repaired.to_json())


def test_any_run_directory_can_be_shipped(tmp_path, toy_run):
    size = pack(toy_run.path, tmp_path / "mine.zip", n_records=3)
    again = pack(toy_run.path, tmp_path / "again.zip", n_records=3)
    assert size == again and (tmp_path / "mine.zip").read_bytes() == (tmp_path / "again.zip").read_bytes()
    (tmp_path / "again.zip").unlink()
    packed = RunDir(unpack(tmp_path / "copy", tmp_path))
    assert packed.path == tmp_path / "copy" / "mine"
    assert [stage.name for stage in packed.stages()] == [stage.name for stage in toy_run.stages()]
    stage, original = packed.stage("round-2"), toy_run.stage("round-2")
    assert stage.held_out.read_bytes() == original.held_out.read_bytes()
    assert stage.trajectories.read_bytes().splitlines() == original.trajectories.read_bytes().splitlines()[:3]
    assert not packed.ledger.exists() and not packed.stage("round-1").checkpoint.exists()
    weights = [(s.checkpoint / "model.safetensors").stat().st_size for s in (stage, original)]
    assert weights[0] < 0.7 * weights[1]  # 16 bits for 32
    # Unpacked already, as a directory, it is as good.
    assert unpack(tmp_path / "other", shutil.copytree(packed.path, tmp_path / "dirs" / "mine").parent).name == "mine"


def test_a_place_that_is_taken_and_an_installation_without_a_run_are_refused(tmp_path):
    write_run(tmp_path / "shipped" / "mine")
    unpack(tmp_path, tmp_path / "shipped")
    with pytest.raises(ConfigError, match="is there already"):
        unpack(tmp_path, tmp_path / "shipped")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no run"):
        unpack(tmp_path, tmp_path / "empty")


def said(process, pattern, limit_s=600):
    """What was printed up to the first line that holds `pattern`. Lines are read in a thread: a pipe's buffer has no select."""
    lines, coming = [], queue.Queue()

    def read():
        for line in process.stdout:
            coming.put(line)
        coming.put(None)

    threading.Thread(target=read, daemon=True).start()
    end = time.monotonic() + limit_s
    while (left := end - time.monotonic()) > 0:
        try:
            line = coming.get(timeout=left)
        except queue.Empty:
            break
        if line is None:
            break
        lines.append(line)
        if re.search(pattern, line):
            return "".join(lines)
    process.kill()  # or its standard error would never end
    raise AssertionError("".join(lines) + process.stderr.read())


@pytest.mark.slow
def test_report_viewer_and_playground_answer_and_nothing_is_left_behind(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "rise.cli.main", "demo", "--no-browser"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    try:
        printed = said(process, "^Playground")
        urls = {name: re.search(rf"{name}:?\s+(\S+)", printed)[1] for name in ("Report", "Viewer", "Playground")}
        [folder] = tmp_path.iterdir()
        report = Path(url2pathname(urlparse(urls["Report"]).path))
        assert folder in report.parents and "<html" in report.read_text()
        viewed = httpx.get(urls["Viewer"] + "api/overview").json()["runs"][0]
        assert viewed["stages"] and viewed["headline"] in printed
        assert "<html" in httpx.get(urls["Viewer"]).text and "<html" in httpx.get(urls["Playground"]).text
        question = re.search(r"for example: (.+?)   \(gold", printed)[1]
        asked = {"model": "m", "messages": [{"role": "user", "content": question}]}
        asked["model"] = httpx.get(urls["Playground"] + "v1/models").json()["data"][0]["id"]
        reply = httpx.post(urls["Playground"] + "v1/chat/completions", json=asked, timeout=300)
        assert reply.status_code == 200 and reply.json()["choices"][0]["message"]["content"]
        process.send_signal(signal.SIGINT)
        process.wait(300)
        assert list(tmp_path.iterdir()) == []
    finally:
        process.kill()
        process.communicate()
