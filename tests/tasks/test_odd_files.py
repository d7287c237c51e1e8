"""Files of problems as people save them: each is read, or refused with file, row and way out."""

import json
import re

import pytest

from rise.errors import DataError
from rise.jsonl import MOST_LEVELS, dumps, plain
from rise.tasks import make_task

ROW = '{"question": "1 + 1?", "gold": "2"}'


def problems(path):
    return make_task("jsonl", test_path=path).problems("test")


def written(directory, name, text):
    path = directory / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.JSONL", ROW),
        ("a.CSV", "question,gold\n1 + 1?,2\n"),
        ("a.TSV", "question\tgold\n1 + 1?\t2\n"),
        ("a.JSON", f"[{ROW}]"),
        ("excel.csv", "sep=;\nquestion;gold\n1 + 1?;2\n"),
        ("columns.csv", "question,gold,,\n1 + 1?,2,,\n"),
        ("spaces.csv", " question , gold \n1 + 1?,2\n"),
        ("old-mac.jsonl", ROW + "\r"),
        ("excel-end.csv", "\n\nquestion,gold\n1 + 1?,2\n,\n , \n"),
        ("head.csv", '"question";"gold";"a, b, c"\n1 + 1?;2;\n'),
        ("two-files.jsonl", "\n\n" + ROW + "\r\n\ufeff\r\n"),
    ],
)
def test_it_is_read(name, text, tmp_path):
    assert [(p.question, p.gold) for p in problems(written(tmp_path, name, text))] == [("1 + 1?", "2")]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("twice.jsonl", '{"question": "1 + 1?", "gold": "2", "gold": "3"}', "line 1: the field 'gold' is there twice: keep one"),
        ("twice.json", '[{"question": "1 + 1?", "question": "2 + 2?", "gold": "3"}]', "'question' is there twice"),
        ("comma.jsonl", ROW + ",\n" + ROW, "line 1: not JSON .* Leave out the comma behind the row"),
        ("last.jsonl", '{"question": "1 + 1?", "gold": "2",}', "no comma before a bracket that closes"),
        ("quotes.jsonl", "{'question': '1 + 1?', 'gold': '2'}", 'double quotes: "question"'),
        ("pretty.jsonl", json.dumps(json.loads(ROW), indent=1), "line 1: .*A row stands in one line"),
        ("list.jsonl", f"[{ROW}]", "suffix .json"),
        ("two.jsonl", ROW + ROW, "a line of its own"),
        ("page.jsonl", "<!DOCTYPE html><html>404</html>", "It is a web page"),
        ("lfs.jsonl", "version https://git-lfs.github.com/spec/v1\noid sha256:ab\n", "run git lfs pull"),
        ("long.jsonl", '{"question": "?", "gold": ' + "9" * 5000 + "}", "Write so long a number as text"),
        ("u32.jsonl", ROW.encode("utf-32"), "It is UTF-32: .*iconv -f UTF-32"),
        ("u16.csv", "question,gold\n1?,2\n".encode("utf-16"), "It is UTF-16"),
        ("latin.csv", "question,gold\nMüller?,2\n".encode("latin-1"), "iconv -f WINDOWS-1252"),
        ("empty.csv", "question,gold\n1?,2\n1 + 1?,\n", "line 3: the cell in column 'gold' is empty"),
        ("short.csv", "question,gold\n1 + 1?\n", "line 2: the cell in column 'gold' is empty"),
        ("gap.csv", "question,gold\n1 + 1?,NaN\n", "line 2: 'NaN' in column 'gold' is no number"),
        ("latex.jsonl", r'{"question": "$\\sqrt{4}$, or $\sqrt{4}$?", "gold": "2"}', r"line 1: .*written twice: \\\\sqrt"),
        ("half.jsonl", r'{"question": "1 / 2?", "gold": "\frac{1}{2}"}', r"line 1: field 'gold' holds '\\x0crac.*written twice"),
        ("text.json", r'[{"question": "1 / 2?", "gold": "2\text{ cm}"}]', r"row 1: field 'gold' holds '\\text\{ cm"),
        *(
            ("single.jsonl", f'{{"question": "?", "gold": "{gold}"}}', r"line 1: field 'gold' holds .*written twice")
            for gold in (r"\tan 3", r"\neq 3", r"\tau", r"\rangle", r"\forall x", r"\beta", r"2 \to 3")
        ),
        *(
            ("gaps.csv", f"question,gold\n1 + 1?,{gap}\n", f"line 2: '{re.escape(gap)}' in column 'gold' stands for nothing")
            for gap in ("NA", "N/A", "null", "None", "#N/A", "#DIV/0!", "<NA>")
        ),
        *(
            ("lists.csv", f'question,gold\n1 + 1?,"{cell}"\n', "line 2: .* in column 'gold' is a list .* Write one text")
            for cell in ("['7']", "[3]", "[1, 2, 3]")
        ),
        ("u16-no-mark.csv", "question,gold\n1?,2\n".encode("utf-16-le"), "It is UTF-16"),
        *(
            ("packed.jsonl", data + b"\x00\xff" * 20, f"It is {kind}")
            for data, kind in (
                (b"\x28\xb5\x2f\xfd", "packed with zstd: run unzstd"),
                (b"BZh91AY&SY", "packed with bzip2: run bunzip2"),
                (b"\xfd7zXZ\x00", "packed with xz: run unxz"),
                (b"ARROW1\x00\x00", "an Arrow file: save"),
                (b"SQLite format 3\x00", "an SQLite database: save"),
            )
        ),
        *(
            (f"lfs{kind}", "version https://git-lfs.github.com/spec/v1\n", "git lfs pull")
            for kind in (".json", ".csv", ".parquet")
        ),
        ("zeros.jsonl", ROW + "\n" + "\x00" * 8, r"line 2: not JSON \(Expecting value at column 1\)\.$"),
        ("unnamed.csv", "question,,gold\n1 + 1?,x,2\n", "line 2: a cell in a column without a name"),
        ("open.csv", 'question,gold\n1 + 1?,2\n"1 + 2?,3\n', "after line 2: .*each cell closed"),
    ],
)
def test_it_is_refused_with_the_place_and_the_way_out(name, text, words, tmp_path):
    with pytest.raises(DataError, match=words) as refused:
        problems(written(tmp_path, name, text))
    assert name in str(refused.value)


@pytest.mark.parametrize(
    ("text", "gold"), [("Na", "Na"), ('"[1, 2]"', "[1, 2]"), ('"Paris\nRome"', "Paris\nRome"), ('"a\n2"', "a\n2")]
)
def test_a_cell_that_only_looks_like_a_gap_or_a_list_is_a_gold(text, gold, tmp_path):
    assert [p.gold for p in problems(written(tmp_path, "a.csv", f"question,gold\n?,{text}\n"))] == [gold]


def test_what_a_table_may_not_hold_json_lines_may_and_a_list_suits_a_judge_of_lists(tmp_path):
    assert problems(written(tmp_path, "a.jsonl", '{"question": "?", "gold": "None"}'))[0].gold == "None"
    table = written(tmp_path, "a.csv", 'question,gold\n"Sort 3, 1, 2.","[1, 2, 3]"\n')
    assert make_task("jsonl", test_path=table, judge="exact").problems("test")[0].gold == "[1, 2, 3]"


def test_gaps_of_parquet_are_those_of_a_table(tmp_path):
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.table({"question": ["1?", "2?"], "gold": ["1", "N/A"]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"a\.parquet, row 2: 'N/A' in column 'gold' stands for nothing"):
        problems(tmp_path / "a.parquet")


def test_a_question_may_hold_what_a_gold_may_not(tmp_path):
    """MATH has a question with a tab before `extbf`; a gold like that would call right answers wrong."""
    [one] = problems(written(tmp_path, "tab.jsonl", r'{"question": "\textbf{(C)} 96?", "gold": "2"}'))
    assert one.question == "\textbf{(C)} 96?"


@pytest.mark.filterwarnings("ignore:task jsonl. column 'x' holds more than 200 levels")
def test_lists_in_one_another_end_no_run(tmp_path):
    deep = "[" * 900 + "]" * 900
    [one] = problems(written(tmp_path, "deep.jsonl", f'{{"question": "1 + 1?", "gold": "2", "x": {deep}}}'))
    assert dumps(one.fields).count("[") == MOST_LEVELS and "<list>" in dumps(one.fields)
    assert plain([[1], {"a": [2]}]) == [[1], {"a": [2]}]


@pytest.mark.parametrize(
    ("written_as", "gold"),
    [
        ("0.12345678901234567890123", "0.12345678901234567890123"),
        ("9007199254740993.0", "9007199254740993"),
        ("1e300", "1" + "0" * 300),
        ("2.50", "2.5"),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
    ],
)
@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
def test_a_number_keeps_the_digits_it_was_written_with(name, written_as, gold, tmp_path):
    row = f'{{"question": "1 + 1?", "gold": {written_as}}}'
    [one] = problems(written(tmp_path, name, f"[{row}]" if name.endswith(".json") else row))
    assert one.gold == gold


@pytest.mark.parametrize("bits", [16, 32])
def test_a_number_of_few_bits_is_the_one_that_was_written(bits, tmp_path):
    import numpy as np
    import pyarrow
    from pyarrow import parquet

    from rise.tasks.plain import PlainTask

    kind = {16: np.float16, 32: np.float32}[bits]
    golds = np.array([0.1, 2.5, -3, 1.1], kind)
    parquet.write_table(pyarrow.table({"question": [f"{i}?" for i in range(4)], "gold": golds}), tmp_path / "a.parquet")
    assert [p.gold for p in problems(tmp_path / "a.parquet")] == ["0.1", "2.5", "-3", "1.1"]
    assert PlainTask({"test": [{"question": "1?", "gold": golds[0]}]}).problems("test")[0].gold == "0.1"


def test_a_column_of_parquet_that_cannot_be_read_is_named(tmp_path):
    import pyarrow
    from pyarrow import parquet

    text = pyarrow.Array.from_buffers(pyarrow.string(), 1, pyarrow.array([b"\xff?"]).buffers())
    columns = {
        "note": text,
        "at": pyarrow.array([2**55], pyarrow.timestamp("ms")),
        "zone": pyarrow.array([1], pyarrow.timestamp("s", "Foo/Bar")),
    }
    for name, column in columns.items():
        parquet.write_table(pyarrow.table({"question": ["1?"], "gold": ["1"], name: column}), tmp_path / "a.parquet")
        with pytest.raises(DataError, match=rf"a\.parquet: column '{name}' holds what cannot be read .*save it as text"):
            problems(tmp_path / "a.parquet")


def test_a_solution_of_nothing_is_none(tmp_path):
    rows = "".join(f'{{"question": "{i}?", "gold": 1, "solution": "{said}"}}\n' for i, said in enumerate(("", " ", "1")))
    assert [p.solution for p in problems(written(tmp_path, "a.jsonl", rows))] == [None, None, "1"]
