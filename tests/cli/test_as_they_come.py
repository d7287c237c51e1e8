"""The command line with endpoints, data and terminals as they come: one message, no key shown, no number cut."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from odd_endpoint import OddEndpoint, Say, chat, refusal
from rich.console import Console
from synthetic_run import ROUND_1, write_run


@pytest.fixture
def endpoint():
    made = []

    def start(rule=lambda call: chat()):
        made.append(OddEndpoint(rule))
        return made[-1]

    yield start
    for server in made:
        server.stop()


@pytest.fixture
def problems(tmp_path):
    file = tmp_path / "problems.jsonl"
    file.write_text("".join(json.dumps({"question": f"{i} + 2?", "gold": "3"}) + "\n" for i in range(40)))
    return file


def asking(server, problems, *more):
    return ("evaluate", server.spec, "--task", "jsonl", "--set", f"path={problems}", "--split", "train", *more)


SMALL = ("-n", "2", "--turns", "1", "--samples", "2")


# ---- B14: http.* and engine.* ----------------------------------------------------------------------------------------------


def test_evaluate_takes_settings_of_endpoints(rise, endpoint, problems, monkeypatch):
    monkeypatch.setenv("MINE", "abc-def-ghi")
    server = endpoint()
    settings = ("http.timeout_s=600", "http.key=MINE", "http.key_header=api-key", "http.concurrency=1", 'http.leave_out=["seed"]')
    code, out, _ = rise(*asking(server, problems, *SMALL, *(word for text in settings for word in ("--set", text))))
    assert code == 0 and "100.0" in out
    assert server.calls[0].headers["api-key"] == "abc-def-ghi" and "seed" not in server.bodies[0]


@pytest.mark.parametrize("command", ["evaluate", "serve"])
@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("http.timeot_s=3", 'unknown setting http.timeot_s. Did you mean "timeout_s"?'),
        ("htpp.timeout_s=3", 'there is no table "htpp". Did you mean "http"?'),
        ("engin.concurrency=3", 'there is no table "engin". Did you mean "engine"?'),
        ("engine.concurency=3", 'Did you mean "concurrency"?'),
        ('http.leave_out=["seeds"]', "http.leave_out"),
        ("http.key=sk-proj-SECRET0123456789", "http.key is the name of an environment variable"),
    ],
)
def test_an_unknown_setting_is_answered_with_the_nearest(rise, endpoint, problems, command, setting, words):
    server = endpoint()
    arguments = asking(server, problems, "--set", setting)
    code, _, err = rise(*arguments) if command == "evaluate" else rise("serve", server.spec, "--port", 0, "--set", setting)
    assert code == 1 and words in err and "SECRET" not in err
    assert len(err.splitlines()) == 1 and server.calls == []


def test_serve_keeps_to_attempts_and_time_limit_that_are_set(endpoint):
    from rise.cli.serve import assemble, suit
    from rise.serve.requests import Limits

    def patience(*overrides):
        reviser, _ = assemble(endpoint().spec, None, 1, "last", None, [*overrides], 1, "float32")
        suit(reviser.policy, Limits(n_active=4))
        return reviser.policy.servers.patience

    assert (patience().attempts, patience().timeout_s) == (3, 120.0)
    mine = patience("http.attempts=6", "http.timeout_s=7")
    assert (mine.attempts, mine.timeout_s) == (6, 7.0)


# ---- B01, B03, B05, B34, S08 on the command line ---------------------------------------------------------------------------


def test_an_endpoint_with_the_other_name_is_measured(rise, endpoint, problems):
    rule = lambda call: refusal("use 'max_completion_tokens'") if "max_tokens" in call.body else chat()  # noqa: E731
    server = endpoint(rule)
    code, out, _ = rise(*asking(server, problems, "-n", 8, "--turns", 2, "--samples", 2))
    assert code == 0 and "100.0" in out


def test_a_key_of_a_file_of_secrets_works_and_a_broken_one_is_not_shown(rise, endpoint, problems, monkeypatch):
    server = endpoint()
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-abc\n")
    code, out, err = rise(*asking(server, problems, *SMALL))
    assert code == 0 and server.calls[0].headers["authorization"] == "Bearer sk-secret-abc"
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret\rabc")
    code, out, err = rise(*asking(server, problems, *SMALL))
    assert code == 1 and "$OPENAI_API_KEY" in err and "secret" not in out + err and len(err.splitlines()) == 1


def test_half_a_character_ends_no_evaluation(rise, endpoint, problems, tmp_path):
    server = endpoint(lambda call: Say(body=json.dumps(chat("\ud83d \\boxed{3}").body)))
    code, out, _ = rise(*asking(server, problems, *SMALL, "--out", tmp_path / "out"))
    assert code == 0 and "100.0" in out
    lines = (tmp_path / "out/ledger.jsonl").read_bytes().decode("utf-8").splitlines()
    assert {json.loads(line)["turn"]["verdict"] for line in lines if "turn" in json.loads(line)} == {"right"}


def test_all_replies_empty_is_said(rise, endpoint, problems):
    server = endpoint(lambda call: chat(None, reasoning_content="\\boxed{3}"))
    code, out, _ = rise(*asking(server, problems, *SMALL))
    said = " ".join(out.split())
    assert code == 0 and "ended by themselves and hold nothing" in said and "reasoning_content" in said


def test_a_url_with_a_key_is_refused_and_written_nowhere(rise, endpoint, problems, tmp_path):
    server = endpoint()
    words = list(asking(server, problems, *SMALL, "--out", tmp_path / "out"))
    words[1] = server.spec.replace("/v1#", "/v1?api_key=SECRET#")
    code, out, err = rise(*words)
    assert code == 1 and "SECRET" not in out + err and server.calls == [] and not (tmp_path / "out").exists()


def test_rows_that_json_has_no_word_for_are_kept(rise, endpoint, tmp_path):
    import datetime

    import pyarrow
    from pyarrow import parquet

    table = pyarrow.table(
        {"question": ["1?", "2?"], "gold": [3, 3], "added": [datetime.datetime(2025, 1, 1)] * 2, "image": [b"x"] * 2}
    )
    parquet.write_table(table, tmp_path / "p.parquet")
    out = tmp_path / "out"
    server = endpoint()
    code, _, err = rise(
        *("evaluate", server.spec, "--task", "jsonl", "--set", f"test_path={tmp_path / 'p.parquet'}", "--out", out, "--json"),
        *("--turns", 1, "--samples", 1),
    )
    assert code == 0 and err == "note: task jsonl: column 'image' holds bytes, which is kept as a description only.\n"
    [row, _] = [json.loads(line) for line in (out / "held-out.jsonl").read_text().splitlines()]
    assert row["fields"] == {"added": "2025-01-01T00:00:00", "image": "<1 bytes>"}


# ---- B32, N04: terminals and warnings --------------------------------------------------------------------------------------


def in_a_process(*words, **environment):
    python = [sys.executable, "-m", "rise.cli.main", *map(str, words)]
    root = Path(__file__).parents[2]
    env = {**os.environ, "PYTHONPATH": str(root), **environment}
    return subprocess.run(python, capture_output=True, env=env, timeout=600, check=False)


@pytest.mark.parametrize(
    ("encoding", "command"), [("latin-1", "show"), ("cp1252", "show"), ("ascii", "show"), ("ascii", "report")]
)
def test_what_a_terminal_cannot_write_is_written_otherwise(encoding, command, tmp_path):
    run = write_run(tmp_path / "run", {"round-1": ROUND_1})
    where = run.path if command == "report" else run.path / "round-1/metrics.json"
    done = in_a_process(command, where, PYTHONIOENCODING=encoding)
    assert done.returncode == 0, done.stderr
    text = done.stdout.decode(encoding)
    assert re.search(r"\d[-–]\d|-\d", text) and "Traceback" not in done.stderr.decode(encoding)


def test_a_warning_is_one_line_without_source_text(tmp_path):
    (tmp_path / "p.jsonl").write_text('{"question": "1?", "gold": "3"}\n' * 3)
    (tmp_path / "s.json").write_text('{"1?": ["\\\\boxed{3}"]}')
    words = ("evaluate", f"scripted:{tmp_path / 's.json'}", "--task", "jsonl", "--set", f"test_path={tmp_path / 'p.jsonl'}")
    done = in_a_process(*words, "--turns", 1, "--samples", 1)
    assert done.returncode == 0
    assert done.stderr.decode() == "note: task jsonl, test: 2 exact duplicates dropped.\n"
    assert "1 held-out problems" in done.stdout.decode() and "± 50 points" in done.stdout.decode()


def test_a_recipe_that_comes_with_the_package_needs_no_folder_and_one_that_does_not_is_said_to_be_none(rise):
    assert rise("run", "nano", "--dry-run")[0] == 0
    code, _, err = rise("run", "nanno", "--dry-run")
    assert code == 1 and "nanno" in err and "nano" in err


# ---- N05, B38: narrow terminals --------------------------------------------------------------------------------------------


def numbers_of(text):
    return re.findall(r"[+−]?\d+\.\d(?:[–…][+−]?\d+\.\d)?", text)


@pytest.mark.parametrize("width", [30, 40, 60, 80])
def test_no_terminal_is_so_narrow_that_a_number_is_cut(width, tmp_path):
    from rise.report.compare import paired_table, read_entries, results_table, within_table
    from rise.report.console import console_table, rich_table
    from rise.report.table import estimates_table

    runs = [write_run(tmp_path / name).path for name in ("one", "another-with-a-long-name")]
    entries = read_entries(runs, lambda left, right: left == right)
    metrics = json.loads((runs[0] / "round-1/metrics.json").read_text())
    tables = [results_table(entries), paired_table(entries), within_table(entries), estimates_table(metrics)]
    for shown in (*map(rich_table, tables), console_table(runs[0])):
        narrow, wide = Console(width=width), Console(width=500)
        with narrow.capture() as cut:
            narrow.print(shown)
        with wide.capture() as whole:
            wide.print(shown)
        assert sorted(numbers_of(cut.get())) == sorted(numbers_of(whole.get()))
        assert not re.search(r"\d…(?![\d+−])|–…", cut.get())


def test_rise_compare_at_80_columns(rise, tmp_path, monkeypatch):
    runs = [write_run(tmp_path / name).path for name in ("one", "two")]
    monkeypatch.setenv("COLUMNS", "80")
    code, out, err = rise("compare", *runs)
    assert code == 0, err
    assert "50.0" in out and "17.4–82.6" in out and not re.search(r"–…|\d…\s", out)


# ---- N06: rise judge -------------------------------------------------------------------------------------------------------


def test_one_gold_that_cannot_be_read_ends_no_judging_and_its_line_is_named(rise, tmp_path):
    golds = ["3", "It is \\boxed{3", "4"]
    file = tmp_path / "r.jsonl"
    file.write_text("".join(json.dumps({"gold": gold, "reply": "\\boxed{3}"}) + "\n" for gold in golds))
    code, out, err = rise("judge", file, "--task", "gsm8k")
    assert [json.loads(line)["verdict"] for line in out.splitlines()] == ["right", None, "wrong"]
    assert code == 1 and f"{file}, line 2: " in err and "marks no final answer" in err and "1 golds" not in err
