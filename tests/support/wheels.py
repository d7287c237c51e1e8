"""The wheel of this tree, built beside it: what setuptools leaves in a tree would get into the next wheel."""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NEEDED = ("rise", "recipes", "experiments", "pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE")
BUILD = "import sys; from setuptools import build_meta; print(getattr(build_meta, sys.argv[1])(sys.argv[2]))"


def build(into: Path, kind: str = "wheel", source: Path | None = None) -> Path:
    """A wheel, or an `sdist`, of this tree or of another, in a folder that is made. Needs no network."""
    copy = into / "source"
    if source is None:
        copy.mkdir(parents=True)
        for name in NEEDED:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / name, copy / name)
    command = [sys.executable, "-c", BUILD, f"build_{kind}", str(into)]
    done = subprocess.run(command, cwd=source or copy, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return into / done.stdout.strip().splitlines()[-1]
