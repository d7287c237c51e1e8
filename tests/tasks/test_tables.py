"""Problems from CSV and TSV, from a DataFrame, and the settings that an error names."""

import pytest

from rise.errors import DataError
from rise.tasks import make_task
from rise.tasks.plain import PlainTask


def problems(path, **settings):
    return make_task("jsonl", test_path=path, **settings).problems("test")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", 'question,gold,source\n"1 + 1, please?",2,"a ""test"""\n"two\nlines?",3,\n'),
        ("a.csv", '\ufeffquestion;gold;source\n1 + 1, please?;2;"a ""test"""\n"two\nlines?";3;\n'),
        ("a.tsv", 'question\tgold\tsource\n1 + 1, please?\t2\t"a ""test"""\n"two\nlines?"\t3\t\n'),
        ("a.csv", 'question\tgold\tsource\r\n1 + 1, please?\t2\t"a ""test"""\r\n"two\nlines?"\t3\t\r\n'),
    ],
)
def test_a_table_is_read_as_spreadsheets_write_it(name, text, tmp_path):
    (tmp_path / name).write_bytes(text.encode())
    first, second = problems(tmp_path / name)
    assert (first.question, first.gold, first.fields) == ("1 + 1, please?", "2", {"source": 'a "test"'})
    assert (second.question, second.gold, second.fields) == ("two\nlines?", "3", {})  # an empty cell is no field


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("q,gold\na,b\n", r"line 2: no field 'question' or 'problem'; it has 'q', 'gold'.*task.settings.question_field"),
        ("question,a\nx,b\n", r"no field 'gold' or 'answer'.*task.settings.gold_field"),
        ("question,question\na,b\n", "name each column once"),
        ("question,gold\na,b,c\n", "line 2: more cells than the 2 columns"),
        ('question,gold\n"a,b\n', "cannot be read as a table"),
        ("question,gold\n", "holds none"),
    ],
)
def test_what_is_no_table_of_problems_is_said_with_the_line(text, words, tmp_path):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(DataError, match=words):
        problems(tmp_path / "a.csv")


def test_columns_of_other_names_are_named(tmp_path):
    (tmp_path / "a.csv").write_text("frage,antwort\nWie weit?,3\n")
    [one] = problems(tmp_path / "a.csv", question_field="frage", gold_field="antwort")
    assert (one.question, one.gold) == ("Wie weit?", "3")


def test_a_data_frame_is_a_list_of_problems():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"question": ["1 + 1?", "2 + 2?"], "gold": [2, 4], "level": ["easy", "hard"]})
    found = PlainTask(frame, shares=(0, 0, 1)).problems("test")
    assert [(p.gold, p.fields) for p in found] == [("2", {"level": "easy"}), ("4", {"level": "hard"})]


def test_a_parquet_file_is_read_as_it_was(tmp_path):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    pandas.DataFrame({"question": ["1 + 1?"], "gold": [2]}).to_parquet(tmp_path / "a.parquet")
    assert [p.gold for p in problems(tmp_path / "a.parquet")] == ["2"]
