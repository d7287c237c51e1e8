"""Opt-in, `make test-wheel`: the wheel with the packages that it asks for and no other, in an environment and a folder that know
nothing of this clone. Every command of README and docs/index.md that needs no clone is run there."""

import json
import os
import re
import shlex
import signal
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from documents import BLOCK, ROOT, at_test_size, one_block, own_things
from wheels import build, install_alone

README, INDEX = ROOT / "README.md", ROOT / "docs/index.md"
PROGRAMS = ("rise", "make", "pip", "uv", "pipx")


def in_prose(text):
    """Code spans of prose, also those that a line's end divides."""
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))]


def shown_by(page):
    """What a page shows to be typed: lines of its sh blocks, then commands and options in prose, each once."""
    text = page.read_text()
    in_blocks = [line for m in BLOCK.finditer(text) if m["language"] == "sh" for line in m["text"].splitlines()]
    lines = [" ".join(shlex.split(line, comments=True)) for line in in_blocks]
    spans = [span for span in in_prose(text) if span.startswith("--") or (" " in span and span.split()[0] in PROGRAMS)]
    return list(dict.fromkeys([*lines, *spans]))


def kind(command):
    program, *rest = command.split()
    return "installs" if program in ("pip", "uv", "pipx") else "demo" if rest == ["demo"] else program


COMMANDS = shown_by(README)
TYPED = [command for command in COMMANDS if kind(command) not in ("make", "installs", "demo")]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    return build(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def env(wheel, tmp_path_factory):
    """What the README's own `pip install` makes."""
    [extras] = re.findall(r"\.whl\[([\w,]+)\]", " ".join(COMMANDS))
    place = tmp_path_factory.mktemp("empty") / "env"
    assert install_alone(wheel, extras, place) == []
    return place


@pytest.fixture(scope="module")
def fuller(wheel, tmp_path_factory):
    """The same with the extras that the README names for Python."""
    extras = re.findall(r"`\[(\w+)\]`", README.read_text().split("## From Python")[1].split("\n## ")[0])
    place = tmp_path_factory.mktemp("fuller") / "env"
    assert extras and install_alone(wheel, ",".join(["train", "serve", *extras]), place) == []
    return place


@pytest.fixture
def outside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(env, outside):
    """A command line as a person types it, in an empty folder: what it printed. `fails` is the exit code that is expected."""
    return lambda words, **how: called(env, outside, words, **how)


@pytest.fixture(scope="module")
def readers(env, tmp_path_factory):
    """One folder in which a reader of the README types one command after the other, and what is typed there."""
    folder = tmp_path_factory.mktemp("reader")
    own_things(folder)
    return lambda words, **how: called(env, folder, words, **how)


def called(env, folder, words, *, fails=0, typed="", timeout=1200):
    program, *rest = shlex.split(words, comments=True)
    done = subprocess.run(
        [env / "bin" / program, *rest], capture_output=True, text=True, input=typed, timeout=timeout, env=clean(), cwd=folder
    )
    assert done.returncode == fails, f"{words}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout + done.stderr


def clean():
    """The environment without what would lead to this clone, offline."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "RISE_DATA", "VIRTUAL_ENV")}
    return {**kept, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "COLUMNS": "120"}


def test_it_is_the_wheel_and_not_the_clone(run, env):
    told = run("python -c 'import rise; from rise.recipe.shipped import home; print(rise.__file__, home())'")
    assert all(Path(path).is_relative_to(env.resolve()) or Path(path).is_relative_to(env) for path in told.split())
    assert re.fullmatch(r"rise \d+\.\d+\.\d+\n", run("rise --version"))
    assert run("rise -h") == run("rise --help")


def test_packages_that_were_not_asked_for_are_not_there(run):
    """Else a command that needs one would pass here, and fail for whoever installs the wheel."""
    assert "ModuleNotFoundError" in run("python -c 'import pytest'", fails=1)
    assert "ModuleNotFoundError" in run("python -c 'import pandas'", fails=1)


def test_a_missing_package_is_answered_with_this_very_wheel(run):
    told = run("""python -c 'from rise.errors import installing; print(installing("train"))'""")
    assert re.fullmatch(r"pip install 'rise-lm\[train\] @ file://\S+\.whl'\n", told)
    for code, extra in (("rise.load('x').turns()", "notebook"), ("rise.load_task('gsm8k').problems('test', 1)", "tasks")):
        program = f"import pathlib, rise; pathlib.Path('x').mkdir(exist_ok=True); pathlib.Path('x/config.toml').touch(); {code}"
        assert f"'rise-lm[{extra}] @ file://" in run(f'python -c "{program}"', fails=1)


@pytest.mark.parametrize("command", TYPED)
def test_a_command_of_the_readme_works(command, readers):
    """As it stands there; what trains does so at toy scale, which the README names too; the claims, hours, are only planned."""
    words = (
        f"rise run nano {command}{' --out runs/seeds' if '--seeds' in command else ''}" if command.startswith("--") else command
    )
    scaled = " --scale toy" if words.startswith("rise run") and "--scale" not in words else ""
    told = readers(words + (" --dry-run" if words == "rise claims" else scaled), typed="What is 1 + 4?\n")
    assert told.strip()
    if words.startswith("rise run"):
        assert "report.html" in told


def test_the_readme_shows_no_other_kind_of_command():
    """What is not typed above: making things in a clone, installing (the fixtures), and the demonstration (below)."""
    rest = [command for command in COMMANDS if command not in TYPED]
    assert {kind(command) for command in rest} == {"make", "installs", "demo"}
    assert [command for command in rest if kind(command) == "installs"] == [
        "pip install 'rise_lm-0.1.0-py3-none-any.whl[train,serve]'",
        "uv tool install",
        "pipx install",
    ]
    assert {command.split()[0] for command in TYPED} == {"rise", "--scale", "--seeds"} and len(TYPED) > 8


def test_the_readmes_program_runs(fuller, outside):
    own_things(outside)
    (outside / "program.py").write_text(at_test_size(one_block(README, "run in tests: api")))
    assert "right by turn, %" in called(fuller, outside, "python program.py")
    assert (outside / "round-1/config.json").exists() and (outside / "runs/nano-toy/round-2/metrics.json").exists()


def test_the_page_of_installing_does_what_it_says(run, env, outside):
    for line in one_block(INDEX, "run in tests: wheel").strip().splitlines():
        run(line)
    assert (outside / "runs/nano-toy/report.html").stat().st_size > 10_000
    assert (outside / "runs/mine-toy/report.html").exists()
    assert (outside / "looked-at.html").stat().st_size > 10_000
    assert "turn 5" in run("rise play runs/nano-toy", typed="17841?\n")
    assert "would send to the model me/nano" in run("rise push runs/nano-toy me/nano --dry-run")
    assert "needed first" not in run("rise run nano --dry-run")
    assert "mistralai" in run("rise run paper/mistral-7b-instruct --dry-run") and "fsdp2" in run("rise recipes show paper/common")
    run("rise recipes copy paper/mistral-7b-instruct copied")
    run("rise run copied/paper/mistral-7b-instruct.toml --scale fsdp2 --dry-run")

    assert "fit: nothing found" in run("rise validate mine/recipe.toml")
    assert "runs/nano-toy-rejudged/report.html" in run("rise rejudge runs/nano-toy --judge exact")
    assert run("python -m rise --version") == run("rise --version")
    told = answered(
        env, outside, "runs/nano-toy", {"model": "nano-toy-round-2", "messages": [{"role": "user", "content": "17841?"}]}
    )
    assert told["rise"]["n_turns"] == 5 and told["choices"][0]["message"]["content"]


def test_a_shell_completes_commands(env, outside):
    asked = clean() | {"_RISE_COMPLETE": "complete_bash", "COMP_WORDS": "rise re", "COMP_CWORD": "1"}
    done = subprocess.run([env / "bin/rise"], capture_output=True, text=True, env=asked, cwd=outside, timeout=300)
    assert done.stdout.split() == ["relabel", "report", "rejudge", "recipes"], done.stderr


@contextmanager
def under_way(env, folder, words, until):
    """What a command that does not end has printed up to a word; Ctrl-C ends it."""
    process = subprocess.Popen(
        [env / "bin/rise", *shlex.split(words)], stdout=subprocess.PIPE, text=True, env=clean(), cwd=folder
    )
    try:
        end, told = time.monotonic() + 300, ""
        while until not in told and time.monotonic() < end and process.poll() is None:
            told += process.stdout.readline()
        assert until in told, told
        yield told
        process.send_signal(signal.SIGINT)
        process.wait(300)
    finally:
        process.kill()
        process.communicate()


def answered(env, folder, policy, question):
    """What `rise serve` answers to a chat completion request."""
    with under_way(env, folder, f"serve {policy} --port 0", "Playground") as told:
        [base] = re.findall(r"http://\S+/v1", told)
        reply = httpx.post(f"{base}/chat/completions", json=question, timeout=300)
        assert reply.status_code == 200, reply.text
        return reply.json()


def test_the_demonstration_opens(env, outside):
    with under_way(env, outside, "demo --no-browser --dir demo", "Playground"):
        pass
    assert json.loads((outside / "demo/nano/round-2/metrics.json").read_text())["m1@t1"]["n"] == 1000
