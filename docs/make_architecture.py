"""Write docs/architecture.md from the tree itself: `make docs`. A test compares the two."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

from where import GOAL_CHANGES, GOAL_FILES, Tree, located, markdown  # noqa: E402

PACKAGES = {
    "recipe": "what is asked for: settings, wordings, which problems",
    "tasks": "where problems come from, a task a file",
    "judges": "whether a reply is right, a judge a file",
    "policies": "who replies: transformers here, vLLM, an HTTP server, a script",
    "play": "turns: the state a model is shown, replies drawn and judged, the ledger they are kept in",
    "dataset": "examples: which replies train, and with what weight",
    "training": "weighted fine-tuning of one model",
    "evaluation": "held-out measurement: metrics, votes, intervals, comparisons",
    "method": "RISE itself: boost, then rollout → relabel → examples → train → evaluate, round after round; experiments",
    "runs": "one run: its directory, its stages, what is checked before work",
    "report": "run directories → report.html, report.md, figures",
    "view": "run directories → pages that follow a run and open each record",
    "serve": "a trained policy behind the chat completions API",
    "cluster": "the same work on a Ray cluster",
    "cli": "the command `rise`, a file a command",
}
"""Package → what is in it, in the order in which data flows."""

NOUNS = {
    "task": "problems by split, with gold answers",
    "policy": "anything that replies",
    "judge": "anything that decides whether a reply is right",
    "trajectory": "messages, turns, verdicts, and their JSON form",
    "errors": "every error that a person can put right",
    "jsonl": "files that are complete when they exist",
}
"""Module at the root → what it is."""

READING = {
    "Words": ("what a stage takes and gives", ["task.py", "policy.py", "judge.py", "trajectory.py"]),
    "Method": (
        "the loop, and each part of a round in turn",
        [
            f"method/{name}.py"
            for name in ("iterate", "rollout", "relabel", "choose", "examples", "train", "evaluate", "boost", "internalise")
        ],
    ),
    "Weights": (
        "which replies train and how strongly: the equations",
        [f"dataset/{name}.py" for name in ("keep", "weigh", "build", "example")],
    ),
    "Turns": ("what a model is shown, and its replies", [f"play/{name}.py" for name in ("prompt", "player", "ledger", "reward")]),
    "Training": ("rows, loss, trainer", [f"training/{name}.py" for name in ("finetune", "rows", "loss", "trainer")]),
    "Measures": (
        "metrics and their intervals",
        [f"evaluation/{name}.py" for name in ("evaluate", "metrics", "vote", "uncertainty")],
    ),
}
"""Part of the core → (what is in it, its files): what to read first."""

PAGE = """# Architecture

Written by `make docs` from the tree itself; edit `docs/make_architecture.py` and `benchmarks/where.py`, not this page.

```text
task → rollout → trajectory → judge → relabel → keep, weigh → dataset → train → evaluate → report → serve
       └──────────────── rise/method/iterate.py does this round after round ────────────────┘
```

Stages take records and return records. A record (`Problem`, `Turn`, `Trajectory`, `Relabelled`, `Example`) is frozen plain data
with a sentence under each field, and each stage writes its records as one JSON-lines file of the run directory
([run-directory.md](run-directory.md)). torch is imported for training and for `local:` policies alone, Ray for a cluster alone.
`report`, `view` and `serve` read what stages wrote; the command line imports them, the Python API the report, the viewer the
report and what both servers share.

## The tree

{tree}
## Reading order

[examples/one_page.py](../examples/one_page.py) is the method in {one_page} lines, without this package. Then, in this order:

{reading}
## Who imports whom

An arrow goes from a package to one that it imports. Where other arrows lead from one package to another, the direct one is left
out: `cli` imports every package. There is no circle; `tests/project/test_imports.py` holds the order.

{figure}
## Where to change what

For each change, the files to touch. They are found in the tree by `python benchmarks/where.py`: the file that holds a table of
names, and every other file that would list the names again. {few} of {n} changes touch at most {most} files; the goal is {goal}.

{table}"""


def page() -> str:
    """The whole page."""
    found = located(Tree.read(ROOT / "rise"))
    few = sum(not missing and len(files) <= GOAL_FILES for _, files, missing in found)
    return PAGE.format(
        tree=tree_lines(),
        one_page=n_lines("examples/one_page.py"),
        reading=reading_lines(),
        figure=figure(),
        table=markdown(found),
        few=few,
        n=len(found),
        most=GOAL_FILES,
        goal=GOAL_CHANGES,
    )


def tree_lines() -> str:
    """Packages in order of flow, with their modules; then the modules at the root."""
    lines = ["| | | modules |", "| --- | --- | --- |"]
    for name, about in PACKAGES.items():
        folder = ROOT / "rise" / name
        found = [path.relative_to(folder).with_suffix("") for path in folder.rglob("*.py") if path.stem != "__init__"]
        modules = sorted((path.as_posix() for path in found), key=lambda path: ("/" in path, path))
        lines.append(f"| `rise/{name}/` | {about} | {', '.join(modules)} |")
    lines += [f"| `rise/{name}.py` | {about} | |" for name, about in NOUNS.items()]
    return "\n".join(lines) + "\n"


def reading_lines() -> str:
    """The files of `READING`, each with its lines."""
    lines = ["| | files (lines) | |", "| --- | --- | --- |"]
    total = 0
    for name, (about, files) in READING.items():
        sizes = {file: n_lines(f"rise/{file}") for file in files}
        total += sum(sizes.values())
        lines.append(f"| {name} | {', '.join(f'`{file}` ({n})' for file, n in sizes.items())} | {about} |")
    whole = sum(n_lines(str(path.relative_to(ROOT))) for path in (ROOT / "rise").rglob("*.py"))
    rest = "tasks, judges, policies, statistics, checks before work, pages, servers and commands"
    return "\n".join(lines) + f"\n\nThat is {round(total, -2):,} of {round(whole, -2):,} lines. The others are {rest}.\n"


def n_lines(path: str) -> int:
    return len((ROOT / path).read_text(encoding="utf-8").splitlines())


def imports() -> dict[str, set[str]]:
    """Package → packages it imports, anywhere in its files."""
    found: dict[str, set[str]] = {name: set() for name in PACKAGES}
    for name in PACKAGES:
        for path in (ROOT / "rise" / name).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                modules = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
                if isinstance(node, ast.ImportFrom):
                    modules = [f"rise.{m}" for m in modules] if node.module == "rise" else [node.module or ""]
                found[name] |= {m.split(".")[1] for m in modules if m.startswith("rise.")} & PACKAGES.keys() - {name}
    return found


def arrows(graph: dict[str, set[str]]) -> list[tuple[str, str]]:
    """The transitive reduction: arrows without which some package would no longer be reached. The graph has no circle.

    >>> arrows({"a": {"b", "c"}, "b": {"c"}, "c": set()})
    [('a', 'b'), ('b', 'c')]
    """

    def reached(name: str) -> set[str]:
        return graph[name].union(*(reached(other) for other in graph[name]))

    kept = []
    for name, others in graph.items():
        kept += [(name, other) for other in others if not any(other in reached(between) for between in others - {other})]
    return sorted(kept)


def figure() -> str:
    lines = [f"    {a} --> {b}" for a, b in arrows(imports())]
    return "\n".join(["```mermaid", "flowchart TD", *lines, "```"]) + "\n"


if __name__ == "__main__":
    Path(__file__).with_name("architecture.md").write_text(page(), encoding="utf-8")
