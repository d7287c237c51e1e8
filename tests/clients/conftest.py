"""Opt-in: `make test-clients`. What these tests need is installed beside the project, each client by itself."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # serving.py

collect_ignore_glob = [] if os.environ.get("RISE_TEST_CLIENTS") else ["test_*.py"]
