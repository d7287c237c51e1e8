"""The import ladder: stages point from later to earlier, torch has two doors, nothing but the command line reads reports."""

import ast
import importlib
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import rise

ROOT = Path(rise.__file__).parent

LADDER = [
    {"errors"},
    {"jsonl"},
    {"task", "trajectory"},
    {"judge", "policy"},
    {"dataset"},
    {"recipe"},
    {"judges"},
    {"tasks"},
    {"play"},
    {"training"},
    {"policies"},
    {"cluster"},
    {"evaluation"},
    {"runs"},
    {"method"},
    {"report", "serve"},
    {"view"},
    {"api", "cli"},
    {"__main__"},
]
"""Each rung may import the rungs above it in this list; within a rung, only itself."""


@cache
def modules():
    """(name, what it imports) of every module."""
    found = []
    for path in sorted(ROOT.rglob("*.py")):
        name = ".".join(path.relative_to(ROOT.parent).with_suffix("").parts)
        found.append((name.removesuffix(".__init__"), list(imported(ast.parse(path.read_text(encoding="utf-8"))))))
    return found


def imported(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module or ""


def part(module):
    """`rise.training.trainer` → `training`."""
    return [*module.split("."), ""][1]


def edges():
    return {
        (part(name), part(target))
        for name, targets in modules()
        for target in targets
        if target.startswith("rise.") and part(target) != part(name) and part(name)
    }


def test_every_part_has_a_place_on_the_ladder():
    known = set().union(*LADDER)
    assert {part(name) for name, _ in modules()} - {""} <= known


def test_no_part_imports_one_that_comes_after_it():
    rung = {name: number for number, names in enumerate(LADDER) for name in names}
    assert {(a, b) for a, b in edges() if rung[b] >= rung[a]} == set()


@pytest.mark.parametrize(("reader", "by"), [("report", {"api", "cli", "view"}), ("serve", {"cli", "view"}), ("view", {"cli"})])
def test_only_commands_and_the_python_api_import_what_reads(reader, by):
    assert {a for a, b in edges() if b == reader} <= by  # the viewer has the report's headline, and serve's `web`


def test_torch_is_imported_by_training_and_local_policies_alone():
    doors = {part(name) for name, targets in modules() for target in targets if target.split(".")[0] == "torch"}
    assert doors <= {"training", "policies"}


def test_ray_is_imported_for_a_cluster_alone():
    doors = {part(name) for name, targets in modules() for target in targets if target.split(".")[0] == "ray"}
    assert doors == {"cluster"}


@pytest.mark.slow
def test_a_run_on_one_machine_needs_no_ray_at_all(tmp_path):
    """Also where Ray is installed, nothing looks for it: here its import would fail."""
    program = (
        "import sys; sys.modules['ray'] = None; sys.path.insert(0, sys.argv[1]); from pathlib import Path\n"
        "from toys import small; from rise.method.iterate import run; run(small(), Path(sys.argv[2]))\n"
        "sys.exit([name for name in sys.modules if name.startswith('rise.cluster.')] or 0)"
    )
    command = [sys.executable, "-c", program, str(Path(__file__).parents[1] / "support"), str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "run" / "round-1" / "metrics.json").exists()


@pytest.mark.parametrize(
    "statement",
    [
        "import rise",
        "import rise.cli.main",
        "import rise.method.iterate, rise.tasks, rise.policies, rise.training, rise.evaluation.metrics",
        "from rise.tasks import make_task; make_task('arithmetic').problems('test', 3)",
    ],
)
def test_light_things_stay_light(statement):
    heavy = (
        "('torch', 'transformers', 'peft', 'accelerate', 'matplotlib', 'datasets', 'ray', 'pandas', "
        "'fastapi', 'uvicorn', 'prometheus_client')"
    )
    check = f"import sys; {statement}; sys.exit([m for m in {heavy} if m in sys.modules] or 0)"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


NOUNS = {"Problem", "Turn", "Verdict", "Trajectory", "Relabelled", "Example", "Message", "Sampling", "RiseError", "RunConfig"}


def test_every_public_name_is_the_object_of_the_module_that_defines_it():
    assert rise._HOME.keys() >= NOUNS
    for name, module in rise._HOME.items():
        assert getattr(rise, name) is vars(importlib.import_module(module))[name], name


def test_a_class_comes_from_its_own_module():
    """Not from one that merely imports it: a move would leave the name behind."""
    moved = {
        name for name in rise._HOME if isinstance(getattr(rise, name), type) and vars(rise)[name].__module__ != rise._HOME[name]
    }
    assert moved == set()


def test_type_checkers_read_the_same_names_from_the_same_modules():
    tree = ast.parse((ROOT / "__init__.py").read_text(encoding="utf-8"))
    [block] = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    assert {alias.asname or alias.name: node.module for node in imports for alias in node.names} == rise._HOME


def test_all_names_what_there_is_and_nothing_else():
    assert set(rise.__all__) == {"__version__", *rise._HOME}
    with pytest.raises(AttributeError, match="has no attribute 'Nonsense'"):
        rise.Nonsense  # noqa: B018


# --- what this suite does not run -------------------------------------------------------------------------------------

APART = sorted(
    path
    for folder in ("tests/ray", "tests/clients", "tests/support", "benchmarks", "recipes", "docs", "examples")
    for path in (ROOT.parent / folder).rglob("*.py")
)


@pytest.mark.parametrize("path", APART, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_programs_and_tests_that_run_apart_import_what_there_is(path):
    """Benchmarks, and tests of real clusters and clients: a module that moves must not leave them behind unseen."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "rise":
            module = importlib.import_module(node.module)
            for alias in node.names:
                if not hasattr(module, alias.name):
                    importlib.import_module(f"{node.module}.{alias.name}")
        elif isinstance(node, ast.Import):
            for name in (alias.name for alias in node.names if alias.name.split(".")[0] == "rise"):
                importlib.import_module(name)
