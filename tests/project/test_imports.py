"""The import ladder: stages point from later to earlier, torch has two doors, nothing but the command line reads reports."""

import ast
import subprocess
import sys
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
    {"cli"},
]
"""Each rung may import the rungs above it in this list; within a rung, only itself."""

TOLERATED = {
    ("policies", "train"),  # one function loads models for sampling and for training alike
}


def modules():
    for path in sorted(ROOT.rglob("*.py")):
        name = ".".join(path.relative_to(ROOT.parent).with_suffix("").parts)
        yield name.removesuffix(".__init__"), ast.parse(path.read_text(encoding="utf-8"))


def imported(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module or ""


def part(module):
    """`rise.training.trainer` → `train`."""
    return [*module.split("."), ""][1]


def edges():
    return {
        (part(name), part(target))
        for name, tree in modules()
        for target in imported(tree)
        if target.startswith("rise.") and part(target) != part(name) and part(name)
    }


def test_every_part_has_a_place_on_the_ladder():
    known = set().union(*LADDER)
    assert {part(name) for name, _ in modules()} - {""} <= known


def test_no_part_imports_one_that_comes_after_it():
    rung = {name: number for number, names in enumerate(LADDER) for name in names}
    wrong = {(a, b) for a, b in edges() if rung[b] >= rung[a]} - TOLERATED
    assert wrong == set()


@pytest.mark.parametrize(("reader", "by"), [("report", {"cli", "view"}), ("serve", {"cli"}), ("view", {"cli"})])
def test_only_the_command_line_imports_what_reads(reader, by):
    assert {a for a, b in edges() if b == reader} <= by  # the viewer's overview has the report's headline and titles


def test_torch_is_imported_by_training_and_local_policies_alone():
    doors = {part(name) for name, tree in modules() for target in imported(tree) if target.split(".")[0] == "torch"}
    assert doors <= {"training", "policies"}


def test_ray_is_imported_for_a_cluster_alone():
    doors = {part(name) for name, tree in modules() for target in imported(tree) if target.split(".")[0] == "ray"}
    assert doors == {"cluster"}


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


def test_the_nouns_come_from_the_package_itself():
    from rise.dataset.build import Example
    from rise.task import Problem
    from rise.trajectory import Trajectory, Turn, Verdict

    for noun in (Problem, Turn, Verdict, Trajectory, Example):
        assert getattr(rise, noun.__name__, noun) is noun
