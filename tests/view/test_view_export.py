"""A copy that opens from disk: nothing is missing, nothing in it can end its element, and what is left out is counted."""

from __future__ import annotations

import base64
import hashlib
import json
import re

import pytest
from typer.testing import CliRunner
from view_run import MARKUP, write_viewed

from rise.cli.main import app
from rise.errors import ConfigError
from rise.view.export import export
from rise.view.library import Library


@pytest.fixture
def library(tmp_path):
    return Library([write_viewed(tmp_path / "run").path])


def part(text):
    """What a script of a copy hands to the page."""
    found = re.fullmatch(r"rise\.put\((\"[\w-]+\"),(.*)\);\n", text, re.DOTALL)
    assert found
    return json.loads(found[1]), json.loads(found[2])


def test_a_directory_holds_every_record_under_the_name_that_the_page_asks_for(library, tmp_path):
    done = export(library, tmp_path / "copy", None)
    assert done.path == tmp_path / "copy" / "index.html" and (done.n_records, done.n_left_out) == (8 + 8 + 2 + 1 + 2, 0)
    data = dict(part(p.read_text()) for p in (tmp_path / "copy" / "data").iterdir())
    assert len(data["0-round-1-held-out-rows-0"]) == 8
    assert data["0-round-1-held-out-records-0"][4] == json.loads(json.dumps(library.record("0/round-1/held-out", 4)))
    stage = next(s for s in data["overview"]["runs"][0]["stages"] if s["name"] == "round-1")
    assert {f["kind"]: f["n"] for f in stage["files"]} == {"held-out": 8, "trajectories": 2, "relabelled": 1, "examples": 2}
    linked = re.findall(r'(?:src|href)="(page/[^"]+)"', done.path.read_text())
    assert linked and all((tmp_path / "copy" / name).is_file() for name in linked)


def test_what_the_limit_leaves_out_is_counted_and_shown(library, tmp_path):
    done = export(library, tmp_path / "copy", 3)
    assert (done.n_records, done.n_left_out) == (3 + 3 + 2 + 1 + 2, 10)
    _, overview = part((tmp_path / "copy" / "data" / "overview.js").read_text())
    assert (
        overview["runs"][0]["stages"][1]["files"][0] | {"n": 3, "n_left_out": 5} == overview["runs"][0]["stages"][1]["files"][0]
    )


def test_one_file_runs_its_own_script_alone_and_hostile_text_stays_in_its_element(tmp_path):
    library = Library([write_viewed(tmp_path / "run", hostile=True).path])
    text = export(library, tmp_path / "copy.html", None).path.read_text()
    data = re.findall(r'<script type="application/json" data-name="([\w-]+)">(.*?)</script>', text)
    assert all("<" not in json_text for _, json_text in data)
    records = json.loads(dict(data)["0-round-1-held-out-records-0"])
    assert MARKUP in records[0]["turns"][0]["reply"]
    [script] = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    [allowed] = re.findall(r"script-src '(sha256-[^']+)'", text)
    assert allowed == "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert text.count("<script") == len(data) + 1


def test_the_command_says_what_it_wrote_and_a_strangers_directory_is_left_alone(tmp_path):
    run = write_viewed(tmp_path / "run")
    done = CliRunner().invoke(
        app, ["view", str(run.path), "--export", str(tmp_path / "copy"), "--limit", "3"], catch_exceptions=False
    )
    assert done.exit_code == 0 and "11 records" in done.output and "10 left out (--limit 3)" in done.output
    again = CliRunner().invoke(app, ["view", str(run.path), "--export", str(tmp_path / "copy")], catch_exceptions=False)
    assert again.exit_code == 0 and "21 records" in again.output  # an older copy is replaced
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match="something else"):
        export(Library([run.path]), tmp_path / "other", None)


def test_one_file_that_would_be_too_large_is_refused_with_the_way_out(library, tmp_path, monkeypatch):
    monkeypatch.setattr("rise.view.export.ONE_FILE_BYTES", 2000)
    with pytest.raises(ConfigError, match="--limit"):
        export(library, tmp_path / "copy.html", None)
    assert not (tmp_path / "copy.html").exists()


def test_a_copy_holds_no_path_no_address_and_no_command_line(tmp_path):
    run = write_viewed(tmp_path / "home-of-ada" / "run")
    text = run.config.read_text() + '\n[relabel]\nteacher = "http://gpu-7.example:8000/v1#m"\n'
    text += '[cluster]\naddress = "10.0.0.7:6379"\n'
    run.config.write_text(text + f'[task.settings]\npath = "{run.path}/p.jsonl"\n')
    run.provenance.write_text(json.dumps(json.loads(run.provenance.read_text()) | {"command": ["rise", "run", str(run.path)]}))
    library = Library([run.path])
    copy = export(library, tmp_path / "copy.html", None).path.read_text()
    assert "an endpoint#m" in copy and "p.jsonl" in copy and "0123456789abcdef" in copy  # the commit
    assert not any(hidden in copy for hidden in ("home-of-ada", "gpu-7", "10.0.0.7"))
    assert "home-of-ada" in json.dumps(library.overview())  # the server on this machine shows all


def test_a_recipe_that_cannot_be_written_down_is_left_out_of_a_copy(tmp_path):
    run = write_viewed(tmp_path / "run")
    run.config.write_text(run.config.read_text() + "\n[made]\non = 2026-11-28\n")
    assert "2026-11-28" not in export(Library([run.path]), tmp_path / "copy.html", None).path.read_text()
