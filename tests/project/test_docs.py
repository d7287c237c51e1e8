"""What the pages say is so: their commands run, their links lead somewhere, their settings exist."""

import json
import re
import shlex
import subprocess
import sys

import pytest
import yaml
from documents import BLOCK, PAGES, ROOT, at_test_size, blocks, name_of, one_block, own_things
from pydantic import BaseModel
from typer.testing import CliRunner

import rise
from rise.cli.main import app
from rise.recipe.config import RunConfig

README = ROOT / "README.md"
PYTHON = ROOT / "docs/python.md"


@pytest.fixture
def outside(tmp_path, monkeypatch):
    """A directory as a reader has it: nothing of ours."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_your_own_problems_and_model_end_in_a_report(outside, one_thread):
    own_things(outside)
    first, *others = one_block(README, "run in tests: own").strip().splitlines()
    for line in (f"{first} --scale toy", *others):
        program, *words = shlex.split(line, comments=True)
        assert program == "rise"
        done = CliRunner().invoke(app, words, catch_exceptions=False, input="What is 1 + 4?\n")
        assert done.exit_code == 0, done.output
    assert (outside / "runs/own/report.html").stat().st_size > 10_000
    from transformers import AutoModelForCausalLM, AutoTokenizer

    checkpoint = outside / "runs/own/round-2/checkpoint"
    AutoModelForCausalLM.from_pretrained(checkpoint)
    assert AutoTokenizer.from_pretrained(checkpoint).chat_template


def test_the_python_page_prints_what_it_says(outside):
    done = subprocess.run(
        [sys.executable, "-c", one_block(PYTHON, "run in tests: python")],
        capture_output=True,
        text=True,
        cwd=outside,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == one_block(PYTHON, "printed by: python")


@pytest.mark.skipif(not hasattr(rise, "rollout"), reason="rise.rollout is not there yet")
@pytest.mark.slow
def test_the_ten_lines_of_the_readme_run(outside, one_thread):
    own_things(outside)
    program = at_test_size(one_block(README, "run in tests: api"))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=outside, timeout=600)
    assert done.returncode == 0, done.stderr


def test_the_readme_is_one_screen():
    text = README.read_text()
    assert len(text.splitlines()) <= 110
    assert len(re.sub(r"```.*?```", "", text, flags=re.DOTALL).split()) <= 900
    assert "make run" in text and "make test" in text


@pytest.mark.parametrize("page", sorted((ROOT / "docs").rglob("*.md")), ids=name_of)
def test_lines_of_prose_can_be_read_in_a_diff(page):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    lines = [line for line in text.splitlines() if not line.startswith(("|", "![")) and page.name != "cli.md"]
    assert [line for line in lines if len(re.sub(r"\]\([^)]*\)", "]", line)) > 150] == []


def test_the_results_are_those_of_the_log():
    log, results = ((ROOT / "docs" / name).read_text().replace("-", "−") for name in ("log.md", "results.md"))
    numbers = set(re.findall(r"[+−]?\.\d{3}", results))
    assert len(numbers) > 100
    assert {number for number in numbers if number not in log} == set()


def test_the_table_of_the_readme_is_the_one_of_the_claims():
    """Each row's interval over seeds and verdict stand in one line of that claim's section, or of the page's own table."""
    claims = (ROOT / "docs/claims.md").read_text()
    table, *sections = re.split(r"^## ", claims, flags=re.MULTILINE)
    rows = re.findall(r"^\| (\d+): .* \| (.+ to .+) \| (.+) \|$", README.read_text(), flags=re.MULTILINE)
    assert len(rows) == 8
    for number, interval, verdict in rows:
        [section] = [text for text in sections if text.startswith(f"{number}. ")]
        lines = [*section.splitlines(), *(line for line in table.splitlines() if line.startswith(f"| {number}. "))]
        assert any(f"[seeds {interval} problems" in line and verdict in line for line in lines), (number, interval)
    counted = re.search(r"\*\*Of 14 claims (.+?)\*\*", table)[1]
    assert f"**{counted}**" in README.read_text()


def test_the_run_that_the_readme_tells_of_is_in_the_results():
    """Per cent there, shares here: `63.1 %` is .631, `+45.2 … +51.6` is +.452 … +.516."""
    [told] = re.findall(r"`make run` is seed 0:.*?over turns\)", README.read_text(), flags=re.DOTALL)
    results = (ROOT / "docs/results.md").read_text()
    base, trained = (
        next(line for line in results.splitlines() if line.startswith(f"| 0, {name} |")) for name in ("base", "round 2")
    )
    before, at_last, first, last = (f".{round(float(value) * 10):03d}" for value in re.findall(r"(\d+\.\d) %", told))
    assert before in base and at_last in base and first in trained and last in trained
    assert "+.452 … +.516" in trained and "+45.2 … +51.6" in told


def test_the_judge_of_your_own_decides(outside):
    page = ROOT / "docs/own-judge.md"
    [program], [command] = blocks(page, "run in tests: own-judge"), blocks(page, "run in tests: own-judge-command")
    (outside / "my_judge.py").write_text(program)
    rows = [
        {"gold": "dark red", "reply": "Answer: Dark red"},
        {"gold": "red", "reply": "Answer: blue"},
        {"gold": "red", "reply": "red"},
    ]
    (outside / "replies.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = CliRunner().invoke(app, shlex.split(command)[1:], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert [json.loads(line)["verdict"] for line in done.output.splitlines()] == ["right", "wrong", "unparsable"]


def test_the_function_that_judges_decides(outside):
    (outside / "right.py").write_text(one_block(ROOT / "docs/own-judge.md", "run in tests: own-function"))
    (outside / "replies.jsonl").write_text('{"gold": "fig pear", "reply": "Pear fig"}\n{"gold": "fig", "reply": "pear"}\n')
    done = CliRunner().invoke(app, ["judge", "replies.jsonl", "--task", "jsonl", "--set", "judge=right.py:right"])
    assert [json.loads(line)["verdict"] for line in done.output.splitlines()] == ["right", "wrong"]


def test_every_command_and_program_on_a_page_is_run_or_says_why_not():
    for page in PAGES:
        for found in BLOCK.finditer(page.read_text()):
            if found["language"] in ("sh", "bash", "python", "console"):
                if page.name in ("README.md", "CONTRIBUTING.md"):
                    assert re.match(r"(not )?run in tests: ", found["mark"] or ""), f"{page.name}: {found['text'][:60]}"
                if found["language"] == "python":
                    compile(found["text"], str(page), "exec")


def test_make_targets_named_on_pages_exist():
    targets = set(re.findall(r"^([\w./-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        for target in re.findall(r"(?:^|`)make ([a-z][\w/-]*)", page.read_text(), re.MULTILINE):
            assert target in targets, f"{page.name}: make {target}"


def test_the_command_line_page_is_the_programs_own_help():
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        from make_cli import cli_page
    finally:
        sys.path.pop(0)
    assert (ROOT / "docs/cli.md").read_text() == cli_page(), "run `make docs`"


def test_modules_that_the_changelog_moves_are_where_it_says():
    moved = (ROOT / "CHANGELOG.md").read_text().split("| 0.1.0 | now |")[1].split("\n## ")[0]
    now = [name for line in moved.splitlines()[2:] if line for name in re.findall(r"`([\w.]+)`", line.split("|")[2])]
    assert len(now) > 40
    for name in now:
        path = ROOT / name.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__init__.py").exists(), name


def anchors(page):
    """How GitHub names the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path) if path else page
        assert target.exists(), f"{page.name}: {link}"
        if anchor:
            assert anchor in anchors(target), f"{page.name}: {link}"


def is_setting(name):
    """Whether a dotted name leads through the settings records to a field."""
    model = RunConfig
    for part in name.split("."):
        if model is None:
            return True  # inside a free table, such as task.settings
        if part not in model.model_fields:
            return False
        annotation = model.model_fields[part].annotation
        options = [annotation, *getattr(annotation, "__args__", ())]
        model = next((o for o in options if isinstance(o, type) and issubclass(o, BaseModel)), None)
    return True


def named_settings(text):
    sections = "|".join(name for name, field in RunConfig.model_fields.items() if hasattr(field.annotation, "model_fields"))
    for name in re.findall(rf"`(?:--set )?((?:{sections})(?:\.\w+)+)", text):
        if name.rsplit(".", 1)[1] not in ("py", "md", "toml", "json", "jsonl", "csv", "html"):
            yield name


# The log records commands as they were run, with settings as they were called then.
@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "log.md"], ids=name_of)
def test_settings_named_on_pages_exist(page):
    for name in named_settings(page.read_text()):
        assert is_setting(name), f"{page.name}: {name}"


def test_a_setting_that_does_not_exist_would_be_found():
    assert list(named_settings("`weigh.tau` and `relabel.py`, `--set weigh.clip=3`")) == ["weigh.tau", "weigh.clip"]
    assert is_setting("weigh.clip") and is_setting("task.settings.path") and is_setting("boost.train.epochs")
    assert not is_setting("weigh.tau") and not is_setting("boost.train.epoch")


def same_value(text, value):
    if value is None or isinstance(value, bool):
        return text == {None: "none", True: "true", False: "false"}[value]
    return text == value if isinstance(value, str) else float(text) == value


def test_defaults_in_the_table_of_settings_are_the_defaults():
    """docs/method.md, column "here", against rise/recipe/config.py."""
    section = (ROOT / "docs/method.md").read_text().split("## Settings, theirs and ours")[1].split("\n## ")[0]
    config = RunConfig(model={"path": "x"}).model_dump()
    checked = 0
    for line in section.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        names = re.findall(r"`([a-z_]+\.[a-z_]+)`", cells[0])
        if not names:
            continue
        values = [value.strip().strip("`") for value in cells[2].split(", ")]
        for name, value in zip(names, values, strict=False):
            part, field = name.split(".")
            default = config[part][field]
            assert same_value(value.removesuffix(", that is k"), default), f"{name}: the page says {value}, we say {default}"
            checked += 1
    assert checked > 20


def test_the_citation_can_be_read_and_names_the_paper():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= set(cited)
    assert cited["version"] == rise.__version__
    paper = cited["preferred-citation"]
    assert [author["family-names"] for author in paper["authors"]] == ["Qu", "Zhang", "Garg", "Kumar"]
    assert "2407.18219" in paper["url"]


def test_pages_name_no_machine():
    for page in [*PAGES, ROOT / "Makefile", ROOT / "constraints.txt", *(ROOT / "recipes").glob("*")]:
        if page.is_file():
            assert not re.search(r"(?<![\w.])/(home|root|work|Users|opt|mnt)/", page.read_text()), page.name


def test_public_names():
    assert sorted(rise.__all__) == [
        "Attempts",
        "Evaluation",
        "Example",
        "HeldOut",
        "Judge",
        "Judgement",
        "Ledger",
        "Message",
        "Player",
        "Policy",
        "Problem",
        "Prompt",
        "Relabelled",
        "RiseError",
        "RunConfig",
        "RunDir",
        "Sampling",
        "Task",
        "Trajectory",
        "Turn",
        "Verdict",
        "__version__",
        "build_examples",
        "evaluate",
        "load",
        "load_policy",
        "load_recipe",
        "load_task",
        "make_policy",
        "make_task",
        "measure",
        "relabel",
        "rollout",
        "run",
        "train",
    ]


def test_a_public_name_is_never_also_a_module():
    """`from rise import rollout` would be the function or the module, depending on what was imported before."""
    modules = {path.stem for path in (ROOT / "rise").iterdir()}
    assert not modules & set(rise.__all__)


def test_importing_rise_imports_nothing_heavy():
    code = "import sys, rise; print([m for m in ('torch', 'transformers', 'pydantic', 'numpy') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
