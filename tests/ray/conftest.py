"""Opt-in: `make test-ray`. Real Ray on loopback: nodes of one processor each, killed as bad luck would."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import toys

sys.path.insert(0, str(Path(__file__).parent))  # ray_helpers.py

collect_ignore_glob = [] if os.environ.get("RISE_TEST_RAY") else ["test_*.py"]

os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
# Ray gives its workers the lowest priority: beside other work they would get one or two per cent of a core.
os.environ.setdefault("RAY_worker_niceness", "0")
# And takes a process for lost that has not come up in a minute, which it starts again and again then.
os.environ.setdefault("RAY_worker_register_timeout_seconds", "900")
os.environ.setdefault("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", "900")


@pytest.fixture(scope="session", autouse=True)
def ray_starts_here():
    """Continuous integration asks first whether Ray can work on its machine at all, and skips where it cannot."""
    if not os.environ.get("RISE_RAY_OR_SKIP"):
        return
    code = "import ray; ray.init(address='local', include_dashboard=False); ray.get(ray.remote(lambda: 1).remote())"
    for _ in range(2):
        try:
            done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
        except subprocess.TimeoutExpired:
            why = "nothing happened for five minutes"
            continue
        if done.returncode == 0:
            return
        why = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    pytest.skip(f"Ray does not start on this machine: {why}")


@pytest.fixture(scope="module")
def nodes():
    """A cluster whose head computes nothing, joined by this process. Tests add nodes and take them away."""
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    ray.init(address=cluster.address, namespace="rise", log_to_driver=False)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


@pytest.fixture
def two_nodes(nodes):
    """With two nodes of one processor, which are gone afterwards."""
    added = [nodes.add_node(num_cpus=1) for _ in range(2)]
    nodes.wait_for_nodes()
    yield nodes
    for node in [*nodes.worker_nodes]:
        nodes.remove_node(node, allow_graceful=True)
    assert added


@pytest.fixture(scope="session")
def slow_dir(tmp_path_factory):
    """An untrained model that takes a while for a reply, so that there is a middle to be killed in."""

    from rise.recipe.machines import NanoConfig
    from rise.training.nano import make_nano

    path = tmp_path_factory.mktemp("slow") / "model"
    shape = NanoConfig(hidden=128, layers=6, heads=4, kv_heads=4, intermediate=256, max_length=1024)
    make_nano(shape, toys.ALPHABET, seed=0, path=path)
    return path
