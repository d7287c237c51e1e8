"""The house: how large files and functions are, where imports stand, where one fact lives, and docs/architecture.md."""

import ast
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "rise"
sys.path[:0] = [str(ROOT / "docs"), str(ROOT / "benchmarks")]

import where  # noqa: E402
from make_architecture import PACKAGES, arrows, imports, page  # noqa: E402

FILE_LINES, FILE_P90, FUNCTION_LINES = 400, 280, 60
LONG_FILES: set[str] = set()
LONG_FUNCTIONS: set[str] = set()
"""What is still too long. Take a name out when it is mended; never add one."""

FAR_CHANGES: set[int] = {18}
"""Changes that still touch more than three files, or rest on a table that is not there yet. At most three may stay."""


@cache
def python_files():
    return {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in sorted(PACKAGE.rglob("*.py"))}


@cache
def trees():
    return {name: ast.parse(text) for name, text in python_files().items()}


def functions():
    """(file:name, lines) of every function, its signature included."""
    for name, tree in trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{name}:{node.name}", node.end_lineno - node.lineno + 1


def test_no_file_has_more_than_400_lines():
    long = {name for name, text in python_files().items() if len(text.splitlines()) > FILE_LINES}
    assert long == LONG_FILES


def test_nine_files_in_ten_have_fewer_than_280_lines():
    lengths = sorted(len(text.splitlines()) for text in python_files().values())
    assert lengths[int(0.9 * len(lengths))] < FILE_P90


def test_no_function_has_more_than_60_lines():
    assert {name for name, lines in functions() if lines > FUNCTION_LINES} == LONG_FUNCTIONS


def test_the_root_of_the_package_holds_at_most_22_packages_and_modules():
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    modules = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__", "__main__"}  # Python's own names for its two doors
    assert packages == set(PACKAGES)
    assert len(packages | modules) <= 22


def test_no_line_is_kept_from_the_formatter():
    assert [name for name, text in python_files().items() if "fmt: skip" in text or "fmt: off" in text] == []


# --- imports inside functions -----------------------------------------------------------------------------------------


def inner_imports(tree):
    """Imports that run when a function is called."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return {node for f in functions for node in ast.walk(f) if isinstance(node, ast.Import | ast.ImportFrom)}


def test_imports_inside_functions_are_few_outside_the_command_line_and_the_cluster():
    """There they keep `rise --help` quick and Ray optional. Elsewhere: fewer than 5 in 1,000 lines."""
    lines = inner = 0
    for name, text in python_files().items():
        if not name.startswith(("rise/cli/", "rise/cluster/")):
            lines += len(text.splitlines())
            inner += len(inner_imports(trees()[name]))
    assert 1000 * inner / lines < 5


# --- where to change what ---------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_most_changes_touch_at_most_three_files():
    found = where.located(where.Tree.read(PACKAGE))
    far = {change.number for change, files, missing in found if missing or len(files) > where.GOAL_FILES}
    assert len(found) == 27
    assert far == FAR_CHANGES


def scratch(tmp_path, **files):
    """A tree with a table of three names and further files."""
    root = tmp_path / "rise"
    root.mkdir()
    (root / "keep.py").write_text('"""Rules: all, best, first."""\nRULES = {"all": 1, "best": 2, "first": 3}\n')
    for name, text in files.items():
        (root / name.replace("__", ".")).write_text(text)
    return where.Tree.read(root)


def test_a_table_has_one_home(tmp_path):
    assert where.Table("RULES").files(scratch(tmp_path)) == {"rise/keep.py"}


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("a__py", 'Rule = Literal["all", "best", "first"]'),
        ("a__py", 'def weight(rule):\n    if rule == "all": return 1\n    if rule in ("best", "first"): return 2\n'),
        ("a__py", 'WORDS = {"all": "every one", "best": "the best", "first": "the first"}'),
        ("a__js", 'const rules = [\n  "all",\n  "best",\n  "first",\n];'),
        ("a__html", '<option value="all">\n<option value="best">\n<option value="first">'),
    ],
)
def test_a_second_list_of_the_same_names_is_found(file, text, tmp_path):
    assert where.Table("RULES").files(scratch(tmp_path, **{file: text})) == {"rise/keep.py", f"rise/{file.replace('__', '.')}"}


@pytest.mark.parametrize(
    "text", ['"""all, best, first"""', "# all best first", 'if rule == "best": pass', 'Other = Literal["all", "none"]']
)
def test_a_name_in_passing_is_no_second_list(text, tmp_path):
    assert where.Table("RULES").files(scratch(tmp_path, a__py=text)) == {"rise/keep.py"}


def test_names_with_numbers_in_them_are_known_again(tmp_path):
    entries = 'NAMES = (Metric("m1@t1"), Metric("m{S}@t1"), Metric("m1@t{K}"))'
    again = 'def names(s, k):\n    return ["m1@t1", f"m{s}@t1", f"m1@t{k}"]\n'
    tree = scratch(tmp_path, metrics__py=entries, table__py=again)
    assert where.Table("NAMES").files(tree) == {"rise/metrics.py", "rise/table.py"}


def test_a_symbol_that_is_nowhere_is_named(tmp_path):
    with pytest.raises(where.Missing, match="OTHER is defined nowhere in rise/"):
        where.Table("OTHER").files(scratch(tmp_path))


def test_fields_copied_by_hand_are_found(tmp_path):
    record = "class Cfg:\n    a: int = 1\n    b: int = 2\n    c: int = 3\n"
    by_hand = "def card(cfg):\n    return {'a': cfg.a, 'b': cfg.b, 'c': cfg.c}\n"
    whole = "def card(cfg):\n    return cfg.model_dump()\n"
    tree = scratch(tmp_path, cfg__py=record, card__py=by_hand, other__py=whole)
    assert where.Fields("Cfg", least=3).files(tree) == {"rise/cfg.py", "rise/card.py"}


# --- docs/architecture.md ---------------------------------------------------------------------------------------------


def test_the_page_says_what_the_tree_is():
    assert (ROOT / "docs/architecture.md").read_text(encoding="utf-8") == page(), "run `make docs`"


def test_the_figure_leads_to_every_import_and_to_no_other():
    """From the drawn arrows alone, exactly the packages that are reached by real imports are reached."""

    def closure(pairs):
        reached = set(pairs)
        while more := {(a, d) for a, b in reached for c, d in reached if b == c} - reached:
            reached |= more
        return reached

    drawn = [line.split(" --> ") for line in (ROOT / "docs/architecture.md").read_text().splitlines() if " --> " in line]
    real = {(a, b) for a, others in imports().items() for b in others}
    assert closure((a.strip(), b) for a, b in drawn) == closure(real)
    assert {(a.strip(), b) for a, b in drawn} <= real


def test_an_arrow_that_follows_from_others_is_left_out():
    assert arrows({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == [("a", "b"), ("b", "c")]
