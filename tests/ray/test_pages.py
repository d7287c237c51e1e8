"""What docs/scale.md says of clusters is so: the commands run as written, the file of ray up has its schema."""

import json
import re
import shlex
from pathlib import Path

import pytest
import yaml
from machines import ROOT, Machines, Rise
from ray_helpers import wait_until


def test_the_commands_of_the_page_run_as_written(tmp_path):
    (tmp_path / "recipes").symlink_to(ROOT / "recipes")
    [block] = re.findall(r"<!-- run in tests: cluster -->\n```sh\n(.*?)```", (ROOT / "docs" / "scale.md").read_text(), re.DOTALL)
    for line in block.strip().splitlines():
        program, *words = shlex.split(line)
        assert program == ".venv/bin/rise"
        rise = Rise(*words, cwd=tmp_path)
        assert rise.done(1500) == 0, rise.said()[-3000:]
    assert (tmp_path / "runs/nano-toy/report.html").stat().st_size > 10_000


def test_the_way_by_hand_makes_one_cluster_of_two_machines(tmp_path):
    """`ray start --head`, `ray start --address=…`, `--cluster …`: what tests/ray/machines.py does, under the page's own words."""
    page = (ROOT / "docs" / "scale.md").read_text()
    assert all(words in page for words in ("`ray start --head`", "`ray start --address=FIRST:6379`", "--cluster FIRST:6379"))
    machines = Machines(2)
    try:

        def both():
            words = ("cluster", "check", ROOT / "recipes/nano.toml", "--cluster", machines.address)
            looked = Rise(*words, cwd=tmp_path, environment=machines.environment())
            return looked.done() == 0 and looked.said().startswith("2 nodes:")

        wait_until(both, "a cluster of two")
    finally:
        machines.stop()


def test_the_file_of_ray_up_is_what_ray_up_reads():
    jsonschema = pytest.importorskip("jsonschema")
    import ray.autoscaler

    schema = json.loads((Path(ray.autoscaler.__file__).parent / "ray-schema.json").read_text())
    jsonschema.validate(yaml.safe_load((ROOT / "recipes/cluster/ray-up.yaml").read_text()), schema)
