"""The whole check on a GPU, a unit after another, each with a time limit of its own. What ends early keeps what it has.

    python benchmarks/gpu/prepare.py --trl                       here, once: wheels, model, data
    python3 benchmarks/gpu/check.py --out $OUT                   there: at most 8 minutes; or --parts …, twice
    python3 benchmarks/gpu/check.py --out $OUT --at-once         there: does each unit run? Its times say nothing
    python3 benchmarks/gpu/check.py --out OUT --toy              anywhere: every unit at a toy's size on a processor

`results.json` is written anew after each unit. Units that an earlier one holds (`--after FILE`, or results.json in --out) are not
done again, unless they failed. The order is by what one wants to know first. Wheels in build/gpu/wheels are installed into
build/gpu/site before anything is imported; SmolLM2 is put together from its parts when both are there.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
BUILD = ROOT / "build" / "gpu"


@dataclass(frozen=True, slots=True)
class Unit:
    part: str
    name: str
    limit_s: float
    goal: str = ""


UNITS = (
    Unit("attend", "attend smollm2", 40),
    Unit("generate", "generate smollm2 captured", 40, "≥ 100,000 tokens/s"),
    Unit("train", "train 1b ours, compiled", 75, "MFU ≥ .45"),
    Unit("train", "train 1b trl", 90, "ours ≥ 1.5 × TRL"),
    Unit("generate", "generate 8b captured", 60, "≥ ½ of the bandwidth bound"),
    Unit("real", "real words 0", 450, "t5 − t1 and m1@t5 − m5@t1 above 0"),
    Unit("real", "real words 1", 450, "as seed 0"),
    Unit("real", "real words 2", 450, "as seed 0"),
    Unit("tests", "tests", 200),
    Unit("train", "train 8b ours, compiled", 80),
    Unit("train", "train 1b ours", 45),
    Unit("train", "train smollm2 ours, compiled", 60),
    Unit("train", "train smollm2 trl", 60),
    Unit("real", "real svamp 0", 170),
    Unit("attend", "attend 8b", 40),
    Unit("generate", "generate smollm2 plain", 40),
    Unit("train", "train smollm2 ours, sdpa", 45),
    Unit("train", "train 8b trl", 70),
    Unit("generate", "generate smollm2 transformers", 45),
)
"""In the order in which they are done. Limits count an import of torch, and a compilation where there is one."""
TOY_TIMES = 4
"""A toy runs on a processor, beside whatever else runs there."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--parts", nargs="+", choices=["tests", "attend", "train", "generate", "real"], default=None)
    parser.add_argument("--only", nargs="+", default=None, metavar="NAME", help="units by name")
    parser.add_argument("--after", type=Path, help="results.json of an earlier call")
    parser.add_argument("--budget", type=float, default=470.0, help="seconds; no unit is begun that may not end within it")
    parser.add_argument("--at-once", action="store_true", help="all units beside one another")
    parser.add_argument("--toy", action="store_true")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    site = install()
    results = Results(given.out / "results.json", given.after)
    results.put("machine", machine(site, given.toy))
    units = [unit for unit in UNITS if chosen(unit, given) and not results.has(unit.name)]

    def do(unit: Unit) -> None:
        left = given.budget - (time.monotonic() - began)
        limit_s = unit.limit_s * (TOY_TIMES if given.toy else 1)
        if left < 20.0:
            results.put(unit.name, {"skipped": f"{left:.0f} s were left"})
        else:
            found = run(unit, given.out, limit_s, site, toy=given.toy, ends=began + given.budget, alone=not given.at_once)
            results.put(unit.name, found)

    with ThreadPoolExecutor(max(1, len(units)) if given.at_once else 2) as pool:  # one imports while the other is measured
        list(pool.map(do, units))
    print(json.dumps(results.found, indent=1, ensure_ascii=False))


def chosen(unit: Unit, given: argparse.Namespace) -> bool:
    return not (given.parts and unit.part not in given.parts) and not (given.only and unit.name not in given.only)


class Results:
    """What was found so far, on disk after every unit."""

    def __init__(self, file: Path, after: Path | None) -> None:
        self.file = file
        known = next((path for path in (file, after) if path and path.exists()), None)
        self.lock = threading.Lock()
        self.found: dict[str, Any] = json.loads(known.read_text(encoding="utf-8")) if known else {}

    def has(self, name: str) -> bool:
        found = self.found.get(name)
        return found is not None and not {"failed", "skipped"} & found.keys()

    def put(self, name: str, found: dict[str, Any]) -> None:
        with self.lock:
            self.found[name] = found
            partial = self.file.with_suffix(".partial")
            partial.write_text(json.dumps(self.found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
            os.replace(partial, self.file)


def run(
    unit: Unit, out: Path, limit_s: float, site: Path | None, *, toy: bool, ends: float = float("inf"), alone: bool = False
) -> dict[str, Any]:
    """A unit in a process group of its own, ended with all it started when its time is over.

    Its time begins with its turn, which it says by a file: what it imports it imports before.
    """
    name = "-".join(re.findall(r"\w+", unit.name))
    file, log = out / f"{name}.json", out / f"{name}.log"
    words = [sys.executable, str(HERE / "units.py"), unit.name, "--out", str(file), *(["--toy"] if toy else [])]
    words += ["--turn", str(out / "turn")] if alone else []
    paths = [str(path) for path in (ROOT, HERE, site, os.environ.get("PYTHONPATH")) if path]
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    with log.open("wb") as lines:
        process = subprocess.Popen(words, stdout=lines, stderr=lines, env=variables, cwd=ROOT, start_new_session=True)
        try:
            while process.poll() is None and not file.exists() and time.monotonic() < ends:
                time.sleep(0.05)
            began = time.monotonic()
            limit_s = max(0.0, min(limit_s, ends - began))
            print(f"== {unit.name}, at most {limit_s:.0f} s", flush=True)
            code: int | None = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            end(process)
    said = log.read_bytes()
    with (out / "log.txt").open("ab") as whole:
        whole.write(f"\n== {unit.name}\n".encode() + said[-100_000:])
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    for path in (file, log):
        path.unlink(missing_ok=True)
    found["seconds"] = round(time.monotonic() - began, 1)
    if code is None:
        found["failed"] = f"not done after {limit_s:.0f} s"
    elif code:
        found["failed"] = said[-1500:].decode(errors="replace")
    print(unit.name, json.dumps(found, ensure_ascii=False)[:600], flush=True)
    return found


def end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def install() -> Path | None:
    """Unpack the wheels that were brought along, once; None where there are none."""
    wheels, site = sorted(BUILD.glob("wheels/*.whl")), BUILD / "site"
    if not wheels or f"cp{sys.version_info[0]}{sys.version_info[1]}" not in " ".join(wheel.name for wheel in wheels):
        return None  # none, or another Python's: this is not the machine they were gathered for
    if not site.exists():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-compile", "--no-cache-dir"]
        subprocess.run([*command, "--target", str(site), *map(str, wheels)], check=True)
    return site


def machine(site: Path | None, toy: bool) -> dict[str, Any]:
    """The card, its driver and the versions: asked of a process of its own, so that none of it stays in this one."""
    code = (
        "import json, sys, torch, transformers; c = torch.cuda; on = c.is_available(); "
        "print(json.dumps({'card': c.get_device_name() if on else None, 'memory_GiB': round(c.get_device_properties(0)"
        ".total_memory / 2**30, 1) if on else None, 'torch': torch.__version__, 'transformers': transformers.__version__}))"
    )
    paths = [str(path) for path in (site, os.environ.get("PYTHONPATH")) if path]
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    )
    known = json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else {"failed": done.stderr[-500:]}
    return {"date": time.strftime("%Y-%m-%d"), "python": platform.python_version(), "toy": toy, **known}


if __name__ == "__main__":
    main()
