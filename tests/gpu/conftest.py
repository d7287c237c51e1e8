"""Helpers of the tests of policies and training are used here too, also when these tests run alone."""

import sys
from pathlib import Path

for name in ("policies", "training"):
    sys.path.append(str(Path(__file__).resolve().parents[1] / name))
