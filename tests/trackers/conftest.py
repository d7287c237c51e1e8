"""Opt-in: `make test-trackers`. Each tracker's own package, in an environment of its own under .trackers/."""

import os

collect_ignore_glob = [] if os.environ.get("RISE_TEST_TRACKERS") else ["test_*.py"]
