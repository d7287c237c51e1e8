"""The suites that are asked for by name can be collected in one pass: nobody looks at them every day."""

import os
import re
import subprocess
import sys

import pytest
from documents import ROOT

MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
SUITES = re.findall(r"(RISE_TEST_\w+)=1 .* tests/(\w+)", MAKEFILE)


@pytest.mark.parametrize(("variable", "suite"), SUITES)
@pytest.mark.slow
def test_an_opt_in_suite_collects_its_tests_and_no_module_of_another_environment(variable, suite):
    assert len(SUITES) == 4
    asked = os.environ | {variable: "1", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--collect-only", "-q", f"tests/{suite}"]
    done = subprocess.run(command, cwd=ROOT, env=asked, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout[-3000:]
    assert re.search(rf"^tests/{suite}/test_\w+\.py", done.stdout, re.M)
