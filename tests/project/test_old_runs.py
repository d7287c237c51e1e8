"""A run directory that version 0.1.0 (commit 72a6413) made still resumes, reports, opens in the viewer and serves."""

import json
import shutil
from pathlib import Path

import pytest
from toys import files
from typer.testing import CliRunner

from rise.cli.main import app

OLD = Path(__file__).parents[1] / "fixtures" / "run-0.1.0"


@pytest.fixture
def old(tmp_path):
    return Path(shutil.copytree(OLD, tmp_path / "run"))


def rise(*words):
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.output + repr(done.exception)
    return done.output


def stage_files(run):
    return {name: data for name, data in files(run).items() if "/" in name}


def counted(numbers):
    """Values and n; the intervals of 0.1.0 were too narrow where events are rare."""
    if isinstance(numbers, list):
        return [counted(number) for number in numbers]
    return numbers and {name: numbers[name] for name in ("value", "n")}


def test_it_continues_and_finds_nothing_to_do(old, one_thread):
    before = files(old)
    rise("run", old / "config.toml", "--out", old)
    assert stage_files(old) == {name: data for name, data in before.items() if "/" in name}
    assert files(old)["ledger.jsonl"] == before["ledger.jsonl"]


def test_a_stage_that_is_missing_is_made_again_from_the_ledger(old, one_thread):
    """Neither a reply nor a training is asked for twice: what the ledger and the checkpoints hold is enough."""
    was = json.loads((old / "round-2/metrics.json").read_text())
    ledger = (old / "ledger.jsonl").read_bytes()
    (old / "round-2/metrics.json").unlink()
    (old / "round-2/held-out.jsonl").unlink()
    rise("run", old / "config.toml", "--out", old)
    now = json.loads((old / "round-2/metrics.json").read_text())
    assert (old / "ledger.jsonl").read_bytes() == ledger
    for name in ("m1@t1", "m5@t1", "accuracy_by_turn", "wrong_to_right", "right_to_wrong"):
        assert counted(now.get(name)) == counted(was.get(name)), name


def test_it_reports(old):
    rise("report", old)
    page = (old / "report.html").read_text()
    assert "round 2" in page and "nano" in page


def test_it_opens_in_the_viewer(old, tmp_path):
    rise("view", old, "--export", tmp_path / "page")
    assert any((tmp_path / "page").rglob("*.html"))


def test_its_card_says_how_to_evaluate_it(old, one_thread):
    said = json.loads(rise("evaluate", old / "round-2/checkpoint", "-n", 2, "--samples", 2, "--json"))
    assert len(said["accuracy_by_turn"]) == 3  # the turns of its rise.json
    assert (old / "round-2/checkpoint/rise.json").read_bytes() == (OLD / "round-2/checkpoint/rise.json").read_bytes()
