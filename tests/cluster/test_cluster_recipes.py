"""recipes/cluster: what can be checked of them without a cloud, a Kubernetes or a SLURM. No Ray is needed."""

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from rise.cli.main import app

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "recipes" / "cluster").iterdir())


def text_of(path):
    """With lines joined that a backslash, or YAML's folding, continues."""
    return re.sub(r"\s*\\?\n\s+--", " --", path.read_text())


def commands(path):
    """Every `rise run …` that the file holds, with shell variables as numbers."""
    for found in re.findall(r"\brise run [^\n#'\"]*(?:\"[^\n]*?\"[^\n#'\"]*)*", text_of(path)):
        words = re.sub(r'"\$\(\([^"]*\)\)"|"\$address"|"?\$\w+"?', "4", found).rstrip(')"&')
        yield [word.removeprefix("rise/") for word in shlex.split(words)[1:]]


def test_there_is_a_recipe_for_each_way_that_the_page_names():
    assert [path.name for path in FILES] == ["gpus.sh", "kuberay-job.yaml", "ray-up.yaml", "slurm.sh"]
    page = (ROOT / "docs" / "scale.md").read_text()
    assert all(f"recipes/cluster/{path.name}" in page for path in FILES)


@pytest.mark.parametrize("path", [path for path in FILES if path.name != "ray-up.yaml"], ids=lambda path: path.name)
def test_the_run_that_a_recipe_starts_is_one_that_rise_can_plan(path):
    found = list(commands(path))
    assert len(found) == 1, found
    words = found[0]
    assert "--cluster" in words
    recipe = str(ROOT / words[1])
    done = CliRunner().invoke(app, ["run", recipe, *words[2:], "--dry-run"])
    assert done.exit_code == 0, done.output
    assert "[cluster]" in done.output and "tensor_parallel = 1" in done.output


@pytest.mark.parametrize("path", [path for path in FILES if path.suffix == ".sh"], ids=lambda path: path.name)
def test_shell_scripts_are_shell(path):
    assert os.access(path, os.X_OK) or path.name == "slurm.sh"  # sbatch reads it
    subprocess.run(["bash", "-n", path], check=True)


def test_the_job_is_what_kuberay_reads():
    job = yaml.safe_load((ROOT / "recipes/cluster/kuberay-job.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    spec = job["spec"]["rayClusterSpec"]
    pins = (ROOT / "constraints.txt").read_text()
    assert f"ray=={spec['rayVersion']}" in pins
    workers = spec["workerGroupSpecs"][0]
    n_gpus = workers["replicas"] * int(workers["template"]["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"])
    for name in ("cluster.replicas", "cluster.workers"):
        assert f"{name}={n_gpus}" in job["spec"]["entrypoint"]
    for group in (spec["headGroupSpec"], workers):
        pod = group["template"]["spec"]
        assert pod["containers"][0]["volumeMounts"][0]["name"] == pod["volumes"][0]["name"]


def test_the_file_of_ray_up_starts_nodes_that_find_their_head():
    data = yaml.safe_load((ROOT / "recipes/cluster/ray-up.yaml").read_text())
    assert data["head_node_type"] in data["available_node_types"]
    assert any("ray start --head" in line for line in data["head_start_ray_commands"])
    assert any("ray start --address=$RAY_HEAD_IP" in line for line in data["worker_start_ray_commands"])


def test_the_arithmetic_of_the_page_is_the_scripts():
    import sys

    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        import scale
    finally:
        sys.path.pop(0)
    text = (ROOT / "docs" / "scale.md").read_text()
    assert scale.page(text) == text, "run benchmarks/scale.py"
    # By hand: 2 rounds × 10,000 wrong problems × 16 samples × 250 tokens are 80 of the 107 million generated tokens.
    relabelled = sum(part.n_generated for part in scale.parts() if part.part == "relabel")
    assert relabelled == 80e6
    # And 8.03 billion weights of 2 bytes through 3.35 TB/s are 4.8 ms, without a single row's keys and values.
    assert scale.step_s() * scale.g("decode_share") > 2 * 8.03e9 / 3.35e12
