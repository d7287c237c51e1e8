"""Which files must be touched for 27 plausible changes? Facts read off the tree, not claims. Prints a table, or JSON.

    python benchmarks/where.py [--json] [--tree rise]

Each change names the facts it rests on, and each fact finds its files by itself:
- a *table* (a module-level dict, tuple or Literal such as `KEEP_RULES`): the file that defines it, and every further file that
  lists three of its entries in one literal, or compares with three of them in one function. Such a file is a second list.
- a *place*: the file that defines a class, function or constant by this name.
- a *pattern*: every file whose code (comments and docstrings aside) matches it, such as prices read in many modules.
- a *new file*, which counts as one; and what is *given*: a seam that has to exist, and is not touched.
A second list of the same fact, anywhere in Python, JavaScript or HTML, therefore shows up as one more file. tests/project/
test_architecture.py holds the result to at most 3 files in 24 of the 27, and docs/architecture.md shows it.
"""

from __future__ import annotations

import argparse
import ast
import io
import json
import re
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path

GOAL_FILES, GOAL_CHANGES = 3, 24
WINDOW_LINES = 10
"""In JavaScript and HTML, entries this close together count as one list."""


class Missing(Exception):
    """A symbol of a change is nowhere in the tree: the change's facts have to be written anew."""


@dataclass
class Source:
    """One file of the tree."""

    name: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @property
    def python(self) -> bool:
        return self.name.endswith(".py")

    @cached_property
    def code(self) -> str:
        """The text; of Python without comments and docstrings."""
        if not self.python:
            return self.text
        lines = self.text.splitlines()
        for token in tokenize.generate_tokens(io.StringIO(self.text).readline):
            if token.type == tokenize.COMMENT:
                row, column = token.start
                lines[row - 1] = lines[row - 1][:column]
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
                for row in range(node.lineno, (node.end_lineno or node.lineno) + 1):
                    lines[row - 1] = ""
        return "\n".join(lines)

    @cached_property
    def definitions(self) -> list[tuple[str, ast.AST]]:
        """(name, node) of every class, function, constant, and `Class.method`."""
        return list(self._definitions())

    def _definitions(self) -> Iterator[tuple[str, ast.AST]]:
        for node in self.tree.body:
            yield from _named(node)
            if isinstance(node, ast.ClassDef):
                for inner in node.body:
                    for name, found in _named(inner):
                        yield f"{node.name}.{name}", found

    def lists(self, entries: set[str], least: int) -> bool:
        """Whether the file holds a list of its own of at least `least` of these entries."""
        return any(len(entries & strings) >= least for strings in self.listed)

    @cached_property
    def listed(self) -> list[set[str]]:
        """The strings of whatever may be a list of names."""
        if self.python:
            return [strings for group in _groups(self.tree) if (strings := _strings(group))]
        lines = [set(re.findall(r"""["'`]([^"'`\n]+)["'`]""", line)) for line in self.text.splitlines()]
        return [set().union(*lines[start : start + WINDOW_LINES]) for start in range(max(1, len(lines)))]

    @cached_property
    def names(self) -> set[str]:
        """Every name that a field may go by, anywhere in the file."""
        return {name for node in ast.walk(self.tree) for name in _names_of(node)}


def _named(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name, node
    elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        yield node.target.id, node
    elif isinstance(node, ast.Assign):
        yield from ((target.id, node) for target in node.targets if isinstance(target, ast.Name))


def _groups(tree: ast.AST) -> Iterator[list[ast.AST]]:
    """What may be a list of names: the entries of one literal, or all comparisons of one function."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Tuple | ast.List | ast.Set):
            yield list(node.elts)
        elif isinstance(node, ast.Dict):
            yield [key for key in node.keys if key is not None]
            yield list(node.values)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            compared = [part for part in ast.walk(node) if isinstance(part, ast.Compare | ast.MatchValue)]
            yield [side for part in compared for side in ast.walk(part) if isinstance(side, ast.Constant)]


def _strings(nodes: Iterable[ast.AST]) -> set[str]:
    """The strings among these nodes, or first among the arguments of a call; f-strings with {} for what is filled in."""
    found = set()
    for node in nodes:
        if isinstance(node, ast.Call) and node.args:
            node = node.args[0]
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(re.sub(r"\{\w*\}", "{}", node.value))
        elif isinstance(node, ast.JoinedStr):
            parts = (str(p.value) if isinstance(p, ast.Constant) else "{}" for p in node.values)
            found.add("".join(parts))
    return found


@dataclass
class Tree:
    """All files of the package that a change may touch."""

    root: Path
    files: list[Source] = field(default_factory=list)

    @classmethod
    @cache
    def read(cls, root: Path) -> Tree:
        paths = sorted(p for ending in ("py", "js", "html", "jinja") for p in root.rglob(f"*.{ending}"))
        return cls(root, [Source(p.relative_to(root.parent).as_posix(), p.read_text(encoding="utf-8")) for p in paths])

    def within(self, folder: str) -> list[Source]:
        return [file for file in self.files if file.name.startswith(folder)]

    def defining(self, symbol: str, folder: str = "") -> list[tuple[str, ast.AST]]:
        """(file, node) for each definition of a symbol. Raises `Missing` where there is none."""
        found = [
            (file.name, node) for file in self.within(folder) if file.python for name, node in file.definitions if name == symbol
        ]
        if not found:
            raise Missing(f"{symbol} is defined nowhere in {folder or self.root.name + '/'}")
        return found


@dataclass(frozen=True)
class New:
    """A file that the change adds."""

    name: str

    def files(self, tree: Tree) -> set[str]:
        folder = self.name.rpartition("/")[0]
        if not tree.within(folder + "/"):
            raise Missing(f"there is no folder {folder}/")
        return {f"{self.name} (new)"}


@dataclass(frozen=True)
class Place:
    """The file in which a symbol is defined."""

    symbol: str
    folder: str = ""

    def files(self, tree: Tree) -> set[str]:
        return {name for name, _ in tree.defining(self.symbol, self.folder)}


@dataclass(frozen=True)
class Table:
    """A table of names: its home, and every file that lists the names again."""

    symbol: str
    folder: str = ""
    least: int = 3

    def files(self, tree: Tree) -> set[str]:
        [(home, node), *others] = tree.defining(self.symbol, self.folder)
        entries = _strings(next(iter(_groups(getattr(node, "value", node))), []))
        least = min(self.least, len(entries))
        # The package's list of public names holds functions that are called like parts: names, not a second list of them.
        others_in = (file for file in tree.files if file.name not in (home, "rise/__init__.py"))
        again = {file.name for file in others_in if file.lists(entries, least)}
        return {home, *(name for name, _ in others), *again}


@dataclass(frozen=True)
class Fields:
    """The fields of a settings record: its home, and every function or class elsewhere that names several of them."""

    symbol: str
    least: int = 4

    def files(self, tree: Tree) -> set[str]:
        [(home, node), *_] = tree.defining(self.symbol)
        assert isinstance(node, ast.ClassDef)
        names = {a.target.id for a in node.body if isinstance(a, ast.AnnAssign) and isinstance(a.target, ast.Name)}
        return {home} | {file.name for file in tree.files if file.python and self._named_in(file, names)}

    def _named_in(self, file: Source, names: set[str]) -> bool:
        if len(file.names & names) < self.least:
            return False
        for node in ast.walk(file.tree):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Dict):
                continue
            if len({name for part in ast.walk(node) for name in _names_of(part)} & names) >= self.least:
                return True
        return False


def _names_of(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.keyword) and node.arg:
        yield node.arg
    elif isinstance(node, ast.Attribute):
        yield node.attr
    elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        yield node.target.id


@dataclass(frozen=True)
class Pattern:
    """Every file whose code matches, of those in certain folders."""

    regex: str
    folders: tuple[str, ...] = ("rise/",)
    endings: tuple[str, ...] = (".py", ".js", ".html")

    def files(self, tree: Tree) -> set[str]:
        matching = (f for f in tree.files if f.name.startswith(self.folders) and f.name.endswith(self.endings))
        return {file.name for file in matching if re.search(self.regex, file.code)}


@dataclass(frozen=True)
class Given:
    """A symbol that makes the change possible as it stands: nothing of it is touched. Without it the facts do not hold."""

    symbol: str

    def files(self, tree: Tree) -> set[str]:
        tree.defining(self.symbol)
        return set()


Fact = New | Place | Table | Fields | Pattern | Given


@dataclass(frozen=True)
class Change:
    """Something that somebody may want to add or alter."""

    number: int
    title: str
    facts: tuple[Fact, ...]

    def files(self, tree: Tree) -> list[str]:
        """Files to touch, in order of their names. Raises `Missing`."""
        return sorted(set().union(*(fact.files(tree) for fact in self.facts)))


WORKING = ("run", "stages", "evaluate", "temperature", "compare", "serve")
"""Commands that begin work which can be refused."""

CHANGES = [
    Change(1, "feedback mode (fixed words)", (Table("FEEDBACK"),)),
    Change(2, "keep rule", (Table("KEEP_RULES"),)),
    Change(3, "weigh rule", (Table("WEIGH_RULES", least=2),)),
    Change(4, "task", (New("rise/tasks/NAME.py"), Table("KINDS", "rise/tasks/"))),
    Change(5, "judge by name", (New("rise/judges/NAME.py"), Table("KINDS", "rise/judges/"))),
    Change(
        6, "reward with partial credit", (New("rise/judges/NAME.py"), Table("KINDS", "rise/judges/"), Given("Judgement.score"))
    ),
    Change(7, "loss of reinforcement learning", (Table("LOSSES", least=2),)),
    Change(8, "headline metric", (Table("HEADLINE"),)),
    Change(
        9,
        "figure or table in the report",
        (
            Place("transitions_figure"),
            Pattern(r"\b(transitions|controls|votes)_figure\(", ("rise/report/",)),
            Pattern(r"""\b(svg|figures)(\.|\[")(transitions|controls|votes)\b""", ("rise/report/",), (".html",)),
        ),
    ),
    Change(
        10,
        "kind of policy",
        (
            New("rise/policies/NAME.py"),
            Table("KINDS", "rise/policies/"),
            Pattern(r"""(removeprefix|startswith)\(\(?["'](local|vllm|scripted|https?):"""),
        ),
    ),
    Change(11, "chat format", (New("rise/play/formats/NAME.jinja"), Table("FORMATS"))),
    Change(12, "tie-break of the served vote", (Place("winner", "rise/serve/"),)),
    Change(13, "further rule of the vote", (Table("RULES", "rise/serve/"),)),
    Change(
        14,
        "column in the viewer's list",
        (Place("Row", "rise/view/"), Place("read_row"), Pattern(r"\brow\[\d\]|at\[\d\]", ("rise/view/",))),
    ),
    Change(
        15,
        "tracker of a run (accuracy of each round)",
        (New("rise/runs/NAME.py"), Place("run", "rise/cli/"), Given("Progress.stage_done")),
    ),
    Change(16, "option of a command", (Place("evaluate", "rise/cli/"),)),
    Change(17, "what the ledger files a reply under", (Place("request_key"), Place("group_key"))),
    Change(18, "price of judging and evaluating", (Pattern(r"\bprice_(prompt|reply)\b|\bBudget\(|\bpaid\("),)),
    Change(19, "optimiser", (Place("make_optimizer"), Place("TrainConfig"), Pattern(r"\boptimizer *[=!]= *[\"']"))),
    Change(20, "field of [state]", (Fields("StateConfig", least=5),)),
    Change(
        21,
        "check before work",
        (
            Place("preflight"),
            # Commands and stages that choose checks by themselves.
            Pattern(
                r"(?<!def )(?<![.\w])_?check_(?!choice)\w+\(",
                ("rise/method/", *(f"rise/cli/{name}." for name in WORKING)),
            ),
        ),
    ),
    Change(22, "part of a round", (New("rise/method/NAME.py"), Table("PARTS"), Place("run", "rise/method/"))),
    Change(23, "stage before the rounds", (New("rise/method/NAME.py"), Table("BEFORE_ROUNDS"), Place("run", "rise/method/"))),
    Change(24, "improver", (Table("IMPROVERS"), Place("relabel", "rise/method/"))),
    Change(25, "kind of LoRA", (Place("LoraConfig"), Place("add_adapters"))),
    Change(26, "export format", (Table("ROWS", "rise/dataset/"),)),
    Change(
        27,
        "digits printed",
        (
            Place("percent", "rise/evaluation/"),
            Pattern(r"1000? \* .*(:[+ ]?\.\d[f%]\}|\.toFixed\()"),  # a share turned into percent by hand
        ),
    ),
]


def located(tree: Tree) -> list[tuple[Change, list[str], str]]:
    """(change, files to touch, what is missing) for each change."""
    found: list[tuple[Change, list[str], str]] = []
    for change in CHANGES:
        try:
            found.append((change, change.files(tree), ""))
        except Missing as missing:
            found.append((change, [], str(missing)))
    return found


def markdown(found: Iterable[tuple[Change, list[str], str]]) -> str:
    """What `located` found as the table of docs/architecture.md."""
    lines = ["| | To add or alter … | touch |", "| --- | --- | --- |"]
    for change, files, missing in found:
        shown = "<br>".join(f"`{name}`" if "(new)" not in name else f"`{name.removesuffix(' (new)')}` (new)" for name in files)
        lines.append(f"| {change.number} | {change.title} | {shown or missing} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tree", type=Path, default=Path(__file__).parents[1] / "rise", help="Package to read.")
    parser.add_argument("--json", action="store_true", help="Print JSON instead of a table.")
    asked = parser.parse_args()
    found = located(Tree.read(asked.tree.resolve()))
    few = sum(not missing and len(files) <= GOAL_FILES for _, files, missing in found)
    if asked.json:
        rows = [{"number": c.number, "change": c.title, "files": files, "missing": missing} for c, files, missing in found]
        print(json.dumps({"at_most_3_files": few, "of": len(found), "goal": GOAL_CHANGES, "changes": rows}, indent=1))
        return
    for change, files, missing in found:
        print(f"{change.number:>2}  {change.title:<42} {'?' if missing else len(files)}  {missing or ', '.join(files)}")
    print(f"at most {GOAL_FILES} files: {few} of {len(found)} changes (goal {GOAL_CHANGES})")


if __name__ == "__main__":
    main()
