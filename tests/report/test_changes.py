"""Transcripts for a reader: the changed part is marked, long parts that did not change are folded, nothing is lost."""

from __future__ import annotations

import random
import re

from synthetic_run import FEEDBACK, HOSTILE, write_run

from rise.jsonl import dumps, read_jsonl
from rise.report import write_report
from rise.report.changes import blocks, marked

LONG = "".join(f"step {k}: {k}*2={2 * k}\n" for k in range(30))


def text_of(found):
    return "".join(text for block in found for text, _ in block.pieces)


def test_a_changed_number_is_marked_whole():
    assert marked("2792+6980=9772", "2792+6980=8772") == [("2792+6980=", False), ("9772", True)]


def test_a_long_reply_with_one_changed_line_shows_that_line_and_two_on_either_side():
    after = LONG.replace("20*2=40", "20*2=41")
    found = blocks(after, LONG)
    assert [(block.folded, block.n_lines) for block in found] == [(True, 18), (False, 5), (True, 7)]
    assert [text for block in found for text, new in block.pieces if new] == ["41"]


def test_a_long_first_reply_shows_its_beginning_and_its_end():
    assert [(block.folded, block.n_lines) for block in blocks(LONG, None)] == [(False, 8), (True, 20), (False, 2)]


def test_a_reply_that_repeats_a_long_one_is_folded_whole_and_a_short_one_is_not():
    assert [block.folded for block in blocks(LONG, LONG)] == [True]
    assert [block.folded for block in blocks("6*7=42", "6*7=42")] == [False]


def test_another_reply_altogether_is_not_all_marked():
    assert not any(new for block in blocks("the quick brown fox", "6*7=42") for _, new in block.pieces)


def test_no_character_is_lost():
    rng = random.Random(0)
    for _ in range(300):
        before, after = ("".join(rng.choices("ab 12\n\r\u2028", k=rng.randrange(500))) for _ in range(2))
        after = before[:100] + after[:50] + before[100:] if rng.random() < 0.6 else after
        assert text_of(blocks(after, before)) == after and text_of(blocks(after, None)) == after


def test_the_page_marks_and_folds_and_still_escapes(tmp_path):
    run = write_run(tmp_path / "run")
    path = run.stage("round-1").held_out
    records = [data for _, data in read_jsonl(path)]
    for record in records:
        for k, turn in enumerate(record["run"]):
            turn["reply"] = LONG + f"so {HOSTILE} {k}\n"
    path.write_text("".join(dumps(record) + "\n" for record in records))
    html = write_report(run.path)[0].read_text()
    assert "<mark>1</mark>" in html and "lines as before</summary>" in html and "more lines</summary>" in html
    assert "<script>" not in html and FEEDBACK in html
    assert len(re.findall("step 20: 20", html)) == 5 * len(re.findall("<article>", html)), "folded, not left out"
