"""`rise show`: every kind of line is known by its fields, and what is printed is what was written."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from synthetic_run import BOOST, HOSTILE, ROUND_1, held_out, turn, write_run
from typer.testing import CliRunner

from rise.cli.show import _coloured, _kind, show
from rise.errors import ConfigError, DataError, ModelError
from rise.jsonl import dumps
from rise.report import write_report
from rise.trajectory import Relabelled, Trajectory, Turn, Verdict, to_json
from rise.view.tokens import Tokens

app = typer.Typer()
app.command()(show)

EXAMPLE: dict[str, Any] = {
    "problem_id": "p1",
    "turn": 1,
    "prompt": [{"role": "user", "content": "6*7"}, {"role": "assistant", "content": "41"}, {"role": "user", "content": "?"}],
    "reply": "42\nok",
    "source": "gold",
    "reward": 1.0,
    "weight": 2.577,
    "prompt_ids": [6, 10, 7, 4, 1, 12],
    "reply_ids": [4, 2, 11, 9, 3],
}


def printed(*arguments: object) -> str:
    """What the command prints; its errors pass through, as `rise` turns them into one line."""
    result = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def lines(path: Path, *records: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


@pytest.fixture
def round_1(tmp_path):
    return write_run(tmp_path / "run").stage("round-1")


def test_a_held_out_record_shows_its_turns_verdicts_and_feedback_then_what_it_is_compared_with(round_1):
    text = printed(round_1.held_out, "--index", 3)  # "wrrrr", further samples "wrww", control "wwww"
    assert re.findall(r"^turn \d  (\w+), answer (\d+)", text, re.M) == [("wrong", "90"), *[("right", "42")] * 4]
    assert text.count("→ That answer is incorrect.") == 4  # none after the last turn
    assert re.findall(r"^  sample \d  (\w+)", text, re.M) == ["wrong", "right", "wrong", "wrong"]
    assert re.findall(r"^  turn \d  (\w+)", text, re.M) == ["wrong"] * 4
    assert "kind product" in text and "gold: 42" in text


@pytest.mark.parametrize(
    ("flags", "ids"),
    [
        (["--fixed"], ["p0002", "p0003"]),
        (["--broken"], ["p0005"]),
        (["--never"], ["p0006", "p0007"]),
        (["--fixed", "--broken"], ["p0002", "p0003", "p0005"]),
        (["--never", "--index", "2"], ["p0007"]),
        (["--problem", "p0004"], ["p0004"]),
    ],
)
def test_filters_choose_by_what_became_of_a_problem(round_1, flags, ids):
    text = printed(round_1.held_out, *flags, "--count", 9)
    assert re.findall(r"^problem (p\d+)", text, re.M) == ids


def test_where_there_is_more_the_way_on_is_said(tmp_path):
    three = lines(tmp_path / "examples.jsonl", *[EXAMPLE] * 3)
    assert "More: --index 2 goes on" in printed(three) and "More: --index 3 goes on" in printed(three, "-n", 2)
    assert "More:" not in printed(three, "--index", 3) and "More:" not in printed(three, "-n", 3)


def test_asking_for_what_is_not_there_says_how_many_there_are(round_1):
    with pytest.raises(DataError, match="has 1 records of broken, so there is none at --index 2"):
        printed(round_1.held_out, "--broken", "--index", 2)
    with pytest.raises(DataError, match="has 0 records of problem zzz"):
        printed(round_1.held_out, "--problem", "zzz")


def test_a_trajectory_shows_source_and_cut_replies(tmp_path):
    cut = Turn("so 41", Verdict.UNPARSABLE, 0.0, finish="length", n_reply_tokens=3)
    path = lines(tmp_path / "trajectories.jsonl", to_json(Trajectory("p1", "6*7", "42", (turn("w", 0), cut))))
    text = printed(path)
    assert "turn 1  wrong, answer 90, reward 0, 6 tokens" in text
    assert "turn 2  unparsable, no answer, reward 0, 3 tokens, cut at the token limit" in text


def test_an_unjudged_turn_is_not_called_wrong(tmp_path):
    path = lines(tmp_path / "t.jsonl", to_json(Trajectory("p1", "6*7", "42", (Turn("41"),))))
    assert "not judged" in printed(path) and "wrong" not in printed(path)


def test_an_improved_reply_stands_behind_the_state_it_was_written_at(tmp_path):
    student = Trajectory("p1", "6*7", "42", (turn("w", 0), turn("w", 1)))
    lines(tmp_path / "trajectories.jsonl", to_json(Trajectory("p0", "1+1", "2", (turn("r", 0),))), to_json(student))
    improved = Relabelled("p1", 1, (turn("w", 5, last=True), turn("r", 6, last=True)), chosen=1)
    text = printed(lines(tmp_path / "relabelled.jsonl", to_json(improved)))
    assert "turn 1  wrong" in text and "turn 2" not in text  # the state held one attempt
    assert "improved reply: 2 of 2  right, answer 42" in text
    assert "candidate 1  wrong, answer 95" in text


def test_an_example_without_a_tokenizer_marks_text_and_says_so(tmp_path):
    text = printed(lines(tmp_path / "stage" / "examples.jsonl", EXAMPLE))
    assert "reward 1, weight 2.58, 5 tokens trained, 6 only read" in text
    assert "42\nok" in text and "colours mark text, not tokens" in " ".join(text.split())


def test_an_example_beside_its_checkpoint_is_shown_token_by_token(tmp_path):
    tokenizers = pytest.importorskip("tokenizers")
    transformers = pytest.importorskip("transformers")
    words = {"1": 1, "2": 2, "<end>": 3, "4": 4, "?": 12, "6": 6, "7": 7, "k": 9, "*": 10, "\n": 11, "<unk>": 0}
    inner = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="<unk>"))
    inner.decoder = tokenizers.decoders.Fuse()
    made = transformers.PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<end>", unk_token="<unk>")
    made.save_pretrained(tmp_path / "boost" / "checkpoint")
    text = printed(lines(tmp_path / "boost" / "examples.jsonl", EXAMPLE))
    assert "6*741?42⏎\nk<end>" in text  # the trained line end and end of turn can be seen
    assert "colours mark text" not in text
    assert "6*741?42⏎" in printed(lines(tmp_path / "round-1" / "examples.jsonl", EXAMPLE))  # a stage still in training


def test_a_tokenizer_that_was_named_must_load(tmp_path):
    path = lines(tmp_path / "examples.jsonl", EXAMPLE)
    pytest.importorskip("transformers")
    with pytest.raises(ModelError, match="no such directory"):
        printed(path, "--tokenizer", tmp_path / "nowhere")


def test_trained_tokens_are_coloured_by_weight_and_read_ones_are_dim():
    def style(weight: float) -> list[str]:
        text = _coloured(["a"], ["b", "c"], weight)
        return [str(span.style) for span in text.spans]

    assert style(2.58) == ["dim", "bold green", "bold green underline"]
    assert style(1.0) == ["dim", "green", "green underline"]
    assert style(0.21) == ["dim", "cyan", "cyan underline"]


def test_pieces_join_to_the_whole_text_even_where_a_lone_token_loses_its_space(tmp_path):
    class Sentences:
        """Decodes as SentencePiece does: the first word's leading space is dropped."""

        def decode(self, ids: list[int], **kwargs: Any) -> str:
            return "".join(f" w{i}" for i in ids).removeprefix(" ")

    tokens = Tokens(tmp_path / "examples.jsonl", None)
    tokens._decode_ids, tokens._looked = Sentences().decode, True
    [pieces] = tokens.pieces(list(range(20))) or []
    assert pieces[:3] == ["w0", " w1", " w2"]
    assert "".join(pieces) == Sentences().decode(list(range(20)))


def test_a_ledger_line_and_its_markers(tmp_path):
    line = {"key": "k1", "purpose": "round-1/rollout", "problem": "p1", "attempts": 1, "turn": to_json(turn("r", 1))}
    path = lines(tmp_path / "ledger.jsonl", line, {"key": "k2", "purpose": "round-1/rollout", "group": 0})
    assert "problem p1, state with 1 attempts" in printed(path) and "reply  right, answer 42" in printed(path)
    assert "marker: group 0" in printed(path, "--index", 2)


def test_a_torn_last_ledger_line_is_a_run_under_way_but_a_torn_stage_file_is_damage(tmp_path):
    ledger = lines(tmp_path / "ledger.jsonl", {"key": "k1", "purpose": "x", "group": 0})
    ledger.write_text(ledger.read_text() + '{"key":"k2","tu')
    assert "group 0" in printed(ledger, "--count", 5)
    stage_file = tmp_path / "trajectories.jsonl"
    stage_file.write_text(ledger.read_text())
    with pytest.raises(DataError, match="line 2: not JSON"):
        printed(stage_file, "--count", 5)


def test_metrics_and_run_directories_print_as_tables(round_1):
    text = printed(round_1.metrics)
    assert re.search(r"^m5@t1 +55\.0 +20\.7–85\.6 +8", text, re.M)
    assert re.search(r"^paired t5-t1 +\+12\.5", text, re.M)
    assert "Percent right, change from m1@t1" in printed(round_1.path.parent)
    assert '"n_examples": 3' in printed(round_1.dataset)
    assert "part: rollout" in printed(round_1.path.parent / "metrics.jsonl")


def test_every_file_of_a_real_run_is_shown_as_the_page_of_its_directory_says(toy_run):
    write_report(toy_run.path)
    kinds = ("*.jsonl", "*.json", "*.toml", "*.md")
    found = [file for kind in kinds for folder in ("", "*/", "*/checkpoint/") for file in toy_run.path.glob(folder + kind)]
    names = {file.name for file in found}
    assert {"config.toml", "provenance.json", "report.md", "rise.json", "README.md", "dataset.json", *KINDS} <= names
    for file in found:
        assert printed(file).strip(), file
    log = printed(toy_run.log, "-n", 999)
    assert 'config: {"name": ' in log and "part: rollout" in log and "overlap: " in log
    assert printed(toy_run.config) == toy_run.config.read_text()


def test_a_line_that_says_how_a_run_was_continued_is_one_of_its_log(tmp_path):
    path = lines(
        tmp_path / "metrics.jsonl", {"time": 0.0, "config": {"name": "toy"}}, {"time": 1.0, "continued": {"rise": "0.1.0"}}
    )
    assert "1970-01-01 00:00:01 UTC" in printed(path, "--index", 2) and 'continued: {"rise": "0.1.0"}' in printed(path, "-n", 2)


def test_filters_on_a_file_without_verdicts_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"--fixed looks at the verdicts .* lines of kind example"):
        printed(lines(tmp_path / "examples.jsonl", EXAMPLE), "--fixed")


@pytest.mark.parametrize("option", [["--fixed"], ["--problem", "p1"], ["--index", "1"], ["-n", "2"], ["--tokenizer", "t"]])
def test_options_about_records_are_refused_where_there_are_none(round_1, option):
    name = {"-n": "--count"}.get(option[0], option[0])
    for place in (round_1.path, round_1.path.parent, round_1.metrics, round_1.path.parent / "config.toml"):
        with pytest.raises(ConfigError, match=f"^{name} is for the records of a .jsonl file, and {place} is none"):
            printed(place, *option)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('{"a": 1}\n', r"line 1: not a line that a run writes \(it has a\)"),
        ("{oops\n", "line 1: not JSON"),
        ('{"problem_id": "p", "turns": [{"nonsense": 1}]}\n', "line 1: not a trajectory line"),
        ('{"problem_id": "p", "question": "q", "gold": "g", "turns": [{"reply": "x", "verdict": "maybe"}]}\n', "line 1: not a"),
        ("", "has 0 records"),
    ],
)
def test_a_bad_file_is_one_clear_sentence(tmp_path, content, says):
    path = tmp_path / "x.jsonl"
    path.write_text(content)
    with pytest.raises(DataError, match=says):
        printed(path)


def test_a_missing_file_says_so(tmp_path):
    for name in ("none.jsonl", "none.json"):
        with pytest.raises(DataError, match="no such file"):
            printed(tmp_path / name)


def test_what_a_model_writes_cannot_drive_the_terminal(tmp_path):
    record = held_out(1, ROUND_1[0], HOSTILE)
    text = printed(lines(tmp_path / "held-out.jsonl", to_json(record)))
    assert "\x1b" not in text and "␛[31m" in text
    assert "[bold]" in text  # no markup either


def test_nothing_heavy_is_imported_before_it_is_needed():
    heavy = "{'torch', 'transformers', 'matplotlib', 'pydantic', 'numpy', 'jinja2'}"
    code = f"import sys, rise.cli.show; print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


KINDS = {
    "trajectories.jsonl": "trajectory",
    "relabelled.jsonl": "relabelled",
    "examples.jsonl": "example",
    "held-out.jsonl": "held-out",
    "ledger.jsonl": "ledger",
    "metrics.jsonl": "log",
}


def test_every_sample_line_of_the_documentation_is_one_that_show_knows(tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "run-directory.md").read_text(encoding="utf-8")
    samples = re.findall(r"^#+ `([\w.\-]+\.jsonl)`.*?^```json\n(.*?)^```", page, re.M | re.S)
    assert {name for name, _ in samples} == set(KINDS)
    for name, block in samples:
        for line in block.splitlines():
            path = tmp_path / name
            path.write_text(line + "\n")
            assert _kind(path, 1, json.loads(line)) == KINDS[name]
            printed(path)


def test_a_stage_is_shown_as_its_headline_in_80_columns_and_its_files(round_1):
    text = printed(round_1.path)
    # By hand: ROUND_1 has 4 of 8 right at turn 1 and 5 of 8 at turn 5.
    assert text.startswith("round-1: 8 problems, 5 turns, 5 samples; percent, 95 % intervals\n")
    assert re.search(r"^m1@t1 +50\.0  \S+ +first reply$", text, re.M) and re.search(r"^t5−t1 +\+12\.5 ", text, re.M)
    table, files = text.split("\nTrained on")
    assert len(table.splitlines()) < 30 and max(map(len, table.splitlines())) <= 80
    assert "rise show" in files and "metrics.json" in files  # where every number stands


def test_boost_records_show_that_nothing_was_fixed(tmp_path):
    boost = write_run(tmp_path / "run", {"boost": BOOST}).stage("boost")
    with pytest.raises(DataError, match="has 0 records of fixed"):
        printed(boost.held_out, "--fixed")
