"""The commands of the guides are run, or at least checked with --dry-run, where a reader would start them."""

import json
import shlex

import pytest
from documents import BLOCK, GUIDES, ROOT, blocks, name_of, one_block, own_things
from typer.testing import CliRunner

from rise.cli.main import app
from rise.trajectory import Trajectory, Turn, Verdict

FEEDBACK = ROOT / "docs/guides/feedback.md"


@pytest.fixture
def outside(tmp_path, monkeypatch):
    """A reader's directory: the recipes, problems, a model and the feedback function of a guide."""
    (tmp_path / "recipes").symlink_to(ROOT / "recipes")
    own_things(tmp_path)
    (tmp_path / "my_feedback.py").write_text(one_block(FEEDBACK, "run in tests: feedback"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def commands(text):
    """The `rise …` command lines of a block, joined where a backslash ends a line; exports are left out."""
    lines = text.replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=False)[1:] for line in lines if line.startswith("rise ")]


def said(words):
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done


@pytest.mark.parametrize("guide", GUIDES, ids=name_of)
def test_every_block_says_how_it_is_tested(guide):
    marks = ("run in tests: ", "not run in tests: ", "dry run in tests", "printed by: ")
    for found in BLOCK.finditer(guide.read_text()):
        if found["language"] in ("sh", "python"):
            assert (found["mark"] or "").startswith(marks), found["text"][:60]


@pytest.mark.parametrize("guide", [page for page in GUIDES if blocks(page, "dry run in tests")], ids=name_of)
def test_runs_that_a_guide_describes_pass_every_check(guide, outside):
    for text in blocks(guide, "dry run in tests"):
        assert commands(text), text
        for words in commands(text):
            assert "would run in" in said([*words, "--dry-run"]).stderr


def test_the_feedback_function_says_what_the_guide_says(outside):
    scope = {}
    exec((outside / "my_feedback.py").read_text(), scope)
    attempt = Turn("def double(x) return 2 * x", Verdict.WRONG)
    told = scope["says"](None, Trajectory("p", "Double x.", "", (attempt,)), Verdict.WRONG)
    assert told + "\n" == one_block(FEEDBACK, "printed by: feedback")
    mended = Turn("def double(x): return 2 * x", Verdict.WRONG)
    assert scope["says"](None, Trajectory("p", "Double x.", "", (attempt, mended)), None).startswith("It compiles.")


def test_a_model_is_evaluated_as_it_is(outside, one_thread):
    [words] = commands(one_block(ROOT / "docs/guides/evaluate.md", "run in tests: evaluate"))
    said(words)


def test_the_judge_reads_what_the_guide_says_it_reads(outside):
    guide = ROOT / "docs/guides/no-answer.md"
    printed = one_block(guide, "printed by: no-answer")
    rows = [{key: row[key] for key in ("gold", "reply")} for row in map(json.loads, printed.splitlines())]
    (outside / "replies.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    [words] = commands(one_block(guide, "run in tests: no-answer"))
    assert said(words).output == printed
