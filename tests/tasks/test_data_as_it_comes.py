"""Rows as files and tables bring them: marks, encodings, halves of characters, gaps, bytes, dates; refused or kept whole."""

import datetime
import decimal
import json
import math
import re
import uuid
import warnings

import pyarrow
import pytest
from pyarrow import parquet
from toys import LastNumber, problem

from rise.errors import ConfigError, DataError, PolicyError
from rise.jsonl import dumps, loads, plain, read_json, read_jsonl, whole_text, write_jsonl, write_whole
from rise.play.ledger import Ledger
from rise.play.player import Player, play_out
from rise.play.prompt import Prompt
from rise.policies.function import FunctionPolicy
from rise.policies.scripted import ScriptedPolicy
from rise.policy import Reply, Sampling
from rise.recipe.toml import load_recipe
from rise.task import Problem
from rise.tasks import make_task
from rise.tasks.plain import PlainTask
from rise.trajectory import Trajectory, Turn, to_json

BOM = "\ufeff"
ROW = '{"question": "1+1?", "gold": "2"}\n'


def table(path, **columns):
    parquet.write_table(pyarrow.table(columns), path)
    return path


def only(path, **settings):
    return make_task("jsonl", test_path=path, **settings).problems("test")


# ---- B31: byte-order marks and other encodings -------------------------------------------------------------------------


@pytest.mark.parametrize("text", [BOM + ROW, BOM + ROW + BOM + ROW.replace("1+1", "1+2"), BOM + "\r\n" + ROW, ROW + BOM])
def test_a_byte_order_mark_is_read_over(text, tmp_path):
    file = tmp_path / "p.jsonl"
    file.write_text(text, encoding="utf-8", newline="")
    assert [p.gold for p in only(file)] == ["2"] * text.count('"gold"')


def test_a_byte_order_mark_is_read_over_wherever_text_is_read(tmp_path):
    for name, text in {
        "rows.json": f"[{ROW}]",
        "one.json": '{"a": 1}',
        "recipe.toml": 'name = "x"\r\n[model]\npath = "m"\n',
        "script.json": '{"1+1?": ["2"]}',
    }.items():
        (tmp_path / name).write_text(BOM + text, encoding="utf-8", newline="")
    assert only(tmp_path / "rows.json")[0].gold == "2"
    assert read_json(tmp_path / "one.json") == {"a": 1}
    assert load_recipe(tmp_path / "recipe.toml").name == "x"
    assert ScriptedPolicy.load(tmp_path / "script.json").script(Prompt().messages(problem("p", "1+1?"), []), 0) == "2"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_is_named_with_the_way_out(encoding, tmp_path):
    for name in ("p.jsonl", "p.json", "p.toml"):
        (tmp_path / name).write_bytes(f"{ROW}ü".encode(encoding))
    for read in (
        lambda: only(tmp_path / "p.jsonl"),
        lambda: only(tmp_path / "p.json"),
        lambda: read_json(tmp_path / "p.json"),
        lambda: load_recipe(tmp_path / "p.toml"),
    ):
        with pytest.raises((DataError, ConfigError), match=r"It is UTF-16.*iconv -f UTF-16"):
            read()


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("p.jsonl", b"\x1f\x8b\x08\x00rest\xff", "packed with gzip: run gunzip"),
        ("p.jsonl", b"PAR1\xff\xff", "is a parquet file"),
        ("p.jsonl", b"PK\x03\x04\xff\xff", "spreadsheet"),
        ("p.jsonl", '{"question": "é"}'.encode("latin-1"), "iconv -f WINDOWS-1252"),
        ("p.json", ROW.encode() * 2, r"give it the suffix \.jsonl"),
        ("p.json", b'{"a": [{}], "b": [{}]}', "lists of objects: 'a', 'b'"),
        ("p.json", b'"text"', "expected a list of rows"),
        ("p.jsonl", b"[" * 100_000, "nested too deeply"),
        ("p.jsonl", b'{"question": "1?", "gold": ["2", "3"]}', "A list is not taken: write one text"),
        ("p.jsonl", b'{"question": {"text": "1?"}, "gold": "2"}', "question_field, gold_field"),
    ],
)
def test_what_is_no_file_of_rows_says_what_to_do(name, data, words, tmp_path):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError, match=words) as error:
        only(tmp_path / name)
    assert len(str(error.value)) < 600


def test_a_table_that_another_program_saved_is_read_without_its_mark(tmp_path):
    file = tmp_path / "p.csv"
    file.write_text('\ufeffquestion,gold\n"1, 2?",3\n', encoding="utf-8")
    assert [(p.question, p.gold) for p in only(file)] == [("1, 2?", "3")]


def test_a_directory_is_called_one(tmp_path):
    (tmp_path / "rows.jsonl").write_text(ROW)
    with pytest.raises(DataError, match=r"is a directory: give a file in it, rows\.jsonl"):
        only(tmp_path)
    with pytest.raises(DataError, match="directory"):
        list(read_jsonl(tmp_path))


def test_the_one_list_of_a_json_object_is_its_rows(tmp_path):
    (tmp_path / "p.json").write_text(json.dumps({"version": 1, "tags": ["a"], "data": [{"question": "1?", "gold": 1}]}))
    assert [p.gold for p in only(tmp_path / "p.json")] == ["1"]


# ---- B05: half a surrogate pair ----------------------------------------------------------------------------------------

HALVES = ["\ud83d 3", "3 \ude00", "\ude00\ud83d", "a\ud83d"]


@pytest.mark.parametrize("text", HALVES)
def test_half_a_character_is_written_and_read_back_the_same(text, judge, tmp_path):
    policy = FunctionPolicy(lambda messages: f"{text} 4", name="f")
    with Ledger(tmp_path / "ledger.jsonl") as ledger:
        player = Player(policy, Prompt(), judge, Sampling(), ledger, "x")
        [[turn]] = play_out(player, player.play([problem("p")], lambda p: player.turns(p, [])))
        key = next(iter(loads(line)["key"] for line in (tmp_path / "ledger.jsonl").read_text("utf-8").splitlines()))
        assert ledger.get(key)["turn"]["reply"] == turn.reply == whole_text(f"{text} 4")
    assert turn.right and "\ufffd" in turn.reply


def test_two_halves_are_their_character_and_whole_text_stays():
    assert whole_text("\ud83d" + "\ude00") == "😀"
    assert loads('{"a": ["\\ud83d\\ude00", "\\ud83d"]}') == {"a": ["😀", "\ufffd"]}
    for text in ("plain", "é∑", "😀", "\ufffd"):
        assert whole_text(text) is text


@pytest.mark.parametrize("text", HALVES)
def test_half_a_character_in_a_row_is_no_trouble_later(text, tmp_path):
    (tmp_path / "p.jsonl").write_text(json.dumps({"question": text, "gold": f"{text}", "note": {text: [text]}}))
    [row] = only(tmp_path / "p.jsonl")
    for made in (
        row,
        Problem(text, text, solution=text),
        PlainTask({"test": [{"question": text, "gold": text}]}).problems("test")[0],
    ):
        made.question.encode(), made.gold.encode()
        assert made.id == row.id
    dumps(row.fields).encode()
    write_jsonl(tmp_path / "out.jsonl", [{"a": text}])
    write_whole(tmp_path / "out.txt", text)
    assert [data for _, data in read_jsonl(tmp_path / "out.jsonl")] == [{"a": whole_text(text)}]


def test_what_a_feedback_says_can_be_shown(monkeypatch, tmp_path):
    (tmp_path / "half_feedback.py").write_text('def say(problem, trajectory, verdict):\n    return "no \\ud83d"\n')
    monkeypatch.chdir(tmp_path)
    said = Prompt(feedback="half_feedback:say").feedback_for(problem("p"), [Turn("5")])
    assert said == "no \ufffd"


# ---- B06: columns that JSON has no word for ----------------------------------------------------------------------------

STRANGE = {
    "added": datetime.datetime(2025, 1, 1),
    "day": datetime.date(2025, 1, 2),
    "at": datetime.time(3, 4),
    "took": datetime.timedelta(seconds=5),
    "cost": decimal.Decimal("1.50"),
    "gap": math.nan,
    "endless": math.inf,
    "image": {"bytes": b"\x89PNG", "path": "x.png"},
    "tags": ("a", {"b"}),
    "id2": uuid.UUID(int=7),
    "thing": object(),
    3: "three",
}
KEPT = {
    "added": "2025-01-01T00:00:00",
    "day": "2025-01-02",
    "at": "03:04:00",
    "took": "0:00:05",
    "cost": "1.50",
    "gap": None,
    "endless": "inf",
    "image": {"bytes": "<4 bytes>", "path": "x.png"},
    "tags": ["a", ["b"]],
    "id2": "00000000-0000-0000-0000-000000000007",
    "thing": "<object>",
    "3": "three",
}


def test_every_value_becomes_one_that_files_hold():
    described = []
    assert plain(STRANGE, described) == KEPT
    assert described == ["bytes", "object"]
    assert json.loads(dumps(KEPT)) == KEPT
    import numpy as np

    assert plain({"a": np.int64(3), "b": np.array([1.5, np.nan]), "c": np.float32(2)}) == {"a": 3, "b": [1.5, None], "c": 2.0}


def test_a_table_with_bytes_and_times_is_read_and_its_bytes_are_said_once(tmp_path):
    file = table(
        tmp_path / "p.parquet",
        question=["1+1?", "1+2?"],
        gold=[2, 3],
        added=[datetime.datetime(2025, 1, 1)] * 2,
        image=[b"abc", b"de"],
        price=[decimal.Decimal("1.50"), None],
        score=[1.0, math.nan],
    )
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        task = make_task("jsonl", test_path=file)
        first, second = task.problems("test")
        task.problems("test")
    assert first.fields == {"added": "2025-01-01T00:00:00", "image": "<3 bytes>", "price": "1.50", "score": 1.0}
    assert second.fields["score"] is None and second.fields["price"] is None
    said = [str(warning.message) for warning in told]
    assert said == ["task jsonl: column 'image' holds bytes, which is kept as a description only."]


def test_what_a_problem_in_memory_holds_ends_no_record():
    """Your own judge may want the object itself, so a `Problem` keeps it; the files describe it."""
    thing = Problem("1?", "1", fields=STRANGE)
    assert thing.fields["thing"] is STRANGE["thing"]
    record = to_json(Trajectory(thing.id, "1?", "1", (), thing.fields))
    assert json.loads(dumps(record))["fields"] == KEPT
    assert PlainTask({"test": [{"question": "1?", "gold": 1, **STRANGE}]}).problems("test")[0].fields == KEPT


# ---- B07: numbers that are none ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999"])
@pytest.mark.parametrize("field", ["gold", "question"])
def test_a_gold_or_question_that_is_no_number_is_refused_with_its_place(value, field, tmp_path):
    row = {"question": "1+1?", "gold": "2"}
    line = json.dumps({**row, field: "@"}).replace('"@"', value)
    (tmp_path / "p.jsonl").write_text(ROW.replace("1+1", "2+2") + line + "\n")
    with pytest.raises(DataError, match=rf"p\.jsonl, line 2: field '{field}' is .*no number"):
        only(tmp_path / "p.jsonl")


def test_a_gap_in_a_column_of_golds_is_refused_and_one_in_solutions_is_none(tmp_path):
    with pytest.raises(DataError, match=r"row 2: field 'gold' is nan"):
        only(table(tmp_path / "p.parquet", question=["1?", "2?"], gold=[1.0, math.nan]))
    with pytest.raises(DataError, match=r"row 2: field 'gold' is None"):
        only(table(tmp_path / "n.parquet", question=["1?", "2?"], gold=[1.0, None]))
    (tmp_path / "p.jsonl").write_text('{"question": "1?", "gold": 1, "solution": NaN}\n')
    assert only(tmp_path / "p.jsonl")[0].solution is None


def test_numbers_of_every_kind_are_golds(tmp_path):
    file = table(tmp_path / "p.parquet", question=["a?", "b?"], gold=[decimal.Decimal("3.50"), decimal.Decimal("-1.00")])
    assert [p.gold for p in only(file)] == ["3.50", "-1.00"]
    import numpy as np

    rows = [{"question": "1?", "gold": np.int64(7)}, {"question": "2?", "gold": np.float64(2.0)}]
    assert [p.gold for p in PlainTask({"test": rows}).problems("test")] == ["7", "2"]


def test_a_value_that_is_shown_is_shown_short(tmp_path):
    with pytest.raises(DataError) as error:
        only(table(tmp_path / "p.parquet", question=[b"x" * 100_000], gold=["2"]))
    assert len(str(error.value)) < 300


# ---- B33: one over-long problem ----------------------------------------------------------------------------------------


def test_rows_that_are_too_long_are_left_out_and_counted(tmp_path):
    rows = [{"question": f"{i}+1?", "gold": i + 1} for i in range(20)] + [{"question": "1 " * 3000, "gold": 1}]
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.warns(UserWarning, match="1 problem longer than task.settings.longest left out"):
        assert len(only(tmp_path / "p.jsonl", longest=100)) == 20
    assert len(only(tmp_path / "p.jsonl")) == 21
    with pytest.raises(ConfigError, match="longest = 0"):
        only(tmp_path / "p.jsonl", longest=0)


def test_a_problem_that_no_setting_can_fit_is_named(renderer):
    from rise.play.context_length import check_context

    problems = [problem(f"p{i}", f"{i}+1") for i in range(40)] + [problem("giant", "12345+" * 100)]
    with pytest.raises(
        ConfigError, match=r"problem giant is too long.*begins '12345\+.*1 of 41 problems.*No setting of the run"
    ) as error:
        check_context(Prompt(feedback_text="?"), renderer, problems, limit=192, attempts=2, max_new_tokens=12)
    assert "Lower" not in str(error.value)
    longest = int(re.search(r"longest = (\d+)", str(error.value))[1])
    check_context(
        Prompt(feedback_text="?"),
        renderer,
        [p for p in problems if len(p.question) <= longest],
        limit=192,
        attempts=2,
        max_new_tokens=12,
    )


# ---- A07: the same question on two sides -------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "kind"), [("arithmetic", "word"), ("word-problems", "word")])
def test_no_test_question_is_a_training_question_in_other_names(name, kind):
    task = make_task(name, kinds={kind: 1})
    seen = {task.skeleton(p.question) for p in task.problems("train", 3000)}
    test = task.problems("test", 500)
    assert not [p for p in test if task.skeleton(p.question) in seen]
    dressed = [p.question for p in test if p.question != task.skeleton(p.question)]
    assert len(dressed) > 300  # names and things do stand in them


# ---- replies -----------------------------------------------------------------------------------------------------------


def test_a_reply_of_any_policy_is_whole():
    assert Reply("\ud83d 3", None, "stop", None, None).text == "\ufffd 3"
    assert isinstance(LastNumber().judge(problem("p"), "\ufffd 4").answer, str)


def test_a_script_that_cannot_be_read_says_why(tmp_path):
    (tmp_path / "s.json").write_bytes(b"\xff\xfe{\x00")
    with pytest.raises(PolicyError, match="UTF-16"):
        ScriptedPolicy.load(tmp_path / "s.json")
