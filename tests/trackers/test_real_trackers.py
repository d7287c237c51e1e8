"""wandb, trackio and mlflow themselves, offline: what they say they were told is what the run measured."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
HOME = HERE.parents[1] / ".trackers"
NEEDED = ("math-verify", "mpmath", "pydantic", "rich", "typer", "httpx", "jinja2", "numpy", "matplotlib")


def python_with(package):
    """The Python of an environment that holds the tracker, made on first use. Skips where it cannot be had."""
    place = HOME / package
    python = place / "bin" / "python"
    if not (place / "installed").exists():
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-c", str(HERE / "constraints.txt")]
        for command in ([sys.executable, "-m", "venv", str(place)], [*pip, package, *NEEDED]):
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                pytest.skip(f"{package} cannot be installed here: {done.stderr[-400:]}")
        (place / "installed").touch()
    return python


@pytest.mark.parametrize("name", ["wandb", "trackio", "mlflow"])
def test_a_run_that_is_continued_is_one_run_with_every_number_once_and_its_report(name, tmp_path):
    places = {
        "WANDB_MODE": "offline",
        "WANDB_SILENT": "true",
        "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db",
        "TRACKIO_DIR": str(tmp_path / "trackio"),
        "HOME": str(tmp_path),
    }
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | places
    for what in ("tell", "says"):
        command = [str(python_with(name)), str(HERE / "tell.py"), what, name, str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=600)
        assert done.returncode == 0 and "left behind" not in done.stderr, done.stderr[-3000:]
    says = json.loads(done.stdout.splitlines()[-1])
    assert says["runs"] == 1
    # By hand in synthetic_run: boost has 1 of 8 right at turn 1, round 1 has 4 of 8, and 5 of 8 at turn 5.
    assert says["numbers"]["accuracy/turn_1"] == [0.125, 0.5] and says["numbers"]["metric/t5"] == [0.125, 0.625]
    assert says["numbers"]["difference/t5-t1"] == [0.0, 0.125] and says["numbers"]["replies/unparsable"] == [0.0, 0.05]
    assert len(says["numbers"]["part/rollout/seconds"]) == 1
    assert any("The report" in file or file.endswith("report.html") for file in says["files"]), says["files"]
