"""The wheel of this tree, built beside it: what setuptools leaves in a tree would get into the next wheel. And an environment
that holds the wheel and the packages that it asks for, of those that are here, and no other."""

import shutil
import subprocess
import sys
import sysconfig
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

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


def install_alone(wheel: Path, extras: str, place: Path) -> list[str]:
    """Make the environment `place` as `pip install 'WHEEL[extras]'` would, without a network: links stand in for packages.

    Returns what was wanted and is not here.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", place], check=True)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", place / "bin/python"]
    subprocess.run([*pip, "install", "--quiet", "--no-deps", "--no-index", wheel], check=True)
    purelib = Path(sysconfig.get_path("purelib", vars={"base": str(place)}))
    [own] = metadata.distributions(name="rise-lm", path=[str(purelib)])
    found, missing = _wanted(own, extras.split(","))
    for distribution in found:
        for top in {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}:
            link = purelib / top
            if not link.exists():  # a namespace, such as nvidia/, is shared by many: the first links all of it
                link.symlink_to(Path(str(distribution.locate_file(top))))
    return missing


def _wanted(root: metadata.Distribution, extras: list[str]) -> tuple[list[metadata.Distribution], list[str]]:
    """(distributions that `root` with its extras needs, and those that they need; names of those that are not here)."""
    found: dict[str, metadata.Distribution] = {}
    missing: list[str] = []
    done: set[tuple[str, str]] = set()
    queue = [(root, extra) for extra in ("", *extras)]
    while queue:
        distribution, extra = queue.pop()
        if (distribution.name, extra) in done:
            continue
        done.add((distribution.name, extra))
        for requirement in map(Requirement, distribution.requires or ()):
            if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
                continue
            try:
                needed = found.setdefault(requirement.name, metadata.distribution(requirement.name))
            except metadata.PackageNotFoundError:
                missing.append(requirement.name)
                continue
            queue += [(needed, more) for more in ("", *requirement.extras)]
    return list(found.values()), missing
