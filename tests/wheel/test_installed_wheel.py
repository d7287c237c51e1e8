"""Opt-in, `make test-wheel`: the wheel in an empty environment outside the repository, which sees the packages of this one but
not its clone. Every command of README and docs/index.md that needs no clone is run there."""

import json
import os
import re
import shlex
import signal
import site
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pytest
from documents import ROOT, one_block, own_things
from wheels import build

README, INDEX = ROOT / "README.md", ROOT / "docs/index.md"


@pytest.fixture(scope="module")
def env(tmp_path_factory):
    """An environment with the wheel and nothing else of its own; a path line in a .pth shows it our packages, whose own .pth
    files, the one of an editable clone among them, are not read there."""
    place = tmp_path_factory.mktemp("empty") / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", place], check=True)
    wheel = build(tmp_path_factory.mktemp("wheel"))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", place / "bin/python"]
    subprocess.run([*pip, "install", "--quiet", "--no-deps", "--no-index", wheel], check=True)
    purelib = Path(sysconfig.get_path("purelib", vars={"base": str(place)}))
    (purelib / "borrowed.pth").write_text("\n".join({sysconfig.get_path("purelib"), *site.getsitepackages()}) + "\n")
    return place


@pytest.fixture
def outside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(env, outside):
    """A command line as a person types it, in an empty folder: what it printed. `fails` is the exit code that is expected."""

    def call(words, *, fails=0, typed="", timeout=1200):
        program, *rest = shlex.split(words, comments=True)
        done = subprocess.run(
            [env / "bin" / program, *rest], capture_output=True, text=True, input=typed, timeout=timeout, env=clean(), cwd=outside
        )
        assert done.returncode == fails, f"{words}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout + done.stderr

    return call


def clean():
    """The environment without what would lead to this clone, offline."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "RISE_DATA", "VIRTUAL_ENV")}
    return {**kept, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "COLUMNS": "120"}


def test_it_is_the_wheel_and_not_the_clone(run, env):
    told = run("python -c 'import rise; from rise.recipe.shipped import home; print(rise.__file__, home())'")
    assert all(Path(path).is_relative_to(env.resolve()) or Path(path).is_relative_to(env) for path in told.split())
    assert re.fullmatch(r"rise \d+\.\d+\.\d+\n", run("rise --version"))
    assert run("rise -h") == run("rise --help")


def test_a_missing_package_is_answered_with_this_very_wheel(run):
    told = run("""python -c 'from rise.errors import installing; print(installing("train"))'""")
    assert re.fullmatch(r"pip install 'rise-lm\[train\] @ file://\S+\.whl'\n", told)


def test_the_page_of_installing_does_what_it_says(run, outside):
    for line in one_block(INDEX, "run in tests: wheel").strip().splitlines():
        run(line)
    assert (outside / "runs/nano-toy/report.html").stat().st_size > 10_000
    assert (outside / "runs/mine-toy/report.html").exists()
    assert (outside / "looked-at.html").stat().st_size > 10_000
    assert "turn 5" in run("rise play runs/nano-toy", typed="17841?\n")
    assert "needed first" not in run("rise run nano --dry-run")
    assert "mistralai" in run("rise run paper/mistral-7b-instruct --dry-run") and "fsdp2" in run("rise recipes show paper/common")
    run("rise recipes copy paper/mistral-7b-instruct copied")
    run("rise run copied/paper/mistral-7b-instruct.toml --scale fsdp2 --dry-run")


def test_the_readmes_own_problems_and_model(run, outside):
    own_things(outside)
    first, *others = one_block(README, "run in tests: own").strip().splitlines()
    for line in (f"{first} --scale toy", *others):
        run(line, typed="What is 1 + 4?\n")


def test_the_readmes_python_runs_with_a_name_alone(run):
    program = "import rise; run = rise.run('nano', scale='toy'); print(len(rise.load('runs/nano-toy').turns()), run.stages)"
    assert "round-1" in run(f'python -c "{program}"')


def test_the_demonstration_opens(env, outside):
    process = subprocess.Popen(
        [env / "bin/rise", "demo", "--no-browser", "--dir", outside / "demo"], stdout=subprocess.PIPE, text=True, env=clean()
    )
    try:
        end, told = time.monotonic() + 300, ""
        while "Playground" not in told and time.monotonic() < end and process.poll() is None:
            told += process.stdout.readline()
        assert "Playground" in told, told
        process.send_signal(signal.SIGINT)
        process.wait(300)
    finally:
        process.kill()
        process.communicate()
    assert json.loads((outside / "demo/nano/round-2/metrics.json").read_text())["m1@t1"]["n"] == 1000
