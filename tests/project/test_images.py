"""Images, workflows and the editor's container: nothing here runs Docker, so what they name is looked at instead."""

import json
import re
import shlex

import pytest
import yaml
from documents import ROOT

IMAGES = [ROOT / "Dockerfile", ROOT / "Dockerfile.gpu"]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
TARGETS = set(re.findall(r"^([\w./-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@pytest.mark.parametrize("image", IMAGES, ids=lambda path: path.name)
def test_what_an_image_copies_is_there_and_let_through(image):
    let_through = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = [
        shlex.split(line)[1:-1] for line in image.read_text().splitlines() if line.startswith("COPY ") and "--from" not in line
    ]
    assert copied
    for source in (word for words in copied for word in words):
        assert (ROOT / source).exists() and source.split("/")[0] in let_through, source


@pytest.mark.parametrize("image", IMAGES, ids=lambda path: path.name)
def test_an_image_builds_the_wheel_from_what_the_test_of_the_wheel_builds_it_from(image):
    from wheels import NEEDED

    stage = image.read_text().split("AS wheel")[1].split("FROM")[0]
    copied = {word for line in re.findall(r"^COPY (.*)$", stage, re.MULTILINE) for word in line.split()[:-1]}
    assert copied == set(NEEDED)
    extras = re.search(r"\[([\w,]+)\]\"$", image.read_text(), re.MULTILINE)[1].split(",")
    assert set(extras) <= set(re.findall(r"^(\w+) = \[", (ROOT / "pyproject.toml").read_text(), re.MULTILINE))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_calls_what_there_is(path):
    text = path.read_text()
    flow = yaml.safe_load(text)
    assert flow["name"] == path.stem and flow["permissions"] == {"contents": "read"}
    steps = [step for job in flow["jobs"].values() for step in job["steps"]]
    for command in (step["run"] for step in steps if "run" in step):
        for target in re.findall(r"^make (\S+)", command, re.MULTILINE):
            assert target in TARGETS, target
    assert all(re.fullmatch(r"[\w./-]+@[\w./-]+", step["uses"]) for step in steps if "uses" in step)


def test_there_is_a_workflow_for_each_of_the_four():
    assert [path.stem for path in WORKFLOWS] == ["docs", "publish", "test", "wheel"]


def test_publishing_needs_a_tag_that_is_the_version_and_keeps_no_secret():
    text = (ROOT / ".github/workflows/publish.yml").read_text()
    flow = yaml.safe_load(text)
    assert flow[True] == {"push": {"tags": ["v*"]}}  # YAML reads `on` as true
    assert flow["jobs"]["publish"]["permissions"] == {"id-token": "write"} and "secrets." not in text and "password" not in text
    assert "rise.__version__" in text and "make test-wheel" in text


def test_the_editors_container_makes_the_environment_that_tests_need():
    settings = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text())
    assert settings["postCreateCommand"].startswith("make ")
    assert set(settings["postCreateCommand"].split()[1:]) <= TARGETS


def test_no_file_names_a_host_of_a_registry():
    for path in [*IMAGES, *WORKFLOWS, ROOT / ".devcontainer/devcontainer.json", ROOT / "docs/index.md", ROOT / "rise/errors.py"]:
        assert not re.search(r"\b[\w-]+\.(org|io|com)\b(?!\S*2407)", path.read_text().replace("arxiv.org", "")), path
