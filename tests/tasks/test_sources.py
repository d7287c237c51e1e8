"""Where rows come from: files of three kinds, the hub by name, and MATH-500 in any copy of MATH."""

import importlib.machinery
import json
import re
import sys
import types

import pyarrow
import pytest
from pyarrow import parquet

from rise.errors import ConfigError, DataError
from rise.recipe.config import TaskConfig
from rise.recipe.problems import counted
from rise.tasks import competition_math, make_task
from rise.tasks.sources import data_directory

# ---- MATH-500 ------------------------------------------------------------------------------------------------------------


def test_math_500_is_found_by_the_hash_of_its_text_in_any_copy(data, monkeypatch):
    question = "Halve $7$."
    monkeypatch.setattr(competition_math, "math_500", lambda: {competition_math.text_hash("Halve  $7$.\n")})
    (problem,) = make_task("math", path=data, subset="500").problems("test")
    assert problem.question == question
    assert len(make_task("math", path=data).problems("test")) == 20
    # Whoever measures on it may not train on it, wherever a copy puts it.
    (data / "math/train.jsonl").write_text((data / "math/test.jsonl").read_text())
    task = make_task("math", path=data, subset="500")
    parts = [p.question for split in ("train", "validation") for p in task.problems(split)]
    assert len(parts) == 19 and question not in parts
    with pytest.raises(ConfigError, match="subset = '501'"):
        make_task("math", subset="501")


def test_a_row_of_math_whose_box_is_empty_is_left_out(data):
    """The published training split has one: nobody could be judged on it."""
    row = {"problem": "How many?", "level": "Level 5", "type": "Algebra", "solution": r"None: $\boxed{}$.", "answer": ""}
    train = data / "math/train.jsonl"
    n = sum(len(make_task("math", path=data).problems(split)) for split in ("train", "validation"))
    train.write_text(train.read_text() + json.dumps(row) + "\n")
    task = make_task("math", path=data)
    assert sum(len(task.problems(split)) for split in ("train", "validation")) == n
    train.write_text(train.read_text() + json.dumps({**row, "solution": "Four."}) + "\n")
    with pytest.raises(DataError, match="line 32: field 'answer' is empty"):
        make_task("math", path=data).problems("train")


def test_math_500_is_five_hundred_problems_of_the_published_test_set():
    known = competition_math.math_500()
    assert len(known) == 500 and all(re.fullmatch("[0-9a-f]{12}", one) for one in known)
    if not (data_directory() / "math" / "test.jsonl").is_file():
        pytest.skip("no benchmark data: set $RISE_DATA")
    every = make_task("math").problems("test")
    some = make_task("math", subset="500").problems("test")
    # A tenth of the published 5,000, so about a tenth of any other choice from them at random.
    assert 0.04 < len(some) / len(every) < 0.2 or len(some) == 500


# ---- files ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["gsm8k/test.parquet", "gsm8k/data/test.parquet", "gsm8k/main/test-00000-of-00001.parquet"])
def test_parquet_is_read_where_the_hub_puts_it(place, data, tmp_path):
    rows = [json.loads(line) for line in (data / "gsm8k/test.jsonl").read_text().splitlines()]
    file = tmp_path / "elsewhere" / place
    file.parent.mkdir(parents=True)
    parquet.write_table(pyarrow.Table.from_pylist(rows), file)
    expected = make_task("gsm8k", path=data).problems("test")
    assert make_task("gsm8k", path=tmp_path / "elsewhere").problems("test") == expected
    assert make_task("gsm8k", path=file).problems("test") == expected
    own = make_task("jsonl", test_path=file, gold_field="answer").problems("test")
    assert [p.question for p in own] == [p.question for p in expected]


def test_pieces_are_read_in_order_and_a_broken_one_is_named(tmp_path):
    for i in range(2):
        rows = [{"question": f"{i}?", "answer": f"#### {i}"}]
        parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / f"test-0000{i}-of-00002.parquet")
    assert [p.question for p in make_task("gsm8k", path=tmp_path).problems("test")] == ["0?", "1?"]
    (tmp_path / "test-00001-of-00002.parquet").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"test-00001-of-00002\.parquet: not a readable parquet file"):
        make_task("gsm8k", path=tmp_path).problems("test")


# ---- the hub -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def hub(data, monkeypatch):
    """A `load_dataset` for which the directories of the data fixture are the hub; what was asked is recorded."""
    datasets = types.ModuleType("datasets")
    datasets.asked = []

    def load_dataset(name, config=None, *, split):
        datasets.asked.append((name, config, split))
        file = data / name.rpartition("/")[2] / f"{split}.jsonl"
        if not file.exists():
            raise ConnectionError(f"no route to {name}\nand much more")
        return [json.loads(line) for line in file.read_text().splitlines()]

    datasets.load_dataset = load_dataset
    datasets.__spec__ = importlib.machinery.ModuleSpec("datasets", None)
    monkeypatch.setitem(sys.modules, "datasets", datasets)
    return datasets


def test_the_hub_is_asked_where_nothing_lies_here_and_it_may_be(hub, data, tmp_path, monkeypatch):
    monkeypatch.setenv("RISE_DATA", str(tmp_path / "empty"))
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    assert make_task("gsm8k").problems("test") == make_task("gsm8k", path=data).problems("test")
    assert hub.asked == [("openai/gsm8k", "main", "test")]
    refused = r"hub:HuggingFaceH4/MATH-500@test cannot be loaded \(ConnectionError: no route to .*\)\. With a network"
    with pytest.raises(DataError, match=refused):
        make_task("math", subset="500").problems("test")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(DataError, match="With a network, this gets it"):
        make_task("gsm8k").problems("test")
    assert len(hub.asked) == 2  # not asked again


def test_where_the_package_that_asks_the_hub_is_missing_the_command_that_brings_it_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("RISE_DATA", str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"this gets it:\n.*\nIt needs the package datasets.*: pip install .*\[tasks\]"):
        make_task("gsm8k").problems("test")


def test_a_data_set_of_the_hub_by_name(hub, data):
    assert make_task("gsm8k", path="hub:me/gsm8k:main").problems("test") == make_task("gsm8k", path=data).problems("test")
    own = make_task("jsonl", path="hub:me/gsm8k@test", shares=(0, 0, 1), gold_field="answer")
    assert len(own.problems("test")) == 20
    split = make_task("jsonl", train_path="hub:me/gsm8k", test_path="hub:me/gsm8k", gold_field="answer")
    assert (len(split.problems("train")), len(split.problems("test"))) == (80, 20)
    assert hub.asked[0] == ("me/gsm8k", "main", "test")
    assert hub.asked[1:] == [("me/gsm8k", None, "test"), ("me/gsm8k", None, "train"), ("me/gsm8k", None, "test")]
    with pytest.raises(DataError, match="hub:me/nothing@test cannot be loaded"):
        make_task("jsonl", test_path="hub:me/nothing").problems("test")
    with pytest.raises(DataError, match="write hub:NAME"):
        make_task("jsonl", test_path="hub:").problems("test")


def test_a_directory_of_files_is_a_data_set_to_the_real_library(data, tmp_path, monkeypatch):
    """`datasets` itself, offline: what stands for a hub here is a directory, which it takes for a name too."""
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    (data / "gsm8k/train.jsonl").unlink()
    expected = [p.id for p in make_task("gsm8k", path=data).problems("test")]
    assert [p.id for p in make_task("gsm8k", path=f"hub:{data / 'gsm8k'}").problems("test")] == expected


# ---- where benchmarks lie, and how many problems they have -----------------------------------------------------------------


def test_benchmarks_lie_in_data_here_unless_the_environment_says_where(data, tmp_path, monkeypatch):
    """R06: the default was a directory beside the clone of one machine."""
    monkeypatch.delenv("RISE_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    assert str(data_directory()) == "data"
    monkeypatch.setenv("RISE_DATA", str(data))
    assert data_directory() == data and len(make_task("gsm8k").problems("test")) == 20


def test_a_count_at_its_default_means_at_most_and_any_other_that_many(data):
    """R06: GSM8K has 1,319 test problems, fewer than the 2,000 that `task.n_test` is by default."""
    task = make_task("gsm8k", path=data)
    assert len(counted(task, "test", TaskConfig(name="gsm8k"))) == 20 < TaskConfig(name="gsm8k").n_test
    assert len(counted(task, "test", TaskConfig(name="gsm8k", n_test=7))) == 7
    with pytest.raises(DataError, match="21"):
        counted(task, "test", TaskConfig(name="gsm8k", n_test=21))
