"""The pages of the repository and the marked blocks in them; a reader's own problems and model."""

import json
import re
from pathlib import Path

from rise.recipe.machines import NanoConfig

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")] + sorted((ROOT / "docs").rglob("*.md"))
GUIDES = sorted((ROOT / "docs/guides").glob("*.md"))
BLOCK = re.compile(r"(?:<!-- (?P<mark>[^>]*) -->\n)?```(?P<language>\w+)\n(?P<text>.*?)```", re.DOTALL)


def blocks(page, mark):
    """The text of each block of `page` that `<!-- mark -->` stands before."""
    return [m["text"] for m in BLOCK.finditer(page.read_text()) if m["mark"] == mark]


def one_block(page, mark):
    [text] = blocks(page, mark)
    return text


def name_of(page):
    """A page's path in the repository, as a test's id."""
    return str(page.relative_to(ROOT))


def own_things(directory):
    """A model directory and problems of one's own: forty sums, and a Llama that never learned anything."""
    from rise.training.nano import make_nano

    alphabet = "\n" + "".join(map(chr, range(32, 127)))
    shape = NanoConfig(hidden=32, layers=1, heads=2, kv_heads=1, intermediate=64, max_length=2048)
    make_nano(shape, alphabet, 0, directory / "my-model")
    rows = [{"question": f"What is {i} + {i + 3}?", "gold": str(2 * i + 3), "source": "a test"} for i in range(40)]
    (directory / "problems.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def at_test_size(program):
    """The program of the README, with problems and a model of a test's size in place of those that a network would bring."""
    for theirs, ours in (
        ('"gsm8k"', '[{"question": f"{i} + 1?", "gold": str(i + 1)} for i in range(80)], judge="math"'),
        ('"Qwen/Qwen2.5-0.5B-Instruct"', '"my-model"'),
        ("n=200, turns=5", "n=4, turns=2"),
        ("n=200", "n=4"),
        ("n_samples=8", "n_samples=2"),
    ):
        assert theirs in program
        program = program.replace(theirs, ours)
    return program
