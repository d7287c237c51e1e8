"""Make the environments that tasks of other projects run in: `make venv-adapters`, or one of them.

    python recipes/adapter_env.py inspect [.venv-inspect]

Each project pins packages that clash with ours, so none shares our environment. Versions are those that `make test-adapters` was
last run with. From a clone rise is installed there too (without torch), so that our own tasks can be used from their side.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PINS = {
    "inspect": ["inspect-ai==0.3.285"],
    "openenv": ["openenv==0.10.0"],
    "verifiers": ["verifiers==0.4.0"],
    "reasoning-core": ["reasoning-core[gen]==0.5.0", "reasoning-gym==0.1.25", "automata-lib==9.2.0"],
}


def main(name: str, where: Path) -> None:
    if name not in PINS:
        sys.exit(f"{name}: there are {', '.join(PINS)}.")
    python = where / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(where)], check=True)
    clone = Path(__file__).resolve().parents[1]
    ours = ["-e", str(clone)] if (clone / "pyproject.toml").exists() else []
    print(f"Installing {' '.join(PINS[name])} into {where}; minutes the first time.", flush=True)
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    subprocess.run([*pip, *PINS[name], *ours], check=True)


if __name__ == "__main__":
    for wanted in sys.argv[1:2] or list(PINS):
        main(wanted, Path(sys.argv[2] if len(sys.argv) > 2 else f".venv-{wanted}"))
